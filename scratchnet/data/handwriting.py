"""Your own handwriting: any picture of one digit, to 28 x 28 pixels as MNIST has them.

MNIST's digits are white on black, scaled to fit a box of 20 x 20 with their proportions kept, grey at the edges, and
laid into 28 x 28 so that the centre of mass is in the middle. A network that has seen only those needs the same here.

Letters: H, W rows and columns of the picture; ink is from 0 (paper) to 1 (pen), whatever the colours of the two are.
Source: Y. LeCun, C. Cortes and C. Burges, The MNIST database of handwritten digits (1998).
"""

from pathlib import Path

import numpy as np
from scipy import ndimage

from scratchnet.errors import DataError
from scratchnet.files.reading import open_regular

SIZE, BOX = 28, 20
LARGEST = 64_000_000  # pixels of a picture that is read; a telephone's has 50 million at most
WORKING = 400  # pixels of the longer side that the digit is looked for in
MARGIN = 0.02  # of the range of what was seen in training
FAINTEST = 0.12  # difference of colour between pen and paper, of at most 1
THINNEST = 2.0  # width of a stroke in the box of 20; MNIST's have 2 to 4


def read_digit(path: str | Path) -> np.ndarray:
    """The digit in a PNG or JPEG file as uint8 (28, 28), white on black. Raises DataError if there is no such thing."""
    return read_drawing(path)[0]


def read_drawing(path: str | Path) -> tuple[np.ndarray, bool]:
    """The digit, as `read_digit` has it, and whether there are `two_blots`. Raises DataError."""
    ink = ink_of(read_picture(path), str(path))
    return centre(ink), two_blots(ink)


def two_blots(ink: np.ndarray) -> bool:
    """Whether the ink (h, w) falls into two separate parts, such as two digits beside or above each other.

    Parted by empty columns, of which each side is at least half as tall as the whole; or by rows, a
    tenth of the size apart, where strokes of one digit often do not touch. Measured on MNIST's test
    images as pictures: no single digit of 1,500 is taken for two; of 200 pairs side by side all are
    found, of 200 above each other 146.
    """
    pen, size = ink > 0.5, max(ink.shape)
    # along the empty lines each part must be this share of the whole: its height, of parts above each other too
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
    """Three numbers that say what kind of picture each of images (N, 28, 28), from 0 to 1, is.

    ink: the share of the picture that is pen; edge: Σ |difference of neighbours| / Σ ink, high for
    noise and low for solid shapes; grey: the share of the pen that is neither full nor faint.
    """
    mass = np.maximum(images.sum(axis=(1, 2)), 1e-6)
    edges = sum(np.abs(np.diff(images, axis=axis)).sum(axis=(1, 2)) for axis in (1, 2))
    pen = np.maximum((images > 0.1).sum(axis=(1, 2)), 1)
    grey = ((images > 0.1) & (images < 0.9)).sum(axis=(1, 2))
    return {"ink": mass / images[0].size, "edge": edges / mass, "grey": grey / pen}


def usual(images: np.ndarray) -> dict[str, list[float]]:
    """From training images (N, 28, 28), 0 to 1: the range of each number of `look`, wider by MARGIN at both ends.

    Measured with the first 10,000 of MNIST: of its 10,000 test images one is outside, of 14 kinds of
    pictures of digits none; of pictures of noise 6 to 8 in ten are, of solid shapes 6, of
    chessboards 3. Smooth clouds and scribbles are not told from digits.
    """
    ranges = {}
    for name, values in look(images).items():
        low, high = float(values.min()), float(values.max())
        ranges[name] = [low - MARGIN * (high - low), high + MARGIN * (high - low)]
    return ranges


def unlike(image: np.ndarray, ranges: dict[str, list[float]]) -> bool:
    """Whether an image (28, 28), 0 to 1, is outside what was `usual` in training."""
    return any(not ranges[name][0] <= values[0] <= ranges[name][1] for name, values in look(image[None]).items())


