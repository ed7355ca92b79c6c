"""ONNX: every layer with all options, and whole networks, against onnxruntime."""

import random
import re

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import SettingError, export
from scratchnet.engine import layers
from scratchnet.engine.layers import Layer
from scratchnet.errors import install_command
from scratchnet.models import onnx as onnx_
from tests import cases

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

KINDS = sorted(
    name for name, kind in vars(layers).items()
    if isinstance(kind, type) and issubclass(kind, Layer) and kind is not Layer
)  # fmt: skip


def test_every_layer_of_the_engine_is_in_the_table():
    assert sorted(kind.__name__ for kind in onnx_.NODES) == KINDS


@pytest.mark.parametrize("space", cases.SPACES, ids=lambda space: space.layer)
def test_every_layer(space):
    """Thirty random options and shapes, with random statistics and parameters."""
    rng, done = random.Random(space.layer), 0
    while done < 30:
        case = space.draw(rng.choice)
        if case is None:
            continue
        net = case.net("float32", seed=done)
        noise = np.random.default_rng(done)
        for name, p in net.params.items():
            p.value[...] = (
                noise.uniform(0.5, 1.5, p.shape) if name.endswith("running_var") else noise.normal(size=p.shape)
            )
        content = onnx_.to_onnx(net, case.shape).SerializeToString()
        error = onnx_.difference(content, net, case.shape, case.batch)
        assert error <= 1e-5, f"{case}: {error}"
        done += 1


NETWORKS = {
    "cnn": ([1, 28, 28], lambda: [
        layers.Conv2d(1, 6, 4), layers.ReLU(), layers.MaxPool2d(2, padding=1), layers.Conv2d(6, 16, 2),
        layers.MaxPool2d(2, padding=1), layers.Flatten(), layers.Linear(784, 120), layers.ReLU(), layers.Linear(120, 10)
    ]),
    "lstm": (["T", 5], lambda: [
        layers.LSTM(5, 8, num_layers=2, output="sequence"), layers.Dropout(0.2), layers.GRU(8, 6), layers.Linear(6, 2),
    ]),
    "sequence": (["T", 5], lambda: [layers.RNN(5, 8, output="sequence"), layers.Linear(8, 3), layers.Softmax()]),
    "mlp": ([784], lambda: [layers.Linear(784, 30), layers.Sigmoid(), layers.Linear(30, 10), layers.LogSoftmax()]),
    "any size": ([3, "H", "W"], lambda: [layers.Conv2d(3, 4, 3, stride=2), layers.Tanh(), layers.MedianPool2d(2)]),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_by_the_command(tmp_path, capsys, name, dtype):
    shape, build = NETWORKS[name]
    net = sn.Sequential(*build(), seed=2, dtype=dtype)
    net.info["classes"] = ["ä", "b"]
    net.save(tmp_path / "m.safetensors")
    given = ["--shape", ",".join(map(str, shape))] if name == "cnn" else []
    assert export.main([str(tmp_path / "m.safetensors"), str(tmp_path / "m.onnx"), *given]) == 0
    out = capsys.readouterr().out
    assert "opset 21" in out and "run in onnxruntime: within" in out
    model = onnx.load(tmp_path / "m.onnx")
    assert (model.ir_version, model.opset_import[0].version) == (10, 21)
    assert [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == ["N", *shape]
    assert model.metadata_props[0].key == "scratchnet"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.safetensors"]
    # another number of examples, and other sizes where they are names
    other = [n if isinstance(n, int) else 17 for n in shape]
    assert onnx_.difference((tmp_path / "m.onnx").read_bytes(), net, other, 3) <= 1e-5


def test_the_models_own_description_gives_the_shape(tmp_path):
    net = sn.Sequential(layers.Flatten(), layers.Linear(784, 3))
    net.save(tmp_path / "m.safetensors")
    with pytest.raises(SettingError, match="give --shape"):
        export.main([str(tmp_path / "m.safetensors"), str(tmp_path / "m.onnx")])
    net.info["input"] = {"shape": [1, 28, 28]}
    net.save(tmp_path / "m.safetensors")
    assert export.main([str(tmp_path / "m.safetensors"), str(tmp_path / "m.onnx")]) == 0


@pytest.mark.parametrize(
    ("args", "reason"),
    [
        (["--shape", "1;28"], "--shape must be sizes or names"),
        (["--shape", "0,28"], "--shape must be sizes or names"),
        (["--shape", "7"], r"takes \(N, 784\)"),
    ],
)
def test_bad_shapes(tmp_path, args, reason):
    sn.Sequential(layers.Linear(784, 3)).save(tmp_path / "m.safetensors")
    with pytest.raises(sn.ScratchnetError, match=reason):
        export.main([str(tmp_path / "m.safetensors"), str(tmp_path / "m.onnx"), *args])
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


@pytest.mark.parametrize("name", ["w.safetensors", "w.h5", "w.npz", "w"])
def test_the_ending_says_what_is_written(tmp_path, capsys, name):
    net = sn.Sequential(layers.Linear(5, 4), layers.BatchNorm1d(4), layers.Linear(4, 3), seed=3, dtype="float64")
    net.save(tmp_path / "m.safetensors")
    for _ in range(2):  # the second time in the place of the first
        assert export.main([str(tmp_path / "m.safetensors"), str(tmp_path / name)]) == 0
    assert "0.weight (4, 5)" in capsys.readouterr().out
    other = sn.Sequential(layers.Linear(5, 4), layers.BatchNorm1d(4), layers.Linear(4, 3), seed=4, dtype="float64")
    if name == "w.npz":
        with np.load(tmp_path / name, allow_pickle=False) as file:
            other.load_state_dict(dict(file))
    elif name == "w.h5":
        sn.load_hdf5(other, tmp_path / name)
    elif name == "w":
        sn.load_npy(other, tmp_path / name)
        assert np.array_equal(np.load(tmp_path / "w" / "0.weight.npy"), net.state_dict()["0.weight"])
    else:
        other = sn.load(tmp_path / name)
    assert all(np.array_equal(a, net.state_dict()[key]) for key, a in other.state_dict().items())
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["m.safetensors", name])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("m.pt", r"\.pt names no format that there is; a pickle can run any code .* There is \.onnx, \.safetensors, "),
        ("m.pkl", r"\.pkl names no format that there is; a pickle"),
        ("m.npy", r"holds one array: name a folder"),
        ("m.hdf5", r"called \.h5 here. There is"),
        ("m.txt", r"the ending \.txt names no format that there is\. There is \.onnx, .*a folder of \.npy files"),
        ("taken", "a file has this name already"),
        (".", "holds other things, such as m.safetensors: name a new or an empty folder"),
        ("nowhere/w", "nowhere/w"),
    ],
)
def test_other_endings_are_refused_with_the_list(tmp_path, name, words):
    sn.Sequential(layers.Linear(784, 3)).save(tmp_path / "m.safetensors")
    (tmp_path / "taken").write_text("x")
    with pytest.raises((SettingError, OSError), match=words):
        export.main([str(tmp_path / "m.safetensors"), str(tmp_path / name)])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.safetensors", "taken"]


