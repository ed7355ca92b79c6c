"""Steps whose batches are shared among the ranks of a training.

Letters: n examples in the global batch, n_r of them on rank r; H hidden units, N
streams.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.engine.reading import ReadingSteps
from scratchnet.engine.sequences import Carry, TruncatedSteps, map_states
from scratchnet.engine.steps import Steps, describe_non_finite
from scratchnet.errors import NonFiniteError
from scratchnet.runs.ranks import Ranks


def shared(ranks: Ranks, kind: type[Steps] = Steps) -> Callable[..., Steps]:
    """Steps of this kind that all ranks make together, for `fit(steps=)`."""
    mine = {Steps: SharedSteps, ReadingSteps: SharedReading, TruncatedSteps: SharedStreams}[kind]

    def make(*args: Any) -> Steps:
        steps = mine(*args)
        steps.ranks = ranks
        return steps

    return make


class SharedSteps(Steps):
    """Each rank takes its share of every batch; the gradients are summed.

    The loss and the wish to stop travel at the end of the gradient vector, so a step
    needs only one all-reduce.
    """

    ranks: Ranks

    def agree(self, settings: dict[str, Any]) -> None:
        """Raise RanksError if the ranks differ in settings, data or weights."""
        self.ranks.compare_training(self.net, self.loss, self.optimiser, self.x, self.target, settings)

    def make(self, k: int) -> float:
        net, optimiser, ranks = self.net, self.optimiser, self.ranks
        ranks.training = True
        first, last, share = ranks.share(self.size(k))
        ranks.whole = self.size(k) < ranks.size
        optimiser.first_example, optimiser.sum_of_all = first, ranks.sum
        fixed = net.store.fixed.copy()  # running means, which change in backward
        value, delta, caches = self.cost(k, slice(first, last))
        part = share if self.loss.averages or ranks.whole else 1.0
        delta *= part
        net.backward(delta, caches, optimiser)
        message = net.store.message
        message[-1], message[-2] = value * part, float(ranks.stop_asked)
        ranks.all_reduce(message)
        value, ranks.stop_agreed = float(message[-1]), bool(message[-2] > 0)
        if not math.isfinite(value):
            net.store.fixed[...] = fixed
            raise NonFiniteError(describe_non_finite(net, self.batch(k)[0], value, optimiser.steps + 1))
        optimiser.update()
        return value

    def cost(self, k: int, part: slice) -> tuple[Any, Array, list[Any]]:
        """(C, δ, caches) for this rank's part of batch k."""
        value, delta, _, caches = self.net.cost(*self.batch(k, part), self.loss, self.optimiser)
        return value, delta, caches


class SharedReading(SharedSteps, ReadingSteps):
    """Each rank reads the examples of its share, and of the others' too."""


class SharedStreams(SharedSteps, TruncatedSteps):
    """Each rank reads its share of the streams.

    All ranks keep the states of all streams, so that any of them can save them.
    """

    def cost(self, k: int, part: slice) -> tuple[Any, Array, list[Any]]:
        x, target = self.batch(k, part)
        carry = Carry(self.net, x, map_states(lambda s: s[:, part], self.carried))
        value, delta, _, caches = self.net.cost(x, target, self.loss, self.optimiser, carry.visit)
        self.carried = carry.end if self.ranks.whole else map_states(self._of_all, carry.end)
        return value, delta, caches

    def _of_all(self, mine: Array) -> Array:
        """The states (H, N) of all streams, gathered from all ranks."""
        return self.net.xp.asarray(np.concatenate(self.ranks.comm.allgather(to_numpy(mine)), axis=1))
