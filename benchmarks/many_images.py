"""How much time and memory a folder of very many pictures takes.

    python benchmarks/many_images.py --images 100000
    python benchmarks/many_images.py --images 100000 --size 64 --epochs 1

Digits that this project draws itself, each in two random colours, are written to a
folder as PNG files of 28 x 28 pixels. Then `train images` is run on them in a process
of its own, whose accuracy, seconds and largest memory are printed.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that the file can be run as it is

from scratchnet.cli import guard, parse
from scratchnet.data.digits import load_digits

PIECE = 10_000  # digits that are drawn at a time


@dataclass(frozen=True)
class Options:
    """Train on a folder of so many drawn digits, and say what it takes."""

    images: int = 100_000
    """How many pictures."""
    epochs: int = 5
    """Passages through all of them."""
    size: int = 0
    """Pixels of a side that they are brought to; 0: as they are, 28."""
    folder: Path | None = None
    """Where to draw them, or where they have been drawn (default: a temporary one)."""


def draw(folder: Path, n: int) -> None:
    """Write n coloured digits, a sub-folder for each class."""
    rng = np.random.default_rng(0)
    for k in range(10):
        (folder / str(k)).mkdir(parents=True, exist_ok=True)
    for first in range(0, n, PIECE):
        drawn = load_digits(1000 + first // PIECE, train=PIECE * 99 // 100, test=PIECE // 100)
        images = np.concatenate([drawn.train_images, drawn.test_images])[: n - first]
        labels = np.concatenate([drawn.train_labels, drawn.test_labels])[: n - first]
        for k, (image, label) in enumerate(zip(images, labels, strict=True), first):
            pen, paper = rng.integers(150, 256, 3), rng.integers(0, 100, 3)
            ink = image[..., None] / 255
            picture = Image.fromarray(np.uint8(ink * pen + (1 - ink) * paper))
            picture.save(folder / str(label) / f"{k:06d}.png", compress_level=1)


def main(args: list[str]) -> int:
    o = parse(Options, args, "python benchmarks/many_images.py")
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = o.folder or Path(temporary, "pictures"), Path(temporary, "run")
        if not folder.exists():
            draw(folder, o.images)
        command = [sys.executable, "-m", "scratchnet.train", "images", "--folder", str(folder), "--out", str(out),
                   "--epochs", str(o.epochs), "--size", str(o.size)]  # fmt: skip
        begun = time.perf_counter()
        done = subprocess.run(command, stdout=subprocess.DEVNULL)
        elapsed, used = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            return done.returncode
        metrics = json.loads((out / "metrics.json").read_text())
        side = metrics["size"]
        print(f"{o.images:,} pictures, brought to {side} x {side}, {o.epochs} epochs: {elapsed:.0f} s "
              f"({used.ru_utime + used.ru_stime:.0f} s of processor time), {used.ru_maxrss / 1024:.0f} MB at most, "
              f"test accuracy {metrics['test_accuracy']:.2%}")  # fmt: skip
    return 0


if __name__ == "__main__":
    guard(main)
