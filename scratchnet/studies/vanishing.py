"""The vanishing gradient, made visible: ‖∂C/∂h_t‖ against t, for an RNN and an LSTM.

Letters: T time steps, N sequences, H hidden units, dh_t = ∂C/∂h_t (H, N). The task is
the adding problem of memory.py, before and after training. The error arises at the last
time step. How much of it reaches time t decides whether the network can learn what to
do with the input of time t. In an RNN dh_{t−1} = W_hhᵀ (dh_t ⊙ (1 − h_t²)): every step
back adds a factor, and these are below 1 for small weights. In an LSTM the cell state
carries the gradient back, with the forget gate as the only factor.

Source: Y. Bengio, P. Simard and P. Frasconi, Learning long-term dependencies with
gradient descent is difficult, IEEE Transactions on Neural Networks 5 (1994).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scratchnet.cli import guard, parse
from scratchnet.engine.columns import to_columns, to_rows
from scratchnet.engine.fit import fit
from scratchnet.engine.layers import Sequential
from scratchnet.engine.layers.recurrent import Recurrent
from scratchnet.engine.learner import Learner
from scratchnet.engine.losses import MSELoss
from scratchnet.engine.schedules import parse_schedule
from scratchnet.runs.options import need, sizes
from scratchnet.runs.run import optimiser_of
from scratchnet.studies import memory


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw how the gradient of an RNN and an LSTM fades on its way back in time."""

    lengths: str = "10,50,100"
    """Lengths of the sequences."""
    layers: str = "RNN,LSTM"
    """The recurrent layers to compare: RNN, GRU, LSTM."""
    hidden: int = 64
    """Hidden units of each recurrent layer."""
    epochs: int = 8
    """Epochs of training on the adding problem, between the two pictures."""
    examples: int = 5_000
    """Number of training sequences."""
    seed: int = 0
    """Decides the initial weights and the sequences."""
    out: Path = Path("runs/vanishing")
    """Folder for the plot."""

    def check(self) -> None:
        """Raise SettingError for a value outside its range."""
        need(len(sizes(self.lengths, "--lengths")) > 0, "--lengths", "sizes from 2, such as 10,50", "empty")
        for T in sizes(self.lengths, "--lengths"):
            self.task(T).check()

    def task(self, T: int) -> memory.Options:
        """The options of the adding problem at this length."""
        return replace(memory.PRESETS["default"], layers=self.layers, hidden=self.hidden, length=T, epochs=self.epochs,
                       examples=self.examples, seed=self.seed)  # fmt: skip


def gradient_norms(net: Sequential, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """‖∂C/∂h_t‖, mean over the sequences, for t = 1 ... T: (T,).

    The network is a recurrent layer and a Linear. The sequence is run in T pieces of
    one step with a carried state, and ∂C/∂(state) goes back from piece to piece.
    """
    recurrent, linear = net.layers
    assert isinstance(recurrent, Recurrent)
    columns, loss, state, pieces = to_columns(net.as_input(x)), MSELoss(), None, []
    for a in columns:
        learn = Learner()  # each piece has its own buffers: all caches live until the way back
        y, state, cache = recurrent.run(a[None], learn, state)
        pieces.append((learn, cache))
    out, cache = linear.forward(y)
    delta = to_columns(loss(to_rows(out), target)[1])
    dh = linear.backward(delta, cache, Learner())
    assert dh is not None
    norms, zero, back = [], np.zeros_like(dh), None
    for k, (learn, cache) in enumerate(reversed(pieces)):
        top = dh if back is None else back[-1][0]
        # The loss is a mean over N sequences; N times it gives the gradient of one
        # sequence's own loss.
        norms.append(float(np.linalg.norm(top, axis=0).mean() * x.shape[0]))
        _, back = recurrent.run_back(dh if k == 0 else zero, cache, learn, False, back)
    return np.array(norms[::-1])


def measure(o: Options, say: bool = True) -> dict[tuple[str, int], tuple[np.ndarray, np.ndarray]]:
    """(norms before, norms after training) for every layer and length."""
    found = {}
    for layer in o.layers.split(","):
        for T in sizes(o.lengths):
            task = o.task(T)
            rng = np.random.default_rng([o.seed, T])
            x, t = memory.adding(o.examples, T, rng)
            probe = memory.adding(200, T, rng)
            net = memory.network("adding", layer, task)
            before = gradient_norms(net, *probe)
            history = fit(net, MSELoss(), optimiser_of(net, task), x, t, epochs=o.epochs, batch_size=task.batch_size,
                          schedule=parse_schedule(task.schedule, task.lr, o.epochs), seed=o.seed)  # fmt: skip
            after = gradient_norms(net, *probe)
            found[layer, T] = before, after
            if say:
                print(f"{layer:>4}, T = {T:>3}: of the gradient at the end there arrives at the beginning "
                      f"{before[0] / before[-1]:.1e} before training, {after[0] / after[-1]:.1e} after it "
                      f"(loss {history.last['train_loss']:.4f})", flush=True)  # fmt: skip
    return found


def draw(found: dict[tuple[str, int], tuple[np.ndarray, np.ndarray]], path: Path) -> None:
    """Plot before and after training: colour is the layer, line style the length."""
    from scratchnet.plots.style import COLOURS, legend, new_figure, save, style

    lengths = sorted({T for _, T in found})
    layers = list(dict.fromkeys(layer for layer, _ in found))
    fig = new_figure(
        "How much of the error reaches the past: ‖∂C/∂h‖, as a share of that at the last time",
        "Adding problem, mean over 200 sequences; the LSTM begins with a forget bias of 1. Where a line falls, the "
        "gradient vanishes on its way back",
        12, 5.2,
    )  # fmt: skip
    panels = fig.subplots(1, 2, sharey=True)
    dashes = ["-", "--", ":", "-."]
    for k, (ax, name) in enumerate(zip(panels, ("Before training", "After training"))):
        style(ax, name, "steps before the end of the sequence", "share of the gradient" if k == 0 else "")
        for (layer, T), norms in found.items():
            share = norms[k][::-1] / norms[k][-1]
            ax.semilogy(np.arange(T), share, color=COLOURS[layers.index(layer)], linewidth=1.6,
                        linestyle=dashes[lengths.index(T) % len(dashes)], label=f"{layer}, T = {T}")  # fmt: skip
        ax.invert_xaxis()
        ax.set_ylim(bottom=1e-12)
    legend(panels[1], loc="upper left")
    save(fig, path)


def main(args: Sequence[str]) -> int:
    o = parse(Options, args, "python -m scratchnet.studies.vanishing", Options())
    o.check()
    found = measure(o)
    o.out.mkdir(parents=True, exist_ok=True)
    draw(found, o.out / "vanishing.png")
    print(f"written to {o.out}/: vanishing.png")
    return 0


if __name__ == "__main__":
    guard(main)
