"""`python -m scratchnet.train STUDY`: train a classic network of the literature."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from scratchnet.cli import guard, known, parse, patience, stopped_at_once
from scratchnet.runs.config import with_config
from scratchnet.runs.options import check_effect, check_unchanged, recorded_options
from scratchnet.runs.tensorboard import need_tensorboard
from scratchnet.studies.catalogue import STUDIES, study_module

if TYPE_CHECKING:
    from scratchnet.runs.ranks import Ranks

HELP = """\
usage: python -m scratchnet.train STUDY [OPTIONS]
       python -m scratchnet.train --config runs/mnist-default/config.toml [OPTIONS]

Train a network from scratch. The studies:

{studies}

`python -m scratchnet.train STUDY --help` shows the options and presets of one. To begin:

  python -m scratchnet.train mnist
"""


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        width = max(map(len, STUDIES))
        print(HELP.format(studies="\n".join(f"  {name:<{width}}  {about}" for name, (_, about) in STUDIES.items())))
        return 0
    args = with_config(args)
    if "--distributed" not in args:
        return train(args)
    from scratchnet.runs.ranks import all_ranks

    with all_ranks() as ranks, ranks.only_first_speaks():
        return train(args, ranks)


def train(args: Sequence[str], ranks: "Ranks | None" = None) -> int:
    """Train as the command line says; returns the exit code.

    This process may be alone or one of several ranks.
    """
    study, rest = args[0], args[1:]
    with stopped_at_once():
        module = study_module(study)
    resume = _value("--resume", rest)
    if resume is None:
        usual = module.usual_preset(rest) if hasattr(module, "usual_preset") else "default"
        default = module.PRESETS[known(_value("--preset", rest) or usual, list(module.PRESETS), f"preset of {study}")]
    else:
        default = recorded_options(module.Options, study, Path(resume))
    options = parse(module.Options, rest, f"python -m scratchnet.train {study}", default)
    options.check()
    check_effect(study, options, default)
    if options.log == "tensorboard":
        need_tensorboard("--log tensorboard")
    if resume is not None:
        check_unchanged(options, default)
    if ranks is not None:
        from scratchnet.runs.agreement import of_options

        ranks.compare(of_options(study, options), "start all of them with the same command", limit=patience())
        options = replace(options, plots=options.plots and ranks.rank == 0)
    return module.run(study, options)


def _value(option: str, args: Sequence[str]) -> str | None:
    """The value of an option that is read first: it sets the defaults of others."""
    for i, arg in enumerate(args):
        if arg.startswith(f"{option}="):
            return arg.partition("=")[2]
        if arg == option and i + 1 < len(args):
            return args[i + 1]
    return None


if __name__ == "__main__":
    guard(main)
