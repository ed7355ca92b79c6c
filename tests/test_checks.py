"""The public door: which numbers, options and arrays are taken, and what the others are told."""

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
    """Also those of an array or a tensor without axes; in a model file they are plain numbers."""
    labels = np.array([0, 2, 1])
    layer = Linear(np.int32(4), labels.max() + 1)
    assert layer.options() == {"in_features": 4, "out_features": 3, "bias": True} and type(layer.out_features) is int
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


def test_reprs_are_one_line() -> None:
    n = net()
    assert repr(n.params["0.weight"]) == "Param('weight', (3, 4))"
    assert repr(Adam(n)) == "Adam(lr=0.001)"
    assert repr(SGD(n, 0.1, 0.9, clip_norm=1)) == "SGD(lr=0.1, momentum=0.9, clip_norm=1.0)"
