"""One side of commits.py: steps with the code of whatever folder is on Python's path.

For each line with a number n it makes n steps and says the seconds that one took. It
uses only what older commits have too.
"""

import os
import sys
import time

from benchmarks.engines import Missing, build
from benchmarks.workloads import WORKLOADS


def serve(engine: str, workload: str, core: str) -> None:
    if core and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    try:
        run = build(engine, WORKLOADS[workload])
    except (KeyError, Missing) as e:
        print(f"missing: {e}", flush=True)
        return
    print("ready", flush=True)
    for line in sys.stdin:
        n, start = int(line), time.process_time()
        run(n)
        print((time.process_time() - start) / n, flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
