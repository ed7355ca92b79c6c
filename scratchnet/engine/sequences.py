"""Sequences in pieces and of unequal length: a network run with a carried state, and truncated backpropagation.

Letters: T time steps, N sequences, I features. A carried state has one entry per layer of the network: for a recurrent
one a list, of its num_layers, of (h,) or (h, c), each (hidden_size, N); for any other None.
"""

import math
from typing import Any

from scratchnet.backend.arrays import Array
from scratchnet.backend.threads import threads_for
from scratchnet.engine import checks
from scratchnet.engine.columns import to_columns, to_rows
from scratchnet.engine.door import check_network, check_parts
from scratchnet.engine.layers.recurrent import Recurrent, State
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.learner import Learner
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.training import describe_non_finite
from scratchnet.errors import NonFiniteError, SettingError, ShapeError

Carried = list[State | None]


def run_with_state(net: Sequential, x: Any, state: Carried | None = None, mask: Any = None) -> tuple[Array, Carried]:
    """(output, final state) of sequences x (N, T, I) in inference, beginning with `state` (None: zeros).

    Two pieces, the second begun with the final state of the first, give what the whole sequence gives. `mask` (N, T)
    is true where a sequence has a value, false after its end: its state then stays as it is, so the output "last" is
    the one at its own end. Raises ShapeError, SettingError.
    """
    check_network("run_with_state", net)
    x = net.as_input(x)
    with threads_for(net.work, x):
        y, final, _ = _forward(net, x, state, mask, None)
    return to_rows(y), final


def step_with_state(
    net: Sequential,
    loss: Loss,
    optimiser: Optimiser,
    x: Any,
    target: Any,
    state: Carried | None = None,
    mask: Any = None,
) -> tuple[Any, Carried]:
    """One training step on a piece of longer sequences: (loss before it, state to begin the next piece with).

    The gradient goes back to the beginning of the piece and no further. Raises NonFiniteError, with the weights
    unchanged, if the loss is NaN or infinite; ShapeError, SettingError.
    Source: R. Williams and J. Peng, An efficient gradient-based algorithm for on-line training of recurrent network
    trajectories, Neural Computation 2 (1990): truncated backpropagation through time.
    """
    check_parts("step_with_state", net, loss, optimiser)
    x = net.as_input(x)
    with threads_for(net.work, x):
        optimiser.begin()
        y, final, caches = _forward(net, x, state, mask, optimiser)
        value, delta = loss.forward(y, to_columns(loss.as_target(target, y)))
        if not math.isfinite(value):
            raise NonFiniteError(describe_non_finite(net, x, float(value), optimiser.steps + 1))
        net.backward(delta, caches, optimiser)
        optimiser.update()
    return value, final


def _forward(
    net: Sequential, x: Array, state: Carried | None, mask: Any, learn: Learner | None
) -> tuple[Array, Carried, list[Any]]:
    a = to_columns(x)
    net.shapes_from(a.shape[:-1])
    if not any(isinstance(layer, Recurrent) for layer in net.layers):
        raise SettingError("a network without a recurrent layer has no state to carry")
    if state is not None and not (isinstance(state, list) and len(state) in (0, len(net.layers))):
        raise SettingError(f"a state is what the piece before it returned, not {checks.shown(state)}")
    if mask is not None:
        mask = checks.array("Sequential", "the mask", mask, net.xp).astype(bool).T
        if mask.shape != (a.shape[0], a.shape[-1]):
            raise ShapeError(f"the mask must be (N, T) = {(a.shape[-1], a.shape[0])}, not {mask.shape[::-1]}")
    final: Carried = []
    caches = []
    for i, layer in enumerate(net.layers):
        if isinstance(layer, Recurrent):
            begin = state[i] if state else None
            _check(layer, begin, a.shape[-1])
            a, end, cache = layer.run(a, learn, begin, mask)
            final.append(end)
        else:
            a, cache = layer.forward(a, learn)
            final.append(None)
        caches.append(cache)
    return a, final, caches


def _check(layer: Recurrent, state: State | None, N: int) -> None:
    try:
        shapes = [tuple(s.shape for s in states) for states in state or []]
    except (TypeError, AttributeError):
        raise ShapeError(f"{layer}: a state is arrays for each of its layers, not {checks.shown(state)}") from None
    expected = [((layer.hidden_size, N),) * layer.states] * layer.num_layers
    if state is not None and shapes != expected:
        raise ShapeError(f"{layer}: the state of {N} sequences has shapes {expected}, but is given {shapes}")
