"""Atomic writing: whatever fails, only the old file or the new one is there."""

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import scratchnet as sn
from scratchnet.files import atomic as files
from scratchnet.files.atomic import atomic_write
from tests.profiles import quick_first

CALLS = ("open", "write", "fsync", "replace", "close")


class Failing:
    """The functions of `os` that a write uses; call number `n` of all of them fails."""

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

    def full(path, flags, *mode):
        return real("/dev/full", os.O_WRONLY) if str(path).endswith(files.SUFFIX) else real(path, flags, *mode)

    monkeypatch.setattr(files.os, "open", full)
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


# ------------------------------------------------------------- many writers of one file


def network(k: int) -> sn.Sequential:
    """A small network whose weights are all `k`, so that a mixture would show."""
    net = sn.Sequential(sn.Linear(30, 20), sn.Sigmoid(), sn.Linear(20, 3))
    net.load_state_dict({name: np.full(p.shape, k, np.float32) for name, p in net.params.items()})
    return net


def check_whole(path) -> None:
    values = np.concatenate([a.ravel() for a in sn.load(path).state_dict().values()])
    assert len(set(values.tolist())) == 1


def test_four_threads_save_and_two_load_one_file(tmp_path):
    path = tmp_path / "model.safetensors"
    network(0).save(path)
    saving = [threading.Event() for _ in range(4)]

    def save_often(k):
        try:
            net = network(k)
            for _ in range(25):
                net.save(path)
        finally:
            saving[k].set()

    def load_often():
        loads = 0
        while not all(done.is_set() for done in saving) or loads < 10:
            check_whole(path)
            loads += 1
        return loads

    with ThreadPoolExecutor(6) as pool:
        savers = [pool.submit(save_often, k) for k in range(4)]
        loaders = [pool.submit(load_often) for _ in range(2)]
        assert all(future.result() >= 10 for future in loaders)
        for future in savers:
            future.result()
    assert os.listdir(tmp_path) == ["model.safetensors"]


SAVER = """
import os, sys, time
if sys.argv[3] == "patched":
    os.getpid = lambda: 1
from tests.files.test_files import check_whole, network
path, k = sys.argv[1], int(sys.argv[2])
net = network(k)
print(os.getpid(), flush=True)
sys.stdin.readline()
for _ in range(40):
    net.save(path)
    check_whole(path)
"""
NAMESPACE = ["unshare", "-rpf", "--mount-proc"]


@pytest.mark.parametrize("how", quick_first(["patched", "namespaces"], 1))
@pytest.mark.slow
def test_two_processes_with_one_number_save_one_file(tmp_path, how):
    """Like two containers that share a volume, in each of which Python is often process
    1.
    """
    prefix = NAMESPACE if how == "namespaces" else []
    if prefix and (
        shutil.which("unshare") is None or subprocess.run([*prefix, "true"], capture_output=True).returncode
    ):
        pytest.skip("this machine lets nobody make process namespaces (unshare)")
    path = tmp_path / "model.safetensors"
    both = [
        subprocess.Popen([*prefix, sys.executable, "-c", SAVER, path, str(k), how], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for k in range(2)
    ]  # fmt: skip
    assert [process.stdout.readline() for process in both] == ["1\n", "1\n"]
    for process in both:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        _, said = process.communicate()
        assert process.returncode == 0, said
    assert os.listdir(tmp_path) == ["model.safetensors"]


# ---------------------------------------------------------------- what is there already


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def by_a_library(path, content):
    with files.atomic_file(path) as temporary:
        temporary.write_bytes(content)


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
@pytest.mark.parametrize("write", [atomic_write, by_a_library])
def test_permissions(tmp_path, umask, write):
    path = tmp_path / "file"
    write(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640  # what the umask leaves
    for mode in (0o600, 0o664, 0o444, 0o755):
        path.chmod(mode)
        write(path, b"newer")
        assert stat.S_IMODE(path.stat().st_mode) == mode and path.read_bytes() == b"newer"


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "latest", tmp_path / "elsewhere" / "model"
    for there in (False, True):  # first it points nowhere
        if not there:
            link.symlink_to("elsewhere/model")
        atomic_write(link, b"%d" % there)
        assert os.readlink(link) == "elsewhere/model" and target.read_bytes() == b"%d" % there
    assert os.listdir(tmp_path / "elsewhere") == ["model"]
    (tmp_path / "round").symlink_to("round")
    with pytest.raises(OSError, match=r"cannot be written .*; what was there is as before"):
        atomic_write(tmp_path / "round", b"")
    assert os.readlink(tmp_path / "round") == "round"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_pipes_and_planted_links_do_no_harm(tmp_path):
    """Neither in the place of the file nor under the name of a temporary one."""
    path, pipe, link, victim = (
        tmp_path / name for name in ("file", ".a" + files.SUFFIX, ".b" + files.SUFFIX, "victim")
    )
    victim.write_bytes(b"precious")
    os.mkfifo(pipe)
    link.symlink_to(victim)
    atomic_write(path, b"new")
    assert path.read_bytes() == b"new" and victim.read_bytes() == b"precious"
    assert stat.S_ISFIFO(pipe.stat().st_mode) and link.is_symlink()
    for place, reason in ((pipe, "a device or a pipe"), (tmp_path, "directory"), ("/", "directory")):
        with pytest.raises(OSError, match=reason):
            atomic_write(place, b"new")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_long_names(tmp_path):
    atomic_write(tmp_path / ("x" * 255), b"new")
    assert os.listdir(tmp_path) == ["x" * 255]
