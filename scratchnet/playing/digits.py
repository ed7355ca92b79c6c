"""A drawn digit in a network that you change: by hand, by a step, by a training.

Letters: C loss, lr learning rate.
"""

import copy
import time
from typing import Any

import numpy as np

from scratchnet.engine.optim import SGD
from scratchnet.engine.steps import QUIET, step
from scratchnet.errors import SettingError
from scratchnet.playing.drawing import Drawing, loss_for
from scratchnet.playing.plain import Message, number, numbers, real, whole, wholes, word
from scratchnet.playing.taught import ACTIVATIONS, Model, dense_network, optimiser_for

OPTIMISERS = ("sgd", "momentum", "adam")
UNDOS = 12
JUDGE_EVERY = 200  # steps
LONGEST_TRAINING = 250  # milliseconds, and steps, of one message


class Digits(Drawing):
    """A drawing in a network, and what changes it: each answers with the picture."""

    ACTIONS = (*Drawing.ACTIONS, "edit", "switch", "step", "train", "set", "new", "undo")

    def edit(self, message: Message) -> dict[str, Any]:
        """Set one weight or bias."""
        i, parameter, index = self._parameter(message)
        value = real(message, "value", -1000, 1000)
        self._remember()
        self._net.params[f"{i}.{parameter}"].value[index] = value
        return self._changed()

    def switch(self, message: Message) -> dict[str, Any]:
        """Switch a hidden neuron off, or on again: its outgoing weights are set to 0.

        On again, they get back what they were when it was switched off.
        """
        i, unit = self._neuron(message)
        after = self._after(i)
        if after is None:
            raise SettingError("only a neuron of a hidden layer can be switched off")
        self._remember()
        if (i, unit) in self._off:
            self._off -= {(i, unit)}
            self._net.params[f"{after}.weight"].value[:, unit] = self._outgoing.pop((i, unit))
        else:
            self._off |= {(i, unit)}
            self._outgoing[i, unit] = self._net.params[f"{after}.weight"].value[:, unit].copy()
        self._hold()
        return self._changed()

    def step(self, message: Message) -> dict[str, Any]:
        """One step of descent on this drawing, with the chosen label."""
        before, old = self._trace.loss, self._net.state_dict()
        p = self._probabilities()
        squares = sum(float((g.astype(float) ** 2).sum()) for g in self._trace.gradients.values())
        self._remember()
        with np.errstate(**QUIET):
            step(self._net, loss_for(self._net), self._optimiser, *self._example())
        self._steps += 1
        self._hold()
        picture = self._changed()
        plain = isinstance(self._optimiser, SGD) and not self._optimiser.momentum
        return picture | {
            "stepped": {
                "before": number(before),
                "after": number(self._trace.loss),
                "foretold": number(before - self._optimiser.lr * squares) if plain else None,
                "rate": number(self._optimiser.lr),
                "p_before": numbers(p),
                "moved": self._moved(old),
            }
        }

    def train(self, message: Message) -> dict[str, Any]:
        """Make steps of descent on the pictures, for so many `ms`, or so many `steps`.

        The first message of a training says `first`, so that undo goes back there.
        """
        ms = real(message, "ms", 1, LONGEST_TRAINING) if "ms" in message else float("inf")
        most = whole(message, "steps", 1, LONGEST_TRAINING) if "steps" in message or ms == float("inf") else 10**9
        if message.get("first") is True:
            self._remember()
        losses: list[float] = []
        end = time.perf_counter() + ms / 1000
        loss = loss_for(self._net)
        with np.errstate(**QUIET):
            while len(losses) < most and (time.perf_counter() < end or not losses):
                chosen = self._rng.integers(0, len(self._pictures.labels), self._batch)
                x = self._model.inputs(self._pictures.images[chosen])
                losses.append(float(step(self._net, loss, self._optimiser, x, self._target(chosen))))
                self._hold()
        self._steps += len(losses)
        judge = self._steps - self._last_judged >= JUDGE_EVERY
        return self._changed() | {
            "trained": len(losses),
            "mean_loss": number(np.mean(losses)),
            "valid": number(self._accuracy()) if judge else None,
        }

    def set(self, message: Message) -> dict[str, Any]:
        """Change the learning rate, the size of a batch, or the optimiser."""
        rate = real(message, "rate", 0, 100)
        batch = whole(message, "batch", 1, 500)
        kind = word(message, "optimiser", OPTIMISERS)
        self._batch = batch
        if kind != self._kind:
            self._optimiser, self._kind = optimiser_for(self._net, kind, rate), kind
        self._optimiser.lr = rate
        return self._picture()

    def new(self, message: Message) -> dict[str, Any]:
        """A network that has learnt nothing; or, with `given`, the one of the start."""
        if message.get("given") is True:
            self._remember()
            self._model = self._given
            net = copy.deepcopy(self._given.net)
        else:
            hidden = wholes(message, "hidden", 300, 4)
            if 0 in hidden:
                raise SettingError("a hidden layer has at least one neuron")
            activation = word(message, "activation", tuple(ACTIVATIONS))
            self._seed = whole(message, "seed", 0, 10**6)
            self._remember()
            net = dense_network(hidden, activation, self._seed)
            self._model = Model(net, (784,), 1 / 255, 0.0, tuple("0123456789"), "")
        self._optimiser = optimiser_for(net, self._kind, self._optimiser.lr)
        self._off, self._outgoing = frozenset(), {}
        self._steps, self._last_judged = 0, 0
        self._rng = np.random.default_rng(self._seed)
        self._selected = (self._linear()[0], 0)
        return self._changed() | {"valid": number(self._accuracy())}

    def undo(self, message: Message) -> dict[str, Any]:
        """Back to before the last edit, switch, step, training or new network."""
        if not self._undo:
            raise SettingError("there is nothing to undo")
        (self._optimiser, self._off, self._outgoing, self._steps, self._model, self._kind) = self._undo.pop()
        self._last_judged = self._steps
        if self._selected[0] not in self._linear() or self._selected[1] >= self._units(self._selected[0]):
            self._selected = (self._linear()[0], 0)
        return self._changed() | {"valid": number(self._accuracy())}

    # ---------------------------------------------------------------------- inside

    def _remember(self) -> None:
        state = copy.deepcopy(self._optimiser), self._off, dict(self._outgoing), self._steps, self._model, self._kind
        self._undo = [*self._undo[1 - UNDOS :], state]

    def _changed(self) -> dict[str, Any]:
        self._look()
        return self._picture()

    def _hold(self) -> None:
        """Keep the outgoing weights of neurons that are off at 0."""
        for i, unit in self._off:
            self._net.params[f"{self._after(i)}.weight"].value[:, unit] = 0

    def _target(self, chosen: np.ndarray) -> np.ndarray:
        return self._as_target(self._pictures.labels[chosen])

    def _moved(self, old: dict[str, np.ndarray]) -> list[dict[str, Any]]:
        """The numbers that a step has changed most."""
        found: list[tuple[float, str, tuple[int, ...], float, float]] = []
        for name, before in old.items():
            now = self._net.params[name].value
            flat = int(np.abs(now - before).argmax())
            at = tuple(map(int, np.unravel_index(flat, before.shape)))
            found.append((abs(float(now[at] - before[at])), name, at, float(before[at]), float(now[at])))
        return [
            {"name": f"{name}[{','.join(map(str, at))}]", "before": number(a), "after": number(b)}
            for _, name, at, a, b in sorted(found, reverse=True)[:4]
        ]
