"""BLAS threads: when several are taken, restored, and with equal results."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import scratchnet as sn
from scratchnet.backend import threads as threads_
from scratchnet.backend.threads import (
    LIBRARIES,
    PROBE_SECONDS,
    WORTH_THREADS,
    blas_threads,
    choose_threads,
    numpys_threads,
    threads_for,
)
from scratchnet.engine.metrics import evaluate
from scratchnet.errors import SettingError, ShapeError
from tests.profiles import quick_first


def now():
    """Threads of each BLAS library, by the folder that it lies in."""
    found = {info["filepath"].split(os.sep)[-2]: info["num_threads"] for info in threadpool_info()
             if info["user_api"] == "blas"}  # fmt: skip
    if not found:
        pytest.skip("threadpoolctl knows none of the BLAS libraries here")
    return found


@pytest.fixture(autouse=True)
def three():
    """Three threads in every library, whatever the environment says.

    Restored afterwards.
    """
    before = [library.threads() for library in LIBRARIES]
    for library in LIBRARIES:
        library.set_threads(3)
    yield
    for library, threads in zip(LIBRARIES, before, strict=True):
        library.set_threads(threads)


def test_the_threads_are_numpys_and_what_was_is_restored():
    before = now()
    with blas_threads(2):
        inside = now()
        assert numpys_threads() == 2
        for folder, threads in inside.items():
            assert threads == (1 if "scipy" in folder else 2)
        with blas_threads(1):
            assert set(now().values()) == {1}
        assert now() == inside
    assert now() == before


class Watched(sn.ReLU):
    """A layer that notes the threads that there are."""

    seen: list = []  # noqa: RUF012

    def forward(self, x, learn=None, out=None):
        self.seen.append(now())
        return super().forward(x, learn, out)


def watched():
    Watched.seen.clear()
    return sn.Sequential(sn.Linear(4, 3), Watched(), sn.Linear(3, 2), seed=0)


X, LABELS = np.linspace(-1, 1, 24).reshape(6, 4), np.arange(6) % 2
LOSS = sn.CrossEntropyLoss()
CALLS = {
    "net(x)": lambda net: net(X),
    "step": lambda net: sn.step(net, LOSS, sn.SGD(net, 0.1), X, LABELS),
    "gradients": lambda net: net.gradients(X, LABELS, LOSS),
    "gradcheck": lambda net: sn.gradcheck(net, X, LABELS, LOSS),
    "evaluate": lambda net: evaluate(net, LOSS, X, LABELS),
    "fit": lambda net: sn.fit(net, LOSS, sn.SGD(net, 0.1), X, LABELS),
}


def in_a_thread(call):
    """What the call returns or raises in another Python thread."""
    answer = []

    def run():
        try:
            answer.append(call())
        except Exception as error:
            answer.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return answer[0]


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("elsewhere", [False, True])
def test_every_call_from_outside_has_one_thread_and_gives_back_the_others(name, elsewhere):
    before, net = now(), watched()
    assert set(before.values()) == {3}
    if elsewhere:
        in_a_thread(lambda: CALLS[name](net))
    else:
        CALLS[name](net)
    assert Watched.seen and all(set(threads.values()) == {1} for threads in Watched.seen)
    assert now() == before


def test_a_call_that_fails_gives_them_back():
    before = now()
    with pytest.raises(ShapeError):
        watched()(np.zeros((2, 5)))
    net = watched()
    net.params["0.weight"].value[...] = np.nan
    with pytest.raises(sn.NonFiniteError):
        sn.step(net, LOSS, sn.SGD(net, 0.1), X, LABELS)
    assert now() == before

    def stop(*_):
        raise ValueError("of the caller's own")

    net = watched()
    with pytest.raises(ValueError, match="of the caller's own"):
        sn.fit(net, LOSS, sn.SGD(net, 0.1), X, LABELS, on_step=stop)
    assert now() == before


@pytest.mark.parametrize("first_ends", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_two_trainings_at_once_give_them_back(first_ends, fails):
    before = now()
    begun, ended = [threading.Event() for _ in range(2)], [threading.Event() for _ in range(2)]
    between = []

    def train(me):
        def meet(*_):
            begun[me].set()
            assert begun[1 - me].wait(60)
            if (me == 0) != first_ends:
                assert ended[1 - me].wait(60)
                between.append(now())
                if fails:
                    raise ValueError("of the caller's own")

        net = watched()
        sn.fit(net, LOSS, sn.SGD(net, 0.1), X, LABELS, batch_size=6, threads=1 + me, on_step=meet)

    def run(me):
        try:
            train(me)
        except ValueError:
            pass
        finally:
            ended[me].set()

    threads = [threading.Thread(target=run, args=(me,)) for me in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [threads_of_numpy(found) for found in between] == [2 if first_ends else 1]
    assert now() == before


def threads_of_numpy(found):
    return max(threads for folder, threads in found.items() if "scipy" not in folder or len(found) == 1)


def test_where_several_compute_the_smallest_number_holds():
    before = now()
    with blas_threads(2):
        in_a_thread(lambda: CALLS["net(x)"](watched()))
        assert all(set(threads.values()) == {1} for threads in Watched.seen)
        assert numpys_threads() == 2
        with threads_for(lambda x: 1.0, None):
            assert numpys_threads() == 2  # decided already
    assert now() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_does_not_wait_for_the_blocks_of_others():
    script = """
