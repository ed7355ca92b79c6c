"""Every loss of scratchnet in PyTorch's own functions, batch first."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from scratchnet import SettingError
from scratchnet.engine.losses import Loss, MSELoss

Tensor = torch.Tensor


def _classes_second(y: Tensor) -> Tensor:
    """(N, T, K) → (N, K, T), where PyTorch's losses look for the classes."""
    return y.movedim(-1, 1)


_TWINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "QuadraticCost": lambda a, t: F.mse_loss(a, t, reduction="sum") / (2 * len(a)),
    "NLLLoss": lambda y, t: F.nll_loss(_classes_second(y), t.long()),
    "CrossEntropyLoss": lambda y, t: F.cross_entropy(_classes_second(y), t.long()),
}


def loss_twin(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """PyTorch's function of (output, target) for a loss of scratchnet. Raises SettingError if there is none."""
    if isinstance(loss, MSELoss):
        return lambda y, t: F.mse_loss(y, t, reduction=loss.reduction)
    if type(loss).__name__ not in _TWINS:
        raise SettingError(f"{loss!r} has no counterpart in PyTorch that parity knows: add it to parity/losses.py")
    return _TWINS[type(loss).__name__]
