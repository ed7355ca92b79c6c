"""Your own handwriting: turn any picture of one digit into 28 x 28 pixels as in MNIST.

MNIST's digits are white on black with grey edges, scaled to fit a box of 20 x 20 with
their proportions kept, and placed in 28 x 28 with the centre of mass in the middle. A
network that has only seen such digits needs yours to look the same.

Letters: H, W rows and columns of the picture; ink runs from 0 (paper) to 1 (pen),
whatever their colours are. Source: Y. LeCun, C. Cortes and C. Burges, The MNIST
database of handwritten digits (1998).
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from scratchnet.data.pictures import read_bytes, upright
from scratchnet.errors import DataError

SIZE, BOX = 28, 20
MAX_SIDE = 400  # pixels along the longer side while the digit is searched for
MARGIN = 0.02  # share of the range seen in training that is added to it
MIN_CONTRAST = 0.12  # smallest difference in colour between pen and paper, out of 1
MIN_STROKE_WIDTH = 2.0  # width of a stroke in the box of 20; those of MNIST are 2 to 4 wide


def read_digit(path: str | Path) -> np.ndarray:
    """The digit in a PNG or JPEG file as uint8 (28, 28), white on black.

    Raises DataError if there is none.
    """
    return read_drawing(path)[0]


def read_drawing(path: str | Path) -> tuple[np.ndarray, bool]:
    """The digit, as `read_digit` returns it, and whether there are `two_blots`.

    Raises DataError.
    """
    ink = ink_of(read_picture(path), str(path))
    return centre(ink), two_blots(ink)


def two_blots(ink: np.ndarray) -> bool:
    """Whether the ink (h, w) consists of two separate parts, such as two digits.

    The parts are side by side, with empty columns between them and each at least half
    as tall as the whole, or one above the other, a tenth of the size apart, because the
    strokes of one digit often do not touch. Measured on MNIST's test images as
    pictures: of 1,500 single digits, none is taken for two; of 200 pairs side by side
    all are found, and of 200 pairs one above the other 146.
    """
    pen, size = ink > 0.5, max(ink.shape)
    # each part must be this tall, as a share of the whole, along the empty lines
    for cells, gap, share, along in ((pen, 0.02 * size, 0.5, 1), (pen.T, 0.1 * size, 0.4, 0)):
        empty = np.flatnonzero(~cells.any(axis=0))
        for run in np.split(empty, np.flatnonzero(np.diff(empty) > 1) + 1):
            if len(run) and len(run) >= gap:
                parts = cells[:, : run[0]], cells[:, run[-1] + 1 :]
                heights = [np.flatnonzero(part.any(axis=along)) for part in parts]
                if all(len(h) and np.ptp(h) + 1 >= share * pen.shape[0] for h in heights):
                    return True
    return False


def look(images: np.ndarray) -> dict[str, np.ndarray]:
    """Three numbers that describe each image of (N, 28, 28), with values from 0 to 1.

    ink: the share of the picture that is pen; edge: Σ |difference of neighbours| / Σ
    ink, which is high for noise and low for solid shapes; grey: the share of the pen
    that is neither full nor faint.
    """
    mass = np.maximum(images.sum(axis=(1, 2)), 1e-6)
    edges = sum(np.abs(np.diff(images, axis=axis)).sum(axis=(1, 2)) for axis in (1, 2))
    pen = np.maximum((images > 0.1).sum(axis=(1, 2)), 1)
    grey = ((images > 0.1) & (images < 0.9)).sum(axis=(1, 2))
    return {"ink": mass / images[0].size, "edge": edges / mass, "grey": grey / pen}


def usual(pieces: Iterable[np.ndarray]) -> dict[str, list[float]]:
    """The range of each number of `look` over training images from 0 to 1.

    They come in pieces (N, 28, 28). The range is widened by MARGIN at both ends.
    Measured with the first 10,000 of MNIST: of its 10,000 test images one lies outside,
    and of 14 kinds of pictures of digits none does; of pictures of noise 6 to 8 in ten
    lie outside, of solid shapes 6, of chessboards 3. Smooth clouds and scribbles cannot
    be told from digits this way.
    """
    ranges = {}
    looks = [look(images) for images in pieces]
    for name in looks[0]:
        low = min(float(one[name].min()) for one in looks)
        high = max(float(one[name].max()) for one in looks)
        ranges[name] = [low - MARGIN * (high - low), high + MARGIN * (high - low)]
    return ranges


def unlike(image: np.ndarray, ranges: dict[str, list[float]]) -> bool:
    """Whether an image (28, 28) from 0 to 1 is outside what was `usual` in training."""
    return any(not ranges[name][0] <= values[0] <= ranges[name][1] for name, values in look(image[None]).items())


def read_picture(path: str | Path) -> np.ndarray:
    """A picture file as float (H, W, C) from 0 to 1, upright.

    Its longer side has at most MAX_SIDE pixels. C is 3, or 4 with transparency. Raises
    DataError if the file is missing, damaged, too large, or neither PNG nor JPEG.
    """
    from PIL import Image

    image = upright(read_bytes(Path(path)), str(path), 2 * MAX_SIDE, ("PNG", "JPEG"))
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BOX)
    return np.asarray(image, np.float32) / 255


def ink_of(picture: np.ndarray, name: str = "picture") -> np.ndarray:
    """How much ink there is at each place of a picture (H, W, C): (h, w) from 0 to 1.

    The result is cut to the digit. The paper is a smooth surface through the edges of
    the picture, so shade and light falling across it do not matter. Ink is the
    difference from the paper in the colour where that is largest, so dark on light,
    light on dark and any two colours come out alike. Raises DataError if pen and paper
    cannot be told apart.
    """
    from scipy import ndimage

    if picture.shape[2] == 4:
        alpha = picture[:, :, 3:]
        over = [picture[:, :, :3] * alpha + paper * (1 - alpha) for paper in (1.0, 0.0)]
        # The background is transparent: lay it on white or black, whichever shows more.
        picture = max(over, key=lambda p: float(p.std(axis=(0, 1)).max()))
    ink = np.abs(picture - _paper(picture)).max(axis=2)
    threshold = _otsu(ink)
    pen = ink > threshold
    if not pen.any() or pen.all() or (strong := float(ink[pen].mean())) - float(ink[~pen].mean()) < MIN_CONTRAST:
        raise DataError(f"{name}: no digit can be seen: the picture is blank or too faint")
    rows, cols = np.nonzero(ndimage.binary_dilation(_digit(pen), iterations=2) & (ink > 0.3 * threshold))
    box = slice(rows.min(), rows.max() + 1), slice(cols.min(), cols.max() + 1)
    near = ndimage.binary_dilation(_digit(pen), iterations=max(2, min(pen.shape) // 100))[box]
    weak = float(np.median(ink[~pen]))
    return np.clip((ink[box] - weak) / max(strong - weak, 1e-6), 0, 1) * near


def centre(ink: np.ndarray) -> np.ndarray:
    """Scale ink (h, w) to fit 20 x 20, and centre its mass in uint8 (28, 28)."""
    from PIL import Image
    from scipy import ndimage

    scale = BOX / max(ink.shape)
    width = 4 * float(ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))[1:-1, 1:-1][ink > 0.5].mean())
    if width * scale < MIN_STROKE_WIDTH:  # a fine pen on a large sheet would fade away
        radius = round((MIN_STROKE_WIDTH / scale - width) / 2)
        ink = ndimage.grey_dilation(np.pad(ink, radius), footprint=_disc(radius)) if radius else ink
    h, w = (max(1, round(n * BOX / max(ink.shape))) for n in ink.shape)
    small = Image.fromarray(np.float32(ink)).resize((w, h), Image.Resampling.BICUBIC)
    digit = np.clip(np.asarray(small), 0, 1)
    digit /= max(float(digit.max()), 1e-6)
    y, x = ndimage.center_of_mass(digit)
    top = int(np.clip(round(SIZE / 2 - 0.5 - y), 0, SIZE - h))
    left = int(np.clip(round(SIZE / 2 - 0.5 - x), 0, SIZE - w))
    out = np.zeros((SIZE, SIZE), np.uint8)
    out[top : top + h, left : left + w] = np.round(255 * digit)
    return out


def _paper(picture: np.ndarray) -> np.ndarray:
    """The picture without its pen.

    In each colour it is a second-degree surface, fitted to the values that lie close to
    it.
    """
    H, W = picture.shape[:2]
    y, x = (g.ravel() for g in np.meshgrid(np.linspace(-1, 1, H), np.linspace(-1, 1, W), indexing="ij"))
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    edge = np.ones((H, W), bool)
    edge[max(1, H // 16) : H - max(1, H // 16), max(1, W // 16) : W - max(1, W // 16)] = False
    colours = picture.reshape(H * W, -1)
    paper = np.median(colours[edge.ravel()], axis=0)
    off = np.abs(colours - paper).max(axis=1)
    close = edge.ravel() & (off < max(0.1, 2 * float(np.median(off[edge.ravel()]))))
    surface = np.broadcast_to(paper, colours.shape)
    for _ in range(3):
        if close.sum() < 30:
            break
        surface = terms @ np.linalg.lstsq(terms[close], colours[close], rcond=None)[0]
        off = np.abs(colours - surface).max(axis=1)
        close = off < max(0.06, 2.5 * float(np.median(off[close])))
    return surface.reshape(picture.shape)


def _otsu(ink: np.ndarray) -> float:
    """The threshold that divides the values into the two groups that differ most.

    Source: N. Otsu, IEEE SMC 9 (1979).
    """
    counts, edges = np.histogram(ink, 256)
    middle = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * middle)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(edges[1:][np.nan_to_num(between).argmax()])


def _digit(pen: np.ndarray) -> np.ndarray:
    """The digit among all that is dark: the largest piece and those that are no specks.

    Pieces at the picture's edge, such as the end of the sheet, do not count if there is
    a fair-sized one inside.
    """
    from scipy import ndimage

    pieces, n = ndimage.label(pen, np.ones((3, 3)))
    area = np.bincount(pieces.ravel(), minlength=n + 1)
    area[0] = 0
    outside = np.unique(np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]]))
    inside = area.copy()
    inside[outside] = 0
    if inside.max() >= 0.1 * area.max():
        area = inside
    return (area >= 0.05 * area.max())[pieces] & pen


def _disc(radius: int) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return x * x + y * y <= radius * radius + 0.5
