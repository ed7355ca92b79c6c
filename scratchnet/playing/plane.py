"""Two inputs: a network that divides the plane, and every neuron's own part in it.

Letters: N points, z weighted input of a neuron, lr learning rate.
"""

import time
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from scratchnet.engine.layers import Linear, Sequential
from scratchnet.engine.layers.base import Layer
from scratchnet.engine.losses import CrossEntropyLoss
from scratchnet.engine.optim import SGD, Adam, Optimiser
from scratchnet.engine.steps import QUIET, step
from scratchnet.errors import SettingError
from scratchnet.playing.plain import Message, number, real, whole, wholes, word
from scratchnet.playing.situations import DATA, PRESETS, Situation, points_of
from scratchnet.playing.taught import ACTIVATIONS

SIDE = 40  # cells of the picture of the plane, along a side
SMALL = 20  # of a neuron's
MOST_POINTS = 100
LONGEST_TRAINING = 250  # milliseconds, and steps, of one message


class Plane:
    """A situation in the plane. Every action answers with the whole `_picture`."""

    ACTIONS = ("open", "preset", "start", "train", "add")

    def __init__(self) -> None:
        self._situation: Situation
        self._begin(PRESETS["xor"][3])

    def open(self, message: Message) -> dict[str, Any]:
        """The picture, and all presets."""
        return self._picture() | {
            "presets": [
                {"name": name, "title": title, "learns": learns, "about": about}
                for name, (title, learns, about, _) in PRESETS.items()
            ]
        }

    def preset(self, message: Message) -> dict[str, Any]:
        """Begin a situation by its name."""
        name = word(message, "name", tuple(PRESETS))
        self._begin(PRESETS[name][3])
        return self._picture() | {"about": PRESETS[name][2]}

    def start(self, message: Message) -> dict[str, Any]:
        """Begin a situation of one's own."""
        hidden = wholes(message, "hidden", 8, 4)
        if 0 in hidden:
            raise SettingError("a hidden layer has one to eight neurons")
        data = word(message, "data", DATA)
        situation = Situation(
            data=data,
            hidden=tuple(hidden),
            activation=word(message, "activation", tuple(ACTIVATIONS)),
            init=word(message, "init", ("usual", "equal", "dead")),
            optimiser=word(message, "optimiser", ("sgd", "momentum", "adam")),
            rate=real(message, "rate", 0, 100),
            batch=whole(message, "batch", 1, 150),
            decay=real(message, "decay", 0, 1),
            seed=whole(message, "seed", 0, 10**6),
            points=_points(message.get("points", [])) if data == "own" else (),
        )
        self._begin(situation)
        return self._picture()

    def add(self, message: Message) -> dict[str, Any]:
        """Add a point; the network goes on with what it has learnt."""
        point = _points([message.get("point")])
        old: Situation = self._situation
        if old.data == "own" and len(old.points) >= MOST_POINTS:
            raise SettingError(f"{MOST_POINTS} points are enough: begin again to clear them")
        self._situation = replace(old, data="own", points=(old.points if old.data == "own" else ()) + point)
        self._x, self._labels, self._judge_x, self._judge_labels = points_of(self._situation)
        return self._picture()

    def train(self, message: Message) -> dict[str, Any]:
        """Make steps of descent for so many `ms`, or so many `steps`."""
        ms = real(message, "ms", 1, LONGEST_TRAINING) if "ms" in message else float("inf")
        most = whole(message, "steps", 1, LONGEST_TRAINING) if "steps" in message or ms == float("inf") else 10**9
        if not len(self._labels):
            raise SettingError("there are no points yet: click into the plane")
        made, end = 0, time.perf_counter() + ms / 1000
        with np.errstate(**QUIET):
            while made < most and (time.perf_counter() < end or not made):
                chosen = self._rng.integers(0, len(self._labels), self._situation.batch)
                step(self._net, CrossEntropyLoss(), self._optimiser, self._x[chosen], self._labels[chosen])
                made += 1
        self._steps += made
        return self._picture() | {"trained": made}

    # ---------------------------------------------------------------------- inside

    def _begin(self, s: Situation) -> None:
        self._situation, self._steps = s, 0
        self._x, self._labels, self._judge_x, self._judge_labels = points_of(s)
        self._net = _network(s)
        self._optimiser = _optimiser(self._net, s)
        self._rng = np.random.default_rng(s.seed)

    def _picture(self) -> dict[str, Any]:
        s = self._situation
        told = {name: value for name, value in asdict(s).items() if name != "points"}
        with np.errstate(**QUIET):
            trace = self._net.trace(_grid(SMALL), np.zeros(SMALL * SMALL, np.int64), CrossEntropyLoss())
            p = self._net.predict_proba(_grid(SIDE))[:, 1]
            loss, right = _score(self._net, self._x, self._labels)
            valid_loss, valid = _score(self._net, self._judge_x, self._judge_labels)
        layers = [part.output for part in trace.layers if isinstance(part.layer, Linear)][:-1]
        return told | {
            "hidden": list(s.hidden),
            "steps": self._steps,
            "side": SIDE,
            "p": np.round(100 * np.nan_to_num(p) - 50).astype(int).tolist(),
            "small": SMALL,
            "neurons": [[_shades(z[:, j]) for j in range(z.shape[1])] for z in layers],
            "points": [[number(a), number(b), int(k)] for (a, b), k in zip(self._x, self._labels)],
            "judges": [[number(a), number(b), int(k)] for (a, b), k in zip(self._judge_x, self._judge_labels)],
            "loss": loss,
            "right": right,
            "valid_loss": valid_loss,
            "valid": valid,
        }


