"""What happens inside a layer: the window behind a cell, and the gates at a time step.

The cell is one of a feature map, the time step one of a sequence. Letters as in
layers/conv.py and layers/recurrent.py. Results have PyTorch's shapes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy, xp_of
from scratchnet.engine import checks
from scratchnet.engine.columns import to_rows
from scratchnet.engine.layers.conv import Conv2d, Convolution
from scratchnet.engine.layers.gru import GRU
from scratchnet.engine.layers.lstm import LSTM
from scratchnet.engine.layers.recurrent import Arrays, Recurrent
from scratchnet.engine.learner import Learner
from scratchnet.engine.tables import html_table, text_table


def rows_of(columns: Array) -> np.ndarray:
    """A copy as a NumPy array, batch first."""
    return np.array(to_rows(to_numpy(columns)), order="C")


# ------------------------------------------------------------ one cell of a feature map


@dataclass(frozen=True)
class CellWindow:
    """The window behind one cell of a convolution's output: Σ input ⊙ kernel + bias.

    `input` and `kernel` are (C, kh, kw). Tap (i, j) of the window meets the image in
    row `rows[i]` and column `columns[j]`. In the padding, where there is no cell, that
    is −1 and the input is 0.
    """

    input: np.ndarray
    kernel: np.ndarray
    bias: float
    rows: np.ndarray
    columns: np.ndarray

    @property
    def products(self) -> np.ndarray:
        """input ⊙ kernel, (C, kh, kw)."""
        return self.input * self.kernel

    @property
    def sum(self) -> float:
        return float(self.products.sum() + self.bias)


def window_of(
    layer: Convolution, parameters: Mapping[str, np.ndarray], image: np.ndarray, channel: int, row: int, column: int
) -> CellWindow:
    """The window behind output[channel, row, column] for one image (C, H, W).

    Raises SettingError if the output has no such cell.
    """
    sizes = layer.output_shape(image.shape)
    for size, (name, value) in zip(sizes, {"channel": channel, "row": row, "column": column}.items(), strict=True):
        checks.whole("window", name, value, 0, size - 1)
    forward, W = isinstance(layer, Conv2d), parameters["weight"]
    rows, columns = (
        w.cells_at(place, size) if forward else w.places_over(place, size)
        for w, place, size in zip(layer.window, (row, column), image.shape[1:], strict=True)
    )
    met = (rows >= 0)[:, None] & (columns >= 0)
    return CellWindow(
        np.where(met, image[:, rows][:, :, columns], 0),
        W[channel] if forward else W[:, channel],
        float(parameters["bias"][channel]) if layer.b is not None else 0.0,
        rows,
        columns,
    )


# --------------------------------------------------------------- one time of a sequence


class Time(SimpleNamespace):
    """One time step of a recurrent layer: input, gates and state, with their errors.

    All arrays are (N, ·). `x` is x_t, `h_before` and `h` are h_{t−1} and h_t, and `dh`
    = ∂C/∂h_t. An LSTM has the gates `i`, `f`, `g`, `o` and, for its cell state,
    `c_before`, `c`, `dc`; a GRU has the gates `r`, `z`, `n`, and `q` as in
    layers/gru.py. `delta_i` is ∂C/∂z_i, the error of the weighted input of gate i, and
    so on; for an RNN it is `delta_h`. `time["i"]` is `time.i`.
    """

    def __getitem__(self, name: str) -> np.ndarray:
        return vars(self)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self))

    def keys(self) -> list[str]:
        return list(vars(self))

    def __repr__(self) -> str:
        return text_table(self._rows())

    def _repr_html_(self) -> str:
        return html_table(self._rows())

    def _rows(self) -> list[dict[str, str]]:
        """The numbers of the first example."""
        shown = {name: np.array2string(value[0], precision=4, threshold=6) for name, value in vars(self).items()}
        return [{"": name, "of the first example": " ".join(text.split())} for name, text in shown.items()]


def through_time(layer: Recurrent, cache: Any, delta: Array, learn: Learner) -> list[list[Time]]:
    """All time steps of every layer in the stack.

    `cache` is what `forward` kept, and δ = ∂C/∂output, in columns. `learn` is a learner
    that receives the gradients once more. The cells used are those that read like the
    equations.
    """
    (caches, _), stack = cache, []
    above = delta if layer.output == "sequence" else None
    for k in reversed(range(layer.num_layers)):
        a, W_hh = caches[k][0], layer.weights[k][1].value
        begin = (xp_of(a).zeros_like(a[0, : layer.hidden_size]),) * layer.states
        passed = _forward(layer, k, a, begin)
        grads = begin
        if k == layer.num_layers - 1 and above is None:
            grads = (delta, *begin[1:])
        times, deltas = [], []
        for t in reversed(range(len(passed))):
            before, after, kept = passed[t]
            if above is not None:
                grads = (grads[0] + above[t], *grads[1:])
            delta_t, grads_before = layer.cell_back(W_hh, grads, kept)
            columns = {"x": a[t, layer.hidden_size : -1], **_named(layer, before, after, kept, grads, delta_t)}
            times.append(Time(**{name: rows_of(value) for name, value in columns.items()}))
            deltas.append(delta_t)
            grads = grads_before
        above = layer.tell(k, xp_of(a).stack(deltas[::-1]), a, learn, True)
        stack.append(times[::-1])
    return stack[::-1]


def _forward(layer: Recurrent, k: int, a: Array, state: Arrays) -> list[tuple[Arrays, Arrays, Any]]:
    """(state before, state after, what `cell_back` needs) of every time."""
    W, passed = layer.joined(k, None), []
    for a_t in a[:-1]:
        after, kept = layer.cell(W, a_t, state)
        passed.append((state, after, kept))
        state = after
    return passed


def _named(layer: Recurrent, before: Arrays, after: Arrays, kept: Any, grads: Arrays, delta: Array) -> dict[str, Array]:
    """The numbers of one time by their letters, in columns."""
    named = {"h_before": before[0], "h": after[0], "dh": grads[0]}
    gates = ["h"]
    if isinstance(layer, LSTM):
        c_before, i, f, g, o, tanh_c = kept
        # through later times, and through h_t
        dc = grads[1] + grads[0] * o * (1 - tanh_c * tanh_c)
        named |= {"i": i, "f": f, "g": g, "o": o, "c_before": c_before, "c": after[1], "dc": dc}
        gates = ["i", "f", "g", "o"]
    elif isinstance(layer, GRU):
        _, r, z, q, n = kept
        named |= {"r": r, "z": z, "q": q, "n": n}
        gates = ["r", "z", "q", "n"]
    blocks = xp_of(delta).split(delta, len(gates))
    return named | {f"delta_{gate}": block for gate, block in zip(gates, blocks)}
