"""Formulas of Linear: z = W a + b, and BP2, BP3 and BP4 as the textbook has them.

Of a sequence every time has its own a, z and δ: the index is (time, unit).
"""

import numpy as np

from scratchnet.engine import equations
from scratchnet.engine.layers import Linear
from scratchnet.explaining.formula import Asked, Formula, Term, place


def output(of: Asked) -> Formula:
    (*time, j), p = of.index, of.part.parameters
    a = of.part.input[(of.example, *time)]
    terms: list[Term] = [
        ((place("W", (j, i)), w), (place("a", (*time, i)), v)) for i, (w, v) in enumerate(zip(p["weight"][j], a))
    ]
    if "bias" in p:
        terms.append(((place("b", (j,)), p["bias"][j]),))
    return of.formula("FWD", "z = W a + b" if "bias" in p else "z = W a", terms, Linear.forward)


def back(of: Asked) -> Formula:
    """∂C/∂ an input: BP2 up to the σ′."""
    *time, i = of.index
    delta, W = of.part.delta[(of.example, *time)], of.part.parameters["weight"][:, i]
    terms = [((place("W", (k, i)), w), (place("δ", (*time, k)), d)) for k, (w, d) in enumerate(zip(W, delta))]
    return of.formula("BP2", "∂C/∂a = Wᵀ δ", terms, equations.bp2_propagate)


def gradient(of: Asked, parameter: str) -> Formula:
    delta, a = of.part.delta, of.part.input
    everywhere = list(np.ndindex(delta.shape[:-1]))  # of all examples, and all times
    if parameter == "bias":
        (j,) = of.index
        terms: list[Term] = [((place("δ", (*at, j)), delta[(*at, j)]),) for at in everywhere]
        return of.formula("BP3", "∂C/∂b = δ" if len(terms) == 1 else "∂C/∂b = Σ δ", terms, equations.bp3_bias)
    j, i = of.index
    terms = [((place("δ", (*at, j)), delta[(*at, j)]), (place("a", (*at, i)), a[(*at, i)])) for at in everywhere]
    return of.formula("BP4", "∂C/∂W = δ aᵀ" if len(terms) == 1 else "∂C/∂W = Σ δ aᵀ", terms, equations.bp4_weight)
