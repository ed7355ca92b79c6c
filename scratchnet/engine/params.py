"""Parameters: named views into a network's two flat vectors, values and gradients.

Because all values lie in one vector, an optimiser step, the norm of the gradient, an
all-reduce and a checkpoint each take one or two calls, however deep the network is.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array, aligned_zeros
from scratchnet.engine import checks
from scratchnet.errors import CheckpointError, SettingError
from scratchnet.files.tensorfile import short

MOST = 2**45  # parameters: more than any machine holds
# elements: 64 float32 fill four cache lines, so each parameter starts on a new one
ALIGN = 64

Init = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


def uniform(bound: float) -> Init:
    """Initial values U(−bound, bound)."""
    return lambda rng, shape: rng.uniform(-bound, bound, shape)


def constant(value: float) -> Init:
    """The same initial value everywhere."""
    return lambda rng, shape: np.full(shape, value)


def normal(deviation: float) -> Init:
    """Initial values N(0, deviation²)."""
    return lambda rng, shape: rng.normal(0.0, deviation, shape)


def glorot(fan_in: int, fan_out: int) -> Init:
    """Variance 2/(fan_in + fan_out), for sigmoid and tanh.

    Activations on the way forward and δ on the way back both keep their size.
    """
    return uniform((6 / (fan_in + fan_out)) ** 0.5)


def he(fan_in: int, fan_out: int) -> Init:
    """ReLU makes half of the activations 0, so the variance is twice as large."""
    return normal((2 / fan_in) ** 0.5)


#: How weights are drawn, by the name in the literature; see `initial_values`
INITS: dict[str, Callable[[int, int], Init]] = {
    "pytorch": lambda fan_in, fan_out: uniform(fan_in**-0.5),  # variance 1/(3 fan_in)
    "glorot": glorot,
    "xavier": glorot,
    "he": he,
    "kaiming": he,
    # as in books that build a network from scratch
    "normal": lambda fan_in, fan_out: normal(fan_in**-0.5),
    # shows why initial values must differ: all neurons of a layer then learn the same
    "zeros": lambda fan_in, fan_out: constant(0.0),
}


def initial_values(who: str, init: str, fan_in: int, fan_out: int) -> tuple[Init, Init]:
    """How to draw the weights and the biases of a layer: `init` is a key of INITS.

    fan_in is the number of terms in the sum for one output, fan_out the number of sums
    that one input is part of. In Linear they are in_features and out_features, in
    Conv2d in_channels·kh·kw and out_channels·kh·kw. In ConvTranspose2d they are the
    other way round, as in torch.nn.init. Biases are 0 except with "pytorch". Raises
    SettingError for another name.
    Sources: X. Glorot and Y. Bengio, Understanding the difficulty of training deep
    feedforward neural networks, AISTATS 2010, eq. 16; K. He et al., Delving deep into
    rectifiers, ICCV 2015, eq. 10; T. Rashid, Make Your Own Neural Network (2016), part
    2, and M. Nielsen, Neural Networks and Deep Learning (2015), chapter 3, for
    "normal".
    """
    weights = INITS[checks.choice(who, "init", init, tuple(INITS))](fan_in, fan_out)
    return weights, weights if init == "pytorch" else constant(0.0)


class Param:
    """One parameter of a layer: a shape, a way to initialise it and, later, two views.

    `value` and `grad` are views into the network's flat vectors. They are never
    rebound: write `p.value[...] = v`. A parameter that is not `trained`, such as a
    running mean, has a value but no gradient. Training leaves `held_row` as it is: its
    gradient is taken as 0.
    """

    def __init__(
        self, name: str, shape: tuple[int, ...], init: Init, trained: bool = True, held_row: int | None = None
    ) -> None:
        self.name, self.shape, self.init, self.trained, self.held_row = name, shape, init, trained, held_row
        self.size = math.prod(shape)
        self.value: Array = None
        self.grad: Array = None
        self.start = 0  # where its values begin in the flat vector

    def __repr__(self) -> str:
        kind = "" if self.trained else ", trained=False"
        return f"Param({self.name!r}, {self.shape}{kind})"

    def view_of(self, flat: Array) -> Array:
        """This parameter's part of a flat vector, in its shape."""
        return flat[self.start : self.start + self.size].reshape(self.shape)


