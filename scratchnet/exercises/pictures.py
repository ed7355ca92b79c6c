"""Exercises 13 to 15: convolution, forward and backward, and max pooling."""

from typing import Any

import numpy as np

from scratchnet.engine.columns import to_columns, to_rows
from scratchnet.engine.layers import Conv2d, MaxPool2d
from scratchnet.exercises.engine import through
from scratchnet.exercises.neurons import BY_DEFINITION
from scratchnet.exercises.task import Arrays, Exercise, Part, Sizes, Slip, autograd, layered, slopes

CONVOLVED = layered((2, 2, 3, 4, 5, 2, 3), (2, 2, 2, 4, 4, 2, 2), (1, 1, 2, 3, 4, 3, 2), names="N I O H W k l")
POOLED = layered((2, 3, 4, 6), (2, 2, 4, 4), (1, 1, 4, 2), names="N C H W")

Random = np.random.Generator


def _picture(rng: Random, s: Sizes) -> np.ndarray:
    return rng.normal(size=(s["N"], s["I"], s["H"], s["W"]))


def _window(rng: Random, s: Sizes) -> np.ndarray:
    return rng.normal(size=(s["O"], s["I"], s["k"], s["l"]))


# ---------------------------------------------------------- 13, convolution, forward


def _forward_case(rng: Random, s: Sizes) -> Arrays:
    return _picture(rng, s), _window(rng, s), rng.normal(size=s["O"])


def _convolved(x: Any, W: Any, b: Any) -> np.ndarray:
    return to_rows(through(Conv2d(W.shape[1], W.shape[0], W.shape[2:]), to_columns(x), W, b))


def _by_torch(x: Any, W: Any, b: Any) -> Any:
    import torch

    return torch.nn.functional.conv2d(x, W, b)


def _forward_by_torch(x: Any, W: Any, b: Any) -> Arrays:
    import torch

    return (_by_torch(torch.tensor(x), torch.tensor(W), torch.tensor(b)).numpy(),)


CONVOLUTION = Exercise(
    "13_convolution",
    "a convolution, forward",
    (
        Part(
            "convolution",
            ("x", "W", "b"),
            ("y",),
            CONVOLVED,
            _forward_case,
            lambda x, W, b: (_convolved(x, W, b),),
            _forward_by_torch,
            {"y": "compute y[0, 0, 0, 0] on paper: it is the corner of the picture times the window, and the bias"},
            (
                Slip("y", lambda x, W, b: _convolved(x, W, 0 * b), "the bias is missing"),
                Slip("y", lambda x, W, b: _convolved(x, W, -b), "the bias is to be added"),
                Slip("y", lambda x, W, b: _convolved(x, W[:, :, ::-1, ::-1], b),
                     "the window is turned, and must not be"),
                Slip("y", lambda x, W, b: _convolved(x[:, :1], W[:, :1], b),
                     "only the first channel is seen: add up over all"),
                Slip("y", lambda x, W, b: _convolved(x[:, -1:], W[:, -1:], b),
                     "only the last channel is seen: add up over all"),
                Slip("y", lambda x, W, b: _convolved(x[:1], W, b).repeat(len(x), 0), "only the first picture is seen"),
                Slip("y", lambda x, W, b: _convolved(x, W.mean(axis=1, keepdims=True).repeat(W.shape[1], 1), b),
                     "each input channel has weights of its own"),
                Slip("y", lambda x, W, b: _convolved(x, W / W[0, 0].size, b), "the products are added, without a mean"),
                Slip("y", lambda x, W, b: _convolved(x, W.swapaxes(2, 3), b),
                     "rows and columns of the window are swapped"),
                Slip("y", lambda x, W, b: _convolved(x, W, W[0].size * b),
                     "the bias is added too often: once for each cell"),
            ),
            BY_DEFINITION,
        ),
    ),
    (
        "For one place, x[:, :, r : r + k, c : c + l] is what lies under the window, of shape (N, I, k, l).",
        "Multiply it by W[o] and add up over the last three axes; or use np.einsum or np.tensordot for all o at once.",
        "np.tensordot(under, W, axes=([1, 2, 3], [1, 2, 3])) has the shape (N, O).",
    ),
)  # fmt: skip


