"""Exercises 1 to 4: a neuron, the sigmoid, the cost, one step of descent."""

from typing import Any

import numpy as np

from scratchnet.engine.losses import QuadraticCost
from scratchnet.exercises.engine import linear, sigmoid
from scratchnet.exercises.task import Arrays, Exercise, Part, Sizes, Slip, autograd, layered, slopes

BY_DEFINITION = "the definition gives"
SHAPES = layered((3, 5), (4, 4), (3, 1), names="out N")

Random = np.random.Generator


# ------------------------------------------------------------------ 1, a neuron


def _neuron_by_torch(w: Any, b: Any, x: Any) -> Arrays:
    import torch

    z = torch.nn.functional.linear(torch.tensor(x.T), torch.tensor(w)[None], torch.tensor([b], dtype=torch.float64))
    return (z[:, 0].numpy(),)


NEURON = Exercise(
    "01_neuron",
    "a neuron",
    (
        Part(
            "neuron",
            ("w", "b", "x"),
            ("z",),
            layered((3, 5), (4, 4), (3, 1), names="n N"),
            lambda rng, s: (rng.normal(size=s["n"]), float(rng.normal()), rng.normal(size=(s["n"], s["N"]))),
            lambda w, b, x: (linear(w[None], b, x)[0],),
            _neuron_by_torch,
            {"z": "go through the formula once more, with one example on paper"},
            (
                Slip("z", lambda w, b, x: w @ x, "the bias is missing"),
                Slip("z", lambda w, b, x: w @ x - b, "the bias is to be added, not subtracted"),
                Slip("z", lambda w, b, x: b * (w @ x), "the bias is to be added, not multiplied"),
                Slip("z", lambda w, b, x: x.sum(axis=0) + b, "the inputs are added up, but without their weights"),
                Slip("z", lambda w, b, x: w.sum() + x.sum(axis=0) + b, "weights and inputs are added, not multiplied"),
                Slip("z", lambda w, b, x: w[:, None] * x + b,
                     "the products still have to be added up, over the inputs"),
                Slip("z", lambda w, b, x: (w[:, None] * x).sum(axis=1) + b,
                     "the sum goes over the examples, but belongs over the inputs"),
                Slip("z", lambda w, b, x: (w[:, None] * x + b).sum(axis=0),
                     "the bias is added once for each input, but belongs there once"),
                Slip("z", lambda w, b, x: (w[:, None] * x).mean(axis=0) + b,
                     "the products are to be added, without a mean"),
                Slip("z", lambda w, b, x: x.T @ w - x.T @ w + b, "only the bias is left: where are the products?"),
            ),
            BY_DEFINITION,
        ),
    ),
    (
        "Begin with one example: multiply w and x[:, 0] element by element, and look at the shapes.",
        "The product of a vector and a matrix multiplies and adds up in one go: its operator is @.",
        "w has the shape (n,) and x (n, N). In which order does @ make (N,) of them? The bias is added to that.",
    ),
)  # fmt: skip


# ----------------------------------------------------------------- 2, the sigmoid


def _wide(rng: Random, s: Sizes) -> Arrays:
    """Weighted inputs, with some so far from 0 that careless code overflows."""
    z = rng.normal(size=(s["out"], s["N"])) * 2
    if s["N"] == 1:
        z.flat[:2] = -800.0, 800.0
    return (z,)


def _sigmoid_by_torch(z: Any) -> Arrays:
    import torch

    return (torch.sigmoid(torch.tensor(z)).numpy(),)


