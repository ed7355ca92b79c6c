"""What `explain` prints is true: every number is that of the trace, and every line of
arithmetic works out.
"""

import math
import re
from pathlib import Path

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.data.digits import load_digits
from scratchnet.engine import backprop
from scratchnet.engine.layers.activation import softmax
from scratchnet.explaining import cell, digit, gate, pencil, pytorch, screen
from scratchnet.explaining.formula import short
from scratchnet.explaining.lesson import Lesson
from scratchnet.explaining.three_ways import ETA, three_ways

LINE = re.compile(r"\s*([^=]*?) = (.+)$")
ARITHMETIC = re.compile(r"[-+*/().\d e]*")


def image_network(*layers: sn.Linear, seed: int = 0) -> sn.Sequential:
    return sn.Sequential(*layers, seed=seed, dtype="float64")


def picture() -> tuple[np.ndarray, int]:
    drawn = load_digits(seed=3, train=10, test=10)
    return drawn.test_images[0] / 255, int(drawn.test_labels[0])


def digit_lesson(
    net: sn.Sequential, loss: sn.MSELoss, shape: tuple[int, ...] = (784,), **options
) -> tuple[Lesson, sn.Trace]:
    image, label = picture()
    x = image.reshape(1, *shape)
    target = np.array([label]) if loss.takes_labels else np.eye(10)[[label]] * 0.98 + 0.01
    names = list("0123456789")
    return digit.lesson(net, image, x, target, loss, names, label, "An image", **options), net.trace(
        x, target, loss, training=False
    )


def deep() -> sn.Sequential:
    first = sn.Linear(784, 20), sn.Tanh(), sn.Dropout(0.5)
    return image_network(*first, sn.Linear(20, 30), sn.ReLU(), sn.Linear(30, 10), sn.LogSoftmax())


def convolutions() -> sn.Sequential:
    first = sn.Conv2d(1, 3, 4, stride=2, padding=1), sn.ReLU(), sn.AvgPool2d(2), sn.Conv2d(3, 2, 3), sn.Tanh()
    return image_network(*first, sn.Flatten(), sn.Linear(50, 12), sn.ReLU(), sn.Linear(12, 10), seed=4)


def conv_lesson(**options) -> tuple[Lesson, sn.Trace]:
    net, (image, label) = convolutions(), picture()
    x, t, loss = image.reshape(1, 1, 28, 28), np.array([label]), sn.CrossEntropyLoss()
    return cell.lesson(net, x, t, loss, "An image", **options), net.trace(x, t, loss, training=False)


def small_lesson(form, **options) -> tuple[Lesson, sn.Trace]:
    net, x, t, loss, about = form.small()
    return form.lesson(net, x, t, loss, about, **options), net.trace(x, t, loss, training=False)


def recurrent_lesson(kind: type, **options) -> tuple[Lesson, sn.Trace]:
    net = sn.Sequential(kind(2, 5, num_layers=2), sn.Linear(5, 1), dtype="float64", seed=1)
    x, t, loss, about = gate.drawn(net)
    return gate.lesson(net, x, t, loss, about, **options), net.trace(x, t, loss, training=False)


LESSONS = {
    "pencil": lambda: (pencil.lesson(), pencil.trace_of(pencil.network())),
    "one layer": lambda: digit_lesson(image_network(sn.Linear(784, 10)), sn.CrossEntropyLoss()),
    "sigmoids": lambda: digit_lesson(
        image_network(sn.Linear(784, 15), sn.Sigmoid(), sn.Linear(15, 10), sn.Sigmoid()), sn.QuadraticCost()
    ),
    "no bias": lambda: digit_lesson(
        image_network(sn.Linear(784, 15, bias=False), sn.Sigmoid(), sn.Linear(15, 10), sn.Softmax()),
        sn.MSELoss(),
    ),
    "normalised": lambda: digit_lesson(
        image_network(sn.Linear(784, 15), sn.BatchNorm1d(15), sn.ReLU(), sn.Linear(15, 10)), sn.CrossEntropyLoss()
    ),
    "deep": lambda: digit_lesson(deep(), sn.NLLLoss()),
    "a later weight": lambda: digit_lesson(deep(), sn.NLLLoss(), weight=(3, 29, 19)),
    "the last weight": lambda: digit_lesson(deep(), sn.NLLLoss(), weight=(5, 9, 0)),
    "behind convolutions": lambda: digit_lesson(convolutions(), sn.CrossEntropyLoss(), (1, 28, 28)),
    "conv": lambda: small_lesson(cell),
    "conv, a cell": lambda: small_lesson(cell, cell=(0, 3, 2)),
    "conv of a model": conv_lesson,
    "conv at the edge": lambda: conv_lesson(cell=(2, 0, 13)),
    "lstm": lambda: small_lesson(gate),
    **{f"lstm, {name}": lambda name=name: small_lesson(gate, gate=name, time=0, unit=1) for name in "ifgo"},
    "lstm of a model": lambda: recurrent_lesson(sn.LSTM),
    "gru": lambda: recurrent_lesson(sn.GRU),
    "gru, z": lambda: recurrent_lesson(sn.GRU, gate="z", time=5),
    "rnn": lambda: recurrent_lesson(sn.RNN),
}


