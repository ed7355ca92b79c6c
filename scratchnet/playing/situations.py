"""Points in the plane, and trainings on them that go well or badly, with the reason.

Letters: N points.
"""

from dataclasses import dataclass, field

import numpy as np

DATA = ("xor", "circles", "spiral", "noisy", "own")
VALID = 200  # points that judge


@dataclass(frozen=True)
class Situation:
    """A training in the plane: data, network, how it begins, and how it descends.

    `init` is "usual"; "equal", every weight the same; or "dead", biases so low that
    ReLU gives 0 everywhere. `points` are one's own, as (x, y, class).
    """

    data: str = "xor"
    hidden: tuple[int, ...] = (4,)
    activation: str = "tanh"
    init: str = "usual"
    optimiser: str = "adam"
    rate: float = 0.03
    batch: int = 10
    decay: float = 0.0
    seed: int = 0
    points: tuple[tuple[float, float, int], ...] = field(default=())


#: name: (title, whether it learns, what is to be seen, the situation)
PRESETS: dict[str, tuple[str, bool, str, Situation]] = {
    "xor": ("Exclusive or", True,
            "Each hidden neuron draws one straight line, and the output combines them: no single line could do it.",
            Situation()),
    "circles": ("A circle in a ring", True,
                "Neurons put their lines around the circle: three would do for a triangle, eight make it round.",
                Situation("circles", (8,))),
    "spiral": ("Two spirals", True,
               "Lines of the first layer become curves in the second and third: depth makes bent boundaries cheap.",
               Situation("spiral", (8, 8, 8), rate=0.02)),
    "rate": ("A learning rate that is too large", False,
             "Every step jumps over the valley: the loss leaps up and down, and the boundary with it. Try 0.3.",
             Situation(optimiser="sgd", rate=30)),
    "equal": ("All weights equal", False,
              "Neurons that begin alike get the same gradient, and stay alike for ever: eight of them are worth one.",
              Situation("circles", (8,), init="equal", optimiser="sgd", rate=0.3)),
    "deep": ("Four layers of sigmoids", False,
             "σ′ is at most 1/4, so each layer leaves at most a quarter of δ: the first layers hardly move. Try tanh.",
             Situation("circles", (8, 8, 8, 8), "sigmoid", optimiser="sgd", rate=0.3)),
    "dead": ("Dead ReLUs", False,
             "Every z is below 0 at every point, so a = 0 and σ′ = 0: no δ comes back, no hidden weight can change.",
             Situation("circles", (8,), "relu", init="dead", optimiser="sgd", rate=0.3)),
    "overfit": ("Learning by heart", False,
                "It winds around single points, and the loss falls; on the other points, the hollow ones, it rises.",
                Situation("noisy", (8, 8, 8), rate=0.02)),
    "decay": ("The same, held back", True,
              "Weight decay pulls every weight towards 0: the boundary stays smooth, the loss elsewhere low.",
              Situation("noisy", (8, 8, 8), rate=0.02, decay=0.02)),
}  # fmt: skip


def points_of(s: Situation) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(x, labels) to learn from and (x, labels) to judge by: (N, 2) float32, (N,)."""
    if s.data == "own":
        own = np.array(s.points, np.float64).reshape(-1, 3)
        x, labels = own[:, :2].astype(np.float32), own[:, 2].astype(np.int64)
        return x, labels, x[:0], labels[:0]
    rng = np.random.default_rng(s.seed)
    learn, judge = (_drawn(s.data, rng, n) for n in (30 if s.data == "noisy" else 150, VALID))
    return *learn, *judge


def _drawn(data: str, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % 2
    if data == "xor":
        x = rng.uniform(0.05, 1, (n, 2)) * rng.choice([-1, 1], (n, 2))
        labels = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    elif data == "circles":
        radius, angle = np.where(labels, rng.uniform(0.65, 0.95, n), rng.uniform(0, 0.42, n)), rng.uniform(0, 6.2832, n)
        x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    elif data == "spiral":
        t = rng.uniform(0.08, 1, n)
        angle = 7.5 * t + np.pi * labels
        x = 0.95 * t[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.02, (n, 2))
    else:  # two clouds that overlap
        x = rng.normal(0, 0.42, (n, 2)) + np.where(labels, 0.3, -0.3)[:, None]
    return np.clip(x, -1, 1).astype(np.float32), labels.astype(np.int64)