def test_a_shape_belongs_to_onnx(tmp_path):
    sn.Sequential(layers.Linear(784, 3)).save(tmp_path / "m.safetensors")
    with pytest.raises(SettingError, match=r"--shape has no effect on files of weights: it belongs to \.onnx"):
        export.main([str(tmp_path / "m.safetensors"), str(tmp_path / "m.npz"), "--shape", "784"])


def test_transposed_convolutions_run_in_onnx_s_own_evaluator():
    """Forty drawn ones: no Pad cuts anything off, which that evaluator cannot."""
    from onnx.reference import ReferenceEvaluator

    (space,) = (space for space in cases.SPACES if space.layer == "ConvTranspose2d")
    rng, padded, done = random.Random(0), 0, 0
    while done < 40:
        case = space.draw(rng.choice)
        if case is None:
            continue
        net = case.net("float32", seed=done)
        content = onnx_.to_onnx(net, case.shape)
        x = np.random.default_rng(done).normal(size=(case.batch, *case.shape)).astype(np.float32)
        (theirs,) = ReferenceEvaluator(content).run(None, {"input": x})
        np.testing.assert_allclose(theirs, net(x), rtol=1e-4, atol=1e-5)
        padded += any(node.op_type == "Pad" for node in content.graph.node)
        done += 1
    assert 0 < padded < 20  # output_padding below the dilation alone is there too


def test_a_network_of_indices_takes_int64(tmp_path, capsys):
    import onnxruntime

    net = sn.Sequential(layers.Embedding(9, 5, padding_idx=0), layers.LSTM(5, 4), layers.Linear(4, 2))
    net.save(tmp_path / "m.safetensors")
    assert export.main([str(tmp_path / "m.safetensors"), str(tmp_path / "m.onnx")]) == 0
    assert "input (N, T) int64; run in onnxruntime" in capsys.readouterr().out
    x = np.array([[0, 8, 3], [1, 1, 0]])
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"input": x})
    np.testing.assert_allclose(theirs, net(x), rtol=1e-4, atol=1e-6)


def test_without_onnx(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(SettingError, match=re.escape(install_command("onnx"))):
        onnx_.to_onnx(sn.Sequential(layers.Linear(4, 3)))


def test_a_layer_without_counterpart():
    class Own(layers.ReLU):
        pass

    with pytest.raises(SettingError, match=r"layer 0, .*no counterpart"):
        onnx_.to_onnx(sn.Sequential(Own()), (3,))
