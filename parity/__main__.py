"""`python -m parity`: the proof, as a table.

The exit code is 1 if anything exceeds its tolerance, and 2 for bad usage.
"""

import contextlib
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from parity.report import STEPS, Line, all_networks, choose, lines
from scratchnet.backend.devices import resolve_device
from scratchnet.backend.threads import blas_threads
from scratchnet.cli import console, guard, parse
from scratchnet.errors import SettingError
from scratchnet.files.atomic import atomic_write


@dataclasses.dataclass(frozen=True)
class Options:
    """Compare every network of every study with its twin in PyTorch.

    All values, every δ, every gradient, and training are compared. Prints one row for
    each quantity with its worst number and where that is. Exit code 0 if all are within
    their tolerances, 1 if not. parity/README.md says how to read the table.
    """

    json: Path | None = None
    """Write the rows to this file, as a list of objects."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where both libraries compute; PyTorch on the CPU if it finds no GPU."""
    dtype: Literal["both", "float64", "float32"] = "both"
    """float64 proves the formulas; float32 compares both libraries' rounding."""
    network: str | None = None
    """Only networks whose name contains this text, such as mnist/fcn."""
    steps: int = STEPS
    """Number of steps in every training."""


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "python -m parity")
    if options.steps < 1:
        raise SettingError(f"--steps must be a number from 1, not {options.steps}")
    if options.json is not None and not options.json.resolve().parent.is_dir():
        raise SettingError(f"--json {options.json}: there is no folder {options.json.parent}")
    if options.json is not None:
        try:  # checked now, and not after all the work
            with tempfile.TemporaryFile(dir=options.json.resolve().parent):
                pass
            with options.json.open("a") if options.json.exists() else contextlib.nullcontext():
                pass
        except OSError as e:
            raise SettingError(f"--json {options.json} cannot be written: {e.strerror}") from None
    if resolve_device(options.device) == "cuda":
        if not torch.cuda.is_available():
            print("This PyTorch finds no GPU, so its side of every comparison is computed on the CPU.", flush=True)
        # Unless told not to, PyTorch rounds the factors of convolutions and recurrent
        # layers to 10 bits.
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    networks = choose(all_networks(), options.network)
    dtypes = ("float64", "float32") if options.dtype == "both" else (options.dtype,)
    torch.set_num_threads(1)
    start, found = time.perf_counter(), list[Line]()
    with blas_threads(1):
        for line in lines(networks, dtypes, options.device, options.steps):
            new = not found or (line.network, line.dtype) != (found[-1].network, found[-1].dtype)
            if new and found:  # whatever stops the proof, what is proved so far is there
                write(options.json, found)
            found.append(line)
            if sys.stderr.isatty():
                print(f"\r\033[K{len(found)} rows, {line.network} {line.dtype}", end="", file=sys.stderr, flush=True)
            elif new:  # a file, too, may be read while it is being written
                print(f"comparing {line.network} {line.dtype}", flush=True)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    show(found, time.perf_counter() - start)
    if options.json is not None:
        write(options.json, found)
        print(f"wrote {options.json}")
    return 0 if all(line.ok for line in found) else 1


def write(path: Path | None, found: list[Line]) -> None:
    if path is not None:
        atomic_write(path, (json.dumps([dataclasses.asdict(line) for line in found], indent=1) + "\n").encode())


def show(found: list[Line], seconds: float) -> None:
    """Print the table and its verdict in one line."""
    from rich.table import Table
    from rich.text import Text

    out = console(width=None if sys.stdout.isatty() else 150, highlight=False)
    table = Table(title="scratchnet against PyTorch", title_justify="left")
    numbers = ("arrays", "worst error", "tolerance", "ours", "PyTorch")
    for name in ("network", "", "compared", *numbers[:3], "where the worst is", *numbers[3:], ""):
        table.add_column(name, justify="right" if name in numbers else "left", no_wrap=name != "where the worst is")
    last = None
    for line in found:
        if last is not None and line.network != last.network:
            table.add_section()
        new = last is None or (line.network, line.dtype) != (last.network, last.dtype)
        where = (f"step {line.step}: " if line.step else "") + line.where
        table.add_row(
            line.network if last is None or line.network != last.network else "", line.dtype if new else "", line.what,
            f"{line.compared:,}", f"{line.error:.1e}", f"{line.tolerance:.1e}", Text(where), f"{line.ours:.6g}",
            f"{line.theirs:.6g}", "[green]ok" if line.ok else "[bold red]FAIL",
        )  # fmt: skip
        last = line
    out.print(table)
    bad = sum(not line.ok for line in found)
    device = found[0].device
    arrays, networks = sum(line.compared for line in found), len({line.network for line in found})
    verdict = (
        f"{bad} of {len(found)} rows exceed their tolerance" if bad else f"all {len(found)} rows are within tolerance"
    )
    print(f"{verdict}: {networks} networks, {arrays:,} arrays compared on {device} in {seconds:.0f} s")


if __name__ == "__main__":
    guard(main)
