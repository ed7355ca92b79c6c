"""Writing files so that a reader sees the old one or the new one, never half of one."""

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there, what a killed process leaves behind stays
    fcntl = None  # type: ignore[assignment]

SUFFIX = ".scratchnet.tmp"  # so that we remove nobody else's temporary files


def atomic_write(path: str | os.PathLike[str], content: bytes | Iterable[bytes | memoryview]) -> None:
    """Write `content` (bytes, or pieces of them) to `path`, through a temporary file in the same folder.

    The new file is on disk before it gets its name. If anything fails, the file that was there stays whole and no
    temporary file remains; those of processes that were killed are removed by the next write into the folder.
    Raises OSError, with `path` as its filename.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{SUFFIX}")
    try:
        _remove_abandoned(path.parent)
        file = _open_locked(temporary)
        try:
            for piece in [content] if isinstance(content, bytes) else content:
                rest = memoryview(piece)
                while rest:
                    rest = rest[os.write(file, rest) :]
            os.fsync(file)
            if fcntl is not None:  # still locked; Windows renames no open file
                os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):  # after fsync, closing can lose nothing
                os.close(file)
        if fcntl is None:
            os.replace(temporary, path)
    except OSError as e:
        raise OSError(e.errno, f"cannot be written ({e.strerror}); what was there is as before", str(path)) from e
    finally:
        temporary.unlink(missing_ok=True)
    try:
        _sync_folder(path.parent)
    except OSError as e:
        raise OSError(e.errno, f"is written, but may not survive a power cut ({e.strerror})", str(path)) from e


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """For libraries that write a file themselves: the block writes to the path that it is given, which becomes `path`.

    Raises OSError.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{SUFFIX}")
    try:
        _remove_abandoned(path.parent)
        yield temporary
        file = os.open(temporary, os.O_RDWR)
        try:
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(temporary, path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _open_locked(temporary: Path) -> int:
    """A new file, with a lock that the system releases when its writer ends: until then it is being written."""
    while True:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
        if fcntl is None:
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            return file
        if os.fstat(file).st_nlink:
            return file
        os.close(file)  # another process removed it between our two calls


def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files that no living process has locked."""
    for temporary in folder.glob(f".*{SUFFIX}") if fcntl is not None else ():
        try:
            file = os.open(temporary, os.O_WRONLY)
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
    """Bring a new name in the folder to the disk."""
    if os.name == "posix":
        file = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)
