"""Training: one step, many steps, and the loop over epochs.

Letters: N examples in a batch, n examples in all; C the loss, δ = ∂C/∂y.
"""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.backend.sparse import dense, is_sparse, length
from scratchnet.backend.threads import blas_threads, choose_threads, threads_for
from scratchnet.engine import checks
from scratchnet.engine.advice import advised, warn
from scratchnet.engine.columns import to_columns
from scratchnet.engine.compiling import clock
from scratchnet.engine.door import check_callbacks, check_fitting, check_history, check_parts, check_valid
from scratchnet.engine.layers.sequential import Sequential, Visit
from scratchnet.engine.losses import Loss
from scratchnet.engine.metrics import accuracy, evaluate, labels_of, names_classes
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.progress import shown
from scratchnet.engine.schedules import Schedule
from scratchnet.engine.stopping import EarlyStopping
from scratchnet.engine.tables import html_table
from scratchnet.engine.tuned import best
from scratchnet.errors import DataError, NonFiniteError, SettingError

# Floating-point warnings are off: the step checks the loss itself, and BLAS sometimes
# warns about intermediate values.
QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore", "divide": "ignore"}


@np.errstate(**QUIET)
def step(net: Sequential, loss: Loss, optimiser: Optimiser, x: Any, target: Any, visit: Visit | None = None) -> Any:
    """One training step on a batch (batch first); returns the loss before it.

    Raises NonFiniteError, with the weights unchanged, if that loss is NaN or infinite.
    (On a GPU the step does not wait for the value: it returns it on the device,
    unchecked.) Raises SettingError for the optimiser of another network. `visit` is
    that of `Sequential.walk`.
    """
    check_parts("step", net, loss, optimiser)
    x = net.as_input(x)
    with threads_for(net.work, x):
        value, delta, _, caches = net.cost(x, target, loss, optimiser, visit)
        if net.xp is np and not math.isfinite(value):
            raise NonFiniteError(describe_non_finite(net, x, float(value), optimiser.steps + 1))
        net.backward(delta, caches, optimiser)
        optimiser.update()
    return value


def describe_non_finite(net: Sequential, x: Any, value: float, number: int) -> str:
    """The message that says where in the network NaN or infinity first appears."""
    xp, a = net.xp, to_columns(dense(net.as_input(x)))
    where = "in the loss itself: the outputs are finite"
    if not xp.isfinite(a).all():
        where = "already in the input"
    else:
        for layer, (y, _) in zip(net.layers, net.walk(a), strict=True):
            if not xp.isfinite(y).all():
                where = f"first in layer {net.layers.index(layer)}, {layer}"
                break
    return f"the loss became {value} at step {number}: {where}; try a smaller learning rate or --clip-norm 1"


class Steps:
    """Training steps in a row: `step` on one batch of x and target after another.

    >>> steps.begin(order, losses)  # the order of the examples, and where losses go
    >>> steps.run(100)  # makes up to a hundred steps, and returns how many

    Subclasses make the same steps in other ways: in compiled loops, as recorded CUDA
    graphs, along sequences, or shared among processes.
    """

    how: ClassVar[str] = "one at a time"

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, x: Any, target: Any, batch_size: int = 1
    ) -> None:
        self.net, self.loss, self.optimiser, self.batch_size = net, loss, optimiser, batch_size
        self.x, self.target = self.as_data(x), checks.array("fit", "the target", target, net.xp)
        checks.same_number("fit", self.x, self.target)
        self.examples = length(self.x)

    def as_data(self, x: Any) -> Array:
        """The examples as an array that `batch` can take its batches from."""
        return self.net.as_input(x)

    def some(self, n: int = 1) -> tuple[Array, Array]:
        """(x, target) of the first examples, n at most, as the network takes them."""
        return self.x[:n], self.target[:n]

    def work(self) -> float:
        """Floating-point operations of a step's largest product.

        The number of threads is chosen by it.
        """
        return self.net.work(self.x, self.batch_size)

    def agree(self, settings: dict[str, Any]) -> None:
        """Called before the first step, with what all processes must have in common."""

    def begin(self, order: Array, losses: Array, at: int = 0) -> None:
        """Begin an epoch: step k takes batch k of this order and writes losses[k].

        The first step to be made is number `at`.
        """
        self.order, self.losses, self.at = order, losses, at

    def run(self, n: int) -> int:
        """Make the next steps, at most n; returns how many.

        Raises NonFiniteError; that step then changes nothing.
        """
        self.losses[self.at] = self.make(self.at)
        self.at += 1
        return 1

    def make(self, k: int) -> Any:
        """Make step k of the epoch; returns its loss."""
        return step(self.net, self.loss, self.optimiser, *self.batch(k))

    def size(self, k: int) -> int:
        """The number of examples in batch k."""
        return min(self.batch_size, len(self.order) - k * self.batch_size)

    def batch(self, k: int, part: slice = slice(None)) -> tuple[Array, Array]:
        """(x, target) of batch k, or of a part of it."""
        chosen = self.order[k * self.batch_size : (k + 1) * self.batch_size][part]
        return self.x[chosen], self.target[chosen]

    def state(self) -> dict[str, Array]:
        """What the next step depends on, besides weights, optimiser and data."""
        return {}

    def restore(self, state: dict[str, Array]) -> None:
        """Continue, after `begin`, from what `state` returned."""


