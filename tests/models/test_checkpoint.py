"""Model files: what is saved comes back, in PyTorch too.

Damaged and hostile files are refused with a reason.
"""

import copy
import json
import random
import sys
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scratchnet
from scratchnet import CheckpointError
from scratchnet.engine.layers.base import Layer
from scratchnet.engine.params import Param
from scratchnet.files import tensorfile
from scratchnet.files.tensorfile import TensorFile, write_tensors
from scratchnet.models import network
from tests import cases
from tests.model_files import mutant, put_together, seal, small_file, small_net, take_apart


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    return small_file(tmp_path_factory.mktemp("model"))


def load_bytes(folder, content):
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return scratchnet.load(path)


# ------------------------------------------------------------- what is saved comes back


def test_the_folder_of_a_run_stands_for_its_model(tmp_path):
    with pytest.raises(CheckpointError, match=r"not that of a finished run: no model\.safetensors"):
        scratchnet.load(tmp_path)
    net = scratchnet.Sequential(scratchnet.Linear(3, 2), seed=1)
    net.save(tmp_path / "model.safetensors")
    x = np.ones((1, 3))
    assert np.array_equal(scratchnet.load(tmp_path)(x), net(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip(tmp_path, dtype):
    net = scratchnet.Sequential(
        scratchnet.Flatten(),
        scratchnet.Linear(6, 5),
        scratchnet.ReLU(),
        scratchnet.Linear(5, 3),
        scratchnet.LogSoftmax(),
        seed=7,
        dtype=dtype,
    )
    net.info["classes"] = ["a", "b", "ü"]
    net.save(tmp_path / "m.safetensors")
    again = scratchnet.load(tmp_path / "m.safetensors")
    x = np.random.default_rng(0).normal(size=(4, 2, 3))
    assert np.array_equal(net(x), again(x)) and again(x).dtype == dtype
    assert (str(again), again.seed, again.info) == (str(net), 7, net.info)
    loss = scratchnet.NLLLoss()
    for name, g in net.gradients(x, np.arange(4) % 3, loss)[1].items():  # it can be trained on
        assert np.array_equal(g, again.gradients(x, np.arange(4) % 3, loss)[1][name])


@pytest.mark.parametrize("case", cases.CASES, ids=str)
def test_every_layer_comes_back(tmp_path, case):
    net = case.net(seed=4)
    net.save(tmp_path / "m.safetensors")
    again = scratchnet.load(tmp_path / "m.safetensors")
    assert again.layers[0].options() == net.layers[0].options()
    assert np.array_equal(again.forward(case.x())[0], net.forward(case.x())[0])


def test_opens_in_pytorch(tmp_path):
    torch = pytest.importorskip("torch")
    load_file = pytest.importorskip("safetensors.torch").load_file
    net = scratchnet.Sequential(scratchnet.Linear(6, 5), scratchnet.ReLU(), scratchnet.Linear(5, 3, bias=False))
    net.save(tmp_path / "m.safetensors")
    twin = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3, bias=False))
    twin.load_state_dict(load_file(tmp_path / "m.safetensors"), strict=True)
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    np.testing.assert_allclose(twin(torch.from_numpy(x)).detach().numpy(), net(x), rtol=1e-5, atol=1e-6)
    back = scratchnet.Sequential(
        scratchnet.Linear(6, 5), scratchnet.ReLU(), scratchnet.Linear(5, 3, bias=False), seed=1
    )
    back.load_state_dict(twin.state_dict())
    assert np.array_equal(back(x), net(x))


@dataclass(eq=False)
class Scaled(Layer):
    """y = factor · g x, with a trained g."""

    features: int
    factor: float = 2.0

    def __post_init__(self):
        self.g = Param("gain", (self.features,), lambda rng, shape: np.full(shape, 0.5))

    def forward(self, x, learn=None):
        return self.factor * self.g.value[:, None] * x, x


class Negative(Layer):
    """y = −x: a class without options, and so without @dataclass."""

    def forward(self, x, learn=None):
        return -x, None


