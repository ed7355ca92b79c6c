"""Radar echoes of a satellite altimeter: land or water, and how high are the waves?

Letters: N echoes of G = 104 gates, T echoes of a pass. Three networks, on echoes that
`data/waveforms.py` simulates:

    classifier  104-64-2 ReLU, cross entropy: land or water
    height      104-128-64-1 ReLU, squared error: the significant wave height of one
                echo of the sea
    tracker     an LSTM of 32 units along the pass: from what `height` says of each echo
                so far, the wave height now

They are compared with the classical way, a least-squares fit of the Brown-Hayne model
to each echo. The sets for training, for choosing settings and for the test are drawn
from different random streams.
"""

import itertools
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
from rich.table import Table

from scratchnet.data.waveforms import HEIGHTS, Echoes, G, as_input, land_echoes, passes, sea_echoes
from scratchnet.engine.layers import LSTM, Linear, ReLU, Sequential
from scratchnet.engine.losses import CrossEntropyLoss, Loss, MSELoss
from scratchnet.engine.metrics import accuracy
from scratchnet.engine.prediction import outputs
from scratchnet.runs.options import CommonOptions, need, sizes
from scratchnet.runs.run import Run
from scratchnet.studies.least_squares import Judged, judge, rmse, tell_heights
from scratchnet.studies.per_class import say_confusion

CLASSES = ("land", "water")
MIDDLE, SPREAD = sum(HEIGHTS) / 2, (HEIGHTS[1] - HEIGHTS[0]) / 12**0.5  # mean and deviation of uniform heights
STEPS = 100  # echoes of a pass
ECHOES_PLOTTED = 300  # echoes of the pass that is plotted
RUNNING_MEANS = (1, 2, 3, 5, 8, 12)  # lengths of the running mean that are tried against the tracker


@dataclass(frozen=True, kw_only=True)
class Options(CommonOptions):
    """Train three networks on simulated radar echoes; compare with least squares."""

    preset: Literal["default"] = "default"
    """There is only one."""
    hidden: str
    """Sizes of the hidden layers of the wave-height network, such as 128,64."""
    units: int
    """Hidden units of the tracker."""
    tracker_lr: float
    """Learning rate of the tracker."""
    echoes: int
    """Number of echoes to train on."""
    passes: int
    """Number of passes, of 100 echoes each, to train the tracker on."""
    judged: int
    """Number of test echoes, for the network and for least squares."""

    def check(self) -> None:
        super().check()
        sizes(self.hidden)
        need(0 < self.tracker_lr < float("inf"), "--tracker-lr", "a number above 0", self.tracker_lr)
        for name in ("units", "echoes", "passes", "judged"):
            need(getattr(self, name) >= 1, f"--{name}", "a number from 1", getattr(self, name))


PRESETS = {
    "default": Options(
        epochs=20, batch_size=128, lr=0.003, optimizer="adam", schedule="cosine", hidden="128,64", units=32,
        tracker_lr=0.01, echoes=40_000, passes=1_000, judged=2_000,
    ),
}  # fmt: skip


def classifier(o: Options) -> Sequential:
    return Sequential(Linear(G, 64), ReLU(), Linear(64, 2), seed=o.seed, dtype=o.dtype, device=o.device)


def height_network(o: Options) -> Sequential:
    widths = [G, *sizes(o.hidden)]
    hidden = [layer for a, b in itertools.pairwise(widths) for layer in (Linear(a, b), ReLU())]
    return Sequential(*hidden, Linear(widths[-1], 1), seed=o.seed, dtype=o.dtype, device=o.device)


def tracker(o: Options) -> Sequential:
    layers = LSTM(1, o.units, output="sequence"), Linear(o.units, 1)
    return Sequential(*layers, seed=o.seed, dtype=o.dtype, device=o.device)


def networks() -> dict[str, tuple[Sequential, tuple[int, ...], Loss]]:
    """The three networks in float64, with input shape and loss."""
    o = replace(PRESETS["default"], dtype="float64")
    return {
        "classifier": (classifier(o), (G,), CrossEntropyLoss()),
        "height": (height_network(o), (G,), MSELoss()),
        "tracker": (tracker(o), (STEPS, 1), MSELoss()),
    }


def to_target(swh: np.ndarray) -> np.ndarray:
    """Wave heights in m to the network's targets, of mean 0 and deviation 1: (N, 1)."""
    return ((swh - MIDDLE) / SPREAD)[..., None]


def to_metres(y: np.ndarray) -> np.ndarray:
    return y[..., 0] * SPREAD + MIDDLE


# ------------------------------------------------------------- the three networks