SIGMOID = Exercise(
    "02_sigmoid",
    "the sigmoid, and its slope",
    (
        Part(
            "sigmoid",
            ("z",),
            ("a",),
            SHAPES,
            _wide,
            lambda z: (sigmoid(z),),
            _sigmoid_by_torch,
            {"a": "compare it with the formula; σ(0) is 1/2, and σ(z) is nearly 1 for z = 10"},
            (
                Slip("a", lambda z: sigmoid(-z), "the sign of the exponent is wrong: it falls where it should rise"),
                Slip("a", np.tanh, "this is the tanh, which lies between −1 and 1"),
                Slip("a", lambda z: np.maximum(z, 0), "this is the ReLU"),
                Slip("a", lambda z: 1 + np.exp(-z),
                     "1 is to be divided by all of 1 + e⁻ᶻ: are its brackets missing?"),
                Slip("a", lambda z: 1 / (1 - np.exp(-z)), "the denominator has a minus where a plus belongs"),
            ),
            BY_DEFINITION,
        ),
        Part(
            "sigmoid_prime",
            ("z",),
            ("slope",),
            SHAPES,
            _wide,
            lambda z: slopes(sigmoid, (z,), (0,)),
            lambda z: autograd(lambda z: z.sigmoid(), (z,), (0,)),
            {"slope": "σ′(0) is 1/4, and far from 0 the slope is nearly 0; is σ taken twice, or not at all?"},
            (
                Slip("slope", lambda z: z * (1 - z), "this is z (1 − z): σ has to be taken first"),
                Slip("slope", sigmoid, "this is σ itself, and not its slope"),
                Slip("slope", lambda z: 1 - sigmoid(z), "the factor σ(z) is missing"),
                Slip("slope", lambda z: sigmoid(z) * (1 + sigmoid(z)), "the bracket is 1 − σ(z), with a minus"),
                Slip("slope", lambda z: sigmoid(sigmoid(z)) * (1 - sigmoid(sigmoid(z))), "σ is taken twice"),
                Slip("slope", lambda z: 1 - np.tanh(z) ** 2, "this is the slope of the tanh"),
                Slip("slope", lambda z: 1 - sigmoid(z) ** 2, "σ (1 − σ) is σ − σ², not 1 − σ²"),
            ),
        ),
    ),
    (
        "np.exp works element by element, and so do +, − and /.",
        "In sigmoid_prime, call sigmoid once, keep its result, and use it twice.",
    ),
)  # fmt: skip


# -------------------------------------------------------------------- 3, the cost


def _outputs(rng: Random, s: Sizes) -> Arrays:
    return rng.uniform(0.1, 0.9, (s["out"], s["N"])), rng.uniform(0, 1, (s["out"], s["N"]))


def _cost(a: Any, t: Any) -> float:
    return float(QuadraticCost().forward(np.array(a), t)[0])


def _cost_of_tensors(a: Any, t: Any) -> Any:
    return ((a - t) ** 2).sum() / (2 * a.shape[1])


def _cost_by_torch(a: Any, t: Any) -> Arrays:
    import torch

    return (_cost_of_tensors(torch.tensor(a), torch.tensor(t)).numpy(),)


