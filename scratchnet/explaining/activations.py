"""Formulas of the activations: a = σ(z), and the ⊙ σ′ of BP1 and BP2."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scratchnet.engine import equations
from scratchnet.engine.layers import LogSoftmax, ReLU, Sigmoid, Softmax, Tanh
from scratchnet.explaining.formula import Asked, Formula, Term, place


class Activation(NamedTuple):
    function: str  # as in formula.FUNCTIONS
    equation: str
    prime: str  # σ′ in letters
    prime_of: Callable[[float], float]  # σ′ from the output a


ACTIVATIONS: dict[type, Activation] = {
    Sigmoid: Activation("σ", "a = σ(z)", "a (1 - a)", lambda a: a * (1 - a)),
    Tanh: Activation("tanh", "a = tanh(z)", "1 - a²", lambda a: 1 - a * a),
    ReLU: Activation("max(0, ·)", "a = max(0, z)", "1 where a > 0, else 0", lambda a: float(a != 0)),
}


def output(of: Asked) -> Formula:
    kind, z = of.part.layer, of.part.input[of.example]
    forward = type(kind).forward
    if type(kind) in ACTIVATIONS:
        known = ACTIVATIONS[type(kind)]
        return of.formula("FWD", known.equation, [((place("z", of.index), z[of.index]),)], forward, known.function)
    *lead, k = of.index
    row = z[(*lead, slice(None))].astype(float)
    largest = row.max()
    total = float(np.exp(row - largest).sum())
    if isinstance(kind, Softmax):
        terms: list[Term] = [((f"exp(z[{k}])", math.exp(row[k] - largest)), ("1/Σ exp(z)", 1 / total))]
        return of.formula("FWD", "a = exp(z) / Σ exp(z)", terms, forward,
                          note=f"of every z the largest, {largest:.4g}, is subtracted first")  # fmt: skip
    terms = [((f"z[{k}]", row[k]),), (("-ln Σ exp(z)", -math.log(total) - largest),)]
    return of.formula("FWD", "a = z - ln Σ exp(z)", terms, forward)


def back(of: Asked) -> Formula:
    """∂C/∂z, from ∂C/∂a."""
    kind, a, da = of.part.layer, of.part.output[of.example], of.part.delta[of.example]
    if type(kind) in ACTIVATIONS:
        known = ACTIVATIONS[type(kind)]
        prime = known.prime_of(float(a[of.index]))
        terms: list[Term] = [((place("∂C/∂a", of.index), da[of.index]), (place("σ′", of.index), prime))]
        return of.formula(of.which, f"δ = ∂C/∂a σ′, σ′ = {known.prime}", terms, equations.bp1_error)
    *lead, k = of.index
    row = (*lead, slice(None))
    a, da = a[row].astype(float), da[row].astype(float)
    if isinstance(kind, Softmax):
        terms = [((f"a[{k}]", a[k]), (f"∂C/∂a[{k}]", da[k])), ((f"-a[{k}]", -a[k]), ("Σ a ∂C/∂a", float(a @ da)))]
        return of.formula(of.which, "δ = a (∂C/∂a - Σ a ∂C/∂a)", terms, Softmax.backward)
    terms = [((f"∂C/∂a[{k}]", da[k]),), ((f"-exp(a[{k}])", -math.exp(a[k])), ("Σ ∂C/∂a", float(da.sum())))]
    return of.formula(of.which, "δ = ∂C/∂a - exp(a) Σ ∂C/∂a", terms, LogSoftmax.backward)
