"""Networks as scikit-learn's estimators: for pipelines, searches and cross-validation.

    from scratchnet.sklearn import NetClassifier
    model = make_pipeline(StandardScaler(), NetClassifier(hidden=(50,), epochs=100))
    GridSearchCV(model, {"netclassifier__lr": [0.01, 0.001]}).fit(x, y)

They are thin: `fit` builds a network and hands it to `scratchnet.fit`. They need
scikit-learn: pip install '.[sklearn]' in a clone of the project.
"""

import math
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Self

import numpy as np

from scratchnet.engine import checks
from scratchnet.engine.fit import fit
from scratchnet.engine.history import History
from scratchnet.engine.layers import Dropout, Linear, ReLU, Sequential, Sigmoid, Tanh
from scratchnet.engine.layers.base import Layer
from scratchnet.engine.optim import SGD, Adam, AdamW, Optimiser
from scratchnet.engine.prediction import outputs
from scratchnet.engine.weighted import WeightedCrossEntropy, WeightedLoss, WeightedSquares, with_weights
from scratchnet.errors import SettingError

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError("scratchnet.sklearn needs scikit-learn 1.6 or later: pip install 'scikit-learn>=1.6'") from error

ACTIVATIONS = {"relu": ReLU, "tanh": Tanh, "sigmoid": Sigmoid}
OPTIMISERS = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


