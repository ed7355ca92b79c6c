"""Every loss against PyTorch, differences and its formula; wrong targets."""

import contextlib

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what the losses are compared with")

from parity.errors import difference  # noqa: E402
from parity.losses import loss_twin  # noqa: E402
from parity.rounding import Rounding, change, moved_results, tolerance  # noqa: E402
from scratchnet import (  # noqa: E402
    CrossEntropyLoss,
    DataError,
    LogSoftmax,
    MSELoss,
    NLLLoss,
    QuadraticCost,
    Sequential,
    SettingError,
    ShapeError,
)
from scratchnet.engine.losses import ClassLoss, Loss  # noqa: E402

LOSSES: tuple[Loss, ...] = (
    CrossEntropyLoss(), NLLLoss(), CrossEntropyLoss(classes="last"), NLLLoss(classes="last"), MSELoss(), MSELoss("sum"),
    QuadraticCost(),
)  # fmt: skip
SHAPES = ((1, 1), (1, 3), (4, 1), (5, 10), (64, 7), (3, 4, 5), (1, 2, 3), (6, 1, 2), (3, 3, 3), (2, 5, 4, 3))


def batch(loss: Loss, shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = (2 * rng.standard_normal(shape)).astype(dtype)
    if isinstance(loss, ClassLoss):
        axis = 1 if loss.classes == "first" else len(shape) - 1
        return y, rng.integers(0, shape[axis], shape[:axis] + shape[axis + 1 :])
    return y, rng.standard_normal(shape).astype(dtype)


def torch_result(
    loss: Loss, y: np.ndarray, t: np.ndarray, rounding: Rounding | None = None
) -> tuple[np.ndarray, np.ndarray]:
    rows = torch.tensor(y) if rounding is None else rounding.round(torch.tensor(y))
    rows.requires_grad_()
    with rounding or contextlib.nullcontext():
        value = loss_twin(loss)(rows, torch.tensor(t))
        value.backward()
    return value.detach().numpy(), rows.grad.numpy()


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_value_and_delta_are_pytorchs(loss: Loss, shape: tuple[int, ...]) -> None:
    y, t = batch(loss, shape)
    kept = y.copy(), t.copy()
    value, delta = loss(y, t)
    theirs = torch_result(loss, y, t)
    assert difference(value, theirs[0]).norm_relative <= 1e-12
    d = difference(delta, theirs[1])
    assert d.norm_relative <= 1e-12 or d.absolute < 1e-15, d
    assert np.array_equal(y, kept[0]) and np.array_equal(t, kept[1]), "the output or target was changed"


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_delta_is_the_derivative_by_complex_step(loss: Loss) -> None:
    y, t = batch(loss, (4, 3))
    _, delta = loss(y, t)
    target = t if loss.takes_labels else t.T
    numeric = np.empty_like(y)
    for k in np.ndindex(y.shape):
        z = y.astype(complex)
        z[k] += 1e-30j
        numeric[k] = np.imag(loss.forward(z.T, target)[0]) / 1e-30
    assert difference(delta, numeric).norm_relative <= 1e-12


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_float32_stays_and_errs_no_more_than_by_rounding(loss: Loss, shape: tuple[int, ...]) -> None:
    y, t = batch(loss, shape, "float32")
    value, delta = loss(y, t)
    assert value.dtype == delta.dtype == np.float32
    y, t = y.astype(np.float64), t if loss.takes_labels else t.astype(np.float64)
    exact = torch_result(loss, y, t)

    def errors_and_limits(moved: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[float, float]]:
        return [
            (difference(ours, reference).norm_relative, tolerance(terms, change(each, reference)))
            for ours, reference, each, terms in zip((value, delta), exact, zip(*moved), (y.size, shape[-1]))
        ]

    moved = moved_results(
        lambda rounding: torch_result(loss, y, t, rounding),
        lambda made: all(error <= limit for error, limit in errors_and_limits(made)),
    )
    for error, limit in errors_and_limits(moved):
        assert error <= limit


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1e2, 1e4])
def test_large_logits(dtype: str, size: float) -> None:
    """Logits of ±1e4 give finite, correct values without overflow."""
    z = np.array([[size, -size, 0], [-size, size, -size], [0, 0, -size]], dtype)
    t = np.array([0, 0, 1])
    value, delta = CrossEntropyLoss()(z, t)
    expected = torch_result(CrossEntropyLoss(), z, t)
    np.testing.assert_allclose(value, expected[0], rtol=1e-6)
    np.testing.assert_allclose(delta, expected[1], atol=1e-7)
    net = Sequential(LogSoftmax(), dtype=dtype)
    np.testing.assert_allclose(NLLLoss()(net(z), t)[0], value, rtol=1e-6)


