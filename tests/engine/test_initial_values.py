"""`init=`: the distributions of the literature, with torch.nn.init's variance and
bounds.
"""

import copy

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.engine.params import INITS

torch = pytest.importorskip("torch")

LAYERS = {
    "Linear": lambda **o: sn.Linear(300, 500, **o),
    "Conv2d": lambda **o: sn.Conv2d(40, 90, (3, 5), **o),
    "ConvTranspose2d": lambda **o: sn.ConvTranspose2d(40, 90, (3, 5), **o),
}


def drawn(kind: str, init: str) -> tuple[np.ndarray, np.ndarray]:
    """(weight, bias) of a network of this layer alone."""
    state = sn.Sequential(LAYERS[kind](init=init), seed=1, dtype="float64").state_dict()
    return state["0.weight"], state["0.bias"]


def torchs(init: str, shape: tuple[int, ...]) -> np.ndarray:
    """The same draw in PyTorch."""
    W = torch.empty(shape, dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    if init in ("glorot", "xavier"):
        torch.nn.init.xavier_uniform_(W, generator=generator)
    elif init in ("he", "kaiming"):
        torch.nn.init.kaiming_normal_(W, nonlinearity="relu", generator=generator)
    elif init == "normal":  # LeCun's gain of 1
        torch.nn.init.kaiming_normal_(W, nonlinearity="linear", generator=generator)
    elif init == "pytorch":  # what reset_parameters of nn.Linear and of its convolutions call
        torch.nn.init.kaiming_uniform_(W, a=5**0.5, generator=generator)
    else:
        torch.nn.init.zeros_(W)
    return W.numpy()


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("init", INITS)
def test_spread_and_bounds_are_pytorchs(kind: str, init: str) -> None:
    W, b = drawn(kind, init)
    theirs = torchs(init, W.shape)
    assert W.std() == pytest.approx(theirs.std(), rel=0.02)  # of at least 54,000 draws each
    assert abs(W.mean()) < 0.02 * (theirs.std() or 1)
    if init in ("pytorch", "glorot", "xavier"):  # uniform: sharp bounds, and flat (the kurtosis is 1.8)
        assert abs(W).max() == pytest.approx(abs(theirs).max(), rel=2e-3)
        assert ((W / W.std()) ** 4).mean() == pytest.approx(1.8, rel=0.03)
    elif init != "zeros":  # normal (the kurtosis is 3)
        assert ((W / W.std()) ** 4).mean() == pytest.approx(3.0, rel=0.05)
    assert b.any() == (init == "pytorch")


@pytest.mark.parametrize(("other", "name"), [("xavier", "glorot"), ("kaiming", "he")])
def test_two_names_for_one_way(other: str, name: str) -> None:
    np.testing.assert_array_equal(drawn("Linear", other)[0], drawn("Linear", name)[0])


def test_the_default_is_pytorchs() -> None:
    assert np.array_equal(drawn("Linear", "pytorch")[0], sn.Sequential(LAYERS["Linear"](), seed=1,
                          dtype="float64").state_dict()["0.weight"])  # fmt: skip
    assert str(sn.Linear(2, 3)) == "Linear(2, 3)" and str(sn.Linear(2, 3, init="he")) == "Linear(2, 3, init='he')"


@pytest.mark.parametrize("kind", LAYERS)
def test_it_travels_with_the_model(kind: str, tmp_path) -> None:
    net = sn.Sequential(LAYERS[kind](init="he"), seed=3)
    net.save(tmp_path / "m.safetensors")
    for again in (sn.load(tmp_path / "m.safetensors"), copy.deepcopy(net)):
        assert again.layers[0].init == "he"
        assert all(np.array_equal(again.state_dict()[k], v) for k, v in net.state_dict().items())


@pytest.mark.parametrize(
    ("init", "hint"),
    [("hee", "not 'hee'; did you mean 'he'?"), ("Xavier", "not 'Xavier'; did you mean 'xavier'?"),
     ("kaiming_normal", "; did you mean 'kaiming'?"), ("qqq", "not 'qqq'"), (None, "not None")],
)  # fmt: skip
@pytest.mark.parametrize("kind", LAYERS)
def test_another_name_is_refused(kind: str, init, hint: str) -> None:
    with pytest.raises(sn.SettingError) as e:
        LAYERS[kind](init=init)
    assert str(e.value).startswith(f"{kind}: init must be pytorch, glorot, xavier, he, kaiming, normal or zeros, not ")
    assert str(e.value).endswith(hint)


def test_it_is_given_by_name_alone() -> None:
    """PyTorch's next argument is another one (the device, the kind of padding)."""
    with pytest.raises(TypeError):
        sn.Linear(2, 3, True, "he")


def test_with_zeros_the_neurons_of_a_hidden_layer_stay_equal() -> None:
    net = sn.Sequential(sn.Linear(2, 4, init="zeros"), sn.Sigmoid(), sn.Linear(4, 2, init="zeros"))
    x = np.random.default_rng(0).normal(size=(40, 2))
    sn.fit(net, sn.CrossEntropyLoss(), sn.SGD(net, lr=0.5), x, (x[:, 0] > 0).astype(int), epochs=20, batch_size=40)
    W = net.state_dict()["0.weight"]
    assert W.any() and (W[0] == W).all()
