"""What every layer must satisfy, as functions of a case that raise AssertionError.

The mutants are run against these checks. Letters: x input and y output in columns, v a
random ∂C/∂y, u a random direction, J the derivative of y. C = ⟨v, y⟩.
"""

import contextlib
import copy
import itertools
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is what the layers are compared with")

from parity.errors import difference  # noqa: E402
from parity.rounding import Rounding, change, longest_sum, moved_results, tolerance  # noqa: E402
from parity.rows import GRADIENT_TOLERANCE  # noqa: E402
from parity.twins import Dropout, to_torch  # noqa: E402
from scratchnet import SGD, Sequential  # noqa: E402
from scratchnet.engine.columns import to_rows  # noqa: E402
from scratchnet.engine.layers import Layer  # noqa: E402
from scratchnet.engine.learner import Learner  # noqa: E402
from tests.cases import Case, layouts  # noqa: E402

CENTRAL_TOLERANCE = 1e-7
COMPLEX_TOLERANCE = 1e-12


def learner(seed: int = 3, training: bool = True) -> Learner:
    learn = Learner(seed, training)
    learn.begin()
    return learn


def cotangent(y: np.ndarray, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(y.shape).astype(y.dtype)


def run(
    net: Sequential, x: np.ndarray, v: np.ndarray | None = None, seed: int = 3, training: bool = True
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """(y, dx, gradients) of a network of one layer, as in training or as in inference.

    Gradients that are not written stay NaN.
    """
    learn, (layer,) = learner(seed, training), net.layers
    net.store.grads.fill(np.nan)
    kept = x.copy()
    y, cache = layer.forward(x, learn)
    value = y.copy()
    seen = copy.deepcopy(cache)
    v = cotangent(y) if v is None else v
    dx = layer.backward(v.copy(order="K"), cache, learn, True)
    assert np.array_equal(x, kept, equal_nan=True), "the input was changed"
    assert np.array_equal(y, value, equal_nan=True), "backward changed the output"
    assert same(seen, cache), "backward changed the cache"
    return value, as_dx(dx, layer, x), {name: p.grad.copy() for name, p in net.params.items() if p.trained}


def as_dx(dx: np.ndarray | None, layer: Layer, x: np.ndarray) -> np.ndarray:
    """A copy of ∂C/∂x; of indices there is none, which counts as 0."""
    if layer.takes_indices:
        assert dx is None
        return np.zeros(x.shape, layer.params()[0].value.dtype)
    return dx.copy()


def same(a: Any, b: Any) -> bool:
    """Whether two caches hold the same arrays."""
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return True  # sizes and such; not arrays


def close(a: np.ndarray, b: np.ndarray, tolerance: float, what: str, floor: float = 1e-14) -> None:
    d = difference(a, b)
    # an array that is 0 except for rounding (the gradient behind a normalisation) has
    # no relative error
    assert d.norm_relative <= tolerance or d.absolute <= floor, f"{what}: {d}"


def torch_run(
    net: Sequential, x: np.ndarray, v: np.ndarray, rounding: Rounding | None = None
) -> tuple[np.ndarray, ...]:
    """(y, dx, gradients...) of the twin, in columns; Dropout uses our mask.

    With a rounding, they are moved by it.
    """
    twin = to_torch(net).train()
    rows, delta = (torch.from_numpy(np.ascontiguousarray(to_rows(a))) for a in (x, v))
    module = twin[0]
    if isinstance(module, Dropout):
        _, mask = net.layers[0].forward(x.copy(), learner())
        module.mask = torch.ones_like(rows) if mask is None else torch.from_numpy(np.ascontiguousarray(to_rows(mask)))
    with rounding or contextlib.nullcontext():
        if rounding:
            rows, delta, twin = rounding.round(rows), rounding.round(delta), rounding.twin(twin)
        indices = not rows.is_floating_point()
        y = twin(rows if indices else rows.requires_grad_())
        y.backward(delta)
        dx = torch.zeros(rows.shape) if indices else rows.grad
    columns = [np.moveaxis(t.detach().numpy(), 0, -1) for t in (y, dx)]
    return (*columns, *(p.grad.numpy() for p in twin.parameters()))


# --------------------------------------------------------------------------- the checks


def agrees_with_torch(case: Case) -> None:
    """Values and gradients within 1e-12 of PyTorch in float64."""
    net, x = case.net(), case.x()
    y, dx, grads = run(net, x)
    theirs = torch_run(net, x, cotangent(y))
    for what, a, b in zip(("y", "dx", *grads), (y, dx, *grads.values()), theirs, strict=True):
        close(a, b, GRADIENT_TOLERANCE, what)
    rows = net(np.moveaxis(x, -1, 0))
    twin = to_torch(net)  # in evaluation
    close(
        rows, twin(torch.from_numpy(np.ascontiguousarray(to_rows(x)))).detach().numpy(), GRADIENT_TOLERANCE, "inference"
    )


def agrees_with_central_differences(case: Case) -> None:
    """Every coordinate of every gradient is close to the central difference.

    Within 1e-7 of (C(w + h) − C(w − h)) / 2h, with h = 1e-5.
    """
    net, x = case.net(), case.x()
    y, dx, grads = run(net, x)
    v, (layer,) = cotangent(y), net.layers

    def cost() -> float:
        return float((v * layer.forward(x.copy(), learner())[0]).sum())

    for what, w, g in variables(net, x, dx, grads):
        numeric = np.empty_like(g)
        for k in np.ndindex(w.shape):
            kept, costs = w[k], []
            for h in (1e-5, -1e-5):
                w[k] = kept + h
                costs.append(cost())
            w[k] = kept
            numeric[k] = (costs[0] - costs[1]) / 2e-5 if free(net, what, k) else 0
        close(g, numeric, CENTRAL_TOLERANCE, f"central difference of {what}", floor=1e-9)


def agrees_with_complex_step(case: Case) -> None:
    """Every coordinate is close to the complex step, which has no rounding error.

    Within 1e-12 of Im C(w + ih) / h, with h = 1e-30. Adjointness is checked on the way.
    """
    if not case.space.analytic:
        return
    net, x = case.net(), case.x()
    y, dx, grads = run(net, x)
    v = cotangent(y)
    for p in net.params.values():
        p.value = p.value.astype(complex)
    (layer,) = net.layers
    x = x if layer.takes_indices else x.astype(complex)

    def slope() -> float:
        return float((v * layer.forward(x.copy(), learner())[0]).sum().imag / 1e-30)

    for what, w, g in variables(net, x, dx, grads):
        numeric = np.empty_like(g)
        for k in np.ndindex(w.shape):
            w[k] += 1e-30j
            numeric[k] = slope() if free(net, what, k) else 0
            w[k] = w[k].real
        close(g, numeric, COMPLEX_TOLERANCE, f"complex step of {what}")
    # the adjoint identity ⟨v, J u⟩ = ⟨Jᵀ v, u⟩, for one direction through everything at
    # once
    rng, total = np.random.default_rng(8), 0.0
    for what, w, g in variables(net, x, dx, grads):
        u = direction(net, what, w, rng)
        w[...] += 1e-30j * u
        total += float((g * u).sum())
    close(np.array(slope()), np.array(total), COMPLEX_TOLERANCE, "adjoint", floor=1e-13 * max(1, x.size))


def variables(
    net: Sequential, x: np.ndarray, dx: np.ndarray, grads: dict[str, np.ndarray]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Everything that y depends on, with its gradient."""
    if x.dtype.kind != "i":
        yield "x", x, dx
    for name, g in grads.items():
        yield name, net.params[name].value, g


def free(net: Sequential, name: str, k: tuple[int, ...]) -> bool:
    """Whether this element is trained: the gradient of a row that is held is 0."""
    return name not in net.params or not k or net.params[name].held_row != k[0]


def direction(net: Sequential, name: str, w: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random direction in which all that is trained moves."""
    u = rng.standard_normal(w.shape)
    if name in net.params and (row := net.params[name].held_row) is not None:
        u[row] = 0
    return u


def is_adjoint(case: Case) -> None:
    """⟨v, J u⟩ = ⟨Jᵀ v, u⟩, with J u by differences of fourth order.

    This is for layers that cannot compute with complex x.
    """
    net, x = case.net(), case.x()
    y, dx, grads = run(net, x)
    v, rng, (layer,) = cotangent(y), np.random.default_rng(8), net.layers
    directions = [(w, direction(net, what, w, rng), g) for what, w, g in variables(net, x, dx, grads)]
    values, h = {}, 1e-4
    for k in (-2, -1, 1, 2):
        for w, u, _ in directions:
            w[...] += k * h * u
        values[k] = layer.forward(x.copy(), learner())[0].copy()
        for w, u, _ in directions:
            w[...] -= k * h * u
    Ju = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * h)
    ours, numeric = sum(float((g * u).sum()) for _, u, g in directions), float((v * Ju).sum())
    size = sum(float(np.linalg.norm(g) * np.linalg.norm(u)) for _, u, g in directions)
    assert abs(ours - numeric) <= 1e-9 * (size + 1e-3), f"adjoint: {ours} against {numeric}"


def takes_any_memory_order(case: Case) -> None:
    """The same result for x and δ in C, Fortran, strided and reversed order."""
    net, x = case.net(), case.x()
    y, dx, grads = run(net, x)
    for order, a in layouts(x):
        for v_order, v in layouts(cotangent(y)):
            results = run(net, a, v)
            for what, p, q in zip(("y", "dx", *grads), (*results[:2], *results[2].values()), (y, dx, *grads.values()),
                                  strict=True):  # fmt: skip
                close(p, q, 1e-13, f"{what} of x in {order} order, delta in {v_order} order")


def keeps_nothing(case: Case) -> None:
    """Two forwards may be followed by their two backwards: the layer keeps nothing."""
    net = case.net()
    (layer,) = net.layers
    xs = [case.x(seed=1), case.x(seed=2)]
    for training in (True, False):
        alone = [run(net, x, seed=seed, training=training) for seed, x in enumerate(xs)]
        before = {k: v for k, v in vars(layer).items() if not isinstance(v, np.ndarray)}
        learners = [learner(seed, training) for seed in range(2)]
        passes = [(x, learn, layer.forward(x, learn)) for x, learn in zip(xs, learners, strict=True)]
        for (x, learn, (y, cache)), (y_alone, dx_alone, grads) in zip(passes, alone, strict=True):
            close(y, y_alone, 0.0, "y of interleaved passes", floor=0.0)
            dx = as_dx(layer.backward(cotangent(y), cache, learn, True), layer, x)
            close(dx, dx_alone, 0.0, "dx of interleaved passes", floor=0.0)
            for name, g in grads.items():
                close(net.params[name].grad, g, 0.0, f"{name} of interleaved passes", floor=0.0)
        assert before == {k: v for k, v in vars(layer).items() if not isinstance(v, np.ndarray)}


def gives_no_dx_where_nobody_reads_it(case: Case) -> None:
    """need_dx=False changes no gradient."""
    net, x = case.net(), case.x()
    y, _, grads = run(net, x)
    learn, (layer,) = learner(), net.layers
    net.store.grads.fill(np.nan)
    _, cache = layer.forward(x, learn)
    layer.backward(cotangent(y), cache, learn, False)
    for name, g in grads.items():
        close(net.params[name].grad, g, 0.0, name, floor=0.0)


def honours_in_place(case: Case) -> None:
    """Writes into its input only if allowed to, and the result is the same either way.

    Arrays that it calls fresh are its own.
    """
    net, x = case.net(), case.x()
    (layer,) = net.layers
    y, dx, _ = run(net, x)  # asserts that x is unchanged
    result, cache = layer.forward(x, learner())
    if layer.output_is == "fresh":
        assert not np.shares_memory(result, x), "a fresh output may not share memory with the input"
        arrays = [a for a in flat(cache) if isinstance(a, np.ndarray)]
        assert not any(np.shares_memory(result, a) for a in arrays), "a fresh output may not be in the cache"
    if not layer.writes_in_place:
        return
    own = x.copy()
    result, cache = layer.forward(own, learner(), own)
    assert np.shares_memory(result, own), "it says that it writes in place"
    close(result, y, 0.0, "y in place", floor=0.0)
    own_dx = layer.backward(cotangent(y), cache, learner(), True)
    close(own_dx, dx, 0.0, "dx after y in place", floor=0.0)


def flat(cache: Any) -> Iterator[Any]:
    if isinstance(cache, (tuple, list)):
        for part in cache:
            yield from flat(part)
    else:
        yield cache


def stays_float32(case: Case) -> None:
    """float32 in, float32 everywhere; the error against float64 is rounding alone."""
    net, x = case.net("float32"), case.x("float32")
    (layer,) = net.layers
    y, dx, grads = run(net, x)
    for what, a in {"y": y, "dx": dx, **grads}.items():
        assert a.dtype == np.float32, f"{what} became {a.dtype}"
    for a in flat(layer.forward(x, learner())[1]):
        assert not isinstance(a, np.ndarray) or a.dtype != np.float64, "the cache holds float64"
    assert net(np.moveaxis(x, -1, 0)).dtype == np.float32
    rounds_as_float32_may(case, net, x)


def rounds_as_float32_may(case: Case, net: Sequential, x: np.ndarray) -> None:
    """Every float32 result is as near to float64's as parity.rounding says."""
    for what, error, limit in float32_errors(case, net, x):
        assert error <= limit, f"{what}: float32 error {error:.1e}, tolerance {limit:.1e}"


def float32_errors(
    case: Case, net: Sequential, x: np.ndarray, made: list[Any] | None = None
) -> list[tuple[str, float, float]]:
    """(what, our error, its tolerance) of y, dx and every gradient.

    `made` keeps the passes with random errors for another call with the same x.
    """
    y, dx, grads = run(net, x)
    v = cotangent(y)
    double = case.net("float64")
    for name, p in net.params.items():
        double.params[name].value[...] = p.value
    x, v = x if x.dtype.kind == "i" else x.astype(np.float64), v.astype(np.float64)
    exact, ours = torch_run(double, x, v), {"y": y, "dx": dx, **grads}
    terms = [longest_sum(net, 0, (case.batch, *case.shape), gradient=what in grads) for what in ours]

    def rows(moved: list[list[np.ndarray]]) -> list[tuple[str, float, float]]:
        return [
            (what, difference(a, b).norm_relative, tolerance(n, change(each, b)))
            for (what, a), b, n, each in zip(ours.items(), exact, terms, zip(*moved), strict=True)
        ]

    def moved(rounding: Rounding) -> tuple[np.ndarray, ...]:
        return torch_run(double, x, v, rounding)

    def holds(made: list[tuple[np.ndarray, ...]]) -> bool:
        return all(error <= limit for _, error, limit in rows(made))

    return rows(moved_results(moved, holds, made))


SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0)


def treats_nan_as_torch(case: Case) -> None:
    """NaN, ±∞ and ±0 in x, ∂C/∂y and the weights lead to the same kinds as in PyTorch.

    The value and every gradient are NaN, ±∞ or finite in the same places. There is one
    special number alone, and then one in seven numbers is special. Left out is what
    PyTorch itself computes in two ways: in float32 its convolutions are oneDNN's,
    without the products with the padding, so ours are compared with PyTorch's own; and
    with γ = ±∞ it takes γ μ/σ from γ x/σ, which is NaN where γ x̂ is ±∞. See
    parity/README.md.
    """
    places = ("x", "delta", "x and delta", "weights")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's words on TF32 when oneDNN is switched off
        with torch.backends.mkldnn.flags(enabled=False):
            for seed, choice in enumerate(itertools.product(("float64", "float32"), places, (0.0, 0.15))):
                _spoil_and_compare(case, seed, *choice)


def _spoil_and_compare(case: Case, seed: int, dtype: str, place: str, share: float) -> None:
    rng, net, x = np.random.default_rng(seed), case.net(dtype), case.x(dtype)
    v = cotangent(net.layers[0].forward(x.copy(), learner())[0])
    special = [a for a in SPECIAL if not np.isinf(a)] if place == "weights" and "Norm" in case.layer else SPECIAL
    spoilt = [a for name, a in (("x", x), ("delta", v)) if name in place and a.dtype.kind == "f"]
    spoilt += [p.value for p in net.params.values()][seed % 2 :: 2] if place == "weights" else []
    for a in spoilt:
        chosen = rng.random(a.shape) < share
        chosen[tuple(rng.integers(0, a.shape))] = True
        a[chosen] = rng.choice(special, chosen.sum())
    y, dx, grads = run(net, x, v)
    theirs = torch_run(net, x, v)
    for what, ours, torchs in zip(("y", "dx", *grads), (y, dx, *grads.values()), theirs, strict=True):
        text = f"{what}, {dtype}, special numbers in {place}"
        np.testing.assert_allclose(ours, torchs, rtol=1e-3, atol=1e-3, err_msg=text)


def drawn_case_agrees(case: Case, seed: int, order: str, dtype: str) -> None:
    """Values and gradients against PyTorch for random numbers.

    A third of them are rounded, so that zeros and ties occur.
    """
    rng = np.random.default_rng(seed)
    x = 2 * rng.standard_normal((*case.shape, case.batch))
    if seed % 3 == 0:
        x = np.round(x)
    x, net = x.astype(dtype), case.net(dtype, seed=seed % 1000)
    x = case.x(seed=seed) if net.layers[0].takes_indices else x
    x = dict(layouts(x))[order]
    if dtype == "float32":
        rounds_as_float32_may(case, net, x)
        return
    y, dx, grads = run(net, x)
    theirs = torch_run(net, x, cotangent(y))
    for what, a, b in zip(("y", "dx", *grads), (y, dx, *grads.values()), theirs, strict=True):
        close(a, b, GRADIENT_TOLERANCE, what)


def moves_running_values(case: Case) -> None:
    """What is kept but not trained, such as a running mean, equals PyTorch's."""
    net, x = case.net(), case.x()
    if all(p.trained for p in net.params.values()):
        return
    twin, (layer,), learn = to_torch(net).train(), net.layers, SGD(net, lr=0.0)
    for _ in range(2):
        learn.begin()
        y, cache = layer.forward(x.copy(), learn)
        layer.backward(cotangent(y), cache, learn, True)
        twin(torch.from_numpy(np.ascontiguousarray(to_rows(x))))
    for name, p in net.params.items():
        if not p.trained:
            close(p.value, twin.state_dict()[name].numpy(), GRADIENT_TOLERANCE, name)


def takes_sequences_that_end(case: Case) -> None:
    """Sequences of unequal lengths in one batch give the results of each one alone."""
    net, x = case.net(), case.x()
    (layer,) = net.layers
    T, _, N = x.shape if x.ndim == 3 else (0, 0, 0)
    if not hasattr(layer, "run_back") or T < 2:
        return
    lengths = np.arange(N) * 2 % T + 1
    mask = np.arange(T)[:, None] < lengths
    learn = learner()
    y, final, cache = layer.run(x.copy(), learn, None, mask)
    end = [tuple(cotangent(part, 20 + k) for k, part in enumerate(parts)) for parts in final]  # ∂C/∂ the final state
    y, v = y.copy(), cotangent(y)
    if layer.output == "sequence":  # what is handed on after the end is not read
        y, v = y * mask[:, None], v * mask[:, None]
    dx = layer.run_back(v.copy(), cache, learn, True, end)[0].copy()
    grads = {name: p.grad.copy() for name, p in net.params.items()}
    ys, dxs, sums = np.zeros_like(y), np.zeros_like(dx), {name: np.zeros_like(g) for name, g in grads.items()}
    for n, L in enumerate(lengths):
        one, upto = slice(n, n + 1), slice(L if layer.output == "sequence" else None)
        learn = learner()
        ys[upto, ..., one], _, cache = layer.run(x[:L, :, one].copy(), learn)
        end_n = [tuple(part[:, one] for part in parts) for parts in end]
        dxs[:L, :, one] = layer.run_back(v[upto, ..., one].copy(), cache, learn, True, end_n)[0]
        for name, p in net.params.items():
            sums[name] += p.grad
    for what, a, b in zip(("y", "dx", *grads), (y, dx, *grads.values()), (ys, dxs, *sums.values()), strict=True):
        close(a, b, GRADIENT_TOLERANCE, f"{what} of sequences that end")


CHECKS: tuple[Callable[[Case], None], ...] = (
    agrees_with_torch,
    agrees_with_central_differences,
    agrees_with_complex_step,
    is_adjoint,
    takes_any_memory_order,
    keeps_nothing,
    gives_no_dx_where_nobody_reads_it,
    honours_in_place,
    stays_float32,
    treats_nan_as_torch,
    moves_running_values,
    takes_sequences_that_end,
)
