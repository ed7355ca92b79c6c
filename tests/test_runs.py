"""A run of a study and its folder: other data, a second run, a full disk, an end by the user."""

import numpy as np
import pytest

from scratchnet import CheckpointError, train
from scratchnet.data.digits import load_digits
from scratchnet.runs.identity import changed, digests
from tests.test_train import write_idx


def digits_as_mnist(folder, images):
    """These images in MNIST's files, below `folder`."""
    folder = folder / "mnist"
    folder.mkdir(parents=True)
    names = "train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"
    for name, array in zip(names, images, strict=True):
        write_idx(folder / f"{name}-ubyte.gz", array)


@pytest.fixture(scope="module")
def few():
    return load_digits(seed=3, train=200, test=40)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


QUICK = ["--epochs", "1", "--no-plots", "--threads", "1"]
SMALL = ["mnist", *QUICK, "--hidden", "8", "--batch-size", "50"]


# ------------------------------------------------------------------------------------------ other data


def test_digests():
    a = np.arange(6, dtype=np.int32).reshape(2, 3)
    same = digests(a=a, b=["x", "yz"])
    assert same == digests(a=np.asfortranarray(a), b=["x", "yz"]) == digests(a=a.astype(">i4"), b=("x", "yz"))
    for other in (a.reshape(3, 2), a.astype(np.int64), a + 1):
        assert changed(same, digests(a=other, b=["x", "yz"])) == ["a"]
    assert changed(same, digests(a=a, b=["xy", "z"])) == ["b"]
    assert changed(same, digests(a=a)) == ["b"] and changed(None, digests(train_labels=a)) == ["train labels"]


@pytest.mark.parametrize("part", range(4))
def test_other_images_or_labels_are_refused_on_resume(here, few, part):
    """One pixel, or one label: the number of examples stays."""
    digits_as_mnist(here / "a", few)
    assert train.main([*SMALL, "--data-dir", "a", "--out", "run"]) == 0
    arrays = [a.copy() for a in few]
    arrays[part].reshape(-1)[-1] ^= 1
    digits_as_mnist(here / "b", arrays)
    before = {path: path.read_bytes() for path in here.glob("run/**/*.*")}
    with pytest.raises(CheckpointError, match=f"other data .*: {few._fields[part].replace('_', ' ')}\\)"):
        train.main(["mnist", "--resume", "run", "--data-dir", "b", "--epochs", "2"])
    assert {path: path.read_bytes() for path in here.glob("run/**/*.*")} == before
    (here / "a").rename(here / "moved")  # the same data elsewhere are the same data
    assert train.main(["mnist", "--resume", "run", "--data-dir", "moved", "--epochs", "2"]) == 0


def test_an_edited_csv_is_refused_on_resume_before_the_cross_validation(here, capsys):
    pytest.importorskip("nltk")
    lines = ["author,text", *(f"{'ab'[k % 2]},ship number {k} of {'xy'[k % 2]}" for k in range(20))]
    (here / "own.csv").write_text("\n".join(lines))
    assert train.main(["tweets", *QUICK, "--csv", "own.csv", "--folds", "2", "--out", "run"]) == 0
    (here / "own.csv").write_text("\n".join(lines).replace("number 7", "number 8"))
    capsys.readouterr()
    with pytest.raises(CheckpointError, match=r"other data \(changed since then: tweets\)"):
        train.main(["tweets", "--resume", "run", "--epochs", "2"])
    assert capsys.readouterr().out == ""


def test_an_edited_table_is_refused_on_resume(here):
    lines = [f"{a} {a} {a} {a} {a} {a} {a + k} {k % 3 + 1}" for k, a in enumerate(np.linspace(1, 5, 30))]
    folder = here / "data" / "wheat-seeds"
    folder.mkdir(parents=True)
    (folder / "seeds_dataset.txt").write_text("\n".join(lines))
    study = ["wheat", "--data-dir", "data"]
    assert train.main([*study, *QUICK, "--folds", "2", "--out", "run"]) == 0
    (folder / "seeds_dataset.txt").write_text("\n".join([*lines[:-1], lines[-1][:-1] + "1"]))
    with pytest.raises(CheckpointError, match=r"other data \(changed since then: classes\)"):
        train.main([*study, "--resume", "run", "--epochs", "2"])
