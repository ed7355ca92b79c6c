"""Convolution: three linear maps, and two layers that are each other's adjoint.

Letters: C, H, W channels, rows and columns of the image; O, P, Q those of the grid,
where each position of the window is one cell; kh, kw taps of the window; N examples,
always the last axis; W₂ the weights as a matrix (O, C·kh·kw).

    correlate   (C, H, W, N) → (O, P, Q, N)   W₂ · unroll(x)
                multiplies what the window covers, at every position, by W
    spread      (O, P, Q, N) → (C, H, W, N)   fold(W₂ᵀ · δ)
                its adjoint: adds every cell, times W, to what the window covers
    overlap     both → W                      δ · unroll(x)ᵀ
                the gradient: BP4 with P·Q·N examples

    Conv2d:            y = correlate(x, W)    dx = spread(δ, W)      dW = overlap(x, δ)
    ConvTranspose2d:   y = spread(x, W)       dx = correlate(δ, W)   dW = overlap(δ, x)

`unroll` copies the image once for each of the kh·kw taps, shifted. A convolution then
is one matrix product, whose result already has the layout that the next layer needs.
The unrolled image takes kh·kw times the memory of the image; above LIMIT, only some
rows are worked on at a time.
"""

import copy
from dataclasses import InitVar, dataclass, field
from math import prod
from typing import Any

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.backend.products import dot
from scratchnet.engine import checks
from scratchnet.engine.equations import bp2_propagate, bp4_weight
from scratchnet.engine.layers.base import Layer, Shape, buffer, need_flag, need_sizes
from scratchnet.engine.layers.window import Size2d, fold, nothing_left, pair, places_of, unroll, windows
from scratchnet.engine.learner import Learner
from scratchnet.engine.params import Param, initial_values
from scratchnet.engine.tuned import in_loops
from scratchnet.errors import SettingError

#: Bytes that the unrolled image of one layer and its gradient together may take in
#: training
LIMIT = 2**30
#: Bytes of the same at inference, where nothing is kept: small enough to stay in the
#: processor's cache
LIMIT_AT_INFERENCE = 2**21


def as_matrix(a: Array) -> Array:
    """(O, ..., N) → (O, ...·N), a view of a contiguous array."""
    return a.reshape(a.shape[0], -1)


