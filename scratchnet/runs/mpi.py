"""Starting MPI, which waits for all processes, and ending with the last word read."""

import ctypes
import os
import stat
import sys
import threading
import time
from typing import Any

from scratchnet.cli import RANK_VARIABLES
from scratchnet.errors import SettingError, install_command

SECONDS_BETWEEN_CHECKS = 0.005  # for a message
MISSING = (
    "not all processes that mpiexec started have come within {:g} s: check that each of them is given "
    "--distributed and finds Python, scratchnet and mpi4py; $SCRATCHNET_TIMEOUT sets another limit"
)


def start_mpi(limit: float) -> Any:
    """The module mpi4py.MPI, after MPI has been initialised.

    Initialising waits for all ranks; if that takes longer than `limit` seconds, this
    process ends. Raises SettingError if mpi4py or an MPI library is missing.
    """
    try:
        import mpi4py

        mpi4py.rc.initialize, mpi4py.rc.finalize = False, True
        from mpi4py import MPI
    except (ImportError, RuntimeError) as e:  # RuntimeError: mpi4py is installed, but no MPI library
        raise SettingError(f"--distributed needs mpi4py and an MPI library ({e}): {install_command('mpi')}") from None
    if MPI.Is_initialized():
        return MPI

    def too_late() -> None:
        print(f"error: {MISSING.format(limit)}", file=sys.stderr, flush=True)
        os._exit(2)

    rank = next((int(os.environ[name]) for name in RANK_VARIABLES if name in os.environ), 0)
    watch = threading.Timer(limit + 5 * rank, too_late)
    watch.daemon = True
    watch.start()
    # Called through ctypes, because mpi4py holds Python's lock while it waits, and then
    # no timer could run.
    try:
        begin = ctypes.CDLL(MPI.__file__).MPI_Init_thread
    except (OSError, AttributeError):  # a build that hides the function: nothing limits the wait
        MPI.Init_thread()
    else:
        begin(None, None, MPI.THREAD_MULTIPLE, ctypes.byref(ctypes.c_int()))
    watch.cancel()
    return MPI


def wait_until_read(fd: int, seconds: float = 5.0) -> None:
    """Wait until what was written to a pipe has been read.

    mpiexec drops the rest when it is told to end.
    """
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        return
    import fcntl
    import termios

    deadline = time.monotonic() + seconds
    while any(fcntl.ioctl(fd, termios.FIONREAD, bytes(4))) and time.monotonic() < deadline:
        time.sleep(SECONDS_BETWEEN_CHECKS)
