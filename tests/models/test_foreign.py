"""Folders of .npy files and HDF5 files: read strictly, and never running any code."""

import base64
import os
import re
import tracemalloc
import zlib

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import CheckpointError, SettingError
from scratchnet.errors import install_command
from scratchnet.models import foreign
from scratchnet.models.foreign import load_hdf5, load_npy, save_hdf5
from tests.profiles import quick_every, quick_first


def make(seed=0, dtype="float32"):
    return sn.Sequential(sn.Linear(6, 5), sn.Sigmoid(), sn.Linear(5, 3), seed=seed, dtype=dtype)


def same(a, b):
    return all(np.array_equal(a.state_dict()[name], b.state_dict()[name]) for name in a.params)


def write_npy(folder, arrays):
    folder.mkdir(exist_ok=True)
    for name, a in arrays.items():
        np.save(folder / f"{name}.npy", a)
    return folder


# --------------------------------------------------------------------------------- .npy


def test_files_named_as_the_parameters(tmp_path):
    source, net = make(1), make(2)
    load_npy(net, write_npy(tmp_path / "a", source.state_dict()))
    assert same(net, source)
    fortran = {name: np.asfortranarray(a) for name, a in make(3).state_dict().items()}
    load_npy(net, write_npy(tmp_path / "f", fortran))
    assert same(net, make(3))


def test_files_of_a_tutorial(tmp_path):
    """W1 (in, out) for x @ W1, biases as rows and columns.

    Only the shapes tell which is which.
    """
    source, net = make(1), make(2)
    state = source.state_dict()
    arrays = {
        "W1": state["0.weight"].T,
        "b1": state["0.bias"][None],
        "W2": state["2.weight"].T,
        "b2": state["2.bias"][:, None],
    }
    load_npy(net, write_npy(tmp_path / "a", arrays))
    assert same(net, source)


NPY = {
    "missing '0.bias'": lambda d: d.pop("0.bias"),
    "unexpected 'more'": lambda d: d.update(more=np.zeros(3)),
    r"0.weight has shape \(5, 6\), but is given \(5, 7\)": lambda d: d.update({"0.weight": np.zeros((5, 7))}),
    "0.bias is given as int64": lambda d: d.update({"0.bias": np.zeros(5, int)}),
    "0.bias is given as complex128": lambda d: d.update({"0.bias": np.zeros(5, complex)}),
    "0.bias.npy: not an array that can be read": lambda d: d.update({"0.bias": np.array([None] * 5, object)}),
}


@pytest.mark.parametrize("reason", NPY)
def test_npy_is_strict(tmp_path, reason):
    arrays, net = make(1).state_dict(), make(2)
    NPY[reason](arrays)
    with pytest.raises(CheckpointError, match=reason):
        load_npy(net, write_npy(tmp_path / "a", arrays))
    assert same(net, make(2))


def test_a_folder_that_cannot_be_written_stays_as_it_was(tmp_path, monkeypatch):
    sn.save_npy(make(1), tmp_path / "w")
    before = {path.name: path.read_bytes() for path in (tmp_path / "w").iterdir()}
    assert sorted(before) == ["0.bias.npy", "0.weight.npy", "2.bias.npy", "2.weight.npy"]
    save, done = np.save, []

    def full(path, *args, **options):
        if len(done) == 2:
            raise OSError(28, "No space left on device", str(path))
        done.append(save(path, *args, **options))

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left on device") as error:
        sn.save_npy(make(2), tmp_path / "w")
    assert error.value.filename == str(tmp_path / "w")
    assert {path.name: path.read_bytes() for path in (tmp_path / "w").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


def test_npy_that_is_not_clear(tmp_path):
    net = sn.Sequential(sn.Linear(4, 4, bias=False), sn.Linear(4, 4, bias=False))
    folder = write_npy(tmp_path / "a", {"W1": np.zeros((4, 4)), "W2": np.zeros((4, 4))})
    with pytest.raises(CheckpointError, match=r"W1.npy, W2.npy all fit 0.weight of shape \(4, 4\): call that"):
        load_npy(net, folder)
    with pytest.raises(CheckpointError, match=r"no file fits 0.weight"):
        load_npy(net, write_npy(tmp_path / "b", {"x": np.zeros(1), "y": np.zeros(1)}))
    with pytest.raises(CheckpointError, match="there is no such folder"):
        load_npy(net, tmp_path / "none")


def header_of(shape, descr="<f4"):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape!r}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        header_of((5,)),
        header_of((5,)) + bytes(19),
        header_of((5,)) + bytes(21),
        header_of((10**12,)),
        header_of((10**10,), "|V0"),
        header_of((5,), "|O"),
        header_of("x"),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 5000,
        b"PK\x03\x04",
    ],
)
def test_npy_that_is_damaged_or_a_bomb(tmp_path, content):
    folder = write_npy(tmp_path / "a", make(1).state_dict())
    (folder / "0.bias.npy").write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointError, match=r"0.bias"):
            load_npy(make(), folder)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


