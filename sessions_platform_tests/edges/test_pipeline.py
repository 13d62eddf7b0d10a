"""Edge cases of the pipeline: a silence of exactly the gap over midnight, whole and in buckets, and repeated loads."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest

from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.pipeline import load as loading
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import Ingested, ingest
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.storage.ledger.ledger import StaleWriteError
from sessions_platform_tests.contexts import line
from sessions_platform_tests.lakes import folder_of
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, load, put, refresh, remove, stale, table
from sessions_platform_tests.streams import DAY_ONE

ONE, TWO, THREE = "2026-01-01", "2026-01-02", "2026-01-03"
MIDNIGHT = DAY_ONE + timedelta(days=1)
GAP = timedelta(minutes=30)
INSTANT = timedelta(microseconds=1)
# So few bytes that the users of a day are in several buckets.
SMALL = 1500

OpenContext = Callable[..., StreamContext]


@pytest.fixture(params=["whole", "in buckets"])
def sized_context(context: StreamContext, request: pytest.FixtureRequest) -> StreamContext:
    return context if request.param == "whole" else replace(context, memory=MemoryBudget(SMALL, SMALL))


def sizes(context: StreamContext) -> list[tuple[str, int]]:
    """The partition and the events of each session."""
    return sorted((row["session_partition"], row["event_count"]) for row in table(context))


# Which partitions a change makes stale -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "partitions"),
    [
        pytest.param(-GAP, timedelta(0), [ONE, TWO], id="a silence of exactly the gap, up to midnight"),
        pytest.param(-GAP - INSTANT, timedelta(0), [TWO], id="one that is longer by an instant"),
        pytest.param(-INSTANT, GAP - INSTANT, [ONE, TWO], id="exactly the gap, from the last instant of a day on"),
        pytest.param(-INSTANT, GAP, [TWO], id="longer by an instant, from there on"),
        pytest.param(-timedelta(days=1), timedelta(0), [TWO], id="an event at midnight is of the day that begins"),
    ],
)
def test_a_late_event_makes_the_day_before_stale_if_a_session_continues(
    sized_context: StreamContext, before: timedelta, after: timedelta, partitions: list[str]
) -> None:
    put(sized_context, "a", [line("ann", MIDNIGHT + before, "a")], ONE)
    ingest_and_publish(sized_context, ONE)
    refresh(sized_context)
    put(sized_context, "b", [line("ann", MIDNIGHT + after, "b"), *crowd(MIDNIGHT + timedelta(hours=12))], TWO)
    ingest_and_publish(sized_context, TWO)
    assert stale(sized_context) == partitions
    refresh(sized_context)
    assert len(of_ann(sized_context)) == (1 if ONE in partitions else 2)
    put(sized_context, "b", [], TWO)
    ingest_and_publish(sized_context, TWO)
    assert stale(sized_context) == partitions
    refresh(sized_context)
    assert sizes(sized_context) == [(ONE, 1)]


@pytest.mark.parametrize(
    ("early", "partitions"),
    [(-GAP, [ONE, TWO]), (-GAP - INSTANT, [ONE]), (-INSTANT, [ONE, TWO])],
)
def test_a_late_event_before_midnight_joins_the_event_at_midnight(
    sized_context: StreamContext, early: timedelta, partitions: list[str]
) -> None:
    put(sized_context, "a", [line("ann", MIDNIGHT, "a")], TWO)
    ingest_and_publish(sized_context, TWO)
    refresh(sized_context)
    put(sized_context, "b", [line("ann", MIDNIGHT + early, "b")], THREE)
    ingest_and_publish(sized_context, THREE)
    assert stale(sized_context) == partitions
    refresh(sized_context)
    assert sizes(sized_context) == ([(ONE, 2)] if TWO in partitions else [(ONE, 1), (TWO, 1)])


def test_a_file_that_ends_or_begins_exactly_the_gap_from_midnight_is_read(context: StreamContext) -> None:
    """The files of the first and the last event lie at the very edges of the windows that are read."""
    put(context, "a", [line("ann", MIDNIGHT - GAP, "a")], ONE)
    put(context, "b", [line("ann", MIDNIGHT, "b")], TWO)
    ingest_and_publish(context, ONE, TWO)
    refresh(context)
    assert sizes(context) == [(ONE, 2)]
    put(context, "c", [line("ann", MIDNIGHT - GAP / 2, "c")], THREE)
    ingest_and_publish(context, THREE)
    assert stale(context) == [ONE, TWO]


# Sessions over the end of a partition, whole and in buckets -----------------------------------------------


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        pytest.param([-30, 0], [(ONE, 2)], id="exactly the gap, up to midnight"),
        pytest.param([-30, 0, 30, 60, 90, 120], [(ONE, 6)], id="exactly the gap, repeatedly"),
        pytest.param([-10, 20, 50, 80, 110, 140, 170], [(ONE, 7)], id="the same, from another minute on"),
        pytest.param([-31, 0], [(ONE, 1), (TWO, 1)], id="longer than the gap"),
        pytest.param([-1, 29, 60], [(ONE, 2), (TWO, 1)], id="longer than the gap, later on"),
        pytest.param([0], [(TWO, 1)], id="an event at midnight alone"),
    ],
)
def test_a_session_continues_over_midnight_while_no_silence_is_longer_than_the_gap(
    sized_context: StreamContext, minutes: list[int], expected: list[tuple[str, int]]
) -> None:
    events = [line("ann", MIDNIGHT + timedelta(minutes=minute), str(minute)) for minute in minutes]
    put(
        sized_context,
        "a",
        [*events, *crowd(MIDNIGHT - timedelta(hours=12)), *crowd(MIDNIGHT + timedelta(hours=12))],
        THREE,
    )
    ingest_and_publish(sized_context, THREE)
    for partition in stale(sized_context):  # one at a time, as only then a partition is computed in buckets
        sessionize_partitions(sized_context, [partition], RUN)
    load(sized_context, *stale(sized_context))
    assert of_ann(sized_context) == expected


def crowd(at: object) -> list[bytes]:
    return [line(f"user{number}", at, f"{at} {number}") for number in range(9)]  # type: ignore[arg-type]


def of_ann(context: StreamContext) -> list[tuple[str, int]]:
    rows = [row for row in table(context) if row["user_id"] == "ann"]
    return sorted((row["session_partition"], row["event_count"]) for row in rows)


# Loads ---------------------------------------------------------------------------------------------------


def test_a_repeated_load_reports_its_partitions_again(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a"), line("bob", DAY_ONE, "b")], ONE)
    ingest_and_publish(context, ONE)
    sessionize_partitions(context, [ONE], RUN)
    assert load(context, ONE).sessions == {ONE: 2}
    again = load(context, ONE)
    assert (again.sessions, again.changed.changed) == ({ONE: 2}, 0)


def test_a_partition_that_has_lost_its_sessions_is_loaded_as_empty(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a")], ONE)
    ingest_and_publish(context, ONE)
    refresh(context)
    put(context, "a", [], ONE)
    ingest_and_publish(context, ONE)
    loaded = refresh(context)
    assert loaded is not None
    assert loaded.sessions == {ONE: 0}


def test_partitions_sessionized_before_the_stream_was_deleted_are_not_loaded(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a")], ONE)
    ingest_and_publish(context, ONE)
    sessionize_partitions(context, [ONE], RUN)
    sessionized = context.sessionized_events([ONE])
    context.ledger.delete_stream()
    with pytest.raises(StaleWriteError, match="rebuilt"):
        loading.load_sessions(context, sessionized, RUN)


def test_a_session_of_several_blocks_is_one_part_and_no_part_is_empty() -> None:
    events = pl.DataFrame({"session_id": ["a", "a", "a", "b"]})
    assert [part.height for part in loading.whole_sessions(events.iter_slices(1))] == [3, 1]


# What an ingest reports ----------------------------------------------------------------------------------


def test_an_ingest_counts_files_rows_read_files_and_vanished_files(context: StreamContext) -> None:
    for uri in "abc":
        put(context, uri, [line(uri, DAY_ONE, f"{uri}{number}") for number in range(2)], ONE)
    assert ingest(context, [ONE], RUN) == {ONE: Ingested(files=3, rows=6, read=3, vanished=0)}
    assert ingest(context, [ONE], RUN) == {ONE: Ingested(files=3, rows=6, read=0, vanished=0)}
    remove(context, "a")
    remove(context, "b")
    put(context, "c", [line("c", DAY_ONE, "c")], ONE)
    assert ingest(context, [ONE], RUN) == {ONE: Ingested(files=3, rows=5, read=1, vanished=2)}


def test_a_file_rewritten_with_the_same_content_leaves_nothing_in_the_lake(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a")], ONE)
    ingest(context, [ONE], RUN)
    (known,) = context.ledger.files()
    context.ledger.record_unchanged("a", "the fingerprint of an older day")
    stored = sorted(folder_of(context.lake).rglob(f"{context.stream.name}/raw_events/**/*.parquet"))
    assert ingest(context, [ONE], RUN)[ONE].read == 0
    assert sorted(folder_of(context.lake).rglob(f"{context.stream.name}/raw_events/**/*.parquet")) == stored
    (again,) = context.ledger.files()
    assert (again.fingerprint, again.sequence) == (known.fingerprint, known.sequence)
