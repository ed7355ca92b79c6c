"""Opens files that the user names, but nothing that could block for ever."""

import errno
import io
import os
import stat


def open_regular(path: str | os.PathLike[str]) -> io.BufferedReader:
    """The file, open for reading in binary.

    Devices are refused, and so are pipes, whose writer may never come. Raises OSError
    (FileNotFoundError if there is nothing), with a reason in `strerror`.
    """
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except ValueError as e:  # a null byte
        raise OSError(errno.EINVAL, str(e), os.fspath(path)) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "this is not a file", os.fspath(path))
    return open(file, "rb")
