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
from scratchnet.engine.layers import Conv2d, MaxPool2d, ReLU, Sequential
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


@dataclass(frozen=True, kw_only=True)
class Options:
    """Apply a 3 x 3 kernel, ReLU and max-pooling to a picture, and draw every step.

    Kernels: identity, box and gauss blur; sharpen; emboss; laplace, prewitt, sobel and
    kirsch find edges. The last three find edges towards one side, which is the right
    unless you say --turn.
    """

    image: Annotated[Path, tyro.conf.Positional]
    """The picture: PNG, JPEG or whatever else Pillow reads. It is turned to grey."""
    kernel: str = "kirsch"
    """identity, box, gauss, sharpen, emboss, laplace, prewitt, sobel or kirsch."""
    turn: int = 0
    """Turn the kernel clockwise by this many eighths of a circle."""
    pool: int = 2
    """Size of the pooling window."""
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


def draw(steps: Sequence[tuple[str, np.ndarray]], K: np.ndarray, name: str, path: Path) -> None:
    """Draw the picture, the kernel and the output of each layer side by side."""
    from scratchnet.plots.style import GREY, INK, new_figure, save

    (_, image), (_, z), (_, a), (pooling, pooled) = steps
    ratio = image.shape[0] / image.shape[1]
    width = 3.4 if ratio < 1.2 else 2.6  # inches per panel
    subtitle = "The kernel slides over the picture; ReLU keeps what fits it; pooling keeps the best of each window"
    fig = new_figure(f"A {name} kernel, ReLU and max-pooling", subtitle,
                     4 * width + 2.2, max(width * ratio, 2.2) + 1.6)  # fmt: skip
    axes = fig.subplots(1, 5, width_ratios=(width, 1.8, width, width, width))
    limit = float(np.abs(z).max()) or 1.0
    shown = [(axes[0], image, "picture", {"cmap": "gray", "vmin": 0, "vmax": 1}),
             (axes[2], z, "convolution (red: fits)", {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}),
             (axes[3], a, "ReLU", {"cmap": "gray", "vmin": 0, "vmax": max(float(a.max()), 1e-12)}),
             (axes[4], pooled, pooling, {"cmap": "gray", "vmin": 0, "vmax": max(float(a.max()), 1e-12)})]  # fmt: skip
    for ax, values, title, options in shown:
        ax.imshow(values, interpolation="nearest", **options)
        ax.set_title(title, size=11, color=INK, loc="left")
        ax.set_xlabel(f"{values.shape[0]} x {values.shape[1]}", size=9.5, color=GREY)
        ax.set(xticks=[], yticks=[])
    ax, largest = axes[1], np.abs(K).max()
    ax.imshow(K, cmap="RdBu_r", vmin=-1.6 * largest, vmax=1.6 * largest)
    for i, j in np.ndindex(K.shape):
        ax.text(j, i, f"{K[i, j]:.3g}".lstrip("0") or "0", ha="center", va="center", size=11, color=INK)
    ax.set_title("kernel", size=11, color=INK, loc="left")
    ax.set(xticks=[], yticks=[])
    for ax in axes:
        ax.spines[:].set_visible(False)
    save(fig, path)


def main(args: Sequence[str]) -> int:
    o = parse(Options, args, "python -m scratchnet.filters")
    K = kernel_of(o.kernel, o.turn)
    if o.pool < 1:
        raise SettingError(f"--pool must be a number from 1, not {o.pool}")
    steps = steps_of(read_grey(o.image), K, o.pool)
    out = o.out or Path(f"{o.image.stem}-{o.kernel}.png")
    draw(steps, K, o.kernel, out)
    for name, values in steps:
        low, high = float(values.min()), float(values.max())
        print(f"{name:<28} {shape_text((1, *values.shape)):<20} values from {low:.3f} to {high:.3f}")
    print(f"drawn in {out}")
    return 0


if __name__ == "__main__":
    guard(main)
