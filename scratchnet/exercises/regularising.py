"""Exercises 20 and 21: batch normalisation and dropout."""

from typing import Any

import numpy as np

from scratchnet.engine.layers import BatchNorm1d
from scratchnet.exercises.engine import through
from scratchnet.exercises.neurons import BY_DEFINITION
from scratchnet.exercises.task import Arrays, Exercise, Part, Sizes, Slip, autograd, layered, slopes

BATCHES = layered((3, 5), (4, 4), (3, 2), names="F N")
MASKED = layered((3, 5), (4, 4), (3, 1), names="F N")

Random = np.random.Generator


# --------------------------------------------------------- 20, batch normalisation


def _features(rng: Random, s: Sizes) -> Arrays:
    F = s["F"]
    return rng.normal(size=(F, s["N"])) * 2 + 3, rng.uniform(0.5, 2, F), rng.normal(size=F), 0.1


def _normed(x: Any, gamma: Any, beta: Any, eps: Any) -> np.ndarray:
    return through(BatchNorm1d(len(x), eps=float(eps)), x, gamma, beta, training=True)


def _by_torch(x: Any, gamma: Any, beta: Any, eps: Any) -> Any:
    import torch

    return torch.nn.functional.batch_norm(x.T, None, None, gamma, beta, training=True, eps=eps).T


def _norm_by_torch(x: Any, gamma: Any, beta: Any, eps: Any) -> Arrays:
    import torch

    return (_by_torch(torch.tensor(x), torch.tensor(gamma), torch.tensor(beta), eps).numpy(),)


def _back_case(rng: Random, s: Sizes) -> Arrays:
    x, gamma, _, eps = _features(rng, s)
    return x, gamma, eps, rng.normal(size=x.shape)


def _hat(x: Any, eps: Any) -> np.ndarray:
    return _normed(x, np.ones(len(x)), np.zeros(len(x)), eps)


def _scale(x: Any, gamma: Any, eps: Any) -> np.ndarray:
    """γ / √(v + eps), as a column."""
    return (gamma / np.sqrt(x.var(axis=1) + eps))[:, None]


def _mean(a: Any) -> np.ndarray:
    return a.mean(axis=1, keepdims=True)


BATCH_NORM = Exercise(
    "20_batch_norm",
    "batch normalisation, forward and backward",
    (
        Part(
            "batch_norm",
            ("x", "gamma", "beta", "eps"),
            ("y",),
            BATCHES,
            _features,
            lambda x, gamma, beta, eps: (_normed(x, gamma, beta, eps),),
            _norm_by_torch,
            {"y": "with γ = 1 and β = 0 every row has the mean 0; check μ, v and eps one by one"},
            (
                Slip("y", lambda x, g, b, eps: _hat(x, eps), "γ and β are missing"),
                Slip("y", lambda x, g, b, eps: _normed(x, g, 0 * b, eps), "β is missing"),
                Slip("y", lambda x, g, b, eps: _normed(x, np.ones(len(x)), b, eps), "γ is missing"),
                Slip("y", lambda x, g, b, eps: _normed(x, g, b, 0), "eps is missing"),
                Slip("y", lambda x, g, b, eps: g[:, None] * (x - _mean(x)) / (x.var(1) + eps)[:, None] + b[:, None],
                     "the root is missing"),
                Slip("y", lambda x, g, b, eps: g[:, None] * (x - _mean(x)) / (x.std(1) + eps)[:, None] + b[:, None],
                     "eps belongs under the root: √(v + eps)"),
                Slip("y", lambda x, g, b, eps: g[:, None] * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + b[:, None],
                     "mean and variance are taken over the features, but belong over the examples"),
                Slip("y", lambda x, g, b, eps: g[:, None] * (x - x.mean()) / np.sqrt(x.var() + eps) + b[:, None],
                     "every feature has a mean and a variance of its own"),
                Slip("y", lambda x, g, b, eps: _scale(x, g, eps) * x + b[:, None], "μ is not subtracted"),
                Slip("y", lambda x, g, b, eps:
                     g[:, None] * (x - _mean(x)) / np.sqrt(x.var(1, ddof=1) + eps)[:, None] + b[:, None],
                     "the variance has the divisor N here, and not N − 1"),
            ),
            BY_DEFINITION,
        ),
        Part(
            "batch_norm_back",
            ("x", "gamma", "eps", "delta"),
            ("dx", "dgamma", "dbeta"),
            BATCHES,
            _back_case,
            lambda x, gamma, eps, delta: slopes(
                lambda x, gamma, beta: _normed(x, gamma, beta, eps), (x, gamma, np.zeros(len(x))), (0, 1, 2), delta),
            lambda x, gamma, eps, delta: autograd(
                lambda x, gamma, beta: _by_torch(x, gamma, beta, eps), (x, gamma, np.zeros(len(x))), (0, 1, 2), delta),
            {"dx": "check its three terms, and the means over the examples, one by one",
             "dgamma": "it is Σ delta ⊙ x̂ over the examples", "dbeta": "it is Σ delta over the examples"},
            (
                Slip("dx", lambda x, g, eps, d: _scale(x, g, eps) * d,
                     "it takes μ and v as constants: two terms are missing"),
                Slip("dx", lambda x, g, eps, d: _scale(x, g, eps) * (d - _mean(d)),
                     "the term of v is missing: x̂ ⊙ mean of (delta ⊙ x̂)"),
                Slip("dx", lambda x, g, eps, d: _scale(x, g, eps) * (d - _hat(x, eps) * _mean(d * _hat(x, eps))),
                     "the term of μ is missing: the mean of delta"),
                Slip("dx", lambda x, g, eps, d: _scale(x, g / g, eps) * _bracket(x, eps, d), "the factor γ is missing"),
                Slip("dx", lambda x, g, eps, d: g[:, None] * _bracket(x, eps, d), "the factor 1/√(v + eps) is missing"),
                Slip("dx", lambda x, g, eps, d: _scale(x, g, eps) * (d - _mean(d) - _hat(x, eps) * _mean(d)),
                     "the last mean is that of delta ⊙ x̂"),
                Slip("dgamma", lambda x, g, eps, d: (d * x).sum(axis=1), "dγ takes x̂, and not x"),
                Slip("dgamma", lambda x, g, eps, d: (d * _hat(x, eps)).mean(axis=1),
                     "delta contains the 1/N already: add up"),
                Slip("dgamma", lambda x, g, eps, d: d.sum(axis=1), "the factor x̂ is missing"),
                Slip("dbeta", lambda x, g, eps, d: d.mean(axis=1), "delta contains the 1/N already: add up"),
                Slip("dbeta", lambda x, g, eps, d: d.sum(axis=0), "add up over the examples, which are the columns"),
            ),
        ),
    ),
    (
        "x.mean(axis=1, keepdims=True) gives one number for each row, ready to be subtracted; x.var is its companion.",
        "gamma[:, None] makes a column of γ. eps is added under the root.",
        "In backward compute x̂ again; then each term of dx is one line.",
    ),
)  # fmt: skip


