"""Command lines that nobody would write on purpose.

Each gives one clear line, a known exit code, and no traceback. The lines are drawn from
a seed: a command or study, small settings, then one to three options or arguments with
odd values. In one process, a few take seconds; `pytest -m nightly` runs all 500.
"""

import dataclasses
import os
import random
import resource
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from PIL import Image

import scratchnet as sn
from scratchnet import backquery, cli, explain, export, filters, predict, shapes, train
from scratchnet.data.digits import load_digits
from scratchnet.studies.catalogue import STUDIES, study_module
from tests.places import ROOT

CODES = {0, 2, 3, 130, 141}
COMMANDS = {"predict": predict, "explain": explain, "export": export, "backquery": backquery, "shapes": shapes,
            "filters": filters}  # fmt: skip

SMALL = {  # the least that each study can do
    "digits": ["--hidden", "8"],
    "mnist": ["--hidden", "8", "--data-dir", "nowhere"],
    "fashion-mnist": ["--data-dir", "nowhere"],
    "cifar10": ["--data-dir", "nowhere"],
    "cifar100": ["--data-dir", "nowhere"],
    "wheat": ["--data-dir", "nowhere", "--folds", "2"],
    "iris": ["--hidden", "4", "--folds", "2"],
    "table": ["--hidden", "4", "--folds", "2", "--csv", "tweets.csv", "--target", "author"],
    "images": ["--hidden", "4", "--folder", "pictures"],
    "tweets": ["--hidden", "4", "--folds", "2", "--csv", "tweets.csv"],
    "text": ["--hidden", "4", "--folds", "2", "--csv", "tweets.csv"],
    "flights": ["--hidden", "4"],
    "adding": ["--hidden", "4", "--examples", "20", "--length", "4", "--layers", "RNN"],
    "copy": ["--hidden", "4", "--examples", "20", "--length", "4", "--layers", "RNN"],
    "sentiment": ["--hidden", "4", "--data-dir", "nowhere"],
    "chars": ["--hidden", "4", "--text", "text.txt", "--length", "5", "--sample", "3", "--batch-size", "2"],
    "waveforms": ["--hidden", "4", "--echoes", "20", "--passes", "2", "--judged", "2"],
}
NOT_DRAWN = {"scheduler", "plots"}  # one waits for a network, the other takes time
ENDLESS = {"epochs", "sample", "num_layers", "images"}  # with a large number they just go on
ODD = ["", " ", "0", "-1", "²", "1.5", "nan", "inf", "-inf", "1e400", "1e-400", "1" + 30 * "0", "9" * 5000, "None",
       "x", "--", "-", "/", ".", "nowhere", "/dev/null", "text.txt", "damaged.safetensors", "m.safetensors",
       "a\nb", "\x1b[2J", "ü", "世", "\udc80", "%s", "{}", "$(ls)", "1,2", "1,,2", "1x2", "cosine",
       "exponential:nan", "decay:-1", "-1 for 3", "0.5 for 5, then", "0.1 for ²", "lr=", "hidden=²"]  # fmt: skip
LARGE = ["999999999", "99999999"]
USUAL = ["1", "2", "3", "5", "0.5", "0.01", "adam", "float64", "8,4", "RNN,LSTM"]  # so that some come further


