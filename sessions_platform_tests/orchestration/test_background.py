"""One evaluation of a name runs at a time, whatever the number of ticks, and its result is taken once."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sessions_platform.orchestration import background
from sessions_platform.orchestration.background import Evaluations, Finished, Unfinished

AT_ONCE, AS_LONG_AS_IT_TAKES = 0.0, 60.0


class Slow:
    """An evaluation that ends when it is let, and counts how often it was begun."""

    def __init__(self) -> None:
        self.begun, self.let_end, self.has_begun = 0, threading.Event(), threading.Event()

    def __call__(self) -> int:
        self.begun += 1
        self.has_begun.set()
        self.let_end.wait()
        return self.begun


def test_a_tick_that_comes_amid_an_evaluation_begins_no_other_and_a_later_one_takes_the_result() -> None:
    evaluations, slow = Evaluations(), Slow()
    for _ in range(3):
        assert isinstance(evaluations.result("a", slow, AT_ONCE), Unfinished)
    other = evaluations.result("b", lambda: "of another sensor", AS_LONG_AS_IT_TAKES)
    assert isinstance(other, Finished)
    slow.let_end.set()
    result = evaluations.result("a", slow, AS_LONG_AS_IT_TAKES)
    assert isinstance(result, Finished)
    assert (result.value, slow.begun) == (1, 1)


def test_an_evaluation_that_takes_the_cpu_for_long_is_followed_by_a_rest_and_one_that_waits_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    evaluations, slow = Evaluations(), Slow()
    monkeypatch.setattr(background, "_SHORT", 0.02)  # seconds of the CPU, which the other one does not take
    slow.let_end.set()
    evaluations.result("waits", slow, AS_LONG_AS_IT_TAKES)
    assert evaluations.rest("waits") == 0
    monkeypatch.setattr(background, "_SHARE", 0.0001)  # a rest that a busy machine does not sleep through
    evaluations.result("works", lambda: sum(range(3_000_000)), AS_LONG_AS_IT_TAKES)
    assert evaluations.rest("works") > 0
    assert evaluations.rest("never evaluated") == 0


def test_of_two_ticks_that_wait_for_one_evaluation_only_one_gets_its_result() -> None:
    evaluations, slow = Evaluations(), Slow()
    with ThreadPoolExecutor(4) as ticks:
        waiting = [ticks.submit(evaluations.result, "a", slow, AS_LONG_AS_IT_TAKES) for _ in range(4)]
        slow.has_begun.wait()
        slow.let_end.set()
        results = [tick.result() for tick in waiting]
    taken = [result.value for result in results if isinstance(result, Finished)]
    assert sorted(taken) == list(range(1, slow.begun + 1))  # a tick that came after the end has begun the next one


def test_an_error_is_raised_where_the_result_is_taken_and_the_next_tick_begins_anew() -> None:
    evaluations = Evaluations()
    with pytest.raises(ZeroDivisionError):
        evaluations.result("a", lambda: 1 / 0, AS_LONG_AS_IT_TAKES)
    assert isinstance(evaluations.result("a", lambda: 1, AS_LONG_AS_IT_TAKES), Finished)


def test_a_result_that_was_left_behind_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluations, slow = Evaluations(), Slow()
    monkeypatch.setattr(background, "_RESULT_IS_NEW_FOR", -1.0)
    evaluations.result("a", slow, AT_ONCE)
    slow.let_end.set()
    evaluation = evaluations._current["a"]
    evaluation.result.result()
    result = evaluations.result("a", slow, AS_LONG_AS_IT_TAKES)
    assert isinstance(result, Finished)
    assert result.value == 2
