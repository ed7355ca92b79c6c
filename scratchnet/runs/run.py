"""One run of a study: what it prints, and the files it leaves behind."""

import json
import math
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scratchnet.backend.devices import cuda_problem
from scratchnet.backend.sparse import length
from scratchnet.cli import console
from scratchnet.engine.advice import advised
from scratchnet.engine.compiling import told
from scratchnet.engine.history import History
from scratchnet.engine.layers import Dropout, Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.metrics import SAMPLE, accuracy, labels_of
from scratchnet.engine.optim import SGD, Adam, AdamW, Optimiser
from scratchnet.engine.prediction import outputs
from scratchnet.engine.progress import ProgressLines, many
from scratchnet.engine.schedules import parse_schedule
from scratchnet.engine.steps import Steps
from scratchnet.engine.training import Training
from scratchnet.errors import Interrupted, NotWrittenError
from scratchnet.files.atomic import atomic_write
from scratchnet.files.tensorfile import TensorFile
from scratchnet.models.network import MODEL
from scratchnet.runs.checkpoint_file import differences, environment, read_checkpoint, training_of
from scratchnet.runs.checkpoints import Checkpoints
from scratchnet.runs.config import to_toml
from scratchnet.runs.lock import take
from scratchnet.runs.options import CommonOptions, as_json
from scratchnet.runs.ranks import SAME_DATA, all_ranks
from scratchnet.runs.results import about_dropout, history_csv, table, versions
from scratchnet.runs.resuming import checkpoint_to_go_on_from, need_same_data, remove_older
from scratchnet.runs.shared import shared
from scratchnet.runs.stop import Stop, stop_on_signal
from scratchnet.runs.tensorboard import TensorBoard
from scratchnet.runs.watch import Watch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_STEPS_PER_CALLBACK = 100  # in between, the clock and signals are looked at


def optimiser_of(net: Sequential, o: CommonOptions) -> Optimiser:
    """The optimiser that the options describe."""
    if o.optimizer == "sgd":
        return SGD(net, o.lr, o.momentum, o.weight_decay, clip_norm=o.clip_norm)
    kind = {"adam": Adam, "adamw": AdamW}[o.optimizer]
    return kind(net, o.lr, weight_decay=o.weight_decay, clip_norm=o.clip_norm)


def train_accuracy(training: Training) -> dict[str, float]:
    """The accuracy on the first training examples, where the outputs are classes."""
    x, target = training.steps.some(SAMPLE)
    y = outputs(training.net, x)
    if y.ndim != 2 or y.shape[1] < 2:
        return {}
    return {"train_accuracy": accuracy(y, labels_of(target))}


