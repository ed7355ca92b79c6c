"""Coverage-guided fuzzing of the data readers with atheris.

Any bytes are read, or are refused by a DataError.

    pip install atheris
    python tests/fuzz/fuzz_readers.py idx -runs=10000000 -max_len=4096

The first argument is a reader: idx, idx-gz, idx-in-gz, cifar, tar, csv or table; the
others are libFuzzer's. New inputs of interest go to a temporary copy of corpus/READER;
`make-corpus` as the only argument writes corpus/. Not run by pytest.
"""

import gzip
import io
import os
import shutil
import sys
import tempfile
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["scratchnet.data", "tarfile"]):
    import tarfile

    from scratchnet.data import cifar, idx, inflate, tables
from scratchnet.errors import DataError

CORPUS = Path(__file__).parent / "corpus"
NAME = Path("fuzzed")
SCRATCH = Path("/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir()) / "scratchnet-fuzz"


def read_idx(data):
    """What `read_idx` does after opening the file."""
    pieces = iter([data[i : i + 64] for i in range(0, len(data), 64)])
    values = idx._read(NAME, pieces, (None, 4, 4), len(data))
    if values.nbytes + 16 != len(data):
        raise RuntimeError("a file that is not its header's size was read")


def read_idx_gz(data):
    idx._read(NAME, inflate.inflate(NAME, io.BytesIO(data)), (None, 4, 4), len(data) * inflate.RATIO)


def read_recompressed(data):
    """The same behind a right checksum, which fuzzing never finds by itself."""
    read_idx_gz(gzip.compress(data, 1))


def read_cifar(data):
    files = [(NAME, cifar._records("fuzzed", io.BytesIO(data), len(data)))]
    cifar._images(files, files)


def read_tar(data):
    """Anything as the content of a gzip-compressed archive, to explore tarfile."""
    path = SCRATCH / f"{os.getpid()}.tar.gz"
    path.write_bytes(gzip.compress(data, 1))
    try:
        cifar.read_archive(path)
    except DataError as error:
        raise DataError(str(error).replace(str(path), "fuzzed")) from error


def read_table(data, delimiter=None):
    columns = tables._parse(NAME, data, ["a", "b", "kind"], {"kind": ("1", "2")}, delimiter)
    if not np.isfinite(columns["a"]).all() or not len(columns["kind"]):
        raise RuntimeError("a table with a number that is not finite, or without rows, was read")


def read_csv(data):
    read_table(data, ",")


READERS = {
    "idx": read_idx,
    "idx-gz": read_idx_gz,
    "idx-in-gz": read_recompressed,
    "cifar": read_cifar,
    "tar": read_tar,
    "csv": read_csv,
    "table": read_table,
}


def tarred(name, content):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
        info.size, info.pax_headers = len(content), {"comment": "x"}
        archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def make_corpus():
    """A few files of each kind to start from, right ones and nearly right ones."""
    whole = b"\0\0\x08\x03" + b"\0\0\0\x02\0\0\0\x04\0\0\0\x04" + bytes(range(32))
    text = b"a,b,kind\n1,-2.5e3,1\n\n 3 ,4,2\n"
    files = {
        "idx": [whole, whole[:-1], whole + b"x", b"\0\0\x08\x01\0\0\0\x02\1\2"],
        "idx-gz": [gzip.compress(whole, mtime=0), gzip.compress(whole, mtime=0) + gzip.compress(b"", mtime=0)],
        "idx-in-gz": [whole, whole[:-1]],
        "cifar": [b"\x07" + bytes(3072), b"\x0a" + bytes(3072), b"\1" * 3072],
        "tar": [tarred(cifar.TRAIN[0], b"\x07" + bytes(3072)), tarred("readme.html", b"hello")],
        "csv": [text, b'\xef\xbb\xbfa,b,kind\r\n"1",nan,"2"\r\n', b"a,b,kind\n1e400,0x1,3\n"],
        "table": [text[9:].replace(b",", b"\t"), b"1 2\n", b"1\t\t2 1\r\ninf 1_0 2\n"],
    }
    for reader, contents in files.items():
        (CORPUS / reader).mkdir(parents=True, exist_ok=True)
        for i, content in enumerate(contents):
            (CORPUS / reader / str(i)).write_bytes(content)


def main():
    if sys.argv[1:] == ["make-corpus"]:
        make_corpus()
        return
    name = sys.argv.pop(1)
    reader = READERS[name]

    def one(data):
        try:
            reader(data)
        except DataError as error:
            if not str(error).startswith("fuzzed"):
                raise RuntimeError("a message without the file") from error

    corpus = SCRATCH / name
    shutil.rmtree(corpus, ignore_errors=True)
    shutil.copytree(CORPUS / name, corpus)
    atheris.Setup([*sys.argv, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
