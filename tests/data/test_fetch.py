"""Downloads against a server that does everything wrong.

And with many processes at once, and processes that are killed.
"""

import builtins
import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys

import pytest

from tests.profiles import quick_every, quick_first

pytest.importorskip("trustme", reason="trustme makes the certificate of the local https server")

import filelock

from scratchnet.data import fetch
from scratchnet.data.fetch import NotAvailable, Remote
from scratchnet.errors import DataError
from scratchnet.files.folders import cache_folder
from tests.data.misbehaving import BAD, BODY, GOOD, HANGS, Server
from tests.places import ROOT

CHECKSUM = "sha256:" + hashlib.sha256(BODY).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture
def cache(server, tmp_path, monkeypatch):
    """An empty cache folder, and trust in the server's certificate."""
    monkeypatch.setenv("SCRATCHNET_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SCRATCHNET_DATA", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(server.trusted))
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
    server.asked.clear()
    return tmp_path / "cache" / "set"


@pytest.fixture
def impatient(monkeypatch):
    """impatient(path): this path gets little time, and a good mirror all it needs."""
    stream = fetch._stream

    def limit(path):
        def limited(url, *args, **options):
            with monkeypatch.context() as short:
                if url.endswith(path):
                    short.setattr(fetch, "STALL_SECONDS", 0.4)
                    short.setattr(fetch, "GRACE_SECONDS", 0.5)
                    short.setattr(fetch, "MIN_BYTES_PER_SECOND", 10**9)
                yield from stream(url, *args, **options)

        monkeypatch.setattr(fetch, "_stream", limited)

    return limit


def remote(server, *paths):
    return Remote("file.bin", len(BODY), CHECKSUM, tuple(server.url + path for path in paths))


def visible(folder):
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("path", GOOD)
def test_good_servers(server, cache, path):
    assert fetch.download("set", [remote(server, path)]) == [cache / "file.bin"]
    assert (cache / "file.bin").read_bytes() == BODY
    assert visible(cache) in (["file.bin"], ["file.bin", "lock"])
    count = len(server.asked)
    fetch.download("set", [remote(server, path)])
    assert len(server.asked) == count, "what is in the cache is not downloaded again"


@pytest.mark.parametrize("path", quick_every(3, BAD))
def test_a_misbehaving_server_is_refused_and_the_next_mirror_tried(server, cache, impatient, path):
    if path in HANGS:
        impatient(path)
    if path == "endless.zip":  # only its own large limit stops a zip archive of unknown length; the time does first
        fetch.LARGEST_ZIP, kept = 1 << 16, fetch.LARGEST_ZIP
    try:
        with pytest.raises(NotAvailable) as caught:
            fetch.download("set", [remote(server, path)])
    finally:
        if path == "endless.zip":
            fetch.LARGEST_ZIP = kept
    message = str(caught.value)
    assert f"{server.url}{path}: " in message and "file.bin" in message and str(cache) in message
    assert "--data-dir" in message and len(message) < 1000 and message.isprintable(), "one line"
    assert visible(cache) in ([], ["lock"]), "nothing half-written"
    fetch.download("set", [remote(server, path, "good")])
    assert (cache / "file.bin").read_bytes() == BODY


def test_http_is_refused_without_a_connection(server, cache):
    url = server.url.replace("https", "http")
    with pytest.raises(NotAvailable, match="not https"):
        fetch.download("set", [Remote("file.bin", len(BODY), CHECKSUM, (url + "good",))])
    assert not server.asked


