"""The filters command: kernels, steps, the picture, mistakes."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.signal import correlate2d

from scratchnet.errors import DataError, SettingError, ShapeError
from scratchnet.filters import (
    KERNELS,
    LARGEST,
    PIXELS,
    built_in,
    kernel_of,
    main,
    pools_of,
    read_grey,
    steps_of,
    worked,
)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Dark on the left, bright on the right, in colour."""
    pixels = np.zeros((20, 30, 3), np.uint8)
    pixels[:, 15:] = (200, 220, 240)
    Image.fromarray(pixels).save(tmp_path / "edge.png")
    return tmp_path / "edge.png"


@pytest.mark.parametrize("name", list(KERNELS))
def test_steps_are_what_other_libraries_compute(name: str, picture: Path) -> None:
    image, K = read_grey(picture), kernel_of(name)
    (_, shown), (_, z), (_, a), (_, pooled) = steps_of(image, K, 2)
    np.testing.assert_array_equal(shown, image)
    np.testing.assert_allclose(z, correlate2d(image, K, "valid"), atol=1e-5)
    np.testing.assert_array_equal(a, np.maximum(z, 0))
    np.testing.assert_array_equal(pooled, a.reshape(9, 2, 14, 2).max(axis=(1, 3)))


def test_kirsch_finds_the_edge_and_only_there(picture: Path) -> None:
    _, z, a, _ = (values for _, values in steps_of(read_grey(picture), kernel_of("kirsch"), 2))
    assert np.flatnonzero(a.max(axis=0)).tolist() == [13, 14] and abs(z[:, :12]).max() < 1e-6


def test_turning_by_eighths() -> None:
    assert kernel_of("kirsch", 2).tolist() == [[-3, -3, -3], [-3, 0, -3], [5, 5, 5]]  # right, a quarter on: below
    assert kernel_of("kirsch", 1).tolist() == [[-3, -3, -3], [-3, 0, 5], [-3, 5, 5]]
    assert np.array_equal(kernel_of("sobel", 8), kernel_of("sobel"))
    assert np.array_equal(kernel_of("sobel", 4), -kernel_of("sobel"))
    assert {name: round(sum(map(sum, K)), 9) for name, K in KERNELS.items()} == {
        "identity": 1, "box": 1, "gauss": 1, "sharpen": 1, "emboss": 1,
        "laplace": 0, "prewitt": 0, "sobel": 0, "kirsch": 0,
    }  # fmt: skip


def test_the_command_draws_the_steps(picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main([str(picture), "--kernel", "sobel", "--pool", "3", "--out", str(tmp_path / "steps.png")]) == 0
    with Image.open(tmp_path / "steps.png") as image:
        assert image.format == "PNG" and image.width > image.height
    said = capsys.readouterr().out
    assert "(N, 1, 18, 28)" in said and "(N, 1, 6, 9)" in said and "steps.png" in said


def test_a_large_picture_is_scaled_down(tmp_path: Path) -> None:
    Image.new("RGB", (4000, 1000)).save(tmp_path / "large.png")
    assert read_grey(tmp_path / "large.png").shape == (LARGEST // 4, LARGEST)


@pytest.mark.parametrize(("args", "error", "message"), [
    (["nothing.png"], DataError, "nothing.png: there is no such file"),
    (["PICTURE", "--kernel", "sobl"], SettingError, "there is no kernel 'sobl': did you mean sobel"),
    (["PICTURE", "--pool", "0"], SettingError, "--pool must be a number from 1, not 0"),
    (["PICTURE", "--pool", "50"], ShapeError, r"MaxPool2d\(50\) is given \(N, 1, 18, 28\)"),
])  # fmt: skip
def test_mistakes_are_one_clear_line(args: list[str], error: type, message: str, picture: Path) -> None:
    with pytest.raises(error, match=message):
        main([str(picture) if arg == "PICTURE" else arg for arg in args])


def test_damaged_pictures_are_one_clear_line(picture: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match=r"text.png: not a picture that can be read"):
        main([str(tmp_path / "text.png")])
    whole = picture.read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut.png: the picture cannot be read"):
        main([str(tmp_path / "cut.png")])


def test_four_pools_are_numpys() -> None:
    a = np.random.default_rng(0).random((8, 10)).astype(np.float32)
    windows = a.reshape(4, 2, 5, 2).swapaxes(1, 2).reshape(4, 5, 4)
    lower_median = np.sort(windows)[..., 1]  # of four numbers, as PyTorch takes it
    found = dict(pools_of(a, 2))
    for name, wanted in (("maximum", windows.max(-1)), ("average", windows.mean(-1)), ("median", lower_median),
                         ("minimum", windows.min(-1))):  # fmt: skip
        np.testing.assert_allclose(found.pop(name), wanted, rtol=1e-6)
    assert not found


def test_without_a_picture_there_is_one(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([]) == 0
    assert (tmp_path / "house-kirsch.png").is_file()
    said = capsys.readouterr().out
    for pool in ("MaxPool2d(2)", "AvgPool2d(2)", "MedianPool2d(2)", "MinPool2d(2)"):
        assert pool in said
    picture = built_in()
    assert picture.min() >= 0 and picture.max() <= 1 and len(np.unique(picture)) > 50


def test_the_example_in_numbers(capsys: pytest.CaptureFixture) -> None:
    """5 x 103 - 105 - 101 - 99 = 210, and the others as SciPy computes them."""
    assert main(["--numbers"]) == 0
    said = capsys.readouterr().out
    assert "Their sum: - 105 + 515 - 99 - 101 = 210" in said
    for row in correlate2d(PIXELS, kernel_of("sharpen"), "same"):
        assert "".join(f"{v:>7.6g}" for v in row) in said
    assert max(map(len, worked().splitlines())) <= 80 and "-0 " not in said


@pytest.mark.parametrize("other", [["--pool", "3"], ["--kernel", "box"], ["--out", "a.png"], ["a.png"]])
def test_the_example_takes_no_other_option(other: list[str]) -> None:
    with pytest.raises(SettingError, match="give no other option beside it"):
        main(["--numbers", *other])
