"""Exercises 5 to 8: the four equations of backpropagation."""

from typing import Any

import numpy as np

from scratchnet.engine.losses import QuadraticCost
from scratchnet.exercises.engine import linear, sigmoid
from scratchnet.exercises.task import Arrays, Exercise, Part, Sizes, Slip, autograd, layered, slopes

LAYERS = layered((3, 4, 5), (4, 4, 4), (3, 3, 5), (4, 2, 1), names="in out N")

Random = np.random.Generator


def _logit(a: Any) -> Any:
    """z, where a = σ(z)."""
    return np.log(a / (1 - a))


# ------------------------------------------------------------------------ 5, BP1


def _outputs(rng: Random, s: Sizes) -> Arrays:
    shape = s["out"], s["N"]
    return rng.uniform(0.1, 0.9, shape), rng.uniform(0, 1, shape)


def _cost_of_z(z: Any, t: Any) -> float:
    return float(QuadraticCost().forward(sigmoid(z), t)[0])


BP1 = Exercise(
    "05_bp1",
    "BP1, the error of the last layer",
    (
        Part(
            "bp1",
            ("a", "t"),
            ("delta",),
            layered((3, 5), (4, 4), (3, 1), names="out N"),
            _outputs,
            lambda a, t: slopes(_cost_of_z, (_logit(a), t), (0,)),
            lambda a, t: autograd(lambda z, t: ((z.sigmoid() - t) ** 2).sum() / (2 * z.shape[1]), (_logit(a), t), (0,)),
            {"delta": "multiply the slope of the cost, (a − t)/N, and the slope of the sigmoid, a (1 − a)"},
            (
                Slip("delta", lambda a, t: (a - t) / a.shape[1], "the factor σ′(z) = a (1 − a) is missing"),
                Slip("delta", lambda a, t: (a - t), "σ′(z) and the 1/N are missing"),
                Slip("delta", lambda a, t: a * (1 - a), "this is σ′(z) alone: the slope of the cost is missing"),
                Slip("delta", lambda a, t: (a - t) * a / a.shape[1], "σ′(z) is a (1 − a): the factor 1 − a is missing"),
                Slip("delta", lambda a, t: (a - t) * (1 - a) / a.shape[1],
                     "σ′(z) is a (1 − a): the factor a is missing"),
                Slip("delta", lambda a, t: (a - t) * (1 - a * a) / a.shape[1], "1 − a² is the slope of tanh, not of σ"),
                Slip("delta", lambda a, t: (a - t) * sigmoid(a) * (1 - sigmoid(a)) / a.shape[1],
                     "a is σ(z) already: σ is taken twice"),
                Slip("delta", lambda a, t: (a - t) ** 2 * a * (1 - a) / a.shape[1],
                     "the slope of the cost is no square"),
                Slip("delta", lambda a, t: (a - t) + a * (1 - a), "the two slopes are to be multiplied, not added"),
                Slip("delta", lambda a, t: (a - t) * a * (1 - a) / len(a), "N is the number of columns, not of rows"),
            ),
        ),
    ),
    (
        "C depends on a, and a on z: the chain rule multiplies the two slopes.",
        "∂C/∂a is what you wrote in exercise 3; σ′(z), written with a, is in the lesson.",
    ),
)  # fmt: skip


# ------------------------------------------------------------------------ 6, BP2


def _back(rng: Random, s: Sizes) -> Arrays:
    return (rng.normal(size=(s["out"], s["in"])), rng.normal(size=(s["out"], s["N"])),
            rng.uniform(0.1, 0.9, (s["in"], s["N"])))  # fmt: skip


BP2 = Exercise(
    "06_bp2",
    "BP2, the error goes back through the weights",
    (
        Part(
            "bp2",
            ("W", "delta", "a"),
            ("delta_before",),
            LAYERS,
            _back,
            lambda W, delta, a: slopes(lambda z: linear(W, 0.0, sigmoid(z)), (_logit(a),), (0,), delta),
            lambda W, delta, a: autograd(lambda z, W: W @ z.sigmoid(), (_logit(a), W), (0,), delta),
            {"delta_before": "compute the two factors one by one, Wᵀ δ and a (1 − a); both have the shape of a"},
            (
                Slip("delta_before", lambda W, delta, a: (W @ delta) * a * (1 - a),
                     "a transpose is missing: the error goes back through Wᵀ"),
                Slip("delta_before", lambda W, delta, a: W.T @ delta, "the factor σ′(z_before) = a (1 − a) is missing"),
                Slip("delta_before", lambda W, delta, a: W @ delta, "a transpose and the factor a (1 − a) are missing"),
                Slip("delta_before", lambda W, delta, a: (W.T @ delta) * a,
                     "σ′ is a (1 − a): the factor 1 − a is missing"),
                Slip("delta_before", lambda W, delta, a: (W.T @ delta) * (1 - a),
                     "σ′ is a (1 − a): the factor a is missing"),
                Slip("delta_before", lambda W, delta, a: (W.T @ delta) * (1 - a * a),
                     "1 − a² is the slope of tanh, and the layer before has sigmoids"),
                Slip("delta_before", lambda W, delta, a: (W.T @ delta) * sigmoid(a) * (1 - sigmoid(a)),
                     "a is σ(z) already: σ is taken twice"),
                Slip("delta_before", lambda W, delta, a: (W.T @ delta) + a * (1 - a),
                     "the two factors are to be multiplied, not added"),
                Slip("delta_before", lambda W, delta, a: W.T @ (delta * a * (1 - a)),
                     "σ′ belongs to the layer before: multiply by it after the product with Wᵀ"),
                Slip("delta_before", lambda W, delta, a: (np.linalg.pinv(W) @ delta) * a * (1 - a),
                     "the error goes back through the transposed matrix, not through the inverse"),
            ),
        ),
    ),
    (
        "Write the shapes beside the letters: W is (out, in), delta (out, N), and the result (in, N).",
        "Which matrix times (out, N) gives (in, N)? Not its inverse: only its rows and columns change places.",
        "The product has the shape of a. Multiply it, element by element, by the slope of the sigmoid.",
    ),
)  # fmt: skip


