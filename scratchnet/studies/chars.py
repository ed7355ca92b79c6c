"""Text, one character after the other: an LSTM learns to predict and to write.

Letters: V different characters, N streams read side by side, T characters per step. The
text is cut into N streams. Every step reads the next T characters of each stream and
carries the LSTM's state on to the next step, so the network remembers further back than
the T characters that the gradient reaches (truncated backpropagation through time).

Source: A. Graves, Generating sequences with recurrent neural networks, arXiv:1308.0850
(2013), section 3; the loop follows A. Karpathy, The unreasonable effectiveness of
recurrent neural networks (2015).
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from scratchnet import data
from scratchnet.backend.arrays import to_numpy
from scratchnet.engine.layers import LSTM, Linear, Sequential
from scratchnet.engine.layers.activation import softmax
from scratchnet.engine.losses import CrossEntropyLoss, Loss
from scratchnet.engine.sequences import TruncatedSteps, run_with_state
from scratchnet.errors import DataError, SettingError
from scratchnet.files.reading import open_regular
from scratchnet.runs.identity import digests
from scratchnet.runs.options import CommonOptions, need
from scratchnet.runs.run import Run

MAX_CHARACTERS = 1_000  # what has more different characters than this is not a text


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Train an LSTM to continue a text, character by character, and let it write.

    The presets:

    small: for a text of some kilobytes, such as the 28 sonnets by Shakespeare that are
    learnt without --text; there it is the default. It takes many steps on few streams,
    and was chosen by the loss on the last tenth of the sonnets.

    default: for a text of a megabyte; the default with --text.
    """

    preset: Literal["default", "small"] = "default"
    """The recipe; it sets the defaults of all other options."""
    text: Path | None = None
    """The text to learn: a file in UTF-8; by default sonnets by Shakespeare."""
    hidden: int = 128
    """Hidden units of each LSTM layer."""
    num_layers: int = 1
    """LSTM layers on top of one another."""
    length: int = 50
    """Characters per step and stream, which is how far back the gradient reaches."""
    sample: int = 500
    """How many characters to write at the end."""
    temperature: float = 0.7
    """Near 0: always the most probable character; 1: as learnt; above: surprising."""
    prompt: str = ""
    """How the writing begins; by default with a random passage of the text."""

    def check(self) -> None:
        super().check()
        for name in ("hidden", "num_layers", "length", "sample"):
            value = getattr(self, name)
            need(value >= 1, f"--{name.replace('_', '-')}", "a number from 1", value)
        need(0 < self.temperature < float("inf"), "--temperature", "a number above 0", self.temperature)


PRESETS = {
    "default": Options(epochs=20, batch_size=32, lr=0.005, optimizer="adam", schedule="cosine", clip_norm=1.0),
    "small": Options(
        preset="small", epochs=12, batch_size=8, lr=0.005, optimizer="adam", schedule="cosine", clip_norm=1.0,
    ),
}  # fmt: skip
SONNETS = Path(data.__file__).with_name("sonnets.txt")  # W. Shakespeare, Sonnets (1609), 28 of them


def usual_preset(args: Sequence[str]) -> str:
    """The preset where none is named: the built-in text is a small one."""
    return "default" if any(arg.partition("=")[0] == "--text" for arg in args) else "small"


def read_text(path: Path) -> str:
    """The text in a file.

    Raises DataError if the file cannot be read, is not UTF-8, or has nothing to learn
    from.
    """
    try:
        with open_regular(path) as file:
            text = io.TextIOWrapper(file, encoding="utf-8").read()
    except OSError as e:
        raise DataError(f"{path}: cannot be read: {e.strerror or e}") from None
    except UnicodeDecodeError as e:
        raise DataError(f"{path}: not a text in UTF-8 (byte {e.start}): convert it first") from None
    kinds = len(set(text))
    if kinds < 2:
        raise DataError(f"{path}: a text of {len(text)} characters, {kinds} different, has nothing to learn from")
    if kinds > MAX_CHARACTERS:
        raise DataError(f"{path}: {kinds:,} different characters: at most {MAX_CHARACTERS:,} can be told apart")
    return text


def streams(ids: np.ndarray, N: int, T: int) -> np.ndarray:
    """The text as N streams (N, steps·T + 1).

    Each stream begins with the last character of the one before it.
    """
    steps = (len(ids) - 1) // N // T
    if steps < 1:
        raise SettingError(
            f"the text has {len(ids):,} characters to train on: too few for {N} streams of {T}; "
            "choose a smaller --batch-size or --length"
        )
    starts = np.arange(N)[:, None] * steps * T
    return ids[starts + np.arange(steps * T + 1)]


