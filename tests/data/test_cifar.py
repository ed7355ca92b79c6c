"""CIFAR-10 from .bin files and from the archive, and archives made to do harm."""

import gzip
import io
import os
import tarfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from scratchnet.data.cifar import FOLDER, LARGEST, MEMBERS, RECORD, TEST, TRAIN, load_cifar10, read_archive
from scratchnet.errors import DataError

REAL = Path(os.environ.get("SCRATCHNET_DATA", "nowhere")) / "cifar-10"
NAMES = (*TRAIN, TEST)


def records(seed, n=3):
    r = np.random.default_rng(seed).integers(0, 256, (n, RECORD), np.uint8)
    r[:, 0] %= 10
    return r


def plain_file(name, content):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return info, content


def special(name, kind, link=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


PUBLISHED = [plain_file(f"{FOLDER}/{name}", records(i).tobytes()) for i, name in enumerate(NAMES)]


def archive(path, members, form=tarfile.GNU_FORMAT):
    with tarfile.open(path, "w:gz", format=form, compresslevel=1) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.skipif(not REAL.is_dir(), reason="needs CIFAR-10: set SCRATCHNET_DATA")
def test_real_files():
    data = load_cifar10(REAL.parent)
    assert data.train_images.shape[1:] == data.test_images.shape[1:] == (3, 32, 32)
    assert np.ptp(np.bincount(data.train_labels)) == 0, "the classes are balanced"
    raw = (REAL / TRAIN[0]).read_bytes()
    assert data.train_labels[7] == raw[7 * RECORD]
    assert data.train_images[7, 2, 5, 31] == raw[7 * RECORD + 1 + 2 * 1024 + 5 * 32 + 31]  # red, green, blue; rows


def test_bin_files_and_the_archive_agree(tmp_path):
    (tmp_path / "files").mkdir()
    for i, name in enumerate(NAMES):
        (tmp_path / "files" / name).write_bytes(records(i).tobytes())
    from_files = load_cifar10(tmp_path / "files")
    for form in (tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT):
        archive(tmp_path / "cifar-10-binary.tar.gz", PUBLISHED[::-1], form)
        for a, b in zip(from_files, load_cifar10(tmp_path), strict=True):
            np.testing.assert_array_equal(a, b, strict=True)
    assert from_files.train_images.shape == (15, 3, 32, 32) and from_files.train_labels.dtype == np.int64
    np.testing.assert_array_equal(from_files.train_images[3].ravel(), records(1)[0, 1:])


def test_some_of_the_training_files_are_enough(tmp_path):
    (tmp_path / FOLDER).mkdir()
    for name in (TRAIN[1], TEST):
        (tmp_path / FOLDER / name).write_bytes(records(0).tobytes())
    assert len(load_cifar10(tmp_path).train_images) == 3
    (tmp_path / FOLDER / TEST).unlink()
    with pytest.raises(DataError, match=r"neither cifar-10-binary\.tar\.gz nor data_batch_1\.bin with test_batch\.bin"):
        load_cifar10(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "0 bytes are not a whole number of records"),
        (records(0).tobytes()[:-1], "9218 bytes are not a whole number of records of 3073"),
        (records(0).tobytes() + b"x", "9220 bytes are not a whole number of records"),
        (records(0, 1).tobytes() + b"\x0a" + bytes(RECORD - 1), "byte 3073: label 10 is not one of 0 to 9"),
        (bytes(LARGEST + RECORD), "more than the 30730000 of a published file"),
    ],
)
def test_damaged_files(tmp_path, content, message):
    (tmp_path / TEST).write_bytes(records(0).tobytes())
    (tmp_path / TRAIN[0]).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_cifar10(tmp_path)
    assert str(tmp_path / TRAIN[0]) in str(caught.value) and message in str(caught.value)


def first(*members):
    """The given members, then what is published."""
    return [*members, *PUBLISHED]


