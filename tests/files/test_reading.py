"""Whatever path a user gives: ordinary files are read, and others refused at once.

A pipe, a folder or a missing file gets one clear line.
"""

import os

import pytest

import scratchnet as sn
from scratchnet import filters
from scratchnet.data import cifar, handwriting, idx, tables, tweets
from scratchnet.files.reading import open_regular
from scratchnet.studies import chars

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")


def hdf5(path):
    pytest.importorskip("h5py")
    sn.load_hdf5(sn.Sequential(sn.Linear(2, 1)), path)


READERS = {
    "model": sn.load,
    "HDF5": hdf5,
    ".npy": lambda path: sn.load_npy(sn.Sequential(sn.Linear(2, 1)), path.parent),
    "picture": handwriting.read_digit,
    "any picture": filters.read_grey,
    "table": lambda path: tables.read_table(path, ["a"]),
    "IDX": lambda path: idx.read_idx(path, (None,)),
    "CIFAR records": cifar.read_records,
    "CIFAR archive": cifar.read_archive,
    "tweets": tweets.read_tweets,
    "text": chars.read_text,
}


@pytest.mark.parametrize("kind", READERS)
def test_pipes_and_folders_are_refused_at_once(tmp_path, kind):
    for make in (os.mkfifo, os.mkdir):
        path = tmp_path / make.__name__ / "x.npy"
        path.parent.mkdir()
        make(path)
        with pytest.raises(sn.ScratchnetError, match=r"x\.npy: .*this is not a file"):
            READERS[kind](path)


def test_the_reason(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"content"
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    with pytest.raises(OSError, match="embedded null"):
        open_regular("a\0b")
