"""Formulas of layers that slide a window over an image: convolutions and pools.

Letters as in layers/conv.py: a position of the window is a cell of the grid, and a tap
meets a cell of the image.
"""

import numpy as np

from scratchnet.engine import equations
from scratchnet.engine.layers import Conv2d
from scratchnet.engine.layers.conv import Convolution
from scratchnet.engine.layers.pool import Pool
from scratchnet.engine.learner import Learner
from scratchnet.explaining.formula import Asked, Formula, Term, place


def output(of: Asked) -> Formula:
    channel, row, column = of.index
    window = of.part.window(channel, row, column, of.example)
    terms: list[Term] = []
    for (c, i, j), value in np.ndenumerate(window.input):
        cell = (c, int(window.rows[i]), int(window.columns[j]))
        if min(cell) >= 0:
            terms.append(((place("W", (c, i, j)), float(window.kernel[c, i, j])), (place("x", cell), float(value))))
    if "bias" in of.part.parameters:
        terms.append(((place("b", (channel,)), window.bias),))
    return of.formula("FWD", "z = Σ W x + b", terms, type(of.part.layer).forward)


def back(of: Asked) -> Formula:
    """∂C/∂x of one cell: the sum of weight times δ over all output cells it contributes
    to.
    """
    kind, (c, row, column), W = of.part.layer, of.index, of.part.parameters["weight"]
    assert isinstance(kind, Convolution)
    forward, delta = isinstance(kind, Conv2d), of.part.delta[of.example]
    rows, columns = (
        w.places_over(at, size) if forward else w.cells_at(at, size)
        for w, at, size in zip(kind.window, (row, column), delta.shape[1:])
    )
    terms: list[Term] = []
    for o, i, j in np.ndindex(len(delta), len(rows), len(columns)):
        if rows[i] >= 0 and columns[j] >= 0:
            tap = (o, c, i, j) if forward else (c, o, i, j)
            cell = (o, int(rows[i]), int(columns[j]))
            terms.append(((place("W", tap), W[tap]), (place("δ", cell), delta[cell])))
    return of.formula("BP2", "∂C/∂x = Σ W δ", terms, equations.bp2_propagate)


def gradient(of: Asked, parameter: str) -> Formula:
    """BP3 sums δ over a whole channel.

    BP4 sums δ times what this tap of the kernel met, over all positions.
    """
    kind, delta = of.part.layer, of.part.delta
    assert isinstance(kind, Convolution)
    if parameter == "bias":
        terms: list[Term] = [
            ((place("δ", (n, of.index[0], p, q)), d),) for (n, p, q), d in np.ndenumerate(delta[:, of.index[0]])
        ]
        return of.formula("BP3", "∂C/∂b = Σ δ", terms, equations.bp3_bias)
    first, second, i, j = of.index
    forward = isinstance(kind, Conv2d)
    grid, image = (delta, of.part.input) if forward else (of.part.input, delta)
    rows, columns = (
        [w.cells_at(at, image.shape[axis])[tap] for at in range(grid.shape[axis])]
        for w, axis, tap in zip(kind.window, (2, 3), (i, j))
    )
    of_grid, of_image = ("δ", "x") if forward else ("x", "δ")
    terms = []
    for n, p, q in np.ndindex(len(grid), *grid.shape[2:]):
        if rows[p] >= 0 and columns[q] >= 0:
            here, met = (n, first, p, q), (n, second, rows[p], columns[q])
            terms.append(((place(of_grid, here), grid[here]), (place(of_image, met), image[met])))
    return of.formula("BP4", "∂C/∂W = Σ δ x", terms, equations.bp4_weight)


# ------------------------------------------------------------------------------ pools


def pool_output(of: Asked) -> Formula:
    kind, (_, row, column) = of.part.layer, of.index
    assert isinstance(kind, Pool)
    sizes = of.part.input.shape[2:]
    rows, columns = (w.cells_at(at, size) for w, at, size in zip(kind.window, (row, column), sizes))
    note = f"{type(kind).__name__} of rows {_range(rows)} and columns {_range(columns)}"
    terms = [((place("y", of.index), of.value),)]
    return of.formula("FWD", "y = one number of each window", terms, type(kind).forward, note=note)


def pool_back(of: Asked) -> Formula:
    """∂C/∂x of one cell: the positions whose window covers it, and its share in each.

    The pool's own backward gives the shares.
    """
    kind, (c, row, column), delta = of.part.layer, of.index, of.part.delta[of.example]
    assert isinstance(kind, Pool)
    rows, columns = (w.places_over(at, size) for w, at, size in zip(kind.window, (row, column), delta.shape[1:]))
    places = [(p, q) for p in rows for q in columns if p >= 0 and q >= 0]
    terms: list[Term] = []
    if places:  # otherwise no window meets this cell
        x = np.repeat(of.part.input[of.example][c : c + 1, :, :, None], len(places), axis=3)
        y, cache = kind.forward(np.ascontiguousarray(x), Learner())
        one = np.zeros_like(y)
        for n, at in enumerate(places):
            one[(0, *at, n)] = 1
        dx = kind.backward(one, cache, Learner(), True)
        assert dx is not None
        for at, share in zip(places, dx[0, row, column]):
            terms.append(((place("∂y/∂x", at), share), (place("δ", (c, *at)), delta[(c, *at)])))
    return of.formula(of.which, "∂C/∂x = Σ ∂y/∂x δ", terms, type(kind).backward)


def _range(cells: np.ndarray) -> str:
    there = cells[cells >= 0]
    return f"{there.min()} to {there.max()}" if len(there) else "none"