def network(V: int, o: Options) -> Sequential:
    return Sequential(LSTM(V, o.hidden, num_layers=o.num_layers, output="sequence"), Linear(o.hidden, V),
                      seed=o.seed, dtype=o.dtype, device=o.device)  # fmt: skip


def networks() -> dict[str, tuple[Sequential, tuple[int, ...], Loss]]:
    """The presets' network in float64, for ten characters, with shape and loss."""
    o = PRESETS["default"]
    net = Sequential(LSTM(10, o.hidden, output="sequence"), Linear(o.hidden, 10), dtype="float64")
    return {"default": (net, (o.length, 10), CrossEntropyLoss(classes="last"))}


def read_on(net: Sequential, eye: np.ndarray, ids: np.ndarray) -> float:
    """The mean cross entropy of a text (n,), in nats per character.

    The text is read from its second character on.
    """
    total, state, loss = 0.0, None, CrossEntropyLoss(classes="last")
    for k in range(0, len(ids) - 1, 200):
        piece = ids[k : k + 201]
        y, state = run_with_state(net, eye[piece[None, :-1]], state)
        value, _ = loss(y, piece[None, 1:])
        total += float(value) * (len(piece) - 1)
    return total / (len(ids) - 1)


def write(net: Sequential, vocabulary: list[str], prompt: str, n: int, temperature: float, seed: int) -> str:
    """`n` characters that follow `prompt`, drawn from softmax(z / temperature)."""
    eye, rng = np.eye(len(vocabulary), dtype=net.dtype), np.random.default_rng([seed, 2])
    ids, state = np.array([vocabulary.index(c) for c in prompt]), None
    written = []
    for _ in range(n):
        y, state = run_with_state(net, net.xp.asarray(eye[ids[None]]), state)
        p = softmax(to_numpy(y[0, -1, :, None]).astype(np.float64) / temperature)[:, 0]
        ids = rng.choice(len(p), 1, p=p)
        written.append(vocabulary[ids[0]])
    return "".join(written)


def pieces(ids: np.ndarray, N: int, T: int) -> tuple[np.ndarray, np.ndarray]:
    """(characters, the characters that follow them), each (steps, N, T).

    This is what every step reads of every stream.
    """
    whole = streams(ids, N, T)
    steps = whole.shape[1] // T
    return tuple(part.reshape(N, steps, T).swapaxes(0, 1) for part in (whole[:, :-1], whole[:, 1:]))  # type: ignore


def train(net: Sequential, text: np.ndarray, valid: np.ndarray, result: Run) -> None:
    """Train by truncated backpropagation and fill the run's history."""
    o, lstm = result.options, net.layers[0]
    assert isinstance(o, Options) and isinstance(lstm, LSTM)
    eye = net.xp.eye(lstm.input_size, dtype=net.dtype)
    result.say(
        f"{len(text):,} characters to train on, {len(valid):,} to validate on; each step reads "
        f"{o.batch_size} streams of {o.length} characters"
    )
    result.fit(
        net, CrossEntropyLoss(classes="last"), pieces(text, o.batch_size, o.length), batch_size=1, shuffle=False,
        steps=TruncatedSteps, judge=lambda: {"valid_loss": read_on(net, eye, valid)},
    )  # fmt: skip


def run(study: str, o: Options) -> int:
    """Read, train and write; returns the exit code."""
    text = read_text(o.text or SONNETS)
    vocabulary = sorted(set(text))
    ids = np.searchsorted(vocabulary, list(text))
    split = len(ids) - max(2, len(ids) // 10)
    net = network(len(vocabulary), o)
    net.info["vocabulary"] = "".join(vocabulary)
    streams(ids[:split], o.batch_size, o.length)  # raises before anything is written
    for c in o.prompt:
        need(c in vocabulary, "--prompt", "of characters that the text has", repr(c))
    with Run(study, o, o.text.name if o.text else "sonnets", digests(text=[text])) as result:
        result.say(f"{study}, preset {o.preset}: {net}")
        train(net, ids[:split], ids[split:], result)
        if not result.leads:  # one of several processes judges and writes
            return 0
        last = result.history.last
        place = int(np.random.default_rng([o.seed, 3]).integers(0, max(1, split - 50)))
        prompt = o.prompt or text[place : place + 50]
        written = write(net, vocabulary, prompt, o.sample, o.temperature, o.seed)
        result.metrics |= {
            "characters": len(text),
            "vocabulary": len(vocabulary),
            "valid_loss": last["valid_loss"],
            "valid_bits_per_character": last["valid_loss"] / math.log(2),
            "sample": written,
        }
        if o.plots:
            result.draw_training()
        result.say(f"\nafter “{prompt}” it writes, at temperature {o.temperature:g}:\n\n{written}\n")
        result.finish(net)
        return 0
