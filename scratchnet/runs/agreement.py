"""Makes sure that all ranks train the same network on the same data.

Each rank describes what it is about to do, and one line names what differs. A rank that
differs would otherwise give a wrong result without a word (another learning rate), or
wait for ever for steps that the others never make (another number of epochs). So the
ranks are compared before anything else passes between them.
"""

import platform
from collections.abc import Sequence
from dataclasses import is_dataclass
from typing import NamedTuple

import numpy as np

from scratchnet.backend.arrays import Array, to_numpy
from scratchnet.backend.sparse import is_sparse, length
from scratchnet.engine.layers.sequential import Sequential
from scratchnet.engine.losses import Loss
from scratchnet.engine.optim import Optimiser
from scratchnet.engine.sources import Source
from scratchnet.runs.checkpoint_file import environment, settings_of
from scratchnet.runs.identity import digests
from scratchnet.runs.options import CommonOptions, as_json

#: Options that may differ between machines, because no weight depends on them
MAY_DIFFER = {"data_dir", "out", "plots", "resume", "threads"}

MAX_CHARACTERS = 60  # of a value, in a message

Said = dict[str, str]


class Message(NamedTuple):
    """What one rank tells rank 0: a description of itself, or its error."""

    host: str
    said: Said
    error: str = ""
    code: int = 0


def of_arrays(**arrays: Array) -> Said:
    """The beginning of a digest of each array: of its dtype, shape and bytes."""
    parts: dict[str, np.ndarray] = {}
    for name, a in arrays.items():
        if is_sparse(a):
            parts |= {
                name: to_numpy(a.data),
                f"{name}' columns": to_numpy(a.indices),
                f"{name}' rows": to_numpy(a.indptr),
            }
        else:
            parts[name] = to_numpy(a)
    return {f"digest of the {name}": found[:16] for name, found in digests(**parts).items()}


def of_program() -> Said:
    """The versions that the bits of a result depend on."""
    import scipy

    import scratchnet

    return {
        "scratchnet": scratchnet.__version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "SciPy": scipy.__version__,
        "Numba": environment(1, "cpu")["numba"],
        "processor": platform.machine(),
    }


def of_options(study: str, options: CommonOptions) -> Said:
    """The study and its options, as they are written on a command line."""
    given = {f"--{name.replace('_', '-')}": str(v) for name, v in as_json(options).items() if name not in MAY_DIFFER}
    return {"study": study, **given}


def of_training(net: Sequential, loss: Loss, optimiser: Optimiser, settings: Said) -> Said:
    """The network, the loss, the optimiser, and the settings of the loop."""
    return {
        **settings,
        "dtype": str(net.dtype),
        "device": net.device,
        "number of layers": str(len(net.layers)),
        **{f"layer {i}": repr(layer) for i, layer in enumerate(net.layers)},
        "loss": str(loss) if is_dataclass(loss) else type(loss).__name__,
        **{f"optimiser's {name}": str(value) for name, value in settings_of(optimiser).items()},
    }


FIRST = 1000  # examples of a source


def of_data(x: Array, target: Array) -> Said:
    """The examples that are trained on, to the last byte.

    Of a source, whose examples are not in memory, the first ones are looked at.
    """
    examples = x[:FIRST] if isinstance(x, Source) else x
    return {
        "number of examples": str(length(x)),
        "shape of an example": str(tuple(x.shape[1:])),
        "dtype of the examples": str(examples.dtype),
        "shape of a target": str(tuple(target.shape[1:])),
        "dtype of the targets": str(target.dtype),
        **of_arrays(examples=examples, targets=target),
    }


def of_weights(net: Sequential, optimiser: Optimiser) -> Said:
    """Where the training begins: at its first step, or at that of a checkpoint."""
    vectors = {f"optimiser's {name}": vector for name, vector in optimiser.state().items()}
    weights = {"initial weights": net.store.values, "running means and variances": net.store.fixed}
    return {"steps done": str(optimiser.steps), **of_arrays(**weights, **vectors)}


def judge(messages: Sequence[Message], advice: str) -> tuple[str, int]:
    """Compare the messages of ranks 0, 1, 2, ...

    Returns why all ranks have to end, in one line, and the exit code; ("", 0) if they
    agree.
    """
    hosts, failed = [m.host for m in messages], [rank for rank, m in enumerate(messages) if m.error]
    if failed:
        error, code = messages[failed[0]].error, messages[failed[0]].code
        same = [rank for rank in failed if messages[rank].error == error]
        return (error if len(same) == len(messages) else f"{who(same, hosts)}: {error}"), code
    said = [m.said for m in messages]
    names = list(dict.fromkeys(name for one in said for name in one))
    differing = [name for name in names if len({one.get(name) for one in said}) > 1]
    if not differing:
        return "", 0
    more = f"; and in {a_few(differing[1:])}" if differing[1:] else ""
    return f"the ranks differ in {in_words(differing[0], said, hosts)}{more}: {advice}", 2


def in_words(name: str, said: Sequence[Said], hosts: Sequence[str]) -> str:
    """One difference: "--lr: 0.1 on rank 0 (node1), 0.2 on ranks 1, 2 (node2)"."""
    ranks: dict[str, list[int]] = {}
    for rank, one in enumerate(said):
        ranks.setdefault(one.get(name, "nothing"), []).append(rank)
    return f"{name}: " + a_few([f"{short(value)} on {who(some, hosts)}" for value, some in ranks.items()])


def who(ranks: Sequence[int], hosts: Sequence[str]) -> str:
    """Ranks and their hosts: "ranks 1, 2 (node2)". Long lists are cut short."""
    places = list(dict.fromkeys(hosts[rank] for rank in ranks))
    return f"rank{'s' * (len(ranks) > 1)} {a_few([str(rank) for rank in ranks])} ({a_few(places)})"


def a_few(words: Sequence[str]) -> str:
    return ", ".join(words[:4]) + f" and {len(words) - 4} more" * (len(words) > 4)


def short(text: str) -> str:
    """The text on one line of bounded length; quotation marks if it is empty."""
    text = " ".join(text.split()) or "''"
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 3] + "..."
