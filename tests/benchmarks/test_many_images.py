"""The benchmark of very many pictures: what it draws, and what it prints."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import many_images


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_images, "PIECE", 100)


def test_as_many_as_were_asked_for_and_no_two_alike(tmp_path: Path) -> None:
    many_images.draw(tmp_path, 130)
    files = sorted(tmp_path.rglob("*.png"))
    assert sorted(int(path.stem) for path in files) == list(range(130))
    pixels = np.stack([np.asarray(Image.open(path)) for path in files])
    assert pixels.shape == (130, 28, 28, 3) and len(np.unique(pixels, axis=0)) == 130


@pytest.mark.slow
def test_it_says_what_a_training_takes(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    folder = str(tmp_path / "drawn")
    assert many_images.main(["--images", "100", "--epochs", "1", "--size", "8", "--folder", folder]) == 0
    said = capfd.readouterr().out
    assert said.startswith("100 pictures, brought to 8 x 8, 1 epochs: ") and "MB at most, test accuracy" in said
    assert many_images.main(["--folder", str(tmp_path / "drawn" / "1")]) == 2, "a folder without classes"
