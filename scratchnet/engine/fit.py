"""`fit`, the door to every training: which kind it is, what it shows, what it says."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scratchnet.engine import checks
from scratchnet.engine.advice import advised, warn
from scratchnet.engine.door import check_callbacks, one_after_the_other
from scratchnet.engine.history import History
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.loaders import Loader, LoaderTraining, score_of_batches
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.progress import shown
from scratchnet.engine.schedules import Schedule
from scratchnet.engine.sources import columns_of
from scratchnet.engine.steps import Steps
from scratchnet.engine.training import OnEpoch, OnStep, Training, Valid
from scratchnet.errors import SettingError


def fit(
    net: Sequential, loss: Loss, optimiser: Optimiser, x: Any, target: Any = None, *, epochs: int = 1,
    batch_size: int = 32, valid: Any = None, schedule: Schedule | None = None, shuffle: bool = True, seed: int = 0,
    threads: str | int = "auto", steps: Callable[..., Steps] | None = None, on_step: OnStep | None = None,
    on_epoch: OnEpoch | None = None, steps_per_callback: int = 1, history: History | None = None,
    patience: int | None = None, progress: bool | None = None, advice: bool = False,
    callbacks: Sequence[OnEpoch] | OnEpoch | None = None,
) -> History:  # fmt: skip
    """Train on all examples `epochs` times, in batches; returns the history.

    `x` is (examples, ...), and `target` is labels (examples,) or values (examples,
    ...). Each epoch takes the examples in a new order drawn from `seed`, and its last
    batch may be smaller. A row of the history has epoch, lr, train_loss (the mean per
    example over the epoch's steps) and seconds, and with `valid = (x, target)` also
    valid_loss and, for classes, valid_accuracy. `history.start`, the row of epoch 0,
    has these two for the network before training.

    Without a `target`, x is an iterable of batches: a list of pairs (x, target), a
    DataLoader of PyTorch, a function that returns a new generator, or, for one epoch, a
    generator itself. A batch may be a dictionary, such as {"image": x, "label":
    target}. The order is then the iterable's own; `batch_size`, `shuffle` and `seed` do
    not change it, and a training that goes on in the middle of an epoch passes over as
    many batches as were made, and warns. A table of Hugging Face's `datasets` is taken
    as it is; it and an array on disk (`np.memmap`) are read batch by batch, by a thread
    of its own, in the order of the seed. `valid` may be any of these too.

    `threads` is "auto" or the number of BLAS threads. `steps` is a subclass of `Steps`,
    by default the fastest. At most `steps_per_callback` steps are made between two
    calls of `on_step`, which then sees those whose number is a multiple of it.
    `callbacks` are plain functions, called in turn with the row of every epoch, as
    `on_epoch` is; an exception that one of them raises ends the training. With
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
    ... except KeyboardInterrupt as stopped:
    ...     history = stopped.history
    """
    batch_size = checks.whole("fit", "batch_size", batch_size, 1)
    training: Training
    if target is None:
        found = columns_of(x)
        if found is None and hasattr(x, "ndim"):
            raise SettingError("fit: the target is missing: give x and its target, or an iterable of batches")
        x, target = found or (x, None)
    if target is None:
        if steps is not None:
            raise SettingError("fit: steps has no effect on batches that somebody else makes")
        training = LoaderTraining(net, loss, optimiser, Loader("x", x, batch_size), epochs=epochs, threads=threads)
    else:
        training = Training(
            net, loss, optimiser, x, target, epochs=epochs, batch_size=batch_size, threads=threads, steps=steps
        )
    check_callbacks("fit", schedule, on_step, on_epoch)
    on_epoch = one_after_the_other("fit", on_epoch, callbacks)
    asked = checks.flag("fit", "advice", advice) and getattr(history, "is_new", True)
    with (
        shown(progress, training.epochs, training.examples, on_step, on_epoch, steps_per_callback) as calls,
        advised(training, calls, warn if asked else None) as calls,
    ):
        return training.run(
            valid=_validation(net, loss, valid, batch_size), schedule=schedule, shuffle=shuffle, seed=seed,
            history=history, patience=patience, **calls,
        )  # fmt: skip


def _validation(net: Sequential, loss: Loss, valid: Any, batch_size: int) -> Valid | None:
    """The pair (x, target), or a function that goes through a loader and scores.

    Raises SettingError for a generator: validation comes after every epoch.
    """
    if isinstance(valid, list) and valid and all(map(_is_batch, valid)):
        pass
    elif valid is None or isinstance(valid, (tuple, list)) or hasattr(valid, "ndim"):
        return valid  # the training looks at it
    else:
        found = columns_of(valid)
        if found is not None:
            return found
    loader = Loader("valid", valid, batch_size)
    if loader.once:
        raise SettingError(
            f"fit: valid is a {type(valid).__name__}, which is exhausted after one passage, but it is needed after "
            "every epoch: give a function that returns a new one, a list of the batches, or a DataLoader"
        )
    return lambda: score_of_batches(net, loss, loader)


def _is_batch(item: Any) -> bool:
    """Whether an item of a list is a batch, and not x or the target of a pair."""
    return isinstance(item, (tuple, Mapping)) or (isinstance(item, list) and bool(item) and hasattr(item[0], "ndim"))
