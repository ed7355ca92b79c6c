"""The plane of two inputs: classes, the lines between them, the examples on it."""

import numpy as np
import pytest

import scratchnet as sn
from scratchnet import plots
from tests.plots.figures import laid_out, legends_on_axes, outside


def points(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).normal(size=(n, 2))
    return x, (x[:, 0] > 0).astype(int)


def half_plane(outputs: int = 2) -> sn.Sequential:
    """Says class 1 where the first input is above 0.5, and is sure of it."""
    net = sn.Sequential(sn.Linear(2, outputs), dtype="float64")
    W = [[-20.0, 0.0], [20.0, 0.0]] if outputs == 2 else [[20.0, 0.0]]
    net.load_state_dict({"0.weight": np.array(W), "0.bias": np.array([10.0, -10.0]) if outputs == 2 else [-9.5]})
    return net


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_line_is_where_the_classes_are_equally_likely(outputs: int) -> None:
    x, labels = points()
    fig = plots.boundary(half_plane(outputs), x, labels)
    (ax,) = fig.axes
    (lines,) = ax.collections
    (path,) = lines.get_paths()
    assert path.vertices[:, 0] == pytest.approx(0.5, abs=0.02)
    assert np.ptp(path.vertices[:, 1]) > 4  # from the bottom to the top
    wrong = ((x[:, 0] > 0.5) != labels).sum()
    assert f"{60 - wrong} of 60 examples are on their side" in fig.texts[1].get_text()
    picture = ax.images[0].get_array()
    assert picture[10, 10, 2] > picture[10, 10, 0] and picture[10, -10, 0] > picture[10, -10, 2]  # blue, orange
    laid_out(fig)
    assert outside(fig) == [] and legends_on_axes(fig) == 0


def test_every_example_is_a_point_of_its_class() -> None:
    x, labels = points()
    (ax,) = plots.boundary(half_plane(), x, labels).axes
    assert [line.get_label() for line in ax.lines] == ["class 0", "class 1"]
    for k, line in enumerate(ax.lines):
        np.testing.assert_array_equal(np.stack(line.get_data(), axis=1), x[labels == k])


def test_it_draws_into_given_axes() -> None:
    from matplotlib.figure import Figure

    fig = Figure()
    left, right = fig.subplots(1, 2)
    assert plots.boundary(half_plane(), *points(), ax=right) is fig
    assert right.images and not left.images and not fig.texts


@pytest.mark.parametrize("last", [sn.Softmax, sn.LogSoftmax, sn.Sigmoid])
def test_three_classes_lists_and_rows_of_values(last: type) -> None:
    net = sn.Sequential(sn.Linear(2, 3), last(), seed=4)
    x, _ = points()
    labels = np.arange(60) % 3
    for given in (labels, labels.tolist(), np.eye(3)[labels]):
        (ax,) = plots.boundary(net, x.tolist(), given).axes
        assert len(ax.lines) == 3 and np.isfinite(ax.images[0].get_array()).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net, x, t: (net, x[:, :1], t), r"points of a plane, \(N, 2\), not \(60, 1\)"),
        (lambda net, x, t: (net, x, t[:5]), "as many targets as examples"),
        (lambda net, x, t: (net, x, t + 1), "labels must be classes from 0 to 1"),
        (lambda net, x, t: ("net", x, t), "net must be a Sequential"),
        (lambda net, x, t: (net, x, t, "axes"), "ax must be axes of Matplotlib, not 'axes'"),
        (lambda net, x, t: (sn.Sequential(sn.Linear(3, 2)), x, t), r"takes \(N, 3\)"),
    ],
)
def test_what_does_not_fit_is_said(change, message: str) -> None:
    with pytest.raises(sn.ScratchnetError, match=message):
        plots.boundary(*change(half_plane(), *points()))
