"""Thousands of mutated files of each format.

Each is read as it is, or refused by a DataError that names file and place.
"""

import gzip
import re
import tracemalloc

import numpy as np
import pytest

from scratchnet.data.cifar import read_archive, read_records
from scratchnet.data.idx import read_idx
from scratchnet.data.tables import read_table
from scratchnet.errors import DataError
from tests.data.test_cifar import PUBLISHED, archive, records
from tests.data.test_mnist import idx, some_images

WORDS = [
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"nan",
    b"1e400",
    b",",
    b"\n",
    b'"',
    b"-",
]
IMAGES = some_images(5)


def mutate(content, rng):
    """One to three random changes.

    A bit is flipped; bytes are overwritten, inserted, removed or repeated; the end is
    cut off.
    """
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(data) + 1) if rng.random() < 0.7 else rng.integers(min(len(data), 20) + 1))
        some = WORDS[rng.integers(len(WORDS))] if rng.random() < 0.5 else rng.bytes(int(rng.integers(1, 9)))
        match rng.integers(6):
            case 0 if at < len(data):
                data[at] ^= 1 << int(rng.integers(8))
            case 1:
                data[at : at + len(some)] = some
            case 2:
                data[at:at] = some
            case 3:
                del data[at : at + int(rng.integers(1, 20))]
            case 4:
                data[at:at] = data[at : at + int(rng.integers(1, 2000))]
            case _:
                del data[at:]
    return bytes(data)


def read_images(path):
    values = read_idx(path, (None, 28, 28))
    assert values.dtype == np.uint8 and path.stat().st_size == 16 + values.size


def read_compressed(path):
    np.testing.assert_array_equal(
        read_idx(path, (None, 28, 28)), IMAGES
    )  # gzip's checksum sees every change of content


def read_cifar(path):
    assert read_records(path).size == path.stat().st_size


def read_tar(path):
    data = read_archive(path)
    assert len(data.train_images) == len(data.train_labels) > 0 and data.train_labels.max() <= 9


def read_csv(path):
    columns = read_table(path, ["a", "b", "kind"], {"kind": ("x", "y")}, ",")
    assert np.isfinite(columns["a"]).all() and set(columns["kind"]) <= {0, 1}


def read_space(path):
    columns = read_table(path, ["a", "b", "kind"], {"kind": ("1", "2")})
    assert len(columns["a"]) == len(columns["kind"]) > 0


CSV = b"a,b,kind\n" + b"".join(b"%d.25,-%de-3,%c\n" % (i, i, b"xy"[i % 2]) for i in range(40))
FORMATS = {  # content, reader, where an error says it is
    "idx": (idx(IMAGES), read_images, r"byte \d+"),
    "idx.gz": (gzip.compress(idx(IMAGES), mtime=0), read_compressed, r"byte \d+"),
    "cifar": (records(0).tobytes(), read_cifar, r"\d+ bytes are not|byte \d+"),
    "csv": (CSV, read_csv, r"line \d+|holds no rows"),
    "table": (
        CSV[9:].replace(b",", b"\t").replace(b"x", b"1").replace(b"y", b"2"),
        read_space,
        r"line \d+|holds no rows",
    ),
}


def run(path, content, reader, said, count, seed):
    read, refused = 0, 0
    tracemalloc.start()
    rng = np.random.default_rng(seed)
    for _ in range(count):
        path.write_bytes(mutate(content, rng))
        tracemalloc.reset_peak()
        try:
            reader(path)
            read += 1
        except DataError as error:
            message = str(error)
            assert message.startswith(str(path)) and re.search(said, message), message
            assert "\n" not in message and len(message) < 400
            refused += 1
        assert tracemalloc.get_traced_memory()[1] < 2 * len(content) + (16 << 20)
    tracemalloc.stop()
    return read, refused


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(("count", "seed"), [(2_500, 0), pytest.param(20_000, 1, marks=pytest.mark.nightly)])
def test_mutated_files(tmp_path, name, count, seed, thorough):
    count = count if thorough else count // 10
    content, reader, said = FORMATS[name]
    read, refused = run(tmp_path / name, content, reader, said, count, seed)
    assert read + refused == count and refused > count / 10 and read > 0


@pytest.mark.slow
def test_mutated_archives(tmp_path):
    content = archive(tmp_path / "whole.tar.gz", PUBLISHED).read_bytes()
    refused = run(tmp_path / "a.tar.gz", content, read_tar, "", 500, 0)[1]
    assert refused > 400
    raw = gzip.decompress(content)  # past the checksum of gzip: mutate what is inside

    def compressed(path):
        path.write_bytes(gzip.compress(path.read_bytes(), 1))
        read_tar(path)

    refused = run(tmp_path / "a.tar.gz", raw, compressed, "", 500, 1)[1]
    assert refused > 100
