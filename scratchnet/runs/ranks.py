"""Data-parallel training over MPI.

Every rank takes its share of each batch, and one all-reduce per step sums the
gradients. All ranks hold the same weights: they start from the same seed, and the
summed gradient has the same bits everywhere. Letters: n examples in the global batch,
n_r of them on rank r.

    ∂C/∂w = Σ_r (n_r / n) ∂C_r/∂w        for a loss that is a mean over its examples;
                                         without the factor for a sum

Sources: J. Dean et al., Large scale distributed deep networks, NIPS 2012; P. Goyal et
al., Accurate, large minibatch SGD: training ImageNet in 1 hour (2017).
"""

import contextlib
import functools
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.cli import RANK_VARIABLES, patience
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.errors import Interrupted, NonFiniteError, RanksError, ScratchnetError, SettingError
from scratchnet.runs.agreement import Message, Said, judge, of_data, of_program, of_training, of_weights
from scratchnet.runs.mpi import MISSING, SECONDS_BETWEEN_CHECKS, start_mpi, wait_until_read

if TYPE_CHECKING:
    from scratchnet.engine.optim import Optimiser
    from scratchnet.runs.stop import Stop

TAG = 7  # of the messages by which ranks are compared
SECONDS_FOR_AN_ANSWER = 10.0  # without one, an error is taken to be this rank's alone
SAME_DATA = "put the same data on all machines (--data-dir, $SCRATCHNET_DATA)"


