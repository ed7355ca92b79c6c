"""The plots of a run: real PNGs of the right size that change with what they show."""

import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from PIL import Image

from scratchnet.engine.history import History
from scratchnet.errors import ShapeError
from scratchnet.plots import first_layer, training
from scratchnet.plots import studies as plots
from scratchnet.plots.style import BLUE, ORANGE, save
from tests.places import ROOT
from tests.profiles import quick_every, quick_first

NAMES = list("0123456789")


def pixels(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB")).astype(int)


def shows_something(path):
    image = pixels(path)
    assert min(image.shape[:2]) > 200
    assert (image == 255).all(axis=2).mean() > 0.1  # white paper
    assert (image < 200).any(axis=2).mean() > 0.005  # and something on it
    return image


def has_colour(image, colour):
    wanted = [int(colour[k : k + 2], 16) for k in (1, 3, 5)]
    return bool((abs(image - wanted).max(axis=2) < 6).any())


def history(epochs=3, steps=40, classes=True, seed=0):
    losses = np.exp(-np.arange(epochs * steps) / 30) + 0.1 * np.random.default_rng(seed).random(epochs * steps)
    rows = [{"epoch": k + 1, "lr": 0.1, "train_loss": 1 / (k + 1), "seconds": 1.0, "valid_loss": 1.1 / (k + 1)}
            for k in range(epochs)]  # fmt: skip
    if classes:
        rows = [row | {"valid_accuracy": 1 - 0.1 / (k + 1)} for k, row in enumerate(rows)]
    return History(rows, losses.tolist())


@pytest.fixture
def mistakes():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(10), 60)
    return rng.integers(0, 256, (60, 28, 28), np.uint8), rng.integers(0, 10, 60), probabilities.argmax(1), probabilities


def test_history(tmp_path):
    save(training.loss_and_accuracy(history()), tmp_path / "a.png")
    image = shows_something(tmp_path / "a.png")
    assert image.shape == (780, 1650, 3)
    assert has_colour(image, BLUE) and has_colour(image, ORANGE)
    save(training.loss_and_accuracy(history(seed=1)), tmp_path / "b.png")
    other = pixels(tmp_path / "b.png")
    left, right = image[:, :825], image[:, 825:]
    assert (left != other[:, :825]).any() and (right == other[:, 825:]).all()  # only the losses differ


@pytest.mark.parametrize(
    "what",
    quick_every(
        2,
        [
            history(1, 1),
            history(1, 3, classes=False),
            history(60, 2),
            history(5, 3000),
            History([{"epoch": 1, "lr": 1.0, "train_loss": 0.5, "seconds": 1.0}], [0.5, 0.5]),  # nothing to validate on
            History([{"epoch": 1, "lr": 1.0, "train_loss": 0.0, "seconds": 1.0}], [0.0]),  # no logarithm
            History([{"epoch": 1, "lr": 1.0, "train_loss": -2.0, "seconds": 1.0}], [-1.0, 2.0, -7.0]),
            History(),
        ],
    ),
)
def test_any_history_can_be_drawn(what, tmp_path):
    save(training.loss_and_accuracy(what), tmp_path / "a.png")
    shows_something(tmp_path / "a.png")


def test_confusion(tmp_path):
    table = np.diag(np.full(10, 90))
    save(plots.confusion(table, NAMES), tmp_path / "right.png")
    right = shows_something(tmp_path / "right.png")
    table[3, 5] = 40
    save(plots.confusion(table, NAMES), tmp_path / "wrong.png")
    wrong = shows_something(tmp_path / "wrong.png")
    assert wrong.shape == right.shape

    def orange(image):
        return ((image[..., 0] > image[..., 2] + 60) & (image[..., 0] > 150)).sum()

    assert orange(right) == 0 and orange(wrong) > 1000  # a cell is 93 x 93 pixels


