"""Where δ begins: the formula of the loss, and of its derivative by one output.

Letters: y output of the network, t target, K outputs of an example, N examples, p
probability.
"""

import math

import numpy as np

from scratchnet.engine.layers.activation import softmax
from scratchnet.engine.losses import ClassLoss, CrossEntropyLoss, MSELoss, NLLLoss, QuadraticCost
from scratchnet.engine.trace import Trace
from scratchnet.explaining.formula import Factor, Formula, Term, source_of

Index = tuple[int, ...]


def loss_delta(trace: Trace, index: Index, example: int, value: float) -> Formula:
    """∂C/∂y of one output, which the loss hands to the last layer."""
    loss = trace.loss_function
    source = source_of(type(loss).forward)
    y = float(trace.output[(example, *index)])
    name = f"[{','.join(map(str, index))}]"
    if isinstance(loss, (MSELoss, QuadraticCost)):
        t = float(trace.target[(example, *index)])
        if isinstance(loss, QuadraticCost):
            scale, letters = 1 / len(trace.output), "∂C/∂a = a - t" if len(trace.output) == 1 else "∂C/∂a = (a - t)/N"
        else:
            scale = 2 / trace.output.size if loss.reduction == "mean" else 2.0
            letters = f"∂C/∂y = 2 (y - t){'/(K N)' if loss.reduction == 'mean' else ''}"
        by: tuple[Factor, ...] = () if scale == 1 else (("scale", scale),)
        return Formula("BP1", letters, (((f"y{name}", y), *by), ((f"-t{name}", -t), *by)), value, source)
    if isinstance(loss, ClassLoss):
        k, label, scores = _classes(trace, index, example)
        hit, share = float(k == label), 1 / trace.target.size
        scale_by: tuple[Factor, ...] = () if share == 1 else (("1/N", share),)
        if isinstance(loss, CrossEntropyLoss):
            p = float(softmax(scores[:, None])[k, 0])
            letters = "∂C/∂z = p - t" if share == 1 else "∂C/∂z = (p - t)/N"
            note = "p = softmax(z): the σ′ of BP1 has cancelled against the logarithm"
            terms = ((f"p[{k}]", p), *scale_by), ((f"-t[{k}]", -hit), *scale_by)
            return Formula("BP1", letters, terms, value, source, note=note)
        if isinstance(loss, NLLLoss):
            letters = "∂C/∂a = -t" if share == 1 else "∂C/∂a = -t/N"
            return Formula("BP1", letters, (((f"-t[{k}]", -hit), *scale_by),), value, source)
    return Formula("BP1", "∂C/∂y by the loss", (((f"∂C/∂y{name}", value),),), value, source)


def loss_formula(trace: Trace) -> Formula:
    """C itself, as a sum over the examples."""
    loss, y, t = trace.loss_function, trace.output.astype(float), trace.target
    source, N = source_of(type(loss).forward), len(trace.output)
    if isinstance(loss, (MSELoss, QuadraticCost)):
        half = isinstance(loss, QuadraticCost)
        scale = 0.5 / N if isinstance(loss, QuadraticCost) else 1 / y.size if loss.reduction == "mean" else 1.0
        squares = [(f"(a{list(k)} - t)²".replace(" ", ""), float(v)) for k, v in np.ndenumerate((y - t) ** 2)]
        equation = "C = Σ (a - t)² / 2N" if half else "C = mean (y - t)²" if scale != 1 else "C = Σ (y - t)²"
        return Formula("C", equation, tuple((("scale", scale), square) for square in squares), trace.loss, source)
    if isinstance(loss, ClassLoss):
        terms: list[Term] = []
        for at in np.ndindex(t.shape):
            index = (*at[1:], 0) if loss.classes == "last" else (0, *at[1:])
            _, label, scores = _classes(trace, index, at[0])
            logs = scores if isinstance(loss, NLLLoss) else scores - scores.max()
            log_p = float(logs[label]) - (0.0 if isinstance(loss, NLLLoss) else math.log(float(np.exp(logs).sum())))
            terms.append((("-1/N", -1 / t.size), (f"ln p[{','.join(map(str, at))}]", log_p)))
        return Formula("C", "C = -ln p[t]" if t.size == 1 else "C = -mean ln p[t]", tuple(terms), trace.loss, source)
    return Formula("C", "C, by the loss", ((("C", trace.loss),),), trace.loss, source)


def _classes(trace: Trace, index: Index, example: int) -> tuple[int, int, np.ndarray]:
    """(class that the index names, correct class there, the outputs for all classes
    there).
    """
    loss = trace.loss_function
    assert isinstance(loss, ClassLoss)
    axis = 0 if loss.classes == "first" else len(index) - 1
    place = (*index[:axis], *index[axis + 1 :])
    at = (*index[:axis], slice(None), *index[axis + 1 :])
    return index[axis], int(trace.target[(example, *place)]), trace.output[example][at].astype(float)
