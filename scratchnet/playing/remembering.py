"""A sequence of letters through an LSTM, beside an RNN: which letter came first?

The answer stands at the end, and what it depends on at the beginning: the networks
have to carry it through all times between. Letters: T times, H hidden units.
"""

import time
from typing import Any

import numpy as np

from scratchnet.engine import checks
from scratchnet.engine.layers import LSTM, RNN, Linear, Sequential
from scratchnet.engine.losses import CrossEntropyLoss
from scratchnet.engine.optim import Adam
from scratchnet.engine.steps import QUIET, step
from scratchnet.errors import SettingError
from scratchnet.explaining.numbers import time_formula
from scratchnet.playing import formulas
from scratchnet.playing.plain import Message, field, number, numbers, real, whole, word

LETTERS = "abcd"
LONGEST = 40  # letters of a text
UNITS = 8
LEARNT = (2, 12)  # lengths of the sequences to learn from
BATCH, RATE = 32, 0.01
VALID = 200  # sequences that judge, of JUDGED letters
JUDGED = 12
LONGEST_TRAINING = 250  # milliseconds, and steps, of one message
KINDS: dict[str, type[LSTM] | type[RNN]] = {"lstm": LSTM, "rnn": RNN}
SHOWN = ("i", "f", "o", "g", "c", "h")  # of an LSTM at each time


class Remembering:
    """Two networks that learn the same; actions answer with the whole `_picture`."""

    ACTIONS = ("open", "see", "train", "new", "formula")

    def __init__(self) -> None:
        self._text, self._label = "bacdacd", 1
        self._begin(0)

    def open(self, message: Message) -> dict[str, Any]:
        return self._picture()

    def see(self, message: Message) -> dict[str, Any]:
        """Read a text of the letters a to d; `label` is the letter that is to be said.

        With `label` null it is the first letter of the text.
        """
        text = field(message, "text")
        if not isinstance(text, str) or not 1 <= len(text) <= LONGEST or set(text) - set(LETTERS):
            raise SettingError(f"the text must be 1 to {LONGEST} letters from a to d, not {checks.shown(text)}")
        label = message.get("label")
        self._label = LETTERS.index(text[0]) if label is None else whole(message, "label", 0, len(LETTERS) - 1)
        self._text = text
        return self._picture()

    def train(self, message: Message) -> dict[str, Any]:
        """Let both learn from the same new sequences, for so many `ms` or `steps`."""
        ms = real(message, "ms", 1, LONGEST_TRAINING) if "ms" in message else float("inf")
        most = whole(message, "steps", 1, LONGEST_TRAINING) if "steps" in message or ms == float("inf") else 10**9
        made, end = 0, time.perf_counter() + ms / 1000
        with np.errstate(**QUIET):
            while made < most and (time.perf_counter() < end or not made):
                x, labels = _sequences(self._rng, BATCH, int(self._rng.integers(LEARNT[0], LEARNT[1] + 1)))
                for optimiser in self._optimisers.values():
                    step(optimiser.net, CrossEntropyLoss(), optimiser, x, labels)
                made += 1
        self._steps += made
        return self._picture()

    def new(self, message: Message) -> dict[str, Any]:
        """Networks that have learnt nothing."""
        self._begin(whole(message, "seed", 0, 10**6))
        return self._picture()

    def formula(self, message: Message) -> dict[str, Any]:
        """One number of a network at one time: a gate, c, h, or a δ such as delta_f."""
        kind = word(message, "kind", tuple(KINDS))
        name = field(message, "name")
        if not isinstance(name, str):
            raise SettingError(f"play: name must be a letter such as f, not {checks.shown(name)}")
        t, unit = whole(message, "t", 0, len(self._text) - 1), whole(message, "unit", 0, UNITS - 1)
        return formulas.shown(time_formula(self._trace(kind), 0, t, name, unit))

    # ---------------------------------------------------------------------- inside

    def _begin(self, seed: int) -> None:
        self._optimisers = {name: Adam(_network(kind, seed), lr=RATE) for name, kind in KINDS.items()}
        self._rng, self._steps = np.random.default_rng([seed, 0]), 0
        self._judges = _sequences(np.random.default_rng([seed, 1]), VALID, JUDGED)

    def _trace(self, kind: str) -> Any:
        with np.errstate(**QUIET):
            return self._optimisers[kind].net.trace(_one_hot(self._text), np.array([self._label]), CrossEntropyLoss())

    def _picture(self) -> dict[str, Any]:
        found: dict[str, Any] = {"text": self._text, "letters": LETTERS, "label": self._label, "steps": self._steps}
        for kind, optimiser in self._optimisers.items():
            trace, (x, labels) = self._trace(kind), self._judges
            times = trace.layers[0].times
            found[kind] = {
                "p": numbers(optimiser.net.predict_proba(_one_hot(self._text))[0]),
                "loss": number(trace.loss),
                "right": number((optimiser.net.predict(x) == labels).mean()),
                "dh": [number(np.linalg.norm(at["dh"])) for at in times],
            }
            if kind == "lstm":
                # one row for each unit, one column for each time
                found[kind] |= {name: numbers(np.stack([at[name][0] for at in times], axis=1)) for name in SHOWN}
                found[kind]["dc"] = [number(np.linalg.norm(at["dc"])) for at in times]
        return found


def _network(kind: type[LSTM] | type[RNN], seed: int) -> Sequential:
    return Sequential(kind(len(LETTERS), UNITS, output="last"), Linear(UNITS, len(LETTERS)), seed=seed)


def _one_hot(text: str) -> np.ndarray:
    """(1, T, 4)"""
    return np.eye(len(LETTERS), dtype=np.float32)[[LETTERS.index(letter) for letter in text]][None]


def _sequences(rng: np.random.Generator, n: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Letters (n, length, 4) as one-hot vectors, and the first of each (n,)."""
    letters = rng.integers(0, len(LETTERS), (n, length))
    return np.eye(len(LETTERS), dtype=np.float32)[letters], letters[:, 0]
