"""The contract of a layer.

Letters: N examples in the batch, always the last axis; x input, y output, delta =
∂C/∂y, dx = ∂C/∂x; for sequences, T times and F features at each.
"""

import dataclasses
from typing import Any, ClassVar, Literal, TypeGuard

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine import checks
from scratchnet.engine.learner import Learner
from scratchnet.engine.params import Param
from scratchnet.errors import SettingError, ShapeError

Shape = tuple[int, ...]


class Layer:
    """A function y = f(x), one step of a network.

    Its parameters become arrays when a network, a `Sequential`, is made of it.

    * `forward` returns the output and a cache, the value that backward needs. It keeps
      nothing on `self`, so two forward passes may be followed by two backward passes,
      and threads may share a network.
    * `backward` is given ∂C/∂y and returns ∂C/∂x (or None if nobody needs it). It may
      overwrite the `delta` that it is given, but never the cache.
    * `learn`, the learner, is whoever receives the gradients, such as an optimiser:
      backward tells it the two factors of each (see learner.py). At inference there is
      none. While its `training` is true, layers act as they do in training.

    A subclass is a dataclass: its fields are its options, which `options` writes to a
    model file. To find a layer of your own again when a file is loaded, put
    `@sn.register` above its class.
    """

    #: What becomes of the output array: "fresh" (nobody else has it), "kept" (in this
    #: layer's cache) or "view" (of the input). The next layer may write into a fresh
    #: one, and into no other.
    output_is: ClassVar[Literal["fresh", "kept", "view"]] = "fresh"

    #: Whether the layer takes only sequences, (T, F) for one example, and not vectors
    #: (F,).
    over_time: ClassVar[bool] = False

    #: Whether the input is indices, whole numbers. Such a layer is the first of a
    #: network and has no ∂C/∂x.
    takes_indices: ClassVar[bool] = False

    #: Whether `forward` takes a third argument `out`, its input, which it then
    #: overwrites with its output. The network decides at each call whether it may,
    #: because a layer does not know who else uses its input.
    writes_in_place: ClassVar[bool] = False

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Any]:
        raise NotImplementedError

    def backward(self, delta: Array, cache: Any, learn: Learner, need_dx: bool = True) -> Array | None:
        raise NotImplementedError

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one example after this layer, from its shape before.

        Raises ShapeError if the layer cannot take it.
        """
        return shape

    def input_shape(self) -> Shape | None:
        """The shape of one example before this layer, if the options determine it.

        For a sequence, T is given as 1.
        """
        return None

    def operations(self, shape: Shape) -> int:
        """Multiplications and additions of a forward pass's products, per example."""
        return 0

    def params(self) -> list[Param]:
        """The parameters, in the order of their declaration."""
        return [v for v in vars(self).values() if isinstance(v, Param)]

    def options(self) -> dict[str, Any]:
        """The constructor's arguments, as they are written to a model file."""
        return {f.name: getattr(self, f.name) for f in self._fields()}

    def _fields(self) -> tuple[dataclasses.Field[Any], ...]:
        """The fields of the dataclass.

        A class without options need not be a dataclass; SettingError for one that has
        some.
        """
        if dataclasses.is_dataclass(self):
            return dataclasses.fields(self)
        if type(self).__init__ is object.__init__:
            return ()
        raise SettingError(
            f"{type(self).__name__}: its options are not known, so it cannot be saved or copied: make it a "
            "@dataclass(eq=False), whose fields they are"
        )

    def __str__(self) -> str:
        """The layer as one would write it, without options at their defaults.

        For instance Linear(784, 30) or MaxPool2d(2, padding=1).
        """
        words = []
        fields: tuple[dataclasses.Field[Any], ...] = self._fields() if dataclasses.is_dataclass(self) else ()
        for f in fields:
            value = getattr(self, f.name)
            if f.default is dataclasses.MISSING:
                words.append(repr(value))
            elif value != f.default:
                words.append(f"{f.name}={value!r}")
        return f"{type(self).__name__}({', '.join(words)})"

    def wants(self, expected: str, shape: Shape) -> ShapeError:
        """The error for an input that does not fit."""
        return ShapeError(f"{self} takes {expected}, but is given {shape_text(shape)}")


def buffer(layer: Layer, use: str, shape: Shape, like: Array, learn: Learner | None) -> Array:
    """An uninitialised array, kept for the next step in training."""
    xp = xp_of(like)
    return xp.empty(shape, like.dtype) if learn is None else learn.buffer((id(layer), use), shape, like.dtype, xp)


def acts_as_in_training(learn: Learner | None) -> TypeGuard[Learner]:
    """Whether dropout drops neurons and batches normalise themselves.

    (A TypeGuard is a bool; where it is true, type checkers know that `learn` is one.)
    """
    return learn is not None and learn.training


def shape_text(shape: Shape) -> str:
    """(N, 784), with N for the batch."""
    return f"({', '.join(['N', *map(str, shape)])})"


def need_sizes(layer: object, *names: str) -> None:
    """Check that these fields are whole numbers from 1; make them Python's."""
    for name in names:
        setattr(layer, name, checks.whole(type(layer).__name__, name, getattr(layer, name), 1))


def need_flag(layer: object, name: str) -> None:
    """Check that this field of a layer is True or False."""
    setattr(layer, name, checks.flag(type(layer).__name__, name, getattr(layer, name)))
