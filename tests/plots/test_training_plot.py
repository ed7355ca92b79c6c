"""How a training went: readable at any batch size, no empty plot, nothing hidden."""

import numpy as np
import pytest

from scratchnet.engine.history import History
from scratchnet.plots import training
from tests.plots.figures import laid_out, legends_on_axes, outside, texts
from tests.profiles import quick_every, quick_first


def history(epochs: int, steps: int, *names: str, noise: float = 0.3, seed: int = 0) -> History:
    """Noisy losses that fall, and rows with these names, as a study leaves them."""
    rng, n = np.random.default_rng(seed), epochs * steps
    losses = (0.05 + np.exp(-4 * np.arange(n) / n)) * rng.lognormal(0, noise, n)
    rows = [{"epoch": k + 1, "train_loss": float(losses[k * steps : (k + 1) * steps].mean()), "seconds": 1.0,
             **{name: 0.5 + 0.4 * (k + 1) / epochs + 0.05 * rng.random() for name in names}}
            for k in range(epochs)]  # fmt: skip
    return History(rows, losses.tolist())


def drawn(*args, **options):
    return laid_out(training.loss_and_accuracy(*args, **options))


CASES = {
    "batch 1, one epoch": (history(1, 60_000, "train_accuracy", noise=2.5), {}),
    "batch 1, five epochs": (history(5, 12_000, "train_accuracy", noise=2.5), {"judged": ("test", 0.93)}),
    "a small table": (history(200, 10, "train_accuracy"), {"judged": ("cross-validated", 0.96), "dropout": True}),
    "validated": (history(12, 215, "train_accuracy", "valid_accuracy", "valid_loss"), {"examples": 55_000}),
    "a step an epoch": (history(300, 1, noise=0.0), {}),
    "a regression": (history(30, 7, "valid_loss"), {}),
}


@pytest.mark.parametrize("name", quick_every(2, CASES))
def test_no_legend_lies_on_a_curve_and_no_text_leaves_the_figure(name) -> None:
    fig = drawn(CASES[name][0], **CASES[name][1])
    assert legends_on_axes(fig) == 0 and outside(fig) == []


def test_ten_thousands_of_steps_are_a_line_and_no_wall() -> None:
    """At batch 1 single losses span decades; their means do not."""
    ax = drawn(CASES["batch 1, one epoch"][0]).axes[0]
    assert not ax.collections  # no area is filled
    for line in ax.lines:
        assert len(line.get_xdata()) <= 2000
    y = ax.lines[0].get_ydata()
    assert len(y) <= training.MOST_POINTS and y.max() / y.min() < 300
    assert [line.get_label() for line in ax.lines] == ["mean of 240 steps", "mean of 3,000 steps"]


@pytest.mark.parametrize(
    ("case", "plots"),
    quick_first(
        [("a step an epoch", 1), ("a regression", 2), ("batch 1, one epoch", 1), ("batch 1, five epochs", 2)], 2
    ),
)
def test_there_is_no_second_plot_of_one_point_or_of_the_same_curve(case, plots) -> None:
    fig = drawn(CASES[case][0], **CASES[case][1])
    assert len(fig.axes) == plots
    for ax in fig.axes:
        assert max(len(line.get_xdata()) for line in ax.lines) > 1


def test_a_row_before_the_first_epoch_is_a_point() -> None:
    known = history(1, 20, "train_accuracy", "valid_accuracy", "valid_loss")
    before = {"epoch": 0, "valid_loss": 2.3, "valid_accuracy": 0.1, "train_accuracy": 0.1}
    fig = drawn(History(known.epochs, known.step_losses, start=before))
    assert fig.axes[1].lines[0].get_xdata().tolist() == [0, 1]
    assert fig.axes[0].lines[-1].get_xdata().tolist() == [0, 20]  # the validation loss


def test_the_cross_validated_accuracy_is_a_line_with_its_name() -> None:
    fig = drawn(*CASES["a small table"][:1], **CASES["a small table"][1])
    assert any(np.allclose(line.get_ydata(), 96.0) for line in fig.axes[1].lines)
    written = [text for text, _ in texts(fig)]
    assert "cross-validated\n96.00 %" in written and any("cross-validated accuracy 96.00 %" in t for t in written)
    assert "Training loss (neurons left out by dropout)" in written


@pytest.mark.parametrize(
    ("examples", "title"),
    [(55_000, "Accuracy (training: first 2,000 of 55,000)"), (150, "Accuracy"),
     (None, "Accuracy (training: 2,000 examples at most)")],
)  # fmt: skip
def test_what_the_training_accuracy_was_measured_on_is_said(examples, title) -> None:
    fig = drawn(history(3, 10, "train_accuracy"), examples=examples)
    assert title in [text for text, _ in texts(fig)]
