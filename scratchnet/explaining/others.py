"""Formulas of the other layers: normalisation, dropout, Flatten, and a user's own
layers.
"""

import numpy as np

from scratchnet.engine import equations
from scratchnet.engine.layers import Flatten
from scratchnet.engine.layers.norm import BatchNorm
from scratchnet.engine.trace import LayerTrace, Trace
from scratchnet.explaining.formula import Asked, Formula, Term, place

# ------------------------------------------------------------------ batch normalisation


def normalised(trace: Trace, part: LayerTrace) -> tuple[np.ndarray, np.ndarray]:
    """(x̂ of all examples, 1/σ of every channel), with the statistics of this pass."""
    kind, x, p = part.layer, part.input.astype(float), part.parameters
    assert isinstance(kind, BatchNorm)
    axes = tuple(k for k in range(x.ndim) if k != 1)
    shape = (1, -1, *(1,) * (x.ndim - 2))
    mean, var = (x.mean(axes), x.var(axes)) if trace.training else (p["running_mean"], p["running_var"])
    inverse = 1 / np.sqrt(var.astype(float) + kind.eps)
    return (x - mean.reshape(shape)) * inverse.reshape(shape), inverse


def norm_output(of: Asked) -> Formula:
    x_hat, _ = normalised(of.trace, of.part)
    c, p = of.index[0], of.part.parameters
    terms: list[Term] = [
        ((place("γ", (c,)), p["weight"][c]), (place("x_hat", of.index), x_hat[(of.example, *of.index)])),
        ((place("β", (c,)), p["bias"][c]),),
    ]
    return of.formula("FWD", "y = γ x_hat + β, x_hat = (x - μ)/σ", terms, BatchNorm.forward)


def norm_back(of: Asked) -> Formula:
    x_hat, inverse = normalised(of.trace, of.part)
    c, delta, here = of.index[0], of.part.delta.astype(float), (of.example, *of.index)
    scale = float(of.part.parameters["weight"][c] * inverse[c])
    own: Term = ((f"γ[{c}]/σ[{c}]", scale), (place("δ", of.index), delta[here]))
    if not of.trace.training:
        return of.formula(of.which, "∂C/∂x = γ/σ δ", [own], BatchNorm.backward)
    minus, mean, overlap = (f"-γ[{c}]/σ[{c}]", -scale), delta[:, c].mean(), (delta[:, c] * x_hat[:, c]).mean()
    terms: list[Term] = [
        own,
        (minus, ("mean(δ)", mean)),
        (minus, (place("x_hat", of.index), x_hat[here]), ("mean(δ x_hat)", overlap)),
    ]
    return of.formula(of.which, "∂C/∂x = γ/σ (δ - mean(δ) - x_hat mean(δ x_hat))", terms, BatchNorm.backward)


def norm_gradient(of: Asked, parameter: str) -> Formula:
    (c,), delta = of.index, of.part.delta
    x_hat, _ = normalised(of.trace, of.part)
    terms: list[Term] = []
    for at, d in np.ndenumerate(delta[:, c]):
        here = (at[0], c, *at[1:])
        factor = (place("δ", here), float(d))
        terms.append((factor, (place("x_hat", here), float(x_hat[here]))) if parameter == "weight" else (factor,))
    equation = "∂C/∂γ = Σ δ x_hat" if parameter == "weight" else "∂C/∂β = Σ δ"
    return of.formula("BP3", equation, terms, equations.bp3_bias)


# ------------------------------------------------------------------------------ dropout


def _mask(of: Asked) -> float:
    """What dropout multiplied this number by: 0 or 1/(1 − p); 1 if inactive."""
    here = (of.example, *of.index)
    x = float(of.part.input[here])
    return float(of.part.output[here]) / x if x else 1.0


def dropout_output(of: Asked) -> Formula:
    x = of.part.input[(of.example, *of.index)]
    return of.formula(
        "FWD", "y = x mask", [((place("x", of.index), x), ("mask", _mask(of)))], type(of.part.layer).forward
    )


def dropout_back(of: Asked) -> Formula:
    delta, mask = float(of.part.delta[(of.example, *of.index)]), _mask(of)
    if not of.part.input[(of.example, *of.index)] and delta:
        mask = of.value / delta  # of an input of 0 the output does not tell
    terms = [((place("δ", of.index), delta), ("mask", mask))]
    return of.formula(of.which, "∂C/∂x = δ mask", terms, type(of.part.layer).backward)


# ------------------------------------------------- the same number, and what is unknown


def _elsewhere(index: tuple[int, ...], shape: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    """The same element in another shape."""
    return tuple(map(int, np.unravel_index(np.ravel_multi_index(index, shape), other)))


def flatten_output(of: Asked) -> Formula:
    at = _elsewhere(of.index, of.part.output.shape[1:], of.part.input.shape[1:])
    terms = [((place("x", at), of.part.input[(of.example, *at)]),)]
    return of.formula("FWD", "y = x, in another shape", terms, Flatten.forward)


def flatten_back(of: Asked) -> Formula:
    at = _elsewhere(of.index, of.part.input.shape[1:], of.part.output.shape[1:])
    terms = [((place("δ", at), of.part.delta[(of.example, *at)]),)]
    return of.formula(of.which, "∂C/∂x = δ, in another shape", terms, Flatten.backward)


def own_output(of: Asked) -> Formula:
    """For a layer whose equation is not known here: the value, and where it is
    computed.
    """
    return of.formula("FWD", "y, by its forward", [((place("y", of.index), of.value),)], type(of.part.layer).forward)


def own_back(of: Asked) -> Formula:
    terms = [((place("∂C/∂x", of.index), of.value),)]
    return of.formula(of.which, "∂C/∂x, by its backward", terms, type(of.part.layer).backward)


def own_gradient(of: Asked, parameter: str) -> Formula:
    terms = [((place(f"∂C/∂{parameter}", of.index), of.value),)]
    return of.formula("BP4", f"∂C/∂{parameter}, by its backward", terms, type(of.part.layer).backward)