@pytest.mark.parametrize("K", quick_first([3, 2, 12, 40], 1))
def test_confusion_of_any_number_of_classes(K, tmp_path):
    names = [f"class {k}, $dollar$ and_more" if K == 3 else str(k) for k in range(K)]
    save(plots.confusion(np.random.default_rng(0).integers(0, 9, (K, K)), names), tmp_path / "a.png")
    assert max(shows_something(tmp_path / "a.png").shape) < 3500


@pytest.mark.slow
def test_the_pictures_of_a_run_need_little_memory(tmp_path):
    """At most half of what a picture in double precision takes while it is enlarged."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 28, 28), np.uint8)
    figures = [
        plots.confusion(rng.integers(1, 9, (10, 10)), NAMES),
        plots.image_grid(images, NAMES[:1] * 24, "Images", ""),
        first_layer.weights_as_images(rng.normal(size=(30, 784))),
    ]
    save(figures[0], tmp_path / "a.png")  # what is imported and cached once does not count
    for figure in figures:
        tracemalloc.start()
        save(figure, tmp_path / "a.png")
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 40e6


def test_confusion_of_nothing(tmp_path):
    save(plots.confusion(np.zeros((4, 4), int), NAMES[:4]), tmp_path / "a.png")
    shows_something(tmp_path / "a.png")


def test_confusion_names_the_wrong_shape(tmp_path):
    with pytest.raises(ShapeError, match=r"\(10, 10\), not \(3, 3\)"):
        save(plots.confusion(np.zeros((3, 3)), NAMES), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "out, shape", quick_first([(15, (28, 28)), (16, (3, 5, 5)), (1, (28, 28)), (300, (8, 8)), (6, (1, 5, 5))], 1)
)
def test_weights(out, shape, tmp_path):
    W = np.random.default_rng(0).normal(0, 0.1, (out, *shape))
    save(first_layer.weights_as_images(W.reshape(out, -1), shape), tmp_path / "flat.png")
    save(first_layer.weights_as_images(W, shape), tmp_path / "whole.png")
    image = shows_something(tmp_path / "flat.png")
    assert (image == pixels(tmp_path / "whole.png")).all()
    save(first_layer.weights_as_images(-W, shape), tmp_path / "other.png")
    assert (image != pixels(tmp_path / "other.png")).any()


def test_weights_share_one_scale(tmp_path):
    W = np.full((2, 16), 0.01)
    W[1] = [1.0, -1.0] * 8
    save(first_layer.weights_as_images(W, (4, 4)), tmp_path / "a.png")
    image = pixels(tmp_path / "a.png")
    middle = image[int(image.shape[0] * 0.6)]  # a row of pixels through both
    assert has_colour(middle[None], "#053061") and has_colour(middle[None], "#67001f")  # the ends of the colour map
    assert (abs(middle - [247, 246, 246]).max(axis=1) < 5).sum() > 100  # the weak neuron is nearly white


def test_weights_name_the_wrong_shape(tmp_path):
    with pytest.raises(ShapeError, match=r"784 inputs .* \(32, 32\)"):
        save(first_layer.weights_as_images(np.zeros((2, 784)), (32, 32)), tmp_path / "a.png")


def test_weights_that_are_all_zero(tmp_path):
    save(first_layer.weights_as_images(np.zeros((4, 9)), (3, 3)), tmp_path / "a.png")
    assert pixels(tmp_path / "a.png").any()


def captions_of(monkeypatch, *args, **options):
    """What `worst_mistakes` hands to `image_grid`."""
    seen = []
    monkeypatch.setattr(plots, "image_grid", lambda *all: seen.append(all))
    plots.worst_mistakes(*args, NAMES, **options)
    return seen[0]


def test_worst_mistakes_come_first(monkeypatch, mistakes):
    images, labels, predicted, p = mistakes
    shown, captions, title, subtitle = captions_of(monkeypatch, *mistakes, most=5)
    wrong = [i for i in range(60) if labels[i] != predicted[i]]
    worst = sorted(wrong, key=lambda i: -p[i, predicted[i]])[:5]
    assert (shown == images[worst]).all()
    i = worst[0]
    assert captions[0] == f"is {labels[i]}, taken for {predicted[i]} ({100 * p[i, predicted[i]]:.0f} %)"
    assert title == "The worst mistakes" and subtitle.startswith(f"{len(wrong)} of 60 ")


def test_no_mistakes(monkeypatch, mistakes):
    images, _, predicted, p = mistakes
    shown, captions, title, _ = captions_of(monkeypatch, images, predicted, predicted, p, most=3)
    assert title == "No mistakes" and (shown == images[np.argsort(p.max(axis=1))[:3]]).all()
    assert captions[0].startswith(f"is {predicted[p.max(axis=1).argmin()]}, seen as ")


@pytest.mark.parametrize("p, text", [(0.5, "50 %"), (0.994, "99 %"), (0.996, "99.6 %"), (1.0, "> 99.9 %")])
def test_nothing_is_quite_certain(p, text):
    assert plots.percent(p) == text


@pytest.mark.slow
def test_mistakes_are_drawn(tmp_path, mistakes):
    save(plots.worst_mistakes(*mistakes, NAMES), tmp_path / "a.png")
    assert shows_something(tmp_path / "a.png").shape[1] == 1575


@pytest.mark.parametrize(
    "count, shape", quick_first([(3, (3, 32, 32)), (1, (28, 28)), (7, (28, 28)), (13, (1, 9, 9))], 2)
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_grid_in_grey_and_colour(count, shape, dtype, tmp_path):
    images = np.zeros((count, *shape), dtype)
    if len(shape) == 3 and shape[0] == 3:
        images[:, 0] = 255  # red
    else:
        images[..., :4] = 255
    save(plots.image_grid(images, [f"image {k}" for k in range(count)], "A title", "and more"), tmp_path / "a.png")
    image = shows_something(tmp_path / "a.png")
    assert has_colour(image, "#ff0000") == (shape[0] == 3)


def test_grid_names_what_does_not_fit(tmp_path):
    with pytest.raises(ShapeError, match=r"not \(2, 2, 8, 8\)"):
        save(plots.image_grid(np.zeros((2, 2, 8, 8)), ["", ""]), tmp_path / "a.png")
    with pytest.raises(ShapeError, match="one caption per image"):
        save(plots.image_grid(np.zeros((2, 8, 8)), ["one"]), tmp_path / "a.png")


@pytest.mark.slow
def test_the_same_data_give_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        save(training.loss_and_accuracy(history()), tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_failed_picture_leaves_the_old_one(tmp_path, monkeypatch):
    save(plots.confusion(np.eye(3, dtype=int), NAMES[:3]), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(OSError, match="No space left"):
        save(plots.confusion(np.ones((3, 3), int), NAMES[:3]), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(OSError) as e:
        save(plots.confusion(np.eye(10, dtype=int), NAMES), tmp_path / "not there" / "a.png")
    assert "not there" in str(e.value)


@pytest.mark.slow
def test_threads_may_draw_at_once(tmp_path):
    def draw(k):
        save(plots.confusion(np.eye(3, dtype=int) * (k + 1), NAMES[:3]), tmp_path / f"{k}.png")

    threads = [threading.Thread(target=draw, args=(k,)) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(2):
        save(plots.confusion(np.eye(3, dtype=int) * (k + 1), NAMES[:3]), tmp_path / "alone.png")
        assert (tmp_path / f"{k}.png").read_bytes() == (tmp_path / "alone.png").read_bytes()


@pytest.mark.slow
def test_silent_and_without_pyplot(tmp_path):
    script = (
        "import sys, numpy as np\n"
        "from scratchnet.plots import studies as plots\n"
        "from scratchnet.plots.style import save\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"save(plots.confusion(np.eye(3, dtype=int), ['a', 'b', 'c']), {str(tmp_path / 'a.png')!r})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    environment = {"PATH": "", "MPLCONFIGDIR": str(tmp_path / "new"), "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False,
                          cwd=ROOT, env=environment)  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    shows_something(tmp_path / "a.png")
