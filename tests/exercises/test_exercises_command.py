"""`python -m scratchnet.exercises`, as a learner meets it."""

import contextlib
import json
import os
import signal
import subprocess

import pytest

from scratchnet.errors import DataError, SettingError
from scratchnet.exercises import __main__ as command
from scratchnet.exercises.bugs import bug, text_of
from scratchnet.exercises.catalogue import EXERCISES, exercise
from scratchnet.exercises.process import verdict_on
from tests.exercises.solutions import solved
from tests.places import HEEDS_CTRL_C, ROOT
from tests.profiles import quick_every

NAMES = list(EXERCISES)


@pytest.fixture
def folder(tmp_path, capsys):
    assert command.main(["start", str(tmp_path / "mine")]) == 0
    capsys.readouterr()
    return tmp_path / "mine"


def write(folder, name, text):
    path = folder / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_start_writes_every_lesson_in_order_and_no_answer(folder):
    files = sorted(path.name for path in folder.iterdir())
    assert files == [f"{name}.py" for name in NAMES] and files[0] == "01_neuron.py"
    for name in NAMES:
        text = (folder / f"{name}.py").read_text(encoding="utf-8")
        assert text == EXERCISES[name].text
        assert text.startswith(f'"""Exercise {int(name[:2])}: ') and max(map(len, text.splitlines())) <= 88
        assert text.count("raise NotImplementedError") == text.count("\ndef ") == len(EXERCISES[name].parts)
        for part in EXERCISES[name].parts:
            assert f"def {part.function}({', '.join(part.arguments)}):" in text
            assert set(part.look) == set(part.outputs)
        assert EXERCISES[name].hints


def test_start_overwrites_nothing(folder):
    write(folder, "03_cost", "# my work\n")
    with pytest.raises(SettingError, match="there already"):
        command.main(["start", str(folder)])
    assert (folder / "03_cost.py").read_text() == "# my work\n"
    for path in folder.glob("0[12]*.py"):
        path.unlink()
    with pytest.raises(SettingError, match="there already"):
        command.main(["start", str(folder)])
    assert not (folder / "01_neuron.py").exists()
    assert command.main(["start", str(folder), "neuron"]) == 0
    assert (folder / "01_neuron.py").exists() and not (folder / "02_sigmoid.py").exists()


@pytest.mark.slow
def test_check_goes_on_to_the_first_that_is_not_solved_and_keeps_progress(folder, capsys, monkeypatch):
    assert command.main(["check", str(folder)]) == 1
    assert "`neuron` is not written yet" in capsys.readouterr().out
    write(folder, "01_neuron", solved("01_neuron"))
    assert command.main(["check", str(folder)]) == 1
    said = capsys.readouterr().out
    assert "✓ 01_neuron" in said and "· 02_sigmoid" in said and "03_cost" not in said
    assert f"1 of {len(NAMES)} solved; the next is {folder / '02_sigmoid.py'}" in said
    assert list(json.loads((folder / "progress.json").read_text())["solved"]) == ["01_neuron"]
    judged = []
    monkeypatch.setattr(command, "verdict_on", lambda file, name, s: judged.append(name) or verdict_on(file, name, s))
    assert command.main(["check", str(folder)]) == 1
    assert judged == ["02_sigmoid"]  # the first is unchanged
    write(folder, "01_neuron", solved("01_neuron").replace("+ b", "- b"))
    assert command.main(["check", str(folder)]) == 1
    assert "added, not subtracted" in capsys.readouterr().out
    assert json.loads((folder / "progress.json").read_text())["solved"] == {}


@pytest.mark.parametrize("typed", ["06_bp2", "06_bp2.py", "bp2", "6", "06", "./06_bp2.py"])
def test_an_exercise_is_found_as_it_is_typed(typed):
    assert exercise(typed).name == "06_bp2"


