"""Every loss of scratchnet in PyTorch's own functions, batch first."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from scratchnet import SettingError
from scratchnet.engine.losses import ClassLoss, Loss, MSELoss

Tensor = torch.Tensor


_TWINS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "QuadraticCost": lambda a, t: F.mse_loss(a, t, reduction="sum") / (2 * len(a)),
    "NLLLoss": lambda y, t: F.nll_loss(y, t.long()),
    "CrossEntropyLoss": lambda y, t: F.cross_entropy(y, t.long()),
}


def loss_twin(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """PyTorch's function of (output, target) for one of our losses.

    Raises SettingError if there is none.
    """
    if isinstance(loss, MSELoss):
        return lambda y, t: F.mse_loss(y, t, reduction=loss.reduction)
    if type(loss).__name__ not in _TWINS:
        raise SettingError(f"{loss!r} has no counterpart in PyTorch that parity knows: add it to parity/losses.py")
    twin = _TWINS[type(loss).__name__]
    if isinstance(loss, ClassLoss) and loss.classes == "last":
        return lambda y, t: twin(
            y.movedim(-1, 1).contiguous(), t
        )  # (N, T, K) → (N, K, T): PyTorch has the classes on axis 1
    return twin