def test_cross_entropy_of_extreme_logit_is_exact() -> None:
    assert CrossEntropyLoss()(np.array([[1e5, 0.0]]), np.array([1]))[0] == 1e5


def test_quadratic_cost_is_the_books() -> None:
    value, delta = QuadraticCost()(np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([[0.0, 0.0], [3.0, 1.0]]))
    assert value == (1 + 4 + 0 + 16) / (2 * 2)
    assert np.array_equal(delta, [[0.5, 1.0], [0.0, 2.0]])


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_nan_is_not_masked(loss: Loss) -> None:
    y, t = batch(loss, (3, 4))
    y[1, 2] = np.nan
    if loss.takes_labels:
        t[1] = 2
    assert np.isnan(loss(y, t)[0])


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]], ids=str)
def test_label_out_of_range_is_named(labels: list[int]) -> None:
    with pytest.raises(DataError, match=rf"label {next(x for x in labels if x)} is out of range: .* 3 outputs"):
        CrossEntropyLoss()(np.zeros((2, 3)), np.array(labels))


@pytest.mark.parametrize(
    ("loss", "target"),
    [(CrossEntropyLoss(), np.zeros((2, 3))), (NLLLoss(), np.zeros(2)), (NLLLoss(), np.zeros(3, int)),
     (MSELoss(), np.zeros((2, 4))), (QuadraticCost(), np.zeros(2)), (MSELoss(), np.zeros((3, 2)))],
    ids=str,
)  # fmt: skip
def test_target_of_wrong_shape_or_kind(loss: Loss, target: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"\(2,"):
        loss(np.zeros((2, 3)), target)


def test_unknown_reduction() -> None:
    with pytest.raises(SettingError, match="reduction must be mean or sum, not 'none'"):
        MSELoss("none")


def test_the_classes_are_on_axis_1_as_in_pytorch() -> None:
    """If every axis has size three, only the convention tells which one holds the
    classes.
    """
    rng = np.random.default_rng(5)
    y, t = rng.standard_normal((3, 3, 3)), rng.integers(0, 3, (3, 3))
    theirs = torch.nn.functional.cross_entropy(torch.tensor(y), torch.tensor(t)).item()
    assert CrossEntropyLoss()(y, t)[0] == pytest.approx(theirs, rel=1e-12)
    assert CrossEntropyLoss(classes="last")(y.swapaxes(1, 2), t)[0] == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("kind", [CrossEntropyLoss, NLLLoss])
def test_sequences_are_told_of_their_option(kind: type) -> None:
    with pytest.raises(ShapeError, match=rf'for sequences .* take {kind.__name__}\(classes="last"\)'):
        kind()(np.zeros((2, 5, 4)), np.zeros((2, 5), int))
    with pytest.raises(SettingError, match="classes must be first or last, not 'middle'"):
        kind(classes="middle")


