"""Coverage-guided fuzzing of model files with atheris.

Any bytes are a network, or are refused by a CheckpointError.

    pip install atheris
    python tests/fuzz/fuzz_models.py header -runs=10000000 -max_len=4096

The first argument says what the bytes are: `header` (the JSON before the arrays),
`about` (the JSON that describes the network and its training), or `file` (header and
data of a whole file, sealed, so that more than the seal is tested). The other arguments
are libFuzzer's. New inputs of interest go to a temporary copy of corpus/model-NAME;
`make-corpus` as the only argument writes corpus/. Not run by pytest.
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[2]))
with atheris.instrument_imports(include=["scratchnet.files.tensorfile", "scratchnet.models.network", "json"]):
    import scratchnet
    from scratchnet.errors import CheckpointError
    from scratchnet.files.tensorfile import START, TensorFile, parse_json
    from scratchnet.models.network import read_network

from tests.model_files import seal, small_file, take_apart

CORPUS = Path(__file__).parent / "corpus"
SHARED = Path("/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir())
with tempfile.TemporaryDirectory() as folder:
    SMALL = small_file(Path(folder))
HEADER, ABOUT, DATA = take_apart(SMALL)
RAW = SMALL[8 : len(SMALL) - len(DATA)]


def unopened() -> TensorFile:
    file = TensorFile.__new__(TensorFile)
    file.path = Path("fuzzed")
    return file


def read_header(data: bytes) -> None:
    unopened()._parse(data, len(DATA))


WHOLE = unopened()
WHOLE._parse(RAW, len(DATA))
with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "m").write_bytes(SMALL)
    with TensorFile(Path(folder) / "m") as opened:
        ARRAYS = {name: opened.read(name) for name in opened.entries}


def read_about(data: bytes) -> None:
    file = unopened()
    try:
        file.about = parse_json(data.decode())
    except (ValueError, RecursionError):  # `header` looks at these
        return
    file.entries, file.read = WHOLE.entries, ARRAYS.__getitem__
    read_network(file)


def read_file(data: bytes) -> None:
    header, _, rest = data.partition(b"\n")
    path = SHARED / f"fuzz-model-{os.getpid()}"
    path.write_bytes(seal(START + b"0" * 64 + header, rest))
    try:
        scratchnet.load(path)
    finally:
        path.unlink()


READERS = {"header": read_header, "about": read_about, "file": read_file}


def make_corpus() -> None:
    """The small model, and the same with other layers."""
    layers = [{"type": "Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": [1, 2]}, {"type": "Flatten"}]
    layers += [{"type": "LSTM", "input_size": 1, "hidden_size": 1, "num_layers": 1, "output": "last"}]
    contents = {
        "header": [RAW, RAW.replace(b"F32", b"F64")],
        "about": [
            json.dumps(about).encode() for about in (ABOUT, {**ABOUT, "layers": layers}, {**ABOUT, "dtype": "float64"})
        ],
        "file": [RAW[len(START) + 64 :] + b"\n" + DATA],
    }
    for name, seeds in contents.items():
        (CORPUS / f"model-{name}").mkdir(parents=True, exist_ok=True)
        for i, seed in enumerate(seeds):
            (CORPUS / f"model-{name}" / str(i)).write_bytes(seed)


def main() -> None:
    if sys.argv[1:] == ["make-corpus"]:
        make_corpus()
        return
    name = sys.argv.pop(1)
    reader = READERS[name]

    def one(data: bytes) -> None:
        try:
            reader(data)
        except CheckpointError as e:
            if "\n" in str(e) or len(str(e)) > 3000:
                raise RuntimeError("a message of more than one line") from e

    folder = Path(tempfile.mkdtemp())
    shutil.copytree(CORPUS / f"model-{name}", folder / "corpus")
    atheris.Setup([*sys.argv, str(folder / "corpus")], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
