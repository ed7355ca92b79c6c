"""Pooling: one number for every position of a window.

Letters: C channels, H, W rows and columns of the image x, P, Q those of the output y, N
examples (the last axis), K taps.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np

from scratchnet.backend.arrays import Array, is_on_gpu, xp_of
from scratchnet.engine.layers.base import Layer, Shape, buffer
from scratchnet.engine.layers.window import Size2d, places_of, taps, windows
from scratchnet.engine.learner import Learner
from scratchnet.engine.tuned import in_kernels, in_loops
from scratchnet.errors import SettingError

Slices = tuple[slice, slice, slice]


@dataclass(eq=False)
class Pool(Layer):
    """What all pools share: the window, and the walk over its taps."""

    kernel_size: Size2d
    stride: Size2d | None = None
    padding: Size2d = 0

    def __post_init__(self) -> None:
        self.window = windows(self)
        for w in self.window:
            if 2 * w.p > w.k:
                raise SettingError(f"{self}: padding may be at most half the kernel, but {w.p} is more than {w.k} / 2")

    def _places(self, shape: Shape) -> Shape:
        rows, cols = self.window
        return (shape[0], rows.places(shape[1]), cols.places(shape[2]), *shape[3:])

    def _taps(self, shape: Shape, places: Shape) -> Iterator[tuple[Slices, Slices]]:
        """For each tap, row by row: where it meets the image.

        Yields the positions of the window at which it does, and the cells of the image
        there.
        """
        all_channels = slice(None)
        for P, H in taps(self.window[0], shape[1], places[1]):
            for Q, W in taps(self.window[1], shape[2], places[2]):
                yield (all_channels, P, Q), (all_channels, H, W)

    def _worker(self, x: Array, learn: Learner | None) -> Any:
        """Who pools: a module with kernels or loops, or this class."""
        return in_kernels(self) if is_on_gpu(x) else in_loops(self, learn)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3 or min(shape) < 1:
            raise self.wants("images (N, channels, height, width)", shape)
        return places_of(self, self.window, shape, shape[0])


class Choice(Pool):
    """A pool that outputs one of the cells under its window: it gets all of ∂C/∂y.

    If several cells equal the output, it is the first in reading order, as in PyTorch.
    Cells that no window chooses get 0. NaN in a window gives NaN; of several NaN, the
    last gets ∂C/∂y (for a median the first), as in PyTorch too.
    """

    outside: ClassVar[float] = 0.0  # the value of the padding

    def choose(self, x: Array, y: Array, code: Array | None, learn: Learner | None) -> None:
        """Write the chosen cells of x (C, H, W, N) to y (C, P, Q, N).

        The number of the tap of each goes to `code`, which is 0 everywhere.
        """
        raise NotImplementedError

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Any]:
        y = buffer(self, "y", self._places(x.shape), x, learn)
        code = None if learn is None else xp_of(x).zeros(y.shape, self.code_dtype)
        self._worker(x, learn).choose(self, x, y, code, learn)
        return y, (x.shape, code)

    def backward(self, delta: Array, cache: Any, learn: Learner, need_dx: bool = True) -> Array | None:
        shape, code = cache
        if not need_dx:
            return None
        dx = buffer(self, "dx", shape, delta, learn)
        if not (self.apart and self._reach_all(shape, code.shape)):
            dx.fill(0)
        self._worker(delta, learn).give_back(self, delta, code, dx, learn)
        return dx

    def give_back(self, delta: Array, code: Array, dx: Array, learn: Learner) -> None:
        """Add δ of every window to the cell of dx that it chose."""
        share = buffer(self, "tap", delta.shape, delta, learn)
        # δ for windows that chose this tap, 0 for the others: the bits of δ are
        # multiplied by 1 or 0, because 0 · NaN would be NaN
        bits, whole = (a.view(f"i{a.itemsize}") for a in (share, delta))
        for k, (place, cell) in enumerate(self._taps(dx.shape, code.shape)):
            bits[...] = code == k
            bits *= whole
            if self.apart:
                dx[cell] = share[place]
            else:
                dx[cell] += share[place]

    @property
    def apart(self) -> bool:
        """Whether no cell is under two windows."""
        return all(w.s >= w.k for w in self.window)

    def _reach_all(self, shape: Shape, places: Shape) -> bool:
        """Whether windows that do not overlap cover every cell of the image."""
        axes = zip(self.window, shape[1:3], places[1:3], strict=True)
        return all(w.s == w.k and P * w.k - w.p >= size for w, size, P in axes)

    @property
    def code_dtype(self) -> str:
        return "uint8" if prod(w.k for w in self.window) <= 256 else "int32"

    def _first_taps(self, code: Array) -> Array:
        """For every window, the number of its first tap outside the padding."""
        (rows, cols), first = self.window, xp_of(code).zeros_like(code)
        for P in range(min(-(-rows.p // rows.s), code.shape[1])):
            first[:, P] += (rows.p - P * rows.s) * cols.k
        for Q in range(min(-(-cols.p // cols.s), code.shape[2])):
            first[:, :, Q] += cols.p - Q * cols.s
        return first

    def _meet(self, x: Array, place: Slices, cell: Slices, tap: Array) -> None:
        """Copy the cells that one tap meets, side by side, into `tap` (C, P, Q, N)."""
        tap[place] = x[cell]
        _, P, Q = place
        tap[:, : P.start] = tap[:, P.stop :] = self.outside
        tap[:, :, : Q.start] = tap[:, :, Q.stop :] = self.outside


class Extreme(Choice):
    """The largest or the smallest cell under the window."""

    which: ClassVar[str]
    better: ClassVar[str]

    def choose(self, x: Array, y: Array, code: Array | None, learn: Learner | None) -> None:
        xp, tap = xp_of(y), buffer(self, "tap", y.shape, y, learn)
        best, better = getattr(xp, self.which), getattr(xp, self.better)
        for k, (place, cell) in enumerate(self._taps(x.shape, y.shape)):
            self._meet(x, place, cell, tap if k else y)
            # k exceeds all codes so far: where this tap is better, k becomes the code
            if k and code is not None:
                xp.maximum(code, better(tap, y).view("u1") * code.dtype.type(k), out=code)
            if k:
                best(tap, y, out=y)  # of 0 and −0 the second, which is the earlier cell
        # on a GPU, looking would mean waiting for it
        if code is not None and (xp is not np or not xp.isfinite(y).all()):
            # where all cells are −∞, none was better
            xp.maximum(code, self._first_taps(code), out=code)
            for k, (place, cell) in enumerate(self._taps(x.shape, y.shape)):
                self._meet(x, place, cell, tap)
                # no comparison finds NaN
                xp.maximum(code, xp.isnan(tap).view("u1") * code.dtype.type(k), out=code)


@dataclass(eq=False)
class MaxPool2d(Extreme):
    """y = the maximum of the cells under the window, at each of its positions.

    Input (N, C, H, W), output (N, C, H', W') with H' = floor((H + 2·padding −
    kernel)/stride) + 1. By default stride is the kernel size; the padding is −∞. Raises
    SettingError for a padding above half the kernel, and ShapeError for images smaller
    than the window. Source: M. Ranzato et al., CVPR 2007.
    """

    which: ClassVar[str] = "maximum"
    better: ClassVar[str] = "greater"
    # never the largest: every window meets the image
    outside: ClassVar[float] = float("-inf")


@dataclass(eq=False)
class MinPool2d(Extreme):
    """y = the minimum of the cells under the window, −MaxPool2d(−x).

    Options, shapes and errors are those of MaxPool2d; the padding is +∞.
    """

    which: ClassVar[str] = "minimum"
    better: ClassVar[str] = "less"
    outside: ClassVar[float] = float("inf")


@dataclass(eq=False)
class MedianPool2d(Choice):
    """y = the median of the cells under the window; of an even number the lower one.

    (The same as torch.median.) Shapes and errors are those of MaxPool2d, but there is
    no padding. Removes salt-and-pepper noise from a picture.
    """

    padding: ClassVar[int] = 0  # type: ignore[misc]  # not an option of this one

    def choose(self, x: Array, y: Array, code: Array | None, learn: Learner | None) -> None:
        xp = xp_of(y)
        cells = xp.empty((prod(w.k for w in self.window), *y.shape), y.dtype)
        for cells_of_tap, (place, cell) in zip(cells, self._taps(x.shape, y.shape), strict=True):
            self._meet(x, place, cell, cells_of_tap)
        ordered = xp.sort(cells, axis=0)  # NaN comes last
        y[...] = xp.where(xp.isnan(ordered[-1]), ordered[-1], ordered[(len(cells) - 1) // 2])
        if code is not None:
            # of several equal ones, the first
            code[...] = ((cells == y) | xp.isnan(cells)).argmax(axis=0)


@dataclass(eq=False)
class AvgPool2d(Pool):
    """y = the mean of the K cells under the window, where padding counts as 0.

    Each of these cells gets ∂C/∂x = δ/K. Shapes and errors are those of MaxPool2d.
    Source: Y. LeCun et al., Backpropagation applied to handwritten zip code recognition
    (1989).
    """

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Shape]:
        y = buffer(self, "y", self._places(x.shape), x, learn)
        self._worker(x, learn).average(self, x, y)
        return y, x.shape

    def backward(self, delta: Array, shape: Shape, learn: Learner, need_dx: bool = True) -> Array | None:
        if not need_dx:
            return None
        dx = buffer(self, "dx", shape, delta, learn)
        self._worker(delta, learn).spread(self, delta, dx)
        return dx

    def average(self, x: Array, y: Array) -> None:
        """Write the means of the cells of x (C, H, W, N) to y (C, P, Q, N)."""
        y.fill(0)
        for place, cell in self._taps(x.shape, y.shape):
            y[place] += x[cell]
        y *= 1 / prod(w.k for w in self.window)

    def spread(self, delta: Array, dx: Array) -> None:
        """Give every cell of dx its share of δ, which is changed."""
        delta *= 1 / prod(w.k for w in self.window)
        dx.fill(0)
        for place, cell in self._taps(dx.shape, delta.shape):
            dx[cell] += delta[place]
