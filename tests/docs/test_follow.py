"""The pages that are followed step by step: all their commands and Python run.

A page is run in the order in which it is read, in an empty folder, with few images,
short trainings and the options of SMALL added to its commands. The figures of a page
are not tested here, only that a reader can do what it says.
"""

import contextlib
import importlib
import inspect
import io
import re
import shlex

import numpy as np
import pytest

from scratchnet.data import cifar
from scratchnet.data.digits import load_digits
from tests.places import ROOT
from tests.seven_tweets import SEVEN

FOLLOW = sorted((ROOT / "docs" / "follow").glob("*.md"))
PAGES = [*FOLLOW, *sorted((ROOT / "docs" / "guide").glob("*.md"))]

#: What makes a command short: options by study, or by module
SMALL = {
    **dict.fromkeys(("mnist", "fashion-mnist", "digits", "cifar10", "cifar100"), "--epochs 1 --no-plots"),
    **dict.fromkeys(("wheat", "iris"), "--epochs 2 --folds 2"),
    **dict.fromkeys(("tweets", "flights", "sentiment"), "--epochs 1"),
    **dict.fromkeys(("adding", "copy"), "--epochs 1 --examples 40"),
    "images": "--epochs 1 --no-plots",
    **dict.fromkeys(("table", "text"), "--epochs 2 --folds 2"),
    "chars": "--epochs 1 --sample 10",
    "waveforms": "--epochs 1 --echoes 20 --passes 2 --judged 2",
    "benchmarks.hidden_sweep": "--hidden 20 --batch-size 1 --steps 3 --threads 1 --device cpu --out timed",
    "scratchnet.studies.vanishing": "--lengths 4,7 --epochs 1 --examples 60 --hidden 6",
    "parity": "--help",  # it takes minutes, and has tests of its own
    "benchmarks.peers": "--threads 1 --no-memory --out timed",
}
#: What a page asks its reader to paste from the document
PASTED = {
    "who-wrote-it": {
        "tweets": [text.split() for _, text in SEVEN],
        "targets": [int(author == "disguised dog") for author, _ in SEVEN],
        "quotes": [["Numero", "uno:", "it", "works."], ["You", "talkin'", "to", "me?"]],
    },
}
MOST_LINES = 5  # of Python in a step


def steps_of(page):
    """(line number, kind, text) of every command and every block of Python."""
    kind, block, begun = "", [], 0
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if kind == "python":
                yield begun, "python", "\n".join(block)
            kind, block, begun = ("" if kind else line.removeprefix("```") or "text"), [], number
        elif kind == "python":
            block.append(line)
        elif kind in ("sh", "bash", "console"):
            if line.strip() and not line.startswith("#"):
                yield number, "command", line.removeprefix("$ ")
        elif not kind:
            for command in re.findall(r"`(python (?:-m|benchmarks/)[^`]*)`", line):
                yield number, "command", command


def run_command(command):
    """The command in this process; returns its exit code."""
    words = shlex.split(command.replace("\\|", "|"))
    assert words[0] == "python", f"a command that this test cannot run: {command}"
    if words[1] == "-m":
        name, args = words[2], words[3:]
    else:
        name, args = words[1].removesuffix(".py").replace("/", "."), words[2:]
    for key in (name, *args[:1]):
        if "--help" not in args and "--resume" not in args:
            args += shlex.split(SMALL.get(key, ""))
    try:
        module = importlib.import_module(f"{name}.__main__" if name in ("parity", "scratchnet") else name)
        return module.main(*([args] if inspect.signature(module.main).parameters else []))
    except SystemExit as end:
        return end.code


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder of small data sets in the formats of the published ones."""
    folder = tmp_path_factory.mktemp("data")
    images = load_digits(seed=3, train=400, test=150)
    for name in ("mnist", "fashion-mnist"):
        (folder / name).mkdir()
        for file, array in zip(
            ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"), images, strict=True
        ):
            write_idx(folder / name / f"{file}-ubyte", array)
    (folder / "cifar-10").mkdir()
    rng = np.random.default_rng(0)
    for file in ("data_batch_1.bin", "test_batch.bin"):
        records = rng.integers(0, 256, (60, cifar.RECORD), dtype=np.uint8)
        records[:, 0] = np.arange(60) % 10
        (folder / "cifar-10" / file).write_bytes(records.tobytes())
    (folder / "wheat-seeds").mkdir()
    grains = "".join(f"{15 + k % 3} 14 0.8 5.{k % 7} 3 2 5 {k % 3 + 1}\n" for k in range(30))
    (folder / "wheat-seeds" / "seeds_dataset.txt").write_text(grains)
    (folder / "sentence-polarity").mkdir()
    for kind, word in (("neg", "dull"), ("pos", "fine")):
        (folder / "sentence-polarity" / f"rt-polarity.{kind}").write_text(f"the plot is {word} .\n" * 40)
    (folder / "cifar-100").mkdir()
    for file in ("train.bin", "test.bin"):
        records = rng.integers(0, 256, (100, cifar.CIFAR100.record), dtype=np.uint8)
        records[:, 0], records[:, 1] = np.arange(100) % 20, np.arange(100)
        (folder / "cifar-100" / file).write_bytes(records.tobytes())
    return folder


@pytest.fixture
def reader(data, tmp_path, monkeypatch):
    """A reader's empty folder, with a photo of a digit."""
    from PIL import Image

    monkeypatch.setenv("SCRATCHNET_DATA", str(data))
    monkeypatch.setenv("SCRATCHNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Image.fromarray(255 - load_digits(seed=5, train=1, test=1).train_images[0]).resize((280, 280)).save("photo.png")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_line_of_a_page_runs(page, reader):
    if "import torch" in page.read_text(encoding="utf-8"):
        pytest.importorskip("torch")
    names = {"__name__": "reader", **PASTED.get(page.stem, {})}
    for number, kind, text in steps_of(page):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            if kind == "python":
                exec(compile(text, f"{page.name}, line {number}", "exec"), names)
            else:
                code = run_command(text)
                assert not code, f"{page.name}, line {number}: {text} ends with {code}\n{said.getvalue()}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_step_is_a_command_or_a_few_lines(page):
    steps = list(steps_of(page))
    assert steps or page.stem == "README"
    for number, kind, text in steps:
        lines = [line for line in text.splitlines() if line.strip()]
        assert kind == "command" or len(lines) <= MOST_LINES, f"{page.name}, line {number}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_index_names_every_page():
    index = (ROOT / "docs" / "follow" / "README.md").read_text(encoding="utf-8")
    for page in FOLLOW:
        assert page.stem == "README" or f"]({page.name})" in index, page.name


def test_what_the_guide_prints_is_what_it_shows(reader):
    """The first page shows the output of every block, and these are its figures."""
    pytest.importorskip("torch")
    text = (ROOT / "docs" / "guide" / "1-the-smallest-derivative.md").read_text(encoding="utf-8")
    names = {}
    blocks = re.findall(r"```python\n(.*?)```\n+```text\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    for code, shown in blocks:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(code, names)
        assert said.getvalue() == shown
