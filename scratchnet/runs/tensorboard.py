"""The rows of a history as event files, which TensorBoard shows.

TensorBoard's own package, the extra `tensorboard`, writes the records; it is imported
when the first one is written. The name of a curve is that of the column in
history.csv, and its steps are epochs.
"""

import importlib.util
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scratchnet.errors import SettingError, install_command

EVENTS = "events.out.tfevents.*"


def need_tensorboard(who: str) -> None:
    """Raise SettingError if the package is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise SettingError(f"{who} needs the package tensorboard: {install_command('tensorboard')}")


class TensorBoard:
    """A callback of `fit` that writes what TensorBoard shows.

    >>> sn.fit(net, loss, optimiser, x, labels, callbacks=[sn.TensorBoard("runs/mine")])

    `tensorboard --logdir runs` then shows a curve for each of train_loss, valid_loss,
    valid_accuracy and whatever else the rows of the history have, over the epochs.
    Each training needs a folder of its own: one that is there loses its event files,
    unless the training is continued, `fit(..., history=history)`. Each row can be seen
    at once. Raises SettingError if the package is missing, and OSError.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        need_tensorboard("TensorBoard")
        self.folder = Path(folder)
        self.path: Path | None = None

    def __call__(self, row: Mapping[str, float]) -> None:
        """Write the row of an epoch."""
        if self.path is None and row["epoch"] <= 1:
            self.begin()
        self._write(self._event(row, time.time()))

    def begin(self, rows: Sequence[Mapping[str, float]] = ()) -> None:
        """Remove what an earlier training left, and write these rows as its first ones.

        A training that goes on gives all the rows that it has, so that the curves are
        whole even if epochs after the last checkpoint are repeated.
        """
        if self.folder.is_dir():
            for path in self.folder.glob(EVENTS):
                path.unlink(missing_ok=True)
        self.path = None
        now, left = time.time(), sum(row.get("seconds", 0.0) for row in rows)
        events = []
        for row in rows:
            left -= row.get("seconds", 0.0)
            events.append(self._event(row, now - left))
        self._write(*events)

    def _event(self, row: Mapping[str, float], when: float) -> Any:
        """A record of all numbers of a row."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        values = [Summary.Value(tag=name, simple_value=value)
                  for name, value in row.items() if name != "epoch" and math.isfinite(value)]  # fmt: skip
        return Event(wall_time=when, step=int(row["epoch"]), summary=Summary(value=values))

    def _write(self, *events: Any) -> None:
        """Append records to the event file, which is opened for that only."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.record_writer import RecordWriter

        if self.path is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            # TensorBoard reads the files of a folder in the order of their names
            self.path = self.folder / EVENTS.replace("*", f"{time.time():.6f}.{os.getpid()}")
            events = (Event(wall_time=time.time(), file_version="brain.Event:2"), *events)
        with open(self.path, "ab") as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())
