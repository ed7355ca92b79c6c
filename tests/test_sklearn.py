"""scratchnet.sklearn: scikit-learn's own estimator checks, and typical uses."""

import pickle
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn, of the extra `sklearn`, is not installed")

from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import scratchnet as sn
from scratchnet.engine.weighted import WeightedCrossEntropy, WeightedSquares, with_weights
from scratchnet.sklearn import NetClassifier, NetRegressor


@parametrize_with_checks([NetClassifier(epochs=60), NetRegressor(epochs=60)])
def test_scikit_learns_own_checks(estimator, check):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's words on the data that it makes
        check(estimator)


def classes(n=300):
    x, y = make_classification(n, 6, n_informative=4, n_classes=3, class_sep=1.5, random_state=0)
    return x * 30 + 5, np.array(["ant", "bee", "wasp"])[y]


def test_in_a_pipeline_searched_by_two_processes():
    x, y = classes()
    model = make_pipeline(StandardScaler(), NetClassifier((20,), epochs=20, random_state=0))
    search = GridSearchCV(model, {"netclassifier__lr": [0.03, 1e-6]}, cv=3, n_jobs=2).fit(x, y)
    assert search.best_params_ == {"netclassifier__lr": 0.03} and search.best_score_ > 0.85
    assert cross_val_score(model.set_params(netclassifier__lr=0.03), x, y, cv=3).mean() > 0.85


def test_probabilities_are_those_of_the_network_and_can_be_calibrated():
    x, y = classes()
    model = NetClassifier((20,), epochs=30, lr=0.01, random_state=0).fit(x, y)
    z = model.net_(x)
    p = model.predict_proba(x)
    np.testing.assert_allclose(p, np.exp(z) / np.exp(z).sum(1, keepdims=True), rtol=1e-9)
    assert list(model.classes_) == ["ant", "bee", "wasp"]
    np.testing.assert_array_equal(model.predict(x), model.classes_[p.argmax(1)])
    calibrated = CalibratedClassifierCV(NetClassifier((20,), epochs=20, lr=0.01, random_state=0), cv=2).fit(x, y)
    assert calibrated.score(x, y) > 0.8


def test_it_is_sns_fit():
    x, y = classes(100)
    model = NetClassifier((5,), epochs=3, batch_size=32, random_state=3).fit(x, y)
    seed = model._seed
    net = sn.Sequential(sn.Linear(6, 5), sn.ReLU(), sn.Linear(5, 3), seed=seed, dtype="float64")
    labels = np.searchsorted(model.classes_, y)
    history = sn.fit(net, sn.CrossEntropyLoss(), sn.Adam(net, 0.005), x, labels, epochs=3, batch_size=32, seed=seed)
    np.testing.assert_allclose(model.loss_curve_, [row["train_loss"] for row in history.epochs], rtol=1e-10)
    np.testing.assert_allclose(model.net_(x), net(x), rtol=1e-8)


@pytest.mark.parametrize("kind", [NetClassifier, NetRegressor])
def test_a_weight_of_two_is_the_example_twice(kind):
    x, y = make_regression(40, 3, random_state=0, noise=1.0)
    y = (y > 0) if kind is NetClassifier else y / 50
    weights = np.arange(40) % 3
    options = {"hidden": (8,), "epochs": 20, "random_state": 0}
    one = kind(**options).fit(x, y, sample_weight=weights)
    repeated = kind(**options).fit(np.repeat(x, weights, axis=0), np.repeat(y, weights))
    np.testing.assert_allclose(one.net_(x), repeated.net_(x), rtol=1e-6)
    assert not np.allclose(one.net_(x), kind(**options).fit(x, y).net_(x), rtol=1e-3)


def test_early_stopping_keeps_the_best_epoch():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 5)), rng.integers(0, 2, 100)  # nothing to learn: it soon overfits
    model = NetClassifier((30,), epochs=200, lr=0.05, early_stopping=True, patience=5, random_state=0).fit(x, y)
    assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_curve_) < 200
    assert model.n_iter_ == np.argmin(model.validation_curve_) + 6


def test_epoch_by_epoch():
    x, y = classes()
    x = StandardScaler().fit_transform(x)
    model = NetClassifier((20,), lr=0.02, random_state=0)
    model.partial_fit(x[:100], y[:100], classes=["ant", "bee", "hornet", "wasp"])
    for _ in range(30):
        model.partial_fit(x, y)
    assert model.n_iter_ == len(model.loss_curve_) == 31
    assert list(model.classes_) == ["ant", "bee", "hornet", "wasp"] and model.score(x, y) > 0.85
    with pytest.raises(ValueError, match="'fly', which is not among the classes"):
        model.partial_fit(x[:2], ["fly", "ant"])


def test_early_stopping_does_not_hinder_training_epoch_by_epoch():
    """It sets examples aside in fit alone."""
    x, y = classes(100)
    model = NetClassifier((5,), early_stopping=True, random_state=0).partial_fit(x, y).partial_fit(x, y)
    assert model.n_iter_ == 2 and model.validation_curve_ == []


def test_several_values_at_once():
    x, y = make_regression(200, 4, n_targets=3, random_state=0)
    model = NetRegressor((30,), epochs=200, lr=0.01, random_state=0).fit(x, y / y.std(0))
    assert model.predict(x).shape == (200, 3) and model.score(x, y / y.std(0)) > 0.95


def test_copies_and_pickles():
    x, y = classes(100)
    model = NetClassifier((7,), epochs=2, random_state=0).fit(x, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(x), model.predict_proba(x))
    again = clone(model)
    with pytest.raises(NotFittedError):
        again.predict(x)
    np.testing.assert_array_equal(again.fit(x, y).predict_proba(x), model.predict_proba(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "swish"}, "activation must be relu, tanh or sigmoid, not 'swish'"),
        ({"optimiser": "lbfgs"}, "optimiser must be adam, adamw or sgd, not 'lbfgs'"),
        ({"epochs": 2.5}, "epochs must be a whole number"),
        ({"hidden": (3, 0)}, "must be a whole number"),
        ({"early_stopping": True, "validation_fraction": 1.0}, "validation_fraction must lie between 0 and 1"),
        ({"early_stopping": True, "patience": 0}, "patience must be a whole number"),
        ({"lr": "fast"}, "lr must be a number"),
    ],
)
def test_options_that_cannot_be_are_told(options, message):
    x, y = classes(60)
    with pytest.raises(sn.SettingError, match=message):
        NetClassifier(**options).fit(x, y)


@pytest.mark.parametrize("kind", [WeightedCrossEntropy, WeightedSquares])
def test_the_derivative_of_the_weighted_losses(kind):
    rng = np.random.default_rng(0)
    y, values, weights = rng.normal(size=(5, 3)), np.eye(3)[[0, 2, 1, 1, 0]], rng.random(5)
    target, loss = with_weights(values, weights), kind()
    _, delta = loss(y, target)
    for index in np.ndindex(y.shape):
        step = np.zeros_like(y)
        step[index] = 1e-6
        numeric = (loss(y + step, target)[0] - loss(y - step, target)[0]) / 2e-6
        assert delta[index] == pytest.approx(numeric, abs=1e-9)
    plain = sn.CrossEntropyLoss() if kind is WeightedCrossEntropy else sn.MSELoss()
    value, same = plain(y, values.argmax(1) if kind is WeightedCrossEntropy else values)
    unweighted = loss(y, with_weights(values, np.ones(5)))
    assert unweighted[0] == pytest.approx(value) and np.allclose(unweighted[1], same)