@pytest.mark.parametrize("dtype", ["i1", "u1", ">i2", "<u2", ">i4", "<i4", ">u4", "<i8", ">i8", "<u8", ">u8"])
def test_labels_of_any_whole_type_and_byte_order(dtype: str) -> None:
    y, t = batch(CrossEntropyLoss(), (8, 3))
    assert CrossEntropyLoss()(y, t.astype(dtype))[0] == CrossEntropyLoss()(y, t)[0]
    with pytest.raises(DataError, match="label 3 is out of range"):
        CrossEntropyLoss()(y, np.full(8, 3, dtype))


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("convert", [lambda a: a.tolist(), lambda a: tuple(a.tolist()), torch.tensor,
                                     lambda a: a.astype(a.dtype.newbyteorder(">"))],
                         ids=["list", "tuple", "tensor", "other byte order"])  # fmt: skip
def test_outputs_and_targets_of_other_kinds(loss: Loss, convert) -> None:
    y, t = batch(loss, (4, 3))
    value, delta = loss(y, t)
    other_value, other_delta = loss(convert(y), convert(t))
    assert other_value == value and np.array_equal(other_delta, delta)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_whole_numbers_and_half_precision_as_outputs(loss: Loss) -> None:
    y, t = batch(loss, (4, 3))
    whole = np.round(y).astype(int)
    assert loss(whole, t)[0] == loss(whole.astype(float), t)[0]
    assert loss(y.astype(np.float16), t)[0].dtype == np.float32


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("output", [np.float64(3), 2.0, np.zeros(()), np.zeros((0, 3)), []], ids=repr)
def test_an_output_without_a_batch(loss: Loss, output: object) -> None:
    with pytest.raises(ShapeError, match="needs at least one example"):
        loss(output, output if not loss.takes_labels else np.zeros(np.shape(output)[:1], int))


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("bad", [np.zeros((2, 3), complex), np.ma.masked_array(np.zeros((2, 3))), [["a"] * 3] * 2,
                                 None, np.zeros((2, 3), "M8[D]"), np.zeros((2, 3), "m8[s]"), [[1.0, None, 2.0]] * 2,
                                 "text", np.zeros((2, 3), [("a", float)]), [[1.0], [2.0, 3.0]], {"a": 1}],
                         ids=repr)  # fmt: skip
def test_what_is_no_array_of_numbers_is_refused_by_name(loss: Loss, bad: object) -> None:
    with pytest.raises(DataError, match="the output must be an array of numbers, not"):
        loss(bad, np.zeros(2, int))
    with pytest.raises(DataError, match="must be an array of numbers, not"):
        loss(np.zeros((2, 3)), bad)


def test_only_means_combine_by_shares() -> None:
    assert [loss.averages for loss in LOSSES] == [True, True, True, True, True, False, True]


def test_delta_of_the_cross_entropy_adds_up_as_exactly_as_pytorchs() -> None:
    """In float32, 1/N is rounded once for all of δ.

    Otherwise the sums of δ, which are the gradients of biases, would lose what should
    cancel.
    """
    ours, theirs = [], []
    for seed in range(8):
        y, t = batch(CrossEntropyLoss(), (777, 10), "float32", seed)
        exact = torch_result(CrossEntropyLoss(), y.astype(np.float64), t)[1].sum(0)
        for found, delta in ((ours, CrossEntropyLoss()(y, t)[1]), (theirs, torch_result(CrossEntropyLoss(), y, t)[1])):
            found.append(np.linalg.norm(delta.sum(0, dtype=np.float64) - exact) / np.linalg.norm(exact))
    assert np.linalg.norm(ours) <= 1.5 * np.linalg.norm(theirs)


@pytest.mark.parametrize("kind", [CrossEntropyLoss, NLLLoss])
def test_the_reduction_of_losses_of_labels(kind) -> None:
    loss = kind(reduction="mean")
    y, t = batch(loss, (5, 10))
    assert loss == kind() and loss(y, t)[0] == kind()(y, t)[0]
    for other in ("sum", "none", None):
        with pytest.raises(SettingError, match=f"{kind.__name__}: reduction must be mean"):
            kind(reduction=other)