class Shifted(Layer):
    def __init__(self, by):
        self.by = by

    def forward(self, x, learn=None):
        return x + self.by, None


def test_a_layer_of_ones_own(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    monkeypatch.setattr(network, "OWN", {})
    net = scratchnet.Sequential(scratchnet.Linear(3, 4), Scaled(4, factor=3.0), Negative())
    net.params["1.gain"].value[:] = [1, 2, 3, 4]
    assert str(net) == "Sequential(Linear(3, 4), Scaled(4, factor=3.0), Negative())"
    net.save(path)
    with pytest.raises(CheckpointError, match=r"layer 1 is of a type that does not exist: 'Scaled' .*@sn\.register"):
        scratchnet.load(path)
    assert scratchnet.register(Scaled) is Scaled and scratchnet.register(Negative) is Negative
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert np.array_equal(scratchnet.load(path)(x), net(x))
    assert np.array_equal(copy.deepcopy(net)(x), net(x))


def test_a_layer_whose_options_are_not_known(tmp_path):
    net = scratchnet.Sequential(scratchnet.Linear(3, 4), Shifted(1.0))
    assert str(net) == "Sequential(Linear(3, 4), Shifted())"
    for use in (lambda: net.save(tmp_path / "m.safetensors"), lambda: copy.deepcopy(net)):
        with pytest.raises(scratchnet.SettingError, match=r"Shifted: .* make it a @dataclass\(eq=False\)"):
            use()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_registered():
    class Linear(Layer):
        pass

    for kind, reason in ((Linear, "there is a Linear in scratchnet already"), (int, "takes a class of layers"),
                         (Scaled(3), "takes a class of layers")):  # fmt: skip
        with pytest.raises(scratchnet.SettingError, match=reason):
            scratchnet.register(kind)


LAYOUTS = {
    "C": lambda a: a,
    "F": np.asfortranarray,
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "all reversed": lambda a: np.flip(np.ascontiguousarray(np.flip(a))),
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "rows of more": lambda a: np.concatenate([a, a], axis=-1)[..., : a.shape[-1]],
    "swapped axes": lambda a: np.ascontiguousarray(a.swapaxes(0, -1)).swapaxes(0, -1),
    "offset": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
    "read only": lambda a: a.view() if a.setflags(write=False) is None else a,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
}


@given(st.data())
def test_every_memory_layout(tmp_path_factory, data):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    layout = data.draw(st.sampled_from(sorted(LAYOUTS)))
    a = LAYOUTS[layout](np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=shape).astype(dtype))
    path = tmp_path_factory.getbasetemp() / "layout.safetensors"
    if layout == "big-endian":
        with pytest.raises(CheckpointError, match="only float32 and float64"):
            write_tensors(path, {"a": a}, {})
        return
    b = np.arange(3, dtype=np.float32)  # a neighbour: an array that took another's place would show
    write_tensors(path, {"b": b, "a": a}, {})
    with TensorFile(path) as file:
        assert np.array_equal(file.read("a"), a) and file.read("a").dtype == dtype
        assert np.array_equal(file.read("b"), b)
    read = pytest.importorskip("safetensors.numpy").load_file(path)
    assert np.array_equal(read["a"], a) and np.array_equal(read["b"], b)


def test_scalars_and_empty_arrays(tmp_path):
    arrays = {"scalar": np.array(2.5), "none": np.zeros((0, 3), np.float32), "one": np.ones(1)}
    write_tensors(tmp_path / "f", arrays, {"x": [1]})
    with TensorFile(tmp_path / "f") as file:
        assert file.about == {"x": [1]}
        for name, a in arrays.items():
            assert np.array_equal(file.read(name), a) and file.read(name).shape == a.shape


