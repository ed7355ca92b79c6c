"""Optimisers: 100 steps of every configuration against torch.optim.

In place and by the gradient; and the update itself.
"""

import itertools

import numpy as np
import pytest
from scipy.sparse import csr_array

torch = pytest.importorskip("torch", reason="PyTorch's optimisers are what ours are compared with")

from parity import compare_training, to_torch  # noqa: E402
from parity.errors import difference  # noqa: E402
from parity.training import optimiser_twin  # noqa: E402
from scratchnet import SGD, Adam, AdamW, CrossEntropyLoss, Linear, ReLU, Sequential, SettingError, Sigmoid, fit, step  # noqa: E402
from scratchnet.backend.products import add_outer, add_product, axpy  # noqa: E402
from scratchnet.engine.optim import PIECE  # noqa: E402
from tests.cases import layouts  # noqa: E402
from tests.profiles import quick_every, quick_first  # noqa: E402


def configurations():
    """(kind, settings): the product of everything an optimiser can be told."""
    for momentum, nesterov, decay, clip in itertools.product(
        (0.0, 0.5, 0.9), (False, True), (0.0, 0.02), (None, 0.05, 1e3)
    ):
        if momentum or not nesterov:
            yield SGD, {"lr": 0.3, "momentum": momentum, "nesterov": nesterov, "weight_decay": decay, "clip_norm": clip}
    for kind, betas, eps, decay, clip in itertools.product(
        (Adam, AdamW), ((0.9, 0.999), (0.5, 0.6), (0.0, 0.9)), (1e-8, 1e-2), (0.0, 0.02), (None, 0.05)
    ):
        yield kind, {"lr": 0.02, "betas": betas, "eps": eps, "weight_decay": decay, "clip_norm": clip}


CONFIGURATIONS = list(configurations())


def network(dtype: str = "float64") -> Sequential:
    return Sequential(Linear(5, 7), Sigmoid(), Linear(7, 6, bias=False), ReLU(), Linear(6, 3), seed=2, dtype=dtype)


def examples(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 5)), rng.integers(0, 3, n)


IDS = {"ids": lambda value: getattr(value, "__name__", str(value))}


@pytest.mark.parametrize(("kind", "settings"), quick_every(3, CONFIGURATIONS), **IDS)
def test_hundred_steps_are_torchs(kind, settings) -> None:
    """The same 100 gradients given to both, in batches of 1, 3 and 40.

    The learning rate changes after every step. The gradients do not come from a
    network: Adam divides by their size, so if they become nearly 0, a training
    amplifies the last bit of a matrix product without bound, which is not the
    optimiser's doing.
    """
    net, twin = network(), to_torch(network())
    ours = kind(net, **settings)
    theirs = optimiser_twin(ours, twin)
    rng, lr = np.random.default_rng(7), settings["lr"]
    for k in range(100):
        ours.lr = theirs.param_groups[0]["lr"] = lr * (1 + k % 7) / 7
        n = (1, 3, 40)[k % 3]
        ours.begin()
        for p, q in zip(net.params.values(), twin.parameters(), strict=True):
            delta, a = rng.standard_normal((p.shape[0], n)), rng.standard_normal((p.shape[-1], n))
            if len(p.shape) == 1:
                ours.bias(p, delta)
            else:
                ours.weight(p, delta, a)
            q.grad = torch.tensor(delta.sum(1) if len(p.shape) == 1 else delta @ a.T)
        if settings["clip_norm"] is not None:
            torch.nn.utils.clip_grad_norm_(twin.parameters(), settings["clip_norm"])
        ours.update()
        theirs.step()
        for (name, p), q in zip(net.params.items(), twin.parameters(), strict=True):
            assert difference(p.value, q.detach().numpy()).norm_relative <= 1e-12, f"step {k}, {name}"
    assert ours.steps == 100