# --------------------------------------------------------- 14, convolution, backward


def _backward_case(rng: Random, s: Sizes) -> Arrays:
    delta = rng.normal(size=(s["N"], s["O"], s["H"] - s["k"] + 1, s["W"] - s["l"] + 1))
    return _picture(rng, s), _window(rng, s), delta


def _back(x: Any, W: Any, delta: Any) -> Arrays:
    return slopes(_convolved, (x, W, np.zeros(len(W))), (0, 1, 2), delta)


def _last_shares(x: Any, W: Any, delta: Any) -> np.ndarray:
    """dx, if each place of the window overwrites what lies under it."""
    dx = np.zeros_like(x)
    for r, c in np.ndindex(*delta.shape[2:]):
        dx[:, :, r : r + W.shape[2], c : c + W.shape[3]] = np.tensordot(delta[:, :, r, c], W, axes=1)
    return dx


CONVOLUTION_BACK = Exercise(
    "14_convolution_back",
    "a convolution, backward",
    (
        Part(
            "convolution_back",
            ("x", "W", "delta"),
            ("dx", "dW", "db"),
            CONVOLVED,
            _backward_case,
            _back,
            lambda x, W, delta: autograd(_by_torch, (x, W, np.zeros(len(W))), (0, 1, 2), delta),
            {"dx": "each cell of x gets a share from every place of the window that lies over it, and from every o",
             "dW": "each weight gets delta times the cell that was under it, from every place and every picture",
             "db": "add delta up over pictures, rows and columns"},
            (
                Slip("dx", lambda x, W, delta: _back(x, W[:, :, ::-1, ::-1], delta)[0],
                     "the window is turned, and must not be"),
                Slip("dx", lambda x, W, delta: _back(x, W, delta[:, :, ::-1, ::-1])[0],
                     "delta is turned, and must not be"),
                Slip("dx", lambda x, W, delta: _back(x, W[:1], delta[:, :1])[0],
                     "only the first output channel is seen: add up over all"),
                Slip("dx", lambda x, W, delta: _back(x, W[-1:], delta[:, -1:])[0],
                     "only the last output channel is seen: add up over all"),
                Slip("dx", _last_shares,
                     "each place of the window overwrites what the one before it has written: add with +="),
                Slip("dW", lambda x, W, delta: _back(x, W, delta)[1] / len(x),
                     "delta contains the 1/N already: take no mean"),
                Slip("dW", lambda x, W, delta: _back(x[:1], W, delta[:1])[1],
                     "only the first picture is seen: add up over all"),
                Slip("dW", lambda x, W, delta: _back(x, W, delta)[1][:, :, ::-1, ::-1],
                     "dW is turned, and must not be"),
                Slip("dW", lambda x, W, delta:
                     np.einsum("no,nikl->oikl", delta[:, :, -1, -1], x[:, :, -W.shape[2]:, -W.shape[3]:]),
                     "each place of the window overwrites what the one before it has written: add with +="),
                Slip("db", lambda x, W, delta: delta.sum(axis=0), "add up over rows and columns too"),
                Slip("db", lambda x, W, delta: delta.sum(axis=(2, 3)), "add up over the pictures too"),
                Slip("db", lambda x, W, delta: delta.mean(axis=(0, 2, 3)), "add up, and take no mean"),
                Slip("db", lambda x, W, delta: delta.mean(axis=0).sum(axis=(1, 2)), "delta contains the 1/N already"),
                Slip("db", lambda x, W, delta: delta[:, :, 0, 0].sum(axis=0),
                     "this is the first place alone: add up over all"),
                Slip("db", lambda x, W, delta: delta[:, :, -1, -1].sum(axis=0),
                     "this is the last place alone: add up with +="),
            ),
        ),
    ),
    (
        "Begin with dx = np.zeros_like(x) and dW = np.zeros_like(W), and add a share at every place r, c.",
        "At one place, d = delta[:, :, r, c] has the shape (N, O), and what lay under the window (N, I, k, l).",
        "np.tensordot(d, W, axes=1) and np.tensordot(d.T, under, axes=1) have the shapes of the two shares.",
    ),
)  # fmt: skip


# --------------------------------------------------------------------- 15, pooling


