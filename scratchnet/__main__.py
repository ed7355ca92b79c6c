"""`python -m scratchnet COMMAND`, or `scratchnet COMMAND`: list or run the commands.

`scratchnet train mnist` is the same as `python -m scratchnet.train mnist`.
"""

import runpy
import sys
from collections.abc import Sequence

import scratchnet
from scratchnet.cli import guard, known, printable
from scratchnet.errors import SettingError

COMMANDS = {
    "train": "train one of the classic networks of the literature",
    "predict": "ask a trained network about a picture or a text of your own",
    "compare": "finished runs beside each other: a table and their learning curves",
    "explain": "backpropagation in numbers, each beside its equation and its source",
    "play": "a page that runs the engine: draw a digit, watch the network learn",
    "backquery": "what a trained network finds most typical of each class",
    "export": "a trained network as ONNX, for the runtimes of others",
    "exercises": "write backpropagation yourself: a course of small files, judged",
    "shapes": "where the output size of a convolution or a pool comes from",
    "filters": "a convolution of a picture, step by step",
    "pictures": "pictures that explain: perceptron, valley, network, LSTM cell, learning",
    "doctor": "what is installed and found here, and how to mend what is missing",
}
COMPLETION = ("--print-completion", "--tyro-print-completion")  # and as all commands of Tyro call it
HELP = """\
usage: scratchnet COMMAND [OPTIONS]

Neural networks from scratch, to read, to prove and to race. The commands:

{commands}

`scratchnet COMMAND --help` shows the options of one. `scratchnet --version` says which
version this is, and `scratchnet --print-completion bash` (or zsh) prints a script with
which the shell completes commands and options. To begin:

  scratchnet train mnist
"""


def main(args: Sequence[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS))
        print(HELP.format(commands="\n".join(f"  {name:<{width}}  {about}" for name, about in COMMANDS.items())))
        return 0
    if args[0] == "--version":
        print(scratchnet.__version__)
        return 0
    if args[0].partition("=")[0] in COMPLETION:
        return print_completion(args)
    command = known(args[0], list(COMMANDS), "command")
    sys.argv = [f"scratchnet {command}", *args[1:]]
    runpy.run_module(f"scratchnet.{command}", run_name="__main__", alter_sys=True)
    return 0


def print_completion(args: Sequence[str]) -> int:
    from scratchnet.completion import SHELLS, script

    _, given, shell = args[0].partition("=")
    rest = [*([shell] if given else []), *args[1:]]
    if len(rest) != 1 or rest[0] not in SHELLS:
        wrong = f", not {printable(' '.join(rest))}" if rest else ""
        raise SettingError(f"--print-completion takes the name of a shell: {' or '.join(SHELLS)}{wrong}")
    print(script(rest[0], COMMANDS), end="")
    return 0


def console() -> None:
    """The command `scratchnet`."""
    guard(main)


if __name__ == "__main__":
    console()
