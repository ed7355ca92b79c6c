"""How well each class was recognised, in a table or in words."""

from collections.abc import Sequence

import numpy as np
from rich.table import Table

from scratchnet.engine.metrics import confusion
from scratchnet.runs.run import Run

MOST_IN_A_TABLE = 10  # classes, whose confusions fit into a terminal
MANY = 20  # classes; of more, only the best and the worst are told


def shares(table: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """The share of each class that was recognised, from a confusion table (K, K)."""
    return {name: float(table[k, k] / max(1, table[k].sum())) for k, name in enumerate(names)}


def say_classes(run: Run, counts: np.ndarray, names: Sequence[str], title: str) -> None:
    """Print the confusion table (K, K), or of many classes the shares in words."""
    if len(names) > MOST_IN_A_TABLE:
        run.say(f"{title}, recognised per class: {in_words(shares(counts, names))}")
        return
    table = Table("is \\ taken for", *names, "recognised", title=title, title_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for k, name in enumerate(names):
        table.add_row(name, *map(str, counts[k]), f"{counts[k, k] / max(1, counts[k].sum()):.1%}")
    run.console.print(table)


def say_confusion(run: Run, predicted: np.ndarray, labels: np.ndarray, names: Sequence[str], title: str) -> np.ndarray:
    """Print how often each class was taken for each other one; returns the table."""
    counts = confusion(predicted, labels, len(names))
    say_classes(run, counts, names, title)
    return counts


def in_words(per_class: dict[str, float]) -> str:
    """The accuracy of every class; of many classes only the best and the worst."""

    def words(some: list[tuple[str, float]]) -> str:
        return ", ".join(f"{name} {share:.0%}" for name, share in some)

    if len(per_class) <= MANY:
        return words([*per_class.items()])
    ranked = sorted(per_class.items(), key=lambda pair: -pair[1])
    return f"best {words(ranked[:5])}; worst {words(ranked[:-6:-1])}"
