"""Long sequences in pieces, and sequences of unequal length.

A network is run with a state that is carried from piece to piece, and trained by
truncated backpropagation through time.

Letters: T time steps, N sequences, I features. A carried state has one entry for each
layer of the network. For a recurrent layer it is a list with one (h,) or (h, c) for
each of its num_layers, each array (hidden_size, N); for any other layer it is None.
"""

from collections.abc import Callable
from typing import Any

from scratchnet.backend.arrays import Array
from scratchnet.backend.threads import threads_for
from scratchnet.engine import checks
from scratchnet.engine.columns import to_columns, to_rows
from scratchnet.engine.door import check_network, check_parts
from scratchnet.engine.layers.base import Layer
from scratchnet.engine.layers.recurrent import Recurrent, State
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.learner import Learner
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.steps import Steps, step
from scratchnet.errors import SettingError, ShapeError

Carried = list[State | None]


def map_states(f: Callable[[Array], Array], carried: Carried | None) -> Carried | None:
    """The carried states, with f applied to each of their arrays."""
    if carried is None:
        return None
    return [None if layer is None else [tuple(map(f, parts)) for parts in layer] for layer in carried]


class Carry:
    """Runs recurrent layers from carried states, and keeps their final states."""

    def __init__(self, net: Sequential, x: Array, state: Carried | None, mask: Any = None) -> None:
        if not any(isinstance(layer, Recurrent) for layer in net.layers):
            raise SettingError("a network without a recurrent layer has no state to carry")
        if mask is not None:
            mask = checks.array("Sequential", "the mask", mask, net.xp).astype(bool).T
            if mask.shape != (x.shape[1], x.shape[0]):
                raise ShapeError(f"the mask must be (N, T) = {x.shape[:2]}, not {mask.shape[::-1]}")
        if state is not None and not (isinstance(state, list) and len(state) in (0, len(net.layers))):
            raise SettingError(f"a state is what the piece before it returned, not {checks.shown(state)}")
        self.begin: Carried = state or [None] * len(net.layers)
        self.end: Carried = [None] * len(net.layers)
        self.mask = mask

    def visit(self, i: int, layer: Layer, x: Array, learn: Learner | None) -> tuple[Array, Any]:
        if not isinstance(layer, Recurrent):
            return layer.forward(x, learn)
        _check(layer, self.begin[i], x.shape[-1])
        y, self.end[i], cache = layer.run(x, learn, self.begin[i], self.mask)
        return y, cache


def run_with_state(net: Sequential, x: Any, state: Carried | None = None, mask: Any = None) -> tuple[Array, Carried]:
    """(output, final state) for sequences x (N, T, I), at inference.

    The network starts from `state`, or from zeros if it is None. Running two pieces,
    the second from the final state of the first, gives the same as running the whole
    sequence. `mask` (N, T) is true where a sequence has a value and false after its
    end. From there its state stays as it is, so the output "last" is the one at the
    sequence's own end. Raises ShapeError, SettingError.
    """
    check_network("run_with_state", net)
    x = net.as_input(x)
    carry = Carry(net, x, state, mask)
    with threads_for(net.work, x):
        y, _ = net.forward(to_columns(x), None, carry.visit)
    return to_rows(y), carry.end


def step_with_state(
    net: Sequential,
    loss: Loss,
    optimiser: Optimiser,
    x: Any,
    target: Any,
    state: Carried | None = None,
    mask: Any = None,
) -> tuple[Any, Carried]:
    """One training step on a piece of longer sequences.

    Returns the loss before the step, and the state to begin the next piece with. The
    gradient goes back to the beginning of the piece and no further. Raises
    NonFiniteError, with the weights unchanged, if the loss is NaN or infinite;
    ShapeError, SettingError.
    Source: R. Williams and J. Peng, An efficient gradient-based algorithm for on-line
    training of recurrent network trajectories, Neural Computation 2 (1990): truncated
    backpropagation through time.
    """
    check_parts("step_with_state", net, loss, optimiser)
    x = net.as_input(x)
    carry = Carry(net, x, state, mask)
    return step(net, loss, optimiser, x, target, carry.visit), carry.end


class TruncatedSteps(Steps):
    """Steps along N streams side by side: each goes on where the last step ended.

    x is (pieces, N, T, I), or whole numbers (pieces, N, T) that stand for rows of 0 and
    1 (one-hot); target is (pieces, N, T, ...). A step takes one piece of every stream,
    and starts from the state that the previous piece ended in; an epoch starts from
    zeros.
    """

    how = "along the streams"

    def as_data(self, x: Any) -> Array:
        x = self.net.xp.asarray(x)
        if x.dtype.kind in "iu" and not self.net.layers[0].takes_indices:
            (*_, classes) = self.net.layers[0].input_shape() or (1,)
            self.one_hot = self.net.xp.eye(classes, dtype=self.net.dtype)
            return x
        self.one_hot = None
        return self.net.as_input(x)

    def some(self, n: int = 1) -> tuple[Array, Array]:
        return self.batch(0)

    def work(self) -> float:
        return self.net.work(self.some()[0])

    def begin(self, order: Array, losses: Array, at: int = 0) -> None:
        super().begin(order, losses, at)
        self.carried: Carried | None = None

    def make(self, k: int) -> Any:
        value, self.carried = step_with_state(self.net, self.loss, self.optimiser, *self.batch(k), self.carried)
        return value

    def size(self, k: int) -> int:
        return self.x.shape[1]

    def batch(self, k: int, part: slice = slice(None)) -> tuple[Array, Array]:
        # a stream is read in its own order
        x, target = self.x[k][part], self.target[k][part]
        return x if self.one_hot is None else self.one_hot[x], target

    def state(self) -> dict[str, Array]:
        return {
            f"{i}.{k}.{j}": part
            for i, layer in enumerate(self.carried or [])
            for k, parts in enumerate(layer or [])
            for j, part in enumerate(parts)
        }

    def restore(self, state: dict[str, Array]) -> None:
        if not state:
            return
        carried: dict[int, dict[int, list[Array]]] = {}
        for name in sorted(state, key=lambda name: [*map(int, name.split("."))]):
            i, k, _ = map(int, name.split("."))
            carried.setdefault(i, {}).setdefault(k, []).append(self.net.xp.asarray(state[name]))
        self.carried = [
            [tuple(parts) for parts in carried[i].values()] if i in carried else None
            for i in range(len(self.net.layers))
        ]


def _check(layer: Recurrent, state: State | None, N: int) -> None:
    try:
        shapes = [tuple(s.shape for s in states) for states in state or []]
    except (TypeError, AttributeError):
        raise ShapeError(f"{layer}: a state is arrays for each of its layers, not {checks.shown(state)}") from None
    expected = [((layer.hidden_size, N),) * layer.states] * layer.num_layers
    if state is not None and shapes != expected:
        raise ShapeError(f"{layer}: the state of {N} sequences has shapes {expected}, but is given {shapes}")
