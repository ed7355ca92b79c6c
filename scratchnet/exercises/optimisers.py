"""Exercises 11 and 12: momentum and Adam."""

from typing import Any

import numpy as np

from scratchnet.engine.layers import Linear, Sequential
from scratchnet.engine.optim import SGD, Optimiser
from scratchnet.engine.optim import Adam as EngineAdam
from scratchnet.exercises.task import Arrays, Exercise, Part, Sizes, Slip, layered

BY_ENGINE = "the engine gives"

Random = np.random.Generator


def _stepped(net: Sequential, optimiser: Optimiser, w: Any, g: Any) -> np.ndarray:
    """The weights after a step of the engine's optimiser from w, with the slopes g."""
    (p,) = net.params.values()
    p.value[...], p.grad[...] = w, g
    optimiser.update()
    return np.array(p.value)


def _layer(w: Any) -> Sequential:
    return Sequential(Linear(w.shape[1], w.shape[0], bias=False), dtype="float64")


# ------------------------------------------------------------------ 11, momentum


def _rolling(rng: Random, s: Sizes) -> Arrays:
    w, g, v = rng.normal(size=(3, s["rows"], s["columns"]))
    return w, g, v, 0.3, 0.8


def _momentum(w: Any, g: Any, v: Any, lr: Any, mu: Any) -> Arrays:
    net = _layer(w)
    optimiser = SGD(net, lr=lr, momentum=mu)
    assert optimiser.v is not None
    optimiser.v[: v.size] = v.ravel()
    return _stepped(net, optimiser, w, g), np.array(optimiser.v[: v.size]).reshape(w.shape)


def _momentum_by_torch(w: Any, g: Any, v: Any, lr: Any, mu: Any) -> Arrays:
    import torch

    p = torch.nn.Parameter(torch.tensor(w))
    optimiser = torch.optim.SGD([p], lr=lr, momentum=mu)
    optimiser.state[p]["momentum_buffer"] = torch.tensor(v)
    p.grad = torch.tensor(g)
    optimiser.step()
    return p.detach().numpy(), optimiser.state[p]["momentum_buffer"].numpy()


MOMENTUM = Exercise(
    "11_momentum",
    "momentum",
    (
        Part(
            "momentum",
            ("w", "g", "v", "lr", "mu"),
            ("w_new", "v_new"),
            layered((3, 4), (4, 4), (1, 1), names="rows columns"),
            _rolling,
            _momentum,
            _momentum_by_torch,
            {"w_new": "the step follows the new velocity, v_new", "v_new": "it is mu · v + g"},
            (
                Slip("w_new", lambda w, g, v, lr, mu: w - lr * v, "the step follows the new velocity, not the old one"),
                Slip("w_new", lambda w, g, v, lr, mu: w - lr * g, "the step follows the velocity, not the slope alone"),
                Slip("w_new", lambda w, g, v, lr, mu: w + lr * (mu * v + g), "the step goes uphill: subtract it"),
                Slip("w_new", lambda w, g, v, lr, mu: w - (mu * v + g), "the learning rate is missing"),
                Slip("w_new", lambda w, g, v, lr, mu: w - lr * (g + mu * (mu * v + g)), "this is Nesterov's momentum"),
                Slip("w_new", lambda w, g, v, lr, mu: w - lr * (v + g), "mu is missing from the velocity"),
                Slip("v_new", lambda w, g, v, lr, mu: v + g, "mu is missing"),
                Slip("v_new", lambda w, g, v, lr, mu: mu * v + (1 - mu) * g, "g has no factor 1 − mu here"),
                Slip("v_new", lambda w, g, v, lr, mu: mu * v - g, "g is to be added"),
                Slip("v_new", lambda w, g, v, lr, mu: mu * v + lr * g, "lr belongs to the step, not to the velocity"),
                Slip("v_new", lambda w, g, v, lr, mu: mu * (v + g), "mu multiplies the old velocity alone"),
                Slip("v_new", lambda w, g, v, lr, mu: g, "the old velocity is forgotten"),
                Slip("v_new", lambda w, g, v, lr, mu: v, "the velocity did not change"),
            ),
            BY_ENGINE,
        ),
    ),
    ("Compute v_new first; the step needs it.", "Return two values: return w_new, v_new."),
)  # fmt: skip


# ---------------------------------------------------------------------- 12, Adam


def _running(rng: Random, s: Sizes) -> Arrays:
    w, g, m, v = rng.normal(size=(4, s["rows"], s["columns"]))
    t = s["t"]
    return w, g, m * (t > 1), v**2 * (t > 1), t, 0.3, 0.8, 0.9, 0.01


def _adam(w: Any, g: Any, m: Any, v: Any, t: Any, lr: Any, beta1: Any, beta2: Any, eps: Any) -> Arrays:
    net = _layer(w)
    optimiser = EngineAdam(net, lr=lr, betas=(beta1, beta2), eps=eps)
    optimiser.steps = t - 1
    # the engine keeps the means without their factors
    optimiser.m[: m.size], optimiser.v[: v.size] = m.ravel() / (1 - beta1), v.ravel() / (1 - beta2)
    w_new = _stepped(net, optimiser, w, g)
    kept = optimiser.m * (1 - beta1), optimiser.v * (1 - beta2)
    return w_new, *(a[: w.size].reshape(w.shape) for a in kept)


