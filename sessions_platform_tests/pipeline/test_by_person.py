"""Sessions by person: those of one sort of all accepted events with the person as their user, in any order."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.stream_checks import cross_key_issues
from sessions_platform.errors import UserError
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.operations.erase import dry_run, erase
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.operations.report.lake_counts import count_silences
from sessions_platform.operations.rows import events, window_of
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform_tests.contexts import line
from sessions_platform_tests.identity_oracle import Seen, resolve
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, run_pending, stale, table
from sessions_platform_tests.streams import DAY_ONE, PLAIN

MINUTE = timedelta(minutes=1)
DAY = 24 * 60
DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")
COLUMNS = {
    **PLAIN["columns"],
    "user_id": {"from": ["account", "device"]},
    "device": {"nullable": True},
    "account": {"nullable": True},
}
IDENTITY = {"anonymous_id": "device", "user_id": "account"}
KEYS: dict[str, Any] = {"columns": COLUMNS, "identity": IDENTITY, "session": {"by": "person", "max_future": "30d"}}
Open = Callable[..., StreamContext]
Row = tuple[str, str | None, int]  # device, account, minute


def at(minute: int) -> datetime:
    return DAY_ONE + minute * MINUTE


def lines(*rows: Row) -> list[bytes]:
    """Events of a device, with an account or without, at minutes."""
    return [line(None, at(row[2]), name_of(row), device=row[0], account=row[1]) for row in rows]


def name_of(row: Row) -> str:
    return "-".join(map(str, row))


def sessions(context: StreamContext) -> dict[str, tuple[str, int, int]]:
    """By session: whose it is, at which minute it begins, and how many events it has."""
    return {
        row["session_id"]: (row["user_id"], (row["session_start"] - DAY_ONE) // MINUTE, row["event_count"])
        for row in table(context, "sessions")
    }


def recomputed(files: dict[str, list[Row]], shared_above: int = 1) -> dict[str, tuple[str, int, int]]:
    """What `sessions` should be: people by loops over all rows, and then the reference over these people's events."""
    seen = [Seen(day, device, account, at(minute)) for day, rows in files.items() for device, account, minute in rows]
    people = {name: found.user_id for name, found in resolve(seen, shared_above).items()}
    events = [
        {
            "user_id": people.get(row[1] or row[0]) or row[1] or row[0],
            "event_timestamp": at(row[2]),
            "event_id": name_of(row),
            "event_type": "view",
            "landing_partition": day,
            "source_uri": day,
            "position": position,
        }
        for day, rows in files.items()
        for position, row in enumerate(rows)
    ]
    return {
        reference.session_id(own): (own[0]["user_id"], (own[0]["event_timestamp"] - DAY_ONE) // MINUTE, len(own))
        for own in reference.sessions_of(events)
    }


def issues(**changes: Any) -> list[str]:
    return [issue.reason for issue in cross_key_issues({**PLAIN, **KEYS, **changes})]


def test_sessions_by_person_need_links_and_the_column_of_the_users_own_id() -> None:
    assert issues() == []
    assert issues(identity=None) == ["nothing says whose an anonymous id is"]
    taken = issues(columns={**COLUMNS, "own_user_id": {"nullable": True}})
    assert taken == ["sessionized events have a column of that name where sessions are a person's"]


def test_the_visit_before_the_log_in_is_in_the_session_of_the_person(open_context: Open) -> None:
    context = open_context(**KEYS)
    put(context, "a", lines(("phone", None, 0), ("phone", "ann", 5), ("pc", "ann", 20), ("tv", None, 7)), DAYS[0])
    run_pending(context)
    assert sorted(sessions(context).values()) == [("ann", 0, 3), ("tv", 7, 1)]
    assert {row["user_id"]: row["person_id"] for row in table(context, "sessions_of_people")} == {
        "ann": "ann",
        "tv": "tv",
    }
    events = context.sessionized_events([DAYS[0]]).scan().sort("event_timestamp").collect()
    assert events.select("user_id", "own_user_id").rows() == [
        ("ann", "phone"),
        ("ann", "ann"),
        ("tv", "tv"),
        ("ann", "ann"),
    ]


def test_events_and_reports_show_the_person(open_context: Open) -> None:
    small = open_context(**KEYS)
    visits = lines(("phone", None, 0), ("phone", "ann", 5), ("pc", "ann", 20), ("tv", None, 7), ("phone", None, 90))
    put(small, "a", visits, DAYS[0])
    run_pending(small)
    shown = events(small, window_of(small.stream, None, None), ["user_id", "person_id", "device"])
    whose = [("ann", "ann", "pc"), ("ann", "ann", "phone"), *[("phone", "ann", "phone")] * 2, ("tv", "tv", "tv")]
    assert sorted(shown.frame().rows()) == whose
    assert sorted(pl.DataFrame(shown.batches()).rows()) == whose
    gaps = [timedelta(minutes=10), timedelta(minutes=30), timedelta(hours=2)]
    for context in (small, replace(small, memory=MemoryBudget(1, 1))):
        counted = count_silences(context, context.ledger.landings(), None, gaps, gaps)
        assert counted.users == 2
        assert counted.sessions["sessions"].to_list() == [4, 3, 2]
    assert len(sessions(small)) == 3


def test_events_are_read_without_their_person_where_an_old_file_is_lost(open_context: Open) -> None:
    context = open_context(**KEYS)
    for day in (0, 2):
        put(context, f"{day}", lines(("phone", "ann", day * 1440)), DAYS[day])
    run_pending(context)
    old, _ = context.ledger.landings()
    context.lake.filesystem.delete(old.events_path)
    window = window_of(context.stream, date(2026, 1, 3), None)
    assert events(context, window).frame().columns == list(event_columns(context.stream))
    with pytest.raises(UserError, match=re.escape(old.events_path)):
        events(context, window, ["person_id"])


@pytest.mark.slow
def test_a_link_makes_the_partitions_of_its_people_stale_and_no_others(open_context: Open) -> None:
    context = open_context(**{**KEYS, "start": "2025-01-01"})
    old: list[Row] = [("phone", None, -300 * DAY), ("pc", "ann", -200 * DAY - 10), ("tv", None, -100 * DAY)]
    put(context, "a", lines(*old, ("phone", None, -200 * DAY + 10), ("tv", None, 0)), DAYS[0])
    run_pending(context)
    assert stale(context) == []
    put(context, "b", lines(("phone", "ann", DAY)), DAYS[1])
    ingest_and_publish(context, DAYS[1])
    at_midnight = [f"{at(minute):%Y-%m-%d}" for minute in (-200 * DAY - 10, -200 * DAY + 10)]
    assert stale(context) == [f"{at(-300 * DAY):%Y-%m-%d}", *at_midnight, DAYS[1]]
    run_pending(context)
    assert ("ann", -200 * DAY - 10, 2) in sessions(context).values()
    put(context, "c", lines(("phone", "ann", DAY + 500)), DAYS[2])  # known already: nothing moves
    ingest_and_publish(context, DAYS[2])
    assert stale(context) == [DAYS[1]]


@pytest.mark.slow
def test_a_link_that_goes_is_told_in_session_changes(open_context: Open) -> None:
    context = open_context(**KEYS)
    put(context, "a", lines(("phone", None, 0), ("pc", "ann", 20), ("phone", "ann", 300)), DAYS[0])
    run_pending(context)
    (merged,) = [name for name, (_, _, events) in sessions(context).items() if events == 2]
    put(context, "b", lines(("phone", "bob", 900)), DAYS[1])
    run_pending(context)
    changes = {row["session_id"]: row for row in table(context, "session_changes") if row["change"] == "vanished"}
    assert sessions(context)[changes[merged]["merged_into"]] == ("phone", 0, 1)


@pytest.mark.slow
def test_to_erase_an_account_tells_that_sessions_of_the_person_remain_of_other_ids(open_context: Open) -> None:
    own = {**KEYS["columns"], "user_id": {"from": "device"}}
    context = open_context(**{**KEYS, "columns": own})
    put(context, "a", lines(("phone", None, 0), ("phone", "ann", 5)), DAYS[0])
    run_pending(context)
    before = sessions(context)
    assert dry_run(context, ["ann"])["other_ids_of_persons"] == 1
    remain, *_ = erase(context, ["ann"])["left"]
    assert remain.startswith("Sessions of the person remain, made of the events of other ids (1).")
    assert sessions(context) == before
    assert not any(left.startswith("Sessions of") for left in erase(context, ["ann", "phone"])["left"])
    assert sessions(context) == {}


rows_of_a_file = st.lists(
    st.tuples(
        st.sampled_from(["phone", "pc", "ann"]),
        st.sampled_from([None, None, "ann", "bob", "pc"]),
        st.sampled_from([0, 10, 29, 31, 60, DAY - 5, DAY + 5, 2 * DAY]),
    ),
    min_size=1,
    max_size=6,
    unique_by=name_of,
)


@pytest.mark.slow
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(rows_of_a_file, min_size=3, max_size=3),
    st.permutations([0, 1, 2]),
    st.tuples(st.integers(0, 2), rows_of_a_file),
    st.sampled_from([None, "ann", "phone"]),
    st.integers(1, 2),
)
def test_files_in_any_order_corrected_and_erased_leave_the_sessions_of_what_is_left(
    open_context: Open,
    files: list[list[Row]],
    order: list[int],
    correction: tuple[int, list[Row]],
    erased: str | None,
    shared_above: int,
) -> None:
    context = open_context(**{**KEYS, "identity": {**IDENTITY, "shared_above": shared_above}})
    current: dict[str, list[Row]] = {}
    for file, rows in [*((number, files[number]) for number in order), correction]:
        put(context, f"file{file}", lines(*rows), DAYS[file])
        run_pending(context)
        current[DAYS[file]] = rows
        assert sessions(context) == recomputed(current, shared_above)
    if erased and any(erased == (account or device) for rows in current.values() for device, account, _ in rows):
        erase(context, [erased])
        current = {day: [row for row in rows if erased != (row[1] or row[0])] for day, rows in current.items()}
        assert sessions(context) == recomputed(current, shared_above)
        assert erased not in users_in_lake(context)  # all its events are gone, and all links to it with them
    rebuild(context, "a-run", lambda _: None)
    assert sessions(context) == recomputed(current, shared_above)


def users_in_lake(context: StreamContext) -> set[str]:
    """All users of all files of sessionized events, needed or not: people, and the events' own."""
    paths = [path for path in _files(context) if path.endswith(".parquet")]
    columns = {"user_id": pl.String(), "own_user_id": pl.String()}
    rows = context.lake.scan(paths, columns).collect()
    return {*rows["user_id"], *rows["own_user_id"]}


def _files(context: StreamContext) -> Iterable[str]:
    return context.lake.filesystem.list(f"{context.stream.name}/sessionized_events")