import os, threading, warnings
from scratchnet.backend.threads import LIBRARIES, blas_threads
warnings.simplefilter("ignore")  # Python's own, of forks beside threads: that is what happens here
def now(): return [library.threads() for library in LIBRARIES]
for library in LIBRARIES: library.set_threads(3)
before, inside, over = now(), threading.Event(), threading.Event()
def other():
    with blas_threads(1):
        inside.set()
        over.wait()
thread = threading.Thread(target=other)
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    right = now() == before
    with blas_threads(2):
        pass
    os._exit(0 if right and now() == before else 1)
status = os.waitpid(child, 0)[1]
over.set()
thread.join()
assert now() == before
raise SystemExit(os.waitstatus_to_exitcode(status))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


class Clock:
    """On which products take so many seconds with one thread and with several."""

    def __init__(self, one, several):
        self.one, self.several, self.time = one, several, 0.0

    def perf_counter(self):
        self.time += self.one if numpys_threads() == 1 else self.several
        return self.time


@pytest.mark.parametrize(("several", "chosen"), quick_first([(0.55, 3), (0.65, 1), (0.3, 3), (1.0, 1), (20.0, 1)], 2))
def test_auto_takes_them_where_they_are_much_faster(several, chosen, monkeypatch):
    now()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(threads_, "time", Clock(1.0, several))
    assert choose_threads("auto", 2 * WORTH_THREADS) == chosen
    assert choose_threads("auto", 2 * WORTH_THREADS - 1) == 1
    assert numpys_threads() == 3
    with blas_threads(1):
        assert choose_threads("auto", 1e12) == 1  # no more than were allowed
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2}, raising=False)
    assert choose_threads("auto", 1e12) == 1


@pytest.mark.slow
def test_what_a_probe_found_is_kept_for_a_while(monkeypatch):
    now()
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    clock = Clock(1e-3, 3e-4)
    monkeypatch.setattr(threads_, "time", clock)

    def taken(work):
        with threads_for(lambda x: work, None):
            return numpys_threads()

    clock.time = 1e6 * PROBE_SECONDS
    assert taken(3 * WORTH_THREADS) == 3
    clock.several = 1e-2  # the machine has become busy
    assert taken(2.9 * WORTH_THREADS) == 3
    assert taken(WORTH_THREADS) == 1
    clock.time += PROBE_SECONDS
    assert taken(3 * WORTH_THREADS) == 1
    assert numpys_threads() == 3


def test_a_number_is_taken_as_it_is():
    assert choose_threads("3", 1.0) == choose_threads(3, 1e12) == 3
    for wrong in ("0", "-1", "many", "1.5"):
        with pytest.raises(SettingError, match=rf"threads '{wrong}': give auto or a number from 1"):
            choose_threads(wrong, 1.0)


@pytest.mark.parametrize("name", CALLS)
def test_set_threads_holds_for_every_call_until_auto(name):
    before = now()
    try:
        sn.set_threads(2)
        CALLS[name](watched())
        assert {n for seen in Watched.seen for folder, n in seen.items() if "scipy" not in folder} == {2}
    finally:
        sn.set_threads("auto")
    CALLS[name](watched())
    assert {n for seen in Watched.seen for n in seen.values()} == {1}
    assert now() == before


@pytest.mark.parametrize("threads", [0, -1, 2.5, "many", None, True, np.ones((4, 4))], ids=str)
def test_set_threads_refuses_what_is_no_number(threads):
    with pytest.raises(SettingError, match="give auto or a number from 1"):
        sn.set_threads(threads)
    assert choose_threads("auto", 0.0) == 1
