"""Every planted fault is found by gradcheck, and its file without it is right."""

import contextlib
import os
import subprocess
import sys
from types import ModuleType

import pytest

from scratchnet.exercises.bugs import BUGS, bug, judge_bug, text_of
from scratchnet.exercises.judging import Caller
from tests.places import ROOT
from tests.profiles import quick_every


def judged(number: int, source: str):
    call = Caller("bug.py", contextlib.nullcontext)
    module = ModuleType("exercise")
    sys.modules["exercise"] = module
    module.__dict__["__name__"] = "exercise"
    exec(compile(source, "bug.py", "exec"), module.__dict__)
    return judge_bug(number, module, call)


def test_there_are_a_dozen():
    assert len(BUGS) == 12


@pytest.mark.parametrize("number", quick_every(3, BUGS))
def test_gradcheck_finds_the_fault_and_accepts_the_mended_file(number):
    planted = bug(number)
    right = text_of(planted, mended=True)
    assert right.count(planted.old) == 1 and len(planted.hints) == 3
    wrong = text_of(planted)
    assert wrong != right
    found = judged(number, wrong)
    assert found.state == "wrong" and "wrong: " in found.text and "central difference" in found.numbers
    assert judged(number, right).state == "solved"


def test_another_forward_is_not_a_mended_fault():
    source = text_of(bug(2), mended=True)
    assert judged(2, source).state == "solved"
    source = source.replace("a = sigmoid(z, out)", "a = z.copy()").replace(
        "return bp1_error(delta, sigma_prime)", "return delta"
    )
    verdict = judged(2, source)
    assert verdict.state == "wrong" and "forward computes something else" in verdict.text


def test_a_file_prints_what_gradcheck_says(tmp_path):
    path = tmp_path / "bug_02.py"
    path.write_text(text_of(bug(2)), encoding="utf-8")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, str(path)], env=env, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    assert "2.weight         right" in done.stdout and "0.weight         20 WRONG" not in done.stdout
    assert "WRONG" in done.stdout and done.stdout.rstrip().endswith("disagree")
