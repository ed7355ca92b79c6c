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
from scratchnet.engine.advice import advised, warn
from scratchnet.engine.compiling import clock
from scratchnet.engine.door import check_callbacks, check_fitting, check_history, check_parts, check_valid
from scratchnet.engine.history import History, history_on_error
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.metrics import accuracy, evaluate, labels_of, names_classes
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.progress import shown
from scratchnet.engine.schedules import Schedule
from scratchnet.engine.steps import QUIET, Steps, describe_non_finite
from scratchnet.engine.stopping import EarlyStopping
from scratchnet.engine.tuned import best
from scratchnet.errors import DataError, NonFiniteError

#: Called as on_step(epoch, step within the epoch, steps per epoch, loss of that step)
OnStep = Callable[[int, int, int, Any], None]
#: Called after every epoch, with its row of the history
OnEpoch = Callable[[dict[str, float]], None]


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
        self.steps = (steps or Steps)(net, loss, optimiser, x, target, batch_size)
        check_fitting(net, loss, self.steps.some()[0], self.steps.target)
        need_finite(net, self.steps.x)
        net.check_indices(self.steps.x)
        self.epochs, self.batch_size, self.examples = epochs, batch_size, self.steps.examples
        self.steps_per_epoch = -(-self.examples // batch_size)
        self.threads = choose_threads(threads, self.steps.work())
        self.steps = best(fastest)(self.steps, epochs * self.steps_per_epoch, self.threads)

    @property
    def how(self) -> str:
        """How the steps are made, in words."""
        return self.steps.how + ", in part compiled by Numba" * self.optimiser.compiled

    def before(self, valid: tuple[Any, Any] | None = None, examples: int = 0) -> dict[str, float]:
        """The row of epoch 0: how good the network is before training.

        It has the scores on `valid`, and train_loss on this number of training
        examples.
        """
        row: dict[str, float] = {"epoch": 0}
        with np.errstate(**QUIET):
            if examples:
                row["train_loss"], _ = evaluate(self.net, self.loss, *self.steps.some(examples))
            return row | (score(self.net, self.loss, *valid) if valid is not None else {})

    def run(
        self, *, valid: tuple[Any, Any] | None = None, schedule: Schedule | None = None, shuffle: bool = True,
        seed: int = 0, on_step: OnStep | None = None, on_epoch: OnEpoch | None = None, steps_per_callback: int = 1,
        history: History | None = None, patience: int | None = None,
    ) -> History:  # fmt: skip
        """Train for all epochs; the arguments are those of `fit`."""
        check_callbacks("fit", schedule, on_step, on_epoch)
        check_history("fit", history, History, self.steps_per_epoch)
        seed, shuffle = checks.whole("fit", "seed", seed), checks.flag("fit", "shuffle", shuffle)
        steps_per_callback = checks.whole("fit", "steps_per_callback", steps_per_callback, 1)
        valid = None if valid is None else check_valid(self.net, self.loss, valid)
        stopping = EarlyStopping("fit", self.net, patience, valid is not None)
        history = history or History()
        rates = [schedule(epoch) for epoch in range(min(self.epochs, 100))] if schedule else self.optimiser.lr
        settings = {"epochs": self.epochs, "batch size": self.batch_size, "learning rate": rates}
        self.steps.agree(settings | {"seed": seed, "shuffle": shuffle})
        with blas_threads(self.threads), np.errstate(**QUIET), history_on_error(history):
            if valid is not None and history.is_new:
                history.start = self.before(valid)
            for epoch in range(len(history.epochs), self.epochs):
                self._set_rate(schedule, epoch)
                order = order_of(seed, epoch, self.examples) if shuffle else np.arange(self.examples)
                self._epoch(epoch, order, history, on_step, steps_per_callback)
                row = self._row(epoch, history, valid)
                history.epochs.append(row)
                if on_epoch is not None:
                    on_epoch(row)
                if stopping.is_over(row):
                    break
            stopping.restore()
        return history

    def _set_rate(self, schedule: Schedule | None, epoch: int) -> None:
        if schedule is not None:
            self.optimiser.lr = checks.number("fit", f"the schedule's rate of epoch {epoch}", schedule(epoch))

    def _epoch(
        self, epoch: int, order: np.ndarray, history: History, on_step: OnStep | None, steps_per_callback: int
    ) -> None:
        """Make an epoch's remaining steps; their losses go to `history.running`."""
        K = self.steps_per_epoch
        stride = K if on_step is None else steps_per_callback
        k = history.resume(epoch, K, self.net)
        self.steps.begin(self.net.xp.asarray(order), history.running, k)
        self.steps.restore(history.carried)
        while k < K:
            k += self.steps.run(min(stride - self.optimiser.steps % stride, K - k))
            if on_step is not None:
                history.carried = self.steps.state()
                on_step(epoch, k - 1, K, self.steps.losses[k - 1])
        history.carried = {}

    def _row(self, epoch: int, history: History, valid: tuple[Any, Any] | None) -> dict[str, float]:
        """The epoch's row of the history.

        Raises NonFiniteError: on a GPU, losses are not looked at before this point.
        """
        losses = to_numpy(history.running)
        row = {"epoch": epoch + 1, "lr": self.optimiser.lr}
        row["train_loss"] = mean_loss(self.loss, losses, self.examples, self.batch_size)
        row["seconds"] = clock() - history.begun
        history.step_losses += losses.tolist()
        history.running = None
        if not math.isfinite(row["train_loss"]):
            number = int(np.flatnonzero(~np.isfinite(history.step_losses))[0])
            raise NonFiniteError(
                describe_non_finite(self.net, self.steps.batch(0)[0], history.step_losses[number], number + 1)
            )
        return row if valid is None else row | score(self.net, self.loss, *valid)


def fit(
    net: Sequential, loss: Loss, optimiser: Optimiser, x: Any, target: Any, *, epochs: int = 1, batch_size: int = 32,
    valid: tuple[Any, Any] | None = None, schedule: Schedule | None = None, shuffle: bool = True, seed: int = 0,
    threads: str | int = "auto", steps: Callable[..., Steps] | None = None, on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None, steps_per_callback: int = 1, history: History | None = None,
    patience: int | None = None, progress: bool | None = None, advice: bool = False,
) -> History:  # fmt: skip
    """Train on all examples `epochs` times, in batches; returns the history.

    `x` is (examples, ...), and `target` is labels (examples,) or values (examples,
    ...). Each epoch takes the examples in a new order drawn from `seed`, and its last
    batch may be smaller. A row of the history has epoch, lr, train_loss (the mean per
    example over the epoch's steps) and seconds, and with `valid = (x, target)` also
    valid_loss and, for classes, valid_accuracy. `history.start`, the row of epoch 0,
    has these two for the network before training.

    `threads` is "auto" or the number of BLAS threads. `steps` is a subclass of `Steps`,
    by default the fastest. At most `steps_per_callback` steps are made between two
    calls of `on_step`, which then sees those whose number is a multiple of it. With
    `history`, an earlier training is continued where it stopped, even in the middle of
    an epoch. With `patience`, the training ends when valid_loss has not fallen for that
    many epochs, and the network gets back the weights of the best epoch. `progress`
    shows a bar on standard error, or a line per epoch where there is no terminal; by
    default there is a bar on a terminal and in a notebook, and nothing elsewhere. With
    `advice`, usual mistakes are answered once, as a ScratchnetWarning: labels from 1,
    unscaled pixels, a loss that explodes or does not move, a dead ReLU layer.
    Raises NonFiniteError, ShapeError, DataError, SettingError.

    Ctrl-C raises KeyboardInterrupt, as everywhere in Python. That, like every other
    exception that leaves the training, has the attribute `history` with the epochs and
    steps made so far. The network keeps what it has learnt.

    >>> try:
    ...     history = sn.fit(net, loss, optimiser, x, target, epochs=1000)
    ... except KeyboardInterrupt as stopped: ...     history = stopped.history
    """
    training = Training(
        net, loss, optimiser, x, target, epochs=epochs, batch_size=batch_size, threads=threads, steps=steps
    )
    asked = checks.flag("fit", "advice", advice) and getattr(history, "is_new", True)
    with (
        shown(progress, training.epochs, training.examples, on_step, on_epoch, steps_per_callback) as calls,
        advised(training, calls, warn if asked else None) as calls,
    ):
        return training.run(
            valid=valid, schedule=schedule, shuffle=shuffle, seed=seed, history=history, patience=patience, **calls
        )


def need_finite(net: Sequential, x: Array) -> None:
    """Raise DataError for NaN or infinity, with the number of the first example."""
    finite = net.xp.isfinite(x.data if is_sparse(x) else x)
    if finite.all():
        return
    bad = ~net.xp.isfinite(dense(x)).reshape(length(x), -1).all(axis=1)
    raise DataError(f"example {int(to_numpy(bad).argmax())} of the training data holds NaN or infinity")


def score(net: Sequential, loss: Loss, x: Any, target: Any) -> dict[str, float]:
    """valid_loss and, where the targets are classes, valid_accuracy."""
    value, y = evaluate(net, loss, x, target)
    row = {"valid_loss": value}
    if y.ndim == 2 and y.shape[1] > 1 and names_classes(target):
        row["valid_accuracy"] = accuracy(y, labels_of(target))
    return row


def mean_loss(loss: Loss, losses: Array, n: int, batch_size: int) -> float:
    """The mean loss per example over an epoch, from the losses of its steps.

    A smaller last batch counts for less.
    """
    values = to_numpy(losses).astype(np.float64)
    weights = np.full(len(values), batch_size if loss.averages else 1, np.float64)
    if loss.averages:
        weights[-1] = n - batch_size * (len(values) - 1)
    return float((values * weights).sum() / n)