class Convolution(Layer):
    """What both layers share: W, b and the three maps between image and grid.

    The `image` is (C, H, W, N), the `grid` (O, P, Q, N).
    """

    in_channels: int
    out_channels: int
    bias: bool
    init: str

    def _make(self, image_channels: int, grid_channels: int, groups: int) -> None:
        need_sizes(self, "in_channels", "out_channels")
        need_flag(self, "bias")
        if checks.whole(type(self).__name__, "groups", groups, 1) != 1:
            raise SettingError(f"{type(self).__name__}: groups other than 1 are not supported, and {groups} is given")
        self.window = windows(self)
        self.kernel = (image_channels, self.window[0].k, self.window[1].k)
        # PyTorch's fan_in is W's second axis times its taps; in ConvTranspose2d that
        # axis is `out`
        fan_in, fan_out = prod(self.kernel), grid_channels * prod(self.kernel[1:])
        weights, biases = initial_values(type(self).__name__, self.init, fan_in, fan_out)
        self.W = Param("weight", (grid_channels, *self.kernel), weights)
        self.b = Param("bias", (self.out_channels,), biases) if self.bias else None

    def matrix(self) -> Param:
        """The weights as W₂ (O, C·kh·kw), in the same memory."""
        W = copy.copy(self.W)
        W.shape = (self.W.shape[0], prod(self.kernel))
        W.value = W.value.reshape(W.shape)
        W.grad = W.grad.reshape(W.shape)
        return W

    # The three maps, which kernels/convolution.py has as compiled loops too.

    def correlate(
        self, image: Array, places: Shape, learn: Learner | None, b: Param | None = None
    ) -> tuple[Array, Array | None]:
        """grid = W₂ · unroll(image) + b.

        In training it returns also the unrolled image, if that is whole.
        """
        W = as_matrix(self.W.value)
        grid = buffer(self, "correlate", (len(W), *places), image, learn)
        at_once = self._rows_at_once(grid, learn)
        cols = None
        if at_once >= places[0]:
            cols = self._unrolled(image, 0, places, learn)
            dot(W, cols, out=as_matrix(grid))
        else:
            for first in range(0, places[0], at_once):
                part = grid[:, first : first + at_once]
                part[...] = dot(W, self._unrolled(image, first, part.shape[1:], learn)).reshape(part.shape)
        if b is not None:
            grid += b.value[:, None, None, None]
        return grid, cols

    def spread(self, grid: Array, size: Shape, learn: Learner | None) -> Array:
        """image = fold(W₂ᵀ · grid), the adjoint of `correlate`."""
        W = as_matrix(self.W.value)
        image = buffer(self, "spread", (self.kernel[0], *size), grid, learn)
        image.fill(0)
        at_once = self._rows_at_once(grid, learn)
        for first in range(0, grid.shape[1], at_once):
            part = grid[:, first : first + at_once]
            cols = buffer(self, "fold", (*self.kernel, *part.shape[1:]), grid, learn)
            bp2_propagate(W, as_matrix(part), out=cols.reshape(W.shape[1], -1))
            fold(cols, self.window, image, first)
        return image

    def overlap(self, image: Array, grid: Array, cols: Array | None, learn: Learner) -> tuple[Array, Array]:
        """The pair (δ, a) for `learn.weight`, whose product is grid · unroll(image)ᵀ.

        If it was worked out in parts: their sum, and an identity matrix.
        """
        if cols is not None:
            return as_matrix(grid), cols
        at_once = self._rows_at_once(grid, learn)
        total: Array = 0
        for first in range(0, grid.shape[1], at_once):
            part = grid[:, first : first + at_once]
            total = total + bp4_weight(as_matrix(part), self._unrolled(image, first, part.shape[1:], learn))
        return total, xp_of(image).eye(total.shape[1], dtype=total.dtype)

    def _unrolled(self, image: Array, first: int, places: Shape, learn: Learner | None) -> Array:
        """(C·kh·kw, P·Q·N), for the rows of positions from `first` on."""
        cols = buffer(self, "unroll", (*self.kernel, *places), image, learn)
        unroll(image, self.window, cols, first)
        return cols.reshape(prod(self.kernel), -1)

    def _rows_at_once(self, grid: Array, learn: Learner | None) -> int:
        """How many rows of positions to unroll at a time; at least one."""
        limit = LIMIT_AT_INFERENCE if learn is None else LIMIT // 2
        row = prod(self.kernel) * prod(grid.shape[2:]) * grid.dtype.itemsize
        return max(1, limit // max(1, row))

    def unrolled_bytes(self, shape: Shape, batch_size: int, itemsize: int = 4) -> int:
        """Bytes that training keeps for the unrolled image of a batch.

        Backward needs as much again. If both together exceed LIMIT, neither is kept,
        and they are made in parts.
        """
        _, P, Q = self._grid(shape)
        return prod(self.kernel) * P * Q * batch_size * itemsize

    def _grid(self, shape: Shape) -> Shape:
        """The shape of the grid, for an example of this shape."""
        raise NotImplementedError

    def _check(self, shape: Shape) -> None:
        if len(shape) != 3 or shape[0] != self.in_channels or min(shape) < 1:
            raise self.wants(f"(N, {self.in_channels}, height, width)", shape)

    def operations(self, shape: Shape) -> int:
        return 2 * self.W.size * prod(self._grid(shape)[1:])


@dataclass(eq=False)
class Conv2d(Convolution):
    """y[o] = b[o] + Σ_c W[o, c] ⋆ x[c], where ⋆ is cross-correlation: W is not flipped.

    Input (N, in_channels, H, W), output (N, out_channels, H', W') with

        H' = floor((H + 2·padding − dilation·(kernel − 1) − 1)/stride) + 1

    and W' likewise. W is (out_channels, in_channels, kh, kw). kernel_size, stride,
    padding (with zeros) and dilation are a number or (rows, columns); groups must be 1.
    The order of the arguments is PyTorch's. `init` names the initial values as in
    Linear, with fan_in = in_channels·kh·kw and fan_out = out_channels·kh·kw; by default
    they are U(±1/√fan_in), as in PyTorch. Raises ShapeError for another number of
    channels and for images smaller than the kernel, and SettingError for another
    `init`.
    Source: Y. LeCun et al., Gradient-based learning applied to document recognition,
    Proc. IEEE 86 (1998); unrolling: K. Chellapilla et al., High performance
    convolutional neural networks for document processing (2006).
    """

    in_channels: int
    out_channels: int
    kernel_size: Size2d
    stride: Size2d = 1
    padding: Size2d = 0
    dilation: Size2d = 1
    groups: InitVar[int] = 1
    bias: bool = True
    init: str = field(default="pytorch", kw_only=True)

    def __post_init__(self, groups: int) -> None:
        self._make(self.in_channels, self.out_channels, groups)

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Any]:
        y, cols = in_loops(self, learn).correlate(self, x, (*self._grid(x.shape)[1:], x.shape[-1]), learn, self.b)
        return y, (x, cols)

    def backward(self, delta: Array, cache: Any, learn: Learner, need_dx: bool = True) -> Array | None:
        x, cols = cache
        maps = in_loops(self, learn)
        dx = maps.spread(self, delta, x.shape[1:], learn) if need_dx else None  # before W changes
        if self.b is not None:
            learn.bias(self.b, as_matrix(delta))  # BP3
        learn.weight(self.matrix(), *maps.overlap(self, x, delta, cols, learn))  # BP4
        return dx

    def _grid(self, shape: Shape) -> Shape:
        return (self.out_channels, self.window[0].places(shape[1]), self.window[1].places(shape[2]))

    def output_shape(self, shape: Shape) -> Shape:
        self._check(shape)
        return places_of(self, self.window, shape, self.out_channels)


