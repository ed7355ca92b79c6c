"""`python -m scratchnet.play [MODEL]`: draw a digit, watch a network think and learn.

A page for your browser, from this machine alone, that runs the real engine.
"""

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from scratchnet.cli import guard, parse
from scratchnet.errors import SettingError

if TYPE_CHECKING:
    from scratchnet.playing.taught import Model

PROG = "python -m scratchnet.play"


@dataclass(frozen=True)
class Options:
    """Draw a digit in your browser, and watch a network think and learn.

    The page comes from this machine alone and loads nothing from elsewhere.
    """

    model: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")] = None
    """A model file for pictures of 28 x 28; without one, a small network is trained."""
    port: int = 0
    """Port on 127.0.0.1; 0 takes a free one."""
    browser: bool = True
    """Open the page in your browser; --no-browser only prints its address."""


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, PROG)
    if not 0 <= options.port < 65536:
        raise SettingError(f"--port must be from 0 to 65535, not {options.port}")
    from scratchnet.playing.digits import Digits
    from scratchnet.playing.plane import Plane
    from scratchnet.playing.remembering import Remembering
    from scratchnet.playing.server import Server
    from scratchnet.playing.sessions import Sessions
    from scratchnet.playing.taught import Model, find_pictures, quick_model

    pictures = find_pictures()
    model = opened(options.model) if options.model else quick_model("dense", pictures)
    print(model.about, flush=True)

    @cache
    def convolution() -> Model:
        return quick_model("convolution", pictures)

    rate, optimiser = (0.01, "sgd") if options.model else (0.5, "sgd")
    views = {
        "digits": lambda: Digits(model, pictures, rate, optimiser),
        "plane": Plane,
        "sequence": Remembering,
        "convolution": lambda: Digits(convolution(), pictures, 0.003, "adam"),
    }
    try:
        server = Server(Sessions(views), options.port)
    except OSError as e:
        raise SettingError(f"--port {options.port} cannot be used: {e.strerror or e}") from None
    with contextlib.closing(server.socket):
        try:
            print(f"Open {server.url}\nCtrl-C ends it.", flush=True)
            if options.browser:
                threading.Thread(target=_open, args=(server.url,), daemon=True).start()
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            print("ended")
    return 0


def opened(path: Path) -> "Model":
    """The network in a model file. Raises CheckpointError if it takes no digits."""
    from scratchnet.data.model_inputs import classes_of, image_input
    from scratchnet.models.network import load
    from scratchnet.playing.taught import Model

    net = load(path)
    shape, scale, shift = image_input(net)
    classes = classes_of(net, net.shapes_from(shape)[-1][0])
    return Model(net, shape, scale, shift, tuple(classes), f"The network of {path.name}")


def _open(url: str) -> None:
    import webbrowser

    webbrowser.open(url)


if __name__ == "__main__":
    guard(main)
