"""`bug N`: a layer of the engine with one planted fault, to be found with `gradcheck`.

A fault is one change of the text of a layer's class, of the kind that the project's own
checks are tested with. Nothing else is kept here: the file is made from the source that
is installed.
"""

import ast
import importlib
import inspect
import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from scratchnet.engine.gradients import gradcheck
from scratchnet.engine.layers import Sequential
from scratchnet.engine.losses import MSELoss
from scratchnet.errors import DataError, SettingError
from scratchnet.exercises.judging import Broken, Caller, Verdict
from scratchnet.files.atomic import atomic_write
from scratchnet.files.reading import open_regular

PROGRESS = "bugs.json"

FILE = '''\
"""Bug {number}: a {layer} with one fault.

This is the engine's own class, with one change that makes it wrong. Nothing stops a
network from training with it; it only learns worse. Find the fault and mend it:

    python {file}

prints what gradcheck says about every gradient. Which are right, and which are wrong?
Every hint narrows it down: python -m scratchnet.exercises bug {number} --hint
"""

import numpy as np

import scratchnet as sn
{imports}


{source}

def network():
    """A small network around the layer, and a batch for it."""
    rng = np.random.default_rng(0)
    net = sn.Sequential({network}, seed=1, dtype="float64")
    x = rng.normal(size={shape})
    return net, x, rng.normal(size=net(x).shape)


if __name__ == "__main__":
    net, x, target = network()
    print(sn.gradcheck(net, x, target, sn.MSELoss()))
'''


@dataclass(frozen=True)
class Planted:
    """A fault: `old` in the source of a layer's class becomes `new`."""

    number: int
    module: str
    layer: str
    old: str
    new: str
    network: str  # the layers around it, where LAYER is the layer itself
    shape: tuple[int, ...]
    hints: tuple[str, ...]
    base: str  # of the learner's class, where it is not the layer's own

    @property
    def name(self) -> str:
        return f"bug{self.number}"

    @property
    def file(self) -> str:
        return f"bug_{self.number:02}.py"


def _planted() -> dict[int, Planted]:
    """The faults, from bugs.json."""
    rows = json.loads((Path(__file__).parent / "bugs.json").read_text(encoding="utf-8"))
    return {
        n: Planted(n, row["module"], row["layer"], row["old"], row["new"], row["network"], tuple(row["shape"]),
                   tuple(row["hints"]), row["base"])
        for n, row in enumerate(rows, 1)
    }  # fmt: skip


BUGS = _planted()


def bug(number: int) -> Planted:
    """Raises SettingError if there is none of this number."""
    if number not in BUGS:
        raise SettingError(f"there is no bug {number}: they are numbered from 1 to {len(BUGS)}")
    return BUGS[number]


def text_of(planted: Planted, mended: bool = False) -> str:
    """The file with the fault, made from the layer's source."""
    module = importlib.import_module(f"scratchnet.engine.layers.{planted.module}")
    source = textwrap.dedent(inspect.getsource(getattr(module, planted.layer)))
    if not mended:
        source = source.replace(planted.old, planted.new)
    own = f"My{planted.layer}"
    source = source.replace(f"class {planted.layer}(", f"class {own}(").rstrip() + "\n"
    if planted.base:
        source = source.replace(f"class {own}(Layer)", f"class {own}({planted.base})")
    tree = ast.parse(source)
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    names = sorted(name for name in used if name in vars(module) and name != planted.layer)
    imports = f"from {module.__name__} import {', '.join(names)}"
    if len(imports) > 88:
        imports = f"from {module.__name__} import (\n    " + ",\n    ".join(names) + ",\n)"
    network = planted.network.replace("LAYER", own)
    return FILE.format(number=planted.number, layer=planted.layer, file=planted.file, imports=imports, source=source,
                       network=network, shape=planted.shape)  # fmt: skip


def write(planted: Planted, folder: Path) -> Path:
    """Write the file; raises SettingError for a folder that is none."""
    if folder.exists() and not folder.is_dir():
        raise SettingError(f"{folder} is a file: name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / planted.file, text_of(planted).encode())
    return folder / planted.file


def next_hint(folder: Path, planted: Planted) -> int:
    """The number, from 0, of the hint to give now; the last one is repeated."""
    path = folder / PROGRESS
    given: dict[str, int] = {}
    if path.exists():
        try:
            with open_regular(path) as file:
                given = {str(k): int(v) for k, v in json.loads(file.read(100_000)).items()}
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise DataError(f"{path} is damaged: delete it") from None
    k = max(0, min(given.get(planted.name, 0), len(planted.hints) - 1))
    if folder.is_dir():
        atomic_write(path, (json.dumps(given | {planted.name: k + 1}, indent=2) + "\n").encode())
    return k


def network(planted: Planted, layer: type) -> tuple[Sequential, np.ndarray, np.ndarray]:
    """The network of a fault around a class, as `network` of its file makes it."""
    import scratchnet

    rng = np.random.default_rng(0)
    layers = eval(f"[{planted.network}]", {"sn": scratchnet, "LAYER": layer})  # our own text, from bugs.json
    net = Sequential(*layers, seed=1, dtype="float64")
    x = rng.normal(size=planted.shape)
    return net, x, rng.normal(size=net(x).shape)


def judge_bug(number: int, module: ModuleType, call: Caller) -> Verdict:
    """Whether the layer in a learner's file is right, by `gradcheck`.

    Its forward has to be the engine's still: a layer that computes something else may
    have right gradients too.
    """
    planted = BUGS[number]
    own, home = f"My{planted.layer}", importlib.import_module(f"scratchnet.engine.layers.{planted.module}")
    if not isinstance(getattr(module, own, None), type):
        return Verdict("wrong", f"there is no class {own} in {planted.file}: give it back its name")
    try:
        net, x, target = call(network, planted, getattr(module, own))
        report = call(gradcheck, net, x, target, MSELoss())
    except Broken as broken:
        return Verdict("broken", str(broken))
    if not report:
        wrong = dict.fromkeys(d.parameter for d in report.disagreements)
        right = [name for name in report.checked if name not in wrong]
        text = f"gradcheck finds right: {', '.join(right) or 'nothing'}; wrong: {', '.join(wrong)}"
        return Verdict("wrong", text, str(report.disagreements[0]))
    original, _, _ = network(planted, getattr(home, planted.base or planted.layer))
    original.load_state_dict(net.state_dict())
    if not np.allclose(call(net, x), original(x), rtol=1e-9, atol=1e-12):
        return Verdict(
            "wrong", "all gradients agree, but forward computes something else now: the fault is in backward"
        )
    return Verdict("solved", "all gradients agree: you have found it")
