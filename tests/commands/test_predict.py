"""Your own handwriting: pictures of digits become the 28 x 28 that the network knows.

Pictures without a digit are refused.
"""

import io
import json
import zlib

import numpy as np
import pytest
from PIL import Image

import scratchnet as sn
from scratchnet import CheckpointError, DataError, SettingError, backquery, predict
from scratchnet.data import handwriting
from scratchnet.data.digits import load_digits
from scratchnet.data.handwriting import read_digit
from tests.model_files import put_together, take_apart
from tests.profiles import slow_if

SCALE, SHIFT = 2 / 255, -1.0


@pytest.fixture(scope="module")
def drawn():
    return load_digits(seed=5, train=3000, test=60)


@pytest.fixture(scope="module")
def net(drawn):
    """A small network that knows drawn digits."""
    net = sn.Sequential(sn.Linear(784, 64), sn.ReLU(), sn.Linear(64, 10), sn.LogSoftmax(), seed=0)
    net.info |= {"classes": list("0123456789"), "input": {"shape": [784], "scale": SCALE, "shift": SHIFT}}
    net.info["input"]["usual"] = handwriting.usual([drawn.train_images / np.float32(255)])
    x = (drawn.train_images * np.float32(SCALE) + np.float32(SHIFT)).reshape(-1, 784)
    sn.fit(net, sn.NLLLoss(), sn.Adam(net, 0.002), x, drawn.train_labels, epochs=8, batch_size=50, threads=1)
    return net


