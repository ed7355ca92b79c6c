"""Training: the loop over epochs, and what is decided before it.

Letters: N examples in a batch, n examples in all; C the loss.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.backend.sparse import dense, is_sparse, length
from scratchnet.backend.threads import blas_threads, choose_threads
from scratchnet.engine import checks
from scratchnet.engine.compiling import clock
from scratchnet.engine.door import check_callbacks, check_fitting, check_parts, check_valid
from scratchnet.engine.history import History, history_on_error
from scratchnet.engine.layers.inputs import check_indices
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.metrics import evaluate, score
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.reading import ReadingSteps
from scratchnet.engine.schedules import Schedule, rate_of
from scratchnet.engine.sources import Source, source_of
from scratchnet.engine.steps import QUIET, Steps, describe_non_finite
from scratchnet.engine.stopping import EarlyStopping
from scratchnet.engine.tuned import best
from scratchnet.errors import DataError, NonFiniteError, SettingError

#: Called as on_step(epoch, step within the epoch, steps per epoch, loss of that step)
OnStep = Callable[[int, int, int, Any], None]
#: Called after every epoch, with its row of the history
OnEpoch = Callable[[dict[str, float]], None]
#: The validation examples (x, target), or a function that returns their scores
Valid = tuple[Any, Any] | Callable[[], dict[str, float]]


def order_of(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of the examples in an epoch.

    It depends on the seed and the epoch alone, so a resumed run has the same one.
    """
    return np.random.default_rng([seed, epoch]).permutation(n)


def fastest(plain: Steps, steps: int, threads: int) -> Steps:
    """The fastest way to make this number of steps; kernels/ replaces this function."""
    return plain


