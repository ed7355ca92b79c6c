"""A drawn digit in a network: what it sees, what it thinks, and δ on the way back.

Letters: a activation, δ = ∂C/∂z, C loss, K classes.
"""

import copy
from typing import Any

import numpy as np

from scratchnet.data.handwriting import SIZE, centre
from scratchnet.engine import checks
from scratchnet.engine.layers import Linear, LogSoftmax, Sequential, Sigmoid, Softmax
from scratchnet.engine.layers.conv import Conv2d
from scratchnet.engine.layers.pool import Pool
from scratchnet.engine.losses import CrossEntropyLoss, Loss, NLLLoss, QuadraticCost
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.steps import QUIET
from scratchnet.errors import SettingError
from scratchnet.playing import checking, formulas
from scratchnet.playing.plain import Message, field, number, numbers, whole, wholes
from scratchnet.playing.taught import (
    Model,
    Pictures,
    judged,
    optimiser_for,
)


def loss_for(net: Sequential) -> Loss:
    """The loss that belongs to the last layer of a network of classes."""
    if isinstance(net.layers[-1], LogSoftmax):
        return NLLLoss()
    if isinstance(net.layers[-1], (Sigmoid, Softmax)):
        return QuadraticCost()
    return CrossEntropyLoss()


class Drawing:
    """A network of one's own, a drawing, and the numbers of the last pass.

    Its actions take a message and give plain data; `open` and `see` answer with the
    whole `_picture`.
    """

    ACTIONS: tuple[str, ...] = ("open", "see", "sample", "select", "formula", "window", "check")

    def __init__(self, model: Model, pictures: Pictures, rate: float = 0.5, optimiser: str = "sgd") -> None:
        self._given, self._pictures = model, pictures
        self._model = model
        self._optimiser: Optimiser = optimiser_for(copy.deepcopy(model.net), optimiser, rate)
        self._kind, self._batch, self._steps, self._seed = optimiser, 20, 0, 0
        self._off: frozenset[tuple[int, int]] = frozenset()
        # weights out of a neuron that is off, as they were
        self._outgoing: dict[tuple[int, int], np.ndarray] = {}
        self._undo: list[tuple[Any, ...]] = []
        self._seen = np.zeros((SIZE, SIZE), np.uint8)
        self._label: int | None = None
        self._selected = (self._linear()[0], 0)
        self._rng = np.random.default_rng(0)
        self._last_judged = 0
        self._look()

    # ---------------------------------------------------------------- what is shown

    def open(self, message: Message) -> dict[str, Any]:
        """All that a page that has just been loaded needs to know."""
        return self._picture() | {
            "about": self._model.about,
            "pictures": self._pictures.name,
            "examples": len(self._pictures.labels),
            "valid": number(self._accuracy()),
        }

    def see(self, message: Message) -> dict[str, Any]:
        """Look at a drawing: 784 numbers from 0 to 255, centred as in training or not.

        `label` is a class, or null for the one that the network finds most likely.
        """
        pixels = np.array(wholes(message, "pixels", 255, SIZE * SIZE), np.uint8)
        if pixels.size != SIZE * SIZE:
            raise SettingError(f"a drawing has {SIZE * SIZE} pixels, not {pixels.size}")
        centred = checks.flag("play", "centre", message.get("centre", True))
        label = message.get("label")
        if label is not None:
            label = whole(message, "label", 0, len(self._model.classes) - 1)
        self._seen = centred_drawing(pixels.reshape(SIZE, SIZE)) if centred else pixels.reshape(SIZE, SIZE)
        self._label = label
        self._look()
        return self._picture()

    def sample(self, message: Message) -> dict[str, Any]:
        """A picture of the validation set for the pad, with its label."""
        k = whole(message, "number", 0, 2**31) % len(self._pictures.valid_labels)
        return {
            "pixels": self._pictures.valid_images[k].ravel().tolist(),
            "label": int(self._pictures.valid_labels[k]),
        }

    def select(self, message: Message) -> dict[str, Any]:
        """Choose the neuron, or feature map, whose weights are shown."""
        self._selected = self._neuron(message)
        return {"selected": self._about_selected()}

    def formula(self, message: Message) -> dict[str, Any]:
        return formulas.asked(self._trace, message)

    def window(self, message: Message) -> dict[str, Any]:
        """The window behind one cell of a feature map: input, kernel and products."""
        i = whole(message, "layer", 0, len(self._net.layers) - 1)
        c, row, column = self._cell(message, i)
        layer, part = self._net.layers[i], self._trace.layers[i]
        if isinstance(layer, Conv2d):
            found = part.window(c, row, column)
            return {
                "kind": "convolution",
                "shape": list(found.input.shape),
                "input": numbers(found.input),
                "kernel": numbers(found.kernel),
                "products": numbers(found.products),
                "bias": number(found.bias),
                "sum": number(found.sum),
                "rows": found.rows.tolist(),
                "columns": found.columns.tolist(),
            }
        if isinstance(layer, Pool):
            vertical, horizontal = layer.window
            rows = vertical.cells_at(row, part.input.shape[2])
            columns = horizontal.cells_at(column, part.input.shape[3])
            inside = part.input[0, c][rows][:, columns]
            return {
                "kind": "pool",
                "shape": [1, *inside.shape],
                "input": numbers(inside),
                "sum": number(part.output[0, c, row, column]),
                "rows": rows.tolist(),
                "columns": columns.tolist(),
            }
        raise SettingError(f"layer {part.name} has no windows")

    def check(self, message: Message) -> dict[str, Any]:
        """One gradient by hand, as a difference, and by PyTorch."""
        i, parameter, index = self._parameter(message)
        x, target = self._example()
        with np.errstate(**QUIET):
            return checking.check(self._net, x, target, loss_for(self._net), f"{i}.{parameter}", index)

    # ---------------------------------------------------------------------- inside

    @property
    def _net(self) -> Sequential:
        return self._optimiser.net

    def _example(self) -> tuple[np.ndarray, np.ndarray]:
        """(x, target) of the drawing."""
        return self._model.inputs(self._seen[None]), self._as_target(np.array([self._chosen]))

    def _as_target(self, labels: np.ndarray) -> np.ndarray:
        if isinstance(loss_for(self._net), QuadraticCost):
            return np.eye(len(self._model.classes), dtype=self._net.dtype)[labels]
        return labels

    def _probabilities(self) -> np.ndarray:
        with np.errstate(**QUIET):
            return self._net.predict_proba(self._model.inputs(self._seen[None]))[0]

    def _accuracy(self) -> float:
        self._last_judged = self._steps
        with np.errstate(**QUIET):
            return judged(Model(self._net, *self._how()), self._pictures)

    def _how(self) -> tuple[Any, ...]:
        m = self._model
        return m.shape, m.scale, m.shift, m.classes, m.about

    def _look(self) -> None:
        """Pass the drawing through, and back from the chosen label, keeping it all."""
        self._p = self._probabilities()
        known = self._label is not None and self._label < len(self._p)  # of the network before, perhaps not
        self._chosen = self._label if known and self._label is not None else int(np.nan_to_num(self._p).argmax())
        with np.errstate(**QUIET):
            self._trace = self._net.trace(*self._example(), loss_for(self._net), training=False)

    def _picture(self) -> dict[str, Any]:
        return {
            "seen": self._seen.ravel().tolist(),
            "classes": list(self._model.classes),
            "p": numbers(self._p),
            "label": self._chosen,
            "loss": number(self._trace.loss),
            "dx": numbers(self._trace.dx),
            "layers": [
                {
                    "text": str(part.layer),
                    "kind": type(part.layer).__name__,
                    "shape": list(part.output.shape[1:]),
                    "output": numbers(part.output),
                    "delta": numbers(part.delta),
                    "off": sorted(unit for i, unit in self._off if i == part.index),
                    "can_switch": self._after(part.index) is not None,
                }
                for part in self._trace.layers
            ],
            "selected": self._about_selected(),
            "steps": self._steps,
            "rate": number(self._optimiser.lr),
            "batch": self._batch,
            "optimiser": self._kind,
            "undos": len(self._undo),
        }

    def _about_selected(self) -> dict[str, Any]:
        """Weights and gradients of the chosen neuron or feature map."""
        i, unit = self._selected
        part = self._trace.layers[i]
        W, g = part.parameters["weight"][unit], part.gradients["weight"][unit]
        found: dict[str, Any] = {
            "layer": i, "unit": unit, "shape": list(W.shape), "weights": numbers(W), "gradient": numbers(g),
            "off": (i, unit) in self._off, "can_switch": self._after(i) is not None,
        }  # fmt: skip
        if "bias" in part.parameters:
            found |= {
                "bias": number(part.parameters["bias"][unit]),
                "bias_gradient": number(part.gradients["bias"][unit]),
            }
        return found

    def _linear(self) -> list[int]:
        """The layers with neurons or feature maps that can be chosen."""
        return [i for i, layer in enumerate(self._net.layers) if isinstance(layer, (Linear, Conv2d))]

    def _units(self, i: int) -> int:
        return int(self._net.params[f"{i}.weight"].shape[0])

    def _after(self, i: int) -> int | None:
        """The Linear that follows a hidden Linear, with only functions between."""
        if not isinstance(self._net.layers[i], Linear):
            return None
        for k in range(i + 1, len(self._net.layers)):
            if isinstance(self._net.layers[k], Linear):
                return k
            if self._net.layers[k].params():
                return None
        return None

    def _neuron(self, message: Message) -> tuple[int, int]:
        i = whole(message, "layer", 0, len(self._net.layers) - 1)
        if i not in self._linear():
            raise SettingError(f"layer {i}, {self._net.layers[i]}, has no neurons with weights of their own")
        return i, whole(message, "unit", 0, self._units(i) - 1)

    def _parameter(self, message: Message) -> tuple[int, str, tuple[int, ...]]:
        """(layer, name, index) of one number that can be learnt."""
        i = whole(message, "layer", 0, len(self._net.layers) - 1)
        name = field(message, "parameter")
        if name not in ("weight", "bias") or f"{i}.{name}" not in self._net.params:
            raise SettingError(f"layer {i} has no parameter {checks.shown(name)}")
        shape = self._net.params[f"{i}.{name}"].shape
        index = wholes(message, "index", 100_000, 4)
        if len(index) != len(shape) or any(k >= size for k, size in zip(index, shape)):
            raise SettingError(f"{i}.{name} has no place {index}: its shape is {list(shape)}")
        return i, name, tuple(index)

    def _cell(self, message: Message, i: int) -> tuple[int, int, int]:
        shape = self._trace.layers[i].output.shape[1:]
        index = wholes(message, "index", 100_000, 3)
        if len(shape) != 3 or len(index) != 3 or any(k >= size for k, size in zip(index, shape)):
            raise SettingError(f"layer {i} has no cell {index}: its shape is {list(shape)}")
        return index[0], index[1], index[2]


def centred_drawing(pixels: np.ndarray) -> np.ndarray:
    """A drawing (28, 28) as MNIST's digits are placed; a blank one stays blank."""
    ink = pixels / np.float32(255)
    if ink.max() <= 0.5:
        return np.zeros_like(pixels)
    rows, columns = np.nonzero(ink > 0.1)
    return centre(ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1])
