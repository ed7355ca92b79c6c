"""Pictures of every kind, and folders as people have them."""

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scratchnet.data import folders, pictures
from scratchnet.data.folders import find
from scratchnet.data.pictures import read_bytes, square
from scratchnet.data.pixels import Pictures, Pixels, looks
from scratchnet.errors import DataError

RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)


def quarters(size: int = 40) -> Image.Image:
    """Red above left, green above right, blue below left, white below right."""
    a = np.full((size, size, 3), 255, np.uint8)
    h = size // 2
    a[:h, :h], a[:h, h:], a[h:, :h] = RED, GREEN, BLUE
    return Image.fromarray(a)


def seen(path: Path, side: int = 8, grey: bool = False) -> np.ndarray:
    return square(read_bytes(path), str(path), side, grey)


def corners(a: np.ndarray) -> list[tuple[int, ...]]:
    return [tuple(int(v) for v in a[:, y, x]) for y, x in ((0, 0), (0, -1), (-1, 0), (-1, -1))]


def write(path: Path, picture: Image.Image | None = None, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture or quarters()).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "tiff", "webp", "ppm", "tga", "jpg", "pcx", "ico"])
def test_every_format_shows_the_same(suffix: str, tmp_path: Path) -> None:
    options = {"webp": {"lossless": True}, "jpg": {"quality": 95}}.get(suffix, {})
    found = corners(seen(write(tmp_path / f"a.{suffix}", **options)))
    assert np.abs(np.array(found) - np.array([RED, GREEN, BLUE, (255, 255, 255)])).max() <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_exif_turns_is_turned_back(orientation: int, tmp_path: Path) -> None:
    turns = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
             7: "TRANSVERSE", 8: "ROTATE_270"}  # fmt: skip
    stored = quarters()
    if orientation in turns:
        stored = stored.transpose(Image.Transpose[turns[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write(tmp_path / "a.png", stored, exif=exif)
    assert corners(seen(path)) == [RED, GREEN, BLUE, (255, 255, 255)]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    rgba = quarters().convert("RGBA")
    alpha = np.full((40, 40), 255, np.uint8)
    alpha[:20, :20] = 0
    rgba.putalpha(Image.fromarray(alpha))
    white = (255, 255, 255)
    assert corners(seen(write(tmp_path / "a.png", rgba))) == [white, GREEN, BLUE, white]
    palette = quarters().convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
    first = palette.getpixel((0, 0))
    assert corners(seen(write(tmp_path / "p.png", palette, transparency=first)))[0] == white
    assert np.abs(np.array(corners(seen(write(tmp_path / "q.png", palette)))[0]) - RED).max() <= 8
    la = Image.fromarray(np.full((9, 9), 10, np.uint8)).convert("LA")
    la.putalpha(0)
    assert (seen(write(tmp_path / "la.png", la), grey=True) == 255).all()


def test_sixteen_bits_and_more(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    expected = np.linspace(0, 255, 64).reshape(8, 8)
    for suffix in ("png", "tiff"):
        found = seen(write(tmp_path / f"a.{suffix}", Image.fromarray(ramp)), 8, grey=True)[0]
        assert np.abs(found - expected).max() <= 1, suffix
    for scale in (1.0, 255.0):
        path = write(tmp_path / "f.tiff", Image.fromarray(np.float32(expected / 255 * scale)))
        assert np.abs(seen(path, 8, grey=True)[0] - expected).max() <= 1
    bits = Image.fromarray((expected > 100).astype(np.uint8) * 255).convert("1")
    assert set(np.unique(seen(write(tmp_path / "b.png", bits), 8, grey=True))) == {0, 255}


def test_the_whole_picture_is_squeezed(tmp_path: Path) -> None:
    long = Image.fromarray(np.concatenate([np.full((10, 50, 3), RED), np.full((10, 50, 3), BLUE)], 1).astype(np.uint8))
    found = seen(write(tmp_path / "a.png", long), 6)
    assert found.shape == (3, 6, 6) and corners(found) == [RED, BLUE, RED, BLUE]
    grey = seen(tmp_path / "a.png", 6, grey=True)
    assert grey.shape == (1, 6, 6) and grey[0, 0, 0] == Image.new("RGB", (1, 1), RED).convert("L").getpixel((0, 0))


def test_large_jpegs_come_at_reduced_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jpg", quarters(1600), quality=95)
    assert pictures.upright(read_bytes(path), "a", 64).size[0] < 400
    assert np.abs(np.array(corners(seen(path, 32))) - [RED, GREEN, BLUE, (255, 255, 255)]).max() <= 12


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no known format"),
        (b"hello", "no known format"),
        (b"\x89PNG\r\n\x1a\n" + b"\x00" * 50, "not a picture that can be read"),
        ("cut", "not a picture that can be read"),
        ("flipped", "not a picture that can be read"),
    ],
)
def test_damaged_pictures_are_one_line(content: Any, words: str, tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.png", Image.effect_noise((60, 60), 90)).read_bytes()
    if content == "cut":
        content = whole[: len(whole) // 2]
    if content == "flipped":
        content = whole[:200] + bytes(b ^ 255 for b in whole[200:400]) + whole[400:]
    path = tmp_path / "damaged.png"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        seen(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_a_picture_that_claims_to_be_huge_is_refused_unread(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", Image.new("1", (9000, 9000)))
    with pytest.raises(DataError, match="9000 x 9000 pixels are too many"):
        seen(path)


# -------------------------------------------------------------------------- folders


def test_classes_are_the_sub_folders_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("10", "9", "b", "a"):
        write(tmp_path / name / "x.png")
    found = find(tmp_path)
    assert found.classes == ("9", "10", "a", "b") and found.labels.tolist() == [0, 1, 2, 3]
    assert set(found.parts) == {""}


def test_sub_folders_links_hidden_and_odd_names(tmp_path: Path) -> None:
    write(tmp_path / "日本" / "deeper" / "一.png")
    write(tmp_path / "日本" / ".hidden.png")
    write(tmp_path / ".git" / "x.png")
    write(tmp_path / "café" / "a b%20.png")
    elsewhere = write(tmp_path.parent / f"{tmp_path.name}-elsewhere" / "y.png")
    (tmp_path / "café" / "link.png").symlink_to(elsewhere)
    (tmp_path / "café" / "up").symlink_to(tmp_path / "café")  # round and round
    (tmp_path / "café" / "broken.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "café" / "pipe.png")
    (tmp_path / "linked").symlink_to(elsewhere.parent)
    found = find(tmp_path)
    assert found.classes == ("café", "linked", "日本")
    names = [path.name for path in found.files]
    assert names == ["a b%20.png", "broken.png", "link.png", "y.png", "一.png"]
    pixels = Pixels(found.files, 8, False)
    assert pixels.good.tolist() == [True, False, True, True, True]
    assert len(pixels.damaged) == 1 and "no such file" in pixels.damaged[0]


@pytest.mark.parametrize("names", [("train", "test"), ("Training", "Testing", "val"), ("train", "validation")])
def test_sets_that_somebody_has_divided(names: tuple[str, ...], tmp_path: Path) -> None:
    for part in names:
        for kind in ("a", "b"):
            write(tmp_path / part / kind / "x.png")
    found = find(tmp_path)
    assert found.classes == ("a", "b")
    assert sorted(set(found.parts)) == sorted({folders.PARTS[name.lower()] for name in names})


def test_classes_called_train_and_plane(tmp_path: Path) -> None:
    for kind in ("train", "plane"):
        write(tmp_path / kind / "x.png")
    assert find(tmp_path).classes == ("plane", "train")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([], "every class needs a sub-folder .* there is none"),
        (["x.png"], "every class needs a sub-folder .* there is none"),
        (["a/x.png"], "there is only a"),
        (["a/x.png", "b/"], "b: there are no pictures in this folder"),
        (["train/a/x.png", "train/b/x.png", "test/c/x.png"], "there is no class c in"),
        (["a/x.png", "b\x1b[2J/x.png"], r"b\\x1b\[2J cannot be a class's name"),
        (["a/x.png", "b" * 120 + "/x.png"], "of 100 characters at most"),
    ],
)
def test_folders_that_cannot_be_learnt_from(files: list[str], words: str, tmp_path: Path) -> None:
    for name in files:
        if name.endswith("/"):
            (tmp_path / name).mkdir(parents=True)
        else:
            write(tmp_path / name)
    with pytest.raises(DataError, match=words) as error:
        find(tmp_path)
    assert "\n" not in str(error.value)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find(tmp_path / "nowhere")
    with pytest.raises(DataError, match="this is a file, and not a folder"):
        find(write(tmp_path / "x.png"))


def test_what_is_no_picture_and_what_is_damaged(tmp_path: Path) -> None:
    files = [write(tmp_path / "a.png"), tmp_path / "notes.txt", tmp_path / "b.jpg", write(tmp_path / "c.gif")]
    files[1].write_text("no picture")
    files[2].write_text("no picture")
    files.append(tmp_path / "without_suffix")
    files[-1].write_bytes(files[0].read_bytes())
    pixels = Pixels(files, 8, True)
    assert pixels.good.tolist() == [True, False, False, True, True]
    assert pixels.others == [files[1]] and "b.jpg" in pixels.damaged[0]
    assert (pixels.read(np.array([4, 0])) == pixels.read(np.array([0]))).all()
    assert pixels.digests[0] == pixels.digests[4] != pixels.digests[3]


def test_pillows_own_warnings_are_not_shown(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    path.write_bytes(path.read_bytes() + b"more")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Pixels([path], 8, False).good.all()


def test_what_pictures_are_like(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{k}.png", Image.new("L", (30 + k, 90))) for k in range(5)]
    assert looks(files) == (32, True)
    files += [write(tmp_path / "c.png", Image.new("RGB", (500, 400)))]
    assert looks(files)[1] is False
    assert looks([write(tmp_path / "d.png", Image.new("RGB", (500, 400)))]) == (64, False)


@pytest.mark.parametrize("kept", [1 << 29, 3 * 3 * 8 * 8, 0])
def test_pixels_that_do_not_fit_into_memory_are_read_again(kept: int, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("scratchnet.data.pixels.KEPT", kept)
    rng = np.random.default_rng(0)
    files = [write(tmp_path / f"{k}.png", Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))) for k in range(9)]
    pixels = Pixels(files, 8, False)
    assert pixels.kept.nbytes <= kept
    numbers = np.array([8, 0, 5, 5])
    direct = np.stack([np.moveaxis(np.asarray(Image.open(files[i])), -1, 0) for i in numbers])
    assert np.array_equal(pixels.read(numbers), direct)
    every = np.stack([np.moveaxis(np.asarray(Image.open(f)), -1, 0) for f in files]) / 255
    mean, std = pixels.statistics(np.arange(9))
    assert mean == pytest.approx(every.mean(axis=(0, 2, 3))) and std == pytest.approx(every.std(axis=(0, 2, 3)))
    x = Pictures(pixels, np.arange(9), mean, std)
    assert x.shape == (9, 3, 8, 8) and x[:].dtype == np.float32
    assert x[:].mean(axis=(0, 2, 3)) == pytest.approx(0, abs=1e-5)
    assert x[:].std(axis=(0, 2, 3)) == pytest.approx(1, abs=1e-5)


def test_a_picture_that_disappears_is_named(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("scratchnet.data.pixels.KEPT", 0)
    path = write(tmp_path / "a.png")
    pixels = Pixels([path], 8, False)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.png: there is no such file"):
        pixels.read(np.array([0]))


def test_pictures_of_one_colour_have_a_deviation(tmp_path: Path) -> None:
    pixels = Pixels([write(tmp_path / "a.png", Image.new("L", (8, 8), 77))], 8, True)
    mean, std = pixels.statistics(np.array([0]))
    assert mean == pytest.approx(77 / 255) and std == 1
