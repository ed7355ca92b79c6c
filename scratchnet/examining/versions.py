"""Is everything installed, and in versions that work?"""

import platform
import sys
from collections.abc import Iterator
from pathlib import Path

import scratchnet
from scratchnet.errors import install_command
from scratchnet.examining.findings import BAD, GOOD, NOTE, Line, version_of

REQUIRED = {
    "numpy": "the arrays",
    "scipy": "BLAS in place",
    "threadpoolctl": "the number of BLAS threads",
    "tyro": "command lines",
    "rich": "progress bars and tables",
    "pooch": "downloads",
    "requests": "downloads over https",
    "urllib3": "downloads over https",
    "filelock": "one download for many processes",
    "pillow": "reading pictures",
    "matplotlib": "drawing pictures",
}
OPTIONAL = {  # distributions, what they are for, the extra that brings them
    "numba": ("training on one example at a time, compiled", "fast"),
    "torch": ("to compare every gradient with", "test"),
    "nltk": ("the study of tweets", "text"),
    "tensorboard": ("curves of runs in TensorBoard (--log tensorboard)", "tensorboard"),
    "jax": ("a rival in the benchmarks", "bench"),
    "pytest": ("the tests", "test"),
}


def versions() -> Iterator[Line]:
    system = f"{platform.system()} {platform.machine()}"
    python = f"{platform.python_version()} ({platform.python_implementation()}, {system})  {sys.executable}"
    new = sys.version_info >= (3, 11)
    yield Line(GOOD, "scratchnet", f"{scratchnet.__version__}  {Path(scratchnet.__file__).parent}")
    yield Line(GOOD if new else BAD, "Python", python, "" if new else "scratchnet needs Python 3.11 or newer")
    for name, purpose in REQUIRED.items():
        version = version_of(name)
        if version is None:
            yield Line(BAD, name, f"missing ({purpose})", f"pip install {name}")
        elif (name, version) == ("numpy", "2.3.0"):
            yield Line(BAD, name, "2.3.0 corrupts memory with a non-contiguous out=", "pip install -U 'numpy!=2.3.0'")
        else:
            yield Line(GOOD, name, version)
    for name, (purpose, extra) in OPTIONAL.items():
        version = version_of(name)
        yield (
            Line(GOOD, name, version)
            if version
            else Line(NOTE, name, f"not installed; optional: {purpose}", install_command(extra))
        )