def draw_line(rng):
    """One command line: (module, arguments)."""
    if rng.random() < 0.25:
        module = COMMANDS[rng.choice(list(COMMANDS))]
        pool = [
            *ODD,
            "picture.png",
            "m.safetensors",
            "out.onnx",
            "conv",
            "--help",
            "--size",
            "--out",
            "--text",
            "--json",
        ]
        return module, [rng.choice(pool) for _ in range(rng.randint(0, 4))]
    if rng.random() < 0.05:
        return train, [rng.choice(ODD) for _ in range(rng.randint(0, 3))]
    study = rng.choice(list(STUDIES))
    line = [study, "--epochs", "1", "--no-plots", "--threads", "1", "--out", "run", *SMALL[study]]
    fields = [f for f in dataclasses.fields(study_module(study).Options) if f.name not in NOT_DRAWN]
    for _ in range(rng.randint(1, 3)):
        f = rng.choice(fields)
        option = f"--{f.name.replace('_', '-')}"
        values = ODD + USUAL * 6 + LARGE * (0 if f.name in ENDLESS else 5)
        line += [option] if f.type == "bool" or f.type is bool else [option, rng.choice(values)]
    if rng.random() < 0.1:
        line.insert(rng.randrange(len(line) + 1), rng.choice(ODD))
    return train, line


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a model, a picture and texts, whole and damaged.

    The data are small, and there is no more memory than 2 GB.
    """
    monkeypatch.chdir(tmp_path)
    few = load_digits(0, 200, 20)
    monkeypatch.setattr("scratchnet.data.digits.load_digits", lambda seed=0: few)
    net = sn.Sequential(sn.Linear(784, 10), seed=0)
    net.info |= {"classes": list("0123456789"), "input": {"shape": [784], "scale": 1 / 255, "shift": 0.0}}
    net.save("m.safetensors")
    Path("damaged.safetensors").write_bytes(Path("m.safetensors").read_bytes()[:500])
    Path("text.txt").write_text("to be or not to be, that is the question\n" * 10)
    rows = [f"{'ab'[k % 2]},a ship of {'wood' if k % 2 else 'iron'} number {k}" for k in range(12)]
    Path("tweets.csv").write_text("\n".join(["author,text", *rows]))
    Image.fromarray(few.test_images[0]).save("picture.png")
    for k in range(8):
        Path(f"pictures/{k % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(few.test_images[k]).save(f"pictures/{k % 2}/{k}.png")
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), before[1]))
    yield tmp_path
    resource.setrlimit(resource.RLIMIT_AS, before)


def failures(lines, capsys, monkeypatch):
    """What is wrong with how these lines end, in words."""
    found = []
    for module, line in lines:
        monkeypatch.setattr(sys, "argv", ["command", *line])
        code, trace = None, ""
        try:
            cli.guard(module.main)
        except SystemExit as e:
            code = e.code
        except BaseException:
            trace = traceback.format_exc(limit=-3)
        err = capsys.readouterr().err
        if code not in CODES or (code and (err.count("\n") != 1 or len(err) > 9000)):
            found.append(f"{module.__name__} {line}: {code}, {err[-300:]!r}\n{trace}")
    return found


def drawn(seed, n):
    rng = random.Random(seed)
    return [draw_line(rng) for _ in range(n)]


pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits its memory as Linux does")


def test_hostile_command_lines(here, capsys, monkeypatch, thorough):
    wrong = failures(drawn(0, 60 if thorough else 20), capsys, monkeypatch)
    assert not wrong, "\n".join(wrong)


@pytest.mark.nightly
def test_five_hundred_hostile_command_lines(here, capsys, monkeypatch):
    wrong = failures(drawn(1, 500), capsys, monkeypatch)
    assert not wrong, f"{len(wrong)} of 500:\n" + "\n".join(wrong)


def in_processes(n, seed):
    """The same as processes of their own, one after the other."""
    names = {module: module.__name__ for module in (*COMMANDS.values(), train)}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    usable = [line for line in drawn(seed, 3 * n) if not any("\x00" in word for word in line[1])]
    for module, line in usable[:n]:
        words = [os.fsencode(word) for word in line]
        done = subprocess.run([sys.executable, "-m", names[module], *words], env=environment, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=120)  # fmt: skip
        assert done.returncode in CODES and b"Traceback" not in done.stderr, (line, done.returncode, done.stderr)


@pytest.mark.slow
def test_hostile_command_lines_as_processes(here):
    in_processes(4, 2)


@pytest.mark.nightly
def test_three_dozen_hostile_command_lines_as_processes(here):
    in_processes(36, 3)