class Ranks:
    """All processes of one training run; a context manager.

    An error on one rank ends all of them. So does a rank that does not arrive within
    $SCRATCHNET_TIMEOUT seconds (one minute by default). Raises SettingError if mpi4py
    is missing or mpiexec did not start this process, and RanksError if the versions on
    the ranks differ.
    """

    def __init__(self) -> None:
        if not any(name in os.environ for name in RANK_VARIABLES):
            raise SettingError("--distributed needs mpiexec: mpiexec -n 4 python -m scratchnet.train ... --distributed")
        limit, begun = patience(), time.monotonic()
        self.MPI = start_mpi(limit)
        self.comm = self.MPI.COMM_WORLD
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        self.machine = self.MPI.Get_processor_name()
        self.stop_asked = False  # on this rank; `step` tells all ranks, so that all stop after the same step
        self.stop_agreed = False
        self.whole = False  # whether every rank computes the whole batch of this step
        self.training = False  # once training runs, the others wait in an all-reduce and hear nothing
        self._windows: list[Any] = []
        self.compare(of_program(), "install the same versions on all machines", limit + begun - time.monotonic())
        self.host: Any = self.comm.Split_type(self.MPI.COMM_TYPE_SHARED)  # the ranks that share this machine's memory

    def __enter__(self) -> "Ranks":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        """End all ranks if this one failed: they would wait for it for ever."""
        if error is None or (isinstance(error, SystemExit) and not error.code):
            return
        if isinstance(error, RanksError):
            self._end_together(error)
        if isinstance(error, (Interrupted, NonFiniteError)):  # every rank has the same one, after the same step
            self.comm.Barrier()  # so rank 0 has written its checkpoint
            if self.rank:
                raise SystemExit(error.exit_code)
            return
        text, code, known = "", 2, not self.training
        if isinstance(error, KeyboardInterrupt):  # while loading or drawing: there is nothing to keep
            text, code = "stopped", 130
        elif isinstance(error, ScratchnetError):
            text, code = " ".join(str(error).split()), error.exit_code
        elif isinstance(error, OSError) and error.filename:
            text = f"{error.filename}: {error.strerror}"
        else:
            text, known = "".join(traceback.format_exception(error)), False
        if known:
            try:
                self._exchange(Message(self.machine, {}, text, code), "", SECONDS_FOR_AN_ANSWER)
            except RanksError as shared:
                self._end_together(shared)
            except TimeoutError:
                pass
        elif self.rank:
            time.sleep(1.0)  # a bug that all ranks share is reported by rank 0, which ends them
        self._abort(text if code == 130 else f"error: rank {self.rank} ({self.machine}): {text}", code)

    def _end_together(self, error: RanksError) -> NoReturn:
        """End this rank, as all the others end, with the message of rank 0."""
        if not self.rank:
            print("error: " * (error.exit_code < 128) + str(error), file=sys.stderr, flush=True)
        raise SystemExit(error.exit_code) from None

    def _abort(self, text: str, code: int) -> NoReturn:
        """End all ranks, whatever they are doing."""
        print(text, file=sys.stderr, flush=True)
        wait_until_read(sys.stderr.fileno())
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the message is out; hide what the MPI library would add
        self.comm.Abort(code)
        os._exit(code)  # Abort may return before mpiexec has ended this process

    def compare(self, mine: Said, advice: str, limit: float = math.inf) -> None:
        """Raise RanksError on all ranks unless all describe themselves alike.

        The error names what differs, and gives `advice`. Every rank calls this method
        or fails instead, and then the failure is the reason why all end. If a rank does
        neither within `limit` seconds, this rank ends them all.
        """
        try:
            self._exchange(Message(self.machine, mine), advice, limit)
        except TimeoutError:
            self._abort(f"error: {MISSING.format(patience())}", 2)

    def compare_training(
        self, net: Sequential, loss: Loss, optimiser: "Optimiser", x: Array, target: Array, settings: dict[str, Any]
    ) -> None:
        """Raise RanksError on all ranks unless all train the same network on the same
        data.
        """
        written = {name: str(value) for name, value in settings.items()}
        self.compare(of_training(net, loss, optimiser, written), "give all of them the same settings")
        self.compare(of_data(x, target), SAME_DATA)
        self.compare(of_weights(net, optimiser), "begin with the same seed, or the same checkpoint, on all machines")

    def _exchange(self, mine: Message, advice: str, limit: float) -> None:
        """Send a message to rank 0, which judges all of them and answers every rank.

        Raises RanksError on all ranks, or TimeoutError. A message is probed for before
        it is received, so it may have any size, and a rank that waits leaves the
        processor to others, where a collective call would spin.
        """
        deadline = time.monotonic() + limit + 5 * self.rank  # of several waiting ranks, the lowest gives up first
        if self.rank:
            sent = self.comm.isend(mine, 0, TAG)
            text, code = self._next(0, deadline)
            sent.wait()
        else:
            others = [self._next(rank, deadline) for rank in range(1, self.size)]
            text, code = judge([mine, *others], advice)
            for rank in range(1, self.size):
                self.comm.send((text, code), rank, TAG)
        if code:
            raise RanksError(text, code)

    def _next(self, source: int, deadline: float) -> Any:
        """The next message of another rank."""
        while (message := self.comm.improbe(source, TAG)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(SECONDS_BETWEEN_CHECKS)
        return message.recv()

    @contextlib.contextmanager
    def only_first_speaks(self) -> Iterator[None]:
        """Let only rank 0 print: the others would print the same."""
        with contextlib.ExitStack() as stack:
            if self.rank:
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
            yield

    def agree(self, asked: "Stop", stop: "Stop") -> None:
        """After a step, spread the wish to stop.

        This rank's wish is passed on, and `stop` is set once all ranks know of one,
        which happens after the same step everywhere.
        """
        self.stop_asked = bool(asked.number)
        if self.stop_agreed:
            stop.number = asked.number or signal.SIGTERM

    def share(self, n: int) -> tuple[int, int, float]:
        """(first, last + 1, n_r / n) for this rank's examples in a batch of n.

        If a batch is smaller than the number of ranks, every rank computes all of it
        and counts 1/size. So no rank is ever without data, and batch normalisation sees
        the same batch everywhere.
        """
        if n < self.size:
            return 0, n, 1.0 / self.size
        first, last = n * self.rank // self.size, n * (self.rank + 1) // self.size
        return first, last, (last - first) / n

    def sum(self, x: Array) -> Array:
        """x ← Σ over the ranks, in place: from this rank's share to the whole batch."""
        return x if self.whole else self.all_reduce(x)

    def all_reduce(self, x: Array) -> Array:
        """x ← Σ over the ranks, in place, in one call, through host memory on a GPU."""
        if type(x) is np.ndarray:
            self.comm.Allreduce(self.MPI.IN_PLACE, x)
        else:
            host = to_numpy(x)
            self.comm.Allreduce(self.MPI.IN_PLACE, host)
            x.set(host)
        return x

    def once_per_host(
        self, load: Callable[[], tuple[Any, tuple[np.ndarray, ...]]]
    ) -> tuple[Any, tuple[np.ndarray, ...]]:
        """What `load` returns: anything small, and arrays.

        One rank of each machine loads them into memory that all its ranks share.
        """
        about, arrays = load() if self.host.rank == 0 else (None, ())
        self.compare({}, "")  # a rank that could not load has failed instead, and all ranks end
        about, kinds = self.host.bcast((about, [(a.shape, a.dtype.str) for a in arrays]))
        shared = []
        for i, (shape, dtype) in enumerate(kinds):
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            window: Any = self.MPI.Win.Allocate_shared(size if self.host.rank == 0 else 0, 1, comm=self.host)
            self._windows.append(window)  # keeps the memory alive
            memory, _unit = window.Shared_query(0)
            array = np.frombuffer(memory, dtype, int(np.prod(shape))).reshape(shape)
            if self.host.rank == 0:
                array[...] = arrays[i]
            shared.append(array)
        self.host.Barrier()
        return about, tuple(shared)


@functools.cache
def all_ranks() -> Ranks:
    """The ranks that this process belongs to.

    They are created once, because every rank must take part in creating them.
    """
    return Ranks()