def _tall(rng: Random, s: Sizes) -> np.ndarray:
    """Pictures in which all cells differ by much more than the step of differences."""
    shape = s["N"], s["C"], s["H"], s["W"]
    return rng.permutation(int(np.prod(shape))).reshape(shape) / 10 - 1.0


def _pooled(x: Any) -> np.ndarray:
    return to_rows(through(MaxPool2d(2), to_columns(x)))


def _squares(x: Any) -> np.ndarray:
    """(N, C, H/2, W/2, 4): the cells of each square."""
    N, C, H, W = x.shape
    return x.reshape(N, C, H // 2, 2, W // 2, 2).swapaxes(3, 4).reshape(N, C, H // 2, W // 2, 4)


def _spread(delta: Any) -> np.ndarray:
    return delta.repeat(2, axis=2).repeat(2, axis=3)


def _pool_by_torch(x: Any) -> Arrays:
    import torch

    return (torch.nn.functional.max_pool2d(torch.tensor(x), 2).numpy(),)


def _pool_of_tensors(x: Any) -> Any:
    import torch

    return torch.nn.functional.max_pool2d(x, 2)


POOLING = Exercise(
    "15_pooling",
    "max pooling, forward and backward",
    (
        Part(
            "pool",
            ("x",),
            ("y",),
            POOLED,
            lambda rng, s: (_tall(rng, s),),
            lambda x: (_pooled(x),),
            _pool_by_torch,
            {"y": "look at the first square, x[0, 0, :2, :2], and at y[0, 0, 0, 0]"},
            (
                Slip("y", lambda x: _squares(x).mean(axis=-1),
                     "this is the mean of each square: take the largest value"),
                Slip("y", lambda x: _squares(x).sum(axis=-1), "this is the sum of each square: take the largest value"),
                Slip("y", lambda x: _squares(x).min(axis=-1), "this is the smallest value of each square"),
                Slip("y", lambda x: x[:, :, ::2, ::2], "this is the first cell of each square: take the largest"),
                Slip("y", lambda x: abs(_squares(x)).max(axis=-1), "the largest value is wanted, not the largest size"),
                Slip("y", lambda x: _squares(x).argmax(axis=-1),
                     "this is the place of the largest value, not the value"),
                Slip("y", lambda x: np.maximum(_pooled(x), 0),
                     "a square may have negative values alone: do not start at 0"),
                Slip("y", lambda x: np.lib.stride_tricks.sliding_window_view(x, (2, 2), (2, 3)).max(axis=(4, 5)),
                     "the squares overlap: move by two cells at a time"),
            ),
            BY_DEFINITION,
        ),
        Part(
            "pool_back",
            ("x", "delta"),
            ("dx",),
            POOLED,
            lambda rng, s: (_tall(rng, s), rng.normal(size=(s["N"], s["C"], s["H"] // 2, s["W"] // 2))),
            lambda x, delta: slopes(_pooled, (x,), (0,), delta),
            lambda x, delta: autograd(_pool_of_tensors, (x,), (0,), delta),
            {"dx": "in each square the cell with the largest x gets delta, and the other three get 0"},
            (
                Slip("dx", lambda x, delta: _spread(delta), "all four cells get delta: only the largest one may"),
                Slip("dx", lambda x, delta: _spread(delta) / 4,
                     "this shares delta among the four cells, as a mean would"),
                Slip("dx", lambda x, delta: (_spread(_pooled(x)) == x) * 1.0,
                     "the largest cell gets 1: multiply by delta"),
                Slip("dx", lambda x, delta: (_spread(_pooled(x)) != x) * _spread(delta), "it is the wrong way round"),
                Slip("dx", lambda x, delta: (_spread(_pooled(x)) == x) * _spread(delta) * x,
                     "the value of x is no factor"),
                Slip("dx", lambda x, delta: (_spread(_squares(x).min(axis=-1)) == x) * _spread(delta),
                     "the smallest cell gets delta: the largest one has to"),
            ),
        ),
    ),
    (
        "x.reshape(N, C, H // 2, 2, W // 2, 2) has the cells of each square on two axes of their own.",
        "np.repeat along two axes gives each cell of a square the square's value.",
        "Compare x with y, repeated: that is true for the largest cell of each square.",
    ),
)  # fmt: skip
