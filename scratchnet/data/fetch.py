"""Where data files come from: a folder of the user's, the cache, or a checked download.

They are looked for in this order: --data-dir (which must contain them),
$SCRATCHNET_DATA, the cache folder ($SCRATCHNET_CACHE, or the one of the platform), and
then each mirror in turn. A download gets its final name only after its size and
checksum have been checked, so the files in the cache are complete.
"""

import io
import os
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urljoin

from scratchnet.errors import DataError
from scratchnet.files.folders import cache_folder

FOLDERS = ("mnist", "fashion-mnist", "cifar-10", "cifar-100", "wheat-seeds", "iris", "flights", "sentence-polarity")
CONNECT_SECONDS = 5.0  # so that an unreachable network is noticed soon
STALL_SECONDS = 20.0  # a server that is silent for this long is given up
# After a grace period, a server that is slower than this is given up.
GRACE_SECONDS, MIN_BYTES_PER_SECOND = 30.0, 10_000
LOCK_SECONDS = 3600.0  # to wait for another process that downloads the same files
REDIRECTS = 5
LARGEST_ZIP = 1 << 20  # zip archives are unpacked in memory


class NotAvailable(DataError):
    """The files are in no folder, and no mirror could deliver them.

    The message says where they were looked for, and how to get them by hand.
    """


class Remote(NamedTuple):
    """A file: its exact size in bytes, its checksum ("sha256:...") and its addresses.

    An address that ends in .zip holds the file as the member `name`. In the user's
    folders the file may also have one of the names in `also`, for instance that of the
    same file without compression.
    """

    name: str
    size: int
    checksum: str
    urls: tuple[str, ...]
    also: tuple[str, ...] = ()


def find(dataset: str, files: Sequence[Remote], data_dir: str | Path | None = None) -> list[Path]:
    """The paths of the files of a data set.

    The module's docstring says where they are looked for; the errors are DataError and
    NotAvailable.
    """
    names = [file.name for file in files]
    folder = local_folder(dataset, names, data_dir)
    if folder is None:
        return download(dataset, files)
    paths = []
    for file in files:
        there = [folder / name for name in (file.name, *file.also) if (folder / name).is_file()]
        if not there:
            raise DataError(f"{folder}: no {file.name}; a folder with {dataset} holds {', '.join(names)}")
        paths.append(there[0])
    return paths


def local_folder(dataset: str, names: Sequence[str], data_dir: str | Path | None) -> Path | None:
    """The user's folder that should hold the data set, or None if none was given."""
    if data_dir is not None:
        folder = Path(data_dir).expanduser()
        if not folder.is_dir():
            raise DataError(f"--data-dir {folder}: no such folder; it should hold {dataset}/ with {', '.join(names)}")
        if (folder / dataset).is_dir():
            return folder / dataset
        if folder.name in FOLDERS and folder.name != dataset:
            raise DataError(f"--data-dir {folder}: this is the folder of {folder.name}, not of {dataset}")
        return folder
    root = os.environ.get("SCRATCHNET_DATA")
    if root and (Path(root) / dataset).is_dir():
        return Path(root) / dataset
    return None


def download(dataset: str, files: Sequence[Remote]) -> list[Path]:
    """The paths of the files in the cache.

    Files that are missing or damaged there are downloaded, by one process at a time.
    """
    import filelock

    folder = cache_folder() / dataset
    paths = [folder / file.name for file in files]
    if all(_sound(path, file) for path, file in zip(paths, files)):
        return paths
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / "lock", timeout=LOCK_SECONDS):
            for stale in folder.glob("tmp*"):  # left by a process that was killed: we hold the lock
                stale.unlink(missing_ok=True)
            for path, file in zip(paths, files):
                if not _sound(path, file):
                    _from_mirrors(dataset, file, files, folder)
    except filelock.Timeout as error:
        raise _not_available(dataset, files, folder, [f"{folder / 'lock'} is held by another process"]) from error
    except OSError as error:
        reason = f"the cache folder cannot be used: {error.strerror or error}"
        raise _not_available(dataset, files, folder, [reason]) from error
    return paths


def _sound(path: Path, file: Remote) -> bool:
    import pooch

    algorithm, digest = file.checksum.split(":")
    return path.is_file() and path.stat().st_size == file.size and pooch.file_hash(str(path), algorithm) == digest


