"""How far long work is: counted as it is done, and shown on a terminal that wants it."""

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from sessions_platform.cli.progress import said
from sessions_platform.pipeline.progress import Progress, count, portions, steps, watched
from sessions_platform_tests.cli.terminal import Terminal, command, environment, in_terminal


def seen(work: Callable[[], object]) -> list[Progress | None]:
    """What a watcher is told of some work."""
    told: list[Progress | None] = []
    with watched(told.append):
        work()
    return told


def test_each_step_counts_once_it_is_done_and_rows_as_they_come() -> None:
    def work() -> None:
        for rows in steps("validating", [10, 20]):
            count(rows)

    assert seen(work) == [
        *(Progress("validating", 0.0, 0), Progress("validating", 0.0, 10), Progress("validating", 0.5, 10)),
        *(Progress("validating", 0.5, 30), Progress("validating", 1.0, 30), None),
    ]


def test_steps_within_steps_are_parts_of_one() -> None:
    def work() -> None:
        for files in steps("ingesting", [2, 1]):
            for _ in steps("files", range(files)):
                count(5)

    fractions = [progress.fraction for progress in seen(work) if progress]
    assert fractions == sorted(fractions)
    assert 0.25 in fractions
    assert fractions[-1] == 1.0
    assert {progress.what for progress in seen(work) if progress} == {"ingesting"}


def test_the_next_part_begins_with_no_rows_also_after_an_error() -> None:
    def work() -> None:
        with suppress(ZeroDivisionError):
            for divisor in steps("first", [0, 1]):
                count(7 // divisor)
        with portions("second", 4) as is_done:
            is_done(3)

    assert seen(work)[-3:] == [Progress("second", 0.0, 0), Progress("second", 0.75, 0), None]


def test_rows_that_threads_count_are_all_there() -> None:
    def work() -> None:
        with portions("ingesting", 1), ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: count(1), range(2000)))

    assert max(progress.rows for progress in seen(work) if progress) == 2000


def test_nobody_is_told_where_nobody_watches() -> None:
    assert list(steps("validating", [1, 2])) == [1, 2]
    count(3)
    assert seen(lambda: count(3)) == []


@pytest.mark.parametrize(
    ("progress", "seconds", "words"),
    [
        (Progress("validating", 0.25, 50_000), 20.0, "50,000 rows, 2,500 rows/s, about 1:00 left"),
        (Progress("validating", 0.0, 0), 20.0, ""),
        (Progress("validating", 1.0, 10), 0.5, "10 rows"),
        (Progress("verifying", 0.5, 0), 3.0, "about 0:03 left"),
    ],
)
def test_rows_rate_and_time_left_are_told_where_they_are_known(progress: Progress, seconds: float, words: str) -> None:
    assert said(progress, seconds) == words


@pytest.mark.slow
def test_a_demo_that_is_interrupted_ends_with_130_and_the_next_one_shows_progress_and_loses_nothing(
    tmp_path: Path,
) -> None:
    demo = Terminal(command("demo"), columns=80, lines=24, environment=environment(tmp_path))
    demo.until("… web_shop__validated_events")
    demo.interrupt()
    interrupted = demo.end()
    assert interrupted.code == 130
    assert "Traceback" not in interrupted.text
    assert "The run was interrupted; what it had not committed is pending again." in interrupted.text
    again = in_terminal(tmp_path, "demo")
    assert again.code == 0
    assert "nothing lost, 0 rows unaccounted for" in again.text
    shown = re.findall(r"^│ .+ │$", (Path(__file__).parents[2] / "README.md").read_text(), re.MULTILINE)
    assert len(shown) > 10
    assert [row for row in shown if row not in again.text] == []
    assert re.search(r"validating +\d+% [\d,]+ rows", again.text)
    status = in_terminal(tmp_path, "status", "web_shop", "--json")
    assert json.loads(status.lines[-1])["pending"] == {"landing": [], "session": []}


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["NO_COLOR", "CI"])
def test_progress_is_quiet_where_that_is_asked_for(tmp_path: Path, variable: str) -> None:
    text = (
        Terminal(command("demo"), columns=80, lines=24, environment={**environment(tmp_path), variable: "1"}).end().text
    )
    assert "validating" not in text
    assert "✓ web_shop__validated_events" in text