@pytest.mark.slow
def test_check_of_one(folder, capsys):
    write(folder, "06_bp2", solved("06_bp2").replace("W.T", "W"))
    assert command.main(["check", str(folder), "bp2"]) == 1
    said = capsys.readouterr().out
    assert "a transpose is missing" in said and "ValueError" in said and "06_bp2.py, line" in said
    write(folder, "06_bp2", solved("06_bp2"))
    assert command.main(["check", str(folder), "bp2"]) == 0


@pytest.mark.slow
def test_the_whole_course(folder, capsys):
    for name in NAMES:
        write(folder, name, solved(name))
    assert command.main(["check", str(folder)]) == 0
    said = capsys.readouterr().out
    assert said.count("✓") == len(NAMES) and "All" in said


def test_hints_come_one_after_the_other(folder, capsys):
    hints = EXERCISES["06_bp2"].hints
    for k in [*range(len(hints)), len(hints) - 1]:
        assert command.main(["hint", str(folder), "bp2"]) == 0
        assert capsys.readouterr().out == f"hint {k + 1} of {len(hints)}: {hints[k]}\n"


def test_a_damaged_progress_is_one_line(folder):
    for text in [
        "{",
        "[]",
        '{"solved": {"01_neuron": 1}, "hints": {}}',
        '{"solved": {}, "hints": {"x": -1}}',
        "[" * 9999,
    ]:
        (folder / "progress.json").write_text(text)
        with pytest.raises(DataError, match=r"progress\.json is damaged"):
            command.main(["check", str(folder)])


HOSTILE = {
    "a loop without end": ("def neuron(w, b, x):\n    while True:\n        pass\n", "still running after 0.3"),
    "a loop while it is read": ("while True:\n    pass\n", "still running after 0.3"),
    "an exception": ("def neuron(w, b, x):\n    return nothing\n", "01_neuron.py, line 2: NameError"),
    "an exception below": ("import json\ndef neuron(w, b, x):\n    json.loads('{')\n", "line 3: JSONDecodeError"),
    "no Python": ("def neuron(w, b, x)\n    pass\n", "line 1: SyntaxError"),
    "an end": ("import sys\ndef neuron(w, b, x):\n    sys.exit(0)\n", "line 3: SystemExit"),
    "a harder end": ("import os\ndef neuron(w, b, x):\n    os._exit(0)\n", "Python ended with exit code 0"),
    "no end of calls": ("def neuron(w, b, x):\n    return neuron(w, b, x)\n", "RecursionError"),
    "a question": ("def neuron(w, b, x):\n    return input()\n", "line 2: EOFError"),
    "nothing": ("", "there is no function `neuron`"),
    "a null byte": ("x = 1\x00", "01_neuron.py"),
    "a text": ("def neuron(w, b, x):\n    return 'z'\n", "z has to be a number or an array"),
    "a rag": ("def neuron(w, b, x):\n    return [[1], [1, 2]]\n", "z has to be a number or an array"),
    "a number": ("neuron = 3\n", "there is no function `neuron`"),
    "a lot of print": ("def neuron(w, b, x):\n    print('x' * 10**7)\n", "returns nothing"),
    "a terminal's control": ("def neuron(w, b, x):\n    raise ValueError('\\x1b[2J')\n", "ValueError: \\x1b[2J"),
    "another argument": ("def neuron(w, b, x, y):\n    pass\n", "has to take the arguments of the lesson"),
    "a thread": ("import threading, time\nthreading.Thread(target=time.sleep, args=(999,)).start()\n"
                 "def neuron(w, b, x):\n    return w @ x + b\n", "judged by differences"),
    "modules of its own": ("import sys\nsys.modules['json'] = None\ndef neuron(w, b, x):\n    return w @ x + b\n",
                           "judged by differences"),
}  # fmt: skip


@pytest.mark.parametrize("what", quick_every(4, HOSTILE))
def test_a_hostile_file_is_one_line(folder, capsys, what):
    text, said = HOSTILE[what]
    write(folder, "01_neuron", text)
    seconds = "0.3" if "0.3" in said else "60"
    code = command.main(["check", str(folder), "neuron", "--seconds", seconds])
    out = capsys.readouterr().out
    assert said in out and code == (0 if said.startswith("judged") else 1), out
    assert "Traceback" not in out and "\x1b" not in out and len(out) < 4000


