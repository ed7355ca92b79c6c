"""`python -m scratchnet.pictures`: pictures that explain, drawn by the engine."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from scratchnet.cli import guard, known, parse
from scratchnet.errors import SettingError

#: What there is to draw, in the order in which a reader meets it
NAMES = ("perceptron", "valley", "network", "lstm", "learning")
ENDINGS = ("png", "svg")


@dataclass(frozen=True)
class Options:
    """Draw the pictures of the story, each computed by the engine; all, or those named.

    perceptron: a step against a sigmoid, and what a small change of a weight does.

    valley: descent with learning rates too small, right and too large.

    network: a network for digits as a diagram.

    lstm: the LSTM cell with the numbers of a real step.

    learning: how a network learns: its weights and answers over time, loss, accuracy.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Which: perceptron, valley, network, lstm, learning; without one, all."""
    out: Path = Path("pictures")
    """The folder to draw into; it is made where there is none."""
    format: str = "png"
    """png, or svg for slides and print."""


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "python -m scratchnet.pictures")
    names = [known(name, NAMES, "picture") for name in options.names] or list(NAMES)
    if options.format not in ENDINGS:
        raise SettingError(f"--format must be {' or '.join(ENDINGS)}, not '{options.format}'")
    options.out.mkdir(parents=True, exist_ok=True)
    from scratchnet.plots.story import PICTURES
    from scratchnet.plots.style import save

    for name in names:
        path = options.out / f"{name}.{options.format}"
        save(PICTURES[name](), path)
        print(f"{name}: {path}", flush=True)
    return 0


if __name__ == "__main__":
    guard(main)
