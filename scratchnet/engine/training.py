"""Training: one step, and the loop around it."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.backend.sparse import dense, is_sparse, length
from scratchnet.backend.threads import blas_threads, choose_threads, threads_for
from scratchnet.engine import checks
from scratchnet.engine.columns import to_columns
from scratchnet.engine.door import check_callbacks, check_fitting, check_history, check_parts, pair
from scratchnet.engine.kernels import kind_of_steps
from scratchnet.engine.kernels.compiling import clock
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.metrics import accuracy, evaluate, html_table, labels_of, names_classes
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.schedules import Schedule
from scratchnet.errors import DataError, NonFiniteError, SettingError

if TYPE_CHECKING:
    from scratchnet.runs.ranks import Ranks


# No warnings of floating point: a loss that is no number stops us anyhow, and BLAS at times warns of what is no result.
QUIET: dict[str, Any] = {"over": "ignore", "invalid": "ignore", "divide": "ignore"}


@np.errstate(**QUIET)
def step(net: Sequential, loss: Loss, optimiser: Optimiser, x: Any, target: Any) -> Any:
    """One training step on a batch (batch first); returns the loss before it, C(x, target).

    Raises NonFiniteError, with the weights unchanged, if that loss is NaN or infinite. (On a GPU nobody waits for
    the value here: it is returned as it is, on the device.)
    """
    check_parts("step", net, loss, optimiser)
    x = net.as_input(x)
    with threads_for(net.work, x):
        optimiser.begin()
        y, caches = net.forward(to_columns(x), optimiser)
        value, delta = loss.forward(y, to_columns(loss.as_target(target, y)))
        if net.xp is np and not math.isfinite(value):
            raise NonFiniteError(describe_non_finite(net, x, float(value), optimiser.steps + 1))
        net.backward(delta, caches, optimiser)
        optimiser.update()
    return value


def describe_non_finite(net: Sequential, x: Any, value: float, number: int) -> str:
    """Where a NaN or infinity first appears on the way through the network."""
    xp, a = net.xp, to_columns(dense(net.as_input(x)))
    where = "in the loss itself: the outputs are finite"
    if not xp.isfinite(a).all():
        where = "already in the input"
    else:
        for i, layer in enumerate(net.layers):
            a, _ = layer.forward(a.copy())
            if not xp.isfinite(a).all():
                where = f"first in layer {i}, {layer}"
                break
    return f"the loss became {value} at step {number}: {where}; try a smaller learning rate or --clip-norm 1"


@dataclasses.dataclass(repr=False)
class History:
    """What happened: one row per epoch, and the loss of every step."""

    epochs: list[dict[str, float]] = dataclasses.field(default_factory=list)
    step_losses: list[float] = dataclasses.field(default_factory=list)
    running: Array | None = None  # the losses of the epoch that is being trained, one place for each step
    begun: float = 0.0  # when that epoch began, in seconds of `clock`

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
        return html_table(self.epochs)


#: Called after every step as on_step(epoch, step in epoch, steps per epoch, loss of this step)
OnStep = Callable[[int, int, int, Any], None]
#: Called after every epoch with its row of the history
OnEpoch = Callable[[dict[str, float]], None]


@contextlib.contextmanager
def _history_on_error(history: History) -> Iterator[None]:
    """Give what leaves the block, such as a KeyboardInterrupt, the history up to there, as its attribute `history`."""
    try:
        yield
    except BaseException as error:
        if history.running is not None:  # an epoch is unfinished: keep the losses of the steps that were made
            made = to_numpy(history.running)
            history.step_losses += made[: np.isnan(made).argmax() if np.isnan(made).any() else None].tolist()
            history.running = None
        error.history = history  # type: ignore[attr-defined]
        raise


def order_of(seed: int, epoch: int, n: int) -> np.ndarray:
    """The order of the examples in an epoch. A function of seed and epoch alone, so a resumed run has the same one."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def fit(
    net: Sequential,
    loss: Loss,
    optimiser: Optimiser,
    x: Any,
    target: Any,
    *,
    epochs: int = 1,
    batch_size: int = 32,
    valid: tuple[Any, Any] | None = None,
    schedule: Schedule | None = None,
    shuffle: bool = True,
    seed: int = 0,
    threads: str | int = "auto",
    ranks: "Ranks | None" = None,
    on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None,
    together: int = 1,
    history: History | None = None,
) -> History:
    """Train on all examples `epochs` times in batches, in an order drawn from `seed`; returns the history.

    `x` is (examples, ...), `target` labels (examples,) or values (examples, ...); the last batch of an epoch may be
    smaller. A row of the history has epoch, lr, train_loss (mean per example over the epoch's steps), seconds,
    and with `valid = (x, target)` valid_loss and, for classes, valid_accuracy. `threads` is "auto" or the number of
    BLAS threads. `together` is how many steps may be made between two calls of `on_step`, where they are made many at a
    time (see engine/kernels): it then sees those whose number is a multiple. With `history`, that training is
    continued where it stopped, in the middle of an epoch too. Raises NonFiniteError, ShapeError, DataError.

    Ctrl-C raises KeyboardInterrupt as everywhere in Python. What leaves `fit` that way, and every other
    error of the training, has the attribute `history`: the epochs and steps that were made before it. The
    network keeps what it has learnt up to there.

    >>> try:
    ...     history = sn.fit(net, loss, optimiser, x, target, epochs=1000)
    ... except KeyboardInterrupt as stopped:
    ...     history = stopped.history
    """
    check_parts("fit", net, loss, optimiser)
    check_callbacks("fit", schedule, on_step, on_epoch)
    epochs, batch_size = checks.whole("fit", "epochs", epochs), checks.whole("fit", "batch_size", batch_size, 1)
    seed, together = checks.whole("fit", "seed", seed), checks.whole("fit", "together", together, 1)
    shuffle = checks.flag("fit", "shuffle", shuffle)
    x, target = net.as_input(x), checks.array("fit", "the target", target, net.xp)
    checks.same_number("fit", x, target)
    check_fitting(net, loss, x)
    check_history("fit", history, History, -(-length(x) // batch_size))
    valid = None if valid is None else pair("fit", "valid", valid)
    if ranks is not None:
        rates = [schedule(e) for e in range(min(epochs, 100))] if schedule is not None else optimiser.lr
        settings = {
            "epochs": epochs,
            "batch size": batch_size,
            "learning rate": rates,
            "seed": seed,
            "shuffle": shuffle,
        }
        ranks.compare_training(net, loss, optimiser, x, target, settings)
    need_finite(net, x)
    history = history or History()
    n, steps = length(x), -(-length(x) // batch_size)
    threads = choose_threads(threads, net.work(x, batch_size))
    # steps are made many at a time where they can be
    kind = kind_of_steps(net, loss, optimiser, x, batch_size, epochs * steps, threads) if ranks is None else None
    many = kind(net, loss, optimiser, x, target, batch_size) if kind else None
    optimiser.prepare(epochs * steps)
    together = together if on_step is not None else steps
    with blas_threads(threads), np.errstate(**QUIET), _history_on_error(history):
        for epoch in range(len(history.epochs), epochs):
            done = history.step_losses[epoch * steps :]  # of this epoch, before the training was interrupted
            del history.step_losses[epoch * steps :]
            start = history.begun = history.begun if done else clock()
            if schedule is not None:
                optimiser.lr = checks.number("fit", f"the schedule's rate of epoch {epoch}", schedule(epoch))
            order = net.xp.asarray(order_of(seed, epoch, n) if shuffle else np.arange(n))
            losses = history.running = net.xp.full(steps, math.nan, net.dtype)
            losses[: len(done)] = net.xp.asarray(done, dtype=net.dtype)
            k = len(done)
            if many is not None:
                many.begin(order, losses, k)
            while k < steps:
                if many is not None:
                    k += many.run(min(together - optimiser.steps % together, steps - k))
                    if net.xp is np and not math.isfinite(losses[k - 1]):
                        batch = order[(k - 1) * batch_size : k * batch_size]
                        bad = describe_non_finite(net, x[batch], float(losses[k - 1]), optimiser.steps + 1)
                        raise NonFiniteError(bad)
                else:
                    batch = order[k * batch_size : (k + 1) * batch_size]
                    if ranks is None:
                        losses[k] = step(net, loss, optimiser, x[batch], target[batch])
                    else:
                        losses[k] = ranks.step(net, loss, optimiser, x, target, batch)
                    k += 1
                if on_step is not None:
                    on_step(epoch, k - 1, steps, losses[k - 1])
            row = {"epoch": epoch + 1, "lr": optimiser.lr, "train_loss": mean_loss(loss, losses, n, batch_size)}
            row["seconds"] = clock() - start
            history.step_losses += to_numpy(losses).tolist()
            history.running = None
            if not math.isfinite(row["train_loss"]):  # found here on a GPU, at the step itself on a CPU
                number = int(np.flatnonzero(~np.isfinite(history.step_losses))[0])
                bad = describe_non_finite(net, x[:batch_size], history.step_losses[number], number + 1)
                raise NonFiniteError(bad)
            if valid is not None and (ranks is None or ranks.rank == 0):
                row |= score(net, loss, *valid)
            history.epochs.append(row)
            if on_epoch is not None:
                on_epoch(row)
    return history


def need_finite(net: Sequential, x: Array) -> None:
    """Raise DataError if an example holds NaN or infinity, naming the first."""
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
    """Mean loss per example of an epoch from its steps' losses; a smaller last batch counts for less."""
    values = to_numpy(losses).astype(np.float64)
    weights = np.full(len(values), batch_size if loss.averages else 1, np.float64)
    if loss.averages:
        weights[-1] = n - batch_size * (len(values) - 1)
    return float((values * weights).sum() / n)
