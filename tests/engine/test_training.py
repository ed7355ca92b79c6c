"""One step and the loop around it: results, the order of examples, what stops a run."""

import numpy as np
import pytest

from scratchnet import (
    SGD,
    Adam,
    CrossEntropyLoss,
    DataError,
    Dropout,
    Exponential,
    Linear,
    MSELoss,
    NonFiniteError,
    OneCycle,
    ReLU,
    Sequential,  # fmt: skip
    SettingError,
    ShapeError,
    Sigmoid,
    accuracy,
    evaluate,
    fit,
    step,
)
from scratchnet.engine.schedules import Schedule, rate_of
from scratchnet.engine.training import order_of


def network(seed: int = 1, dtype: str = "float64") -> Sequential:
    return Sequential(Linear(4, 8), ReLU(), Dropout(0.2), Linear(8, 3), seed=seed, dtype=dtype)


def examples(n: int = 50, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(seed).standard_normal((n, 4))
    return x, x[:, :3].argmax(1)


def test_a_step_returns_the_loss_before_it() -> None:
    net, other, (x, t) = network(), network(), examples()
    assert step(net, CrossEntropyLoss(), SGD(net, 0.1), x, t) == other.gradients(x, t, CrossEntropyLoss())[0]
    assert not np.array_equal(net.store.values, other.store.values)


@pytest.mark.parametrize("schedule", [Exponential(0.1, 0.5), OneCycle(0.1, 3)])
def test_fit_is_step_over_the_order_of_the_seed(schedule: Schedule) -> None:
    """Every example once per epoch, in the order given by seed and epoch.

    The last batch is smaller, and the schedule sets the rate of an epoch or of a step.
    """
    net, other, (x, t) = network(), network(), examples(50)
    history = fit(net, CrossEntropyLoss(), SGD(net, 1.0), x, t, epochs=3, batch_size=16, schedule=schedule, seed=7)
    optimiser, losses = SGD(other, 1.0), []
    for epoch in range(3):
        order = order_of(7, epoch, 50)
        assert sorted(order) == list(range(50))
        for k in range(4):
            optimiser.lr = rate_of(schedule, epoch, k, 4)
            batch = order[16 * k : 16 * (k + 1)]
            losses.append(step(other, CrossEntropyLoss(), optimiser, x[batch], t[batch]))
    assert np.array_equal(net.store.values, other.store.values)
    assert history.step_losses == losses and len(losses) == 12
    assert [row["epoch"] for row in history.epochs] == [1, 2, 3]
    assert [row["lr"] for row in history.epochs] == [rate_of(schedule, epoch, 3, 4) for epoch in range(3)]
    weights = [16, 16, 16, 2]
    for k, row in enumerate(history.epochs):
        assert row["train_loss"] == pytest.approx(np.average(losses[4 * k : 4 * k + 4], weights=weights), rel=1e-14)
    assert history.last is history.epochs[-1]


def test_a_rate_for_each_step_in_batches_of_somebody_else() -> None:
    """A list of batches has a length; a function that returns a generator has none."""
    x, t = examples(48)
    batches = [(x[k : k + 16], t[k : k + 16]) for k in range(0, 48, 16)]
    net, schedule, rates = network(), OneCycle(0.1, 2), []
    optimiser = SGD(net, 1.0)
    for loader in (batches, lambda: iter(batches)):
        fit(net, CrossEntropyLoss(), optimiser, loader, epochs=2, schedule=schedule,
            on_step=lambda *_: rates.append(optimiser.lr))  # fmt: skip
    assert rates[:6] == [schedule.of_step(number, 3) for number in range(6)]
    assert rates[6:9] == [schedule(0)] * 3


def test_epoch_0_is_the_network_before_it_is_trained() -> None:
    net, untrained, (x, t) = network(), network(), examples(50)
    history = fit(net, CrossEntropyLoss(), SGD(net, 0.1), x, t, epochs=2, valid=(x[:20], t[:20]))
    value, y = evaluate(untrained, CrossEntropyLoss(), x[:20], t[:20])
    assert history.start == {"epoch": 0, "valid_loss": value, "valid_accuracy": accuracy(y, t[:20])}
    assert history.rows == [history.start, *history.epochs] and len(history.epochs) == 2
    assert [row["epoch"] for row in history.rows] == [0, 1, 2]
    assert "<th>valid_loss</th>" in history._repr_html_() and history._repr_html_().count("<tr>") == 4
    begun = dict(history.start)
    fit(net, CrossEntropyLoss(), SGD(net, 0.1), x, t, epochs=3, valid=(x[:20], t[:20]), history=history)
    assert history.start == begun and len(history.epochs) == 3, "what goes on begins where it began"
    plain = fit(net, CrossEntropyLoss(), SGD(net, 0.1), x, t)
    assert plain.start == {} and plain.rows == plain.epochs


def test_orders_differ_between_seeds_and_epochs() -> None:
    orders = [order_of(s, e, 100).tolist() for s, e in ((0, 0), (0, 1), (1, 0))]
    assert orders[0] == order_of(0, 0, 100).tolist() and len({tuple(o) for o in orders}) == 3


def test_without_shuffling_examples_come_in_order() -> None:
    seen = []

    class Watch(MSELoss):
        def as_target(self, target, y):
            seen.append(np.asarray(target).ravel().tolist())
            return super().as_target(target, y)

    net = Sequential(Linear(1, 1), dtype="float64")
    fit(net, Watch(), SGD(net, 0.0), np.ones((5, 1)), np.arange(5.0)[:, None], batch_size=2, shuffle=False)
    assert seen == [[0, 1], [2, 3], [4]]


def test_callbacks_and_validation() -> None:
    net, (x, t) = network(), examples()
    steps, rows = [], []
    valid = examples(30, seed=5)
    fit(net, CrossEntropyLoss(), Adam(net), x, t, epochs=2, batch_size=20, valid=valid,
        on_step=lambda *args: steps.append(args), on_epoch=rows.append)  # fmt: skip
    assert [s[:3] for s in steps] == [(e, k, 3) for e in range(2) for k in range(3)]
    y = net(valid[0])
    assert rows[-1]["valid_accuracy"] == (y.argmax(1) == valid[1]).mean()
    assert rows[-1]["valid_loss"] == pytest.approx(float(CrossEntropyLoss()(y, valid[1])[0]), rel=1e-13)


def test_callbacks_are_called_in_turn_with_the_row_of_every_epoch() -> None:
    net, (x, t) = network(), examples()
    seen: list[tuple[str, float]] = []
    history = fit(
        net, CrossEntropyLoss(), Adam(net), x, t, epochs=2, on_epoch=lambda row: seen.append(("first", row["epoch"])),
        callbacks=[lambda row: seen.append(("second", row["epoch"])), lambda row: seen.append(("loss", row["lr"]))],
    )  # fmt: skip
    lr = history.last["lr"]
    assert seen == [("first", 1), ("second", 1), ("loss", lr), ("first", 2), ("second", 2), ("loss", lr)]
    alone: list[dict[str, float]] = []
    fit(net, CrossEntropyLoss(), Adam(net), x, t, callbacks=alone.append)
    assert [row["epoch"] for row in alone] == [1]


def test_a_callback_ends_the_training_by_an_exception() -> None:
    net, (x, t) = network(), examples()

    def stop(row: dict[str, float]) -> None:
        if row["epoch"] == 3:
            raise StopIteration

    with pytest.raises(StopIteration) as stopped:
        fit(net, CrossEntropyLoss(), Adam(net), x, t, epochs=9, callbacks=[stop])
    assert len(stopped.value.history.epochs) == 3


@pytest.mark.parametrize("wrong", [3, "print", [3], [lambda: None], [lambda a, b: None], [print, None]])
def test_a_callback_that_is_no_function_of_a_row_is_refused(wrong) -> None:
    net, (x, t) = network(), examples()
    before = net.state_dict()
    with pytest.raises(SettingError, match="callbacks must be functions, each of the row of an epoch, not"):
        fit(net, CrossEntropyLoss(), Adam(net), x, t, callbacks=wrong)
    assert all((net.state_dict()[name] == a).all() for name, a in before.items())


def test_training_learns() -> None:
    net, (x, t) = network(), examples(400)
    history = fit(net, CrossEntropyLoss(), Adam(net, lr=0.01), x, t, epochs=30, valid=examples(400, seed=3))
    assert history.epochs[-1]["train_loss"] < 0.5 * history.epochs[0]["train_loss"]
    assert history.last["valid_accuracy"] > 0.9


def test_same_seed_same_run() -> None:
    runs = []
    for seed in (1, 1, 2):
        net = network(seed)
        fit(net, CrossEntropyLoss(), Adam(net), *examples(), epochs=2, seed=seed)
        runs.append(net.store.values.copy())
    assert np.array_equal(runs[0], runs[1]) and not np.array_equal(runs[0], runs[2])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_leaves_the_weights(bad: float) -> None:
    net, (x, t) = network(), examples()
    optimiser = SGD(net, 0.1, momentum=0.9)
    step(net, CrossEntropyLoss(), optimiser, x, t)
    x[3, 2] = bad
    before, state = net.store.values.copy(), optimiser.v.copy()
    with pytest.raises(NonFiniteError, match="at step 2: already in the input"):  # and no RuntimeWarning
        step(net, CrossEntropyLoss(), optimiser, x, t)
    assert np.array_equal(net.store.values, before) and np.array_equal(optimiser.v, state) and optimiser.steps == 1


def test_the_layer_where_it_began_is_named() -> None:
    net, (x, t) = Sequential(Linear(4, 4), Sigmoid(), Linear(4, 3), dtype="float64"), examples()
    net.params["2.weight"].value[...] = np.nan
    with pytest.raises(NonFiniteError, match=r"first in layer 2, Linear\(4, 3\)"):
        fit(net, CrossEntropyLoss(), SGD(net, 0.1), x, t)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [({"epochs": -1}, SettingError, "epochs"), ({"batch_size": 0}, SettingError, "batch_size"),
     ({"target": np.zeros(3, int)}, ShapeError, "as many targets as examples"),
     ({"target": np.full(50, 3)}, DataError, "label 3 is out of range"),
     ({"threads": "many"}, SettingError, "threads"), ({"x": np.zeros((50, 5))}, ShapeError, "layer 0")],
)  # fmt: skip
def test_mistakes(change, error, message: str) -> None:
    net, (x, t) = network(), examples()
    arguments = {"x": x, "target": t, "epochs": 1, "batch_size": 10, **change}
    before = net.store.values.copy()
    with pytest.raises(error, match=message):
        fit(net, CrossEntropyLoss(), SGD(net, 0.1), **arguments)
    assert np.array_equal(net.store.values, before)


def test_float32_stays() -> None:
    net = network(dtype="float32")
    fit(net, CrossEntropyLoss(), Adam(net), *examples())
    assert net.store.values.dtype == np.float32 and net(examples()[0]).dtype == np.float32