def _bracket(x: Any, eps: Any, d: Any) -> np.ndarray:
    """delta without its mean, and without its part along x̂."""
    hat = _hat(x, eps)
    return d - _mean(d) - hat * _mean(d * hat)


# -------------------------------------------------------------------- 21, dropout


def _kept(rng: Random, s: Sizes) -> Arrays:
    """An array, which neurons are kept, and p; one case is that of a network in use."""
    x = rng.normal(size=(s["F"], s["N"]))
    keep = rng.random(x.shape) >= 0.4
    keep.flat[:2] = True, False
    return x, (None if s["N"] == 1 else keep), 0.4


def _dropped(x: Any, keep: Any, p: Any) -> Any:
    return x if keep is None else x * keep / (1 - p)


def _dropout_by_torch(x: Any, keep: Any, p: Any) -> Arrays:
    import torch

    x = torch.tensor(x)
    return ((x if keep is None else torch.where(torch.tensor(keep), x / (1 - p), torch.zeros_like(x))).numpy(),)


def _back_of_dropout(rng: Random, s: Sizes) -> Arrays:
    x, keep, p = _kept(rng, s)
    return np.arange(x.size).reshape(x.shape) % 3 > 0 if keep is None else keep, p, x


DROPOUT = Exercise(
    "21_dropout",
    "dropout",
    (
        Part(
            "dropout",
            ("x", "keep", "p"),
            ("y",),
            MASKED,
            _kept,
            lambda x, keep, p: (_dropped(x, keep, p),),
            _dropout_by_torch,
            {"y": "what is kept is divided by 1 − p, what is dropped is 0, and with keep = None y is x"},
            (
                Slip("y", lambda x, keep, p: x * keep, "what is kept has to be divided by 1 − p"),
                Slip("y", lambda x, keep, p: x * keep * (1 - p), "divide by 1 − p: what is kept becomes larger"),
                Slip("y", lambda x, keep, p: x * keep / p, "p is the probability to be dropped: divide by 1 − p"),
                Slip("y", lambda x, keep, p: x * ~keep / (1 - p), "keep is True where a neuron is kept"),
                Slip("y", lambda x, keep, p: x / (1 - p), "nothing is dropped, or x is scaled in use too"),
                Slip("y", lambda x, keep, p: x * (1 - p),
                     "in use y is x itself: the division in training sees to that"),
                Slip("y", lambda x, keep, p: x, "nothing is dropped"),
            ),
            BY_DEFINITION,
        ),
        Part(
            "dropout_back",
            ("keep", "p", "delta"),
            ("dx",),
            MASKED,
            _back_of_dropout,
            lambda keep, p, delta: slopes(lambda x: _dropped(x, keep, p), (np.zeros(delta.shape),), (0,), delta),
            lambda keep, p, delta: _dropout_by_torch(delta, keep, p),
            {"dx": "delta goes the way that x went: 0 where dropped, divided by 1 − p where kept"},
            (
                Slip("dx", lambda keep, p, delta: delta * keep, "what is kept has to be divided by 1 − p here too"),
                Slip("dx", lambda keep, p, delta: delta * keep * (1 - p), "divide by 1 − p, as in the forward pass"),
                Slip("dx", lambda keep, p, delta: delta / (1 - p), "what was dropped had no influence: it gets 0"),
                Slip("dx", lambda keep, p, delta: delta,
                     "delta goes the way that x went: it is not returned as it came"),
                Slip("dx", lambda keep, p, delta: delta * ~keep / (1 - p), "keep is True where a neuron is kept"),
                Slip("dx", lambda keep, p, delta: delta * keep / p,
                     "p is the probability to be dropped: divide by 1 − p"),
            ),
        ),
    ),
    (
        "An array of True and False counts as 1 and 0 in a product.",
        "Ask `if keep is None` first.",
    ),
)  # fmt: skip
