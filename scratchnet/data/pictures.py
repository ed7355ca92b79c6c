"""Pictures of any kind that Pillow reads, upright and in bytes from 0 to 255.

Letters: C colours, 1 or 3; S pixels of a side.

However a picture was stored, with a turn that only its EXIF data tell, transparent,
with a palette or with 16 bits a colour, what comes out is what a person would see.
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from scratchnet.errors import DataError
from scratchnet.files.reading import open_regular

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 64_000_000  # pixels of a picture; phones take at most about 50 million
MAX_BYTES = 1 << 28  # of a file
#: Formats of Pillow's that are no pictures without another program, or none at all
NOT_READ = {"EPS", "WMF", "MPEG", "BUFR", "GRIB", "HDF5"}
GREY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


class NoPicture(DataError):
    """A file whose content is no picture at all, damaged or whole."""


def formats() -> list[str]:
    """The names of the formats that are read."""
    from PIL import Image

    Image.init()
    return [name for name in Image.ID if name not in NOT_READ]


def suffixes() -> set[str]:
    """The endings of the names of such files, in lower case, such as .png."""
    from PIL import Image

    known = set(formats())
    return {suffix for suffix, name in Image.registered_extensions().items() if name in known}


def read_bytes(path: Path) -> bytes:
    """The content of a file. Raises DataError."""
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror}") from None
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}: larger than {MAX_BYTES} bytes: too large for a picture")
    return content


def upright(content: bytes, name: str, side: int, kinds: list[str] | tuple[str, ...] | None = None) -> "Image":
    """The picture in these bytes, as RGB, or as RGBA where it is transparent.

    A JPEG may come at reduced size, but at least `side` pixels wide and high. Raises
    DataError, which is NoPicture if no format knows the bytes.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(content), formats=formats() if kinds is None else kinds) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:  # known from the header, before anything is unpacked
                raise DataError(f"{name}: {width} x {height} pixels are too many: {MAX_PIXELS:,} at most")
            picture.draft("RGB", (side, side))
            return _colours(ImageOps.exif_transpose(picture))
    except DataError:
        raise
    except Exception as e:  # a damaged picture makes Pillow raise almost anything
        reason = getattr(e, "strerror", None) or str(e).partition("\n")[0] or type(e).__name__
        known = "picture" if kinds is None else f"{' or '.join(kinds)} picture"
        kind = NoPicture if isinstance(e, UnidentifiedImageError) else DataError
        if isinstance(e, UnidentifiedImageError):
            reason = "its content is of no known format"
        raise kind(f"{name}: not a {known} that can be read ({reason})") from None


def _colours(picture: "Image") -> "Image":
    """The same picture with 8 bits a colour."""
    from PIL import Image

    if picture.mode[0] in "IF":  # 16 bits or more: Pillow would clip everything above 255
        values = np.nan_to_num(np.asarray(picture, np.float32))
        most = float(values.max(initial=0.0))
        full = 65535.0 if picture.mode[0] == "I" else 1.0 if most <= 1 else max(255.0, most)
        return Image.fromarray(np.uint8(255 * (values / full).clip(0, 1))).convert("RGB")
    transparent = "A" in picture.mode or "transparency" in picture.info
    return picture.convert("RGBA" if transparent else "RGB")


def header(content: bytes) -> tuple[int, int, bool]:
    """(width, height, whether it is grey) of a picture, without reading its pixels.

    Raises whatever Pillow raises.
    """
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=formats()) as picture:
        return *picture.size, picture.mode in GREY_MODES


def square(content: bytes, name: str, side: int, grey: bool) -> np.ndarray:
    """The whole picture, squeezed into a square: bytes (C, S, S). Raises DataError.

    Transparent places are white.
    """
    from PIL import Image

    picture = upright(content, name, 2 * side)
    if picture.mode == "RGBA":
        paper = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(paper, picture)
    picture = picture.convert("L" if grey else "RGB")
    if picture.size != (side, side):
        picture = picture.resize((side, side), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    return pixels[None] if grey else np.ascontiguousarray(np.moveaxis(pixels, -1, 0))


DEGREES = 10.0  # that pictures are turned by, to have more of them


def turned(images: np.ndarray, degrees: float) -> np.ndarray:
    """Images (N, ..., H, W), turned about their centre with bilinear interpolation.

    Pixels that come in at the corners repeat the edge. Source: T. Rashid, Make Your Own
    Neural Network (2016), part 3, "Creating new training data: rotations".
    """
    from scipy import ndimage

    return ndimage.rotate(images, degrees, axes=(-2, -1), reshape=False, order=1, mode="nearest")
