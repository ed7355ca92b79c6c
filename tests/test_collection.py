"""The suite itself: every worker of `pytest -n` collects tests of the same names."""

import subprocess
import sys

import pytest

from tests.places import ROOT


def collect(seconds_later):
    """The names of the data readers' tests, collected with the clock put forward."""
    script = (
        "import sys, time, pytest; now = time.time; "
        f"time.time = lambda: now() + {seconds_later}; "
        "sys.exit(pytest.main(['--collect-only', '-p', 'no:cacheprovider', '-n', '0', 'tests/data']))"
    )
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.mark.slow
def test_two_workers_that_start_a_second_apart_collect_the_same_tests():
    workers = [collect(0), collect(1)]
    said = [worker.communicate()[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said
    first, second = ([line for line in text.splitlines() if "::" in line] for text in said)
    assert len(first) > 200 and first == second
    assert not [name for name in first if len(name) > 200]  # names in words, no contents of files