BATCH = f"{FOLDER}/{TRAIN[0]}"
BODY = records(0).tobytes()
HOSTILE = {
    "symbolic link as a batch": [special(BATCH, tarfile.SYMTYPE, "/etc/passwd"), *PUBLISHED[1:]],
    "hard link as a batch": [*PUBLISHED[1:], special(BATCH, tarfile.LNKTYPE, f"{FOLDER}/{TEST}")],
    "device as a batch": [special(BATCH, tarfile.CHRTYPE), *PUBLISHED[1:]],
    "pipe as a batch": [special(BATCH, tarfile.FIFOTYPE), *PUBLISHED[1:]],
    "folder as a batch": [special(BATCH, tarfile.DIRTYPE), *PUBLISHED[1:]],
    "batch twice": first(plain_file(BATCH, BODY)),
    "batch missing": PUBLISHED[1:],
    "batch elsewhere": [plain_file(f"../{BATCH}", BODY), *PUBLISHED[1:]],
    "batch at an absolute path": [plain_file(f"/{BATCH}", BODY), *PUBLISHED[1:]],
    "batch empty": [plain_file(BATCH, b""), *PUBLISHED[1:]],
    "batch cut": [plain_file(BATCH, BODY[:-1]), *PUBLISHED[1:]],
    "label out of range": [plain_file(BATCH, b"\x63" + BODY[1:]), *PUBLISHED[1:]],
    "many members": first(*(plain_file(f"{i}", b"") for i in range(MEMBERS))),
    "a million members": (special(f"{i}", tarfile.DIRTYPE) for i in range(20_000)),
    "bomb as a batch": [plain_file(BATCH, bytes(LARGEST + RECORD)), *PUBLISHED[1:]],
    "bomb as another member": first(plain_file("readme.html", bytes(LARGEST + 1))),
    "nothing": [],
}
HARMLESS = {  # nothing is ever written, so a name alone can do no harm
    "absolute": first(plain_file("/tmp/evil", b"evil")),
    "dots": first(plain_file("../../evil", b"evil")),
    "symbolic link": first(special("link", tarfile.SYMTYPE, "/etc"), plain_file("link/evil", b"evil")),
    "hard link": first(special("hard", tarfile.LNKTYPE, "/etc/passwd")),
    "device": first(special("null", tarfile.CHRTYPE)),
    "other member twice": first(plain_file("readme.html", b"1"), plain_file("readme.html", b"2")),
    "sparse-looking name": first(plain_file("GNUSparseFile.0/x", b"x")),
}


def read_within_memory(path):
    """Read the archive; memory always stays below twice what a full data set takes."""
    tracemalloc.start()
    try:
        return read_archive(path)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 << 20, "these archives are small, whatever they claim"


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives(tmp_path, name):
    path = archive(tmp_path / "a.tar.gz", HOSTILE[name])
    with pytest.raises(DataError, match=r"a\.tar\.gz"):
        read_within_memory(path)
    assert [p.name for p in tmp_path.rglob("*")] == ["a.tar.gz"]


@pytest.mark.parametrize("name", HARMLESS)
def test_archives_with_strange_members(tmp_path, name):
    path = archive(tmp_path / "a.tar.gz", HARMLESS[name])
    assert len(read_within_memory(path).train_images) == 15
    assert [p.name for p in tmp_path.rglob("*")] == ["a.tar.gz"]


def header(name, size, kind=tarfile.REGTYPE):
    """A tar header that announces any size; no content follows."""
    info, _ = plain_file(name, b"")
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


CRAFTED = {
    "endless zeros": bytes(1 << 26),
    "a member of a terabyte": header("readme.html", 10**12),
    "a negative size": header("readme.html", -RECORD) + bytes(4096),
    "a negative batch": header(BATCH, -RECORD) + bytes(4096),
    "a batch that ends early": header(BATCH, RECORD) + bytes(512),
    "a giant pax header": header("x", 1 << 25, tarfile.XHDTYPE) + b"1" * (1 << 25),
    "a giant global header": header("x", 1 << 25, tarfile.XGLTYPE) + b"1" * (1 << 25),
    "a giant long name": header("x", 1 << 25, tarfile.GNUTYPE_LONGNAME) + b"a" * (1 << 25),
    "slow pax digits": header("x", 16_000, tarfile.XHDTYPE) + b"1" * 16_384 + header(BATCH, 0),
    "a bad checksum": b"x" + header(BATCH, RECORD)[1:] + bytes(4096),
    "no tar at all": b"<html>" * 1000,
    "short": b"x",
    "empty": b"",
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_archives(tmp_path, name):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(CRAFTED[name], 1))
    with pytest.raises(DataError, match=r"a\.tar\.gz"):
        read_within_memory(path)


def test_what_comes_after_the_archive_is_checked(tmp_path):
    whole = archive(tmp_path / "whole.tar.gz", PUBLISHED).read_bytes()
    path = tmp_path / "a.tar.gz"
    for damaged in (
        whole[:-1],
        whole[:-8] + b"\0" * 8,
        whole + b"x",
        whole + gzip.compress(b""),
        whole[: len(whole) // 2],
    ):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=r"a\.tar\.gz"):
            read_archive(path)
    path.write_bytes(gzip.compress(gzip.decompress(whole) + bytes(1 << 26)))
    with pytest.raises(DataError, match="more data than its members announce"):
        read_within_memory(path)
    with pytest.raises(DataError, match="nowhere"):
        read_archive(tmp_path / "nowhere")
