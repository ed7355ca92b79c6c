"""Random variations of the training images, which make more of them.

Letters: C channels, H, W rows and columns, N images, the last axis.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from scratchnet.backend.arrays import Array, xp_of
from scratchnet.engine import checks
from scratchnet.engine.layers.base import Layer, Shape, acts_as_in_training
from scratchnet.engine.learner import Learner


@dataclass(eq=False)
class CropFlip(Layer):
    """Moves every training image a little at random, and mirrors half of them.

    Each image is padded with zeros and cut out again at its old size at a random place.
    This moves it by up to `padding` pixels up or down and left or right. With
    probability `flip` it is mirrored left to right. At inference y = x. As with
    Dropout, what happens depends only on the seed, the step and the example. Input and
    output are (N, C, H, W). Raises SettingError for a negative padding or a flip
    outside 0 to 1.
    Source: A. Krizhevsky, I. Sutskever and G. Hinton, ImageNet classification, NeurIPS
    2012, section 4.1.
    """

    padding: int = 4
    flip: float = 0.5

    output_is: ClassVar[Literal["view"]] = "view"

    def __post_init__(self) -> None:
        self.padding = checks.whole("CropFlip", "padding", self.padding)
        self.flip = checks.number("CropFlip", "flip", self.flip, most=1.0)

    def forward(self, x: Array, learn: Learner | None = None) -> tuple[Array, Array | None]:
        if not acts_as_in_training(learn):
            return x, None
        xp, (_, H, W, N) = xp_of(x), x.shape
        u = learn.uniform(xp.empty((3, N), x.real.dtype))
        down, right = ((u[:2] * (2 * self.padding + 1)).astype(int) - self.padding)[:, None, None, :]
        row = xp.arange(H)[:, None, None] + down
        col = xp.arange(W)[None, :, None]
        col = xp.where(u[2] < self.flip, W - 1 - col, col) + right
        inside = (row >= 0) & (row < H) & (col >= 0) & (col < W)
        # for each cell of y the number of the cell of x that it shows; H·W stands for
        # padding
        shown = xp.where(inside, row * W + col, H * W).reshape(H * W, N)
        return _take(x, shown).reshape(x.shape), shown

    def backward(self, delta: Array, shown: Array | None, learn: Learner, need_dx: bool = True) -> Array | None:
        if shown is None or not need_dx:
            return delta
        # no cell is shown twice, so the way back is the same operation, with the
        # inverse of `shown`
        xp, (cells, N) = xp_of(delta), shown.shape
        back = xp.full((cells + 1, N), cells)
        back[shown, xp.arange(N)] = xp.arange(cells)[:, None]
        return _take(delta, back[:cells]).reshape(delta.shape)

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 3:
            raise self.wants("images (N, channels, height, width)", shape)
        return shape


def _take(x: Array, cells: Array) -> Array:
    """The cells of x (C, H, W, N) with these numbers (H·W, N); number H·W gives 0."""
    xp, (C, H, W, N) = xp_of(x), x.shape
    flat = xp.zeros((C, H * W + 1, N), x.dtype)
    flat[:, :-1] = x.reshape(C, H * W, N)
    return flat[:, cells, xp.arange(N)]
