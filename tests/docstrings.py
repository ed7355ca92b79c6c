"""Short texts in real language without a download: sentences from docstrings.

They come from the packages that are installed. An "author" is a package, or a group of
modules of the standard library. From each docstring we take one sentence as long as a
tweet, the first that is prose. No two texts have the same words, and the names of the
packages are removed. The source is read, not imported.
"""

import ast
import importlib.util
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

PACKAGES = ("numpy", "scipy", "sklearn", "matplotlib")
NETWORK = "asyncio email ftplib http imaplib mailbox poplib selectors smtplib socket socketserver ssl urllib xmlrpc"
LANGUAGE = (
    "abc ast bdb code codeop ctypes dataclasses dis doctest enum functools importlib inspect lib2to3 operator "
    "pdb pickle pickletools pkgutil profile pstats pyclbr pydoc symtable sys timeit trace traceback types "
    "typing unittest warnings weakref"
)
WINDOWS = "cmd curses idlelib tkinter turtle turtledemo"
FILES = (
    "_pyio argparse bz2 calendar collections concurrent configparser csv datetime _pydatetime decimal "
    "_pydecimal difflib distutils filecmp fileinput fractions genericpath getpass gettext glob gzip heapq io "
    "ipaddress json locale logging lzma multiprocessing ntpath optparse os pathlib platform plistlib "
    "posixpath queue random sched shelve shutil statistics string _strptime subprocess sysconfig tarfile "
    "tempfile textwrap threading tokenize uuid venv wave xml zipapp zipfile zoneinfo"
)
STANDARD_LIBRARY = {"network": NETWORK, "language": LANGUAGE, "windows": WINDOWS, "files": FILES}

_SENTENCE = re.compile(r"[A-Z][^\n]*?[a-z)`'\"][.!?](?=\s|$)")
_NOT_PROSE = re.compile(r">>>|::|https?:|[|=<>{}\\]|\.\.\s|\[\d|\d{3}")
_NAMES = re.compile(
    r"num ?py|sci(?:py|kit)(?:-learn)?|sklearn|(?:mat)?plotlib|pyplot|\b(?:np|plt|sp|mpl|pylab)\b", re.IGNORECASE
)


def sources(name: str) -> Iterator[Path]:
    """The files of a package or module, without its tests."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return
    origin = Path(spec.origin)
    for path in sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]:
        inside = path.relative_to(origin.parent).parts
        if not {"tests", "test", "testing", "externals", "_vendor", "_lib"} & set(inside):
            yield path


def docstrings(path: Path) -> Iterator[str]:
    """Of the module, its classes and functions."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield text


def sentence(docstring: str) -> str | None:
    """The first that is prose of 30 to 140 characters."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        if re.search(r"^\s*[-=~]{3,}|^\s*\S+ ?: ", paragraph, re.M):
            continue
        for match in _SENTENCE.finditer(" ".join(paragraph.split())):
            found = match[0]
            if 30 <= len(found) <= 140 and not _NOT_PROSE.search(found) and len(re.findall("[a-z]{2,}", found)) >= 5:
                return found
    return None


def texts_of(names: Iterable[str]) -> list[str]:
    """One text from every docstring of these packages, if it has one, without their
    names.
    """
    found = (sentence(text) for name in names for path in sources(name) for text in docstrings(path))
    return [" ".join(_NAMES.sub("", text).split()) for text in found if text]


def corpus(authors: dict[str, Iterable[str]], each: int, seed: int = 0) -> list[tuple[str, str]]:
    """(author, text) for up to `each` texts per author, no two with the same words."""
    rng, seen = np.random.default_rng(seed), {}  # type: ignore[var-annotated]
    for author, names in authors.items():
        for text in texts_of(names):
            key = tuple(sorted(set(re.findall("[a-z]+", text.lower()))))
            seen.setdefault(key, {})[author] = text
    mine: dict[str, list[str]] = {author: [] for author in authors}
    for by in seen.values():
        if len(by) == 1:  # what two authors say tells nobody
            ((author, text),) = by.items()
            mine[author].append(text)
    return [(author, texts[i]) for author, texts in mine.items() for i in rng.permutation(len(texts))[:each]]


def standard_library(each: int = 1000) -> list[tuple[str, str]]:
    return corpus({name: modules.split() for name, modules in STANDARD_LIBRARY.items()}, each)


def packages(each: int = 1000) -> list[tuple[str, str]]:
    return corpus({name: [name] for name in PACKAGES}, each)
