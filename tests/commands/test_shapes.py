"""The shapes command: worked cases of the literature, uncovered cells, drawings,
errors.
"""

import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what the layers are compared with")

from scratchnet import Conv2d, ConvTranspose2d, Sequential  # noqa: E402
from scratchnet.errors import ScratchnetError  # noqa: E402
from scratchnet.explaining.sliding import spread_out  # noqa: E402
from scratchnet.shapes import Options, case_of, main  # noqa: E402
from tests.profiles import quick_first  # noqa: E402

CONV, TRANSPOSED = "conv", "conv-transpose"


@pytest.mark.parametrize(("which", "options", "expected"), [
    (CONV, {"size": "6", "kernel": "2"}, 5),
    (CONV, {"size": "6", "kernel": "2", "stride": "2"}, 3),
    (CONV, {"size": "6", "kernel": "2", "stride": "2", "padding": "1"}, 4),
    (CONV, {"size": "5", "kernel": "2", "stride": "2"}, 2),
    (TRANSPOSED, {"size": "3", "kernel": "2", "stride": "2"}, 6),
    (TRANSPOSED, {"size": "5", "kernel": "2"}, 6),
    (TRANSPOSED, {"size": "3", "kernel": "2", "stride": "2", "padding": "1"}, 4),
])  # fmt: skip
def test_the_seven_worked_cases(which: str, options: dict, expected: int, capsys: pytest.CaptureFixture) -> None:
    assert case_of(which, Options(**options)).out == (expected, expected)
    args = [part for name, value in options.items() for part in (f"--{name}", value)]
    assert main([which, *args]) == 0
    said = capsys.readouterr().out
    assert f"= {expected}\n" in said and f"→ {expected} x {expected}\n" in said
    layer = Conv2d if which == CONV else ConvTranspose2d
    numbers = {name: int(value) for name, value in options.items()}
    size, kernel = numbers.pop("size"), numbers.pop("kernel")
    x = np.zeros((1, 1, size, size), np.float32)
    assert Sequential(layer(1, 1, kernel, **numbers))(x).shape == (1, 1, expected, expected)


@pytest.mark.parametrize(("options", "words"), [
    ("--size 5 --kernel 2 --stride 2", "the last column of the input is not covered"),
    ("--size 5 --kernel 2 --stride 2", "the last row of the input is not covered"),
    ("--size 6x10 --kernel 2 --stride 2x4", "columns 2, 3, 6, 7, counted from 0, are not covered: no"),
    ("--size 9 --kernel 4 --stride 6", "the last 5 rows of the input are not covered: no place of the window meets th"),
    ("--size 6 --kernel 2", None),
])  # fmt: skip
def test_it_says_what_is_not_covered(options: str, words: str | None, capsys: pytest.CaptureFixture) -> None:
    main([CONV, *options.split()])
    said = capsys.readouterr().out
    assert words in said if words else "not covered" not in said


@pytest.mark.slow
@pytest.mark.parametrize("options", [
    {"size": "3", "kernel": "2", "stride": "2"}, {"size": "3x4", "kernel": "3x2", "stride": "2x3", "padding": "1x0"},
    {"size": "4", "kernel": "3", "stride": "3", "padding": "1", "output_padding": "2x1"},
    {"size": "3", "kernel": "2", "dilation": "2", "stride": "2"},
    {"size": "3", "kernel": "2", "stride": "3", "padding": "2"},
])  # fmt: skip
def test_the_spread_out_grid_is_what_the_turned_kernel_reads(options: dict) -> None:
    """Convolving the drawn grid with the turned kernel gives PyTorch's result."""
    case = case_of(TRANSPOSED, Options(**options))
    layer = case.layer
    rng = np.random.default_rng(0)
    kernel = torch.from_numpy(rng.standard_normal((1, 1, *(w.k for w in case.window))))
    x = torch.ones((1, 1, *case.size), dtype=torch.float64)
    grid = torch.from_numpy((spread_out(case) == 1).astype(float))[None, None]
    ours = torch.nn.functional.conv2d(grid, kernel.flip(2, 3), dilation=tuple(w.d for w in case.window))
    theirs = torch.nn.functional.conv_transpose2d(
        x, kernel, stride=tuple(w.s for w in case.window), padding=tuple(w.p for w in case.window),
        output_padding=layer.more, dilation=tuple(w.d for w in case.window),
    )  # fmt: skip
    assert ours.shape[2:] == case.out
    torch.testing.assert_close(ours, theirs)


