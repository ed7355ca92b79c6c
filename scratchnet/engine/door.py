"""The door of a training: checks the arguments of `fit`, `step` and the others.

All of them are checked before anything is computed.
"""

from collections.abc import Callable
from typing import Any

from scratchnet.backend.arrays import Array
from scratchnet.backend.sparse import is_sparse
from scratchnet.engine import checks
from scratchnet.engine.advice import no_logarithms, softmax_twice, warn
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import ClassLoss, Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.sources import Source
from scratchnet.engine.targets import out_of_range
from scratchnet.errors import SettingError, ShapeError


def check_parts(who: str, net: Any, loss: Any, optimiser: Any) -> None:
    """Raise SettingError unless these are a network, a loss and an optimiser.

    The optimiser must have been made for this network.
    """
    if isinstance(net, Sequential) and isinstance(loss, Loss) and isinstance(optimiser, Optimiser):
        optimiser.must_belong_to(net)
        return
    if isinstance(loss, Optimiser) and isinstance(optimiser, Loss):
        raise SettingError(f"{who}: loss and optimiser are swapped: give (net, loss, optimiser, ...)")
    check_network(who, net)
    check_loss(who, loss)
    checks.instance(who, "optimiser", optimiser, Optimiser, "SGD(net, lr=0.1)")


def check_network(who: str, net: Any) -> None:
    checks.instance(who, "net", net, Sequential, "Sequential(Linear(784, 10))")


def check_loss(who: str, loss: Any) -> None:
    checks.instance(who, "loss", loss, Loss, "CrossEntropyLoss()")


def check_callbacks(who: str, schedule: Any, on_step: Any = None, on_epoch: Any = None) -> None:
    """Raise SettingError for a callback that is not a function."""
    for name, function, arguments, what in (
        ("schedule", schedule, 1, "a function of the epoch, such as Cosine(0.1, epochs=10)"),
        ("on_step", on_step, 4, "a function of (epoch, step, steps per epoch, loss)"),
        ("on_epoch", on_epoch, 1, "a function of the row of an epoch"),
    ):
        if function is not None:
            checks.function(who, name, function, arguments, what)


def one_after_the_other(who: str, on_epoch: Any, callbacks: Any) -> Any:
    """One function that calls `on_epoch` and all `callbacks`; None if there is none.

    Raises SettingError for a callback that is not a function of a row.
    """
    if not isinstance(callbacks, (list, tuple)):
        callbacks = [] if callbacks is None else [callbacks]
    what = "functions, each of the row of an epoch"
    return in_turn(on_epoch, *(checks.function(who, "callbacks", function, 1, what) for function in callbacks))


def in_turn(*functions: Callable[..., Any] | None) -> Callable[..., None] | None:
    """One function that calls all of these that are not None; None if there is none."""
    given = [function for function in functions if function is not None]

    def call(*arguments: Any) -> None:
        for function in given:
            function(*arguments)

    return call if given else None


def pair(who: str, name: str, value: Any) -> tuple[Array, Array]:
    """(x, target), such as `valid`, as arrays.

    A sparse x stays sparse, and a source stays one. Raises SettingError, DataError,
    ShapeError.
    """
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise SettingError(f"{who}: {name} must be a pair (x, target), not {checks.shown(value)}")
    x, target = value
    x = x if is_sparse(x) or isinstance(x, Source) else checks.array(who, f"x of {name}", x)
    target = checks.array(who, f"the target of {name}", target)
    checks.same_number(f"{who}, {name}", x, target)
    return x, target


def check_valid(net: Sequential, loss: Loss, valid: Any) -> tuple[Array, Array]:
    """The validation examples of a training, (x, target).

    Raises what `pair` raises, and DataError for a label out of range.
    """
    x, target = pair("fit", "valid", valid)
    check_targets(net, loss, x, target)
    return x, target


def check_fitting(net: Sequential, loss: Loss, x: Array, target: Array) -> None:
    """Check that the end of a network suits its loss, for some x and all targets.

    Raises ShapeError where the output is a sequence (N, T, K) and the loss expects its
    classes on axis 1, and DataError for a label out of range. Warns, with a
    ScratchnetWarning, if softmax is applied twice or if the loss expects logarithms and
    gets probabilities: such a training runs, but learns badly.
    """
    output = net.shapes_from(tuple(x.shape[1:]))[-1]
    if isinstance(loss, ClassLoss) and loss.classes == "first" and len(output) == 2 and _gives_sequences(net):
        name = type(loss).__name__
        raise ShapeError(
            f"{name} has the classes on axis 1, but the network gives sequences (N, T, K) = "
            f'(N, {output[0]}, {output[1]}), with the classes last: take {name}(classes="last")'
        )
    check_targets(net, loss, x, target)
    for advice in (softmax_twice(net, loss), no_logarithms(net, loss)):
        if advice is not None:
            warn(str(advice))


def check_targets(net: Sequential, loss: Loss, x: Array, target: Array) -> None:
    """Raise DataError for a label out of range."""
    if isinstance(loss, ClassLoss):
        check_labels(target, loss.classes_in(net.shapes_from(tuple(x.shape[1:]))[-1]))


def check_labels(labels: Array, K: int) -> None:
    """Raise DataError for a label out of range, for K classes.

    It is asked once for a training, because a GPU does not notice: its kernels read
    past the end of an array, and CuPy takes an index modulo the size. Labels that are
    not whole numbers are for the loss to refuse.
    """
    if labels.dtype.kind not in "iu" or not labels.size:
        return
    if ((labels < 0) | (labels >= K)).any():
        raise out_of_range(labels, K)


def _gives_sequences(net: Sequential) -> bool:
    """Whether the outputs (T, K) are sequences, because a layer needs sequences."""
    return any(layer.over_time or layer.takes_indices for layer in net.layers)
