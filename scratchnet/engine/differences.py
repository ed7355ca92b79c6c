"""C as a function of one parameter or of the input: its slopes and its kinks.

Letters: C loss, w any parameter or the input, g = ∂C/∂w as backward computes it, h step
of a difference, u a direction.
"""

import contextlib
import copy
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array
from scratchnet.engine.columns import to_columns, to_rows
from scratchnet.engine.gradient_report import Disagreement, Index
from scratchnet.engine.layers.base import Layer, shape_text
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.learner import Learner
from scratchnet.engine.losses import Loss
from scratchnet.errors import NonFiniteError, ShapeError

# step of central differences: the error is of order h², plus ε|C|/h from rounding
H = 1e-5
# step of the complex step, which subtracts nothing and so is not rounded
TINY = 1e-30
# tolerances, relative to the largest element of a gradient
CENTRAL, COMPLEX = 1e-7, 1e-11


class Differences:
    """A float64 copy of a network, with its batch: C as a function of one variable."""

    def __init__(self, net: Sequential, x: np.ndarray, target: Any, loss: Loss) -> None:
        self.net, self.target, self.loss, self.learn = float64_copy(net), target, loss, Learner(net.seed)
        self.x = x
        self.values: dict[str, np.ndarray] = {name: p.value for name, p in self.net.params.items() if p.trained}
        self.values["input"] = self.x
        self.cost = float(np.real(self._forward()[0]))
        if not np.isfinite(self.cost):
            raise NonFiniteError(f"gradcheck: the loss is {self.cost}, so it has no gradient")
        self.gradients = self._backward()
        self.size = max(1.0, abs(self.cost))
        self.no_complex_step = ""
        self.complex_net = float64_copy(self.net, complex)
        self.no_complex_step = self._why_not_complex()

    def _forward(self, net: Sequential | None = None, x: np.ndarray | None = None) -> tuple[Any, list[Any], list[Any]]:
        """(C, the input of every layer and the output, what backward needs)."""
        net, a = net or self.net, self.x if x is None else x
        seen = [to_columns(a).copy()]

        def visit(i: int, layer: Layer, x: Array, learn: Learner | None) -> tuple[Array, Any]:
            y, cache = layer.forward(x, learn)
            seen.append(y.copy())  # the loss may overwrite it
            return y, cache

        value, delta, _, caches = net.cost(a, self.target, self.loss, self.learn, visit)
        return value, seen, [delta, caches]

    def _backward(self) -> dict[str, np.ndarray]:
        # so that a gradient that is never written is found
        self.net.store.grads.fill(np.nan)
        _, seen, (delta, caches) = self._forward()
        for i in range(len(caches) - 1, -1, -1):
            delta = self.net.layers[i].backward(delta, caches[i], self.learn, True)
            if i > 0 and (delta is None or delta.shape != seen[i].shape):
                given = "None" if delta is None else shape_text(delta.shape[:-1])
                raise ShapeError(
                    f"layer {i}, {self.net.layers[i]}: backward returned {given} for an input of "
                    f"{shape_text(seen[i].shape[:-1])}"
                )
        gradients = {name: p.grad.copy() for name, p in self.net.params.items() if p.trained}
        if delta is not None and delta.shape == seen[0].shape:
            gradients["input"] = np.array(to_rows(delta))
        return gradients

    def free(self, name: str) -> np.ndarray:
        """Where a gradient is the derivative: everywhere but in a row that is held."""
        free = np.ones(self.gradients[name].shape, bool)
        if name in self.net.params and (row := self.net.params[name].held_row) is not None:
            free[row] = False
        return free

    # ---------------------------------------------------------------------- differences

    def at(self, name: str, u: np.ndarray | Index, h: float, read: Callable[[], Any]) -> Any:
        """`read()` with w + h u in place of w."""
        with moved(self.values[name], u, h):
            return read()

    def C(self) -> float:
        return float(self._forward()[0])

    def central(self, name: str, u: np.ndarray | Index, h: float = H) -> float:
        return (self.at(name, u, h, self.C) - self.at(name, u, -h, self.C)) / (2 * h)

    def complex_step(self, name: str, u: np.ndarray | Index) -> float | None:
        if self.no_complex_step:
            return None
        x = self.x if self.x.dtype.kind == "i" else self.x.astype(complex)
        w = x if name == "input" else self.complex_net.params[name].value
        with moved(w, u, 1j * TINY), np.errstate(all="ignore"):
            return float(np.imag(self._forward(self.complex_net, x)[0]) / TINY)

    def _why_not_complex(self) -> str:
        """Why complex step cannot be used, or "" if it can.

        The forward code may not run on complex numbers, or may not be analytic there.
        """
        rng = np.random.default_rng(0)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                for name in self.gradients:
                    u = rng.standard_normal(self.values[name].shape) * self.free(name)
                    slope, numeric = self.complex_step(name, u), self.central(name, u)
                    size = abs(numeric) + float(np.linalg.norm(np.nan_to_num(self.gradients[name]))) + 1e-2 * self.size
                    if slope is None or not abs(slope - numeric) <= 1e-3 * size:
                        return (
                            "a layer or the loss is not analytic in its code (abs, conj, real ...), or a kink is near"
                        )
        except (TypeError, ValueError, np.exceptions.ComplexWarning) as e:
            return f"a layer or the loss does not compute with complex numbers ({type(e).__name__}: {e})"
        return ""

    def right(self, g: float, central: float, complex_step: float | None, size: float) -> bool:
        """Whether g agrees with both; `size` is that of its largest element."""
        exact = complex_step is None or abs(g - complex_step) <= COMPLEX * size + 1e-14 * self.size
        return exact and abs(g - central) <= CENTRAL * size + 1e-9 * self.size

    def element(self, name: str, k: Index) -> Disagreement:
        """One element, as backward and as differences give it."""
        return Disagreement(name, k, float(self.gradients[name][k]), self.central(name, k), self.complex_step(name, k))

    def agrees(self, d: Disagreement) -> bool:
        size = float(np.nanmax(np.abs(self.gradients[d.parameter]), initial=0.0))
        return self.right(d.backward, d.central, d.complex_step, size)

    def halve(self, name: str, u: np.ndarray) -> Index | None:
        """The index of a wrong element, if g · u is not the derivative along u.

        It is found by always keeping the half that disagrees.
        """
        gradient = self.gradients[name]

        def wrong(part: np.ndarray) -> bool:
            v = np.zeros_like(u)
            v.flat[part] = u.flat[part]
            v /= np.linalg.norm(v)
            size = float(np.linalg.norm(gradient.flat[part]))
            g = float((gradient * v).sum())
            return not self.right(g, self.central(name, v), self.complex_step(name, v), size)

        part = np.arange(u.size)
        if not wrong(part):
            return None
        while part.size > 1:
            halves = np.array_split(part, 2)
            part = halves[0] if wrong(halves[0]) else halves[1]
        return index_of(int(part[0]), gradient)

    # ---------------------------------------------------------------------- kinks

    def kink(self, name: str, k: Index) -> str:
        """The first layer that is not smooth between w − h and w + h, in words.

        For instance, a ReLU whose input passes through 0, or a maximum that changes.
        """
        below, here, above = (self.at(name, k, h, lambda: self._forward()[1]) for h in (-H, 0.0, H))
        for i, layer in enumerate(self.net.layers):
            y = here[i + 1]
            bend = np.abs(above[i + 1] - 2 * y + below[i + 1])
            turn = np.abs(above[i + 1] - below[i + 1])
            sharp = bend > np.maximum(0.05 * turn, 1e-11 * (1 + np.abs(y).max(initial=0.0)))
            if sharp.any():
                place = np.unravel_index(np.where(sharp, bend, 0).argmax(), y.shape)
                user = (int(place[-1]), *map(int, place[:-1]))
                value = f", where its input is {here[i][place]:.2g}" if here[i].shape == y.shape else ""
                return f"a kink is near: layer {i}, {layer}, output {list(user)}{value}"
        return ""

    def between_slopes(self, d: Disagreement) -> bool:
        """Whether backward's value lies between the slopes of the two sides.

        At a kink, nothing more can be required.
        """
        middle = self.cost
        slopes = [(self.at(d.parameter, d.index, h, self.C) - middle) / h for h in (-H, H, -H / 100, H / 100)]
        slack = 1e-3 * max(map(abs, slopes)) + 1e-7 * self.size
        return min(slopes) - slack <= d.backward <= max(slopes) + slack


@contextlib.contextmanager
def moved(w: np.ndarray, u: np.ndarray | Index, h: complex) -> Iterator[None]:
    """Within the block, w is w + h u; u is a direction, or the index of an element."""
    kept = w.copy()
    if isinstance(u, tuple):
        w[u] += h
    else:
        w += h * u
    try:
        yield
    finally:
        w[...] = kept


def index_of(k: int, g: np.ndarray) -> Index:
    """The index of the k-th element of g."""
    return tuple(map(int, np.unravel_index(k, g.shape)))


def float64_copy(net: Sequential, kind: type = float) -> Sequential:
    """The same network with its own parameters, in float64 or complex, on the CPU."""
    # A layer's arrays belong to the network it is packed in: its copy starts without
    # them.
    arrays = {id(a): None for p in net.params.values() for a in (p.value, p.grad)}
    twin = Sequential(*copy.deepcopy(net.layers, arrays), seed=net.seed, dtype="float64")
    twin.load_state_dict({name: np.real(a) for name, a in net.state_dict().items()})
    if kind is complex:
        twin.dtype = np.dtype(complex)
        if not twin.layers[0].takes_indices:
            twin.input_dtype = twin.dtype
        for p in twin.params.values():
            p.value = p.value.astype(complex)
    return twin
