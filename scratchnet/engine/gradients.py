"""Is a backward pass right? Compares gradients with differences of the loss.

Letters as in differences.py: C loss, w any parameter or the input, g = ∂C/∂w as
backward computes it, h step of a difference, u a direction.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from scratchnet.backend.sparse import dense
from scratchnet.backend.threads import threads_for
from scratchnet.engine import checks
from scratchnet.engine.differences import Differences, index_of
from scratchnet.engine.door import check_loss, check_network
from scratchnet.engine.gradient_report import GradientReport, factor_of, relative
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.errors import ShapeError


def gradcheck(net: Sequential, x: Any, target: Any, loss: Loss, *, samples: int = 100, seed: int = 0) -> GradientReport:
    """Compare every gradient of C(net(x), target) with differences of C.

        central difference   (C(w + h) − C(w − h)) / 2h     h = 10⁻⁵, within 10⁻⁷
        complex step         Im C(w + ih) / h               h = 10⁻³⁰, within 10⁻¹¹

    Complex step needs code that is analytic, and is left out elsewhere. Nothing is
    changed: the check works on a copy in float64 on the CPU, whose layers act as in
    training. Of each parameter, and of the input, `samples` elements drawn from `seed`
    are checked one by one (all, if there are no more), and all elements together along
    a random direction. If only that direction disagrees, the wrong element is found by
    halving. Raises ShapeError if backward returns a wrong shape, and NonFiniteError if
    C is not finite.
    Sources: W. Squire and G. Trapp, SIAM Review 40 (1998), for complex step; Nielsen,
    chapter 2, for the rest.
    """
    check_network("gradcheck", net)
    check_loss("gradcheck", loss)
    samples, seed = checks.whole("gradcheck", "samples", samples, 1), checks.whole("gradcheck", "seed", seed)
    indices = net.layers[0].takes_indices
    x = np.array(net.as_input(x) if indices else checks.examples("gradcheck", "x", dense(x), np.float64, np))
    if x.ndim < 2 - indices or not x.size:
        raise ShapeError(f"gradcheck: x needs a batch of examples first, (N, ...), not {x.shape}")
    with threads_for(net.work, x):
        return _compare(Differences(net, x, target, loss), samples, seed)


def _compare(check: Differences, samples: int, seed: int) -> GradientReport:
    report = GradientReport(no_complex_step=check.no_complex_step)
    rng = np.random.default_rng(seed)
    for name, g in check.gradients.items():
        free = np.flatnonzero(check.free(name))
        chosen = free if free.size <= samples else np.sort(rng.choice(free, samples, replace=False))
        report.checked[name] = (len(chosen), free.size)
        found = [check.element(name, index_of(int(k), g)) for k in chosen]
        wrong = [d for d in found if not check.agrees(d)]
        if len(chosen) < free.size:  # the others, all together along a random direction
            u = rng.standard_normal(g.shape) * check.free(name)
            k = None if wrong else check.halve(name, u)
            wrong += [] if k is None else [check.element(name, k)]
        wrong = [replace(d, kink=check.kink(name, d.index)) for d in wrong]
        at_kinks = [d for d in wrong if d.kink and check.between_slopes(d)]
        report.at_kinks.extend(at_kinks)
        report.disagreements.extend(d for d in wrong if d not in at_kinks)
        excused = {d.index for d in at_kinks}
        judged = [d for d in found if d.index not in excused]
        report.differences[name] = relative(judged, 1e-9 * check.size)
        if any(d.parameter == name for d in report.disagreements):
            report.factors[name] = factor_of(judged, g.shape, check.x.shape[0])
    return report
