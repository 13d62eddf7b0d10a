"""What a program costs includes the processes that outlive it."""

import sys

import pytest

from benchmarks import process_tree
from benchmarks.measure import Failed

# The program ends at once; its child works on, with memory of its own, until it has used two seconds of CPU.
_CHILD = "import os; kept = bytearray(100_000_000)\nwhile sum(os.times()[:2]) < 2: pass"
_PROGRAM = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {_CHILD!r}]); print('{{\"answer\": 1}}')"


@pytest.mark.slow
def test_what_a_program_leaves_behind_is_measured_too() -> None:
    taken = process_tree.run([sys.executable, "-c", _PROGRAM])
    assert taken.output == {"answer": 1}
    assert taken.cpu > 2
    assert taken.peak > 100_000_000


@pytest.mark.slow
def test_a_program_that_fails_says_why() -> None:
    with pytest.raises(Failed, match="no such thing"):
        process_tree.run([sys.executable, "-c", "raise SystemExit('no such thing')"])
