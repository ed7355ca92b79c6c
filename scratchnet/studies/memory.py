"""What recurrence remembers: two tasks whose answer lies far back in time.

An RNN and an LSTM learn them side by side. Letters: N sequences, T time steps, G steps
of gap, S symbols to remember, K different symbols. The studies:

    adding  two features, (a number from 0 to 1, a mark). Two of the T numbers are
            marked, and the answer at the end is their sum. Always answering 1 gives a
            mean squared error of 1/6 = 0.167.
    copy    S symbols out of K, then G blanks, then a signal, after which the symbols
            have to be repeated in order. A network that has forgotten them is right
            once in K times.

Source: S. Hochreiter and J. Schmidhuber, Long short-term memory, Neural Computation 9
(1997), section 5.4; for copy, M. Arjovsky, A. Shah and Y. Bengio, Unitary evolution
recurrent neural networks, ICML 2016, section 5.1.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from scratchnet.engine.history import History
from scratchnet.engine.layers import GRU, LSTM, RNN, Linear, Sequential
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.engine.losses import CrossEntropyLoss, Loss, MSELoss
from scratchnet.engine.prediction import outputs
from scratchnet.runs.options import CommonOptions, need
from scratchnet.runs.run import Run

LAYERS: dict[str, type[Recurrent]] = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}
TEST = 1_000  # sequences to test on


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Train an RNN and an LSTM on the same sequences and compare what they remember."""

    preset: Literal["default"] = "default"
    """The recipe; it sets the defaults of all other options."""
    layers: str = "RNN,LSTM"
    """The recurrent layers to compare: RNN, GRU, LSTM."""
    hidden: int = 64
    """Hidden units of each recurrent layer."""
    length: int | None = None
    """Length of a sequence (adding, default 50) or of the gap (copy, default 20)."""
    examples: int = 5_000
    """Number of training sequences."""

    def check(self) -> None:
        super().check()
        need(self.hidden >= 1, "--hidden", "a number from 1", self.hidden)
        need(self.length is None or self.length >= 2, "--length", "a number from 2", self.length)
        need(self.examples >= 1, "--examples", "a number from 1", self.examples)
        names = self.layers.split(",")
        need(all(name in LAYERS for name in names), "--layers", f"out of {', '.join(LAYERS)}", self.layers)


PRESETS = {
    "default": Options(epochs=12, batch_size=20, lr=0.01, optimizer="adam", schedule="cosine", clip_norm=1.0),
}

LENGTHS = {"adding": 50, "copy": 20}
FORGET_BIAS = 1.0  # σ(1) = 0.73 of the memory survives a step; a bias of 0 would keep ½
SYMBOLS, KINDS = 2, 8  # of copy: symbols to remember, and how many different ones there are


