"""A network as a diagram: what is drawn of it, and in which files."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import scratchnet as sn
from scratchnet.plots import network
from scratchnet.studies import cifar10, mnist
from tests.plots.figures import laid_out, outside, texts
from tests.profiles import quick_every

NETS = {
    "small": (lambda: sn.Sequential(sn.Linear(2, 3), sn.Sigmoid(), sn.Linear(3, 2)), None),
    "wide": (lambda: mnist.network(mnist.PRESETS["default"]), None),
    "images": (lambda: mnist.network(mnist.PRESETS["cnn"]), (1, 28, 28)),
    "images, without their size": (lambda: mnist.network(mnist.PRESETS["cnn"]), None),
    "normalised": (lambda: cifar10.network(cifar10.PRESETS["default"]), (3, 32, 32)),
    "sequences": (lambda: sn.Sequential(sn.GRU(2, 5, output="sequence"), sn.LSTM(5, 9), sn.Linear(9, 1)), None),
    "deep": (lambda: sn.Sequential(*(la for _ in range(17) for la in (sn.Linear(4, 4), sn.Tanh()))), None),
}


@pytest.mark.parametrize("name", quick_every(3, NETS))
def test_names_shapes_and_parameters_stand_in_it(name) -> None:
    make, shape = NETS[name]
    net = make()
    fig = laid_out(net.draw(input_shape=shape))
    assert outside(fig) == []
    written = "\n".join(text for text, _ in texts(fig))
    assert f"{net.size:,} parameters in {len(net.layers)} layers" in written
    flat = written.replace("\n", " ")
    for layer in net.layers:
        assert str(layer) in flat
    known = shape or network.shape_of_input(net, None)
    if known is None:
        assert "give it as input_shape" in flat and "?" in written
    else:
        for after in net.shapes_from(known):
            sizes = ["T", *after[1:]] if len(after) == 2 else after
            assert f"(N, {', '.join(map(str, sizes))})" in written
    counts = [int(line.split()[0].replace(",", "")) for line in written.splitlines() if line.endswith(" parameters")]
    assert sum(counts) == net.size


@pytest.mark.parametrize("n", [1, 7, 8, 4096])
def test_of_many_units_the_middle_ones_are_left_out(n: int) -> None:
    units = network._column(n)
    assert [k for k, _ in units] == (list(range(n)) if n <= 7 else [0, 1, 2, n - 3, n - 2, n - 1])
    heights = [y for _, y in units]
    assert heights == sorted(heights, reverse=True) and sum(heights) == pytest.approx(0)


def test_both_kinds_of_files(tmp_path: Path) -> None:
    net = NETS["small"][0]()
    net.draw(tmp_path / "a.png")
    net.draw(str(tmp_path / "a.svg"))
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG" and np.asarray(image.convert("L")).min() < 100
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.pdf", "a.png.txt"])
def test_other_endings_are_refused_with_the_list(name: str, tmp_path: Path) -> None:
    with pytest.raises(sn.SettingError, match=r"a network is drawn as \.png or \.svg"):
        NETS["small"][0]().draw(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_shape_that_does_not_fit_is_said(tmp_path: Path) -> None:
    with pytest.raises(sn.ShapeError, match="layer 0"):
        NETS["images"][0]().draw(tmp_path / "a.png", (3, 28, 28))
    with pytest.raises(sn.SettingError, match="input_shape must be the shape of one example"):
        NETS["images"][0]().draw(tmp_path / "a.png", 28)


def test_what_a_study_has_noted_is_used() -> None:
    net = NETS["images"][0]()
    net.info["input"] = {"shape": [1, 28, 28]}
    assert network.shape_of_input(net, None) == (1, 28, 28)
