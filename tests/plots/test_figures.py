"""What all plots have in common: a figure is returned, drawn on axes that are given,
and shown by a notebook."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import scratchnet as sn
from scratchnet import plots
from scratchnet.engine.history import History
from scratchnet.plots import studies, training, values, waveforms
from scratchnet.plots.style import new_figure
from tests.plots.figures import laid_out, outside
from tests.profiles import quick_every

HISTORY = History(
    [{"epoch": k + 1, "train_loss": 2 / (k + 1), "valid_loss": 3 / (k + 1), "valid_accuracy": 0.5 + k / 10}
     for k in range(4)],
    [1.0, 0.5] * 4,
    start={"epoch": 0, "valid_loss": 4.0, "valid_accuracy": 0.1},
)  # fmt: skip
NET = sn.Sequential(sn.Linear(2, 3), seed=0)
POINTS, LABELS = np.random.default_rng(0).normal(size=(20, 2)), np.arange(20) % 3
ONE_PICTURE = {
    "history": HISTORY.plot,
    "loss by epoch": lambda ax: training.by_epoch(HISTORY, "loss", ax),
    "accuracy by epoch": lambda ax: HISTORY.plot(ax, "accuracy"),
    "learning curves": lambda ax: plots.learning_curves({"one": HISTORY.rows, "two": HISTORY.rows}, ax),
    "boundary": lambda ax: plots.boundary(NET, POINTS, LABELS, ax),
    "confusion": lambda ax: plots.confusion(np.eye(3, dtype=int), ["a", "b", "c"], ax),
    "weights": lambda ax: plots.weights_as_images(np.eye(16), (4, 4), ax=ax),
    "groups": lambda ax: studies.accuracy_by_group({"cat": 0.2, "car": 0.9}, {"a": ["cat"], "b": ["car"]}, ax),
    "values": lambda ax: values.predicted_against_true(np.arange(5.0), np.ones(5), ax),
    "pass": lambda ax: waveforms.along_pass(np.ones(9), np.arange(9.0), np.ones(9), ax),
}


@pytest.mark.parametrize("draw", quick_every(2, ONE_PICTURE.values()), ids=ONE_PICTURE)
def test_one_picture_is_drawn_on_the_axes_that_are_given(draw) -> None:
    fig = new_figure("mine", "and more", 13, 5)
    left, right = fig.subplots(1, 2)
    assert draw(left) is fig
    assert left.get_title(loc="left") and (left.lines or left.images or left.patches)
    assert not (right.lines or right.images or right.patches or right.get_title(loc="left"))
    assert outside(laid_out(fig)) == []


@pytest.mark.parametrize("draw", quick_every(2, list(ONE_PICTURE.values())[::-1]), ids=list(ONE_PICTURE)[::-1])
def test_without_axes_it_is_a_figure_of_its_own(draw) -> None:
    fig = laid_out(draw(None))
    assert fig.texts[0].get_text() and outside(fig) == []


@pytest.mark.parametrize("draw", ONE_PICTURE.values(), ids=ONE_PICTURE)
def test_what_is_no_axes_is_refused(draw) -> None:
    with pytest.raises(sn.SettingError, match=r"ax must be axes of Matplotlib, not 'a\.png'"):
        draw("a.png")


def test_axes_of_a_figure_in_a_figure_give_the_whole_one() -> None:
    fig = new_figure("mine")
    part, _ = fig.subfigures(1, 2)
    assert HISTORY.plot(part.subplots()) is fig


def test_a_notebook_shows_a_figure() -> None:
    """Without pyplot, Jupyter would show its address."""
    picture, size = HISTORY.plot()._repr_png_()
    with Image.open(io.BytesIO(picture)) as image:
        assert image.format == "PNG" and image.width > size["width"] > 600
        assert image.width / image.height == pytest.approx(size["width"] / size["height"], rel=0.01)


def test_a_history_draws_both_or_the_one_that_is_asked_for() -> None:
    assert [ax.get_title(loc="left") for ax in HISTORY.plot().axes] == ["Training loss", "Accuracy"]
    (ax,) = HISTORY.plot(quantity="accuracy").axes
    assert [line.get_ydata().tolist() for line in ax.lines] == [[10, 50, 60, 70, 80]]
    (ax,) = HISTORY.plot(quantity="loss").axes
    validation, trained = ax.lines
    assert validation.get_xdata().tolist() == [0, 1, 2, 3, 4] and trained.get_xdata().tolist() == [1, 2, 3, 4]


def test_what_a_history_has_not_is_said() -> None:
    with pytest.raises(sn.SettingError, match="no loss yet: train for one epoch at least"):
        History().plot(quantity="loss")
    losses = History([{"epoch": 1, "train_loss": 1.0}], [1.0])
    with pytest.raises(sn.SettingError, match=r"no accuracy yet: train with labels and valid=\(x, labels\)"):
        losses.plot(quantity="accuracy")
    with pytest.raises(sn.SettingError, match="quantity must be 'accuracy' or 'loss', not 'error'"):
        HISTORY.plot(quantity="error")


def test_a_network_is_drawn_without_a_file() -> None:
    fig = laid_out(NET.draw())
    assert fig.texts[0].get_text() == "The network" and outside(fig) == []


def test_a_notebook_is_told_before_pyplot_says_otherwise(monkeypatch) -> None:
    """pyplot registers a size of its own for all figures; one for ours comes first."""
    told: dict[str, object] = {}

    class Pictures:
        def for_type_by_name(self, module: str, name: str, show: object) -> None:
            told[f"{module}.{name}"] = show

    shell = SimpleNamespace(display_formatter=SimpleNamespace(formatters={"image/png": Pictures()}))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell, version_info=(9, 0)))
    monkeypatch.delitem(sys.modules, "scratchnet.plots.shown", raising=False)
    fig = HISTORY.plot()
    ((name, show),) = told.items()
    assert name == "scratchnet.plots.shown.ShownFigure"
    assert show(fig)[1] == fig._repr_png_()[1] == {"width": 880, "height": 416}
