"""The GPU path without a GPU: training on an array class as strict as CuPy's.

And the names of CuPy itself that the engine uses.
"""

import ast
import importlib
import inspect
import json
import pkgutil
from pathlib import Path

import numpy as np
import pytest

import scratchnet
import scratchnet.studies
from scratchnet import (
    SGD,
    Adam,
    AdamW,
    CrossEntropyLoss,
    Dropout,
    Linear,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    QuadraticCost,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    fit,
    step,
)
from scratchnet.backend.devices import cuda_problem, resolve_device
from scratchnet.data.digits import load_digits
from scratchnet.errors import DataError, DeviceError, NonFiniteError
from scratchnet.train import main
from tests import fake_cupy
from tests.cases import CASES, Case

OPTIMISERS = {
    "sgd": lambda net: SGD(net, 0.3),
    "sgd-decay": lambda net: SGD(net, 0.3, weight_decay=0.01),
    "momentum": lambda net: SGD(net, 0.1, momentum=0.9),
    "momentum-decay": lambda net: SGD(net, 0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda net: SGD(net, 0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "sgd-clipped": lambda net: SGD(net, 0.3, momentum=0.5, clip_norm=0.05),
    "adam": lambda net: Adam(net, 0.01, weight_decay=0.01),
    "adam-clipped": lambda net: Adam(net, 0.01, clip_norm=0.05),
    "adamw": lambda net: AdamW(net, 0.01),
}
#: the last layer, the loss and whether it takes labels
ENDS = {
    "cross-entropy": (None, CrossEntropyLoss(), True),
    "nll": (LogSoftmax, NLLLoss(), True),
    "mse": (Sigmoid, MSELoss(), False),
    "mse-sum": (Tanh, MSELoss("sum"), False),
    "quadratic": (Softmax, QuadraticCost(), False),
}


def network(end, device, dropout=0.0):
    layers = [Linear(6, 8), Sigmoid(), Linear(8, 7, bias=False), ReLU(), Dropout(dropout), Linear(7, 3)]
    return Sequential(*layers, *([end()] if end else []), seed=1, dtype="float64", device=device)


def batch(n, labels):
    rng = np.random.default_rng(n)
    return rng.normal(size=(n, 6)), rng.integers(0, 3, n) if labels else rng.random((n, 3))


def agree(a, b):
    assert set(a) == set(b)
    for name in a:
        assert np.isfinite(a[name]).all()
        np.testing.assert_allclose(a[name], b[name], rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
@pytest.mark.parametrize("end", ENDS)
def test_training_steps(cupy, end, optimiser, n):
    last, loss, labels = ENDS[end]
    x, t = batch(n, labels)
    here, there = network(last, "cpu"), network(last, "cuda")
    a, b = OPTIMISERS[optimiser](here), OPTIMISERS[optimiser](there)
    x_there, t_there = cupy.asarray(x), cupy.asarray(t)
    for _ in range(3):
        expected = step(here, loss, a, x, t)
        with fake_cupy.watch() as (waits, copies):
            value = step(there, loss, b, x_there, t_there)
        assert waits == [] and copies == []
        assert type(value) is cupy.ndarray and value.shape == ()
        np.testing.assert_allclose(value.get(), expected, rtol=1e-12)
    agree(here.state_dict(), there.state_dict())
    agree(dict(enumerate(map(np.asarray, a.state().values()))), {k: v.get() for k, v in enumerate(b.state().values())})


def drawn_alone(copies):
    """Whether only random numbers are copied to the device.

    They are drawn on the host, so that they are the same on every device.
    """
    return all("learner.py" in copy for copy in copies)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_of_the_table(cupy, case: Case):
    """A step of each layer, its gradients and its inference, as on the CPU.

    No waiting.
    """
    here = Sequential(case.make(), seed=1, dtype="float64")
    there = Sequential(case.make(), seed=1, dtype="float64", device="cuda")
    x = np.moveaxis(case.x(), -1, 0)
    t = np.random.default_rng(0).normal(size=here(x).shape)
    x_there, t_there = cupy.asarray(x), cupy.asarray(t)
    with fake_cupy.watch() as (waits, copies):
        y = there(x_there)
        step(there, MSELoss(), SGD(there, 0.01), x_there, t_there)
    assert waits == []
    assert drawn_alone(copies)
    np.testing.assert_allclose(y.get(), here(x), rtol=1e-12, atol=1e-12)
    step(here, MSELoss(), SGD(here, 0.01), x, t)
    agree(here.state_dict(), there.state_dict())
    (_, a), (_, b) = here.gradients(x, t, MSELoss()), there.gradients(x_there, t_there, MSELoss())
    agree(a, {name: g.get() for name, g in b.items()})


@pytest.mark.parametrize("study", [found.name for found in pkgutil.iter_modules(scratchnet.studies.__path__)])
def test_every_study(cupy, study, tmp_path):
    """Three steps of each preset's network, moved to the device as a model file."""
    module = importlib.import_module(f"scratchnet.studies.{study}")
    for here, shape, loss in getattr(module, "networks", dict)().values():
        three_steps(cupy, here, shape, loss, tmp_path)


def three_steps(cupy, here, shape, loss, tmp_path):
    here.save(tmp_path / "model.safetensors")
    there = scratchnet.load(tmp_path / "model.safetensors", device="cuda")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, *shape))
    y = here(x).shape
    t = rng.integers(0, y[-1], y[:-1]) if loss.takes_labels else rng.random(y)
    a, b = SGD(here, 0.01, momentum=0.5), SGD(there, 0.01, momentum=0.5)
    x_there, t_there = cupy.asarray(x), cupy.asarray(t)
    for _ in range(3):
        expected = step(here, loss, a, x, t)
        with fake_cupy.watch() as (waits, copies):
            value = step(there, loss, b, x_there, t_there)
        assert waits == [] and drawn_alone(copies)
        np.testing.assert_allclose(value.get(), expected, rtol=1e-10)
    for name, w in here.state_dict().items():
        np.testing.assert_allclose(there.state_dict()[name], w, rtol=1e-10, atol=1e-12, err_msg=name)


def test_the_main_command(cupy, tmp_path, monkeypatch):
    """`python -m scratchnet.train digits --device cuda`, from the digits to the last
    file.
    """
    few = load_digits(0, 1_000, 200)
    monkeypatch.setattr("scratchnet.data.digits.load_digits", lambda seed=0: few)
    results = {}
    for device in ("cpu", "cuda"):
        out = tmp_path / device
        options = ["--preset", "fcn", "--epochs", "1", "--threads", "1", "--no-plots", "--dtype", "float64"]
        assert main(["digits", *options, "--device", device, "--out", str(out)]) == 0
        results[device] = json.loads((out / "metrics.json").read_text())
        assert results[device]["device"] == device
    for name in ("train_loss", "test_loss", "valid_accuracy", "test_accuracy"):
        assert results["cuda"][name] == pytest.approx(results["cpu"][name], rel=1e-9)


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_fit_waits_per_epoch_and_not_per_step(cupy, dropout):
    x, t = batch(48, True)
    counts = []
    for batch_size in (2, 24):
        histories, nets = [], []
        for device in ("cpu", "cuda"):
            net = network(None, device, dropout)
            with fake_cupy.watch() as (waits, _):
                histories.append(
                    fit(net, CrossEntropyLoss(), Adam(net, 0.01), x, t, epochs=3, batch_size=batch_size, threads=1)
                )
            nets.append(net)
        counts.append(len(waits))
        np.testing.assert_allclose(histories[0].step_losses, histories[1].step_losses, rtol=1e-12)
        agree(nets[0].state_dict(), nets[1].state_dict())
    assert counts[0] == counts[1] <= 1 + 2 * 3, waits  # once for NaN in the data, and at the end of every epoch


@pytest.mark.parametrize("kind", ["loader", "on disk"])
def test_data_that_are_read_batch_by_batch(cupy, kind, tmp_path):
    x, t = batch(48, True)
    np.save(tmp_path / "x.npy", x)
    given = {
        "loader": ([(x[k : k + 10], t[k : k + 10]) for k in range(0, 48, 10)],),
        "on disk": (np.load(tmp_path / "x.npy", mmap_mode="r"), t),
    }[kind]
    histories, nets = [], []
    for device in ("cpu", "cuda"):
        net = network(None, device)
        valid = given if kind == "on disk" else given[0]
        histories.append(fit(net, CrossEntropyLoss(), Adam(net, 0.01), *given, epochs=3, batch_size=10, valid=valid,
                             threads=1))  # fmt: skip
        nets.append(net)
    np.testing.assert_allclose(histories[0].step_losses, histories[1].step_losses, rtol=1e-12)
    assert len(histories[0].step_losses) == 15
    agree(nets[0].state_dict(), nets[1].state_dict())


def test_validation_and_a_bad_loss(cupy):
    x, t = batch(20, True)
    rows = []
    for device in ("cpu", "cuda"):
        net = network(None, device)
        rows.append(fit(net, CrossEntropyLoss(), SGD(net, 0.1), x, t, valid=(x, t), threads=1).last)
    for name in ("train_loss", "valid_loss", "valid_accuracy"):
        assert rows[0][name] == pytest.approx(rows[1][name], rel=1e-12)
    x[3, 2] = np.nan
    net = network(None, "cuda")
    with pytest.raises((NonFiniteError, DataError)):
        fit(net, CrossEntropyLoss(), SGD(net, 0.1), x, t, threads=1)


@pytest.mark.parametrize("n", [1, 5])
def test_an_input_that_is_a_strided_view(cupy, n):
    """cuBLAS's rank-one update takes a vector without its stride."""
    x, t = batch(n, True)
    wide = np.repeat(x, 2, axis=1)
    here, there = network(None, "cpu"), network(None, "cuda")
    step(here, CrossEntropyLoss(), SGD(here, 0.3), x, t)
    step(there, CrossEntropyLoss(), SGD(there, 0.3), cupy.asarray(wide)[:, ::2], cupy.asarray(t))
    agree(here.state_dict(), there.state_dict())


def test_models_travel(cupy, tmp_path):
    x, _ = batch(4, True)
    there = network(None, "cuda")
    there.save(tmp_path / "m.safetensors")
    here = scratchnet.load(tmp_path / "m.safetensors")
    np.testing.assert_allclose(here(x), there(x).get(), rtol=1e-12)
    back = scratchnet.load(tmp_path / "m.safetensors", device="cuda")
    agree(back.state_dict(), here.state_dict())


@pytest.mark.parametrize("n", [1, 5])
def test_plain_sgd_on_one_example_updates_in_place_with_cublas(cupy, n, monkeypatch):
    called, ger = [], fake_cupy.cublas.ger
    monkeypatch.setattr(fake_cupy.cublas, "ger", lambda *a, **k: (called.append("ger"), ger(*a, **k)))
    x, t = batch(n, True)
    net = network(None, "cuda")
    step(net, CrossEntropyLoss(), SGD(net, 0.3), cupy.asarray(x), cupy.asarray(t))
    assert called == (["ger"] * 3 if n == 1 else [])


@pytest.mark.parametrize("place", ["target", "valid"])
@pytest.mark.parametrize("label", [3, -1])
def test_a_label_out_of_range_is_told_before_the_first_step(cupy, place, label):
    """In batches of several examples, where CuPy takes an index modulo the size."""
    x, t = batch(20, True)
    wrong = np.where(np.arange(20) == 7, label, t)
    net = network(None, "cuda")
    before = net.state_dict()
    target, valid = (wrong, None) if place == "target" else (t, (x, wrong))
    with pytest.raises(DataError, match=f"label {label} is out of range: the network has 3 outputs"):
        fit(net, CrossEntropyLoss(), SGD(net, 0.1), x, target, batch_size=5, valid=valid)
    agree(net.state_dict(), before)


def test_the_product_that_asks_for_cublas_is_one_that_takes_it(cupy, monkeypatch):
    """CuPy multiplies arrays of one number by a kernel of its own."""
    sizes = []
    monkeypatch.setattr(fake_cupy.module, "dot", lambda a, b: sizes.append((a.size, b.size)), raising=False)
    assert cuda_problem() is None
    assert sizes and min(sizes[0]) > 1


@pytest.mark.parametrize("message", ["", "libcublas.so.12: not found\nand more"])
def test_a_gpu_without_cublas_is_not_usable(cupy, message, monkeypatch):
    def no_cublas(*_):
        raise RuntimeError(message)

    assert cuda_problem() is None
    monkeypatch.setattr(fake_cupy.module, "dot", no_cublas, raising=False)
    with pytest.raises(DeviceError, match=r"RuntimeError.*\[ctk\]") as e:
        Sequential(Linear(2, 2), device="cuda")
    assert message.partition("\n")[0] in str(e.value) and "and more" not in str(e.value)
    assert resolve_device("auto") == "cpu"


# ---------------------------------------------------------------------- the fake itself


def test_the_fake_is_as_strict_as_cupy(cupy):
    a, host = cupy.asarray([[1.0, 2.0], [3.0, 4.0]]), np.ones((2, 2))
    for mixed in (
        lambda: a + host, lambda: host + a, lambda: cupy.add(a, host), lambda: cupy.dot(a, host), lambda: np.asarray(a),
        lambda: np.sum(a), lambda: np.exp(a), lambda: cupy.exp([1.0]), lambda: cupy.sum(a, where=a > 1),
        lambda: a.__iadd__(host), lambda: cupy.exp(a, out=host), lambda: a.__setitem__(0, host[0]),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            mixed()
    with pytest.raises(AttributeError):
        cupy.vecdot  # noqa: B018
    assert type(a.sum()) is cupy.ndarray and a.sum().shape == ()
    assert (a.T + a.T).flags.c_contiguous and not a.T.flags.c_contiguous
    assert (np.float64(2) * a).get()[1, 1] == 8 and (a.astype("float32") + np.float64(1)).dtype == np.float64


def test_the_fake_counts(cupy):
    a = cupy.asarray([3.0, 1.0])
    for wait in (
        lambda: float(a[0]), lambda: bool(a[0]), a[0].item, a.get, lambda: a[a > 1], lambda: max(a),
        lambda: f"{a[0]:.2f}", lambda: cupy.flatnonzero(a),
    ):  # fmt: skip
        with fake_cupy.watch() as (waits, _):
            wait()
        assert len(waits) == 1 and "test_fake_cupy.py" in waits[0]
    with fake_cupy.watch() as (waits, copies):
        view = a[::-1]
        view *= 2
        a[0] = a.sum()
    assert waits == [] and copies == []
    assert a.get().tolist() == [8.0, 2.0]


# ------------------------------------------------------------ CuPy's names and keywords


@pytest.fixture(scope="module")
def real():
    """The installed CuPy; it imports without a driver."""
    return pytest.importorskip("cupy", reason="CuPy is not installed")


def uses():
    """(where, dotted name, call or None) for every CuPy name that scratchnet uses.

    These are `xp.name`, `self.xp.name` and `xp_of(...).name`.
    """
    root = Path(scratchnet.__file__).parent

    def is_module(node):
        if isinstance(node, ast.Call):
            return isinstance(node.func, ast.Name) and node.func.id == "xp_of"
        return (isinstance(node, ast.Name) and node.id == "xp") or (
            isinstance(node, ast.Attribute) and node.attr == "xp"
        )

    def dotted(node):
        if is_module(node):
            return ()
        above = dotted(node.value) if isinstance(node, ast.Attribute) else None
        return None if above is None else (*above, node.attr)

    for path in sorted(root.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node in ast.walk(tree):
            name = dotted(node) if isinstance(node, ast.Attribute) and id(node) not in inner else None
            if name:
                yield f"{path.relative_to(root)}:{node.lineno}", ".".join(name), calls.get(id(node))


OF_PYTHON = {"__name__"}  # attributes that every module has


def test_cupy_has_every_name_and_keyword_that_is_used(real):
    found, wrong = 0, []
    for where, name, call in uses():
        found += 1
        try:
            function = real
            for part in name.split("."):
                function = getattr(function, part)
        except AttributeError:
            wrong.append(f"{where}: CuPy has no {name}")
            continue
        if call is None or name in OF_PYTHON:
            continue
        keywords = {k.arg for k in call.keywords if k.arg}
        if isinstance(function, real.ufunc):
            if keywords - {"out", "dtype", "casting"}:
                wrong.append(f"{where}: {name} of CuPy has no {', '.join(sorted(keywords))}")
            continue
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # compiled without a signature
            continue
        spread = any(isinstance(a, ast.Starred) for a in call.args) or any(k.arg is None for k in call.keywords)
        bind = signature.bind_partial if spread else signature.bind
        try:
            bind(*[a for a in call.args if not isinstance(a, ast.Starred)], **dict.fromkeys(keywords))
        except TypeError as e:
            wrong.append(f"{where}: {name} of CuPy: {e}")
    assert found > 60 and not wrong, "\n".join(wrong)


def test_the_fake_lacks_what_cupy_lacks(real):
    functions = [
        n for n in dir(np) if not n.startswith("_") and callable(getattr(np, n)) and not inspect.isclass(getattr(np, n))
    ]
    assert {n for n in functions if not hasattr(real, n)} == fake_cupy.MISSING
    methods = {n for n in dir(np.ndarray) if not n.startswith("_") and not hasattr(real.ndarray, n)}
    assert methods == fake_cupy.MISSING_METHODS