@pytest.fixture(scope="module", params=LESSONS)
def shown(request) -> tuple[Lesson, sn.Trace]:
    return LESSONS[request.param]()


def test_every_formula_is_that_of_the_trace(shown) -> None:
    """Its terms make its value, and its value is one of the numbers of the trace, to
    the last bit.
    """
    lesson, trace = shown
    arrays = [trace.dx, np.array(trace.loss)]
    for part in trace.layers:
        arrays += [part.output, part.delta, *part.gradients.values()]
        arrays += [a for time in part.times for a in vars(time).values()]
    values = np.concatenate([a.ravel() for a in arrays])
    assert len(lesson.formulas) >= 5
    for formula in lesson.formulas:
        assert abs(formula.computed - formula.value) <= 1e-12 * max(1, abs(formula.value)), formula
        assert np.isin(formula.value, values), formula


def evaluated(text: str) -> float | None:
    """The value of printed arithmetic; None for a text that is none."""
    text = text.replace("·", "*").replace("²", "**2").replace("½ ", "0.5*").replace("σ(", "S(").replace("tanh(", "T(")
    text = (
        re.sub(r" \([\d,]+ more are 0\)| \(of [\d,]+ terms\)", "", text).replace("max(0,", "M(0,").replace("-ln ", "L*")
    )
    if not re.search(r"\d", text) or not re.fullmatch(r"(?:[-+*/().,\d e]|S\(|T\(|M\(|L\*|\*\*2)*", text):
        return None
    if "L*" in text:
        return -math.log(float(text.removeprefix("L*")))
    scope = {"S": lambda z: 1 / (1 + math.exp(-z)), "T": math.tanh, "M": max}
    return float(eval(text, {"__builtins__": {}}, scope))


def test_every_line_of_arithmetic_works_out(shown) -> None:
    """Between any two = signs of a line stand equal numbers, to what rounding to four
    decimals allows.
    """
    lesson, _ = shown
    checked = 0
    for line in screen.lines_of(lesson, 400):  # with every formula on one line
        text = re.split(r"  +engine/", line)[0]
        for piece in re.split(r"  +", text.strip()):  # two formulas may share a line
            sides = [evaluated(side.strip()) for side in piece.split(" = ")] if " = " in piece else []
            known = [value for value in sides if value is not None]
            if len(known) >= 2:
                checked += 1
                size = max(map(abs, known)) + sum(map(abs, map(float, re.findall(r"\d+\.\d+", piece)))) / 3
                assert max(known) - min(known) <= 4e-4 * max(1e-3, size) + 1e-4, line
    assert checked >= (4 if lesson.title.startswith("Back") else 2), lesson.title


def test_the_three_derivatives_and_the_step(shown) -> None:
    lesson, trace = shown
    ways = lesson.ways
    g = trace.gradients[ways.name][ways.index]
    assert ways.by_hand == g and ways.loss == trace.loss
    assert abs(ways.central_difference - g) < 1e-8 and abs(ways.pytorch - g) < 1e-12
    assert ways.weight_after == ways.weight - ETA * g and ways.foretold == trace.loss - ETA * g * g
    assert ways.loss_after < ways.loss or g == 0
    assert abs(ways.loss_after - ways.foretold) <= 0.2 * (ways.loss - ways.foretold) + 1e-12
    text = "\n".join(screen.lines_of(lesson))
    for value in (g, ways.central_difference, ways.pytorch):
        assert f"{value:+.15f}" in text
    for value in (ways.loss, ways.loss_after, ways.foretold, ways.all_after):
        assert f"{value:.8f}" in text


