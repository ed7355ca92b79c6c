"""A window that slides along one axis of an image: its positions and its taps.

Letters: size cells of the axis, k kernel (taps), s stride, p padding on both sides, d
dilation; o position of the window. Tap i of the window at position o meets cell o·s − p
+ i·d.

Source: V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning,
arXiv:1603.07285 (2016), relations 6 and 14.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.engine import checks
from scratchnet.engine.layers.base import Layer, Shape, shape_text
from scratchnet.errors import SettingError, ShapeError

#: An option that is one number for both axes of an image, or (rows, columns)
Size2d = int | tuple[int, int]


@dataclass(frozen=True)
class Window:
    """k taps, d cells apart, moved by s cells from position to position.

    The axis has p more cells at either end.
    """

    k: int
    s: int = 1
    p: int = 0
    d: int = 1

    @property
    def span(self) -> int:
        """Cells from the first tap to the last: d·(k − 1) + 1."""
        return self.d * (self.k - 1) + 1

    def places(self, size: int) -> int:
        """The number of positions on an axis of this size; below 1 if there is none."""
        return (size + 2 * self.p - self.span) // self.s + 1

    def covered(self, places: int, more: int = 0) -> int:
        """The reverse: the size of the axis that this number of positions covers.

        `more` cells are added at the end.
        """
        return (places - 1) * self.s - 2 * self.p + self.span + more

    def cells_at(self, place: int, size: int) -> np.ndarray:
        """For every tap, the cell that it meets at position `place`, or −1."""
        cells = place * self.s - self.p + self.d * np.arange(self.k)
        return np.where((cells >= 0) & (cells < size), cells, -1)

    def places_over(self, cell: int, places: int) -> np.ndarray:
        """For every tap, the position at which it meets `cell`; −1 if there is none."""
        found, rest = np.divmod(cell + self.p - self.d * np.arange(self.k), self.s)
        return np.where((rest == 0) & (found >= 0) & (found < places), found, -1)

    def places_text(self, size: int) -> str:
        """The formula of `places`, with its numbers."""
        k, s, p, d = self.k, self.s, self.p, self.d
        return f"floor(({size} + 2·{p} − {d}·({k} − 1) − 1) / {s}) + 1 = {self.places(size)}"

    def covered_text(self, places: int, more: int = 0) -> str:
        """The formula of `covered`, with its numbers."""
        k, s, p, d = self.k, self.s, self.p, self.d
        return f"({places} − 1)·{s} − 2·{p} + {d}·({k} − 1) + {more} + 1 = {self.covered(places, more)}"


@lru_cache(maxsize=1024)
def taps(window: Window, size: int, places: int, first: int = 0) -> tuple[tuple[slice, slice], ...]:
    """For each tap, the positions at which it meets the image, and the cells.

    All other positions meet the padding. Only the `places` positions from `first` on
    are considered.
    """
    found = []
    for i in range(window.k):
        # the cell under this tap at the first position
        start = first * window.s - window.p + i * window.d
        a = max(0, -(start // window.s))
        b = max(a, min(places, (size - 1 - start) // window.s + 1))
        cell = start + a * window.s
        found.append((slice(a, b), slice(cell, cell + (b - a - 1) * window.s + 1, window.s) if b > a else slice(0, 0)))
    return tuple(found)


def windows(layer: Any) -> tuple[Window, Window]:
    """The windows along rows and columns that a layer's options describe.

    Raises SettingError.
    """
    k = pair(layer, "kernel_size", 1)
    # by default, a pool's windows lie side by side
    s = k if layer.stride is None else pair(layer, "stride", 1)
    p = pair(layer, "padding", 0)
    d = pair(layer, "dilation", 1) if hasattr(layer, "dilation") else (1, 1)
    return Window(k[0], s[0], p[0], d[0]), Window(k[1], s[1], p[1], d[1])


def pair(layer: object, name: str, least: int) -> tuple[int, int]:
    """An option as (rows, columns).

    Raises SettingError unless it is a whole number from `least`, or two of them.
    """
    value = getattr(layer, name)
    pair_given = isinstance(value, (tuple, list))  # lists come from model files
    try:
        rows, cols = (checks.whole("", name, v, least) for v in (value if pair_given else (value, value)))
    except ValueError:  # not two, or not whole numbers
        raise SettingError(
            f"{type(layer).__name__}: {name} must be a whole number from {least}, or two of them (rows, columns), "
            f"not {checks.shown(value)}"
        ) from None
    setattr(layer, name, (rows, cols) if pair_given else rows)
    return rows, cols


def places_of(layer: Layer, w: tuple[Window, Window], shape: Shape, channels: int) -> Shape:
    """The shape (channels, P, Q) of the output of a window on an image (C, H, W).

    Raises ShapeError if the window does not fit.
    """
    out = (channels, w[0].places(shape[1]), w[1].places(shape[2]))
    for axis in (0, 1):
        if out[1 + axis] < 1:
            raise nothing_left(layer, shape, out, axis, w[axis].places_text(shape[1 + axis]))
    return out


def nothing_left(layer: Layer, shape: Shape, out: Shape, axis: int, text: str) -> ShapeError:
    """The error for an output without cells, with the formula that shows it."""
    return ShapeError(
        f"{layer} is given {shape_text(shape)}, so its output would be {shape_text(out)}: "
        f"{('height', 'width')[axis]} = {text}"
    )


def unroll(x: Array, w: tuple[Window, Window], cols: Array, first: int = 0) -> None:
    """Copy what every tap meets: x (C, H, W, N) → cols (C, kh, kw, P, Q, N).

    Taps in the padding get 0. The rows of positions are those from `first` on.
    """
    padded = w[0].p > 0 or w[1].p > 0
    for i, (P, H) in enumerate(taps(w[0], x.shape[1], cols.shape[3], first)):
        for j, (Q, W) in enumerate(taps(w[1], x.shape[2], cols.shape[4])):
            tap = cols[:, i, j]
            tap[:, P, Q] = x[:, H, W]
            if padded:
                tap[:, : P.start] = tap[:, P.stop :] = 0
                tap[:, :, : Q.start] = tap[:, :, Q.stop :] = 0


def fold(cols: Array, w: tuple[Window, Window], x: Array, first: int = 0) -> None:
    """The adjoint of `unroll`: adds what is under every tap to the cell it meets.

    x is (C, H, W, N).
    """
    for i, (P, H) in enumerate(taps(w[0], x.shape[1], cols.shape[3], first)):
        for j, (Q, W) in enumerate(taps(w[1], x.shape[2], cols.shape[4])):
            x[:, H, W] += cols[:, i, j, P, Q]