@pytest.fixture(scope="module")
def model(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    net.save(path)
    return path


def grey(ink, size=None, pen=20, paper=240):
    """A digit (28, 28) as a picture with these greys."""
    image = (
        Image.fromarray(ink) if size is None else Image.fromarray(ink).resize((size, size), Image.Resampling.BICUBIC)
    )
    a = np.asarray(image, float) / 255
    return np.uint8(np.round(paper + (pen - paper) * a))


def far_off(ink):
    sheet = np.full((500, 700), 240, np.uint8)
    sheet[300:420, 60:180] = grey(ink, 120)
    return Image.fromarray(sheet)


def cut_tight(ink):
    box = Image.fromarray(np.uint8(255 * (ink > 60))).getbbox()
    return Image.fromarray(grey(ink)).crop(box).resize((100, 100 * (box[3] - box[1]) // (box[2] - box[0])))


def coloured(ink):
    a = np.asarray(Image.fromarray(ink).resize((200, 200), Image.Resampling.BICUBIC), float)[..., None] / 255
    return Image.fromarray(np.uint8(a * [200, 40, 60] + (1 - a) * [60, 160, 60]))  # red on green, equally light


def on_nothing(ink, pen):
    a = np.full((28, 28, 4), pen, np.uint8)
    a[..., 3] = ink
    return Image.fromarray(a).resize((140, 140))


def photographed(ink):
    y, x = np.mgrid[0:600, 0:500]
    ink = np.pad(
        np.asarray(Image.fromarray(ink).resize((300, 300), Image.Resampling.BICUBIC), float) / 255,
        ((150, 150), (100, 100)),
    )
    light = 0.9 - 0.3 * x / 500 - 0.2 * y / 600
    noise = np.random.default_rng(0).normal(size=ink.shape) * 0.02
    sheet = np.uint8(255 * np.clip(light * (1 - 0.7 * ink) + noise, 0, 1))
    file = io.BytesIO()
    Image.fromarray(sheet).convert("RGB").save(file, "JPEG", quality=60)
    return Image.open(file)


def turned(ink):
    """As a telephone saves it: lying on its side, with a note which side is up."""
    image = Image.fromarray(grey(ink, 100)).rotate(90)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    image.save(file, "JPEG", exif=exif, quality=95)
    return Image.open(file)


PICTURES = {
    "as MNIST": Image.fromarray,
    "dark on light": lambda ink: Image.fromarray(grey(ink)),
    "large": lambda ink: Image.fromarray(grey(ink, 600)),
    "small in a corner": far_off,
    "cut tight": cut_tight,
    "faint": lambda ink: Image.fromarray(grey(ink, 100, pen=150, paper=220)),
    "two colours": coloured,
    "black on nothing": lambda ink: on_nothing(ink, 0),
    "white on nothing": lambda ink: on_nothing(ink, 255),
    "palette": lambda ink: Image.fromarray(grey(ink, 60)).convert("P"),
    "16 bits": lambda ink: Image.fromarray(np.asarray(grey(ink, 60), np.uint16) * 257),
    "grey with alpha": lambda ink: Image.fromarray(grey(ink, 60)).convert("LA"),
    "photographed": photographed,
    "turned": turned,
}  # fmt: skip
QUICK = ("as MNIST", "dark on light", "faint", "turned")
LARGE = ("large", "small in a corner", "two colours")


@pytest.mark.parametrize("kind", [slow_if(kind not in QUICK, kind) for kind in PICTURES])
def test_every_kind_of_picture(tmp_path, net, drawn, kind, thorough):
    """Judged as the images themselves are, but for at most one in twenty."""
    n = 20 if kind in (*LARGE, "photographed") or not thorough else 60
    paths = []
    for k, ink in enumerate(drawn.test_images[:n]):
        image = PICTURES[kind](ink)
        paths.append(tmp_path / f"{k}.{'jpg' if image.format == 'JPEG' else 'png'}")
        if image.format == "JPEG":
            image.save(paths[-1], exif=image.getexif(), quality=90)
        else:
            image.save(paths[-1])
    images, found = predict.predict_images(net, paths)
    direct = predict.probabilities(net, predict.as_inputs(net, drawn.test_images[:n])).argmax(axis=1)
    wrong = sum(int(v["label"]) != label for v, label in zip(found, direct, strict=True))
    assert wrong <= n / 20, f"{wrong} of {n}"
    assert not [v for v in found if any("blots" in note or "unlike" in note for note in v["notes"])]
    assert images.dtype == np.uint8 and images.shape == (n, 28, 28)


def test_mnists_own_form(drawn):
    """20 x 20 with the proportions kept, centred by mass, black around it, white
    inside.
    """
    for ink in drawn.test_images[:10]:
        image = handwriting.centre(handwriting.ink_of(np.asarray(grey(ink, 300))[..., None] / np.float32(255)))
        rows, cols = np.nonzero(image)
        height, width = np.ptp(rows) + 1, np.ptp(cols) + 1
        assert 18 <= max(height, width) <= 20 and image.max() == 255
        mass = image.astype(float) / image.sum()
        y, x = (mass.sum(1) * np.arange(28)).sum(), (mass.sum(0) * np.arange(28)).sum()
        assert abs(y - 13.5) <= 1 and abs(x - 13.5) <= 1


def png(width, height, data):
    """A PNG file by hand, whatever its header promises."""

    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


BLANK = {
    "white": np.full((50, 50), 255, np.uint8),
    "black": np.zeros((50, 50), np.uint8),
    "one pixel": np.full((1, 1), 7, np.uint8),
    "shaded": np.uint8(np.linspace(100, 220, 60)[:, None] + np.linspace(0, 30, 60)),
    "noise of a camera": np.uint8(np.random.default_rng(0).normal(200, 4, (80, 80))),
}


@pytest.mark.parametrize("kind", BLANK)
def test_blank(tmp_path, kind):
    Image.fromarray(BLANK[kind]).save(tmp_path / "blank.png")
    with pytest.raises(DataError, match=r"blank.png: no digit can be seen"):
        read_digit(tmp_path / "blank.png")


def bad_files(folder):
    Image.new("L", (40, 40), 255).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    Image.new("L", (40, 40)).save(folder / "picture.gif")
    return {
        "cut.png": whole[:-30],
        "empty.png": b"",
        "text.png": b"this is no picture",
        "flipped.png": whole[:45] + bytes([whole[45] ^ 255]) + whole[46:],
        "bomb.png": png(60_000, 60_000, bytes(1000)),
        "short.png": png(2_000, 2_000, b"\0"),
        "gif.png": (folder / "picture.gif").read_bytes(),
    }


@pytest.mark.parametrize(
    "name", ["cut.png", "empty.png", "text.png", "flipped.png", "bomb.png", "short.png", "gif.png"]
)
def test_bad_pictures(tmp_path, model, name):
    path = tmp_path / name
    path.write_bytes(bad_files(tmp_path)[name])
    with pytest.raises(DataError, match=r"pixels are too many|not a PNG or JPEG picture that can be read") as e:
        predict.main([str(model), str(path)])
    assert str(e.value).startswith(str(path)) and "\n" not in str(e.value)


def test_damaged_pictures_give_data_errors_only(tmp_path, drawn, thorough):
    rng, path = np.random.default_rng(0), tmp_path / "m"
    for kind in ("PNG", "JPEG"):
        file = io.BytesIO()
        Image.fromarray(grey(drawn.test_images[0], 60)).save(file, kind)
        for _ in range(500 if thorough else 100):
            content = bytearray(file.getvalue())
            for _ in range(rng.integers(1, 6)):
                content[rng.integers(len(content))] = rng.integers(256)
            path.write_bytes(content[: rng.integers(len(content))] if rng.random() < 0.2 else content)
            try:
                assert read_digit(path).shape == (28, 28)
            except DataError as e:
                assert str(e).startswith(str(path))


# -------------------------------------------------------------------------- the command


def test_lines_and_json_and_picture(tmp_path, net, model, drawn, capsys):
    for k in range(3):
        Image.fromarray(grey(drawn.test_images[k], 90)).save(tmp_path / f"my {k}.png")
    paths = [str(tmp_path / f"my {k}.png") for k in range(3)]
    labels = [v["label"] for v in predict.predict_images(net, paths)[1]]
    assert predict.main([str(model), *paths, "--out", str(tmp_path / "out.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.startswith(f"{path}: {label}  ") for line, path, label in zip(lines, paths, labels, strict=True)] == [
        True
    ] * 3
    assert Image.open(tmp_path / "out.png").width > 500
    assert predict.main([str(model), *paths, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [set(v) for v in found] == [{"file", "label", "probabilities", "notes"}] * 3
    assert [v["file"] for v in found] == paths and [v["label"] for v in found] == labels
    for v in found:
        assert list(v["probabilities"]) == list("0123456789")
        assert abs(sum(v["probabilities"].values()) - 1) < 1e-5
        assert max(v["probabilities"], key=v["probabilities"].get) == v["label"]


@pytest.mark.parametrize("last", [[], [sn.Softmax()], [sn.LogSoftmax()], [sn.Sigmoid()]])
def test_probabilities(last):
    net = sn.Sequential(sn.Linear(4, 3), *last, dtype="float64")
    x = np.random.default_rng(0).normal(size=(5, 4))
    p, z = predict.probabilities(net, x), sn.Sequential(sn.Linear(4, 3), dtype="float64")(x)
    e = 1 / (1 + np.exp(-z)) if last and isinstance(last[0], sn.Sigmoid) else np.exp(z)
    np.testing.assert_allclose(p, e / e.sum(1, keepdims=True), rtol=1e-12)


def test_models_that_take_no_images(tmp_path, drawn):
    Image.fromarray(grey(drawn.test_images[0])).save(tmp_path / "a.png")
    net = sn.Sequential(sn.Linear(7, 3))
    for info, reason in (
        ({}, "does not say what it takes"),
        ({"input": {"features": ["area"], "mean": [0], "std": [1]}}, "its input is features, mean, std"),
        ({"input": {"shape": [3, 32, 32]}}, r"its input is shape \[3, 32, 32\]"),
        ({"input": {"shape": [784]}}, "its input is shape"),
        ({"input": {"shape": [784], "scale": "a", "shift": 0}}, "its input is shape"),
        ({"input": {"shape": [784], "scale": 1, "shift": 0}}, "does not take grey images"),
        ({"input": {"shape": "784"}}, "does not take grey images"),
        ({"input": {"shape": ["a"]}}, "."),
    ):
        net.info = info
        net.save(tmp_path / "m.safetensors")
        for command in (predict, backquery):
            with pytest.raises(CheckpointError, match=reason):
                command.main(
                    [str(tmp_path / "m.safetensors"), *([str(tmp_path / "a.png")] if command is predict else [])]
                )


def test_two_digits_in_one_picture(tmp_path, net, drawn, thorough):
    for k in range(20 if thorough else 5):
        a, b = drawn.test_images[k], drawn.test_images[-1 - k]
        Image.fromarray(grey(np.concatenate([a, b], axis=1))).resize((400, 200)).save(tmp_path / "two.png")
        _, (verdict,) = predict.predict_images(net, [tmp_path / "two.png"])
        assert any("two separate blots" in note for note in verdict["notes"])
        assert "two separate blots" in predict.line(verdict)


UNLIKE = {
    "noise": np.random.default_rng(0).integers(0, 256, (60, 60)),
    "black and white": 255 * np.random.default_rng(0).integers(0, 2, (100, 100)),
    "a square": 240 - 220 * np.pad(np.ones((50, 50), int), 25),
    "a bar": 240 - 220 * np.pad(np.ones((40, 25), int), 30),
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_unlike_what_was_trained_on(tmp_path, net, kind):
    Image.fromarray(np.uint8(UNLIKE[kind])).save(tmp_path / "x.png")
    _, (verdict,) = predict.predict_images(net, [tmp_path / "x.png"])
    assert any(note.startswith("unlike the images") for note in verdict["notes"])


def test_a_model_that_does_not_say_what_is_usual(net):
    assert set(predict.usual_of(net)) == {"ink", "edge", "grey"}
    for ranges in (
        None,
        {},
        {"ink": [0, 1]},
        {"ink": [0, 1], "edge": [0], "grey": [0, 1]},
        {"ink": 1, "edge": 1, "grey": 1},
    ):
        assert predict.usual_of(scaled_usual(ranges)) == {}


def scaled_usual(ranges):
    net = sn.Sequential(sn.Linear(784, 10))
    net.info["input"] = {"shape": [784], "usual": ranges}
    return net


def test_no_majority():
    net = sn.Sequential(sn.Linear(2, 3))
    net.load_state_dict({"0.weight": np.zeros((3, 2)), "0.bias": np.zeros(3)})
    (verdict,) = predict.verdicts(net, np.zeros((1, 2), np.float32), ["a"])
    assert verdict["notes"] == ["not sure: no class has half of the probability"]


def test_show_draws_in_the_terminal(tmp_path, net, model, drawn, capsys):
    Image.fromarray(grey(drawn.test_images[0], 90)).save(tmp_path / "a.png")
    assert predict.main([str(model), str(tmp_path / "a.png"), "--show"]) == 0
    first, *rows = capsys.readouterr().out.splitlines()
    image = read_digit(tmp_path / "a.png")
    assert first.startswith(str(tmp_path / "a.png")) and len(rows) == np.ptp(np.flatnonzero(image.any(axis=1))) + 1
    assert set("".join(rows)) <= set(predict.SHADES) and "@@" in "".join(rows)
    with pytest.raises(SettingError, match="leave out --json"):
        predict.main([str(model), str(tmp_path / "a.png"), "--show", "--json"])


def test_what_is_missing(tmp_path, model):
    with pytest.raises(SettingError, match="no image is given"):
        predict.main([str(model)])
    with pytest.raises(DataError, match="there is no such file"):
        predict.main([str(model), str(tmp_path / "none.png")])
    with pytest.raises(CheckpointError, match="there is no such file"):
        predict.main([str(tmp_path / "none"), str(tmp_path / "none.png")])


# ---------------------------------------------------------------------------- backwards


@pytest.mark.slow
def test_backquery_by_ascent_is_recognised(net, model, tmp_path, capsys):
    images, how = backquery.backquery(net)
    assert "ascent" in how and images.shape == (10, 28, 28) and images.min() >= 0 and images.max() <= 1
    p = predict.probabilities(net, (images.reshape(10, 784) * 255 * SCALE + SHIFT).astype(np.float32))
    assert (p.argmax(1) == np.arange(10)).all() and p.max(1).min() > 0.9
    assert backquery.main([str(model)]) == 0
    assert "10 images" in capsys.readouterr().out and Image.open(model.parent / "backquery.png").width > 500


def test_backquery_by_inversion():
    """One layer, inverted by hand: σ⁻¹ of the label, Wᵀ, scaled to 0.01 to 0.99."""
    net = sn.Sequential(sn.Linear(784, 10, bias=False), sn.Sigmoid(), dtype="float64")
    net.info["input"] = {"shape": [784], "scale": 0.99 / 255, "shift": 0.01}
    images, how = backquery.backquery(net)
    a = np.full(10, 0.01)
    a[3] = 0.99
    x = net.state_dict()["0.weight"].T @ np.log(a / (1 - a))
    x = (x - x.min()) / (x.max() - x.min()) * 0.98 + 0.01
    assert "inverted" in how
    np.testing.assert_allclose(images[3].ravel(), x, rtol=1e-9)


def test_backquery_goes_through_convolution_and_batch_normalisation():
    from scratchnet.engine.layers import BatchNorm2d, Conv2d, Flatten, MaxPool2d

    net = sn.Sequential(
        Conv2d(1, 4, 5), BatchNorm2d(4), sn.ReLU(), MaxPool2d(2), sn.Dropout(0.5), Flatten(), sn.Linear(576, 10), seed=1
    )
    net.info["input"] = {"shape": [1, 28, 28], "scale": SCALE, "shift": SHIFT}
    images, _ = backquery.backquery(net)
    p = predict.probabilities(net, (images[:, None] * 255 * SCALE + SHIFT).astype(np.float32))
    assert (p.argmax(1) == np.arange(10)).all()


# ----------------------------------------------------------------------- hostile models


def image_net(*layers, **info):
    """These layers behind an image, with a right file around them."""
    net = sn.Sequential(*layers, seed=0)
    net.info |= {"classes": list("0123456789"), "input": {"shape": [1, 28, 28], "scale": SCALE, "shift": SHIFT}} | info
    return net


def scaled(scale, shift=SHIFT):
    return image_net(sn.Flatten(), sn.Linear(784, 10), input={"shape": [784], "scale": scale, "shift": shift})


def named(*names):
    return image_net(sn.Flatten(), sn.Linear(784, 10), classes=list(names))


def behind(layer, size=1):
    """A layer of one channel, then what is left of it pooled down to one cell."""
    return image_net(layer, sn.MaxPool2d(size), sn.Flatten(), sn.Linear(1, 10))


GIB = r"layer 0, .* would need [\d,]+ GiB for [\d,]+ of \(N, 1, 28, 28\); a model may ask for 1 GiB"
HOSTILE = {
    "padding": (behind(sn.Conv2d(1, 1, 1, padding=30000), 60028), GIB),
    "padding of 10^9": (behind(sn.Conv2d(1, 1, 1, padding=10**9), 2 * 10**9 + 28), GIB),
    "stride": (behind(sn.ConvTranspose2d(1, 1, 1, stride=4000), 108001), GIB),
    "pool": (behind(sn.MaxPool2d(10**6, padding=5 * 10**5), 1), GIB),
    "all of it an output": (image_net(sn.Conv2d(1, 1, 1)), "not one number for each class"),
    "scale of 10^400": (scaled(10**400), "this model's scale 1000"),
    "scale of 1e308": (scaled(1e308), r"this model's scale 1e\+308 and shift -1.0 make no pixels"),
    "scale in words": (scaled("nan"), "does not take grey images"),
    "shift of 10^400": (scaled(1, -(10**400)), "this model's scale"),
    "no text": (named(*"012345678", "\ud800"), r"name cannot be shown: '\\ud800'"),
    "no name": (named(*"012345678", None), "name cannot be shown: None"),
    "one name": (named(*["7"] * 10), "10 classes of one name: '7'"),
    "long name": (named(*"012345678", "x" * 10**6), "name cannot be shown"),
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_hostile_models_are_one_line(tmp_path, drawn, reason):
    """A file of a kilobyte makes no command compute gigabytes or show a traceback."""
    net, expected = HOSTILE[reason]
    net.save(tmp_path / "m.safetensors")
    Image.fromarray(grey(drawn.test_images[0])).save(tmp_path / "a.png")
    model = str(tmp_path / "m.safetensors")
    for command, args in ((predict, [model, str(tmp_path / "a.png")]), (backquery, [model])):
        with pytest.raises(CheckpointError, match=expected) as e:
            command.main(args)
        assert len(str(e.value)) < 1000
    if expected == GIB:
        onnx = pytest.importorskip("scratchnet.export")
        with pytest.raises(CheckpointError, match="GiB"):
            onnx.main([model, str(tmp_path / "m.onnx")])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "m.safetensors"]


def test_sizes_that_no_array_has_are_refused_at_load(tmp_path):
    for layer, option in ((sn.Conv2d(1, 1, 1), "padding"), (sn.BatchNorm2d(1), "eps"), (sn.MaxPool2d(1), "stride")):
        path = tmp_path / "m.safetensors"
        image_net(layer, sn.Flatten(), sn.Linear(784, 10)).save(path)
        header, about, data = take_apart(path.read_bytes())
        about["layers"][0][option] = 10**400
        path.write_bytes(put_together(header, about, data))
        with pytest.raises(CheckpointError, match=r"layer 0, \w+, cannot have these options") as e:
            sn.load(path)
        assert len(str(e.value)) < 1000


def test_outputs_that_are_no_numbers(tmp_path, drawn):
    net = image_net(sn.Flatten(), sn.Linear(784, 10))
    net.params["1.weight"].value[...] = 3e38
    net.save(tmp_path / "m.safetensors")
    Image.fromarray(grey(drawn.test_images[0])).save(tmp_path / "a.png")
    with pytest.raises(CheckpointError, match="outputs are not probabilities: NaN or infinite"):
        predict.main([str(tmp_path / "m.safetensors"), str(tmp_path / "a.png"), "--json"])


def test_names_move_no_cursor(tmp_path, drawn, capsys):
    names = [f"{k}\x1b[2J\u202e\n" for k in range(10)]
    net = named(*names)
    net.save(tmp_path / "m.safetensors")
    Image.fromarray(grey(drawn.test_images[0])).save(tmp_path / "a.png")
    assert (
        predict.main([str(tmp_path / "m.safetensors"), str(tmp_path / "a.png"), "--out", str(tmp_path / "s.png")]) == 0
    )
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\u202e" not in out and r"\x1b[2J\u202e\n" in out and out.count("\n") == 1
    assert predict.main([str(tmp_path / "m.safetensors"), str(tmp_path / "a.png"), "--json"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out and json.loads(out)[0]["label"] in names
    assert backquery.main([str(tmp_path / "m.safetensors")]) == 0