def mixed(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """n echoes, half of them of land: (power, label)."""
    land, sea = land_echoes(rng, n // 2), sea_echoes(rng, rng.uniform(*HEIGHTS, n - n // 2))
    return np.concatenate([land.power, sea.power]), np.repeat([0, 1], [n // 2, n - n // 2])


def sea(rng: np.random.Generator, n: int) -> Echoes:
    return sea_echoes(rng, rng.uniform(*HEIGHTS, n))


def stream(o: Options, number: int) -> np.random.Generator:
    """Each set of echoes has its own random stream."""
    return np.random.default_rng([o.seed, number])


def train_classifier(run: Run, o: Options) -> tuple[Sequential, np.ndarray]:
    """Train and test the classifier; returns it and its confusion matrix."""
    run.say("Land or water?")
    net = classifier(o)
    power, labels = mixed(stream(o, 1), o.echoes)
    run.fit(net, CrossEntropyLoss(), (as_input(power), labels))
    net.info |= {"classes": list(CLASSES), "input": {"echo": "ln(power / mean power + 0.001)"}}
    power, labels = mixed(stream(o, 2), 10_000)
    y = outputs(net, as_input(power))
    run.metrics |= {"classifier_train_seconds": run.metrics["train_seconds"], "test_accuracy": accuracy(y, labels)}
    return net, say_confusion(run, y.argmax(1), labels, CLASSES, "10,000 echoes of the test")


def train_height(run: Run, o: Options) -> Sequential:
    run.say("\nHow high are the waves?")
    net = height_network(o)
    echoes, valid = sea(stream(o, 3), o.echoes), sea(stream(o, 4), 4_000)
    run.fit(
        net, MSELoss(), (as_input(echoes.power), to_target(echoes.swh)), (as_input(valid.power), to_target(valid.swh))
    )
    net.info |= {
        "input": {"echo": "ln(power / mean power + 0.001)"},
        "output": {"mean": MIDDLE, "std": SPREAD, "unit": "m"},
    }
    return net


def heights_of(net: Sequential, power: np.ndarray) -> np.ndarray:
    """The wave height in m of each echo (..., G) on its own."""
    return to_metres(outputs(net, as_input(power.reshape(-1, G)))).reshape(power.shape[:-1])


def train_tracker(run: Run, o: Options, height: Sequential) -> Sequential:
    run.say("\nHow do they change along a pass?")
    net = tracker(o)
    echoes = passes(stream(o, 6), o.passes, STEPS)
    run.options = replace(o, lr=o.tracker_lr, batch_size=max(1, o.batch_size // 8), clip_norm=1.0)
    run.fit(net, MSELoss(), (to_target(heights_of(height, echoes.power)), to_target(echoes.swh)))
    run.options = o
    return net


def track(net: Sequential, heights: np.ndarray) -> np.ndarray:
    """The tracker's wave heights (n, T) in m, from those of single echoes (n, T)."""
    return to_metres(outputs(net, to_target(heights)))


# -------------------------------------------------- compared with the classical way


def tell_passes(run: Run, o: Options, height: Sequential, net: Sequential) -> None:
    """Compare the tracker with single echoes and their best running mean."""
    tried, test = passes(stream(o, 7), 100, STEPS), passes(stream(o, 8), 200, STEPS)
    alone = heights_of(height, tried.power)
    best = min(RUNNING_MEANS, key=lambda k: rmse(running_mean(alone, k), tried.swh))  # chosen on validation passes
    alone = heights_of(height, test.power)
    rows = {
        "network, each echo alone": alone,
        f"the same, mean of the last {best}": running_mean(alone, best),
        "tracker": track(net, alone),
    }
    table = Table("", "bias (m)", "RMSE (m)", title="wave height along 200 passes of the test", title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, swh in rows.items():
        table.add_row(name, f"{float((swh - test.swh).mean()):+.3f}", f"{rmse(swh, test.swh):.3f}")
    run.console.print(table)
    run.metrics |= {"along_pass": {name: rmse(swh, test.swh) for name, swh in rows.items()},
                    "tracker_rmse_m": rmse(rows["tracker"], test.swh)}  # fmt: skip


def running_mean(x: np.ndarray, k: int) -> np.ndarray:
    """The mean of each value and the k − 1 before it, along the last axis (n, T)."""
    total = np.cumsum(np.pad(x, ((0, 0), (1, 0))), axis=1)
    last = np.arange(1, x.shape[1] + 1)
    first = np.maximum(last - k, 0)
    return (total[:, last] - total[:, first]) / (last - first)


def run(study: str, o: Options) -> int:
    """Train and judge the three networks; returns the exit code."""
    with Run(study, o, "simulated") as result:
        land, counts = train_classifier(result, o)
        height = train_height(result, o)
        history, kept = (
            result.history,
            {k: result.metrics[k] for k in ("train_seconds", "train_loss", "examples_per_second")},
        )
        test = sea(stream(o, 5), o.judged)
        ways = judge(partial(heights_of, height), test)
        tell_heights(result, ways, test.swh)
        along = train_tracker(result, o, height)
        tell_passes(result, o, height, along)
        result.history = history  # of the network that this run saves as its model
        result.metrics |= {"tracker_train_seconds": result.metrics["train_seconds"], **kept}
        if result.leads:
            land.save(result.out / "classifier.safetensors")
            along.save(result.out / "tracker.safetensors")
        if o.plots:
            draw(result, o, ways, test.swh, counts, height, along)
        result.finish(height)
        result.say(f"and {result.out}/classifier.safetensors, tracker.safetensors")
        return 0


def draw(result: Run, o: Options, ways: list[Judged], truth: np.ndarray, counts: np.ndarray, height: Sequential,
         along: Sequential) -> None:  # fmt: skip
    """Draw the plots of a run."""
    from scratchnet.plots import studies as plots
    from scratchnet.plots import waveforms as plots_waveforms

    result.draw_training()
    result.picture("confusion", plots.confusion(counts, CLASSES))
    rng = stream(o, 9)
    few = sea_echoes(rng, np.array([0.5, 2.0, 5.0, 11.0])), land_echoes(rng, 4)
    result.picture("echoes", plots_waveforms.echoes(*few))
    result.picture("heights", plots_waveforms.heights({way.name: way.swh for way in (ways[0], *ways[2:])}, truth))
    one = passes(stream(o, 10), 1, ECHOES_PLOTTED)
    alone = heights_of(height, one.power)
    result.picture("pass", plots_waveforms.along_pass(one.swh[0], alone[0], track(along, alone)[0]))