class Run:
    """A folder, a console, and the metrics that a study fills in as it goes.

        >>> with Run("mnist", options, dataset="mnist") as run:
        ...     run.fit(net, loss, train, valid)
        ...     run.metrics["test_accuracy"] = ...
        ...     run.finish(net)

    Within the block the folder belongs to this process alone. The message of an error
    that comes after the training says where the trained weights are.
    """

    def __init__(self, study: str, options: CommonOptions, dataset: str, data: Mapping[str, str] | None = None) -> None:
        """`data` holds the digests of what was read from files.

        Data that the program draws itself follow from the options. Raises
        CheckpointError if this run goes on from one that had other data, RanksError if
        the ranks differ, and SettingError if another process is writing to the same
        folder.
        """
        self.study, self.options, self.dataset, self.data = study, options, dataset, dict(data or {})
        self.ranks = all_ranks() if options.distributed else None
        if self.ranks:
            self.ranks.compare({"data set": dataset}, SAME_DATA)
        if options.resume is not None:
            need_same_data(options.resume, dataset, self.data)
        self.leads = self.ranks is None or self.ranks.rank == 0  # one of several processes prints and writes
        self.out = options.out or Path("runs") / f"{study}-{options.preset}"
        self.lock = take(self.out) if self.leads else None
        self.console = console(highlight=False, markup=False, emoji=False)  # what we print is plain text
        self.history = History()
        self.fits = 0
        self.kept: Path | None = None  # where the weights of the last training are
        self.pictures: list[Path] = []
        self.examples, self.dropout = 0, False  # of the last training
        self.metrics: dict[str, Any] = {
            "study": study,
            "preset": options.preset,
            "dataset": dataset,
            "seed": options.seed,
            "dtype": options.dtype,
            "epochs": options.epochs,
        }

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if self.lock is not None:
            self.lock.release()
        if self.kept is None or isinstance(error, BrokenPipeError):
            return
        where = f"the trained weights are in {self.kept}; --resume {self.out} goes on from there"
        if isinstance(error, OSError) and error.filename:
            raise NotWrittenError(f"{error.filename}: {error.strerror}; {where}") from error
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted(f"stopped after the training: {where}", signal.SIGINT) from error

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)

    def fit(
        self, net: Sequential, loss: Loss, train: tuple[Any, Any], valid: tuple[Any, Any] | None = None, *,
        shuffle: bool = True, batch_size: int | None = None, steps: type[Steps] | None = None,
        judge: Callable[[], dict[str, float]] | None = None,
    ) -> History:  # fmt: skip
        """Train as the options say, with a progress bar or, elsewhere, lines.

        `judge` adds its values to the row of every epoch; by default it adds the
        training accuracy, if the outputs are classes.
        """
        o = self.options
        self.fits += 1
        optimiser = optimiser_of(net, o)
        checkpoint = self._checkpoint(length(train[0]))
        history = read_checkpoint(checkpoint, net, optimiser) if checkpoint else History()
        training = Training(
            net, loss, optimiser, *train, epochs=o.epochs, batch_size=batch_size or o.batch_size,
            threads=self._threads(checkpoint), steps=shared(self.ranks, steps or Steps) if self.ranks else steps,
        )  # fmt: skip
        place = environment(training.threads, net.device, self.ranks.size if self.ranks else 1, training.how)
        self._announce(training, checkpoint, place)
        judge = judge or partial(train_accuracy, training)
        progress = ProgressLines(self.console, o.epochs, training.examples)
        with stop_on_signal() as asked, progress, told(self._compiling):
            checkpoints = Checkpoints(
                self._folder(), net, optimiser, {"run": self._identity(training.examples), "environment": place},
                stop=Stop() if self.ranks else asked, every=o.checkpoint_every, say=self.say, writes=self.leads,
            )  # fmt: skip
            watch = Watch(self, progress, judge, asked, checkpoints, self._events())
            advise = watch.advise if self.leads and history.is_new else None
            with advised(training, {"on_epoch": watch.on_epoch}, advise) as calls:
                if self.leads and history.is_new:
                    history.start = training.before(valid, SAMPLE) | judge()
                    progress.start(history.start)
                if watch.events is not None:
                    watch.log(watch.events.begin, history.rows)
                checkpoints.begin(history)
                self.history = training.run(
                    valid=valid if self.leads else None, schedule=parse_schedule(o.schedule, o.lr, o.epochs),
                    shuffle=shuffle, seed=o.seed, on_step=watch.on_step, **calls, history=history,
                    steps_per_callback=math.gcd(o.checkpoint_every, MAX_STEPS_PER_CALLBACK),
                )  # fmt: skip
            self.kept = checkpoints.end()
        self._summarise(training)
        return self.history

    def _summarise(self, training: Training) -> None:
        """Put the results of a training into the metrics."""
        self.examples = training.examples
        self.dropout = any(isinstance(layer, Dropout) and layer.p > 0 for layer in training.net.layers)
        last = self.history.last
        seconds = sum(row["seconds"] for row in self.history.epochs)
        self.metrics |= {"device": training.net.device, "threads": training.threads}
        self.metrics |= {"ranks": self.ranks.size} if self.ranks else {}
        self.metrics |= {
            "train_seconds": round(seconds, 3),
            "examples_per_second": round(training.examples * len(self.history.epochs) / seconds, 1),
            "before_training": {name: value for name, value in self.history.start.items() if name != "epoch"},
            "train_loss": last["train_loss"],
            "valid_accuracy": last.get("valid_accuracy"),
        }

    def draw_training(self, judged: tuple[str, float] | None = None) -> None:
        """Draw loss and accuracy of the last training, beside one judged otherwise."""
        from scratchnet.plots.training import loss_and_accuracy

        drawn = loss_and_accuracy(self.history, examples=self.examples, dropout=self.dropout, judged=judged)
        self.picture("training", drawn)

    def picture(self, name: str, figure: "Figure") -> None:
        """Write a picture of the run, NAME.png. Raises OSError."""
        from scratchnet.plots.style import save

        path = self.out / f"{name}.png"
        save(figure, path)
        self.pictures.append(path)

    def _threads(self, checkpoint: TensorFile | None) -> str:
        """The number of threads.

        A resumed run keeps the number that `auto` chose before, since a new probe could
        decide otherwise.
        """
        wanted = self.options.threads
        if wanted == "auto" and self.ranks and self.ranks.host.size > 1:  # the ranks share the cores
            return "1"
        if wanted == "auto" and checkpoint:
            return training_of(checkpoint)["environment"]["threads"]
        return wanted

    def _announce(self, training: Training, checkpoint: TensorFile | None, place: dict[str, str]) -> None:
        """Say what is about to happen, and whether it continues an earlier run."""
        o, net = self.options, training.net
        chosen = " (auto)" if o.threads == "auto" else ""
        why = f" (auto: {cuda_problem()})" if o.device == "auto" and net.device == "cpu" else ""
        how = f", steps {training.how}" if training.how != Steps.how else ""
        self.say(
            f"{many(net.size, 'parameter')}, {many(training.examples, 'training example')}, "
            f"{many(o.epochs, 'epoch')} of batches of {o.batch_size}; device {net.device}{why}{how}, "
            f"{many(training.threads, 'BLAS thread')}{chosen}, {o.dtype}"
            + (f"; {many(self.ranks.size, 'rank')}" if self.ranks else "")
        )
        if checkpoint:
            self.say(f"resumed from {checkpoint.path}, after {training.optimiser.steps:,} steps")
            others = differences(training_of(checkpoint)["environment"], place)
            if others:
                self.say(f"warning: the result may differ in its last bits from an uninterrupted run's: {others}")

    def _folder(self) -> Path:
        """The folder of this training's checkpoints; every training has its own."""
        return self.out / ("checkpoints" if self.fits == 1 else f"checkpoints-{self.fits}")

    def _events(self) -> TensorBoard | None:
        """This training's event files, if any: in the run's folder or one below it."""
        if self.options.log != "tensorboard" or not self.leads:
            return None
        return TensorBoard(self.out if self.fits == 1 else self.out / f"training-{self.fits}")

    def _checkpoint(self, examples: int) -> TensorFile | None:
        """The checkpoint that a resumed run goes on from.

        A new run removes the checkpoints and event files of an older one in its folder.
        """
        if self.options.resume is not None:
            return checkpoint_to_go_on_from(self.options.resume / self._folder().name, examples, may_lack=self.fits > 1)
        if self.fits == 1 and self.leads:
            remove_older(self.out)
        return None

    def _compiling(self) -> None:
        self.say("compiling (once): this takes up to a minute, and later programs find what was made")

    def _identity(self, examples: int) -> dict[str, Any]:
        """What a run that goes on must have in common with its beginning."""
        return {
            "study": self.study,
            "dataset": self.dataset,
            "data": self.data,
            "examples": examples,
            "options": as_json(self.options),
        }

    def finish(self, net: Sequential) -> None:
        """Write metrics, history and model, and print the results."""
        if not self.leads:
            return
        self.metrics["versions"] = versions()
        net.info["training"] = {
            k: self.metrics.get(k) for k in ("study", "preset", "dataset", "seed", "epochs", "test_accuracy")
        }
        net.save(self.out / MODEL)
        atomic_write(self.out / "history.csv", history_csv(self.history).encode())
        atomic_write(self.out / "config.toml", to_toml(self.study, self.options))
        atomic_write(self.out / "metrics.json", (json.dumps(self.metrics, indent=2) + "\n").encode())
        self.kept = None  # the model is safe
        self.console.print(table(f"{self.study}, preset {self.options.preset}", self.metrics))
        names = ["metrics.json", "history.csv", "config.toml", MODEL, *(p.name for p in self.pictures)]
        self.say(f"written to {self.out}/: {', '.join(names)}")
        why = about_dropout(self.metrics, self.history.last) if self.dropout else None
        if why is not None:
            self.say(why)
