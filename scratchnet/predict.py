"""`python -m scratchnet.predict MODEL IMAGE...`: ask a network about your own pictures.

They are drawn digits, or whole pictures, as the network was trained; or ask about a
text, if it was trained on texts.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from scratchnet.cli import guard, parse, printable
from scratchnet.data.folders import pictures_in
from scratchnet.data.handwriting import read_drawing, unlike
from scratchnet.data.model_inputs import (
    as_inputs,
    classes_of,
    image_input,
    probabilities,
    text_input,
    usual_of,
)
from scratchnet.data.whole import Whole, whole_input
from scratchnet.engine.layers import Sequential
from scratchnet.errors import SettingError
from scratchnet.models.network import load

SHADES = " .:-=+*#%@"  # from paper to pen
PROG = "python -m scratchnet.predict"
PIECE = 100  # pictures at a time
MOST_DRAWN = 120  # pictures of --out


@dataclass(frozen=True)
class Options:
    """Say what your own pictures show.

    Each digit is found, whatever its size and colours, and made to look like those of
    MNIST. A model of the studies images and cifar10 is shown the whole picture. With
    --text, say who wrote a text (a model of the study tweets), or whether it is praise
    or blame (sentiment).
    """

    model: tyro.conf.Positional[Path]
    """A run, such as runs/mnist-default, or its model.safetensors."""
    images: tyro.conf.Positional[tuple[Path, ...]]
    """Picture files, or folders of them; for digits PNG or JPEG, one digit in each."""
    text: str | None = None
    """Instead of images: judge this text."""
    json: bool = False
    """Print a JSON list of {"file" (or "text"), "label", "probabilities", "notes"}."""
    show: bool = False
    """Draw in the terminal the pixels that the network saw of each picture."""
    out: Path | None = None
    """Write a PNG file with what the network saw of each picture, 120 at most."""


def predict_images(
    net: Sequential, paths: Sequence[Path], whole: Whole | None = None
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """The images as the network sees them, and a dictionary for each.

    They are digits (N, 28, 28), or `whole` pictures (N, C, S, S). Raises DataError and
    CheckpointError.
    """
    if whole is not None:
        pictures = np.stack([whole.read(path) for path in paths])
        return pictures, verdicts(net, whole.inputs(pictures).astype(net.dtype), [str(path) for path in paths])
    drawings = [read_drawing(path) for path in paths]
    images = np.stack([image for image, _ in drawings])
    found = verdicts(net, as_inputs(net, images), [str(path) for path in paths])
    ranges = usual_of(net)
    for verdict, (image, two) in zip(found, drawings, strict=True):
        if two:
            verdict["notes"].append("two separate blots: if they are two digits, give each a picture of its own")
        if ranges and unlike(image / np.float32(255), ranges):
            verdict["notes"].append("unlike the images that the network was trained on: the answer means little")
    return images, found


def predict_text(net: Sequential, text: str) -> list[dict[str, Any]]:
    """A dictionary for the text. Raises what `text_input` raises."""
    return verdicts(net, text_input(net, text), [text], "text")


def verdicts(net: Sequential, x: Any, sources: Sequence[str], kind: str = "file") -> list[dict[str, Any]]:
    """For each input: its source, label, probabilities, and notes on doubts."""
    # one at a time, so that memory does not grow with their number
    p = np.concatenate([probabilities(net, x[k : k + 1]) for k in range(len(sources))])
    names = classes_of(net, p.shape[1])
    return [
        {
            kind: source,
            "label": names[int(row.argmax())],
            "probabilities": dict(zip(names, map(float, row), strict=True)),
            "notes": ["not sure: no class has half of the probability"] if row.max() < 0.5 else [],
        }
        for source, row in zip(sources, p, strict=True)
    ]


def line(verdict: dict[str, Any]) -> str:
    """One verdict to read: label, certainty, likely alternatives, and notes."""
    ranked = sorted(verdict["probabilities"].items(), key=lambda item: -item[1])
    rest = [f"{name} {p:.1%}" for name, p in ranked[1:4] if p >= 0.001]
    also = f"   then {', '.join(rest)}" if rest else ""
    source = f"{verdict['file']}: " if "file" in verdict else ""
    notes = "".join(f"   ({note})" for note in verdict["notes"])
    return f"{source}{ranked[0][0]}  {ranked[0][1]:.1%}{also}{notes}"


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, PROG)
    if not options.images and options.text is None:
        raise SettingError(f"no image is given: {PROG} MODEL IMAGE...")
    if options.text is not None and (options.images or options.show or options.out):
        raise SettingError("--text stands alone: give no images, --show or --out beside it")
    if options.json and options.show:
        raise SettingError("--show draws among the lines to read: leave out --json, or give --out a PNG file")
    net = load(options.model)
    if options.text is not None:
        say(predict_text(net, options.text), options)
        return 0
    whole = whole_input(net)
    if whole is None:
        image_input(net)
    paths = [path for given in options.images for path in (pictures_in(given) if given.is_dir() else [given])]
    shown: list[tuple[np.ndarray, dict[str, Any]]] = []  # for --out
    found = []
    for k in range(0, len(paths), PIECE):
        images, verdicts = predict_images(net, paths[k : k + PIECE], whole)
        if not options.json:
            say(verdicts, options, images)
        found += verdicts
        shown += zip(images[: MOST_DRAWN - len(shown)], verdicts, strict=False)
    if options.json:
        say(found, options)
    if options.out is not None:
        picture(shown, options.out, options.model)
    return 0


def say(found: list[dict[str, Any]], options: Options, images: np.ndarray | None = None) -> None:
    """Print the verdicts, as lines or as JSON."""
    if options.json:
        print(json.dumps(found, indent=2, allow_nan=False))
        return
    for k, verdict in enumerate(found):
        print(printable(line(verdict)))
        if options.show and images is not None:
            print(drawn(images[k]))


def drawn(image: np.ndarray) -> str:
    """Bytes (S, S) or (C, S, S) in characters that every terminal has.

    Empty rows are left out. A pixel is two characters wide, since characters are tall.
    """
    image = image if image.ndim == 2 else image.mean(axis=0)
    rows = np.flatnonzero(image.any(axis=1))
    shades = image[rows[0] : rows[-1] + 1].astype(int) * len(SHADES) // 256 if len(rows) else image[:0]
    return "\n".join("  " + "".join(2 * SHADES[v] for v in row).rstrip() for row in shades)


def picture(shown: Sequence[tuple[np.ndarray, dict[str, Any]]], path: Path, model: Path) -> None:
    """Draw the pixels that the network saw of each picture, and its answer."""
    from scratchnet.plots import studies as plots
    from scratchnet.plots.style import save

    captions = [
        printable(f"{v['label']} ({v['probabilities'][v['label']]:.1%}), {Path(v['file']).name[-24:]}")
        for _, v in shown
    ]
    H, W = shown[0][0].shape[-2:]
    about = f"{H} x {W} pixels each; judged by {model.name}"
    save(plots.image_grid([image for image, _ in shown], captions, "What the network saw", about), path)


if __name__ == "__main__":
    guard(main)