def test_an_unknown_certificate_is_refused(server, cache, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with pytest.raises(NotAvailable, match="certificate"):
        fetch.download("set", [remote(server, "good")])


def test_nobody_listens(server, cache):
    with pytest.raises(NotAvailable, match="no connection"):
        fetch.download("set", [Remote("file.bin", len(BODY), CHECKSUM, ("https://127.0.0.1:1/file.bin",))])


@pytest.mark.parametrize("damage", [BODY[:-1], b"", b"x" * len(BODY)])
def test_a_damaged_file_in_the_cache_is_replaced(server, cache, damage):
    cache.mkdir(parents=True)
    (cache / "file.bin").write_bytes(damage)
    with pytest.raises(NotAvailable):
        fetch.download("set", [remote(server, "not-found")])
    fetch.download("set", [remote(server, "good")])
    assert (cache / "file.bin").read_bytes() == BODY


def test_the_lock_is_waited_for_with_a_limit(server, cache, monkeypatch):
    monkeypatch.setattr(fetch, "LOCK_SECONDS", 0.2)
    cache.mkdir(parents=True)
    with filelock.FileLock(cache / "lock"), pytest.raises(NotAvailable, match="held by another process"):
        fetch.download("set", [remote(server, "good")])
    assert not server.asked


def test_a_cache_folder_that_is_a_file(server, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text("in the way")
    with pytest.raises(NotAvailable, match="cache folder cannot be used"):
        fetch.download("set", [remote(server, "good")])


def test_a_full_disk_leaves_nothing(server, cache, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(fetch, "_stream", full)
    with pytest.raises(NotAvailable, match="No space left"):
        fetch.download("set", [remote(server, "good")])
    assert visible(cache) in ([], ["lock"])


def test_every_nth_failing_call(server, cache, monkeypatch):
    """Each system call on the cache folder fails once, in turn.

    There is a clear error, nothing is left behind, and the next try works.
    """
    calls, fail_at = 0, 0

    def failing(name, module):
        original = getattr(module, name)

        def wrapper(path, *args, **kwargs):
            nonlocal calls
            if str(cache.parent) in str(path):
                calls += 1
                if calls == fail_at:
                    raise OSError(errno.EIO, "Input/output error", str(path))
            return original(path, *args, **kwargs)

        monkeypatch.setattr(module, name, wrapper)

    for module, names in ((os, ("open", "mkdir", "rename", "replace")), (builtins, ("open",)), (shutil, ("move",))):
        for name in names:
            failing(name, module)
    file = remote(server, "good")
    for nth in range(1, 100):
        calls, fail_at = 0, nth
        shutil.rmtree(cache, ignore_errors=True)
        try:
            fetch.download("set", [file])
        except NotAvailable as error:
            assert "Input/output error" in str(error)
            assert set(visible(cache)) <= {"lock"}
        if calls < nth:
            break
        fail_at = 0
        fetch.download("set", [file])
        assert (cache / "file.bin").read_bytes() == BODY
    assert 5 < nth < 99, "each call failed once"


# ---------------------------------------------------------------- folders of the user's


def test_folders_come_before_the_cache(tmp_path, monkeypatch):
    file = Remote("a.gz", 3, CHECKSUM, (), ("a",))
    for folder in ("data/mnist", "root/mnist", "empty"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data/mnist/a.gz").write_bytes(b"abc")
    (tmp_path / "root/mnist/a").write_bytes(b"abc")
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path / "root"))
    assert fetch.find("mnist", [file], tmp_path / "data") == [tmp_path / "data/mnist/a.gz"]
    assert fetch.find("mnist", [file], tmp_path / "data/mnist") == [tmp_path / "data/mnist/a.gz"]
    assert fetch.find("mnist", [file]) == [tmp_path / "root/mnist/a"]
    with pytest.raises(DataError, match=r"empty: no a\.gz"):
        fetch.find("mnist", [file], tmp_path / "empty")
    with pytest.raises(DataError, match=r"no such folder; it should hold mnist/ with a\.gz"):
        fetch.find("mnist", [file], tmp_path / "nowhere")
    with pytest.raises(DataError, match="folder of mnist, not of fashion-mnist"):
        fetch.find("fashion-mnist", [file], tmp_path / "data/mnist")


def test_a_folder_that_was_named_is_never_replaced_by_a_download(server, cache, tmp_path):
    with pytest.raises(DataError) as caught:
        fetch.find("set", [remote(server, "good")], tmp_path)
    assert not isinstance(caught.value, NotAvailable) and not server.asked


def test_a_data_root_without_this_set_goes_on_to_the_cache(server, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    assert fetch.find("set", [remote(server, "good")]) == [cache / "file.bin"]
    with pytest.raises(NotAvailable, match="no other/ in "):
        fetch.find("other", [remote(server, "not-found")])


def test_the_platform_has_a_cache_folder(monkeypatch):
    monkeypatch.delenv("SCRATCHNET_CACHE", raising=False)
    assert cache_folder().name == "scratchnet"


# ----------------------------------------------------- many processes, killed processes


SCRIPT = """
import sys
from scratchnet.data import fetch
url, size, checksum = sys.argv[1:]
path, = fetch.download("set", [fetch.Remote("file.bin", int(size), checksum, (url,))])
sys.exit(path.stat().st_size != int(size))
"""


def start(server, path):
    command = [sys.executable, "-c", SCRIPT, server.url + path, str(len(BODY)), CHECKSUM]
    return subprocess.Popen(command, cwd=ROOT)


@pytest.mark.slow
def test_sixteen_processes_make_one_download(server, cache):
    server.gate.clear()
    server.half_way.clear()
    processes = [start(server, "gated/1000") for _ in range(16)]
    assert server.half_way.wait(60)
    server.gate.set()
    assert [p.wait(60) for p in processes] == [0] * 16
    assert len(server.asked) == 1
    assert (cache / "file.bin").read_bytes() == BODY


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is of POSIX")
@pytest.mark.parametrize("count", quick_first([65_536, 0, 1, 200_000, len(BODY) - 1], 1))
def test_killed_in_the_middle(server, cache, count):
    kill(server, cache, count)


@pytest.mark.nightly
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is of POSIX")
@pytest.mark.parametrize("count", range(0, len(BODY), len(BODY) // 50))
def test_killed_at_fifty_points(server, cache, count):
    kill(server, cache, count)


def kill(server, cache, count):
    server.gate.clear()
    server.half_way.clear()
    process = start(server, f"gated/{count}")
    assert server.half_way.wait(60)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    server.gate.set()
    assert "file.bin" not in visible(cache), "no partial file is ever visible"
    fetch.download("set", [remote(server, "good")])
    assert (cache / "file.bin").read_bytes() == BODY
    assert set(visible(cache)) <= {"file.bin", "lock"}, "what the killed process left is gone"
