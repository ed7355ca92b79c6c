"""Formulas of Embedding: the row of W that is looked up, and sums of δ."""

import numpy as np

from scratchnet.engine import equations
from scratchnet.engine.layers import Embedding
from scratchnet.explaining.formula import Asked, Formula, Term, place


def output(of: Asked) -> Formula:
    *time, d = of.index
    row = int(of.part.input[(of.example, *time)])
    terms: list[Term] = [((place("W", (row, d)), of.part.parameters["weight"][row, d]),)]
    return of.formula("FWD", f"y = W[x], x = {row}", terms, Embedding.forward)


def back(of: Asked) -> Formula:
    return of.formula(of.which, "an index has no derivative", [], Embedding.backward)


def gradient(of: Asked, parameter: str) -> Formula:
    assert isinstance(of.part.layer, Embedding)
    row, d = of.index
    places = [] if row == of.part.layer.padding_idx else np.argwhere(of.part.input == row).tolist()
    terms: list[Term] = [((place("δ", (*at, d)), of.part.delta[(*at, d)]),) for at in places]
    return of.formula("BP4", f"∂C/∂W = Σ δ where x = {row}", terms, equations.bp4_rows)
