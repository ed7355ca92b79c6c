"""scikit-learn's MLPClassifier, one `partial_fit` per batch."""

import numpy as np
from sklearn.neural_network import MLPClassifier

import scratchnet as sn
from benchmarks.engines import Missing, Trainer
from benchmarks.workloads import Workload

NAMES = {sn.ReLU: "relu", sn.Sigmoid: "logistic"}


def train(work: Workload, device: str) -> Trainer:
    layers = work.layers()
    hidden = [type(layer) for layer in layers[1:-1:2]]
    if work.loss != "cross-entropy" or len(set(hidden)) != 1 or hidden[0] not in NAMES:
        raise Missing("MLPClassifier has one kind of activation, softmax at the end and cross entropy, nothing else")
    model = MLPClassifier(
        hidden_layer_sizes=[layer.out_features for layer in layers[:-1:2]],
        activation=NAMES[hidden[0]],  # type: ignore[arg-type]
        solver=work.optimiser or "sgd",
        learning_rate_init=work.lr or 0.1,
        momentum=work.momentum,
        nesterovs_momentum=False,
        alpha=0,
        batch_size=work.batch,
        random_state=work.seed,
    )
    batches, classes = work.batches(), np.arange(work.outputs())
    x, t = batches[0]
    model.partial_fit(x, t, classes=classes)
    if work.optimiser is None:
        return Trainer(batches, lambda x, t: model.predict_proba(x))
    return Trainer(batches, model.partial_fit)