# --------------------------------------------------------------------------------- HDF5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hdf5_round_trip(tmp_path, monkeypatch, dtype):
    pytest.importorskip("h5py")
    monkeypatch.setattr(foreign, "PIECE", 40)  # a row or two at a time
    source, net = make(1, dtype), make(2, dtype)
    save_hdf5(source, tmp_path / "w.h5")
    load_hdf5(net, tmp_path / "w.h5")
    assert same(net, source) and os.listdir(tmp_path) == ["w.h5"]


@pytest.mark.slow
def test_hdf5_in_pieces(tmp_path):
    """Loading 64 MB takes no more than two pieces."""
    pytest.importorskip("h5py")
    net = sn.Sequential(sn.Linear(4000, 4000))
    save_hdf5(net, tmp_path / "w.h5")
    tracemalloc.start()
    try:
        load_hdf5(net, tmp_path / "w.h5")
        assert tracemalloc.get_traced_memory()[1] < 40 * 2**20
    finally:
        tracemalloc.stop()


def h5_file(path, change):
    h5py = pytest.importorskip("h5py")
    save_hdf5(make(1), path)
    with h5py.File(path, "r+") as file:
        change(h5py, file, path)


def replaced(values):
    def change(h5py, file, path):
        del file["0.bias"]
        file["0.bias"] = values

    return change


def linked(h5py, file, path):
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["x"] = np.zeros(5, np.float32)
    del file["0.bias"]
    file["0.bias"] = h5py.ExternalLink("other.h5", "x")


def outside(h5py, file, path):
    path.with_name("secret").write_bytes(bytes(20))
    del file["0.bias"]
    file.create_dataset("0.bias", (5,), "f4", external=[(str(path.with_name("secret")), 0, 20)])


def damaged(h5py, file, path):
    file["0.bias"][2] += 1


def grouped(h5py, file, path):
    del file["0.bias"]
    file.create_group("0.bias")


HDF5 = {
    "missing '0.bias'": lambda h5py, file, path: file.__delitem__("0.bias"),
    "unexpected 'more'": lambda h5py, file, path: file.create_dataset("more", data=[1.0]),
    r"0.bias has shape \(5,\), but is given \(6,\)": replaced(np.zeros(6)),
    "0.bias is given as int64": replaced(np.zeros(5, int)),
    "0.bias is given as object": replaced(["a"] * 5),
    "0.bias is not a data set of this file": linked,
    "0.bias is not a data set of this file ": outside,
    "0.bias is not a data set of this file  ": grouped,
    "0.bias is damaged": damaged,
}


@pytest.mark.parametrize("reason", quick_every(4, HDF5))
def test_hdf5_is_strict(tmp_path, reason):
    h5_file(tmp_path / "w.h5", HDF5[reason])
    net = make(2)
    with pytest.raises(CheckpointError, match=r"w.h5: .*" + reason.strip()):
        load_hdf5(net, tmp_path / "w.h5")
    assert same(net, make(2))


def test_damaged_hdf5(tmp_path, thorough):
    pytest.importorskip("h5py")
    save_hdf5(make(1), tmp_path / "w.h5")
    content, rng = (tmp_path / "w.h5").read_bytes(), np.random.default_rng(0)
    for k in range(15 if thorough else 3):  # a process each
        mutant = bytearray(content)
        for _ in range(rng.integers(1, 5)):
            mutant[rng.integers(len(mutant))] = rng.integers(256)
        path = tmp_path / "m.h5"
        path.write_bytes(mutant[: rng.integers(len(mutant))] if k % 5 == 0 else mutant)
        net = make(2)
        try:
            load_hdf5(net, path)
        except CheckpointError as e:
            assert str(path) in str(e) and same(net, make(2))
        else:
            assert same(net, make(1))  # what was changed was not in the data