def adding(n: int, T: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n sequences (n, T, 2) of (number, mark), and the marked numbers' sum (n, 1).

    There is one mark in each half of a sequence.
    """
    numbers, marks, rows = rng.random((n, T)), np.zeros((n, T)), np.arange(n)
    marks[rows, rng.integers(0, T // 2, n)] = 1
    marks[rows, rng.integers(T // 2, T, n)] = 1
    return np.stack([numbers, marks], 2), (numbers * marks).sum(1, keepdims=True)


def copy(n: int, gap: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """n one-hot sequences (n, T, K + 2) of symbols, gap and signal, and answers (n, T).

    Classes 0 to K − 1 are the symbols and K is the blank; in the input, K + 1 is the
    signal. T = 2 S + G.
    """
    symbols = rng.integers(0, KINDS, (n, SYMBOLS))
    seen = np.full((n, 2 * SYMBOLS + gap), KINDS)
    asked = seen.copy()
    seen[:, :SYMBOLS], seen[:, -SYMBOLS - 1], asked[:, -SYMBOLS:] = symbols, KINDS + 1, symbols
    return np.eye(KINDS + 2)[seen], asked


TASKS = {"adding": adding, "copy": copy}


def network(study: str, layer: str, o: Options) -> Sequential:
    """A recurrent layer and a Linear; an LSTM begins with forget gates nearly open.

    Source: R. Jozefowicz, W. Zaremba and I. Sutskever, An empirical exploration of
    recurrent network architectures, ICML 2015: a forget bias of 1 or more helps an LSTM
    to learn what lies far back.
    """
    kind = LAYERS[layer]
    if study == "adding":
        layers = (kind(2, o.hidden), Linear(o.hidden, 1))
    else:
        layers = (kind(KINDS + 2, o.hidden, output="sequence"), Linear(o.hidden, KINDS + 1))
    net = Sequential(*layers, seed=o.seed, dtype=o.dtype, device=o.device)
    if layer == "LSTM":
        net.params["0.bias_hh_l0"].value[o.hidden : 2 * o.hidden] = FORGET_BIAS
    return net


def loss_of(study: str) -> Loss:
    return MSELoss() if study == "adding" else CrossEntropyLoss(classes="last")


def networks(study: str = "adding") -> dict[str, tuple[Sequential, tuple[int, ...], Loss]]:
    """The network of each layer compared, in float64, with input shape and loss."""
    o = replace(PRESETS["default"], dtype="float64")
    x, _ = TASKS[study](1, LENGTHS[study], np.random.default_rng(0))
    return {layer: (network(study, layer, o), x.shape[1:], loss_of(study)) for layer in o.layers.split(",")}


def judge(study: str, y: np.ndarray, asked: np.ndarray) -> dict[str, float]:
    """How well a network remembers.

    test_mse for adding; recall_accuracy for copy, over the steps after the signal.
    """
    if study == "adding":
        return {"test_mse": float(((y - asked) ** 2).mean())}
    right = y.argmax(-1)[:, -SYMBOLS:] == asked[:, -SYMBOLS:]
    return {"recall_accuracy": float(right.mean())}


def run(study: str, o: Options) -> int:
    """Train every layer on the same sequences, test and write; returns the exit code.

    The last network is kept.
    """
    rng = np.random.default_rng([o.seed, 1])
    length = o.length or LENGTHS[study]
    x, t = TASKS[study](o.examples, length, rng)
    test_x, test_t = TASKS[study](TEST, length, rng)
    histories: dict[str, History] = {}
    with Run(study, o, study) as result:
        guess = {"test_mse": 1 / 6} if study == "adding" else {"recall_accuracy": 1 / KINDS}
        result.metrics |= {"length": x.shape[1], **{f"guess_{name}": value for name, value in guess.items()}}
        for layer in o.layers.split(","):
            net = network(study, layer, o)
            result.say(f"{study}: {net}; sequences of {x.shape[1]} steps")
            histories[layer] = result.fit(net, loss_of(study), (x.astype(o.dtype), t))
            found = judge(study, outputs(net, test_x.astype(o.dtype)), test_t)
            result.metrics |= {f"{layer.lower()}_{name}": value for name, value in found.items()}
            result.metrics |= {f"{layer.lower()}_train_seconds": result.metrics.pop("train_seconds")}
        if o.plots:
            draw(result, histories, study, x.shape[1])
        result.finish(net)
        return 0


def draw(result: Run, histories: dict[str, History], study: str, T: int) -> None:
    """Plot every layer's loss, and the loss of remembering nothing."""
    from scratchnet.plots.style import COLOURS, GREY, legend, new_figure, style

    m = result.metrics
    name = "test_mse" if study == "adding" else "recall_accuracy"
    what = "Mean squared error of the test" if study == "adding" else "Share of the symbols that are recalled"
    ends = ", ".join(f"{layer} {m[f'{layer.lower()}_{name}']:.3g}" for layer in histories)
    title = {"adding": "The adding problem", "copy": "Copy after a gap"}[study]
    fig = new_figure(f"{title}: sequences of {T} steps", f"{what}: {ends}; guessing {m[f'guess_{name}']:.3g}")
    ax = style(fig.subplots(), "", "step", "training loss, mean over 50 steps")
    for k, (layer, history) in enumerate(histories.items()):
        losses = np.array(history.step_losses)
        width = min(50, len(losses))
        steps, means = np.arange(width, len(losses) + 1), np.convolve(losses, np.ones(width) / width, "valid")
        begin = [history.start["train_loss"]] if history.start else []
        ax.plot([*[0] * len(begin), *steps], [*begin, *means],
                color=COLOURS[k], linewidth=1.6, label=layer)  # fmt: skip
    nothing = 1 / 6 if study == "adding" else SYMBOLS / T * np.log(KINDS)
    ax.axhline(nothing, color=GREY, linewidth=1.2, linestyle=":", label="remembers nothing")
    ax.set_ylim(bottom=0)
    legend(ax)
    result.picture("memory", fig)