@pytest.mark.parametrize("info", [{"x": np.float32(1)}, {"x": {1, 2}}, {"x": float("nan")}, {"x": b"bytes"}])
def test_info_that_is_no_json(tmp_path, info):
    net = small_net()
    net.info = info
    with pytest.raises(CheckpointError, match="plain JSON"):
        net.save(tmp_path / "m.safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["m.pt", "m", "m.safetensors.gz", "m.h5", ".", "/"])
def test_the_ending_says_what_is_written(tmp_path, name):
    with pytest.raises(
        scratchnet.SettingError, match=r"net.save writes .safetensors files alone: call it .*\.safetensors"
    ):
        small_net().save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_batch_normalisation_from_pytorch():
    """Its state_dict counts batches, which we do not need.

    Other layers must not have that.
    """
    torch = pytest.importorskip("torch")
    twin = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    twin(torch.randn(5, 3))
    net = scratchnet.Sequential(scratchnet.Linear(3, 4), scratchnet.BatchNorm1d(4))
    net.load_state_dict(twin.state_dict())
    for name, a in net.state_dict().items():
        assert np.array_equal(a, twin.state_dict()[name].numpy())
    with pytest.raises(CheckpointError, match=r"unexpected '0\.num_batches_tracked'"):
        net.load_state_dict({**net.state_dict(), "0.num_batches_tracked": np.array(1)})


def test_too_much_info(tmp_path):
    net = small_net()
    net.info["vocabulary"] = "x" * tensorfile.HEADER_LIMIT
    with pytest.raises(CheckpointError, match="there is room for 8,388,608"):
        net.save(tmp_path / "m.safetensors")


# ------------------------------------------------------------------------------- strict


def state():
    return small_net().state_dict()


STRICT = {
    "missing '0.bias'": lambda d: d.pop("0.bias"),
    "unexpected 'extra'": lambda d: d.update(extra=np.zeros(1)),
    "0.weight has shape \\(4, 3\\), but is given \\(3, 4\\)": lambda d: d.update({"0.weight": np.zeros((3, 4))}),
    "0.bias has shape \\(4,\\), but is given \\(1, 4\\)": lambda d: d.update({"0.bias": np.zeros((1, 4))}),
    "0.bias is given as complex128": lambda d: d.update({"0.bias": np.zeros(4, complex)}),
    "0.bias is given as object": lambda d: d.update({"0.bias": np.zeros(4, object)}),
    "0.bias is given as <U1": lambda d: d.update({"0.bias": np.array(list("abcd"))}),
    "0.bias is given as int64": lambda d: d.update({"0.bias": np.zeros(4, np.int64)}),
    "0.bias is given as bool": lambda d: d.update({"0.bias": np.zeros(4, bool)}),
    "0.bias holds values that float32 cannot": lambda d: d.update({"0.bias": np.array([0, 0, 1e39, 0])}),
    "0.bias cannot be made an array": lambda d: d.update({"0.bias": [[1.0], [2.0, 3.0]]}),
}


@pytest.mark.parametrize("reason", STRICT)
def test_state_dict_is_strict(reason):
    net, wrong = small_net(), state()
    for a in wrong.values():
        np.add(a, 1, out=a)  # what fits must not be taken either
    STRICT[reason](wrong)
    with pytest.raises(CheckpointError, match=reason):
        net.load_state_dict(wrong)
    for name, a in state().items():
        assert np.array_equal(net.state_dict()[name], a)


# ------------------------------------------------------------------------------- damage


def test_every_flipped_bit_is_found(tmp_path, content, thorough):
    path = tmp_path / "m"
    for k in range(0, 8 * len(content), 1 if thorough else 29):  # 29: all bits of a byte in turn
        flipped = bytearray(content)
        flipped[k // 8] ^= 1 << k % 8
        path.write_bytes(flipped)
        with pytest.raises(CheckpointError):
            scratchnet.load(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    net = small_net()
    net.params["3.weight"].value[1, 2] = value
    net.save(tmp_path / "m.safetensors")
    with pytest.raises(CheckpointError, match=r"m\.safetensors: parameter 3\.weight holds NaN or infinite values"):
        scratchnet.load(tmp_path / "m.safetensors")


def test_every_length_is_found(tmp_path, content, thorough):
    for n in range(0, len(content), 1 if thorough else 7):
        with pytest.raises(CheckpointError, match="bytes"):
            load_bytes(tmp_path, content[:n])
    with pytest.raises(CheckpointError, match="something was added"):
        load_bytes(tmp_path, content + b"\0")


def test_a_damaged_array_is_named(tmp_path, content):
    with pytest.raises(CheckpointError, match=r"model.safetensors: array '3.weight', bytes [\d,]+ to [\d,]+: damaged"):
        load_bytes(tmp_path, content[:-1] + bytes([content[-1] ^ 1]))


def test_ten_thousand_mutants(tmp_path, content, thorough):
    """Only CheckpointError, naming the file.

    Memory at most twice the file and 16 MB.
    """
    rng, refused = random.Random(0), 0
    count = 10_000 if thorough else 500
    for k in range(count):
        changed = mutant(content, rng)
        watched = k % 10 == 0  # watching the memory takes time
        if watched:
            tracemalloc.start()
        try:
            load_bytes(tmp_path, changed)
        except CheckpointError as e:
            text = str(e)
            assert text.startswith(str(tmp_path / "model.safetensors")) and "\n" not in text and len(text) < 2_000
            refused += 1
        finally:
            most = tracemalloc.get_traced_memory()[1]
            if watched:
                tracemalloc.stop()
        assert most < 2 * len(changed) + 16 * 2**20
    assert 0.9 * count < refused < count  # a changed class name, sealed again, is a right file


# -------------------------------------------------------------- hostile, rightly sealed


def changed(content, change):
    header, about, data = take_apart(content)
    parts = {"header": header, "about": about, "data": data}
    change(parts)
    return put_together(parts["header"], parts["about"], parts["data"])


def set_in(*path_and_value):
    *path, value = path_and_value

    def change(parts):
        at = parts
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


HOSTILE = {
    "a type that does not exist": set_in("about", "layers", 1, "type", "Sequential"),
    "a type that does not exist: 'Layer'": set_in("about", "layers", 1, "type", "Layer"),
    "a type that does not exist: '__builtins__'": set_in("about", "layers", 1, "type", "__builtins__"),
    "a type that does not exist: \\['Linear'\\]": set_in("about", "layers", 1, "type", ["Linear"]),
    "a type that does not exist: None": set_in("about", "layers", 1, 5),
    "unexpected keyword": set_in("about", "layers", 1, "in_place", True),
    "in_features must be a whole number": set_in("about", "layers", 0, "in_features", "3"),
    r"has shape \(4, 3\), but the network needs \(4, 1000000000000\)": set_in(
        "about", "layers", 0, "in_features", 10**12
    ),
    "takes": set_in("about", "layers", 3, "in_features", 8),
    "format 99 is not known": set_in("about", "format", 99),
    "dtype 'float16'": set_in("about", "dtype", "float16"),
    "array 0.weight is float32, but the network is float64": set_in("about", "dtype", "float64"),
    "seed must be": set_in("about", "seed", -1),
    "seed is missing or of the wrong type": set_in("about", "seed", True),
    "info is missing or of the wrong type": set_in("about", "info", []),
    "layers is missing": set_in("about", "layers", {}),
    "unexpected '3.weight'": set_in("about", "layers", 3, {"type": "ReLU"}),
    "KeyError: 'F16'": set_in("header", "0.bias", "dtype", "F16"),
    "sizes that cannot be": set_in("header", "0.bias", "shape", [-4]),
    "sizes that cannot be ": set_in("header", "0.bias", "shape", [4.0]),
    "sizes that cannot be  ": set_in("header", "0.bias", "shape", [1] * 8 + [4]),
    "cannot lie at": set_in("header", "0.bias", "shape", [2**40]),
    "cannot lie at ": set_in("header", "0.bias", "data_offsets", [0, 16]),
    "bytes of data, but": set_in("data", b""),
    "TypeError": set_in("header", "0.bias", 7),
    "a SHA-256 for 'gone'": set_in("about", "sha256", "gone", "0" * 64),
    "KeyError: '0.weight'": set_in("about", "sha256", {}),
    "damaged": set_in("about", "sha256", "0.bias", "0" * 64),
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_hostile_files(tmp_path, content, reason):
    with pytest.raises(CheckpointError, match=reason.strip()):
        load_bytes(tmp_path, changed(content, HOSTILE[reason]))


def test_a_name_twice(tmp_path, content):
    header, about, data = take_apart(content)
    text = put_together(header, about, data)
    length = int.from_bytes(text[:8], "little")
    raw = text[8 : 8 + length].rstrip()
    entry = json.dumps({"0.bias": header["0.bias"]}, separators=(",", ":")).encode()[1:-1]
    with pytest.raises(CheckpointError, match="a name occurs twice"):
        load_bytes(tmp_path, seal(raw[:-1] + b"," + entry + b"}", data))
    inner = json.dumps(about)[:-1] + ', "seed": 4}'
    with pytest.raises(CheckpointError, match="a name occurs twice"):
        load_bytes(tmp_path, put_together(header, inner, data))


@pytest.mark.parametrize(
    "inner",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"seed": ' + "9" * 5000 + "}",
        '{"x": NaN}',
        "7",
        "\x00",
        "",
        '{"x": -Infinity}',
    ],
)
def test_hostile_json(tmp_path, content, inner):
    header, _, data = take_apart(content)
    with pytest.raises(CheckpointError, match="malformed"):
        load_bytes(tmp_path, put_together(header, inner, data))


def test_bombs_are_refused_before_anything_is_allocated(tmp_path, content):
    """A file that claims 4 TB, one with a 4 GB header, and layers of 10¹² numbers."""
    header, about, data = take_apart(content)
    bombs = [
        put_together(
            {**header, "0.weight": {"dtype": "F32", "shape": [2**20, 2**20], "data_offsets": [0, 2**42]}}, about, data
        ),
        (2**32).to_bytes(8, "little") + content[8:],
        changed(content, set_in("about", "layers", 0, "out_features", 10**12)),
        changed(content, set_in("about", "layers", [{"type": "ReLU"}] * 1000)),
    ]
    for bomb in bombs:
        tracemalloc.start()
        try:
            with pytest.raises(CheckpointError):
                load_bytes(tmp_path, bomb)
            assert tracemalloc.get_traced_memory()[1] < 2 * len(bomb) + 16 * 2**20
        finally:
            tracemalloc.stop()


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes in the file system")
def test_what_is_no_file(tmp_path):
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="this is not a file"):
        scratchnet.load(tmp_path / "pipe")
    with pytest.raises(CheckpointError, match="there is no such file"):
        scratchnet.load(tmp_path / "none")
    with pytest.raises(CheckpointError, match="cannot be read"):
        scratchnet.load("a\0b")


def test_another_safetensors_file(tmp_path):
    save_file = pytest.importorskip("safetensors.numpy").save_file
    save_file({"0.weight": np.zeros((2, 40))}, tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"net\.load_state_dict"):
        scratchnet.load(tmp_path / "other")


def test_memory_of_a_large_network(tmp_path):
    """Saving and loading take no more than twice the file and 16 MB."""
    net = scratchnet.Sequential(scratchnet.Linear(2000, 4000), scratchnet.ReLU(), scratchnet.Linear(4000, 1000))
    size = 4 * net.size
    tracemalloc.start()
    try:
        net.save(tmp_path / "m.safetensors")
        assert tracemalloc.get_traced_memory()[1] < 2 * size + 16 * 2**20
        del net
        tracemalloc.reset_peak()
        scratchnet.load(tmp_path / "m.safetensors")
        # the gradient vector consists of zeros that take no memory until written, but
        # are counted here
        assert tracemalloc.get_traced_memory()[1] < 3 * size + 16 * 2**20
    finally:
        tracemalloc.stop()
