"""Large products of the networks alone, in NumPy's BLAS and in the rivals' libraries.

    python benchmarks/products.py --threads 1 all

Where nearly all of a step is one product (`peers.py` gives the share), no engine can be
faster than its library. Each library has a process of its own, and they take turns.
"""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).parent.parent))  # so that the file can be run directly

from benchmarks import timing
from benchmarks.isa import environment
from scratchnet.cli import guard, parse

#: O, I, N of W a, with W (O, I) and a (I, N), and the row of peers.py that it is from
SHAPES = {
    (32, 784, 100): "zero-to-gans",
    (128, 784, 64): "fcn2",
    (2000, 784, 128): "784-2000-10",
    (100, 784, 10_000): "predict 10,000 images",
}
LIBRARIES = ("NumPy", "PyTorch", "JAX")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Time products of matrices in NumPy, PyTorch and JAX."""

    threads: tuple[str, ...] = ("1", "all")
    """numbers of CPU threads, one table each"""
    isa: Literal["native", "avx2"] = "native"
    """avx2: no library may use AVX-512, even if the processor has it"""


def product_of(library: str, W: Any, a: Any, threads: int) -> Callable[[], Any]:
    """W a in this library; the call returns when it is done."""
    if library == "NumPy":
        from scratchnet.backend.products import dot

        return lambda: dot(W, a)
    if library == "PyTorch":
        import torch

        torch.set_num_threads(threads)
        left, right = torch.from_numpy(W), torch.from_numpy(a)
        return lambda: torch.mm(left, right)
    from benchmarks.engines.jax_ import jax

    multiply, on_device = jax.jit(jax.numpy.dot), (jax.numpy.asarray(W), jax.numpy.asarray(a))
    return lambda: multiply(*on_device).block_until_ready()


def serve(library: str, threads: int, shape: Sequence[int], cores: Sequence[int]) -> None:
    """A library's process, on these cores: it makes products when it is told to."""
    timing.keep_to(cores, threads)
    import numpy as np

    O, I, N = shape
    rng = np.random.default_rng(0)
    # the user's rows, turned, as the engine and the rivals' layers get them
    W, a = rng.random((O, I), np.float32), rng.random((N, I), np.float32).T
    multiply = product_of(library, W, a, threads)

    def run(n: int) -> None:
        for _ in range(n):
            multiply()

    timing.serve(run, json.dumps({}), timing.clock_for(threads))


def main(args: Sequence[str]) -> int:
    options = parse(Options, args, "benchmarks/products.py")
    env = environment(options.isa)
    for threads in sorted({timing.thread_count(t) for t in options.threads}):
        print(f"{timing.cpu_name()}, {options.isa}, {threads} threads: µs, load {timing.load()}\n")
        print(f"| row | O x I x N | {' | '.join(LIBRARIES)} |\n| --- | --- |{' ---: |' * len(LIBRARIES)}")
        for shape, row in SHAPES.items():
            words = str(threads), *map(str, shape), *map(str, timing.idle_cores(threads))
            runs = {}
            for library in LIBRARIES:
                runs[library] = timing.Process("benchmarks.products", "--library", library, *words, env=env)
                runs[library].answer()
            took = timing.interleave(runs, threads=threads, enough=4.0)
            for process in runs.values():
                process.end()
            times = " | ".join(f"{took[library].median * 1e6:,.0f}" for library in LIBRARIES)
            print(f"| {row} | {' x '.join(map(str, shape))} | {times} |", flush=True)
        print()
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--library"]:
        name, threads, *rest = sys.argv[2:]
        numbers = [int(word) for word in rest]
        serve(name, int(threads), numbers[:3], numbers[3:])
    else:
        guard(main)
