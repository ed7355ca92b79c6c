"""`python -m scratchnet.explain`: its four forms, JSON, SVG, and one line for what
cannot be.
"""

import json
import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import scratchnet as sn
from scratchnet import explain
from scratchnet.data.digits import load_digits
from scratchnet.predict import as_inputs, probabilities
from scratchnet.studies.mnist_networks import RECIPES
from tests.places import ROOT
from tests.profiles import quick_every, quick_first

ABOUT = {"classes": list("0123456789"), "input": {"shape": [784], "scale": 1 / 255, "shift": 0.0}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Models of images, one with a convolution, one of sequences, and a picture."""
    path = tmp_path_factory.mktemp("models")
    net = sn.Sequential(sn.Linear(784, 12), sn.Sigmoid(), sn.Linear(12, 10), seed=0)
    net.info |= ABOUT
    net.save(path / "m.safetensors")
    net = sn.Sequential(sn.Conv2d(1, 2, 5), sn.ReLU(), sn.MaxPool2d(4), sn.Flatten(), sn.Linear(72, 10), seed=0)
    net.info |= ABOUT | {"input": {"shape": [1, 28, 28], "scale": 2 / 255, "shift": -1.0}}
    net.save(path / "conv.safetensors")
    sn.Sequential(sn.GRU(1, 4), sn.Linear(4, 1)).save(path / "gru.safetensors")
    Image.fromarray(load_digits(0, 10, 10).test_images[3]).save(path / "three.png")
    return path


def run(capsys, *args: object) -> str:
    assert explain.main(list(map(str, args))) == 0
    return capsys.readouterr().out


def process(*args: object, cwd=ROOT):
    done = subprocess.run([sys.executable, "-m", "scratchnet.explain", *map(str, args)], cwd=cwd, capture_output=True,
                          timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    quick_every(2, [([], "Backpropagation with a pencil"), (["conv"], "One cell of a feature map: y[1,0,0] of layer 0"),
     (["lstm"], "One gate at one time: f[0] at t = 2 of layer 0"), (["m.safetensors"], "Test image "),
     (["conv", "conv.safetensors"], "One cell of a feature map"), (["conv.safetensors"], "Followed: 4.weight["),
     (["lstm", "gru.safetensors"], "One gate at one time: r["),
     (["m.safetensors", "--index", "7", "--weight", "2", "9", "11"], "Followed: 2.weight[9,11] = "),
     (["m.safetensors", "--image", "three.png", "--label", "4"], "The image three.png. Target: 4; the network says "),
     (["m.safetensors", "--image", "three.png"], "three.png, which nobody has labelled. Target: "),
     (["conv", "--cell", "0", "3", "3"], "y[0,3,3] of layer 0"),
     (["lstm", "--gate", "o", "--time", "1", "--unit", "1"], "o[1] at t = 1 of layer 0")]),
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)  # fmt: skip
def test_all_forms(capsys, folder, monkeypatch, args, words) -> None:
    monkeypatch.chdir(folder)
    text = run(capsys, *args)
    assert text.isascii() and words in text and max(map(len, text.splitlines())) <= 80
    for name in ("FWD ", "BP1 ", "BP2 ", "BP3 ", "BP4 "):
        assert name in text
    assert re.search(r"BP4 .* engine/equations\.py:\d+\n", text)
    told = json.loads(run(capsys, *args, "--json"))
    assert {"weight", "by_hand", "central_difference", "pytorch", "loss", "loss_after"} <= set(told)
    assert abs(told["by_hand"] - told["central_difference"]) < 1e-8
    assert told["pytorch"] is None or abs(told["by_hand"] - told["pytorch"]) < 1e-12
    assert f"{told['by_hand']:+.15f}" in text and f"{told['loss_after']:.8f}" in text


def test_json_names_the_weight_and_every_formula(capsys, folder) -> None:
    told = json.loads(run(capsys, folder / "m.safetensors", "--index", 7, "--weight", 0, 3, 400, "--json"))
    assert told["weight"] == [0, 3, 400] and told["parameter"] == "weight"
    net = sn.load(folder / "m.safetensors")
    data = load_digits(0, train=1)
    x, t = as_inputs(net, data.test_images[7:8]), data.test_labels[7:8]
    value, gradients = net.gradients(x, t, sn.CrossEntropyLoss())
    assert abs(told["by_hand"] - gradients["0.weight"][3, 400]) < 1e-6 and abs(told["loss"] - value) < 1e-5
    net.params["0.weight"].value[3, 400] -= told["learning_rate"] * told["by_hand"]
    assert abs(net.gradients(x, t, sn.CrossEntropyLoss())[0] - told["loss_after"]) < 1e-5
    assert {f["name"] for f in told["formulas"]} >= {"FWD", "BP1", "BP2", "BP3", "BP4"}
    assert all(re.fullmatch(r"engine/\S+\.py:\d+", f["source"]) for f in told["formulas"])


def test_the_first_image_that_is_read_wrongly(capsys, folder) -> None:
    net, data = sn.load(folder / "m.safetensors"), load_digits(0, train=1)
    said = probabilities(net, as_inputs(net, data.test_images[:100])).argmax(1)
    first = int(np.flatnonzero(said != data.test_labels[:100])[0])
    assert f"Test image {first} of digits. Target: {data.test_labels[first]}; the network says {said[first]} (" in run(
        capsys, folder / "m.safetensors"
    )


@pytest.mark.parametrize("preset", RECIPES)
def test_the_loss_is_that_of_the_training(preset: str) -> None:
    recipe = RECIPES[preset]
    net = sn.Sequential(sn.Linear(784, 10))
    net.info["training"] = {"study": "mnist", "preset": preset, "dataset": "digits", "seed": 3}
    assert explain.loss_of(net) == (recipe.loss(), recipe.targets)
    assert explain.loss_of(sn.Sequential(sn.Linear(784, 10), sn.LogSoftmax())) == (sn.NLLLoss(), None)


def test_test_images_of_the_models_own_data(data_dir) -> None:
    net = sn.Sequential(sn.Linear(784, 10))
    net.info["training"] = {"dataset": "mnist"}
    name, images, labels = explain.test_images(net)
    assert name == "mnist" and images.shape == (10_000, 28, 28) and labels[:4].tolist() == [7, 2, 1, 0]


@pytest.mark.slow
def test_where_the_data_are_not_at_hand_it_takes_its_own_digits(monkeypatch) -> None:
    from scratchnet.data import fetch, mnist

    def nowhere(*_):
        raise fetch.NotAvailable("not here")

    monkeypatch.setattr(mnist, "find", nowhere)
    net = sn.Sequential(sn.Linear(784, 10))
    wanted = {0: load_digits(0).test_images, 5: load_digits(5, train=1).test_images}
    for training in ({"dataset": "mnist", "seed": 5}, {"dataset": "digits", "seed": 5}, {"dataset": 3}, "x", None):
        net.info["training"] = training
        name, images, _ = explain.test_images(net)
        seed = 5 if isinstance(training, dict) and training["dataset"] == "digits" else 0
        assert name == "digits" and np.array_equal(images, wanted[seed])


WRONG = [
    (["nowhere"], "nowhere: there is no such file"),
    (["m.safetensors", "gru.safetensors"], "one model at a time: m.safetensors gru.safetensors are 2"),
    (["three.png"], "three.png: "),
    (["gru.safetensors"], "this model does not take grey images of 28 x 28 pixels"),
    (["conv", "m.safetensors"], "explain conv: this network has no convolution"),
    (["lstm", "m.safetensors"], "explain lstm: this network has no recurrent layer"),
    (["m.safetensors", "--weight", "1", "0", "0"], "--weight 1 0 0: layer 1 is no Linear layer; these are: 0, 2"),
    (["m.safetensors", "--weight", "0", "12", "0"], "the weights of layer 0 have rows 0 to 11 and columns 0 to 783"),
    (["m.safetensors", "--weight", "0", "0"], "--weight takes three whole numbers, LAYER ROW COLUMN; see"),
    (["m.safetensors", "--weight", "0", "a", "0"], "--weight takes three whole numbers, LAYER ROW COLUMN; see"),
    (["m.safetensors", "--index", "-1"], "--index must be a whole number from 0 to 1999, not -1"),
    (["m.safetensors", "--label", "10"], "--label '10' is no class: there are 0, 1, 2"),
    (["m.safetensors", "--image", "no.png"], "no.png: there is no such file"),
    (["m.safetensors", "--image", "three.png", "--index", "1"], "--image and --index name two images"),
    (["m.safetensors", "--cell", "0", "0", "0"], "--cell goes with conv: "),
    (["--weight", "0", "0", "0"], "--weight goes with a MODEL: "),
    (["conv", "--index", "0"], "--index goes with a MODEL of images: "),
    (["conv", "--cell", "2", "0", "0"], "--cell 2 0 0: the feature map has 2 channels, 4 rows and 4 columns"),
    (["conv", "--gate", "f"], "--gate goes with lstm: "),
    (["lstm", "--gate", "z"], "--gate 'z': LSTM has i, f, g, o"),
    (["lstm", "--time", "4"], "--time must be a whole number from 0 to 3, not 4"),
    (["lstm", "--unit", "-1"], "--unit must be a whole number from 0 to 1, not -1"),
    (["--svg", "a.png"], "--svg writes SVG files: the name must end in .svg, not a.png"),
]


@pytest.mark.parametrize(("args", "words"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_what_cannot_be_is_one_line(folder, monkeypatch, args, words) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(sn.ScratchnetError, match=re.escape(words)) as caught:
        explain.main(args)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


@pytest.mark.slow
def test_as_a_process(folder, tmp_path, monkeypatch, as_command) -> None:
    monkeypatch.chdir(folder)
    done = as_command(explain.main, "m.safetensors", "--label", "12")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: --label") and done.stderr.count("\n") == 1
    code, out, err = process("--svg", tmp_path / "p.svg")
    assert (code, err) == (0, b"") and out.isascii() and b"BP4" in out
    assert b"BP4" in (tmp_path / "p.svg").read_bytes()
    done = as_command(explain.main, "--svg", tmp_path / "nowhere" / "p.svg")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "nowhere" in done.stderr


@pytest.mark.parametrize("columns", quick_first([80, 120], 1))
@pytest.mark.slow
def test_on_a_terminal_it_has_colours_and_greek_letters(columns: int) -> None:
    leader, follower = pty.openpty()
    terminal = {
        "COLUMNS": str(columns),
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "PYTHONIOENCODING": "utf-8",
    }
    env = {**os.environ, "PYTHONPATH": str(ROOT)} | terminal
    command = [sys.executable, "-m", "scratchnet.explain"]
    with subprocess.Popen(command, stdout=follower, stderr=follower, env=env) as child:
        os.close(follower)
        text = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            text += piece
        assert child.wait(60) == 0
    os.close(leader)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text.decode()).splitlines()
    assert b"\x1b[" in text and any("δ1[0] = " in line for line in plain)
    assert max(map(len, plain)) == (80 if columns == 80 else 100)