def _from_mirrors(dataset: str, file: Remote, files: Sequence[Remote], folder: Path) -> None:
    """Try each address in turn.

    pooch writes to a temporary file beside the target, and renames it when the checksum
    is right.
    """
    import pooch
    import requests
    import urllib3

    def deliver(url: str, temporary: str, _: Any) -> None:
        with open(temporary, "wb") as out:
            out.writelines(_member(url, file) if url.endswith(".zip") else _stream(url, file.name, file.size))

    pooch.get_logger().setLevel("WARNING")
    problems = []
    for url in file.urls:
        try:
            pooch.retrieve(url, file.checksum, file.name, folder, downloader=deliver)
            return
        except (requests.Timeout, urllib3.exceptions.TimeoutError):
            problems.append(f"{url}: no answer")
        except requests.exceptions.SSLError:
            problems.append(f"{url}: its certificate cannot be verified")
        except requests.ConnectionError:
            problems.append(f"{url}: no connection")
        except urllib3.exceptions.HTTPError:
            problems.append(f"{url}: the connection broke")
        except (requests.RequestException, ValueError) as error:
            problems.append(f"{url}: {str(error).split('. ')[0]}")
    raise _not_available(dataset, files, folder, problems)


def _stream(url: str, name: str, size: int, exact: bool = True) -> Iterator[bytes]:
    """The body at an https address, as it comes over the wire.

    It is never longer than `size` bytes, and reading it always ends.
    """
    import requests

    limit = GRACE_SECONDS + size / MIN_BYTES_PER_SECOND
    deadline = time.monotonic() + limit
    with requests.Session() as session:
        for _ in range(REDIRECTS):
            if not url.startswith("https://"):
                raise ValueError(f"leads to {url}, which is not https: refused")
            request = session.prepare_request(requests.Request("GET", url, headers={"Accept-Encoding": "identity"}))
            settings = session.merge_environment_settings(url, {}, True, None, None)
            # Through the adapter: Session.send would read the whole body of a redirect,
            # however long it is.
            response = session.get_adapter(url).send(request, timeout=(CONNECT_SECONDS, STALL_SECONDS), **settings)
            if not response.is_redirect:
                break
            url = urljoin(url, response.headers["location"])
            response.close()
        if response.status_code != 200:
            raise ValueError(f"the server answers {response.status_code} {response.reason}")
        announced = response.headers.get("content-length", str(size))
        if exact and announced != str(size):
            raise ValueError(f"the server offers {announced} bytes, the file has {size}")
        received = 0
        with _progress(name, size) as advance:
            while chunk := response.raw.read1(1 << 16, decode_content=False):
                received += len(chunk)
                if received > size:
                    raise ValueError(f"the server sends more than the {size} bytes of the file")
                if time.monotonic() > deadline:
                    raise ValueError(f"too slow: {received} of {size} bytes after {limit:.0f} s")
                advance(len(chunk))
                yield chunk
    if exact and received < size:
        raise ValueError(f"the server stopped after {received} of {size} bytes")


def _member(url: str, file: Remote) -> Iterator[bytes]:
    """The file out of a small zip archive at the address."""
    archive = io.BytesIO(b"".join(_stream(url, file.name, LARGEST_ZIP, exact=False)))
    try:
        with zipfile.ZipFile(archive).open(file.name) as member:
            yield member.read(file.size + 1)  # one byte too many is enough to fail the checksum
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
        raise ValueError(f"no zip archive with {file.name} ({error})") from error


@contextmanager
def _progress(name: str, size: int) -> Iterator[Any]:
    """A progress bar on stderr, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(f"downloading {name}", total=size)
        yield lambda n: bar.advance(task, n)


def _not_available(dataset: str, files: Sequence[Remote], folder: Path, problems: Sequence[str]) -> NotAvailable:
    root = os.environ.get("SCRATCHNET_DATA")
    places = [
        f"no {dataset}/ in $SCRATCHNET_DATA ({root})" if root else "$SCRATCHNET_DATA is not set",
        f"not complete in {folder}",
        *problems,
    ]
    names = ", ".join(file.name for file in files)
    return NotAvailable(
        f"{dataset} is not available: {'; '.join(places)}. By hand: put {names} into {folder}, "
        f"or into any folder DIR and say --data-dir DIR."
    )
