"""Textbook NumPy: float64, one column per example, every formula as the books print it.

The weights are changed in place. There is momentum only if a network asks for it, and δ
goes back to the first weights but not to the pixels, where nobody needs it.

Source: T. Rashid, Make Your Own Neural Network (2016), part 2; M. Nielsen, Neural
Networks and Deep Learning (2015), chapter 2.
"""

import numpy as np
from scipy.special import expit

import scratchnet as sn
from benchmarks.engines import Missing, Trainer
from benchmarks.workloads import Workload

KNOWN = (sn.Linear, sn.Sigmoid, sn.ReLU, sn.LogSoftmax)


def forward(layers: list, W: dict, b: dict, a: np.ndarray) -> list[np.ndarray]:
    """The input and every layer's output."""
    outputs = [a]
    for k, layer in enumerate(layers):
        match layer:
            case sn.Linear():
                a = np.dot(W[k], a) + b.get(k, 0)
            case sn.Sigmoid():
                a = expit(a)
            case sn.ReLU():
                a = np.maximum(a, 0)
            case sn.LogSoftmax():
                a = a - np.log(np.sum(np.exp(a), axis=0))
        outputs.append(a)
    return outputs


def train(work: Workload, device: str) -> Trainer:
    layers = list(work.layers())
    if not all(isinstance(layer, KNOWN) for layer in layers):
        raise Missing("the textbook has fully connected layers only")
    start = sn.Sequential(*layers, seed=work.seed, dtype="float64").state_dict()
    W = {k: start[f"{k}.weight"] for k in range(len(layers)) if f"{k}.weight" in start}
    b = {k: start[f"{k}.bias"][:, None] for k in range(len(layers)) if f"{k}.bias" in start}
    first: dict = {}  # sums of gradients, for momentum and Adam
    second: dict = {}
    steps, lowest = [0], min(W)

    def change(key: tuple, w: np.ndarray, g: np.ndarray) -> None:
        """Momentum and Adam, in place."""
        if work.optimiser == "adam":
            first[key] = 0.9 * first.get(key, 0) + 0.1 * g
            second[key] = 0.999 * second.get(key, 0) + 0.001 * g**2
            m, v = first[key] / (1 - 0.9 ** steps[0]), second[key] / (1 - 0.999 ** steps[0])
            w -= work.lr * m / (np.sqrt(v) + 1e-8)
        else:
            first[key] = work.momentum * first.get(key, 0) + g
            w -= work.lr * first[key]

    plain = work.optimiser == "sgd" and not work.momentum

    def step(x: np.ndarray, t: np.ndarray) -> None:
        steps[0] += 1
        outputs = forward(layers, W, b, x.T)
        y, n = outputs[-1], len(x)
        if work.loss == "sse":
            delta = 2 * (y - t.T)
        elif work.loss == "cross-entropy":
            delta = (np.exp(y) / np.sum(np.exp(y), axis=0) - np.eye(len(y))[:, t]) / n
        else:
            delta = -np.eye(len(y))[:, t] / n
        for k in reversed(range(len(layers))):
            a, y = outputs[k], outputs[k + 1]
            match layers[k]:
                case sn.Linear():
                    back = np.dot(W[k].T, delta) if k > lowest else None
                    if plain:  # one line, as the books write it: NumPy then needs one temporary matrix, not two
                        W[k] -= work.lr * np.dot(delta, a.T)
                    else:
                        change(("W", k), W[k], np.dot(delta, a.T))
                    if k in b and plain:
                        b[k] -= work.lr * np.sum(delta, axis=1, keepdims=True)
                    elif k in b:
                        change(("b", k), b[k], np.sum(delta, axis=1, keepdims=True))
                    if back is None:
                        return
                    delta = back
                case sn.Sigmoid():
                    delta = delta * y * (1 - y)
                case sn.ReLU():
                    delta = delta * (a > 0)
                case sn.LogSoftmax():
                    delta = delta - np.exp(y) * np.sum(delta, axis=0)

    batches = [(x.astype(np.float64), t) for x, t in work.batches()]
    if work.optimiser is None:
        return Trainer(batches, lambda x, t: forward(layers, W, b, x.T))
    return Trainer(batches, step, weights=lambda: [p.ravel() for k in W for p in (W[k], b.get(k)) if p is not None])