def _adam_by_torch(w: Any, g: Any, m: Any, v: Any, t: Any, lr: Any, beta1: Any, beta2: Any, eps: Any) -> Arrays:
    import torch

    p = torch.nn.Parameter(torch.tensor(w))
    optimiser = torch.optim.Adam([p], lr=lr, betas=(beta1, beta2), eps=eps)
    optimiser.state[p] = {"step": torch.tensor(float(t - 1)), "exp_avg": torch.tensor(m), "exp_avg_sq": torch.tensor(v)}
    p.grad = torch.tensor(g)
    optimiser.step()
    state = optimiser.state[p]
    return p.detach().numpy(), state["exp_avg"].numpy(), state["exp_avg_sq"].numpy()


def _moved(w: Any, g: Any, m: Any, v: Any, lr: Any, betas: Arrays, eps: Any, c1: float = 1, c2: float = 1) -> Any:
    """The weights after a step with these corrections."""
    m, v = betas[0] * m + (1 - betas[0]) * g, betas[1] * v + (1 - betas[1]) * g * g
    return w - lr * (m / c1) / (np.sqrt(v / c2) + eps)


ADAM = Exercise(
    "12_adam",
    "Adam",
    (
        Part(
            "adam",
            ("w", "g", "m", "v", "t", "lr", "beta1", "beta2", "eps"),
            ("w_new", "m_new", "v_new"),
            layered((3, 4, 3), (4, 4, 2), (2, 3, 1), (1, 1, 2), names="rows columns t"),
            _running,
            _adam,
            _adam_by_torch,
            {"w_new": "compare the correction by 1 − βᵗ, the root, and where eps is added with the lesson",
             "m_new": "it is a mean of m and g, with the weights β₁ and 1 − β₁",
             "v_new": "it is a mean of v and g², with the weights β₂ and 1 − β₂"},
            (
                Slip("w_new", lambda w, g, m, v, t, lr, b1, b2, eps: _moved(w, g, m, v, lr, (b1, b2), eps),
                     "the correction of the first steps by 1 − βᵗ is missing"),
                Slip("w_new", lambda w, g, m, v, t, lr, b1, b2, eps:
                     _moved(w, g, m, v, lr, (b1, b2), eps, 1 - b1 ** (t - 1), 1 - b2 ** (t - 1)),
                     "t is counted from 1: the correction is 1 − βᵗ"),
                Slip("w_new", lambda w, g, m, v, t, lr, b1, b2, eps:
                     _moved(w, g, m, v, lr, (b1, b2), eps, 1 - b1, 1 - b2),
                     "the correction has no power t: it is 1 − βᵗ"),
                Slip("w_new", lambda w, g, m, v, t, lr, b1, b2, eps:
                     _moved(w, g, m, v, -lr, (b1, b2), eps, 1 - b1**t, 1 - b2**t), "the step goes uphill: subtract it"),
                Slip("w_new", lambda w, g, m, v, t, lr, b1, b2, eps:
                     _moved(w, g, m, v, lr, (b1, b2), 0, 1 - b1**t, 1 - b2**t), "eps is missing"),
                Slip("m_new", lambda w, g, m, v, t, lr, b1, b2, eps: b1 * m + g, "the factor 1 − β₁ of g is missing"),
                Slip("m_new", lambda w, g, m, v, t, lr, b1, b2, eps: (1 - b1) * m + b1 * g,
                     "β₁ and 1 − β₁ are swapped"),
                Slip("m_new", lambda w, g, m, v, t, lr, b1, b2, eps: b2 * m + (1 - b2) * g,
                     "m takes β₁, and v takes β₂"),
                Slip("m_new", lambda w, g, m, v, t, lr, b1, b2, eps: (b1 * m + (1 - b1) * g) / (1 - b1**t),
                     "keep m_new as it is: the correction is for the step alone"),
                Slip("v_new", lambda w, g, m, v, t, lr, b1, b2, eps: b2 * v + g * g,
                     "the factor 1 − β₂ of g² is missing"),
                Slip("v_new", lambda w, g, m, v, t, lr, b1, b2, eps: (1 - b2) * v + b2 * g * g,
                     "β₂ and 1 − β₂ are swapped"),
                Slip("v_new", lambda w, g, m, v, t, lr, b1, b2, eps: b1 * v + (1 - b1) * g * g,
                     "v takes β₂, and m takes β₁"),
                Slip("v_new", lambda w, g, m, v, t, lr, b1, b2, eps: b2 * v + (1 - b2) * g, "g has to be squared"),
                Slip("v_new", lambda w, g, m, v, t, lr, b1, b2, eps: (b2 * v + (1 - b2) * g * g) / (1 - b2**t),
                     "keep v_new as it is: the correction is for the step alone"),
            ),
            BY_ENGINE,
        ),
    ),
    (
        "Compute m_new and v_new first, and then from them m̂ and v̂, which are not kept.",
        "βᵗ is beta1 ** t in Python.",
        "eps is added to the root, outside of it.",
    ),
)  # fmt: skip
