"""Training on batches that somebody else makes: a loader, a generator, a list of pairs.

Letters: N examples in a batch.

What can be gone through from its beginning is all that is asked of a loader, so the
order of an epoch is the loader's own, and nobody knows how many batches there are until
it ends.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.backend.sparse import is_sparse, length
from scratchnet.backend.threads import choose_threads
from scratchnet.engine import checks
from scratchnet.engine.advice import warn
from scratchnet.engine.door import check_fitting, check_parts, check_targets
from scratchnet.engine.history import History
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.metrics import score
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.sources import names_of
from scratchnet.engine.steps import Steps, step
from scratchnet.engine.training import OnStep, Training
from scratchnet.errors import DataError, SettingError

WHAT = (
    "an array, or an iterable of batches (x, target): a list, a DataLoader, or a function that returns a new generator"
)


class Loader:
    """Goes through somebody's batches, (x, target), once an epoch.

    A batch is a pair, or a dictionary such as {"image": x, "label": target}. Single
    examples, whose target is a number, are put together in batches of `batch_size`.
    Raises SettingError for what cannot be gone through.
    """

    def __init__(self, name: str, batches: Any, batch_size: int) -> None:
        self.name, self.batches, self.batch_size = name, batches, batch_size
        is_iterable = hasattr(batches, "__iter__") or (hasattr(batches, "__getitem__") and hasattr(batches, "__len__"))
        is_function = callable(batches) and not is_iterable
        if isinstance(batches, (str, bytes, Mapping, type)) or not (is_iterable or is_function):
            raise SettingError(f"fit: {name} must be {WHAT}, not {checks.shown(batches)}")
        self.make: Callable[[], Iterable[Any]] = batches if is_function else lambda: batches
        #: Whether it gives its batches only once, as a generator does
        self.once = isinstance(batches, Iterator)

    def __len__(self) -> int:
        """The number of batches, as far as the loader tells it; 0: it does not."""
        try:
            return len(self.batches)
        except (TypeError, NotImplementedError, AttributeError):
            return 0

    def __iter__(self) -> Iterator[tuple[Any, Array]]:
        single: list[tuple[Any, Array]] = []
        for k, batch in enumerate(self.make()):
            x, target = self._pair(k, batch)
            if target.ndim:
                yield x, target
                continue
            single.append((x, target))
            if len(single) == self.batch_size:
                yield self._together(single)
                single = []
        if single:
            yield self._together(single)

    def _pair(self, k: int, batch: Any) -> tuple[Any, Array]:
        if isinstance(batch, Mapping):
            batch = tuple(batch[name] for name in names_of("fit", batch))
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise DataError(f"fit: batch {k} of {self.name} must be a pair (x, target), not {checks.shown(batch)}")
        x, target = batch
        x = x if is_sparse(x) else checks.array("fit", f"x of batch {k} of {self.name}", x)
        target = checks.array("fit", f"the target of batch {k} of {self.name}", target)
        if target.ndim:
            checks.same_number(f"fit, batch {k} of {self.name}", x, target)
        return x, target

    def _together(self, single: list[tuple[Any, Array]]) -> tuple[Array, Array]:
        shapes = {x.shape for x, _ in single}
        if len(shapes) > 1:
            raise DataError(f"fit: the examples of {self.name} differ in shape: {', '.join(map(str, sorted(shapes)))}")
        x, target = zip(*single, strict=True)
        return np.stack([to_numpy(a) for a in x]), np.stack([to_numpy(a) for a in target])


class FirstBatch(Steps):
    """A loader's first batch, which is looked at before the training."""

    how = "from a loader"


