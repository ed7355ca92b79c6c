"""`train images`: pictures of one's own, from a folder to an answer about new ones."""

import csv
import json
import signal
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

import scratchnet as sn
from scratchnet import predict, train
from scratchnet.data.pictures import turned
from scratchnet.engine.layers import Conv2d, CropFlip
from scratchnet.errors import Interrupted
from scratchnet.studies import images
from scratchnet.studies.images import PRESETS, layers_of
from tests.profiles import quick_first

FILES = {"metrics.json", "history.csv", "config.toml", "model.safetensors", "checkpoints"}
PICTURES = {"training.png", "samples.png", "confusion.png", "mistakes.png", "weights.png"}


def drawing(kind: str, rng: np.random.Generator, size: int, colour: bool) -> Image.Image:
    """A disc or a cross, somewhere."""
    paper, pen = rng.integers(0, 80, 3), rng.integers(140, 256, 3)
    picture = Image.new("RGB", (size, size), tuple(int(v) for v in paper))
    draw, r = ImageDraw.Draw(picture), size // 4
    x, y = (int(v) for v in rng.integers(r, size - r, 2))
    ink = tuple(int(v) for v in pen)
    if kind == "disc":
        draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)
    else:
        draw.line((x - r, y, x + r, y), ink, max(2, size // 10))
        draw.line((x, y - r, x, y + r), ink, max(2, size // 10))
    return picture if colour else picture.convert("L")


def draw_folder(path: Path, n: int = 30, size: int = 24, colour: bool = True, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    for kind in ("cross", "disc"):
        (path / kind).mkdir(parents=True, exist_ok=True)
        for k in range(n):
            drawing(kind, rng, size, colour).save(path / kind / f"{k:03d}.png")
    return path


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args: str, out: str = "out") -> dict[str, Any]:
    assert train.main(["images", "--threads", "1", "--out", out, *args]) == 0
    return json.loads(Path(out, "metrics.json").read_text())


def mistake(*args: str) -> str:
    with pytest.raises(sn.ScratchnetError) as error:
        train.main(["images", "--no-plots", "--threads", "1", "--out", "out", *args])
    assert "\n" not in str(error.value) and not Path("out", "metrics.json").exists()
    return str(error.value)


@pytest.mark.slow
def test_from_a_folder_to_an_answer(capsys: pytest.CaptureFixture) -> None:
    metrics = run("--folder", str(draw_folder(Path("shapes"), 60)), "--epochs", "20", "--batch-size", "16")
    assert {path.name for path in Path("out").iterdir() if not path.name.startswith(".")} == FILES | PICTURES
    assert metrics["test_accuracy"] >= 0.9 and list(metrics["per_class_accuracy"]) == ["cross", "disc"]
    assert (metrics["train_images"], metrics["valid_images"], metrics["test_images"]) == (86, 10, 24)
    assert (metrics["size"], metrics["colours"], metrics["dataset"]) == (24, 3, "shapes")
    said = capsys.readouterr().out
    assert "120 pictures in 2 classes (cross 60, disc 60); in colour, brought to 24 x 24 pixels" in said
    assert "advice: " not in said
    rows = list(csv.DictReader(Path("out/history.csv").read_text().splitlines()))
    assert len(rows) == 21 and rows[-1]["valid_accuracy"]
    assert not [thread for thread in threading.enumerate() if "scratchnet" in thread.name]

    new = draw_folder(Path("new"), 10, size=100, seed=1)
    assert predict.main(["out/model.safetensors", "new", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert [answer["file"] for answer in answers] == [str(path) for path in sorted(new.rglob("*.png"))]
    assert np.mean([answer["label"] == Path(answer["file"]).parent.name for answer in answers]) >= 0.8
    assert predict.main(["out/model.safetensors", "new/disc/000.png", "--show", "--out", "seen.png"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("new/disc/000.png: ") and len(said.splitlines()) > 10 and Path("seen.png").exists()


def test_the_model_gives_the_reported_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    for part, seed in (("train", 0), ("test", 1)):
        draw_folder(Path("divided", part), 20, seed=seed)
    metrics = run("--folder", "divided", "--epochs", "5", "--no-plots")
    assert (metrics["train_images"], metrics["valid_images"], metrics["test_images"]) == (36, 4, 40)
    net = sn.load("out/model.safetensors")
    files = sorted(Path("divided/test").rglob("*.png"))
    found = predict.predict_images(net, files, predict.whole_input(net))[1]
    right = [answer["label"] == path.parent.name for answer, path in zip(found, files, strict=True)]
    assert np.mean(right) == pytest.approx(metrics["test_accuracy"])


def test_the_split_is_that_of_the_seed_and_every_class_is_in_all_parts() -> None:
    draw_folder(Path("shapes"), 20)
    o = images.replace(PRESETS["default"], folder=Path("shapes"))
    parts = [images.Parts(images.replace(o, seed=seed)) for seed in (0, 0, 1)]
    assert all(np.array_equal(parts[0].test, p.test) for p in parts[:2])
    assert not np.array_equal(parts[0].test, parts[2].test)
    every = np.concatenate([parts[0].train, parts[0].valid, parts[0].test])
    assert sorted(every) == list(range(40))
    assert all(len(set(parts[0].labels[p])) == 2 for p in (parts[0].train, parts[0].valid, parts[0].test))
    mean = parts[0].pixels.mean[parts[0].train].mean(axis=0)
    assert parts[0].mean == pytest.approx(mean), "the mean is that of the training pictures alone"


@pytest.mark.parametrize("more", quick_first([[], ["--augment", "rotate"], ["--network", "dense", "--grey"]], 1))
def test_an_interrupted_run_goes_on_to_the_same_end(more: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    draw_folder(Path("shapes"), 20)
    args = ["--folder", "shapes", "--epochs", "4", "--batch-size", "8", "--no-plots", *more]
    whole = run(*args, out="whole")
    from scratchnet.runs import run as module

    with monkeypatch.context() as patch:

        class Lines(module.ProgressLines):
            def step(self, epoch: int, k: int, steps: int, loss: Any) -> None:
                super().step(epoch, k, steps, loss)
                if (epoch, k) == (2, 1):
                    signal.raise_signal(signal.SIGINT)

        patch.setattr(module, "ProgressLines", Lines)
        with pytest.raises(Interrupted, match="--resume cut"):
            run(*args, out="cut")
    cut = run("--no-plots", "--resume", "cut", out="cut")
    a, b = (sn.load(f"{folder}/model.safetensors").state_dict() for folder in ("whole", "cut"))
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert all(whole[name] == cut[name] for name in ("test_accuracy", "test_loss", "train_loss"))


def test_a_run_does_not_go_on_with_other_pictures() -> None:
    draw_folder(Path("shapes"), 10)
    run("--folder", "shapes", "--epochs", "1", "--no-plots")
    Image.new("RGB", (24, 24)).save("shapes/disc/003.png")
    Path("out/metrics.json").unlink()
    assert "was trained on other data (changed since then: pictures)" in mistake("--resume", "out")


def test_pixels_read_from_the_disk_train_as_those_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    draw_folder(Path("shapes"), 20)
    args = ["--folder", "shapes", "--epochs", "2", "--no-plots", "--augment", "mirror"]
    run(*args, out="memory")
    monkeypatch.setattr("scratchnet.data.pixels.KEPT", 5 * 3 * 24 * 24)
    run(*args, out="disk")
    a, b = (sn.load(f"{folder}/model.safetensors").state_dict() for folder in ("memory", "disk"))
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_turned_pictures_are_as_many_more() -> None:
    draw_folder(Path("shapes"), 10)
    o = images.replace(PRESETS["default"], folder=Path("shapes"), augment="rotate")
    parts = images.Parts(o)
    x, labels = parts.training(o)
    n = len(parts.train)
    assert x.shape == (3 * n, 3, 24, 24) and np.array_equal(labels, np.tile(parts.labels[parts.train], 3))
    plain = parts.inputs(parts.train)[0]
    assert np.array_equal(x[:n], plain[:])
    round_left = turned(parts.pixels.read(parts.train), -10.0)
    assert np.abs(x[2 * n :] * x.std + x.mean - round_left / 255).max() < 1e-5


@pytest.mark.parametrize(
    ("shape", "options", "convolutions"),
    [
        ((1, 8, 8), {}, 0),
        ((3, 16, 16), {}, 0),
        ((3, 17, 17), {}, 3),
        ((1, 28, 28), {}, 3),
        ((3, 64, 64), {}, 4),
        ((3, 128, 128), {}, 5),
        ((3, 64, 64), {"network": "dense"}, 0),
        ((1, 4, 4), {"network": "conv"}, 1),
        ((1, 1, 1), {}, 0),
    ],
)
def test_the_network_follows_from_the_size(shape: tuple, options: dict, convolutions: int) -> None:
    o = images.replace(PRESETS["default"], **options)
    net = sn.Sequential(*layers_of(shape, 5, o))
    assert sum(isinstance(layer, Conv2d) for layer in net.layers) == convolutions
    assert net.shapes_from(shape)[-1] == (5,)
    moved = net.layers[0]
    assert isinstance(moved, CropFlip) and moved.flip == 0


def test_the_number_of_epochs_follows_from_the_pictures() -> None:
    draw_folder(Path("shapes"), 10)
    parts = images.Parts(images.replace(PRESETS["default"], folder=Path("shapes")))
    for n, epochs in ((100, 60), (5_000, 30), (100_000, 5)):
        parts.train = np.arange(n)
        assert images.with_epochs(PRESETS["default"], parts).epochs == epochs
    assert images.with_epochs(images.replace(PRESETS["default"], epochs=2), parts).epochs == 2


@pytest.mark.slow
def test_a_search_is_judged_by_validation_pictures(capsys: pytest.CaptureFixture) -> None:
    draw_folder(Path("shapes"), 10, size=12)
    args = ["images", "--folder", "shapes", "--epochs", "1", "--threads", "1", "--out", "out"]
    assert train.main([*args, "--search", "hidden=8,16"]) == 0
    assert len(Path("out/search.csv").read_text().splitlines()) == 3
    assert "judged by validation pictures" in capsys.readouterr().out


def test_what_is_left_out_is_said(capsys: pytest.CaptureFixture) -> None:
    draw_folder(Path("shapes"), 10, colour=False)
    Path("shapes/disc/notes.txt").write_text("drawn by me")
    Path("shapes/disc/.DS_Store").write_bytes(b"x")
    Path("shapes/readme.txt").write_text("beside the classes")
    Path("shapes/disc/damaged.png").write_bytes(b"\x89PNG")
    args = ["--folder", "shapes", "--epochs", "1", "--no-plots"]
    assert "damaged.png" in (said := mistake(*args)) and "--damaged skip" in said
    run(*args, "--damaged", "skip")
    said = capsys.readouterr().out
    assert "left out, since they are no pictures: notes.txt\n" in said
    assert "left out, since they cannot be read: shapes/disc/damaged.png" in said
    assert "20 pictures in 2 classes (cross 10, disc 10); grey, brought to 24 x 24 pixels" in said


@pytest.mark.slow
def test_classes_in_any_script(capsys: pytest.CaptureFixture, recwarn: pytest.WarningsRecorder) -> None:
    """Matplotlib's font lacks most scripts, and warns of every letter that it lacks."""
    rng = np.random.default_rng(0)
    for name in ("日本", "café", "🐈 $x"):
        Path("scripts", name).mkdir(parents=True)
        for k in range(5):
            Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(f"scripts/{name}/{k}.png")
    metrics = run("--folder", "scripts", "--epochs", "1")
    assert list(metrics["per_class_accuracy"]) == ["café", "日本", "🐈 $x"]
    assert not [str(w.message) for w in recwarn if "Glyph" in str(w.message)]
    assert predict.main(["out/model.safetensors", "scripts/日本/0.png"]) == 0
    assert "scripts/日本/0.png: " in capsys.readouterr().out


@pytest.mark.slow
def test_many_classes(capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(0)
    for k in range(70):
        Path(f"many/kind {k}").mkdir(parents=True)
        for i in range(3):
            Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(f"many/kind {k}/{i}.png")
    run("--folder", "many", "--epochs", "1")
    assert "recognised per class: best kind" in capsys.readouterr().out
    assert not Path("out/confusion.png").exists() and Path("out/mistakes.png").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "images needs --folder DIR"),
        (["--folder", "nowhere"], "nowhere: no such folder"),
        (["--folder", "shapes/disc"], "every class needs a sub-folder"),
        (["--folder", "shapes", "--size", "-1"], "--size must be a number of pixels from 1 to 1,024, or 0, not -1"),
        (["--folder", "shapes", "--dropout", "1"], "--dropout must be"),
        (["--folder", "shapes", "--data-dir", "."], "--data-dir has no effect on images"),
        (["--folder", "few"], "the class b has 2 pictures to train on, and 3 at least are needed"),
        (["--folder", "empty"], "the class b has 0 pictures"),
    ],
)
def test_mistakes_are_one_line(args: list[str], words: str) -> None:
    draw_folder(Path("shapes"), 3)
    for folder, n in (("few", 2), ("empty", 0)):
        for kind in "ab":
            Path(folder, kind).mkdir(parents=True)
            for k in range(5 if kind == "a" else n):
                Image.new("L", (9, 9), 20 * k).save(f"{folder}/{kind}/{k}.png")
        Path(folder, "b", "notes.txt").write_text("x")
    assert words in mistake(*args, "--epochs", "1")


@pytest.mark.parametrize(
    "about",
    [
        {"shape": [3, 24, 24], "mean": [0.5, 0.5], "std": [1, 1, 1]},
        {"shape": [3, 24, 24], "mean": ["a", 0, 0], "std": [1, 1, 1]},
        {"shape": [3, 24, 24], "mean": [0, 0, 0], "std": [1, 0, 1]},
        {"shape": [3, 99, 99], "mean": [0, 0, 0], "std": [1, 1, 1]},
    ],
)
def test_a_model_that_says_what_cannot_be(about: dict[str, Any]) -> None:
    net = sn.Sequential(sn.Flatten(), sn.Linear(3 * 24 * 24, 2))
    net.info |= {"classes": ["a", "b"], "input": about}
    net.save("odd.safetensors")
    Image.new("L", (9, 9)).save("x.png")
    with pytest.raises(sn.CheckpointError) as error:
        predict.main(["odd.safetensors", "x.png"])
    assert "\n" not in str(error.value)


def test_an_empty_folder_is_no_question() -> None:
    run("--folder", str(draw_folder(Path("shapes"), 3)), "--epochs", "1", "--no-plots")
    Path("empty").mkdir()
    with pytest.raises(sn.DataError, match="empty: there are no pictures in this folder"):
        predict.main(["out/model.safetensors", "empty"])
