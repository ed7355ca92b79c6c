"""`python -m scratchnet.filters`: what convolution, ReLU and pooling do to a picture.

The layers are the same as in networks, but the weights of the kernel are given instead
of learned.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

from scratchnet.cli import guard, known, parse
from scratchnet.engine.layers import AvgPool2d, Conv2d, MaxPool2d, MedianPool2d, MinPool2d, ReLU, Sequential
from scratchnet.engine.layers.base import shape_text
from scratchnet.errors import DataError, SettingError
from scratchnet.files.reading import open_regular

#: 3 x 3 kernels by name. Convolution does not turn the kernel over here: each is drawn
#: as it is laid on the picture.
KERNELS = {
    "identity": ((0, 0, 0), (0, 1, 0), (0, 0, 0)),
    "box": ((1 / 9,) * 3,) * 3,
    "gauss": ((1 / 16, 2 / 16, 1 / 16), (2 / 16, 4 / 16, 2 / 16), (1 / 16, 2 / 16, 1 / 16)),
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "emboss": ((-2, -1, 0), (-1, 1, 1), (0, 1, 2)),
    "laplace": ((0, 1, 0), (1, -4, 1), (0, 1, 0)),
    "prewitt": ((-1, 0, 1), (-1, 0, 1), (-1, 0, 1)),
    "sobel": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "kirsch": ((-3, -3, 5), (-3, 0, 5), (-3, -3, 5)),
}
RING = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))  # the outer weights, clockwise
LARGEST = 800  # pixels per side
POOLS = {"maximum": MaxPool2d, "average": AvgPool2d, "median": MedianPool2d, "minimum": MinPool2d}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Apply a 3 x 3 kernel, ReLU and pooling to a picture, and draw every step.

    Kernels: identity, box and gauss blur; sharpen; emboss; laplace, prewitt, sobel and
    kirsch find edges. The last three find edges towards one side, which is the right
    unless you say --turn.
    """

    image: Annotated[Path | None, tyro.conf.Positional] = None
    """A picture that Pillow reads, turned to grey; without one, a built-in picture."""
    kernel: str = "kirsch"
    """identity, box, gauss, sharpen, emboss, laplace, prewitt, sobel or kirsch."""
    turn: int = 0
    """Turn the kernel clockwise by this many eighths of a circle."""
    pool: int = 2
    """Size of the pooling window."""
    numbers: bool = False
    """Draw nothing: work out a small example with the sharpening kernel in numbers."""
    out: Path | None = None
    """The PNG file to write; by default NAME-KERNEL.png in the current folder."""


def kernel_of(name: str, turn: int = 0) -> np.ndarray:
    """The 3 x 3 kernel of this name, turned clockwise by `turn` eighths of a circle.

    Raises SettingError.
    """
    K = np.array(KERNELS[known(name, list(KERNELS), "kernel")], float)
    ring = [K[place] for place in RING]
    for k, place in enumerate(RING):
        K[place] = ring[(k - turn) % len(RING)]
    return K