def read_picture(path: str | Path) -> np.ndarray:
    """A picture file as float (H, W, C) from 0 to 1, upright, with its longer side at most WORKING pixels.

    C is 3, or 4 with the transparency. Raises DataError for a file that is missing, damaged, too large, or neither PNG
    nor JPEG.
    """
    from PIL import Image, ImageOps

    try:
        with open_regular(path) as file, Image.open(file, formats=["PNG", "JPEG"]) as picture:
            width, height = picture.size
            if width * height > LARGEST:  # known from the header: nothing has been unpacked
                raise DataError(f"{path}: {width} x {height} pixels are too many: {LARGEST:,} at most")
            picture.draft("RGB", (2 * WORKING, 2 * WORKING))  # JPEG can be read at a part of its size
            upright = ImageOps.exif_transpose(picture)
            if upright.mode[0] == "I":  # 16 bits: Pillow would cut off what is above 255
                grey = np.asarray(upright, np.float32) / 65535
                image = Image.fromarray(np.uint8(255 * grey.clip(0, 1))).convert("RGB")
            else:
                transparent = "A" in upright.mode or "transparency" in upright.info
                image = upright.convert("RGBA" if transparent else "RGB")
            image.thumbnail((WORKING, WORKING), Image.Resampling.BOX)
            return np.asarray(image, np.float32) / 255
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except Exception as e:  # a damaged picture makes Pillow raise almost anything
        reason = getattr(e, "strerror", None) or str(e).partition("\n")[0] or type(e).__name__
        raise DataError(f"{path}: not a PNG or JPEG picture that can be read ({reason})") from None


def ink_of(picture: np.ndarray, name: str = "picture") -> np.ndarray:
    """How much of the pen is at each place of a picture (H, W, C): (h, w) from 0 to 1, cut to the digit.

    The paper is what the edges of the picture show, a smooth surface: shade and light falling across it do not matter.
    Ink is the difference from it in the colour where that is largest, so dark on light and light on dark, and any two
    colours, are the same. Raises DataError if no pen can be told from the paper.
    """
    if picture.shape[2] == 4:
        alpha = picture[:, :, 3:]
        over = [picture[:, :, :3] * alpha + paper * (1 - alpha) for paper in (1.0, 0.0)]
        # drawn on nothing: on the one of white and black paper that shows more of it
        picture = max(over, key=lambda p: float(p.std(axis=(0, 1)).max()))
    ink = np.abs(picture - _paper(picture)).max(axis=2)
    threshold = _otsu(ink)
    pen = ink > threshold
    if not pen.any() or pen.all() or (strong := float(ink[pen].mean())) - float(ink[~pen].mean()) < FAINTEST:
        raise DataError(f"{name}: no digit is to be seen: the picture is blank, or too faint")
    rows, cols = np.nonzero(ndimage.binary_dilation(_digit(pen), iterations=2) & (ink > 0.3 * threshold))
    box = slice(rows.min(), rows.max() + 1), slice(cols.min(), cols.max() + 1)
    near = ndimage.binary_dilation(_digit(pen), iterations=max(2, min(pen.shape) // 100))[box]
    weak = float(np.median(ink[~pen]))
    return np.clip((ink[box] - weak) / max(strong - weak, 1e-6), 0, 1) * near


def centre(ink: np.ndarray) -> np.ndarray:
    """Ink (h, w), cut to the digit, scaled to fit 20 x 20 and laid into uint8 (28, 28) with its mass in the middle."""
    from PIL import Image

    scale = BOX / max(ink.shape)
    width = 4 * float(ndimage.distance_transform_edt(np.pad(ink > 0.5, 1))[1:-1, 1:-1][ink > 0.5].mean())
    if width * scale < THINNEST:  # a fine pen on a large sheet would fade away
        radius = round((THINNEST / scale - width) / 2)
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
    """The picture without its pen: in every colour a surface of second degree, fitted to what lies close to it."""
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
    """The threshold that parts the values into the two groups that differ most. Source: N. Otsu, IEEE SMC 9 (1979)."""
    counts, edges = np.histogram(ink, 256)
    middle = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * middle)
    with np.errstate(invalid="ignore", divide="ignore"):
        between = below * above * (total / below - (total[-1] - total) / above) ** 2
    return float(edges[1:][np.nan_to_num(between).argmax()])


def _digit(pen: np.ndarray) -> np.ndarray:
    """Of all that is dark, the digit: the largest piece and those that are not specks beside it.

    Pieces at the picture's edge, such as the end of the sheet, do not count if there is a fair one inside.
    """
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