class Varying:
    """Batches of 1, 3 and 40.

    After each, the learning rate changes as by a schedule.
    """

    def __init__(self, optimiser) -> None:
        self.optimiser, self.lr = optimiser, optimiser.lr

    def __iter__(self):
        for k in range(100):
            self.optimiser.lr = self.lr * (1 + (k % 7)) / 7
            yield examples((1, 3, 40)[k % 3], seed=k)


@pytest.mark.parametrize(("kind", "settings"), quick_every(3, CONFIGURATIONS[::4]), **IDS)
def test_hundred_steps_of_training_are_torchs(kind, settings) -> None:
    net = network()
    optimiser = kind(net, **settings)
    rows = compare_training(net, Varying(optimiser), optimiser, 100)
    assert len(rows) == 100 * (1 + len(net.params))
    assert rows.ok, rows.worst


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("n", [1, 3, 40])
def test_sgd_in_place_is_sgd_by_the_gradient(n: int, momentum: float) -> None:
    """The update that never builds δ aᵀ, against the one that does.

    Clipping that never acts makes SGD build it.
    """
    x, t = examples(n)
    nets = network(), network()
    for net, clip in zip(nets, (None, 1e9), strict=True):
        optimiser = SGD(net, 0.1, momentum, clip_norm=clip)
        net.store.grads.fill(0.0 if clip else np.nan)
        for _ in range(5):
            step(net, CrossEntropyLoss(), optimiser, x, t)
            assert optimiser.at_once is (clip is None)
    weights = [p.grad for p in nets[0].params.values() if len(p.shape) == 2]
    assert all(np.isnan(g).all() for g in weights), "the gradient of a weight is never built"
    for name, a in nets[0].state_dict().items():
        assert difference(a, nets[1].state_dict()[name]).norm_relative <= 1e-13, name


def test_first_steps_by_hand() -> None:
    """SGD with all options, and Adam, on one weight: numbers to follow on paper."""
    net = Sequential(Linear(1, 1, bias=False), dtype="float64")
    optimiser = SGD(net, lr=0.1, momentum=0.5, weight_decay=0.25, nesterov=True)
    net.params["0.weight"].value[...] = 2.0
    w, v = 2.0, 0.0
    for g in (1.0, -3.0, 0.5):
        optimiser.begin()
        optimiser.weight(net.params["0.weight"], np.array([[g]]), np.array([[1.0]]))
        optimiser.update()
        decayed = g + 0.25 * w
        v = 0.5 * v + decayed
        w -= 0.1 * (decayed + 0.5 * v)
        assert net.params["0.weight"].value[0, 0] == pytest.approx(w, rel=1e-15)
    net.params["0.weight"].value[...] = 2.0
    adam = Adam(net, lr=0.1)
    net.params["0.weight"].grad[...] = -7.0
    adam.update()
    assert net.params["0.weight"].value[0, 0] == pytest.approx(2.1, abs=1e-9)  # the first step is lr in size


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW], ids=lambda kind: kind.__name__)
def test_float32_stays(kind) -> None:
    net = network("float32")
    optimiser = kind(net, lr=np.float64(0.1), weight_decay=np.float64(0.1), clip_norm=np.float64(1))
    step(net, CrossEntropyLoss(), optimiser, *examples())
    assert net.store.values.dtype == net.store.grads.dtype == np.float32
    assert all(a.dtype == np.float32 for a in optimiser.state().values())
    assert all(a.dtype == np.float32 for a in net.state_dict().values())


