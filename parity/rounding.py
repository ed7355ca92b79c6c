"""How far off float32 may be: one rule, for `python -m parity` and for the tests.

A float32 result is right if its distance from the float64 result is at most

    (√n + 4) (u + c),    u = 2⁻²⁴,

where all distances are norm-relative. u is the unit round-off. n is the number of terms
in the longest sum that leads to the result: rounding errors of both signs add up like
√n (Higham and Mary, "A new approach to probabilistic rounding error analysis", SIAM J.
Sci. Comput. 41, 2019). An elementary function may add 4 u, which is 2 units in the last
place. c is how far the result moves when float64 makes errors of that size: every
number on the way, from the input and the weights to the last δ, is changed by a random
fraction of itself between −u and u, as in Monte Carlo arithmetic (Parker, 1997), and c
is the largest move in 32 such passes. So u + c is u times the condition number of the
computation.

Nothing in this depends on how a library happens to round, or on the order in which a
BLAS adds.
"""

import copy
import functools
import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from parity.errors import difference
from scratchnet import Sequential

UNIT = 2.0**-24  # the unit round-off of float32: the largest relative error of rounding one number
FUNCTION = 4.0  # units that an elementary function may add
DRAWS = 32  # passes with random errors: in a small array the errors of some passes may nearly cancel
TRAINING_DRAWS = 8  # trainings with random errors, which run side by side

T = TypeVar("T")


def tolerance(terms: int, change: float) -> float:
    """How far float32 may be from float64, from n and c."""
    return (math.sqrt(terms) + FUNCTION) * (UNIT + change)


def change(moved: Iterable[Any], exact: Any, noise: float = 0.0) -> float:
    """c: the largest distance of a moved result from the exact one."""
    return max(difference(a, exact, noise).norm_relative for a in moved)


def moved_results(
    make: Callable[["Rounding"], T], holds: Callable[[list[T]], bool], made: list[T] | None = None
) -> list[T]:
    """What `make` returns with random errors, in at most DRAWS passes.

    It stops as soon as the rule holds, since further passes can only make c larger.
    Passes `made` before, of the same computation, are used first, and new ones join
    them.
    """
    made = [] if made is None else made
    while len(made) < DRAWS and not (made and holds(made)):
        made.append(make(Rounding(len(made))))
    return made


class Rounding(TorchDispatchMode):
    """A context in which PyTorch errs at random by u in every number it computes.

    Use it as `with Rounding(seed):`.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        kind = _kind(func)
        if kind == "exact":
            return result
        if kind == "in place":  # as the gates of recurrent layers are
            return result.copy_(self.round(result, 0.5 if func in GATES else 0.0))
        return tuple(map(self.round, result)) if isinstance(result, tuple) else self.round(result)

    def round(self, a: Any, least: float = 0.0) -> Any:
        """`a` with errors of up to u, and in small numbers of up to u · `least`."""
        if not isinstance(a, torch.Tensor) or not a.is_floating_point():
            return a
        random = torch.empty(a.shape, dtype=a.dtype).uniform_(-UNIT, UNIT, generator=self.generator)
        return torch.addcmul(a, a.abs().clamp(min=least) if least else a, random.to(a.device))

    def round_weights(self, twin: nn.Sequential) -> None:
        """Add the error of storing the weights."""
        with torch.no_grad():
            for p in twin.parameters():
                p.copy_(self.round(p))

    def twin(self, twin: nn.Sequential) -> nn.Sequential:
        """A copy in float64 in which every single operation can be intercepted."""
        twin = copy.deepcopy(twin).double()
        for module in twin:
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.forward = partial(_normalise, module)
        self.round_weights(twin)
        return twin


#: What returns numbers that it is given: a median is one, and MedianPool2d asks which.
CHOOSES = {torch.ops.aten.median.dim, torch.ops.aten.copy_.default}
#: The σ of gates, which may be computed by a tanh: ½ tanh(½ z) + ½ has an error of u
#: times ½ where σ(z) is small.
GATES = {torch.ops.aten.sigmoid_.default}


@functools.cache
def _kind(func: Any) -> str:
    """How an operation makes its result.

    "exact" returns what it is given or a view of it, "in place" writes into its input,
    "new" computes something new.
    """
    aliases = [r.alias_info for r in func._schema.returns if r.alias_info is not None]
    if func in CHOOSES or any(not alias.is_write for alias in aliases):
        return "exact"
    return "in place" if aliases else "new"


def _normalise(module: nn.modules.batchnorm._BatchNorm, x: torch.Tensor) -> torch.Tensor:
    """A batch normalisation, operation by operation.

    In PyTorch it is a single operation, which hides its roundings.
    """
    with torch.no_grad():
        type(module).forward(module, x)  # updates the running values
    axes = [k for k in range(x.ndim) if k != 1]
    d = x - x.mean(axes, keepdim=True)
    x_hat = d * torch.rsqrt((d * d).mean(axes, keepdim=True) + module.eps)
    weight, bias = (p.view(-1, *[1] * (x.ndim - 2)) for p in (module.weight, module.bias))
    return x_hat * weight + bias


def longest_sum(net: Sequential, layer: int, shape: tuple[int, ...], *, gradient: bool) -> int:
    """The number of terms in the longest sum of a layer, given the input's shape.

    The shape is that of the network's input, batch first. Forward and back these are
    sums over the units and the window of a weight. The gradient of a parameter is a sum
    over the examples and over the places where each of them uses the parameter (pixels
    of an image, times of a sequence).
    """
    weights = [p.value for name, p in net.params.items() if name.startswith(f"{layer}.") and p.value.ndim > 1]
    units = max((w.size // min(w.shape[:2]) for w in weights), default=1)
    if not gradient:
        return units
    shapes = net.shapes_from(shape[1:])[layer : layer + 2]
    places = max(math.prod(s) // (s[0] if len(s) == 3 else s[-1]) for s in shapes)
    return max(units, shape[0] * places)
