"""One pass forward and back that keeps every number a training step throws away.

Letters: N examples, C loss, y output of a layer, delta = ∂C/∂y. All arrays are NumPy's,
batch first.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy, xp_of
from scratchnet.backend.sparse import dense
from scratchnet.backend.threads import threads_for
from scratchnet.engine import checks
from scratchnet.engine.equations import bp3_bias, bp4_rows, bp4_weight
from scratchnet.engine.inside import CellWindow, Time, rows_of, through_time, window_of
from scratchnet.engine.layers.base import Layer, shape_text
from scratchnet.engine.layers.conv import Convolution
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.engine.learner import Learner
from scratchnet.engine.losses import Loss
from scratchnet.engine.params import Param
from scratchnet.engine.tables import html_table, text_table
from scratchnet.errors import SettingError

if TYPE_CHECKING:
    from scratchnet.engine.layers.sequential import Sequential


#: Characters of a layer's text in a table, so that it fits into 80 columns
WIDEST = 28


class Gradients(Mapping[str, np.ndarray]):
    """∂C/∂ every parameter of one layer, by its name there: "weight", "bias".

    The full name of `state_dict`, such as "2.weight", is understood as well.
    """

    def __init__(self, index: int, gradients: dict[str, np.ndarray]) -> None:
        self._prefix, self._gradients = f"{index}.", gradients

    def __getitem__(self, name: str) -> np.ndarray:
        return self._gradients[name.removeprefix(self._prefix)]

    def __iter__(self) -> Iterator[str]:
        return iter(self._gradients)

    def __len__(self) -> int:
        return len(self._gradients)

    def __repr__(self) -> str:
        return f"Gradients({self._gradients})"


@dataclass(frozen=True, eq=False, repr=False)
class LayerTrace:
    """One layer in a trace.

    `name` is its number and its text, "2 Linear(30, 10)". `input` and `output` are what
    went in and came out, `delta` is ∂C/∂output, `gradients` has ∂C/∂(parameter) for
    each parameter, under "weight", "bias" and so on, and `parameters` has their values.
    A recurrent layer has `times`, one `Time` for every t with its gates and states; in
    a stack, `stack[k]` are those of the k-th layer, and `times` those of the last.
    """

    index: int
    layer: Layer
    input: np.ndarray
    output: np.ndarray
    delta: np.ndarray
    gradients: Gradients
    parameters: dict[str, np.ndarray]
    stack: list[list[Time]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.index} {self.layer}"

    @property
    def times(self) -> list[Time]:
        return self.stack[-1] if self.stack else []

    def window(self, channel: int, row: int, column: int, example: int = 0) -> CellWindow:
        """The window that makes output[example, channel, row, column] of a convolution.

        Raises SettingError for another kind of layer, and for a cell that there is not.
        """
        if not isinstance(self.layer, Convolution):
            raise SettingError(f"window: layer {self.name} is not a convolution, so its cells have no window")
        example = checks.whole("window", "example", example, 0, len(self.input) - 1)
        return window_of(self.layer, self.parameters, self.input[example], channel, row, column)

    def row(self) -> dict[str, Any]:
        """This layer's line of the table."""
        return {
            "layer": self.name if len(self.name) <= WIDEST else f"{self.name[: WIDEST - 3]}...",
            "output": shape_text(self.output.shape[1:]),
            "rms(output)": _rms(self.output),
            "rms(delta)": _rms(self.delta),
            "rms(gradients)": _rms(*self.gradients.values()) if self.gradients else "",
        }

    def __repr__(self) -> str:
        return text_table([self.row()])

    def _repr_html_(self) -> str:
        return html_table([self.row()])


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """What `net.trace(x, target, loss)` returns: every number of a pass and back.

    `loss` is C, `output` the network's output, `dx` = ∂C/∂x (0 where x are indices),
    and `layers[i]` a `LayerTrace`; `target` and `loss_function` are the arguments, and
    `training` says whether it was a pass as in training. All arrays are copies, in
    PyTorch's shapes. Printing a trace gives a table of the sizes of all outputs, deltas
    and gradients, as root mean squares: if delta fades from the last layer to the
    first, the gradient vanishes.
    """

    loss: float
    output: np.ndarray
    dx: np.ndarray
    layers: list[LayerTrace]
    target: np.ndarray
    loss_function: Loss
    training: bool = True

    @property
    def gradients(self) -> dict[str, np.ndarray]:
        """∂C/∂ every parameter, under the names of `state_dict`, such as 0.weight."""
        return {f"{part.index}.{name}": g for part in self.layers for name, g in part.gradients.items()}

    def _head(self) -> str:
        n = len(self.output)
        return f"loss {self.loss:.6g}, {n} example{'s' if n != 1 else ''}"

    def _rows(self) -> list[dict[str, Any]]:
        x = self.layers[0].input
        first = {"layer": "input", "output": shape_text(x.shape[1:]), "rms(output)": _rms(x),
                 "rms(delta)": _rms(self.dx), "rms(gradients)": ""}  # fmt: skip
        return [first, *(part.row() for part in self.layers)]

    def __repr__(self) -> str:
        return f"{self._head()}\n\n{text_table(self._rows())}"

    def _repr_html_(self) -> str:
        return f"<p>{self._head()}</p>{html_table(self._rows())}"


