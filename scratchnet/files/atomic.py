"""Writing files so that a reader sees the old one or the new one, never half of one.

Any number of threads, processes and containers may write the same file at once. Each
writes a temporary file of its own, and the last to finish wins.
"""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there, what a killed process leaves behind stays
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".scratchnet.tmp"  # so that we never remove other programs' temporary files


def atomic_write(path: str | os.PathLike[str], content: bytes | Iterable[bytes | memoryview]) -> None:
    """Write `content` (bytes, or pieces of them) to `path`, through a temporary file.

    The temporary file is in the same folder, and its content is on disk before it gets
    its name. If anything fails, the file that was there stays whole and no temporary
    file remains; those of killed processes are removed by the next write into the
    folder. An existing file keeps its permissions, and a symbolic link continues to
    point to the file that is written. Raises OSError, with `path` as its filename.
    """
    with _replacement(Path(path)) as (file, _):
        for piece in [content] if isinstance(content, bytes) else content:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(file, rest) :]


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """For libraries that write a file themselves: the block fills an empty file.

    Everything else is as in `atomic_write`. The library must not lock the file, which
    is locked here.
    """
    with _replacement(Path(path)) as (_, temporary):
        yield temporary


@contextlib.contextmanager
def _replacement(path: Path) -> Iterator[tuple[int, Path]]:
    """A new temporary file, open and locked, and its name.

    After the block it is on disk and called `path`.
    """
    temporary = None
    try:
        target = Path(os.path.realpath(path))
        mode = _mode_of(path)
        _remove_abandoned(target.parent)
        file, temporary = _open_new(target.parent, mode)
        try:
            yield file, temporary
            if mode is not None and hasattr(os, "fchmod"):
                with contextlib.suppress(OSError):  # a file system without permissions
                    os.fchmod(file, mode)
            os.fsync(file)
            if fcntl is not None:  # still locked; Windows renames no open file
                os.replace(temporary, target)
        finally:
            with contextlib.suppress(OSError):  # after fsync, closing can lose nothing
                os.close(file)
        if fcntl is None:
            os.replace(temporary, target)
    except OSError as e:
        reason = f"cannot be written ({e.strerror or e}); what was there is as before"
        raise OSError(e.errno, reason, str(path)) from e
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    try:
        _sync_folder(target.parent)
    except OSError as e:
        raise OSError(e.errno, f"is written, but may not survive a power cut ({e.strerror})", str(path)) from e


def _mode_of(path: Path) -> int | None:
    """The permissions of the file that is to be replaced, or None if there is none.

    Raises OSError for a device.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, which a file would replace")
    return stat.S_IMODE(mode) & 0o777


def _open_new(folder: Path, mode: int | None) -> tuple[int, Path]:
    """A new file that nobody else can have opened for writing, and its name.

    It carries a lock, which the system releases when its writer ends; until then the
    file is being written. Its permissions are those that the user's umask leaves, or
    `mode` with the right to write.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    while True:
        temporary = folder / f".{secrets.token_hex(8)}{SUFFIX}"
        file = os.open(temporary, flags, 0o666 if mode is None else mode | 0o200)
        if fcntl is None:
            return file, temporary
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            return file, temporary
        if os.fstat(file).st_nlink:
            return file, temporary
        os.close(file)  # another writer removed it between our two calls


def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files that no living process has locked.

    Only ordinary files are opened: a pipe or a link of such a name stays where it is.
    """
    for temporary in folder.glob(f".*{SUFFIX}") if fcntl is not None else ():
        try:
            if not stat.S_ISREG(temporary.lstat().st_mode):
                continue
            file = os.open(temporary, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:  # gone by now, or not ours
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            temporary.unlink(missing_ok=True)
        except OSError:  # its writer lives
            pass
        finally:
            os.close(file)


def _sync_folder(folder: Path) -> None:
    """Make sure that a new name in the folder is on disk."""
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
