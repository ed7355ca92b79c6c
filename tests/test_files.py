"""Atomic writing: whatever fails, there is the old file or the new one, and nothing else."""

import errno
import os
import subprocess
import sys

import pytest

from scratchnet.files import atomic as files
from scratchnet.files.atomic import atomic_write

CALLS = ("open", "write", "fsync", "replace", "close")


class Failing:
    """The functions of `os` that a write uses; call number `n` of all of them together fails."""

    def __init__(self, monkeypatch, n: int, error: int, only: tuple[str, ...] = CALLS):
        self.n, self.count, self.failed = n, 0, None
        for name in only:
            monkeypatch.setattr(files.os, name, self.wrap(name, getattr(os, name), error))

    def wrap(self, name, call, error):
        def wrapped(*args, **kwargs):
            self.count += 1
            if self.count == self.n:
                self.failed = name
                if name == "close":
                    call(*args, **kwargs)  # the descriptor is gone all the same
                raise OSError(error, os.strerror(error))
            return call(*args, **kwargs)

        return wrapped


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EROFS, errno.EMFILE, errno.EDQUOT])
def test_every_failing_call(tmp_path, error):
    path = tmp_path / "file"
    failures = []
    for n in range(1, 100):
        atomic_write(path, b"old")
        with pytest.MonkeyPatch.context() as patch:
            failing = Failing(patch, n, error)
            try:
                atomic_write(path, [b"n", b"ew"])
            except OSError as e:
                message = e
            else:
                message = None
        if failing.failed is None:
            break
        failures.append(failing.failed)
        assert os.listdir(tmp_path) == ["file"]
        content = path.read_bytes()
        if message is not None:
            assert message.errno == error and message.filename == str(path)
            assert content == (b"new" if "is written" in str(message) else b"old")
        else:
            assert content == b"new"
    assert failures == ["open", "write", "write", "fsync", "replace", "close", "open", "fsync", "close"]
    assert path.read_bytes() == b"new"


def test_short_writes(tmp_path, monkeypatch):
    whole = os.write
    monkeypatch.setattr(files.os, "write", lambda file, piece: whole(file, piece[: max(1, len(piece) // 2)]))
    atomic_write(tmp_path / "file", b"0123456789" * 100)
    assert (tmp_path / "file").read_bytes() == b"0123456789" * 100


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_full_disk_is_named(tmp_path, monkeypatch):
    real = os.open
    monkeypatch.setattr(
        files.os, "open", lambda path, *rest: real("/dev/full" if str(path).endswith(files.SUFFIX) else path, *rest)
    )
    with pytest.raises(OSError, match="No space left on device"):
        atomic_write(tmp_path / "file", b"content")
    assert os.listdir(tmp_path) == []


def test_missing_folder(tmp_path):
    with pytest.raises(OSError, match="No such file or directory"):
        atomic_write(tmp_path / "none" / "file", b"")


WRITER = """
import os, sys, time
from scratchnet.files import atomic as files
if sys.argv[2] == "killed":
    files.os.replace = lambda *args: os.kill(os.getpid(), 9)
else:
    files.os.replace = lambda *args: (print("writing", flush=True), time.sleep(60))
files.atomic_write(sys.argv[1], b"half")
"""


@pytest.mark.skipif(files.fcntl is None, reason="needs file locks")
def test_what_a_killed_writer_leaves_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    path, others = tmp_path / "file", tmp_path / ".editor.tmp"
    others.write_bytes(b"not ours")
    assert subprocess.run([sys.executable, "-c", WRITER, path, "killed"], check=False).returncode == -9
    (abandoned,) = tmp_path.glob(f".*{files.SUFFIX}")
    with subprocess.Popen([sys.executable, "-c", WRITER, path, "alive"], stdout=subprocess.PIPE) as living:
        assert living.stdout.readline() == b"writing\n"
        assert not abandoned.exists()
        (temporary,) = tmp_path.glob(f".*{files.SUFFIX}")
        atomic_write(path, b"new")
        assert temporary.exists()
        living.kill()
    atomic_write(path, b"newer")
    assert sorted(os.listdir(tmp_path)) == [".editor.tmp", "file"]
