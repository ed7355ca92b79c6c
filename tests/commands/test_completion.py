"""scratchnet --print-completion: what the shell then offers."""

import os
import shutil
import subprocess

import pytest

from scratchnet.__main__ import COMMANDS, main
from scratchnet.completion import script
from scratchnet.errors import SettingError
from scratchnet.studies.catalogue import STUDIES

#: Calls the function that the script registers, as bash does on the tabulator key
ASK = """
. ./scratchnet.bash
for line in "$@"; do
  read -r -a COMP_WORDS <<< "$line"
  [[ "$line" == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE="$line" COMP_POINT=${#line} COMPREPLY=()
  _scratchnet
  echo "${COMPREPLY[*]}"
done
complete -p scratchnet
"""


@pytest.fixture(scope="module")
def offered(tmp_path_factory):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    folder = tmp_path_factory.mktemp("completion")
    (folder / "scratchnet.bash").write_text(script("bash", COMMANDS), encoding="utf-8")
    (folder / "my digit.png").touch()

    def ask(*lines):
        done = subprocess.run([bash, "-c", ASK, "bash", *lines], cwd=folder, capture_output=True, text=True,
                              env={"PATH": os.environ["PATH"]}, timeout=60)  # fmt: skip
        assert done.stderr == "" and done.returncode == 0, done.stderr
        *answers, registered = done.stdout.splitlines()
        assert registered == "complete -o bashdefault -o default -F _scratchnet scratchnet"
        return [set(answer.split()) - {"-h", "--help"} for answer in answers]

    return ask


def test_commands_studies_options_and_their_values(offered):
    found = offered(
        "scratchnet ", "scratchnet tr", "scratchnet train ", "scratchnet train cifar", "scratchnet train mnist --opt",
        "scratchnet train mnist --preset fc", "scratchnet train wheat --log ", "scratchnet exercises ",
        "scratchnet shapes ", "scratchnet explain conv --w",
    )  # fmt: skip
    assert found == [
        set(COMMANDS), {"train"}, set(STUDIES), {"cifar10", "cifar100"}, {"--optimizer"}, {"fcn", "fcn2"},
        {"csv", "tensorboard"}, {"start", "check", "watch", "hint", "bug"}, {"conv", "conv-transpose"}, {"--weight"},
    ]  # fmt: skip


def test_files_are_left_to_the_shell(offered):
    """Where nothing is offered, bash completes the names of files."""
    assert offered("scratchnet predict my") == [set()]
    assert "scratchnet.bash" in offered("scratchnet compare --out ")[0]


@pytest.mark.slow
def test_every_option_of_every_study_is_there(offered):
    lines = [f"scratchnet train {study} --" for study in STUDIES]
    for study, options in zip(STUDIES, offered(*lines), strict=True):
        assert {"--epochs", "--log", "--config"} <= options, study


def test_the_scripts_are_read_without_a_mistake(tmp_path):
    for shell in ("bash", "zsh"):
        text = script(shell, COMMANDS)
        assert "scratchnet" in text
        if shutil.which(shell):
            (tmp_path / "script").write_text(text, encoding="utf-8")
            done = subprocess.run([shell, "-n", tmp_path / "script"], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")


def test_the_option_of_the_command(capsys):
    assert main(["--print-completion", "zsh"]) == 0
    first = capsys.readouterr().out
    assert first.startswith("#compdef scratchnet") and first.endswith("\n")
    assert main(["--tyro-print-completion=zsh"]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize("args", [["--print-completion"], ["--print-completion", "fish"], ["--print-completion=", "a"]])
def test_another_shell_is_told(args):
    with pytest.raises(SettingError, match="takes the name of a shell: bash or zsh"):
        main(args)


def test_the_version(capsys):
    import scratchnet

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"{scratchnet.__version__}\n"
