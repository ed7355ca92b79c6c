"""Exercises 9 and 10: the fully connected layer; softmax and cross entropy."""

from typing import Any

import numpy as np

from scratchnet.engine.layers import Softmax
from scratchnet.engine.losses import CrossEntropyLoss
from scratchnet.exercises.engine import linear, through
from scratchnet.exercises.equations import LAYERS
from scratchnet.exercises.neurons import BY_DEFINITION
from scratchnet.exercises.task import Arrays, Exercise, Part, Sizes, Slip, autograd, layered, slopes

Random = np.random.Generator


# --------------------------------------------------------------- 9, the linear layer


def _forward_case(rng: Random, s: Sizes) -> Arrays:
    return rng.normal(size=(s["out"], s["in"])), rng.normal(size=s["out"]), rng.normal(size=(s["in"], s["N"]))


def _backward_case(rng: Random, s: Sizes) -> Arrays:
    return (rng.normal(size=(s["out"], s["in"])), rng.normal(size=(s["in"], s["N"])),
            rng.normal(size=(s["out"], s["N"])))  # fmt: skip


def _by_torch(W: Any, b: Any, a: Any) -> Any:
    import torch

    return torch.nn.functional.linear(a.T, W, b).T


def _forward_by_torch(W: Any, b: Any, a: Any) -> Arrays:
    import torch

    return (_by_torch(torch.tensor(W), torch.tensor(b), torch.tensor(a)).numpy(),)


LINEAR = Exercise(
    "09_linear",
    "a fully connected layer",
    (
        Part(
            "forward",
            ("W", "b", "a"),
            ("z",),
            LAYERS,
            _forward_case,
            lambda W, b, a: (linear(W, b, a),),
            _forward_by_torch,
            {"z": "it is one product of matrices, and then one bias for each row"},
            (
                Slip("z", lambda W, b, a: W @ a, "the bias is missing"),
                Slip("z", lambda W, b, a: W @ a - b[:, None], "the bias is to be added, not subtracted"),
                Slip("z", lambda W, b, a: W @ a + b, "the bias belongs to the rows: b[:, None] is a column"),
                Slip("z", lambda W, b, a: W.T @ a + b[:, None],
                     "W is transposed, and must not be: forward takes W itself"),
                Slip("z", lambda W, b, a: (a.T @ W.T + b), "it is transposed: the examples are the columns of z"),
            ),
            BY_DEFINITION,
        ),
        Part(
            "backward",
            ("W", "a", "delta"),
            ("dW", "db", "da"),
            LAYERS,
            _backward_case,
            lambda W, a, delta: slopes(linear, (W, np.zeros(len(W)), a), (0, 1, 2), delta),
            lambda W, a, delta: autograd(_by_torch, (W, np.zeros(len(W)), a), (0, 1, 2), delta),
            {
                "dW": "look at BP4, exercise 8",
                "db": "look at BP3, exercise 7",
                "da": "look at what backward returns for the input; BP2, exercise 6, without its σ′",
            },
            (
                Slip("da", lambda W, a, delta: W @ delta,
                     "look at what backward returns for the input: a transpose is missing in BP2"),
                Slip("da", lambda W, a, delta: (W.T @ delta) * a * (1 - a),
                     "look at what backward returns for the input: this layer has no σ′, leave that to the activation"),
                Slip("da", lambda W, a, delta: delta,
                     "the error is returned as it came: it has to go through Wᵀ (BP2)"),
                Slip("dW", lambda W, a, delta: a @ delta.T, "dW is transposed: BP4 is δ aᵀ"),
                Slip("dW", lambda W, a, delta: delta @ a.T / a.shape[1],
                     "δ contains the 1/N already: BP4 takes no mean"),
                Slip("dW", lambda W, a, delta: delta @ a, "a transpose is missing in BP4: δ aᵀ"),
                Slip("db", lambda W, a, delta: delta.mean(axis=1), "δ contains the 1/N already: BP3 takes no mean"),
                Slip("db", lambda W, a, delta: delta.sum(axis=0),
                     "BP3 adds up over the examples, which are the columns"),
                Slip("db", lambda W, a, delta: delta.sum(axis=1, keepdims=True),
                     "b has one axis, and so has its slope"),
                Slip("db", lambda W, a, delta: delta, "BP3 adds up over the examples"),
            ),
        ),
    ),
    (
        "You have written all of it: forward is exercise 1 for many neurons, backward exercises 6 to 8.",
        "A bias of shape (out,) is made a column by b[:, None], and then added to every example.",
        "da has no σ′ here, because the activation is a layer of its own.",
    ),
)  # fmt: skip


# --------------------------------------------------- 10, softmax and cross entropy

CLASSES = layered((3, 5), (4, 4), (3, 1), (3, 2), names="K N")


def _logits(rng: Random, s: Sizes) -> Arrays:
    """Logits; with two examples, such large ones that careless code overflows."""
    return (rng.normal(size=(s["K"], s["N"])) + (1000.0 if s["N"] == 2 else 0.0),)


