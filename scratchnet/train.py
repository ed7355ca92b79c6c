"""`python -m scratchnet.train STUDY`: train one of the classic networks of the literature."""

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from scratchnet.cli import guard, known, parse
from scratchnet.studies.common import check_unchanged, recorded_options

#: study → (module, what it is); a module is imported only when its study is asked for
STUDIES = {
    "mnist": ("mnist", "handwritten digits, 60,000 + 10,000 images of 28 x 28; the main job"),
    "fashion-mnist": ("mnist", "the same networks on pictures of clothes"),
    "cifar10": ("cifar10", "colour pictures of airplanes, birds, cats, ships, ...; 50,000 + 10,000 of 32 x 32"),
    "digits": ("mnist", "handwritten-style digits that this project draws itself: needs no download"),
    "wheat": ("tables", "three kinds of wheat from seven measurements of a grain, by cross-validation"),
    "iris": ("tables", "Fisher's irises: three species from four measurements of a flower; needs no download"),
    "tweets": ("tweets", "who wrote this tweet? words to counts to author; needs no download"),
    "waveforms": ("waveforms", "radar echoes from a satellite: land or water, and how high are the waves?"),
    "flights": ("flights", "144 months of airline passengers: forecast a year with an LSTM; needs no download"),
    "adding": ("memory", "what an RNN and an LSTM remember: the sum of two marked numbers of a long sequence"),
    "copy": ("memory", "what an RNN and an LSTM remember: symbols to be repeated after a gap"),
    "chars": ("chars", "an LSTM learns to continue a text that you give, and writes"),
}

HELP = """\
usage: python -m scratchnet.train STUDY [OPTIONS]

Train a network from scratch. The studies:

{studies}

`python -m scratchnet.train STUDY --help` shows the options and presets of one. To begin:

  python -m scratchnet.train mnist
"""


def study_module(study: str) -> ModuleType:
    """The module of a study; raises SettingError with a suggestion if there is none."""
    return importlib.import_module(f"scratchnet.studies.{STUDIES[known(study, list(STUDIES), 'study')][0]}")


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        width = max(map(len, STUDIES))
        print(HELP.format(studies="\n".join(f"  {name:<{width}}  {about}" for name, (_, about) in STUDIES.items())))
        return 0
    study, rest = args[0], args[1:]
    module = study_module(study)
    resume = _value("--resume", rest)
    if resume is None:
        default = module.PRESETS[
            known(_value("--preset", rest) or "default", list(module.PRESETS), f"preset of {study}")
        ]
    else:
        default = recorded_options(module.Options, study, Path(resume))
    options = parse(module.Options, rest, f"python -m scratchnet.train {study}", default)
    options.check()
    if resume is not None:
        check_unchanged(options, default)
    if options.distributed:
        from scratchnet.distributed import Ranks

        with Ranks() as ranks, ranks.only_first_speaks():
            return module.run(study, replace(options, plots=options.plots and ranks.rank == 0))
    return module.run(study, options)


def _value(option: str, args: Sequence[str]) -> str | None:
    """The value of an option that decides the defaults of all others, and so is read first."""
    for i, arg in enumerate(args):
        if arg.startswith(f"{option}="):
            return arg.partition("=")[2]
        if arg == option and i + 1 < len(args):
            return args[i + 1]
    return None


if __name__ == "__main__":
    guard(main)