@pytest.mark.slow
@pytest.mark.parametrize("decay", quick_first([1e-5, 0.0, 1e-4, 1e-2], 1))
@pytest.mark.parametrize(("momentum", "nesterov"), quick_first([(0.9, True), (0.9, False), (0.0, False)], 1))
def test_float32_drifts_at_most_twice_as_far_as_torch(momentum: float, nesterov: bool, decay: float) -> None:
    """A weight decay of 1 − 2e-6 per step, rounded to float32, once drifted 8 times as
    far.
    """
    net = network("float32")
    optimiser = SGD(net, lr=0.02, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    rows = compare_training(net, examples(), optimiser, 100)
    assert rows.ok, rows.worst


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("n", [1, 16])
@pytest.mark.parametrize("order", ["C", "F"])
def test_weights_larger_than_a_piece(nesterov: bool, n: int, order: str) -> None:
    """With decay or Nesterov, weights change some rows at a time.

    Also the last, short piece.
    """
    rng, settings = np.random.default_rng(4), {"lr": 0.1, "momentum": 0.9 * nesterov, "weight_decay": 0.02}
    net = Sequential(Linear(700, 200), dtype="float64")
    twin = to_torch(net)
    ours = SGD(net, nesterov=nesterov, **settings)
    theirs = optimiser_twin(ours, twin)
    assert 2 * PIECE < 700 * 200 and 200 % (PIECE // 700)
    for _ in range(3):
        delta, a = (np.asarray(rng.standard_normal((size, n)), order=order) for size in (200, 700))
        ours.begin()
        ours.weight(net.params["0.weight"], delta, a)
        ours.bias(net.params["0.bias"], delta)
        ours.update()
        twin[0].weight.grad, twin[0].bias.grad = torch.tensor(delta @ a.T), torch.tensor(delta.sum(1))
        theirs.step()
    for name, p in net.params.items():
        assert difference(p.value, twin.state_dict()[name].numpy()).norm_relative <= 1e-14


def test_padding_between_parameters_stays_zero() -> None:
    for kind, settings in CONFIGURATIONS[::5]:
        net = network()
        optimiser = kind(net, **settings)
        for k in range(3):
            step(net, CrossEntropyLoss(), optimiser, *examples(seed=k))
        used = np.zeros(net.store.values.size, bool)
        for p in net.params.values():
            used[p.start : p.start + p.size] = True
        assert not net.store.values[~used].any() and used.any() and not used.all()


def test_clipping_scales_all_parameters_together() -> None:
    net = network()
    optimiser = SGD(net, lr=1.0, clip_norm=0.01)
    before = net.store.values.copy()
    _, gradients = net.gradients(*examples(), CrossEntropyLoss())
    step(net, CrossEntropyLoss(), optimiser, *examples())
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    assert norm > 0.01
    assert np.linalg.norm(before - net.store.values) == pytest.approx(0.01 * norm / (norm + 1e-6), rel=1e-12)


def test_large_vectors_are_walked_in_pieces() -> None:
    """Adam walks the vector in pieces of 16,384: the last, incomplete one too."""
    net = Sequential(Linear(300, 200), dtype="float64")
    rows = compare_training(net, (np.ones((4, 300)), np.arange(4)), Adam(net, weight_decay=0.01), 5)
    assert max(row.error for row in rows) <= 1e-12


# ------------------------------------------------------------------ the update in place


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("o", "i"), [(1, 1), (3, 4), (1, 9), (10, 600), (40, 50)], ids=str)
def test_add_outer(dtype, o: int, i: int) -> None:
    """C ← C + α δ aᵀ for one example, for every memory order of δ and a."""
    rng = np.random.default_rng(0)
    C, delta, a = (rng.standard_normal(s).astype(dtype) for s in ((o, i), (o, 1), (i, 1)))
    for alpha in (1.0, -0.3):
        exact = C.astype(float) + alpha * (delta.astype(float) @ a.T.astype(float))
        for (_, d), (_, x) in itertools.product(layouts(delta), layouts(a)):
            out = C.copy()
            add_outer(out, d, x, alpha)
            assert difference(out, exact).norm_relative <= (1e-6 if dtype == np.float32 else 1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 130])