def _network(s: Situation) -> Sequential:
    layers: list[Layer] = []
    for n_in, n_out in zip((2, *s.hidden), s.hidden):
        layers += [Linear(n_in, n_out), ACTIVATIONS[s.activation]()]
    net = Sequential(*layers, Linear(s.hidden[-1] if s.hidden else 2, 2), seed=s.seed)
    last = f"{len(net.layers) - 1}."
    for name, p in net.params.items():
        if s.init == "equal":
            p.value[...] = 0.5 if name.endswith("weight") else 0.0
        elif s.init == "dead" and name.endswith("bias") and not name.startswith(last):
            p.value[...] = -3.0
    return net


def _optimiser(net: Sequential, s: Situation) -> Optimiser:
    if s.optimiser == "adam":
        return Adam(net, lr=s.rate, weight_decay=s.decay)
    return SGD(net, lr=s.rate, momentum=0.9 if s.optimiser == "momentum" else 0.0, weight_decay=s.decay)


def _grid(side: int) -> np.ndarray:
    """The middles of side · side cells of the plane, row by row from the top."""
    at = (2 * np.arange(side, dtype=np.float32) + 1) / side - 1
    x, y = np.meshgrid(at, -at)
    return np.stack([x.ravel(), y.ravel()], axis=1)


def _shades(z: np.ndarray) -> list[int]:
    """Numbers as whole ones from −100 to 100, by the largest of them."""
    z = np.nan_to_num(z.astype(float))
    return np.round(100 * z / max(float(np.abs(z).max()), 1e-30)).astype(int).tolist()


def _score(net: Sequential, x: np.ndarray, labels: np.ndarray) -> tuple[float | None, float | None]:
    """(loss, share of right answers); None where there are no points."""
    if not len(labels):
        return None, None
    value, *_ = net.cost(x, labels, CrossEntropyLoss())
    return number(value), number((net(x).argmax(axis=1) == labels).mean())


def _points(values: Any) -> tuple[tuple[float, float, int], ...]:
    """Points of a message, each [x, y, class]. Raises SettingError."""
    if not isinstance(values, list) or len(values) > MOST_POINTS:
        raise SettingError(f"points must be a list of at most {MOST_POINTS}")
    found = []
    for point in values:
        if not isinstance(point, list) or len(point) != 3:
            raise SettingError("a point must be a list of x, y and its class, 0 or 1")
        message = dict(zip(("x", "y", "class"), point))
        found.append((real(message, "x", -1, 1), real(message, "y", -1, 1), whole(message, "class", 0, 1)))
    return tuple(found)
