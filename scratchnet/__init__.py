"""scratchnet: neural networks from scratch, to read, to prove and to race.

The public names are listed in `__init__.pyi`, one list for people, type checkers and
this file. Each is imported on first use, so that `python -m scratchnet.train --help` is
quick.

The first hour of reading, in `engine/`: backprop, equations, layers/base, learner,
layers/linear, layers/activation, losses, optim, layers/sequential, steps, training.
"""

import importlib

__version__ = "0.1.0"

# Each line of the list reads `from MODULE import NAME as NAME`
with open(f"{__path__[0]}/__init__.pyi", encoding="utf-8") as _lines:
    _MODULE_OF = {words[-1]: words[1] for words in map(str.split, _lines) if words[:1] == ["from"]}
__all__ = sorted(_MODULE_OF)  # noqa: PLE0605


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        # with `name` given, Python does not append a suggestion of its own
        raise AttributeError(f"module 'scratchnet' has no attribute '{name}'{_did_you_mean(name)}", name=name)
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    # a module of this name, which the import has put here, can itself be called
    return globals().setdefault(name, value)


def _did_you_mean(name: str) -> str:
    from difflib import get_close_matches

    of_lower_case = {public.lower(): public for public in __all__}
    near = get_close_matches(name.lower(), of_lower_case, 1)
    return f"; did you mean {of_lower_case[near[0]]}?" if near else ""


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
