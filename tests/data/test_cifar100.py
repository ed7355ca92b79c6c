"""CIFAR-100 from .bin files and from an archive, both with two labels a picture."""

import io
import tarfile

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.data.cifar import CIFAR100, COARSE, FINE, load_cifar100
from scratchnet.data.fetch import NotAvailable
from scratchnet.errors import DataError, SettingError


def records(seed, n=30):
    r = np.random.default_rng(seed).integers(0, 256, (n, 3074), np.uint8)
    r[:, 0] = np.arange(n) % 20
    r[:, 1] = np.arange(n) * 7 % 100
    return r


def archive(path, **files):
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"cifar-100-binary/{name.replace('_', '.')}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_the_archive_and_its_files_agree_for_both_labels(tmp_path):
    (tmp_path / "cifar-100").mkdir()
    (tmp_path / "files").mkdir()
    train, test = records(0), records(1, 20)
    archive(tmp_path / "cifar-100" / "cifar-100-binary.tar.gz", train_bin=train.tobytes(), test_bin=test.tobytes(),
            fine_label_names_txt=b"apple\n")  # fmt: skip
    (tmp_path / "files" / "train.bin").write_bytes(train.tobytes())
    (tmp_path / "files" / "test.bin").write_bytes(test.tobytes())
    for byte, labels in enumerate(("coarse", "fine")):
        data = sn.load_cifar100(tmp_path, labels)
        for a, b in zip(data, load_cifar100(tmp_path / "files", labels), strict=True):
            np.testing.assert_array_equal(a, b, strict=True)
        np.testing.assert_array_equal(data.train_labels, train[:, byte])
        np.testing.assert_array_equal(data.test_labels, test[:, byte])
        np.testing.assert_array_equal(data.train_images, train[:, 2:].reshape(-1, 3, 32, 32))
    assert data.train_labels.dtype == np.int64


def test_there_are_a_hundred_classes_in_twenty_groups():
    assert len(set(FINE)) == 100 and len(set(COARSE)) == 20
    assert [*FINE] == sorted(FINE) and [*COARSE] == sorted(COARSE)
    assert CIFAR100.record == 3074 and CIFAR100.largest == 153_700_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.tobytes()[:-1], r"92219 bytes are not a whole number of records of 3074 = 2 \+ 3"),
        (lambda r: r.__setitem__((3, 0), 20) or r.tobytes(), "byte 9222: label 20 is not one of 0 to 19"),
        (lambda r: r.__setitem__((3, 1), 100) or r.tobytes(), "byte 9223: label 100 is not one of 0 to 99"),
    ],
)
def test_damaged_files_are_one_line(tmp_path, change, words):
    (tmp_path / "train.bin").write_bytes(change(records(0)))
    (tmp_path / "test.bin").write_bytes(records(1).tobytes())
    with pytest.raises(DataError, match=words):
        load_cifar100(tmp_path)


def test_where_it_cannot_be_had(tmp_path, monkeypatch):
    from scratchnet.data import fetch

    def unreachable(url, *args, **options):
        raise ValueError("no network in this test")
        yield

    monkeypatch.setattr(fetch, "_stream", unreachable)
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    monkeypatch.setenv("SCRATCHNET_CACHE", str(tmp_path / "cache"))
    with pytest.raises(NotAvailable, match=r"cifar-100 is not available: .*put cifar-100-binary\.tar\.gz into"):
        load_cifar100()
    with pytest.raises(DataError, match=r"neither cifar-100-binary\.tar\.gz nor train\.bin with test\.bin"):
        load_cifar100(tmp_path)
    with pytest.raises(SettingError, match="labels must be fine or coarse, not 'middle'"):
        load_cifar100(tmp_path, "middle")