class Training:
    """A training with everything decided: arrays, BLAS threads and kind of steps.

    `x` is (examples, ...), and `target` is labels (examples,) or values (examples,
    ...). `threads` is "auto" or a number. `steps` is a subclass of `Steps`; by default
    it is the fastest one for this network on this device. Raises SettingError,
    ShapeError, DataError.
    """

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Any, target: Any, *, epochs: int = 1,
        batch_size: int = 32, threads: str | int = "auto", steps: Callable[..., Steps] | None = None,
    ) -> None:  # fmt: skip
        check_parts("fit", net, loss, optimiser)
        epochs, batch_size = checks.whole("fit", "epochs", epochs), checks.whole("fit", "batch_size", batch_size, 1)
        self.net, self.loss, self.optimiser = net, loss, optimiser
        kind = steps or (Steps if source_of(x) is None else ReadingSteps)
        self.steps = kind(net, loss, optimiser, x, target, batch_size)
        check_fitting(net, loss, self.steps.some()[0], self.steps.target)
        if not isinstance(self.steps.x, Source):  # of a source, each batch is looked at
            need_finite(net, self.steps.x)
            check_indices(net, self.steps.x)
        self.epochs, self.batch_size, self.examples = epochs, batch_size, self.steps.examples
        self.steps_per_epoch = -(-self.examples // batch_size)
        self.threads = choose_threads(threads, self.steps.work())
        self.steps = best(fastest)(self.steps, epochs * self.steps_per_epoch, self.threads)

    @property
    def how(self) -> str:
        """How the steps are made, in words."""
        return self.steps.how + ", in part compiled by Numba" * self.optimiser.compiled

    def before(self, valid: Valid | None = None, examples: int = 0) -> dict[str, float]:
        """The row of epoch 0: how good the network is before training.

        It has the scores on `valid`, and train_loss on this number of training
        examples.
        """
        row: dict[str, float] = {"epoch": 0}
        with np.errstate(**QUIET):
            if examples:
                row["train_loss"], _ = evaluate(self.net, self.loss, *self.steps.some(examples))
            return row | self._score(valid)

    def _score(self, valid: Valid | None) -> dict[str, float]:
        if valid is None:
            return {}
        return valid() if callable(valid) else score(self.net, self.loss, *valid)

    def run(
        self, *, valid: Valid | None = None, schedule: Schedule | None = None, shuffle: bool = True,
        seed: int = 0, on_step: OnStep | None = None, on_epoch: OnEpoch | None = None, steps_per_callback: int = 1,
        history: History | None = None, patience: int | None = None,
    ) -> History:  # fmt: skip
        """Train for all epochs; the arguments are those of `fit`.

        `valid` may also be a function that returns the scores.
        """
        check_callbacks("fit", schedule, on_step, on_epoch)
        if history is not None:
            checks.instance("fit", "history", history, History, "the one that an earlier fit returned")
            self._check_history(history)
        seed, shuffle = checks.whole("fit", "seed", seed), checks.flag("fit", "shuffle", shuffle)
        steps_per_callback = checks.whole("fit", "steps_per_callback", steps_per_callback, 1)
        if valid is not None and not callable(valid):
            valid = check_valid(self.net, self.loss, valid)
        stopping = EarlyStopping("fit", self.net, patience, valid is not None)
        history = history or History()
        rates = [schedule(epoch) for epoch in range(min(self.epochs, 100))] if schedule else self.optimiser.lr
        settings = {"epochs": self.epochs, "batch size": self.batch_size, "learning rate": rates}
        self.steps.agree(settings | {"seed": seed, "shuffle": shuffle})
        self.schedule = schedule
        with blas_threads(self.threads), np.errstate(**QUIET), history_on_error(history):
            if valid is not None and history.is_new:
                history.start = self.before(valid)
            try:
                for epoch in range(len(history.epochs), self.epochs):
                    self._set_rate(epoch, self.steps_per_epoch - 1)  # which the row of the epoch names
                    self._epoch(epoch, seed if shuffle else None, history, on_step, steps_per_callback)
                    row = self._row(epoch, history, valid)
                    history.epochs.append(row)
                    if on_epoch is not None:
                        on_epoch(row)
                    if stopping.is_over(row):
                        break
            finally:
                self.steps.end()
            stopping.restore()
        return history

    def _check_history(self, history: History) -> None:
        """Raise SettingError for a history whose epochs had another number of steps."""
        K, epochs, steps = self.steps_per_epoch, len(history.epochs), len(history.step_losses)
        # K steps of the next one: stopped after the last, before the epoch was recorded
        if not 0 <= steps - epochs * K <= K:
            raise SettingError(
                f"fit: the history, {epochs} epochs and {steps} steps, is that of a training with another number of "
                f"examples or batch_size: here an epoch has {K} steps"
            )

    def _set_rate(self, epoch: int, k: int) -> None:
        """Set the rate of step k of an epoch."""
        if self.schedule is not None:
            rate = rate_of(self.schedule, epoch, k, self.steps_per_epoch)
            self.optimiser.lr = checks.number("fit", f"the schedule's rate of epoch {epoch}", rate)

    def _some_steps(self, epoch: int, k: int, n: int) -> int:
        """Make up to n steps of an epoch, from step k on; returns how many."""
        if not hasattr(self.schedule, "of_step"):
            return self.steps.run(n)
        for step in range(k, k + n):
            self._set_rate(epoch, step)
            self.steps.run(1)
        return n

    def _epoch(
        self, epoch: int, seed: int | None, history: History, on_step: OnStep | None, steps_per_callback: int
    ) -> None:
        """Make an epoch's remaining steps; their losses go to `history.running`.

        Without a seed, the examples are taken in the order in which they stand.
        """
        order = np.arange(self.examples) if seed is None else order_of(seed, epoch, self.examples)
        K = self.steps_per_epoch
        stride = K if on_step is None else steps_per_callback
        k = history.resume(epoch * K, K, self.net)
        self.steps.begin(self.net.xp.asarray(order), history.running, k)
        self.steps.restore(history.carried)
        while k < K:
            k += self._some_steps(epoch, k, min(stride - self.optimiser.steps % stride, K - k))
            if on_step is not None:
                history.carried = self.steps.state()
                on_step(epoch, k - 1, K, self.steps.losses[k - 1])
        history.carried = {}

    def _row(self, epoch: int, history: History, valid: Valid | None) -> dict[str, float]:
        """The epoch's row of the history.

        Raises NonFiniteError: on a GPU, losses are not looked at before this point.
        """
        losses = to_numpy(history.running)
        row = {"epoch": epoch + 1, "lr": self.optimiser.lr}
        row |= self._mean(losses)
        row["seconds"] = clock() - history.begun
        history.step_losses += losses.tolist()
        history.running = None
        if not math.isfinite(row["train_loss"]):
            number = int(np.flatnonzero(~np.isfinite(history.step_losses))[0])
            raise NonFiniteError(
                describe_non_finite(self.net, self.steps.some(1)[0], history.step_losses[number], number + 1)
            )
        return row | self._score(valid)

    def _mean(self, losses: np.ndarray) -> dict[str, float]:
        """What an epoch's losses are in the mean over the examples."""
        return {"train_loss": mean_loss(self.loss, losses, self.examples, self.batch_size)}


def need_finite(net: Sequential, x: Array) -> None:
    """Raise DataError for NaN or infinity, with the number of the first example."""
    finite = net.xp.isfinite(x.data if is_sparse(x) else x)
    if finite.all():
        return
    bad = ~net.xp.isfinite(dense(x)).reshape(length(x), -1).all(axis=1)
    raise DataError(f"example {int(to_numpy(bad).argmax())} of the training data holds NaN or infinity")


def mean_loss(loss: Loss, losses: Array, n: int, batch_size: int) -> float:
    """The mean loss per example over an epoch, from the losses of its steps.

    A smaller last batch counts for less.
    """
    values = to_numpy(losses).astype(np.float64)
    weights = np.full(len(values), batch_size if loss.averages else 1, np.float64)
    if loss.averages:
        weights[-1] = n - batch_size * (len(values) - 1)
    return float((values * weights).sum() / n)
