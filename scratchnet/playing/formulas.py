"""The formula of a number that somebody points at, with the code that computed it."""

import inspect
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import scratchnet
from scratchnet.engine import checks
from scratchnet.engine.layers.activation import softmax
from scratchnet.engine.losses import CrossEntropyLoss
from scratchnet.engine.trace import Trace
from scratchnet.errors import SettingError
from scratchnet.explaining.formula import Formula, Source, source_of
from scratchnet.explaining.losses import loss_formula
from scratchnet.explaining.numbers import delta_formula, gradient_formula, output_formula
from scratchnet.playing.plain import Message, field, number, whole, wholes, word

LARGEST_TERMS = 6  # shown one by one; the others only as a sum
MOST_LINES = 24  # of a function


def asked(trace: Trace, message: Message) -> dict[str, Any]:
    """The formula of output, delta or gradient [layer][index] of this trace, or of C.

    Raises SettingError if there is no such number.
    """
    what = word(message, "what", ("output", "delta", "gradient", "loss", "probability"))
    if what == "loss":
        return shown(loss_formula(trace))
    layer = whole(message, "layer", -1, len(trace.layers) - 1)
    index = wholes(message, "index", 100_000, 3)
    if what == "probability" and len(index) == 1 and isinstance(trace.loss_function, CrossEntropyLoss):
        return shown(probability(trace, checks.whole("play", "index", index[0], 0, trace.output.shape[1] - 1)))
    if what in ("output", "probability"):
        return shown(output_formula(trace, layer, index))
    if what == "delta":
        return shown(delta_formula(trace, layer, index))
    parameter = field(message, "parameter")
    if not isinstance(parameter, str):
        raise SettingError(f"play: parameter must be a name such as weight, not {checks.shown(parameter)}")
    return shown(gradient_formula(trace, layer, parameter, index))


def probability(trace: Trace, k: int) -> Formula:
    """p[k] of logits z, as cross entropy reads them."""
    z = trace.output[0].astype(float)
    largest = float(z.max())
    e = np.exp(z - largest)
    terms = (((f"exp(z[{k}] - {largest:.4g})", float(e[k])), ("1/Σ exp(z)", 1 / float(e.sum()))),)
    note = "of every z the largest is subtracted first, so that no power overflows"
    return Formula("FWD", "p = exp(z) / Σ exp(z)", terms, float(e[k] / e.sum()), source_of(softmax), note=note)


def shown(formula: Formula) -> dict[str, Any]:
    """A formula as plain data, with its largest terms and its function's text."""
    terms = [([[letter, number(v)] for letter, v in term], _product(term)) for term in formula.terms]
    largest = sorted(sorted(range(len(terms)), key=lambda k: -abs(terms[k][1]))[:LARGEST_TERMS])
    return {
        "name": formula.name,
        "equation": formula.equation,
        "numbers": formula.numbers(),
        "value": number(formula.value),
        "note": formula.note,
        "count": len(formula.terms),
        "terms": [{"factors": terms[k][0], "value": number(terms[k][1])} for k in largest],
        "file": f"scratchnet/{formula.source.file}",
        "line": formula.source.line,
        "code": code(formula.source),
    }


def _product(term: Any) -> float:
    product = 1.0
    for _, value in term:
        product *= value
    return product


@cache
def code(source: Source) -> str:
    """The text of a function, as it stands in the engine."""
    path = Path(scratchnet.__file__).parent / source.file
    if not path.is_file():  # of a layer of the user's own
        return ""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)[source.line - 1 :]
    block = inspect.getblock(lines)
    return inspect.cleandoc("\n" + "".join(block[:MOST_LINES]))