COST = Exercise(
    "03_cost",
    "the cost, and its slope",
    (
        Part(
            "cost",
            ("a", "t"),
            ("C",),
            SHAPES,
            _outputs,
            lambda a, t: (_cost(a, t),),
            _cost_by_torch,
            {"C": "compute it on paper for one output and one example: a = 1, t = 0 gives 1/2"},
            (
                Slip("C", lambda a, t: ((a - t) ** 2).sum() / a.shape[1], "the factor 1/2 is missing"),
                Slip("C", lambda a, t: ((a - t) ** 2).sum() / 2,
                     "the division by N, the number of examples, is missing"),
                Slip("C", lambda a, t: ((a - t) ** 2).sum(), "the factor 1/(2N) is missing"),
                Slip("C", lambda a, t: ((a - t) ** 2).mean() / 2,
                     "np.mean divides by the number of all elements; divide by the number of examples alone"),
                Slip("C", lambda a, t: ((a - t) ** 2).sum() / (2 * len(a)),
                     "N is the number of columns, a.shape[1], and not of rows"),
                Slip("C", lambda a, t: abs(a - t).sum() / (2 * a.shape[1]), "the differences have to be squared"),
                Slip("C", lambda a, t: (a - t).sum() ** 2 / (2 * a.shape[1]), "square first, and add up then"),
                Slip("C", lambda a, t: ((a - t) ** 2).sum(axis=0) / 2,
                     "this is one cost for each example: take their mean"),
                Slip("C", lambda a, t: ((a + t) ** 2).sum() / (2 * a.shape[1]), "it is a − t, with a minus"),
            ),
            BY_DEFINITION,
        ),
        Part(
            "cost_slope",
            ("a", "t"),
            ("slope",),
            SHAPES,
            _outputs,
            lambda a, t: slopes(_cost, (a, t), (0,)),
            lambda a, t: autograd(_cost_of_tensors, (a, t), (0,)),
            {"slope": "the 2 of the square and the 1/2 cancel; 1/N stays"},
            (
                Slip("slope", lambda a, t: 2 * (a - t) / a.shape[1], "the 2 of the square cancels with the 1/2 of C"),
                Slip("slope", lambda a, t: (a - t) / 2 / a.shape[1], "the 1/2 of C cancels with the 2 of the square"),
                Slip("slope", lambda a, t: (a - t) / a.size, "divide by the number of examples, not of all elements"),
                Slip("slope", lambda a, t: (a - t) / len(a), "N is the number of columns, a.shape[1], and not of rows"),
                Slip("slope", lambda a, t: abs(a - t) / a.shape[1], "the sign of a − t has to stay"),
                Slip("slope", lambda a, t: (a - t) ** 2 / a.shape[1], "the slope of a square is no square"),
            ),
        ),
    ),
    (
        "N is a.shape[1]: the examples are the columns.",
        "np.sum without an axis adds up all elements. np.mean would divide by out · N.",
        "For the slope, differentiate (a − t)²/(2N) by a, for one element.",
    ),
)  # fmt: skip


# ------------------------------------------------------------ 4, a step of descent


def _weights(rng: Random, s: Sizes) -> Arrays:
    return rng.normal(size=(s["rows"], s["columns"])), rng.normal(size=(s["rows"], s["columns"])), 0.3


def _sgd_by_torch(w: Any, g: Any, lr: Any) -> Arrays:
    import torch

    p = torch.nn.Parameter(torch.tensor(w))
    p.grad = torch.tensor(g)
    torch.optim.SGD([p], lr=lr).step()
    return (p.detach().numpy(),)


DESCENT = Exercise(
    "04_descent",
    "one step of gradient descent",
    (
        Part(
            "descend",
            ("w", "g", "lr"),
            ("w_new",),
            layered((3, 4), (4, 4), (1, 1), names="rows columns"),
            _weights,
            lambda w, g, lr: (w - lr * g,),
            _sgd_by_torch,
            {"w_new": "go through the formula once more"},
            (
                Slip("w_new", lambda w, g, lr: w + lr * g, "the step goes uphill: it is to be subtracted"),
                Slip("w_new", lambda w, g, lr: w - g, "the learning rate is missing"),
                Slip("w_new", lambda w, g, lr: -lr * g,
                     "this is the step alone: it has to be added to the old weights"),
                Slip("w_new", lambda w, g, lr: w - lr, "the slope is missing: the step is lr · g"),
                Slip("w_new", lambda w, g, lr: w - lr * w, "the step follows the weights, not their slopes"),
                Slip("w_new", lambda w, g, lr: w - lr * np.sign(g),
                     "the step follows the sign of the slope, not its size"),
                Slip("w_new", lambda w, g, lr: w - g / lr, "the slope is to be multiplied by lr, not divided"),
                Slip("w_new", lambda w, g, lr: w * (1 - lr * g), "the step is subtracted, not multiplied"),
                Slip("w_new", lambda w, g, lr: w, "the weights did not move"),
            ),
            BY_DEFINITION,
        ),
    ),
    (
        "The formula of the lesson can be written as it stands.",
        "w -= ... changes the array of the caller; w - ... makes a new one.",
    ),
)  # fmt: skip