@pytest.mark.parametrize("ascii_only", [False, True])
def test_it_fits_into_80_columns(shown, ascii_only: bool) -> None:
    lesson, _ = shown
    lines = screen.lines_of(lesson, ascii_only=ascii_only)
    assert max(map(len, lines)) <= 80, max(lines, key=len)
    assert len(lines) <= 50
    assert all(line.isascii() for line in lines) or not ascii_only
    wide = screen.lines_of(lesson, 100)
    assert {len(line) for line in wide if re.search(r"engine/\S+:\d+$", line)} == {100}


def test_every_source_is_a_definition(shown) -> None:
    """The line that is named begins the function that is meant."""
    lesson, _ = shown
    root = Path(sn.__file__).parent
    places = {match for line in screen.lines_of(lesson) for match in re.findall(r"(engine/\S+\.py):(\d+)$", line)}
    assert len(places) >= 3
    for file, number in places:
        source = (root / file).read_text(encoding="utf-8").splitlines()[int(number) - 1]
        assert re.match(r"\s*def \w+\(", source), (file, number, source)


# ---------------------------------------------------- against computations of their own


def test_the_pencil_network_letter_by_letter() -> None:
    """Every z, a, σ′, δ and gradient, by the textbook's program, in numbers as they are
    printed.
    """
    W, b = ([np.array(pencil.WEIGHTS[f"{i}.{what}"]) for i in (0, 2)] for what in ("weight", "bias"))
    columns = [v[:, None] for v in b]
    x, t = np.array(pencil.X)[:, None], np.array(pencil.T)[:, None]
    network = W, columns, ["sigmoid", "sigmoid"]
    zs, activated = backprop.forward(network, x)
    C, nabla_W, nabla_b = backprop.backprop(network, x, t, "quadratic")
    text = re.sub("  +", "\n", "\n".join(screen.lines_of(pencil.lesson())))  # one formula a line
    expected = {"C": C}
    primes = []
    for layer in (1, 2):
        for j in range(2):
            expected[f"z{layer}[{j}]"] = zs[layer - 1][j, 0]
            a = activated[layer][j, 0]
            expected[f"δ{layer}[{j}]"] = expected[f"∂C/∂b{layer}[{j}]"] = nabla_b[layer - 1][j, 0]
            primes.append((f"a{layer}[{j}]", a, a * (1 - a)))
            for i in range(2):
                expected[f"∂C/∂W{layer}[{j},{i}]"] = nabla_W[layer - 1][j, i]
    assert len(expected) == 1 + 4 + 4 + 4 + 8
    for letter, value in expected.items():
        found = re.findall(rf"(?<!\S){re.escape(letter)} = (?:[^=\n]*? = )?(\S+)(?=\s|$)", text)
        assert found and found[-1] == short(value), (letter, value, found)
    for letter, a, prime in primes:
        line = next(line for line in screen.lines_of(pencil.lesson()) if line.strip().startswith(letter))
        assert f"= {short(a)} " in line and line.endswith(f"σ′ = {short(a)}·(1 - {short(a)}) = {short(prime)}"), line
    assert abs(zs[0][0, 0]) == 0 and zs[0][1, 0] == 1  # so that a pencil can begin


def test_the_table_of_a_digit() -> None:
    """Every number of the table from the weights and the image, without a trace."""
    net = image_network(sn.Linear(784, 15), sn.Sigmoid(), sn.Linear(15, 10))
    lesson, _ = digit_lesson(net, sn.CrossEntropyLoss())
    image, label = picture()
    W1, b1, W2, b2 = net.state_dict().values()
    a = 1 / (1 + np.exp(-(W1 @ image.ravel() + b1)))
    z = W2 @ a + b2
    p = softmax(z[:, None])[:, 0]
    delta = p - np.eye(10)[label]
    _, j, i = lesson.ways.as_dict()["weight"]
    rows = [line[28:].split() for line in screen.lines_of(lesson)[4:16]]
    assert rows[0] == ["k", "z", "softmax", "t", "delta", "W[k,j]", "W", "delta"]
    for k in range(10):
        product = W2[k, j] * delta[k]
        numbers = [short(v) for v in (delta[k], W2[k, j], product)]
        assert rows[k + 1] == [str(k), f"{z[k]:.2f}", f"{p[k]:.4f}", str(int(k == label)), *numbers]
    assert rows[11] == ["sum", short((W2.T @ delta)[j])]
    own = (W2.T @ delta)[j] * a[j] * (1 - a[j])
    assert abs(lesson.ways.by_hand - own * image.ravel()[i]) < 1e-15
    assert (
        image.ravel()[i] > 0.5
        and f"from pixel ({i // 28}, {i % 28}), marked, to unit {j}" in screen.lines_of(lesson)[2]
    )
    text = screen.lines_of(lesson)
    marked = [(r, line.index("X")) for r, line in enumerate(text[5:16]) if "X" in line[:28]]
    assert len(marked) == 1 and marked[0][1] == i % 28