def read_grey(path: Path) -> np.ndarray:
    """A picture as grey values (H, W) from 0 to 1, no larger than LARGEST.

    Raises DataError.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with open_regular(path) as file, Image.open(file) as image:
            image.draft("L", (LARGEST, LARGEST))
            grey = image.convert("L")
            grey.thumbnail((LARGEST, LARGEST))
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a picture that can be read; give a PNG or JPEG") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as e:
        raise DataError(f"{path}: the picture cannot be read: {e}") from None
    return np.asarray(grey, np.float32) / 255


def steps_of(image: np.ndarray, K: np.ndarray, pool: int) -> list[tuple[str, np.ndarray]]:
    """(layer, result (H, W)) for the picture itself and after every layer.

    Raises ShapeError if the picture is too small.
    """
    net = Sequential(Conv2d(1, 1, 3, bias=False), ReLU(), MaxPool2d(pool))
    net.load_state_dict({"0.weight": K[None, None]})
    net.shapes_from((1, *image.shape))
    a, steps = image[None, :, :, None], [("picture", image)]
    for layer in net.layers:
        a, _ = layer.forward(a.copy())
        steps.append((str(layer), a[0, :, :, 0]))
    return steps


def pools_of(a: np.ndarray, pool: int) -> list[tuple[str, np.ndarray]]:
    """(name, result): a map (H, W) made smaller in each of the four ways."""
    columns = np.ascontiguousarray(a)[None, :, :, None]
    return [(name, kind(pool).forward(columns.copy())[0][0, :, :, 0]) for name, kind in POOLS.items()]


def built_in(height: int = 120, width: int = 160) -> np.ndarray:
    """A picture to filter (H, W), from 0 to 1: a house, a hill, a fence and the sun."""
    y, x = np.mgrid[0:height, 0:width] / height
    picture = 0.85 - 0.25 * y  # the sky, darker below
    picture[y > 0.72 + 0.06 * np.sin(4 * x)] = 0.35  # a hill
    picture[(x - 1.08) ** 2 + (y - 0.2) ** 2 < 0.011] = 1.0  # the sun
    picture[(abs(x - 0.45) < 0.22) & (y > 0.48) & (y < 0.84)] = 0.62  # a house
    picture[(abs(x - 0.45) < 0.9 * (y - 0.2)) & (y < 0.48)] = 0.2  # its roof
    picture[(abs(x - 0.36) < 0.05) & (abs(y - 0.6) < 0.05)] = 0.05  # a window
    picture[(abs(x - 0.53) < 0.045) & (y > 0.6) & (y < 0.84)] = 0.12  # the door
    picture[(y > 0.66) & (y < 0.86) & (x > 0.82) & (np.floor(x * 60) % 4 == 0)] = 0.95  # a fence
    return picture.astype(np.float32)


def draw(steps: Sequence[tuple[str, np.ndarray]], K: np.ndarray, name: str, pool: int, path: Path) -> None:
    """Draw the picture, the kernel, the output of each layer, and the four pools."""
    from scratchnet.plots.style import GREY, INK, new_figure, save

    (_, image), (_, z), (_, a), _ = steps
    ratio = image.shape[0] / image.shape[1]
    width = 3.2 if ratio < 1.2 else 2.4  # inches per panel
    subtitle = (
        "The kernel slides over the picture; ReLU keeps what fits it; pooling makes one number of each window of "
        f"{pool} x {pool}"
    )
    fig = new_figure(f"A {name} kernel, ReLU and pooling", subtitle,
                     4 * width + 0.6, 2 * max(width * ratio, 1.6) + 2.2)  # fmt: skip
    axes = fig.subplots(2, 4)
    limit, most = float(np.abs(z).max()) or 1.0, max(float(a.max()), 1e-12)
    grey = {"cmap": "gray", "vmin": 0, "vmax": most}
    shown = [(axes[0, 0], image, "picture", {"cmap": "gray", "vmin": 0, "vmax": 1}),
             (axes[0, 2], z, "convolution (red: fits)", {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}),
             (axes[0, 3], a, "ReLU", grey),
             *((ax, values, f"{kind} pooling", grey)
               for ax, (kind, values) in zip(axes[1], pools_of(a, pool), strict=True))]  # fmt: skip
    for ax, values, title, options in shown:
        ax.imshow(values, interpolation="nearest", **options)
        ax.set_title(title, size=11, color=INK, loc="left")
        ax.set_xlabel(f"{values.shape[0]} x {values.shape[1]}", size=9.5, color=GREY)
    ax, largest = axes[0, 1], np.abs(K).max()
    ax.imshow(K, cmap="RdBu_r", vmin=-1.6 * largest, vmax=1.6 * largest)
    for i, j in np.ndindex(K.shape):
        ax.text(j, i, f"{K[i, j]:.3g}".lstrip("0") or "0", ha="center", va="center", size=11, color=INK)
    ax.set_title("kernel", size=11, color=INK, loc="left")
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    save(fig, path)


#: The corner of a picture, as bytes. Beyond its edge the padding is 0
PIXELS = ((105, 102, 100, 97), (103, 99, 103, 101), (101, 98, 104, 102), (99, 101, 106, 104))
PLACE = (1, 0)  # the row and column of the result that is worked out


def worked() -> str:
    """A convolution, ReLU and the four pools in numbers, every one of them computed."""
    image, K = np.array(PIXELS, float), kernel_of("sharpen")
    net = Sequential(Conv2d(1, 1, 3, padding=1, bias=False), ReLU(), dtype="float64")
    net.load_state_dict({"0.weight": K[None, None]})
    a = net(image[None, None])[0, 0]
    z = net.layers[0].forward(image[None, :, :, None])[0][0, :, :, 0]
    row, column = PLACE
    window = np.pad(image, 1)[row : row + 3, column : column + 3]
    products = window * K
    summands = " ".join(f"{'+' if v > 0 else '-'} {abs(v):.0f}" for v in products.flat if v).removeprefix("+ ")
    lines = ["A picture of 4 x 4 pixels:", "", *_grid(image), "",
             f"The kernel `sharpen`, centred on the {image[PLACE]:.0f} in row {row + 1}, column {column + 1}.",
             "Left of the picture there is nothing, so zeros are added (padding=1).", "",
             "    pixels below it            kernel                  products", ""]  # fmt: skip
    for one in zip(_grid(window), _grid(K), _grid(products), strict=True):
        lines.append("     ".join(one))
    lines += ["", f"Their sum: {summands} = {products.sum():.0f}", "",
              "The same at every place, by the layer Conv2d(1, 1, 3, padding=1, bias=False):", "", *_grid(z), "",
              f"ReLU makes what is below 0 a 0; here that is {(z < 0).sum()} of {z.size}:", "", *_grid(a), "",
              "Pooling makes one number of each window of 2 x 2:", ""]  # fmt: skip
    pools = pools_of(a, 2)
    lines.append("".join(f"  {name:<14}" for name, _ in pools).rstrip())
    for cells in zip(*(_grid(values) for _, values in pools), strict=True):
        lines.append("".join(f"{text:<16}" for text in cells).rstrip())
    return "\n".join(lines)


def _grid(values: np.ndarray) -> list[str]:
    """The rows of a matrix, in columns."""
    return ["".join(f"{v:>7.6g}" for v in row) for row in values + 0.0]  # no -0


def main(args: Sequence[str]) -> int:
    o = parse(Options, args, "python -m scratchnet.filters")
    K = kernel_of(o.kernel, o.turn)
    if o.numbers:
        if (o.image, o.kernel, o.turn, o.pool, o.out) != (None, "kirsch", 0, 2, None):
            raise SettingError("--numbers works out an example of its own: give no other option beside it")
        print(worked())
        return 0
    if o.pool < 1:
        raise SettingError(f"--pool must be a number from 1, not {o.pool}")
    steps = steps_of(built_in() if o.image is None else read_grey(o.image), K, o.pool)
    out = o.out or Path(f"{'house' if o.image is None else o.image.stem}-{o.kernel}.png")
    draw(steps, K, o.kernel, o.pool, out)
    pools = [(f"{kind.__name__}({o.pool})", values)
             for kind, (_, values) in zip(POOLS.values(), pools_of(steps[2][1], o.pool), strict=True)]  # fmt: skip
    for name, values in (*steps[:-1], *pools):
        low, high = float(values.min()), float(values.max())
        print(f"{name:<28} {shape_text((1, *values.shape)):<20} values from {low:.3f} to {high:.3f}")
    print(f"drawn in {out}")
    return 0


if __name__ == "__main__":
    guard(main)
