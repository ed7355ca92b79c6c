"""With this folder in PYTHONPATH, every Python process finds the stub GPU.

The stub is put in place when CuPy is first imported.
"""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class Loaded(Loader):
    """Gives the CuPy that the stub has imported."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return sys.modules["cupy"]

    def exec_module(self, module: ModuleType) -> None:
        pass


class Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "cupy":
            return None
        sys.meta_path.remove(self)
        from tests.cuda import stub

        stub.install()
        return importlib.util.spec_from_loader("cupy", Loaded())


sys.meta_path.insert(0, Finder())
