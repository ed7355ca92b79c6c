"""Where things are, and how long to wait, for tests that start processes."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the repository
MPI = ROOT / "tests" / "mpi"  # programs that run on several ranks

#: Seconds after which a process hangs: more than it takes on the busiest machine, and
#: less than the timeout of a test, so that what it has said is shown
PATIENCE = 500

#: Python that heeds Ctrl-C, even if the tests run in the background of a shell, which
#: has it ignored; the rest of the command is a module and its arguments
HEEDS_CTRL_C = (
    sys.executable, "-c",
    "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)",
)  # fmt: skip
