"""With this folder in PYTHONPATH, every Python process finds the stub GPU.

The stub is put in place when CuPy is first imported.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class Prepared(Loader):
    """Loads CuPy, and hands it to the stub."""

    def __init__(self, real: Loader) -> None:
        self.real = real

    def exec_module(self, module: ModuleType) -> None:
        from tests.cuda import stub

        self.real.exec_module(module)
        stub.prepare()


class Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "cupy":
            return None
        sys.meta_path.remove(self)
        from tests.cuda import stub

        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None or stub.problem() is not None:
            return spec
        stub.replace_driver()
        spec.loader = Prepared(spec.loader)
        return spec


sys.meta_path.insert(0, Finder())