def test_drawings_in_text(capsys: pytest.CaptureFixture) -> None:
    main([CONV, "--size", "5", "--kernel", "2", "--stride", "2", "--draw"])
    said = capsys.readouterr().out
    assert "   0  ■ ■ · · ·\n   1  · · ■ ■ ·\n" in said and "      × × × × ×\n" in said
    main([CONV, "--size", "4", "--kernel", "2", "--padding", "1", "--dilation", "2", "--draw"])
    assert "   0  ■ · ■ · · ∘\n" in capsys.readouterr().out
    main([TRANSPOSED, "--size", "2", "--kernel", "3", "--stride", "2", "--padding", "1", "--output-padding", "1",
          "--draw"])  # fmt: skip
    assert ("      ∘ ∘ ∘ ∘ ∘ +\n      ∘ ■ 0 ■ ∘ +\n      ∘ 0 0 0 ∘ +\n      ∘ ■ 0 ■ ∘ +\n      ∘ ∘ ∘ ∘ ∘ +\n"
            "      + + + + + +\n") in capsys.readouterr().out  # fmt: skip


@pytest.mark.parametrize("args", quick_first([
    "conv --size 5 --kernel 2 --stride 2 --padding 1", "conv-transpose --size 3 --kernel 2 --stride 2",
    "conv-transpose --size 3 --kernel 2 --stride 3 --padding 2", "conv --size 1 --kernel 1",
], 1))  # fmt: skip
def test_the_picture_is_a_png(args: str, tmp_path, capsys: pytest.CaptureFixture) -> None:
    from PIL import Image

    assert main([*args.split(), "--out", str(tmp_path / "a.png")]) == 0
    with Image.open(tmp_path / "a.png") as image:
        assert image.format == "PNG" and min(image.size) > 300
    assert "a.png" in capsys.readouterr().out


@pytest.mark.parametrize(("args", "words"), [
    ("conv --size 3 --kernel 5", r"Conv2d\(1, 1, 5\) is given \(N, 1, 3, 3\), so its output would be "
     r"\(N, 1, -1, -1\): height = floor\(\(3 \+ 2·0 − 1·\(5 − 1\) − 1\) / 1\) \+ 1 = -1"),
    ("conv-transpose --size 1 --kernel 2 --padding 1", r"output would be \(N, 1, 0, 0\): height = \(1 − 1\)·1 − 2·1"),
    ("conv-transpose --size 3 --kernel 2 --stride 2 --output-padding 2",
     "output_padding must be smaller than stride or dilation"),
    ("conv --size 3 --kernel 2 --output-padding 1", "belongs to conv-transpose"),
    ("conv --size 3 --kernel 0", "kernel_size must be a whole number from 1"),
    ("conv --size 0 --kernel 1", "--size must be from 1"),
    ("conv --size 3x4x5 --kernel 1", "--size must be a number, or rows x columns"),
    ("conv --size 100 --kernel 1 --draw", "--draw shows up to 40 cells a side"),
    ("convolution --size 3", "there is no kind of convolution 'convolution'"),
])  # fmt: skip
def test_mistakes_are_one_clear_line(args: str, words: str) -> None:
    with pytest.raises(ScratchnetError, match=words):
        main(args.split())


@pytest.mark.slow
def test_the_command_leaves_with_two() -> None:
    done = subprocess.run([sys.executable, "-m", "scratchnet.shapes", "conv", "--size", "3", "--kernel", "5"],
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: Conv2d(1, 1, 5) is given")