@pytest.mark.skipif(os.name != "posix", reason="pipes with names are POSIX")
def test_what_is_no_file_is_not_waited_for(folder, capsys):
    (folder / "01_neuron.py").unlink()
    os.mkfifo(folder / "01_neuron.py")
    with pytest.raises(OSError, match="this is not a file"):
        command.main(["check", str(folder), "neuron"])


@pytest.mark.slow
def test_a_neighbour_named_like_a_module_hides_nothing(folder, capsys):
    write(folder, "random", "raise SystemExit('hidden')\n")
    write(folder, "numpy", "raise SystemExit('hidden')\n")
    write(folder, "01_neuron", solved("01_neuron"))
    assert command.main(["check", str(folder), "neuron"]) == 0


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["chek"], "did you mean check"),
        (["check"], "Missing"),
        (["check", "nowhere"], "there are no exercises in nowhere"),
        (["check", "DIR", "bp5"], "there is no exercise 'bp5'"),
        (["check", "DIR", "--seconds", "0"], "--seconds must be"),
        (["hint", "DIR"], "Missing"),
        (["bug", "0"], "there is no bug 0"),
        (["bug", "x"], "bug"),
        (["start", "DIR/01_neuron.py"], "is a file"),
    ],
)
def test_wrong_usage_is_one_line(folder, args, said, monkeypatch):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(SettingError, match=said) as caught:
        command.main([arg.replace("DIR", str(folder)) for arg in args])
    assert caught.value.exit_code == 2


def test_the_help_lists_the_commands(capsys):
    assert command.main([]) == 0
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in ("start", "check", "watch", "hint", "bug"))
    assert max(map(len, said.splitlines())) <= 88


@pytest.mark.slow
def test_watch_judges_again_when_a_file_changes(folder, capsys):
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 2:
            write(folder, "01_neuron", solved("01_neuron"))
        if len(pauses) == 4:
            raise KeyboardInterrupt

    assert command.watch(command.Watch(folder), pause) == 0
    said = capsys.readouterr().out
    assert said.count("watching") == 2 and said.index("· 01_neuron") < said.index("✓ 01_neuron")


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")
@pytest.mark.slow
def test_ctrl_c_ends_watch_quietly(folder):
    args = [*HEEDS_CTRL_C, "scratchnet.exercises", "watch", str(folder)]
    child = subprocess.Popen(args, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8")
    assert child.stdout is not None
    while "watching" not in child.stdout.readline():
        assert child.poll() is None
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, "")


@pytest.mark.slow
def test_bug_is_written_judged_and_hinted_at(tmp_path, capsys):
    assert command.main(["bug", "3", str(tmp_path)]) == 0
    file = tmp_path / "bug_03.py"
    assert file.read_text(encoding="utf-8") == text_of(bug(3))
    capsys.readouterr()
    assert command.main(["bug", "3", str(tmp_path)]) == 1
    assert "wrong: 0.weight, 0.bias, input" in capsys.readouterr().out
    for k in (0, 1, 2, 2):
        assert command.main(["bug", "3", str(tmp_path), "--hint"]) == 0
        assert capsys.readouterr().out.startswith(f"hint {k + 1} of 3: ")
    file.write_text(text_of(bug(3), mended=True), encoding="utf-8")
    assert command.main(["bug", "3", str(tmp_path)]) == 0
    assert "you have found it" in capsys.readouterr().out
    file.write_text("while True: pass\n")
    assert command.main(["bug", "3", str(tmp_path), "--seconds", "0.3"]) == 1
    with contextlib.suppress(FileNotFoundError):
        (tmp_path / "bugs.json").write_text("[")
    with pytest.raises(DataError, match="damaged"):
        command.main(["bug", "3", str(tmp_path), "--hint"])