class LoaderTraining(Training):
    """A training on a loader's batches, in the loader's order.

    An epoch is one passage through the loader, whose rows of the history also have
    `examples` and `steps`. What a `Training` knows beforehand, such as the number of
    steps, is here known only as far as the loader tells it.
    """

    def __init__(
        self, net: Sequential, loss: Loss, optimiser: Optimiser, loader: Loader, *, epochs: int = 1,
        threads: str | int = "auto",
    ) -> None:  # fmt: skip
        check_parts("fit", net, loss, optimiser)
        self.net, self.loss, self.optimiser, self.loader = net, loss, optimiser, loader
        self.epochs = checks.whole("fit", "epochs", epochs)
        if loader.once and self.epochs > 1:
            raise SettingError(
                f"fit: {loader.name} is a {type(loader.batches).__name__}, which is exhausted after one epoch, but "
                f"{self.epochs} epochs were asked for: give a function that returns a new one, a list of the batches, "
                "or a DataLoader"
            )
        self.waiting = iter(loader)
        first = next(self.waiting, None)
        if first is None:
            raise DataError(f"fit: {loader.name} gave no batch: it is empty, or exhausted already")
        self.first: tuple[Any, Array] | None = first
        self.steps: Steps = FirstBatch(net, loss, optimiser, *first, batch_size=length(first[0]))
        check_fitting(net, loss, self.steps.some()[0], self.steps.target)
        self.batch_size, self.examples = self.steps.examples, 0  # how many there are in all, nobody knows yet
        self.steps_per_epoch = len(loader)
        self.threads = choose_threads(threads, self.steps.work())
        self.sizes: list[int] = []  # of the batches of the running epoch

    def _check_history(self, history: History) -> None:
        if any("steps" not in row for row in history.epochs) or self._before(history) > len(history.step_losses):
            raise SettingError("fit: the history is that of a training on arrays, and here is a loader")
        made = len(history.step_losses) - self._before(history)
        if made:
            warn(
                f"fit goes on in the middle of an epoch: the first {made} batches of {self.loader.name} are passed "
                "over, as the ones that have been learnt. Whether these are the same ones is for the loader to see to: "
                "its order is its own"
            )

    def _before(self, history: History) -> int:
        """The number of steps of all epochs that are complete."""
        return sum(int(row["steps"]) for row in history.epochs)

    def _batches(self) -> Iterator[tuple[Any, Array]]:
        """The batches of an epoch; those of the first one have been begun already."""
        if self.first is not None:
            first, self.first = self.first, None
            yield first
            yield from self.waiting
        else:
            yield from self.loader

    def _epoch(
        self, epoch: int, seed: int | None, history: History, on_step: OnStep | None, steps_per_callback: int
    ) -> None:
        done, told = history.resume(self._before(history), max(self.steps_per_epoch, 1), self.net), -1
        losses: Array = history.running
        self.sizes = []
        for k, (x, target) in enumerate(self._batches()):
            self.sizes.append(length(x))
            if k < done:
                continue
            if k == len(losses):
                losses = self.net.xp.concatenate([losses, self.net.xp.full_like(losses, math.nan)])
                history.running = losses
            check_targets(self.net, self.loss, x, target)
            self._set_rate(epoch, k)
            losses[k] = step(self.net, self.loss, self.optimiser, x, target)
            if on_step is not None and self.optimiser.steps % steps_per_callback == 0:
                on_step(epoch, k, max(self.steps_per_epoch, k + 1), losses[k])
                told = k
        made = len(self.sizes)
        if made < max(done, 1):
            raise DataError(
                f"fit: {self.loader.name} gave {made} batches in epoch {epoch + 1}"
                + (f", of which {done} had been made already" if done else ": can it begin again?")
            )
        history.running = losses[:made]
        self.steps_per_epoch, self.examples = made, sum(self.sizes)
        if on_step is not None and told < made - 1 >= done:
            on_step(epoch, made - 1, made, losses[made - 1])

    def _mean(self, losses: np.ndarray) -> dict[str, float]:
        weights = self.sizes if self.loss.averages else np.ones(len(self.sizes))
        total = float((losses.astype(np.float64) * weights).sum())
        return {"train_loss": total / self.examples, "examples": self.examples, "steps": self.steps_per_epoch}


def score_of_batches(net: Sequential, loss: Loss, batches: Loader) -> dict[str, float]:
    """valid_loss and, for classes, valid_accuracy over all batches together."""
    rows, sizes = [], []
    for x, target in batches:
        rows.append(score(net, loss, x, target))
        sizes.append(length(x))
    if not rows:
        raise DataError(f"fit: {batches.name} gave no batch: is it exhausted already?")
    names = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: float(np.average([row[name] for row in rows], weights=sizes)) for name in names}
