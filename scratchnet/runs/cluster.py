"""Independent jobs on many machines, through a Dask scheduler.

If a worker dies, the scheduler gives its jobs to another one.

Source: M. Rocklin, Dask: parallel computation with blocked algorithms and task
scheduling, SciPy 2015.
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

SECONDS_TO_CONNECT = 5
SECONDS_BETWEEN_CHECKS = 0.5  # whether there still are workers


def map_on_cluster(function: Callable[[T], R], jobs: Sequence[T], address: str) -> Iterator[R]:
    """function(job) for all jobs, in order, by the workers of a scheduler.

    The jobs of a worker that dies are given to another. Raises whatever a job raises,
    and SettingError if

    * Dask is not installed,
    * no scheduler answers within five seconds, or the connection to it is lost,
    * it has no workers, or all of them end and none comes back within
      $SCRATCHNET_TIMEOUT seconds (one minute by default).
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
    for name in ("distributed", "distributed.client"):  # a lost worker does not concern the user
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        connect: Any = Client
        client = connect(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
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
                f"--scheduler {address}: one job killed several workers: do they have enough memory? ({e})"
            ) from None
        except CancelledError:
            raise SettingError(f"--scheduler {address}: the connection to the scheduler is lost: start again") from None
        finally:
            client.cancel(futures)


def result_of(future: Any, client: Any, address: str) -> Any:
    """What the job returned or raised.

    Raises SettingError if the scheduler has been without workers for too long.
    """
    limit, since = patience(), time.monotonic()
    while True:
        with contextlib.suppress(TimeoutError):
            return future.result(timeout=SECONDS_BETWEEN_CHECKS)
        if future.done():  # then it is the job itself that timed out
            return future.result()
        if client.scheduler_info(n_workers=-1)["workers"]:
            since = time.monotonic()
        elif time.monotonic() - since > limit:
            raise SettingError(
                f"--scheduler {address}: its last worker has ended and none has come for {limit:g} s: start one with "
                f"`dask worker {address}`, which begins anew by itself unless it was started with --no-nanny"
            )
