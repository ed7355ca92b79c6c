"""Right answers are accepted, and planted wrong ones refused with the reason."""

import contextlib
from types import ModuleType

import pytest

from scratchnet.exercises.catalogue import EXERCISES
from scratchnet.exercises.judging import Broken, Caller, Verdict, judge
from tests.exercises.planted import PLANTED
from tests.exercises.solutions import SOLUTIONS, solved
from tests.profiles import quick_every

WRONG = [(name, *row) for name, rows in PLANTED.items() for row in rows]


def judged(name: str, source: str, torch: bool = False) -> Verdict:
    call = Caller("answer.py", contextlib.nullcontext)
    module = ModuleType("answer")
    try:
        call(lambda: exec(compile(source, "answer.py", "exec"), module.__dict__))
    except Broken as broken:
        return Verdict("broken", str(broken))
    return judge(EXERCISES[name], module, call, lambda: torch)


def test_every_exercise_has_an_answer_and_five_wrong_ones():
    assert list(SOLUTIONS) == list(PLANTED) == list(EXERCISES)
    assert min(map(len, PLANTED.values())) >= 5


@pytest.mark.parametrize("name", EXERCISES)
def test_a_right_answer_is_accepted(name):
    verdict = judged(name, solved(name))
    assert (verdict.state, verdict.text) == ("solved", "judged by differences of the loss")


@pytest.mark.parametrize("name", EXERCISES)
def test_a_right_answer_is_accepted_by_pytorch(name):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    verdict = judged(name, solved(name), torch=True)
    assert (verdict.state, verdict.text) == ("solved", "judged by differences of the loss and PyTorch")


@pytest.mark.parametrize("name", EXERCISES)
def test_a_stub_is_still_to_do(name):
    assert judged(name, EXERCISES[name].text).state == "to do"


@pytest.mark.parametrize(("name", "old", "new", "said"), quick_every(2, WRONG))
def test_a_wrong_answer_is_refused_with_its_reason(name, old, new, said):
    right = solved(name)
    wrong = (
        right.replace(old, new) if right.count(old) == 1 else right.rpartition(old)[0] + new + right.rpartition(old)[2]
    )
    assert wrong != right
    verdict = judged(name, wrong)
    assert verdict.state in ("wrong", "broken")
    assert said in f"{verdict.text} {verdict.numbers}"
