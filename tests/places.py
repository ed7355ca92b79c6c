"""Where things are, for tests that start processes or read the source."""

from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the repository
MPI = ROOT / "tests" / "mpi"  # programs that run on several ranks