@dataclass(eq=False)
class ConvTranspose2d(Convolution):
    """The adjoint of Conv2d: adds every input cell, times the kernel, to the output.

    Input (N, in_channels, H, W), output (N, out_channels, H', W') with

        H' = (H − 1)·stride − 2·padding + dilation·(kernel − 1) + output_padding + 1

    and W' likewise. W is (in_channels, out_channels, kh, kw), so with the same array
    this is the adjoint of a Conv2d(out_channels, in_channels). That Conv2d may map
    images of several sizes to an output of one size; `output_padding` says which of
    them is meant. It adds rows and columns at the end, which are computed, not zero.
    `init` is as in Linear, with fan_in = out_channels·kh·kw and fan_out =
    in_channels·kh·kw, as PyTorch counts them; by default U(±1/√fan_in). Raises
    SettingError unless output_padding is smaller than stride or dilation, and for
    another `init`; ShapeError for another number of channels or an output without
    cells.
    Source: V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep
    learning (2016), chapter 4.
    """

    in_channels: int
    out_channels: int
    kernel_size: Size2d
    stride: Size2d = 1
    padding: Size2d = 0
    output_padding: Size2d = 0
    groups: InitVar[int] = 1
    bias: bool = True
    dilation: Size2d = 1
    init: str = field(default="pytorch", kw_only=True)

    def __post_init__(self, groups: int) -> None:
        self._make(self.out_channels, self.in_channels, groups)
        self.more = pair(self, "output_padding", 0)
        for more, w in zip(self.more, self.window, strict=True):
            if more >= max(w.s, w.d):
                raise SettingError(
                    f"{self}: output_padding must be smaller than stride or dilation, but {more} is not smaller than "
                    f"{w.s} or {w.d}: it chooses among the sizes that a convolution with this stride makes the same"
                )

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Array]:
        y = in_loops(self, learn).spread(self, x, self._size(x.shape[1:]), learn)
        if self.b is not None:
            y += self.b.value[:, None, None, None]
        return y, x

    def backward(self, delta: Array, x: Array, learn: Learner, need_dx: bool = True) -> Array | None:
        # before W changes; its columns serve BP4
        maps = in_loops(self, learn)
        dx, cols = maps.correlate(self, delta, x.shape[1:], learn)
        if self.b is not None:
            learn.bias(self.b, as_matrix(delta))  # BP3
        learn.weight(self.matrix(), *maps.overlap(self, delta, x, cols, learn))  # BP4
        return dx

    def _size(self, shape: Shape) -> Shape:
        """(H, W, N) of the input → (H', W', N)."""
        rows, cols = self.window
        return (rows.covered(shape[0], self.more[0]), cols.covered(shape[1], self.more[1]), *shape[2:])

    def _grid(self, shape: Shape) -> Shape:
        return shape

    def output_shape(self, shape: Shape) -> Shape:
        self._check(shape)
        out = (self.out_channels, *self._size(shape[1:]))
        for axis in (0, 1):
            if out[1 + axis] < 1:
                text = self.window[axis].covered_text(shape[1 + axis], self.more[axis])
                raise nothing_left(self, shape, out, axis, text)
        return out
