"""One run at a time in a folder: if two wrote there, one result would be lost."""

import contextlib
import json
import os
import socket
import time
from pathlib import Path

import filelock

from scratchnet.errors import SettingError
from scratchnet.files.atomic import atomic_write

FOLDER = "checkpoints"  # below that of the run; what a person looks for stays clear of these files
LOCK, HOLDER = "lock", "holder.json"


def take(out: Path) -> filelock.BaseFileLock:
    """Make the folder and lock it.

    The system releases the lock when the process ends, however it ends. So the files
    that it leaves behind mean nothing: HOLDER says whose the lock is only while that
    process lives. Raises SettingError, which names the holder, and OSError.
    """
    place = out / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(place / LOCK)
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise SettingError(
            f"{out}: another run is writing there, {_holder(place / HOLDER)}: wait until it is done, or give "
            "this run a folder of its own with --out"
        ) from None
    about = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with contextlib.suppress(OSError):  # on a full disk the lock itself still holds
        atomic_write(place / HOLDER, json.dumps(about).encode())
    return lock


def _holder(path: Path) -> str:
    """Who holds the lock, in words, according to its file."""
    try:
        about = json.loads(path.read_bytes())
        return f"process {int(about['pid'])} on {str(about['host'])!r} since {str(about['since'])!r}".replace("'", "")
    except (OSError, ValueError, KeyError, TypeError):  # the other process has only just started
        return "another process"