class Store:
    """The flat vectors of a network: `values` and `grads` of all trained parameters.

    The padding between parameters is zero in both and stays zero. Parameters that are
    not trained have a flat vector of their own, `fixed`, which no optimiser touches.
    """

    def __init__(self, params: list[Param], rng: np.random.Generator, dtype: np.dtype, xp: ModuleType) -> None:
        if len({id(p) for p in params}) < len(params) or any(p.value is not None for p in params):
            raise SettingError("a layer can be packed into one network only, and once: make a new layer object")
        total = sum(p.size for p in params)
        too_large = SettingError(
            f"{total:,} parameters need {total * dtype.itemsize / 2**30:,.1f} GiB, more memory than there is"
        )
        if total > MOST:  # NumPy's message would be about dimensions
            raise too_large
        try:
            self._fill(params, rng, dtype, xp)
        except MemoryError:
            raise too_large from None

    def _fill(self, params: list[Param], rng: np.random.Generator, dtype: np.dtype, xp: ModuleType) -> None:
        self.values = aligned_zeros(self._place([p for p in params if p.trained]), dtype, xp)
        self.fixed = aligned_zeros(self._place([p for p in params if not p.trained]), dtype, xp)
        # Zeros of this size take no memory until they are written. The last places are
        # for numbers that are sent along with the gradients.
        self.message = aligned_zeros(self.values.size + ALIGN, dtype, xp)
        self.grads = self.message[: self.values.size]
        for p in params:
            flat = self.values if p.trained else self.fixed
            p.value = p.view_of(flat)
            # drawn on the CPU, so that every device starts with the same values
            p.value[...] = xp.asarray(p.init(rng, p.shape).astype(dtype, copy=False))
            if p.trained:
                p.grad = p.view_of(self.grads)

    @staticmethod
    def _place(params: list[Param]) -> int:
        """Give every parameter its aligned start; returns the length of the vector."""
        end = 0
        for p in params:
            p.start = end
            end += -(-p.size // ALIGN) * ALIGN
        return end


def check_names(wanted: Iterable[str], given: Iterable[str], where: str = "") -> None:
    """Raise CheckpointError, naming them, for missing or unexpected entries."""
    wanted, given = list(wanted), list(given)
    missing, unexpected = set(wanted) - set(given), set(given) - set(wanted)
    if missing or unexpected:
        parts = [
            f"{what} {', '.join(short(name) for name in names[:20])}{', ...' * (len(names) > 20)}"
            for what, names in (
                ("missing", [name for name in wanted if name in missing]),
                ("unexpected", [name for name in given if name in unexpected]),
            )
            if names
        ]
        raise CheckpointError(f"{where}the parameters do not belong to this network: {'; '.join(parts)}")


def check_values(name: str, array: Array, dtype: np.dtype) -> None:
    """Raise CheckpointError unless all values are finite and `dtype` can hold them."""
    if array.size:
        with np.errstate(invalid="ignore"):
            low, high = float(array.min()), float(array.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise CheckpointError(f"parameter {name} holds NaN or infinite values")
        if max(-low, high) > float(np.finfo(dtype).max):
            raise too_large(name, dtype)


def too_large(name: str, dtype: np.dtype) -> CheckpointError:
    """The error for finite values that would become infinite."""
    return CheckpointError(f"parameter {name} holds values that {dtype} cannot: give the network dtype='float64'")


def as_parameter(name: str, value: Any, shape: tuple[int, ...], dtype: np.dtype, xp: ModuleType) -> Array:
    """`value` as an array for the parameter `name`, which has this shape.

    Raises CheckpointError if it cannot be one.
    """
    try:
        array = value if type(value) is xp.ndarray else xp.asarray(value)
    except (ValueError, TypeError, RuntimeError) as e:
        raise CheckpointError(f"parameter {name} cannot be made an array: {short(e)}") from None
    if array.dtype.kind != "f":
        raise CheckpointError(f"parameter {name} is given as {array.dtype}, but floating-point numbers are needed")
    if array.shape != shape:
        raise CheckpointError(f"parameter {name} has shape {shape}, but is given {array.shape}")
    if array.dtype.itemsize > dtype.itemsize:
        with np.errstate(over="ignore"):
            wide, array = array, array.astype(dtype)
        if bool((xp.isinf(array) & ~xp.isinf(wide)).any()):
            raise too_large(name, dtype)
    return array


def set_values(params: Mapping[str, Param], state: Mapping[str, Any], dtype: np.dtype, xp: ModuleType) -> None:
    """Set all these parameters to the values in `state`, which has the same names.

    Raises CheckpointError, before any is changed.
    """
    check_names(params, state)
    arrays = {name: as_parameter(name, state[name], p.shape, dtype, xp) for name, p in params.items()}
    for name, p in params.items():
        p.value[...] = arrays[name]