# ------------------------------------------------------------------------ 7, BP3


def _deltas(rng: Random, s: Sizes) -> Arrays:
    return (rng.normal(size=(s["out"], s["N"])),)


def _shifted(b: Any, delta: Any) -> np.ndarray:
    """z of a layer with no inputs to speak of: its biases, for every example."""
    out, N = delta.shape
    return linear(np.zeros((out, 1)), b, np.zeros((1, N)))


BP3 = Exercise(
    "07_bp3",
    "BP3, the slopes of the biases",
    (
        Part(
            "bp3",
            ("delta",),
            ("db",),
            layered((3, 5), (4, 4), (3, 1), names="out N"),
            _deltas,
            lambda delta: slopes(lambda b: _shifted(b, delta), (np.zeros(len(delta)),), (0,), delta),
            lambda delta: autograd(lambda b: b[:, None].expand(*delta.shape), (np.zeros(len(delta)),), (0,), delta),
            {"db": "add δ up over the examples, which are the columns"},
            (
                Slip("db", lambda delta: delta, "the examples still have to be added up"),
                Slip("db", lambda delta: delta.sum(axis=0),
                     "the sum goes over the neurons, but belongs over the examples"),
                Slip("db", lambda delta: delta.sum(), "the sum goes over everything: each bias needs its own"),
                Slip("db", lambda delta: delta.sum(axis=1, keepdims=True),
                     "b has one axis only: the axis of the examples has to go"),
                Slip("db", lambda delta: delta.mean(axis=1), "δ contains the 1/N already: add up, and take no mean"),
                Slip("db", lambda delta: delta[:, 0], "this is the first example alone: add all of them up"),
                Slip("db", lambda delta: delta[:, -1], "this is the last example alone: add all of them up"),
                Slip("db", lambda delta: (delta**2).sum(axis=1), "δ is added up as it is, without a square"),
                Slip("db", lambda delta: abs(delta).sum(axis=1), "δ keeps its sign in the sum"),
                Slip("db", lambda delta: delta.max(axis=1), "this is the largest δ of each neuron: add them up"),
            ),
        ),
    ),
    ("One number for each neuron is wanted: which axis of δ has to go?", "np.sum takes the number of an axis."),
)  # fmt: skip


# ------------------------------------------------------------------------ 8, BP4


def _factors(rng: Random, s: Sizes) -> Arrays:
    return rng.normal(size=(s["out"], s["N"])), rng.normal(size=(s["in"], s["N"]))


BP4 = Exercise(
    "08_bp4",
    "BP4, the slopes of the weights",
    (
        Part(
            "bp4",
            ("delta", "a"),
            ("dW",),
            LAYERS,
            _factors,
            lambda delta, a: slopes(lambda W: linear(W, 0.0, a), (np.zeros((len(delta), len(a))),), (0,), delta),
            lambda delta, a: autograd(lambda W, a: W @ a, (np.zeros((len(delta), len(a))), a), (0,), delta),
            {"dW": "W[j, k] leads from activation k to neuron j: which of the two is the row?"},
            (
                Slip("dW", lambda delta, a: a @ delta.T, "it is transposed: the rows belong to δ, the columns to a"),
                Slip("dW", lambda delta, a: delta @ a,
                     "a transpose is missing: the sum goes over the examples of both"),
                Slip("dW", lambda delta, a: delta.T @ a, "the transpose belongs to a, not to δ"),
                Slip("dW", lambda delta, a: delta * a, "this is the product element by element; every j meets every k"),
                Slip("dW", lambda delta, a: delta @ a.T / a.shape[1],
                     "δ contains the 1/N already: add up, and take no mean"),
                Slip("dW", lambda delta, a: np.outer(delta[:, 0], a[:, 0]), "this is the first example alone"),
                Slip("dW", lambda delta, a: np.outer(delta[:, -1], a[:, -1]), "this is the last example alone"),
                Slip("dW", lambda delta, a: np.outer(delta.sum(axis=1), a.sum(axis=1)),
                     "multiply for each example first, and add up then"),
                Slip("dW", lambda delta, a: delta @ (a * (1 - a)).T, "there is no σ′ here: it is part of δ"),
                Slip("dW", lambda delta, a: np.repeat(delta.sum(axis=1)[:, None], len(a), 1),
                     "the factor a is missing"),
                Slip("dW", lambda delta, a: delta[:, None] * a[None], "the examples still have to be added up"),
            ),
        ),
    ),
    (
        "Write the shapes beside the letters: delta is (out, N), a is (in, N), and dW (out, in).",
        "A product of matrices adds up over the inner axis, and here that has to be N.",
    ),
)  # fmt: skip