@pytest.mark.parametrize(("o", "i"), [(1, 1), (3, 4), (1, 9), (10, 800), (40, 50)], ids=str)
def test_add_product(dtype, o: int, i: int, n: int) -> None:
    """C ← β C + α δ aᵀ for every memory order of δ and a, and for a sparse a.

    Some of them are built first, the others are added in place.
    """
    rng = np.random.default_rng(0)
    C, delta, a = (rng.standard_normal(s).astype(dtype) for s in ((o, i), (o, n), (i, n)))
    a[rng.random(a.shape) < 0.5] = 0
    limit = 1e-6 if dtype == np.float32 else 1e-14
    for alpha, beta in itertools.product((1.0, -0.3), (1.0, 0.9)):
        exact = beta * C.astype(float) + alpha * (delta.astype(float) @ a.T.astype(float))
        for (_, d), (_, x) in itertools.product(layouts(delta), [*layouts(a), ("sparse", csr_array(a.T).T)]):
            out = C.copy()
            add_product(out, d, x, alpha, beta)
            assert difference(out, exact).norm_relative <= limit


@pytest.mark.parametrize("train", [step, fit])
def test_an_optimiser_of_another_network_is_refused(train) -> None:
    net, other = network(), network()
    before = net.state_dict(), other.state_dict()
    with pytest.raises(SettingError, match="this SGD was made for another network"):
        train(net, CrossEntropyLoss(), SGD(other, 0.1, momentum=0.9), *examples(4))
    for one, then in zip((net, other), before, strict=True):
        assert all(np.array_equal(a, then[name]) for name, a in one.state_dict().items())


def test_a_hook_of_ones_own_changes_the_gradient() -> None:
    """Here a parameter is frozen, in six lines of nobody else's."""
    net = network()
    optimiser = Adam(net, 0.1)
    optimiser.hooks.append(lambda o: o.g.__setitem__(slice(0, net.params["0.weight"].size), 0))
    kept = net.params["0.weight"].value.copy()
    step(net, CrossEntropyLoss(), optimiser, *examples(4))
    assert np.array_equal(kept, net.params["0.weight"].value) and optimiser.v.any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_axpy(dtype) -> None:
    x, y = np.arange(5, dtype=dtype), np.ones(5, dtype)
    axpy(-0.5, x, y)
    assert y.tolist() == [1.0, 0.5, 0.0, -0.5, -1.0]


# ----------------------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [(SGD, {"lr": -1}, "SGD: lr must be a number from 0, not -1"), (SGD, {"lr": float("nan")}, "not nan"),
     (SGD, {"lr": 1, "momentum": -0.1}, "momentum"), (SGD, {"lr": 1, "nesterov": True}, "nesterov needs a momentum"),
     (SGD, {"lr": 1, "weight_decay": float("inf")}, "weight_decay"), (Adam, {"eps": -1e-8}, "Adam: eps"),
     (Adam, {"betas": (1.0, 0.9)}, "betas must be a number"), (AdamW, {"betas": (0.9, -0.1)}, "AdamW: betas"),
     (SGD, {"lr": 1, "clip_norm": -1.0}, "clip_norm")],
)  # fmt: skip
def test_setting_out_of_range(kind, settings, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        kind(network(), **settings)


@pytest.mark.parametrize("make", [Adam, lambda net: SGD(net, lr=0.1, momentum=0.9, clip_norm=1.0)])
def test_no_denormals_where_gradients_have_ended(make) -> None:
    net = network("float32")
    optimiser = make(net)
    optimiser.g[:] = np.random.default_rng(0).normal(size=optimiser.g.size)
    optimiser.update()
    assert all(sums.any() for sums in optimiser.state().values())
    for _ in range(1100):  # 0.9^k is denormal from k = 829 on, and 0 from 980 on
        optimiser.g[:] = 0
        optimiser.update()
        for name, sums in optimiser.state().items():
            tiny = np.finfo(sums.dtype).tiny
            assert not np.any((sums != 0) & (np.abs(sums) < tiny)), (name, optimiser.steps)
