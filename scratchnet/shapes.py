"""`python -m scratchnet.shapes`: the output size of a convolution, and why it is that.

The same for transposed convolutions.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchnet.cli import guard, known, parse
from scratchnet.engine.layers import Conv2d, ConvTranspose2d
from scratchnet.engine.layers.window import Size2d
from scratchnet.errors import SettingError
from scratchnet.explaining.sliding import Case, by, describe, drawing

LARGEST_DRAWN = 40  # cells per side

HELP = """\
usage: python -m scratchnet.shapes conv|conv-transpose --size SIZE --kernel SIZE [OPTIONS]

Print the output size of a convolution or a transposed convolution, with the formula. Sizes are a number, or rows x
columns such as 6x8. `python -m scratchnet.shapes conv --help` shows the options. Try:

  python -m scratchnet.shapes conv --size 5 --kernel 2 --stride 2 --draw
  python -m scratchnet.shapes conv-transpose --size 3 --kernel 2 --stride 2 --draw --out shapes.png
"""


@dataclass(frozen=True, kw_only=True)
class Options:
    """The sizes of a convolution: numbers, or rows x columns such as 6x8."""

    size: str
    """Size of the input image."""
    kernel: str
    """Size of the window."""
    stride: str = "1"
    """How many cells the window moves from one position to the next."""
    padding: str = "0"
    """Rings of zeros around the image (conv) or cut off the output (conv-transpose)."""
    dilation: str = "1"
    """Distance in cells between neighbouring taps of the window."""
    output_padding: str = "0"
    """Additional rows and columns at the end of the output (conv-transpose only)."""
    draw: bool = False
    """Draw the grid and the positions of the window."""
    out: Path | None = None
    """Write the drawing to this PNG file."""


def sizes(text: str, option: str) -> Size2d:
    """A number, or (rows, columns), from "6" or "6x8". Raises SettingError."""
    found = re.fullmatch(r"(\d{1,4})(?:[x,](\d{1,4}))?", text.strip())
    if not found:
        raise SettingError(f"{option} must be a number, or rows x columns such as 6x8, not {text!r}")
    return int(found[1]) if found[2] in (None, found[1]) else (int(found[1]), int(found[2]))


def case_of(which: str, o: Options) -> Case:
    """The case that the options describe. Raises SettingError and ShapeError."""
    asked = sizes(o.size, "--size")
    size = asked if isinstance(asked, tuple) else (asked, asked)
    options: dict[str, Any] = {
        "kernel_size": sizes(o.kernel, "--kernel"), "stride": sizes(o.stride, "--stride"),
        "padding": sizes(o.padding, "--padding"), "dilation": sizes(o.dilation, "--dilation"),
    }  # fmt: skip
    if min(size) < 1:
        raise SettingError(f"--size must be from 1, not {o.size}")
    more = sizes(o.output_padding, "--output-padding")
    layer: Conv2d | ConvTranspose2d
    if which == "conv":
        if more != 0:
            raise SettingError("--output-padding belongs to conv-transpose: a convolution has none")
        layer = Conv2d(1, 1, **options)
    else:
        layer = ConvTranspose2d(1, 1, **options, output_padding=more)
    _, height, width = layer.output_shape((1, *size))
    return Case(layer, size, (height, width))


KINDS = ("conv", "conv-transpose")


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    which = known(args[0], KINDS, "kind of convolution")
    o = parse(Options, args[1:], f"python -m scratchnet.shapes {which}")
    case = case_of(which, o)
    if (o.draw or o.out) and max(*case.size, *case.out) > LARGEST_DRAWN:
        raise SettingError(f"--draw shows up to {LARGEST_DRAWN} cells a side, not {by(case.size)} → {by(case.out)}")
    print("\n".join([*describe(case), *(drawing(case) if o.draw else [])]))
    if o.out is not None:
        from scratchnet.plots.sliding import picture

        picture(case, o.out)
        print(f"drawn in {o.out}")
    return 0


if __name__ == "__main__":
    guard(main)
