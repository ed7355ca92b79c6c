"""Independent jobs on many machines: a Dask scheduler hands them out, and again if a worker dies.

Source: M. Rocklin, Dask: parallel computation with blocked algorithms and task scheduling, SciPy 2015.
"""

import contextlib
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from scratchnet.cli import patience
from scratchnet.errors import SettingError, install_command

T = TypeVar("T")
R = TypeVar("R")

PATIENCE = 5  # seconds for the scheduler to answer
LOOK = 0.5  # seconds between two looks whether there are workers


def map_on_cluster(function: Callable[[T], R], jobs: Sequence[T], address: str) -> Iterator[R]:
    """function(job) of all jobs, in their order, by the workers of the Dask scheduler at `address`.

    The job of a worker that dies is given to another. Raises SettingError if Dask is not installed, no scheduler
    answers within five seconds, it has no workers or is lost, all workers end and none comes back within
    $SCRATCHNET_TIMEOUT seconds (else a minute), and what a job raises.
    """
    if not re.fullmatch(r"(tcp|tls)://.+:\d+", address):
        raise SettingError(
            f"--scheduler {address}: write the address as `dask scheduler` prints it, such as tcp://10.0.0.1:8786"
        )
    try:
        from distributed import CancelledError, Client, KilledWorker, Security
    except ImportError as e:
        raise SettingError(f"--scheduler needs Dask ({e}): {install_command('cluster')}") from None
    security: Any = Security  # the package has no types
    if address.startswith("tls") and security().get_connection_args("client").get("ssl_context") is None:
        raise SettingError(
            f"--scheduler {address}: name the certificates in Dask's configuration, distributed.comm.tls"
        )
    for name in ("distributed", "distributed.client"):  # that a worker was lost is not the user's business
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        connect: Any = Client
        client = connect(address, timeout=PATIENCE, set_as_default=False)
    except OSError:
        raise SettingError(
            f"--scheduler {address}: no Dask scheduler answers there: start one with `dask scheduler`, and give the "
            "address that it prints"
        ) from None
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise SettingError(f"--scheduler {address} has no workers: start some with `dask worker {address}`")
        futures = client.map(function, jobs, pure=False)
        try:
            for future in futures:
                yield result_of(future, client, address)
        except KilledWorker as e:
            raise SettingError(
                f"--scheduler {address}: one job ended several workers, is their memory enough? ({e})"
            ) from None
        except CancelledError:
            raise SettingError(f"--scheduler {address}: the connection to the scheduler is lost: start again") from None
        finally:
            client.cancel(futures)


def result_of(future: Any, client: Any, address: str) -> Any:
    """What the job gave or raised. Raises SettingError if the scheduler is without workers for too long."""
    limit, since = patience(), time.monotonic()
    while True:
        with contextlib.suppress(TimeoutError):
            return future.result(timeout=LOOK)
        if future.done():  # then the job itself was too late
            return future.result()
        if client.scheduler_info(n_workers=-1)["workers"]:
            since = time.monotonic()
        elif time.monotonic() - since > limit:
            raise SettingError(
                f"--scheduler {address}: its last worker has ended and none has come for {limit:g} s: start one with "
                f"`dask worker {address}`, which begins anew by itself unless it was started with --no-nanny"
            )
