"""Early stopping: when a training ends, and which weights it leaves."""

import numpy as np
import pytest

import scratchnet as sn


def overfits(**options):
    """A network that learns random labels, so that the validation loss soon rises.

    Returns (network, history, weights by epoch).
    """
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(60, 4)), rng.integers(0, 2, 60)
    net = sn.Sequential(sn.Linear(4, 20), sn.Tanh(), sn.Linear(20, 2), seed=1)
    weights = []
    history = sn.fit(net, sn.CrossEntropyLoss(), sn.Adam(net, 0.05), x[:30], labels[:30], epochs=60,
                     valid=(x[30:], labels[30:]), on_epoch=lambda row: weights.append(net.state_dict()),
                     **options)  # fmt: skip
    return net, history, weights


def test_it_ends_after_so_many_epochs_without_a_better_one_and_the_best_weights_come_back():
    net, history, weights = overfits(patience=4)
    losses = [row["valid_loss"] for row in history.epochs]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 4 < 60
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, weights[best][name])


def test_without_patience_nothing_changes():
    assert len(overfits()[1].epochs) == 60


def test_the_rows_are_those_of_a_training_without_it():
    rows = overfits(patience=4)[1].epochs
    for row, other in zip(rows, overfits()[1].epochs):
        assert row["valid_loss"] == other["valid_loss"]


@pytest.mark.parametrize("patience", [0, -1, 2.5, "4", True])
def test_a_patience_that_cannot_be_is_told(patience):
    with pytest.raises(sn.SettingError, match="patience must be a whole number"):
        overfits(patience=patience)


def test_it_needs_validation_examples():
    net = sn.Sequential(sn.Linear(2, 2))
    with pytest.raises(sn.SettingError, match=r"patience needs validation examples: give valid=\(x, target\)"):
        sn.fit(net, sn.CrossEntropyLoss(), sn.SGD(net, 0.1), np.zeros((3, 2)), [0, 1, 0], patience=3)