class _Net(BaseEstimator):
    """What both estimators share: the network, its training, and their options.

    hidden: sizes of the hidden layers. activation: "relu", "tanh" or "sigmoid".
    dropout: the share of hidden neurons that are dropped in training. optimiser:
    "adam", "adamw" or "sgd", with the learning rate lr and the weight decay; momentum
    is SGD's. batch_size: examples per step. early_stopping sets `validation_fraction`
    of the examples aside, stops once their loss has not fallen for `patience` epochs,
    and brings the weights of the best epoch back. random_state: decides the initial
    weights, the split and the order.

    After `fit`, net_ is the network (a `Sequential`), loss_curve_ the mean training
    loss of every epoch, validation_curve_ that of the validation examples (with
    early_stopping), n_iter_ the number of epochs, n_features_in_ the number of inputs.
    """

    def __init__(
        self,
        hidden: Sequence[int] = (100,),
        *,
        activation: str = "relu",
        dropout: float = 0.0,
        optimiser: str = "adam",
        lr: float = 0.005,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        epochs: int = 200,
        batch_size: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        patience: int = 10,
        random_state: Any = None,
    ) -> None:
        self.hidden = hidden
        self.activation = activation
        self.dropout = dropout
        self.optimiser = optimiser
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.epochs = epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.random_state = random_state

    # ------------------------------------------------------------------------- training

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train a new network.

        X is (examples, features); a weight makes its example count that often. Raises
        ValueError, as scikit-learn does, for data that nothing can be learnt from, and
        SettingError, which is also a ValueError, for impossible options.
        """
        X, values, weights = self._data(X, y, sample_weight, first=True)
        self._begin(X.shape[1], values.shape[1], X.dtype)
        train, held = self._split(len(X))
        target = with_weights(values, weights)
        history = fit(
            self.net_, self._loss, self._optimiser, X[train], target[train], epochs=self.epochs,
            batch_size=self.batch_size, seed=self._seed, valid=(X[held], target[held]) if len(held) else None,
            patience=self.patience if len(held) else None,
        )  # fmt: skip
        self._remember(history)
        return self

    def _one_epoch(self, X: Any, y: Any, sample_weight: Any) -> Self:
        """Train for one more epoch, on these examples; the first call makes the
        network.
        """
        first = not hasattr(self, "net_")
        X, values, weights = self._data(X, y, sample_weight, first=first)
        if first:
            self._begin(X.shape[1], values.shape[1], X.dtype)
        history = fit(
            self.net_, self._loss, self._optimiser, X, with_weights(values, weights),
            batch_size=self.batch_size, seed=self._seed + self.n_iter_,
        )  # fmt: skip
        self._remember(history)
        return self

    def _data(self, X: Any, y: Any, sample_weight: Any, first: bool) -> tuple[Any, Any, Any]:
        """X, the target values (N, K), and the weights (N,), scaled so that their mean
        is 1.
        """
        X, y = validate_data(
            self, X, y, dtype=(np.float64, np.float32), reset=first, multi_output=True, y_numeric=self._y_is_numeric
        )
        values = self._values(y, first).astype(X.dtype)
        weights = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
        if not weights.sum() > 0:
            raise ValueError("the sample weights are all zero: there is nothing to learn from")
        used = weights > 0  # an example of weight 0 is as one that is not there
        X, values, weights = X[used], values[used], weights[used]
        return X, values, weights / weights.mean()

    def _split(self, n: int) -> tuple[Any, Any]:
        """The examples to train on and those to validate on."""
        order = np.random.default_rng(self._seed).permutation(n) if self.early_stopping else np.arange(n)
        held = math.ceil(self._fraction() * n) if self.early_stopping else 0
        if held >= n:
            raise ValueError(f"early_stopping needs more than {n} example(s) to set some of them aside")
        return order[held:], order[:held]

    def _fraction(self) -> float:
        f = checks.number(type(self).__name__, "validation_fraction", self.validation_fraction)
        if not 0 < f < 1:
            raise SettingError(f"{type(self).__name__}: validation_fraction must lie between 0 and 1, not {f:g}")
        return f

    def _begin(self, inputs: int, results: int, dtype: Any) -> None:
        """A new network and its optimiser."""
        name = type(self).__name__
        checks.choice(name, "activation", self.activation, tuple(ACTIVATIONS))
        checks.choice(name, "optimiser", self.optimiser, tuple(OPTIMISERS))
        self._seed = int(check_random_state(self.random_state).randint(2**31))
        hidden: Any = (self.hidden,) if isinstance(self.hidden, Integral) else self.hidden
        layers: list[Layer] = []
        for size in hidden:
            layers += [Linear(inputs, size), ACTIVATIONS[self.activation]()]
            layers += [Dropout(self.dropout)] if self.dropout else []
            inputs = int(size)
        self.net_ = Sequential(*layers, Linear(inputs, results), seed=self._seed, dtype=str(np.dtype(dtype)))
        self._optimiser = self._make_optimiser()
        self.loss_curve_: list[float] = []
        self.validation_curve_: list[float] = []
        self.n_iter_ = 0

    def _make_optimiser(self) -> Optimiser:
        if self.optimiser == "sgd":
            return SGD(self.net_, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
        return OPTIMISERS[self.optimiser](self.net_, lr=self.lr, weight_decay=self.weight_decay)

    def _remember(self, history: History) -> None:
        self.loss_curve_ += [row["train_loss"] for row in history.epochs]
        self.validation_curve_ += [row["valid_loss"] for row in history.epochs if "valid_loss" in row]
        self.n_iter_ += len(history.epochs)

    def _outputs(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "net_")
        X = validate_data(self, X, dtype=(np.float64, np.float32), reset=False)
        return outputs(self.net_, X.astype(self.net_.dtype, copy=False))

    # ---------------------------------------------------------- to be said by each kind

    _loss: WeightedLoss
    _y_is_numeric = False

    def _values(self, y: Any, first: bool) -> np.ndarray:
        """The values (N, K) that the network shall give for these targets."""
        raise NotImplementedError


class NetClassifier(ClassifierMixin, _Net):
    """A fully connected network that tells classes apart, trained on the cross entropy.

    `classes_` are the classes in order, whatever their names are; `predict_proba` gives
    the softmax of the outputs, one column for each class.
    """

    __doc__ += "\n" + (_Net.__doc__ or "").partition("\n")[2]

    _loss = WeightedCrossEntropy()

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one more epoch.

        The first call must say which classes there are, unless y contains them all.
        """
        if classes is not None and not hasattr(self, "net_"):
            self.classes_ = np.unique(classes)
        return self._one_epoch(X, y, sample_weight)

    def _data(self, X: Any, y: Any, sample_weight: Any, first: bool) -> tuple[Any, Any, Any]:
        self._keeps_classes = first and hasattr(self, "classes_") and not hasattr(self, "net_")
        return super()._data(X, y, sample_weight, first)

    def _values(self, y: Any, first: bool) -> np.ndarray:
        from sklearn.utils import column_or_1d

        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        if first and not self._keeps_classes:
            self.classes_ = np.unique(y)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            raise ValueError(
                f"y holds {unknown.tolist()[0]!r}, which is not among the classes {self.classes_}: "
                "give all classes to the first partial_fit"
            )
        return (y[:, None] == self.classes_).astype(np.float64)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class (examples, classes), in the order of
        `classes_`.
        """
        z = self._outputs(X)
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class of each example."""
        outputs = self._outputs(X)  # raises NotFittedError before classes_ is asked for
        return self.classes_[outputs.argmax(axis=1)]


class NetRegressor(RegressorMixin, _Net):
    """A fully connected network that predicts one value or several.

    It is trained on the mean squared error. If the values are not of a size of about 1,
    wrap the estimator in `sklearn.compose.TransformedTargetRegressor`: it then learns
    better.
    """

    __doc__ += "\n" + (_Net.__doc__ or "").partition("\n")[2]

    _loss = WeightedSquares()
    _y_is_numeric = True

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one more epoch, on these examples; the first call makes the
        network.
        """
        return self._one_epoch(X, y, sample_weight)

    def _values(self, y: Any, first: bool) -> np.ndarray:
        if first:
            self._flat = y.ndim == 1
        return y.reshape(len(y), -1)

    def predict(self, X: Any) -> np.ndarray:
        """The values that are foretold, in the shape of y."""
        y = self._outputs(X)
        return y[:, 0] if self._flat else y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