class _Keeper(Learner):
    """Keeps the gradients of the current layer, not in the network's own arrays."""

    def __init__(self, seed: int, training: bool) -> None:
        super().__init__(seed, training)
        self.told: dict[str, np.ndarray] = {}

    def bias(self, b: Param, delta: Array) -> None:
        self.told[b.name] = to_numpy(bp3_bias(delta))

    def weight(self, W: Param, delta: Array, a: Array) -> None:
        self.told[W.name] = to_numpy(bp4_weight(delta, a))

    def rows(self, W: Param, index: Array, delta: Array) -> None:
        gradient = xp_of(delta).empty(W.shape, delta.dtype)
        bp4_rows(index, delta, gradient)
        self.told[W.name] = to_numpy(gradient)

    def gradients(self, layer: Layer) -> dict[str, np.ndarray]:
        """What this layer told, in the shapes and the order of its parameters."""
        told, self.told = self.told, {}
        return {p.name: told[p.name].reshape(p.shape).copy() for p in layer.params() if p.name in told}


def trace(net: "Sequential", x: Any, target: Any, loss: Loss, training: bool = True) -> Trace:
    """`Sequential.trace`."""
    checks.instance("trace", "loss", loss, Loss, "CrossEntropyLoss()")
    training = checks.flag("trace", "training", training)
    learn = _Keeper(net.seed, training)
    x = net.as_input(dense(x))
    # of every layer; before the first, x
    outputs: list[np.ndarray] = [np.array(to_numpy(x))]

    def visit(i: int, layer: Layer, a: Array, learn: Learner | None) -> tuple[Array, Any]:
        y, cache = layer.forward(a, learn)
        outputs.append(rows_of(y))  # the loss may write over it
        return y, cache

    layers: list[LayerTrace] = []
    with threads_for(net.work, x):
        value, delta, _, caches = net.cost(x, target, loss, learn, visit)
        for i in reversed(range(len(caches))):
            layer, given = net.layers[i], delta.copy()  # backward may overwrite it
            delta = layer.backward(delta, caches[i], learn, True)
            gradients = Gradients(i, learn.gradients(layer))
            again = _Keeper(net.seed, training)  # with buffers of its own
            stack = through_time(layer, caches[i], given, again) if isinstance(layer, Recurrent) else []
            parameters = {p.name: np.array(to_numpy(p.value)) for p in layer.params()}
            part = LayerTrace(i, layer, outputs[i], outputs[i + 1], rows_of(given), gradients, parameters, stack)
            layers.insert(0, part)
    target = np.array(to_numpy(checks.array("trace", "the target", target)))
    return Trace(
        float(value),
        outputs[-1],
        np.zeros(x.shape) if delta is None else rows_of(delta),
        layers,
        target,
        loss,
        training,
    )


def _rms(*arrays: np.ndarray) -> float:
    """The root mean square of all numbers: a size independent of their count."""
    total = sum(float(np.square(a, dtype=np.float64).sum()) for a in arrays)
    return (total / sum(a.size for a in arrays)) ** 0.5
