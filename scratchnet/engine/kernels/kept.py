"""Machine code compiled by Numba, kept for later programs.

Numba's own cache ends a training with a traceback if one of its files is damaged or the
disk is full, and it may run damaged machine code. Here every file carries a checksum,
and code that cannot be read or written is compiled again, with one warning. Reading
such a file unpickles it, which can run any code. The folder must therefore be one that
only the user can write to.
"""

import functools
import hashlib
import os
import pickle
import stat
import warnings
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core.caching import FunctionCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

from scratchnet.files.atomic import atomic_write
from scratchnet.files.folders import cache_folder

SIZE = hashlib.sha256().digest_size


class KeptCode(FunctionCache):
    """Where Numba's dispatchers look for compiled code and leave what they compile.

    A file consists of a stamp of what it was made from, a checksum of the rest, and the
    pickled code.
    """

    def __init__(self, function: Any) -> None:
        self._py_func = function  # the name that Numba's `_index_key` reads

    @property
    def cache_path(self) -> str:
        return str(folder_of_code())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The code for arguments of these types, or None if it must be compiled."""
        target_context.refresh()
        path = self._path(sig, target_context.codegen())
        try:
            need_safe(path.parent)
            content = path.read_bytes()
            made_from, seal, data = content[:SIZE], content[SIZE : 2 * SIZE], content[2 * SIZE :]
            if seal != hashlib.sha256(data).digest():
                raise ValueError("it is damaged")
            if made_from == stamp():
                return CompileResult._rebuild(target_context, *pickle.loads(data))  # type: ignore[no-untyped-call]
        except FileNotFoundError:
            pass
        except Exception as e:  # whatever a damaged file causes, compile again
            warn(f"{path} cannot be used ({getattr(e, 'strerror', None) or e}): it is compiled again")
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        path = self._path(sig, data.codegen)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            need_safe(path.parent)
            code = dumps(data._reduce())  # type: ignore[no-untyped-call]
            atomic_write(path, stamp() + hashlib.sha256(code).digest() + code)
        except OSError as e:
            warn(f"{path.parent}: {e.strerror}: compiled code is not kept, and every program compiles it again")

    def _path(self, sig: Any, codegen: Any) -> Path:
        """One file per function, types of arguments, processor and Python."""
        key = repr((self._py_func.__module__, self._index_key(sig, codegen)))  # type: ignore[no-untyped-call]
        return folder_of_code() / f"{self._py_func.__name__}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.code"


def folder_of_code() -> Path:
    """In $NUMBA_CACHE_DIR or in our own cache folder.

    Every installation of this package has its own.
    """
    chosen = getattr(numba.config, "CACHE_DIR", "")
    root = Path(chosen) if chosen else cache_folder()
    return root / f"compiled-{hashlib.sha256(str(Path(__file__).parent).encode()).hexdigest()[:16]}"


def need_safe(folder: Path) -> None:
    """Raise PermissionError for a folder that others can write to.

    Raises FileNotFoundError if there is none.
    """
    about = folder.stat()
    if hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise PermissionError(None, "others can write to it, and what they write would be run")


@functools.cache
def stamp() -> bytes:
    """A checksum of the compiler's version and of all kernels' sources.

    All of them, because kernels are compiled into each other.
    """
    seal = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    for source in sorted(Path(__file__).parent.glob("*.py")):
        seal.update(source.read_bytes())
    return seal.digest()


_warned: list[str] = []


def warn(message: str) -> None:
    """Warn once in a program: if one file fails, others will too."""
    if not _warned:
        _warned.append(message)
        warnings.warn(message, stacklevel=2)