def test_the_grids_of_a_convolution() -> None:
    lesson, trace = conv_lesson(cell=(2, 0, 13))
    window = trace.layers[0].window(2, 0, 13)
    lines = screen.lines_of(lesson)
    first = next(k for k, line in enumerate(lines) if "window x" in line) + 1
    for r, line in enumerate(lines[first : first + 4]):
        numbers = [float(word) for word in line.replace(">", " ").split()]
        expected = np.concatenate([window.input[0, r], window.kernel[0, r], window.products[0, r]])
        np.testing.assert_allclose(numbers, expected, atol=0.005001)
    assert "beyond the edge" in lines[2]


def test_the_table_of_an_lstm() -> None:
    lesson, trace = small_lesson(gate, gate="i", time=2, unit=1)
    times = trace.layers[0].times
    lines = screen.lines_of(lesson)
    head = next(k for k, line in enumerate(lines) if line.split()[:1] == ["t"])
    letters = [word.replace("dC/d", "d") for word in lines[head].split()[1:]]
    assert letters == ["h", "dh", "i", "f", "g", "o", "c", "dc", "delta_i"]
    for t, line in enumerate(lines[head + 1 : head + 5]):
        assert line.split() == [str(t), *(short(times[t][letter][0, 1]) for letter in letters)]


# ------------------------------------------------------------------ what is around them


def test_without_pytorch_the_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    lesson = pencil.lesson()
    assert lesson.as_dict()["pytorch"] is None and lesson.ways.pytorch == "not installed"
    assert any(re.search(r"PyTorch, autograd +not installed$", line) for line in screen.lines_of(lesson))


def test_a_layer_that_pytorch_does_not_have() -> None:
    net = sn.Sequential(sn.Conv2d(1, 1, 1), sn.MinPool2d(2), dtype="float64")
    x, t = np.ones((1, 1, 2, 2)), np.ones((1, 1, 1, 1))
    assert pytorch.derivative(net, x, t, sn.MSELoss(), "0.weight", (0, 0, 0, 0)) == "has no MinPool2d"


def test_a_kink_is_explained() -> None:
    """At a tie the two sides have other slopes: the difference is the mean of them, and
    the screen says why.
    """
    net = sn.Sequential(sn.Linear(1, 1, bias=False), sn.ReLU(), dtype="float64")
    net.load_state_dict({"0.weight": np.zeros((1, 1))})
    trace = net.trace([[1.0]], [[1.0]], sn.MSELoss(), training=False)
    lesson = Lesson("a kink")
    lesson.checked(three_ways(net, trace, 0, "weight", (0, 0)))
    assert lesson.ways.by_hand == 0 and abs(lesson.ways.central_difference + 1) < 1e-4
    assert "C has a kink within h of this weight" in "\n".join(screen.lines_of(lesson))


def test_it_changes_nothing() -> None:
    net = deep()
    kept = {name: a.copy() for name, a in net.state_dict().items()}
    digit_lesson(net, sn.NLLLoss())
    assert all(np.array_equal(a, kept[name]) for name, a in net.state_dict().items())


def test_an_svg_is_whole_and_asks_for_nothing(tmp_path) -> None:
    import xml.etree.ElementTree as ET

    path = tmp_path / "a.svg"
    screen.save_svg(digit_lesson(deep(), sn.NLLLoss())[0], path)
    svg = path.read_text(encoding="utf-8")
    assert ET.fromstring(svg).tag.endswith("svg")
    assert set(re.findall(r"https?://[^\s\"<)]+", svg)) == {"http://www.w3.org/2000/svg"}
    assert "BP4" in svg and "▀" in svg
    again = tmp_path / "b.svg"
    screen.save_svg(digit_lesson(deep(), sn.NLLLoss())[0], again)
    assert again.read_bytes() == path.read_bytes()
