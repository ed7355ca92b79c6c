"""Cross-validation: folds, preprocessing without the validation part, figures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from scratchnet import Adam, CrossEntropyLoss, Linear, MSELoss, QuadraticCost, Sequential, Sigmoid, crossval
from scratchnet.data.iris import load_iris
from scratchnet.engine.crossvalidation import Standardiser, plain_folds, stratified_folds, stratified_split
from scratchnet.errors import DataError, SettingError


def build(x, seed, loss=CrossEntropyLoss, outputs=3):
    net = Sequential(Linear(x.shape[1], outputs), seed=seed)
    return net, loss(), Adam(net, 0.05)


IRIS = load_iris()


@given(st.lists(st.integers(5, 40), min_size=2, max_size=5), st.integers(2, 5), st.integers(0, 1000))
def test_stratified_folds_part_the_examples_and_every_class_evenly(counts, folds, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = stratified_folds(labels, folds, seed)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    for values in (labels, np.zeros_like(labels)):  # per class, and as a whole
        per_fold = np.stack([np.bincount(values[part], minlength=values.max() + 1) for part in parts])
        assert (per_fold.max(0) - per_fold.min(0)).max() <= 1


@given(st.integers(2, 60), st.integers(2, 60), st.integers(0, 1000))
def test_plain_folds_part_the_examples(n, folds, seed):
    folds = min(n, folds)
    parts = plain_folds(np.zeros(n), folds, seed)
    assert len(parts) == folds and sorted(np.concatenate(parts)) == list(range(n))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.lists(st.integers(2, 40), min_size=2, max_size=5), st.integers(0, 1000))
def test_stratified_split_takes_its_share_of_every_class(counts, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train, test = stratified_split(labels, 0.2, seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    assert list(np.bincount(labels[test])) == [max(1, round(0.2 * n)) for n in counts]
    assert np.bincount(labels[train], minlength=len(counts)).min() >= 1


def test_same_seed_same_folds_and_another_seed_others():
    same = [np.concatenate(stratified_folds(IRIS.labels, 5, seed)).tolist() for seed in (1, 1, 2)]
    assert same[0] == same[1] != same[2]


def test_crossval_of_iris():
    result = crossval(build, IRIS.values, IRIS.labels, prepare=Standardiser, epochs=40, batch_size=16, seed=3)
    assert [row["fold"] for row in result.folds] == [1, 2, 3, 4, 5]
    assert {(row["train_examples"], row["valid_examples"]) for row in result.folds} == {(120, 30)}
    accuracies = [row["accuracy"] for row in result.folds]
    assert result.accuracy == pytest.approx(np.mean(accuracies)) and result.std == pytest.approx(
        np.std(accuracies, ddof=1)
    )
    assert result.accuracy > 0.9
    assert (result.outputs.argmax(1) == IRIS.labels).mean() == pytest.approx(result.accuracy)  # folds of one size
    again = crossval(build, IRIS.values, IRIS.labels, prepare=Standardiser, epochs=40, batch_size=16, seed=3)
    assert again.folds == result.folds
    other = crossval(build, IRIS.values, IRIS.labels, prepare=Standardiser, epochs=40, batch_size=16, seed=4)
    assert other.folds != result.folds


def test_no_fold_learns_anything_from_its_own_validation_part():
    """Labels are noise and inputs are example numbers, so nobody can know a label."""
    rng = np.random.default_rng(0)
    labels, seen = rng.integers(0, 2, 60), []

    def prepare(numbers):
        seen.append(set(numbers))
        return lambda which: np.eye(60)[which]

    result = crossval(lambda x, seed: build(x, seed, outputs=2), list(range(60)), labels, prepare=prepare, epochs=30)
    assert [len(s) for s in seen] == [48] * 5 and set.union(*seen) == set(range(60))
    train_loss = np.mean([row["train_loss"] for row in result.folds])
    assert train_loss < 0.2 and result.accuracy < 0.7  # the networks remember what they saw, and no more


def test_sparse_examples_give_the_same_as_dense_ones():
    x = np.random.default_rng(0).poisson(0.3, (40, 30)).astype(float)
    labels = np.arange(40) % 2
    dense, sparse = (crossval(build, data, labels, epochs=5).folds for data in (x, csr_array(x)))
    for a, b in zip(dense, sparse, strict=True):
        assert a == pytest.approx(b, rel=1e-5)


@pytest.mark.parametrize("loss", [QuadraticCost, MSELoss])
def test_labels_become_rows_for_a_loss_that_takes_values(loss):
    def with_sigmoid(x, seed):
        net = Sequential(Linear(x.shape[1], 3), Sigmoid(), seed=seed)
        return net, loss(), Adam(net, 0.05)

    result = crossval(with_sigmoid, IRIS.values, IRIS.labels, folds=3, prepare=Standardiser, epochs=40)
    assert len(result.folds) == 3 and result.accuracy > 0.8


def test_regression_has_a_loss_and_no_accuracy():
    x = np.random.default_rng(0).normal(size=(50, 2))
    t = x @ [[1.0], [-2.0]]
    result = crossval(lambda x, seed: build(x, seed, MSELoss, 1), x, t, folds=4, epochs=100)
    assert all("accuracy" not in row and row["valid_loss"] < 0.05 for row in result.folds)
    assert result.outputs.shape == (50, 1)


@pytest.mark.parametrize("folds", [1, 0, -1, 151, 2.5, True])
def test_folds_that_cannot_be(folds):
    with pytest.raises(SettingError, match="folds must be a whole number from 2 to 150"):
        crossval(build, IRIS.values, IRIS.labels, folds=folds)


def test_prepare_must_return_a_function():
    with pytest.raises(SettingError, match=r"prepare must return a function that makes input of examples.* None"):
        crossval(build, IRIS.values, IRIS.labels, prepare=lambda x: None)


def test_a_class_with_fewer_examples_than_folds():
    labels = np.array([0] * 10 + [1] * 3)
    with pytest.raises(DataError, match="with 5 folds every class needs at least 5 examples, but class 1 has 3"):
        crossval(build, np.zeros((13, 2)), labels)


def test_as_many_targets_as_examples():
    with pytest.raises(DataError, match="as many targets as examples: 3 and 4"):
        crossval(build, np.zeros((4, 2)), np.array([0, 1, 0]))


def test_a_split_needs_two_of_every_class():
    with pytest.raises(DataError, match="class 1 has only one example"):
        stratified_split(np.array([0, 0, 1]), 0.2, 0)


def test_a_feature_that_never_changes_is_standardised_to_zero():
    x = np.array([[1.0, 5.0], [3.0, 5.0]])
    np.testing.assert_array_equal(Standardiser(x)(x), [[-1, 0], [1, 0]])
