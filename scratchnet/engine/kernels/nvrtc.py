"""The CUDA texts of this folder, compiled when they are first used."""

import functools
from pathlib import Path
from types import ModuleType
from typing import Any

REAL = {"float32": "float", "float64": "double"}
#: The texts with kernels, and what each follows besides common.cu
TEXTS: dict[str, tuple[str, ...]] = {
    "batch": ("product", "rates"), "gemm": ("product",), "layers": ("rates",), "losses": (), "persistent": (),
    "pool": (), "recurrent": (), "step": (),
}  # fmt: skip


def text_of(name: str) -> str:
    """The text of `name`.cu, after what it shares with others."""
    folder = Path(__file__).parent
    return "\n".join((folder / f"{part}.cu").read_text(encoding="utf-8") for part in ("common", *TEXTS[name], name))


def options_of(dtype: str, **constants: int) -> tuple[str, ...]:
    """What the compiler is told: the type REAL, and constants of the text."""
    return (f"-DREAL={REAL[dtype]}", *(f"-D{name}={value}" for name, value in constants.items()))


@functools.lru_cache(maxsize=64)
def compiled(xp: ModuleType, name: str, dtype: str, cooperative: bool = False, **constants: int) -> Any:
    """The kernels of `name`.cu.

    All blocks of a cooperative launch run at the same time, so that they may wait for
    each other.
    """
    together = {"enable_cooperative_groups": True} if cooperative else {}
    return xp.RawModule(code=text_of(name), options=options_of(dtype, **constants), **together)


@functools.cache  # they are few, and graphs need those that they launch
def kernel(xp: ModuleType, text: str, name: str, dtype: str) -> Any:
    """One kernel of `text`.cu."""
    return compiled(xp, text, dtype).get_function(name)