@dataclasses.dataclass(repr=False)
class History:
    """What happened: one row per epoch, and the loss of every step.

    `start` is the row of epoch 0: how good the network was before training. It is empty
    unless `valid` was given. `rows` are all rows, from `start` on.
    """

    epochs: list[dict[str, float]] = dataclasses.field(default_factory=list)
    step_losses: list[float] = dataclasses.field(default_factory=list)
    # the losses of the unfinished epoch, one place for each step
    running: Array | None = None
    begun: float = 0.0  # when that epoch began, in seconds of `clock`
    # `Steps.state`, in the middle of that epoch
    carried: dict[str, Array] = dataclasses.field(default_factory=dict)
    start: dict[str, float] = dataclasses.field(default_factory=dict)

    def resume(self, epoch: int, steps: int, net: Sequential) -> int:
        """Make room for the losses of an epoch.

        Returns how many of its steps were made before an interruption.
        """
        done = self.step_losses[epoch * steps :]
        del self.step_losses[epoch * steps :]
        self.begun = self.begun if done else clock()
        self.running = net.xp.full(steps, math.nan, net.dtype)
        self.running[: len(done)] = net.xp.asarray(done, dtype=net.dtype)
        return len(done)

    @property
    def is_new(self) -> bool:
        """Whether it is the history of a training that has not begun."""
        return not self.start and not self.step_losses

    @property
    def rows(self) -> list[dict[str, float]]:
        """The rows of all epochs, with that of epoch 0 if there is one."""
        return [self.start, *self.epochs] if self.start else self.epochs

    @property
    def last(self) -> dict[str, float]:
        """The row of the last epoch. Raises SettingError if there is none yet."""
        if not self.epochs:
            raise SettingError("the history has no epoch yet, so there is no last one: train for one at least")
        return self.epochs[-1]

    def __repr__(self) -> str:
        last = ", ".join(f"{name}={value:.4g}" for name, value in self.epochs[-1].items()) if self.epochs else ""
        return f"History({len(self.epochs)} epochs, {len(self.step_losses):,} steps{'; last: ' * bool(last)}{last})"

    def _repr_html_(self) -> str:
        """The table of epochs that a notebook shows."""
        return html_table(self.rows)


#: Called as on_step(epoch, step within the epoch, steps per epoch, loss of that step)
OnStep = Callable[[int, int, int, Any], None]
#: Called after every epoch, with its row of the history
OnEpoch = Callable[[dict[str, float]], None]


@contextlib.contextmanager
def _history_on_error(history: History) -> Iterator[None]:
    """Attach the history so far, as `history`, to any exception that leaves the block.

    KeyboardInterrupt is one of them.
    """
    try:
        yield
    except BaseException as error:
        # an unfinished epoch: keep the losses of the steps that were made
        if history.running is not None:
            made = to_numpy(history.running)
            history.step_losses += made[: np.isnan(made).argmax() if np.isnan(made).any() else None].tolist()
            history.running = None
        error.history = history  # type: ignore[attr-defined]
        raise


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
        with blas_threads(self.threads), np.errstate(**QUIET), _history_on_error(history):
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