def test_hdf5_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(SettingError, match=re.escape(install_command("hdf5"))):
        save_hdf5(make(), tmp_path / "w")
    with pytest.raises(SettingError, match=re.escape(install_command("hdf5"))):
        load_hdf5(make(), tmp_path / "w")


def test_hdf5_that_is_not_there_or_cannot_be_written(tmp_path):
    pytest.importorskip("h5py")
    with pytest.raises(CheckpointError, match="there is no such file"):
        load_hdf5(make(), tmp_path / "none")
    with pytest.raises(OSError, match="No such file"):
        save_hdf5(make(), tmp_path / "none" / "w.h5")


#: An HDF5 file of `save_hdf5` for Linear(1, 2), in zlib and base 85
WHOLE = (
    "c-"
    "rlgJx{|h5Qc5HK!iZF5>g8b9a%t58auIs)FN8wfB*plBTi~l<|4s@SmAfDura}k*!Wi^X`Ipo3GpEY#68RTeCM;1d+(;x+MJzUoJ"
    "KL0g^H+z#u*q&)vTY!kB!B~UK@Ky(tSLPnd7Kz>gV$g_uK6_dypf&hZYlSA>cpKX|M0a_Q?1(V_!%%kFK7p)05uWn;)FY{+mAiFW"
    "!sMWO5d#{&HeTvO#kC&-;Z)`SH43TS7(i@`{BjS0+9YDLRf5k`%Peq!e%}^{nD&P}9_(Li16q-;)mG2rXbdoUGF5ZY%SSW-{Jmd-"
    "Pj<IM~^3;pi*VdA^wVI6r-TtpFPSSXap(#W<@g@?#xY)!)()8SManmCO6*wUt}l*xK0L9`?9|-"
    "t{|1^1xw2ht#FaW=i>r3&}Kdg(IB0tHWr)Torg)I!aNgw5vky1)eP(SMoZ^)f0ZGDAlgr_3Htn+E;-"
    "sWS0jX)4DFC>j=+No^4A>xhEYFMj@(HH=vY@E=%9PHwQfg00000000000D#Z(Ncod|P>oj*RAwy"
)


@pytest.mark.parametrize("bit", quick_first([7753, 8030], 1))
def test_one_flipped_bit_neither_crashes_nor_hangs_us(tmp_path, monkeypatch, bit):
    """HDF5 1.14 crashes with a segmentation fault on the first, and hangs on the
    second.
    """
    pytest.importorskip("h5py")
    content = bytearray(zlib.decompress(base64.b85decode(WHOLE)))
    path, net = tmp_path / "w.h5", sn.Sequential(sn.Linear(1, 2), seed=2)
    path.write_bytes(content)
    load_hdf5(net, path)
    before = net.state_dict()
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    monkeypatch.setattr(foreign, "PATIENCE", 3.0)
    with pytest.raises(CheckpointError, match=r"w\.h5: "):
        load_hdf5(net, path)
    assert all(np.array_equal(a, before[name]) for name, a in net.state_dict().items())


# --------------------------------------------------------------------------- no numbers


def numbers(kind, folder, arrays):
    """A folder of .npy or an HDF5 file with these arrays, and how to load it."""
    if kind == "npy":
        return lambda net: load_npy(net, write_npy(folder / "a", arrays))
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "w.h5", "w") as file:
        for name, a in arrays.items():
            file[name] = a
    return lambda net: load_hdf5(net, folder / "w.h5")


@pytest.mark.parametrize("kind", quick_first(["npy", "HDF5"], 1))
def test_what_is_no_number_or_too_large_is_refused(tmp_path, kind):
    for value, reason in (
        (np.nan, "0.bias holds NaN or infinite values"),
        (np.inf, "0.bias holds NaN or infinite values"),
        (-1e39, r"0.bias holds values that float32 cannot: give the network dtype='float64'"),
    ):
        arrays, net = make(1, "float64").state_dict(), make(2)
        arrays["0.bias"][3] = value
        (tmp_path / f"{value}").mkdir()
        with pytest.raises(CheckpointError, match=reason):
            numbers(kind, tmp_path / f"{value}", arrays)(net)
        assert same(net, make(2))
    net = make(2, "float64")
    numbers(kind, tmp_path / "-1e+39", arrays)(net)
    assert net.state_dict()["0.bias"][3] == -1e39
