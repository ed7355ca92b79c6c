"""What a finished run tells: its table, its history, and the versions it depends on."""

import csv
import io
import math
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

import scratchnet
from scratchnet.engine.history import History
from scratchnet.engine.progress import number


def versions() -> dict[str, str]:
    """The versions that a result depends on, besides its options."""
    import scipy

    return {
        "scratchnet": scratchnet.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def history_csv(history: History) -> str:
    """One line per epoch, beginning with epoch 0, the network before it was trained."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in [*history.epochs, history.start] for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history.rows)
    return text.getvalue()


def table(title: str, metrics: Mapping[str, Any]) -> Table:
    """The numbers among the metrics, as a table for the terminal."""
    found = Table("result", "", title=title, title_justify="left")
    found.columns[1].justify = "right"
    for name, value in metrics.items():
        if isinstance(value, (int, float)) and name not in ("seed", "epochs", "threads"):
            share = name.endswith("_accuracy") or name == "cv_std"
            found.add_row(name.replace("_", " "), f"{value:.2%}" if share else number(value))
    return found


def about_dropout(metrics: Mapping[str, Any], last: Mapping[str, float]) -> str | None:
    """Why a network with dropout did better on examples new to it, if it did."""
    for name, loss in (("test", metrics.get("test_loss")), ("validation", last.get("valid_loss"))):
        if loss is not None and loss < last.get("train_loss", -math.inf):
            return (
                f"The training loss is above the {name} loss because it is taken during the epoch and with "
                f"dropout, which leaves out neurons; the {name} loss is taken after it, with all of them."
            )
    return None
