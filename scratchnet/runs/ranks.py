"""Data-parallel training over MPI: every rank takes its share of each batch, one all-reduce a step sums the gradients.

All ranks hold the same weights: they start from the same seed, and the summed gradient has the same bits everywhere.
Letters: n examples in the global batch, n_r those of rank r.

    ∂C/∂w = Σ_r (n_r / n) ∂C_r/∂w        for a loss that is a mean over its examples; without the factor for a sum

Sources: J. Dean et al., Large scale distributed deep networks, NIPS 2012; P. Goyal et al., Accurate, large minibatch
SGD: training ImageNet in 1 hour (2017).
"""

import contextlib
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.cli import RANK_VARIABLES
from scratchnet.engine.columns import to_columns
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.training import describe_non_finite
from scratchnet.errors import Interrupted, NonFiniteError, ScratchnetError, SettingError, install_command

if TYPE_CHECKING:
    from scratchnet.engine.optim import Optimiser
    from scratchnet.runs.stop import Stop


class Ranks:
    """All processes of one training run. A context manager: an error on one rank ends all of them.

    Raises SettingError if mpi4py is missing or the process was not started by mpiexec.
    """

    def __init__(self) -> None:
        if not any(name in os.environ for name in RANK_VARIABLES):
            raise SettingError("--distributed needs mpiexec: mpiexec -n 4 python -m scratchnet.train ... --distributed")
        try:
            from mpi4py import MPI
        except (ImportError, RuntimeError) as e:  # RuntimeError: mpi4py is there, but no MPI library
            raise SettingError(
                f"--distributed needs mpi4py and an MPI library ({e}): {install_command('mpi')}"
            ) from None
        self.MPI, self.comm = MPI, MPI.COMM_WORLD
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        self.host: Any = self.comm.Split_type(MPI.COMM_TYPE_SHARED)  # the ranks that share this machine's memory
        self.stop_asked = False  # on this rank; `step` tells it to all, so that all stop after the same step
        self.stop_agreed = False
        self.whole = False  # whether every rank does the whole of this step's batch
        self._windows: list[Any] = []

    def __enter__(self) -> "Ranks":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        """End all ranks if this one failed: they would wait for it in the next all-reduce for ever."""
        if error is None or (isinstance(error, SystemExit) and not error.code):
            return
        if isinstance(error, (Interrupted, NonFiniteError)):  # every rank has the same one, after the same step
            self.comm.Barrier()  # so rank 0 has written its checkpoint
            if self.rank:
                raise SystemExit(error.exit_code)
            return
        if self.rank:
            time.sleep(1.0)  # an error that all ranks have is told by rank 0, which ends them
        who, code = f"error: {f'rank {self.rank}: ' if self.rank else ''}", 2
        if isinstance(error, KeyboardInterrupt):  # while loading or drawing: there is nothing to keep
            text, code = "stopped", 130
        elif isinstance(error, ScratchnetError):
            text, code = f"{who}{' '.join(str(error).split())}", error.exit_code
        elif isinstance(error, OSError) and error.filename:
            text = f"{who}{error.filename}: {error.strerror}"
        else:
            text = who + "".join(traceback.format_exception(error))
        print(text, file=sys.stderr, flush=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # all is said: the library's own words would come on top
        self.comm.Abort(code)
        os._exit(code)  # it may come back before mpiexec has ended us

    @contextlib.contextmanager
    def only_first_speaks(self) -> Iterator[None]:
        """Rank 0 prints; what the others would print, which is the same, is dropped. Errors are printed by all."""
        with contextlib.ExitStack() as stack:
            if self.rank:
                stack.enter_context(contextlib.redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
            yield

    def agree(self, asked: "Stop", stop: "Stop") -> None:
        """After a step: pass on this rank's wish to stop; set `stop` once all know of one, after the same step."""
        self.stop_asked = bool(asked.number)
        if self.stop_agreed:
            stop.number = asked.number or signal.SIGTERM

    def share(self, n: int) -> tuple[int, int, float]:
        """(first, last + 1, n_r / n) of this rank's examples in a batch of n.

        A batch smaller than the number of ranks is done whole by every rank and counts 1/size each, so no rank is
        ever without data, and batch normalisation sees the same batch everywhere.
        """
        if n < self.size:
            return 0, n, 1.0 / self.size
        first, last = n * self.rank // self.size, n * (self.rank + 1) // self.size
        return first, last, (last - first) / n

    def sum(self, x: Array) -> Array:
        """What x is of the whole batch, if every rank has that of its examples: x ← Σ over the ranks, in place."""
        return x if self.whole else self.all_reduce(x)

    def all_reduce(self, x: Array) -> Array:
        """x ← Σ over the ranks, in place, in one call; through host memory where x is on a GPU."""
        if type(x) is np.ndarray:
            self.comm.Allreduce(self.MPI.IN_PLACE, x)
        else:
            host = to_numpy(x)
            self.comm.Allreduce(self.MPI.IN_PLACE, host)
            x.set(host)
        return x

    def step(self, net: Sequential, loss: Loss, optimiser: "Optimiser", x: Array, target: Array, batch: Array) -> float:
        """One training step of all ranks on the examples `batch` of x and target; returns the loss of the whole batch.

        The loss and the wish to stop travel at the end of the gradient vector, so that the step has one all-reduce.
        """
        first, last, share = self.share(len(batch))
        self.whole = len(batch) < self.size
        mine = batch[first:last]
        optimiser.first_example, optimiser.ranks = first, self
        optimiser.begin()
        fixed = net.store.fixed.copy()  # running means, which change in backward
        y, caches = net.forward(to_columns(net.as_input(x[mine])), optimiser)
        value, delta = loss.forward(y, to_columns(loss.as_target(target[mine], y)))
        part = share if loss.averages or self.whole else 1.0
        delta *= part
        net.backward(delta, caches, optimiser)
        message = net.store.message
        message[-1], message[-2] = value * part, float(self.stop_asked)
        self.all_reduce(message)
        value, self.stop_agreed = float(message[-1]), bool(message[-2] > 0)
        if not math.isfinite(value):
            net.store.fixed[...] = fixed
            raise NonFiniteError(describe_non_finite(net, x[batch], value, optimiser.steps + 1))
        optimiser.update()
        return value

    def once_per_host(
        self, load: Callable[[], tuple[Any, tuple[np.ndarray, ...]]]
    ) -> tuple[Any, tuple[np.ndarray, ...]]:
        """What `load` returns, (anything small, arrays), read by one rank of a machine into memory that all share."""
        about, arrays = load() if self.host.rank == 0 else (None, ())
        about, kinds = self.host.bcast((about, [(a.shape, a.dtype.str) for a in arrays]))
        shared = []
        for i, (shape, dtype) in enumerate(kinds):
            size = int(np.prod(shape)) * np.dtype(dtype).itemsize
            window: Any = self.MPI.Win.Allocate_shared(size if self.host.rank == 0 else 0, 1, comm=self.host)
            self._windows.append(window)  # keeps the memory
            memory, _unit = window.Shared_query(0)
            array = np.frombuffer(memory, dtype, int(np.prod(shape))).reshape(shape)
            if self.host.rank == 0:
                array[...] = arrays[i]
            shared.append(array)
        self.host.Barrier()
        return about, tuple(shared)
