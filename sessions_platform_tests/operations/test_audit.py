"""The audit of a sample finds wrong sessions and nothing else, and `measure_coverage` counts each event once."""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from sessions_platform.operations.audit import SampleAudit, audit_sample
from sessions_platform.pipeline import coverage
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.coverage import Coverage, measure_coverage
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh, stale
from sessions_platform_tests.streams import DAY_ONE, PLAIN

pytestmark = pytest.mark.slow  # each case makes a stream's whole history anew

MINUTE = timedelta(minutes=1)
COLUMNS = {**PLAIN["columns"], "amount": {"type": "float", "nullable": True}}
USERS = [f"user{number}" for number in range(8)]


@pytest.fixture
def filled(open_context: Callable[..., StreamContext]) -> StreamContext:
    """Sums of fractions, and sessions over midnights."""
    context = open_context(columns=COLUMNS, session={"columns": {"total": {"sum": "amount"}}})
    dice = random.Random(3)
    for day in (1, 2, 3):
        moments = [(dice.choice(USERS), DAY_ONE + dice.randrange(day * 24 * 60) * MINUTE) for _ in range(100)]
        lines = [line(user, at, f"{day}-{number}", amount=0.1) for number, (user, at) in enumerate(moments)]
        put(context, f"file{day}", lines, f"2026-01-0{day}")
    put(context, "all-days", [line(user, DAY_ONE + 720 * MINUTE, f"noon-{user}") for user in USERS], "2026-01-04")
    ingest_and_publish(context, *[f"2026-01-0{day}" for day in (1, 2, 3, 4)])
    refresh(context)
    return context


def audit(context: StreamContext, seed: int = 0) -> SampleAudit:
    return audit_sample(context, 60, random.Random(seed))  # enough to draw all users


def test_the_audit_of_a_correct_table_finds_nothing(filled: StreamContext) -> None:
    seen = audit(filled)
    assert (seen.users, seen.mismatches) == (len(USERS), [])
    assert seen.events > 100
    assert seen.sessions > len(USERS)


def test_stale_partitions_are_not_reported_as_mismatches(filled: StreamContext) -> None:
    put(filled, "late", [line(user, DAY_ONE + 725 * MINUTE, f"late-{user}") for user in USERS], "2026-01-05")
    ingest_and_publish(filled, "2026-01-05")
    assert stale(filled) == ["2026-01-01"]
    assert audit(filled).mismatches == []


@pytest.mark.parametrize(
    "defect",
    [
        "update {table} set event_count = event_count + 1",
        "update {table} set total = total + 0.1",
        "update {table} set session_end = session_end + interval '1 microsecond'",
        "update {table} set session_partition = '2026-01-09'",
        "delete from {table}",
        "insert into {table} select md5(session_id), user_id, session_start, session_end, duration_seconds,"
        " event_count, primary_action, entry_page, exit_page, total, session_partition, session_rule_version"
        " from {table}",
    ],
)
def test_the_audit_finds_a_wrong_table(filled: StreamContext, defect: str) -> None:
    with filled.database.transaction() as connection:
        connection.execute(defect.format(table=f"{filled.stream.name}.sessions").encode())
    assert audit(filled).mismatches


def test_repeated_audits_find_a_single_wrong_session(filled: StreamContext) -> None:
    table = f"{filled.stream.name}.sessions"
    one = f"update {table} set event_count = 99 where session_id = (select min(session_id) from {table})"
    with filled.database.transaction() as connection:
        connection.execute(one.encode())
    found: list[Any] = [audit_sample(filled, 2, random.Random(seed)).mismatches for seed in range(40)]
    assert [] in found
    assert max(map(len, found)) == 1


def test_the_audit_of_an_empty_stream_finds_nothing(context: StreamContext) -> None:
    assert audit(context) == SampleAudit(0, 0, 0, [])


def test_the_audit_takes_an_empty_text_as_sequence(open_context: Callable[..., StreamContext]) -> None:
    columns = {**PLAIN["columns"], "step": {"nullable": True}}
    context = open_context(columns=columns, sequence="step")
    steps = ["b", "", None, "a"]
    put(
        context,
        "file",
        [line("ann", DAY_ONE, f"{n}", step=step, url=step) for n, step in enumerate(steps)],
        "2026-01-01",
    )
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    assert audit(context) == SampleAudit(1, 4, 1, [])


@pytest.mark.parametrize("amounts", [[1e16, 1.0, -1e16], [1e308, -1e308, 0.1], [0.1] * 99 + [-0.1] * 99])
def test_sums_that_cancel_out_are_no_false_alarm(
    open_context: Callable[..., StreamContext], amounts: list[float]
) -> None:
    context = open_context(columns=COLUMNS, session={"columns": {"total": {"sum": "amount"}}})
    lines = [line("ann", DAY_ONE + n * timedelta(seconds=1), f"{n:03}", amount=x) for n, x in enumerate(amounts)]
    put(context, "file", lines, "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    assert audit(context).mismatches == []


DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]


@pytest.mark.parametrize("at_once", [1, 7, 100, 1000])
def test_windows_of_any_size_count_the_same(
    filled: StreamContext, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    whole = measure_coverage(filled, DAYS)
    assert whole == Coverage(308, 308, 0)
    monkeypatch.setattr(coverage, "_EVENTS_AT_ONCE", at_once)
    assert measure_coverage(filled, DAYS) == whole
    assert measure_coverage(filled, [DAYS[2], DAYS[0]]).accepted == 308 - measure_coverage(filled, DAYS[1:2]).accepted


def test_events_that_landed_twice_count_once_and_those_in_two_sessions_twice(filled: StreamContext) -> None:
    copies = [line(user, DAY_ONE + 720 * MINUTE, f"noon-{user}") for user in USERS]
    put(filled, "copies", copies, "2026-01-05")
    ingest_and_publish(filled, "2026-01-05")
    assert measure_coverage(filled, DAYS) == Coverage(308, 308, 0)
    with filled.database.transaction() as connection:  # one file stands for two partitions
        connection.execute(
            b"""update sessions_platform.session_versions v
                set path = o.path, first_event = o.first_event, last_event = o.last_event
                from sessions_platform.session_versions o
                where v.session_partition = '2026-01-02' and o.session_partition = '2026-01-01'
                and v.stream = %s and o.stream = v.stream""",
            [filled.stream.name],
        )
    counts = measure_coverage(filled, DAYS[:1])
    assert counts.in_two_sessions == counts.sessionized / 2 > 0