def _labelled(rng: Random, s: Sizes) -> Arrays:
    return *_logits(rng, s), rng.integers(0, s["K"], s["N"])


def _softmax_by_torch(z: Any) -> Arrays:
    import torch

    return (torch.softmax(torch.tensor(z), 0).numpy(),)


def _cost(z: Any, labels: Any) -> float:
    return float(CrossEntropyLoss().forward(np.array(z), labels)[0])


def _cross_entropy_by_torch(z: Any, labels: Any) -> Arrays:
    import torch

    def C(z: Any) -> Any:
        return torch.nn.functional.cross_entropy(z.T, torch.tensor(labels))

    return (C(torch.tensor(z)).numpy(), *autograd(C, (z,), (0,)))


def _p(z: Any) -> np.ndarray:
    return through(Softmax(), z)


def _y(z: Any, labels: Any) -> np.ndarray:
    return np.eye(len(z))[:, labels]


SOFTMAX = Exercise(
    "10_softmax",
    "softmax and cross entropy",
    (
        Part(
            "softmax",
            ("z",),
            ("p",),
            CLASSES,
            _logits,
            lambda z: (_p(z),),
            _softmax_by_torch,
            {"p": "all p are positive, and each column adds up to 1"},
            (
                Slip("p", np.exp, "each column has to be divided by its sum"),
                Slip("p", lambda z: np.exp(z) / np.exp(z).sum(),
                     "every example has a sum of its own: add up over the classes alone"),
                Slip("p", lambda z: np.exp(z - z.max()) / np.exp(z - z.max()).sum(),
                     "every example has a sum of its own: add up over the classes alone"),
                Slip("p", lambda z: np.exp(z - z.max(axis=0)) / np.exp(z - z.max(axis=0)).sum(),
                     "every example has a sum of its own: add up over the classes alone"),
                Slip("p", lambda z: _p(z.T).T, "the sum goes over the examples, but belongs over the classes, axis 0"),
                Slip("p", lambda z: _p(-z), "the exponent is z, and not −z"),
                Slip("p", lambda z: z / z.sum(axis=0), "the exponential is missing"),
                Slip("p", lambda z: 1 / (1 + np.exp(-z)), "this is the sigmoid, whose values do not add up to 1"),
                Slip("p", lambda z: np.log(_p(z)), "this is the logarithm of the probabilities"),
            ),
            BY_DEFINITION,
        ),
        Part(
            "cross_entropy",
            ("z", "labels"),
            ("C", "dz"),
            CLASSES,
            _labelled,
            lambda z, labels: (_cost(z, labels), *slopes(_cost, (z, labels), (0,))),
            _cross_entropy_by_torch,
            {"C": "it is −ln p of the right class, as a mean over the examples",
             "dz": "it is (p − y)/N, where y has a single 1 in each column"},
            (
                Slip("C", lambda z, t: _cost(z, t) * z.shape[1], "C is a mean over the examples: divide by N"),
                Slip("C", lambda z, t: -_cost(z, t), "the minus before the logarithm is missing"),
                Slip("C", lambda z, t: -np.log(_p(z)).mean(), "only the p of the right class counts"),
                Slip("C", lambda z, t: 1 - (_p(z) * _y(z, t)).sum(axis=0).mean(), "the logarithm is missing"),
                Slip("C", lambda z, t: -(_p(z) * _y(z, t)).sum(axis=0).mean(), "the logarithm is missing"),
                Slip("C", lambda z, t: -np.log2((_p(z) * _y(z, t)).sum(axis=0)).mean(),
                     "the logarithm is the natural one"),
                Slip("C", lambda z, t: _cost(_p(z), t), "the softmax is taken twice"),
                Slip("dz", lambda z, t: _p(z) - _y(z, t), "the 1/N of the mean is missing"),
                Slip("dz", lambda z, t: _p(z), "the y is missing: 1 has to be subtracted at the right class"),
                Slip("dz", lambda z, t: _p(z) / z.shape[1],
                     "the y is missing: 1 has to be subtracted at the right class"),
                Slip("dz", lambda z, t: (_p(z) - _y(z, t)) / z.size, "divide by the number of examples alone"),
                Slip("dz", lambda z, t: -_y(z, t) / _p(z) / z.shape[1],
                     "this is the slope by p: it has to go through the softmax to z"),
                Slip("dz", lambda z, t: (_p(z) - _y(z, t)) * _p(z) * (1 - _p(z)) / z.shape[1],
                     "there is no σ′ here: it has cancelled"),
            ),
            "the definition and its differences give",
        ),
    ),
    (
        "np.max and np.sum with axis=0, keepdims=True give one number for each column, ready to subtract or divide.",
        "p[labels, np.arange(N)] picks the right class of every example.",
        "To subtract y, copy p and subtract 1 at [labels, np.arange(N)].",
    ),
)  # fmt: skip
