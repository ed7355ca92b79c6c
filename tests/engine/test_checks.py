"""The public door: which arguments are accepted, and what the others are told."""

import copy
import re
import warnings

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import (
    RNN,
    SGD,
    Adam,
    BatchNorm2d,
    Conv2d,
    ConvTranspose2d,
    CropFlip,
    Dropout,
    Linear,
    MaxPool2d,
    Sequential,
    SettingError,
)
from scratchnet.engine.door import check_fitting


def net() -> Sequential:
    return Sequential(Linear(4, 3))


REFUSED = {
    "text for a probability": (lambda: Dropout("0.5"), "Dropout: p must be a number from 0 to below 1, not '0.5'"),
    "True for a size": (lambda: Linear(True, 3), "in_features must be a whole number from 1, not True"),
    "a float for a size": (lambda: RNN(3, 4.0), "hidden_size must be a whole number from 1, not 4.0"),
    "bias in words": (lambda: Conv2d(4, 6, 3, bias="no"), "Conv2d: bias must be True or False, not 'no'"),
    "PyTorch's groups": (lambda: Conv2d(4, 6, 3, 1, 0, 1, 2), "Conv2d: groups other than 1 are not supported"),
    "and of the transposed": (lambda: ConvTranspose2d(4, 6, 3, 2, 0, 0, 2), "ConvTranspose2d: groups other than 1"),
    "no momentum": (lambda: BatchNorm2d(3, momentum=None), "momentum=None, .* is not supported"),
    "eps in words": (lambda: BatchNorm2d(3, eps="small"), "BatchNorm2d: eps must be a number from 0, not 'small'"),
    "a flip of 2": (lambda: CropFlip(4, 2), "CropFlip: flip must be a number from 0 to 1, not 2"),
    "a rate in words": (lambda: SGD(net(), lr="abc"), "SGD: lr must be a number from 0, not 'abc'"),
    "one beta": (lambda: Adam(net(), betas=(0.9,)), r"Adam: betas must be two numbers, .*, not \(0.9,\)"),
    "a class": (lambda: SGD(Sequential, 0.1), "SGD: net must be an object such as .*, not the class Sequential"),
    "a layer as a network": (lambda: SGD(Linear(4, 3), 0.1), "SGD: net must be a Sequential such as"),
    "nesterov in words": (lambda: SGD(net(), 0.1, 0.9, nesterov="yes"), "nesterov must be True or False"),
    "a rate from NaN": (lambda: sn.Exponential(0.1, float("nan")), "Exponential: gamma must be a number from 0"),
    "a warm-up longer than the training": (lambda: sn.OneCycle(0.1, 3, 1.5), "OneCycle: warm_up must be .* to 1, not"),
    "a cosine of no epochs": (lambda: sn.Cosine(0.1, 0), "Cosine: epochs must be a whole number from 1"),
    "a list of rates": (lambda: sn.PerEpoch([0.1, 0.2]), r"PerEpoch: parts must be such as \[\(0.5, 5\)"),
    "an infinite layer": (lambda: Sequential(Linear(2**40, 2**40)), "parameters need .* GiB, more memory than there"),
    "one layer twice": (lambda: Sequential(*[Linear(4, 4)] * 2), "a layer can be packed .* make a new"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_one_clear_line(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(SettingError, match=message) as e:
        make()
    assert "\n" not in str(e.value)


def test_numpys_numbers_are_taken_as_pythons() -> None:
    """Also those in an array or tensor without axes.

    In a model file they are plain numbers.
    """
    labels = np.array([0, 2, 1])
    layer = Linear(np.int32(4), labels.max() + 1)
    assert layer.options() == {"in_features": 4, "out_features": 3, "bias": True, "init": "pytorch"}
    assert type(layer.out_features) is int
    pool = MaxPool2d((np.int64(2), np.uint8(3)), np.array(2))
    assert str(pool) == "MaxPool2d((2, 3), stride=2)" and type(pool.stride) is int
    assert type(Dropout(np.float32(0.5)).p) is float
    rule = SGD(net(), np.float64(0.1), np.float32(0.5), nesterov=np.True_)
    assert (rule.lr, rule.momentum, rule.nesterov) == (0.1, 0.5, True) and type(rule.lr) is float


def test_convolutions_have_pytorchs_order_of_arguments() -> None:
    torch = pytest.importorskip("torch")
    for ours, theirs, options in (
        (Conv2d, torch.nn.Conv2d, (2, 3, 3, 2, 1, 2, 1, False)),
        (ConvTranspose2d, torch.nn.ConvTranspose2d, (2, 3, 3, 2, 1, 1, 1, False, 2)),
    ):
        twin = theirs(*options)
        n = Sequential(ours(*options))
        n.load_state_dict({"0.weight": twin.weight.detach().numpy()})
        x = np.random.default_rng(0).standard_normal((2, 2, 7, 7)).astype(np.float32)
        np.testing.assert_allclose(n(x), twin(torch.tensor(x)).detach().numpy(), atol=1e-5)


def batch(n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    return np.random.default_rng(1).standard_normal((n, 4)).astype(np.float32), np.arange(n) % 3


def fit(*, parts=None, x=None, t=None, **options):
    n = net()
    data = batch()
    parts = parts or (sn.CrossEntropyLoss(), SGD(n, 0.1))
    return sn.fit(n, *parts, data[0] if x is None else x, data[1] if t is None else t, **options)


OPTIONS = {
    "epochs of 2.5": ({"epochs": 2.5}, "fit: epochs must be a whole number from 0, not 2.5"),
    "a batch in words": ({"batch_size": "8"}, "fit: batch_size must be a whole number from 1, not '8'"),
    "a negative seed": ({"seed": -1}, "fit: seed must be a whole number from 0, not -1"),
    "a schedule's name": ({"schedule": "cosine"}, "fit: schedule must be .* such as Cosine.*, not 'cosine'"),
    "a schedule of words": ({"schedule": lambda epoch: "fast"}, "fit: the schedule's rate of epoch 0 must be a number"),
    "a schedule's class": ({"schedule": sn.Cosine}, "fit: schedule must be .* not <class"),
    "a number as on_step": ({"on_step": 3}, "fit: on_step must be a function of"),
    "valid without targets": ({"valid": batch()[0]}, r"fit: valid must be a pair \(x, target\)"),
    "classes for objects": ({"parts": (sn.CrossEntropyLoss, Adam)}, "fit: loss must be an object such as .* class"),
    "loss and optimiser swapped": ({"parts": (SGD(net(), 0.1), sn.MSELoss())}, "fit: loss and optimiser are swapped"),
    "the name of a loss": ({"parts": ("mse", SGD(net(), 0.1))}, "fit: loss must be a Loss such as .*, not 'mse'"),
    "a history of another size": (
        {"history": sn.History([{"epoch": 1}], [0.5] * 7), "epochs": 2}, "fit: the history, 1 epochs and 7 steps"),
    "complex examples": ({"x": batch()[0] + 1j}, "the input must be an array of numbers, not complex numbers"),
    "masked labels": ({"t": np.ma.masked_array(batch()[1])}, "fit: the target must be .*, not a masked array"),
    "dates": ({"x": np.zeros((6, 4), "M8[D]")}, "the input must be .*, not dates"),
    "too few labels": ({"t": batch(5)[1]}, r"as many targets as examples, .* \(6, 4\) and the target \(5,\)"),
    "no examples": ({"x": np.zeros((0, 4)), "t": []}, "at least one example"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_fit_refuses_with_one_clear_line(name: str) -> None:
    options, message = OPTIONS[name]
    with pytest.raises(sn.ScratchnetError, match=message) as e:
        fit(**options)
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("call", ["step", "gradients", "gradcheck", "crossval", "summary", "Sequential"])
def test_the_others_refuse_too(call: str) -> None:
    n, (x, t), loss = net(), batch(), sn.CrossEntropyLoss()
    calls = {
        "step": lambda: sn.step(n, loss, SGD, x, t),
        "gradients": lambda: n.gradients(x, t, sn.CrossEntropyLoss),
        "gradcheck": lambda: sn.gradcheck(n, x, t, "mse"),
        "crossval": lambda: sn.crossval(lambda x, seed: n, x, t, folds=2),
        "summary": lambda: n.summary(4),
        "Sequential": lambda: Sequential(Linear(4, 3), dtype="float16"),
    }
    with pytest.raises(SettingError, match=f"{call}: .* (must|not)|dtype 'float16' is not known"):
        calls[call]()


class Table:
    """What pandas and the like share: columns by `get` and `[]`, an array protocol."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return self.values.astype(dtype) if dtype else self.values.copy()

    def __len__(self) -> int:
        return len(self.values)

    def get(self, column: str) -> None:
        return None

    def __getitem__(self, column: str) -> np.ndarray:
        raise KeyError(column)


def torch_tensor(a: np.ndarray) -> object:
    return pytest.importorskip("torch").tensor(a)


def pandas_table(a: np.ndarray) -> object:
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(a, index=np.arange(len(a))[::-1]) if a.ndim > 1 else pandas.Series(a)


KINDS = {
    "lists": np.ndarray.tolist,
    "tuples": lambda a: tuple(map(tuple, a)) if a.ndim > 1 else tuple(a),
    "table": Table,
    "tensors": torch_tensor,
    "pandas": pandas_table,
    "objects": lambda a: a.astype(object),
    "byte order": lambda a: a.astype(a.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_examples_of_every_kind_are_taken_everywhere(kind: str) -> None:
    def everything(x, t):
        n = net()
        history = sn.fit(n, sn.CrossEntropyLoss(), SGD(n, 0.1), x, t, valid=(x, t), batch_size=2)
        value, gradients = n.gradients(x, t, sn.CrossEntropyLoss())
        stepped = sn.step(n, sn.CrossEntropyLoss(), SGD(n, 0.1), x, t)
        assert sn.gradcheck(n, x, t, sn.CrossEntropyLoss())
        made = sn.crossval(lambda x, seed: (m := net(), sn.CrossEntropyLoss(), SGD(m, 0.1)), x, t, folds=2)
        return [history.step_losses, history.last["valid_accuracy"], value, stepped, n(x), made.outputs,
                *gradients.values()]  # fmt: skip

    x, t = batch()
    for ours, theirs in zip(everything(x, t), everything(KINDS[kind](x), KINDS[kind](t)), strict=True):
        assert np.array_equal(ours, theirs)


def test_a_regression_with_several_outputs_has_no_accuracy() -> None:
    n, x = net(), batch()[0]
    rows = {"values": x[:, :3], "whole numbers": np.arange(18).reshape(6, 3), "classes": np.eye(3)[batch()[1]],
            "book": 0.01 + 0.98 * np.eye(3)[batch()[1]]}  # fmt: skip
    found = {}
    for name, t in rows.items():
        last = sn.fit(n, sn.MSELoss(), SGD(n, 0.01), x, t, valid=(x, t)).last
        found[name] = "valid_accuracy" in last
    assert found == {"values": False, "whole numbers": False, "classes": True, "book": True}


@pytest.mark.parametrize(
    ("layers", "loss", "message"),
    [([Linear(4, 3), sn.Softmax()], sn.CrossEntropyLoss(), "the softmax itself: .* Leave the Softmax out"),
     ([Linear(4, 3), sn.Softmax(), Dropout()], sn.NLLLoss(), "ends in Softmax.*: let a LogSoftmax follow"),
     ([Linear(4, 3)], sn.NLLLoss(), r"ends in Linear\(4, 3\): let a LogSoftmax follow"),
     ([Linear(4, 3)], sn.CrossEntropyLoss(), ""), ([Linear(4, 3), sn.LogSoftmax()], sn.NLLLoss(), ""),
     ([Linear(4, 3), sn.LogSoftmax()], sn.CrossEntropyLoss(), "")],
)  # fmt: skip
def test_a_loss_that_does_not_suit_the_last_layer_is_warned_of_once(layers, loss, message: str) -> None:
    n = Sequential(*copy.deepcopy(layers))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("default")
        for _ in range(3):
            sn.fit(n, loss, SGD(n, 0.01), *batch(), epochs=2)
    assert [w.category for w in seen] == [sn.ScratchnetWarning] * bool(message)
    for warning in seen:
        assert re.search(message, str(warning.message)) and warning.filename == __file__


def test_no_study_is_warned_of() -> None:
    from parity.report import all_networks

    with warnings.catch_warnings():
        warnings.simplefilter("error", sn.ScratchnetWarning)
        for n, shape, loss in all_networks().values():
            check_fitting(n, loss, np.zeros((1, *shape)), np.zeros(1, int))


def test_sequences_are_told_of_their_classes_even_where_the_shapes_agree() -> None:
    n = Sequential(sn.LSTM(4, 5, output="sequence"), Linear(5, 3))
    x, t = np.zeros((2, 3, 4)), np.zeros((2, 3), int)
    with pytest.raises(sn.ShapeError, match=r'take CrossEntropyLoss\(classes="last"\)'):
        sn.fit(n, sn.CrossEntropyLoss(), SGD(n, 0.1), x, t)
    sn.fit(n, sn.CrossEntropyLoss(classes="last"), SGD(n, 0.1), x, t)


@pytest.mark.parametrize(
    ("layers", "shape"),
    [([Linear(4, 3)], (4,)), ([sn.LSTM(4, 3)], (5, 4)), ([sn.Flatten(), Linear(8, 3)], (2, 4)),
     ([Conv2d(2, 3, 2), MaxPool2d(2), sn.Flatten(), Linear(3, 3)], (2, 4, 3)), ([sn.GRU(4, 3)], (1, 4))],
)  # fmt: skip
def test_a_batch_without_examples(layers, shape: tuple[int, ...]) -> None:
    """As in PyTorch, its output is empty too.

    It has no loss and nothing to learn from.
    """
    n = Sequential(*copy.deepcopy(layers))
    x, t = np.zeros((0, *shape), np.float32), np.zeros(0, int)
    assert n(x).shape == (0, 3) and n(x).dtype == np.float32
    for call in (lambda: n.gradients(x, t, sn.CrossEntropyLoss()), lambda: sn.gradcheck(n, x, t, sn.CrossEntropyLoss()),
                 lambda: sn.step(n, sn.CrossEntropyLoss(), SGD(n, 0.1), x, t)):  # fmt: skip
        with pytest.raises(sn.ShapeError, match=r"at least one example|needs a batch of examples"):
            call()


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"clip_norm": 1.0}])
def test_a_network_without_parameters_can_be_trained(options: dict) -> None:
    n = Sequential(sn.ReLU())
    for rule in (SGD(n, 0.1, **options), Adam(n)):
        sn.fit(n, sn.MSELoss(), rule, batch()[0], batch()[0])


def test_reprs_are_one_line() -> None:
    history = fit(epochs=2, batch_size=2)
    assert repr(history).startswith("History(2 epochs, 6 steps; last: epoch=2, lr=0.1, train_loss=")
    assert "\n" not in repr(history) and repr(sn.History()) == "History(0 epochs, 0 steps)"
    assert history._repr_html_().count("<tr>") == 3 and "<th>train_loss</th>" in history._repr_html_()
    report = sn.gradcheck(net(), *batch(), sn.CrossEntropyLoss())
    assert report._repr_html_().count("<tr>") == 4 and "all gradients agree" in report._repr_html_()
    n = net()
    assert repr(n.params["0.weight"]) == "Param('weight', (3, 4))"
    assert repr(Adam(n)) == "Adam(lr=0.001)"
    assert repr(SGD(n, 0.1, 0.9, clip_norm=1)) == "SGD(lr=0.1, momentum=0.9, clip_norm=1.0)"
