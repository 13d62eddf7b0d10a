"""The promises of the pipeline, tested with a real lake and a real PostgreSQL, without Dagster."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from sessions_platform.operations.status import covering_ranges, pending_landing_partitions, status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.publish import publish
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.storage.ledger.ledger import CalendarChangedError, StaleWriteError
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import (
    RUN,
    ingest_and_publish,
    interrupted,
    load,
    put,
    refresh,
    remove,
    stale,
    table,
    validated,
)
from sessions_platform_tests.streams import DAY_ONE, stream

MINUTE = timedelta(minutes=1)


def test_valid_rows_become_sessions_and_invalid_ones_are_rejected(context: StreamContext) -> None:
    good = [line("ann", DAY_ONE, "a"), line("ann", DAY_ONE + 5 * MINUTE, "b", "buy"), line("bob", DAY_ONE, "c")]
    bad = [b"{broken", line(None, DAY_ONE, "d"), line("eve", "yesterday", "e"), b""]
    put(context, "a.ndjson", [*good, good[0], *bad], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    counts = status(context)
    assert {name: counts[name] for name in ("raw_rows", "accepted", "rejected", "duplicates")} == {
        "raw_rows": 8,
        "accepted": 3,
        "rejected": 4,
        "duplicates": 1,
    }
    assert counts["rejected_by_reason"] == {"bad_timestamp": 1, "malformed": 2, "missing_identity": 1}
    assert (counts["sessions"], counts["users"], counts["events_in_sessions"]) == (2, 2, 3)
    assert counts["total_duration_seconds"] == 300.0
    assert counts["pending"] == {"landing": [], "session": []}


def test_rejected_rows_keep_payload_position_and_all_reasons(context: StreamContext) -> None:
    put(context, "a.ndjson", [line("ann", DAY_ONE, "a"), line(None, "never", "b")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    (row,) = table(context, "rejected_events")
    assert row["payload"].encode() == line(None, "never", "b")
    assert (row["source_uri"], row["position"], row["run_id"]) == ("a.ndjson", 2, RUN)
    assert {reason["code"] for reason in row["reasons"]} == {"missing_identity", "bad_timestamp"}


def test_doing_everything_twice_changes_nothing(context: StreamContext) -> None:
    put(context, "a.ndjson", [line("ann", DAY_ONE, "a"), b"{"], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    before = table(context), table(context, "rejected_events")
    ingest_and_publish(context, "2026-01-01")
    assert stale(context) == []
    sessionize_partitions(context, ["2026-01-01"], "another-run")
    assert load(context, "2026-01-01").changed.changed == 0
    assert (table(context), table(context, "rejected_events")) == before


def test_a_vanished_file_keeps_its_rows_and_a_changed_one_replaces_them(context: StreamContext) -> None:
    put(context, "a.ndjson", [line("ann", DAY_ONE, "a")], "2026-01-01")
    put(context, "b.ndjson", [line("bob", DAY_ONE, "b")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    remove(context, "a.ndjson")
    put(context, "b.ndjson", [line("eve", DAY_ONE, "c")], "2026-01-01")
    assert pending_landing_partitions(context) == ["2026-01-01"]
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    assert sorted(row["user_id"] for row in table(context)) == ["ann", "eve"]


def test_a_late_event_refreshes_the_day_its_session_began_and_no_other(context: StreamContext) -> None:
    days = [f"2026-01-0{day}" for day in range(1, 6)]
    for number, day in enumerate(days):
        put(context, day, [line("ann", DAY_ONE + timedelta(days=number, hours=23, minutes=50), day)], day)
    ingest_and_publish(context, *days)
    refresh(context)
    before = {row["session_id"]: row for row in table(context)}
    put(context, "late", [line("ann", DAY_ONE + timedelta(days=2, minutes=5), "late")], "2026-01-05")
    ingest_and_publish(context, "2026-01-05")
    assert stale(context) == ["2026-01-02", "2026-01-03"]
    loaded = refresh(context)
    assert loaded is not None
    assert loaded.changed.changed == 1
    (changed,) = [row for row in table(context) if row != before.get(row["session_id"])]
    assert (changed["session_partition"], changed["event_count"]) == ("2026-01-02", 2)


def test_a_partition_stays_stale_until_a_refresh_includes_its_change(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    sessionize_partitions(context, ["2026-01-01"], RUN)
    put(context, "b", [line("bob", DAY_ONE, "b")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    load(context, "2026-01-01")
    assert stale(context) == ["2026-01-01"]
    refresh(context)
    assert len(table(context)) == 2


def test_a_stale_publication_is_refused(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a")], "2026-01-01")
    ingest(context, ["2026-01-01"], RUN)
    stale_draft = validated(context, "2026-01-01")
    put(context, "a", [line("bob", DAY_ONE, "b")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    with pytest.raises(StaleWriteError):
        publish(context, stale_draft, RUN)
    assert context.events(["2026-01-01"]).scan().collect()["user_id"].to_list() == ["bob"]


def test_a_stale_load_leaves_the_newer_state(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    sessionize_partitions(context, ["2026-01-01"], RUN)

    def load_newer_state() -> None:
        put(context, "b", [line("bob", DAY_ONE, "b")], "2026-01-01")
        ingest_and_publish(context, "2026-01-01")
        refresh(context)

    assert load(interrupted(context, load_newer_state), "2026-01-01").sessions == {}
    assert sorted(row["user_id"] for row in table(context)) == ["ann", "bob"]


def test_an_error_during_a_load_leaves_the_old_table_and_the_stale_partitions(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    before = table(context)
    put(context, "b", [line("bob", DAY_ONE, "b")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    sessionize_partitions(context, ["2026-01-01"], RUN)

    def fail() -> None:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        load(interrupted(context, fail), "2026-01-01")
    assert table(context) == before
    assert stale(context) == ["2026-01-01"]


def test_readers_see_all_partitions_of_a_refresh_change_at_once_and_are_not_blocked(context: StreamContext) -> None:
    """An early event on the day before moves a session, and its events, from one partition to the other."""
    late = DAY_ONE + timedelta(days=1, minutes=10)
    put(context, "a", [line("ann", late + n * MINUTE, f"{n}") for n in range(20)], "2026-01-02")
    ingest_and_publish(context, "2026-01-02")
    refresh(context)
    put(context, "b", [line("ann", late - 20 * MINUTE, "early")], "2026-01-03")
    ingest_and_publish(context, "2026-01-03")
    seen: set[int] = set()
    done = threading.Event()

    query = f"select sum(event_count) from {context.stream.name}.sessions".encode()

    def poll() -> None:
        with psycopg.connect(context.database.url, autocommit=True) as connection:
            connection.execute("set statement_timeout = '2s'")
            while not done.is_set():
                row = connection.execute(query).fetchone()
                seen.add(int(row[0]) if row else -1)

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        refresh(context)
    finally:
        done.set()
        reader.join()
    assert seen <= {20, 21}
    assert [row["event_count"] for row in table(context)] == [21]


def test_concurrent_runs_end_in_the_state_of_one_run(context: StreamContext) -> None:
    days = ["2026-01-01", "2026-01-02"]
    for number, day in enumerate(days):
        put(context, day, [line("ann", DAY_ONE + timedelta(days=number), day)], day)

    def everything() -> None:
        try:
            ingest_and_publish(context, *days)
            sessionize_partitions(context, days, RUN)
            load(context, *days)
        except StaleWriteError:
            pass

    assert status(context)["sessions"] == 0  # creates the tables before the race
    threads = [threading.Thread(target=everything) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refresh(context)
    assert len(table(context)) == 2
    counts = status(context)
    assert (counts["raw_rows"], counts["accepted"], counts["pending"]["session"]) == (2, 2, [])


def test_another_contract_or_session_rule_makes_partitions_pending_and_stale(
    open_context: Callable[..., StreamContext],
) -> None:
    old = open_context()
    put(old, "a", [line("ann", DAY_ONE, "a"), line("ann", DAY_ONE + 20 * MINUTE, "b")], "2026-01-01")
    ingest_and_publish(old, "2026-01-01")
    refresh(old)
    changed = stream(name=old.stream.name, session={"gap": "10m"}, extra_columns="reject")
    new = StreamContext(changed, old.source, old.lake, old.database)
    assert pending_landing_partitions(new) == ["2026-01-01"]
    assert stale(new) == ["2026-01-01"]
    refresh(new)
    assert len(table(new)) == 2
    assert stale(new) == []


def test_undated_files_belong_to_the_newest_partition_of_the_run_that_found_them(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a")], None)
    ingest(context, ["2026-01-01", "2026-01-02"], RUN)
    ingest(context, ["2026-01-03"], RUN)
    assert [file.landing_partition for file in context.ledger.files()] == ["2026-01-02"]


def test_few_ranges_cover_all_stale_partitions() -> None:
    calendar = stream().session_calendar
    assert covering_ranges(["2026-01-01", "2026-01-02", "2026-01-05"], calendar) == [
        ("2026-01-01", "2026-01-02"),
        ("2026-01-05", "2026-01-05"),
    ]
    assert covering_ranges(["2026-01-01", "2026-01-03", "2026-02-01"], calendar, most=2) == [
        ("2026-01-01", "2026-01-03"),
        ("2026-02-01", "2026-02-01"),
    ]


def changes(context: StreamContext) -> list[tuple[str, str | None]]:
    """The change log since the last call: change and merged_into, in order."""
    rows = context.database.query(
        f"select change, merged_into from {context.stream.name}.session_changes order by changed_at, change"
    )
    with context.database.transaction() as connection:
        connection.execute(f"delete from {context.stream.name}.session_changes".encode())
    return [(row["change"], row["merged_into"]) for row in rows]


def test_an_event_between_two_sessions_merges_them_and_its_removal_divides_them(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a"), line("ann", DAY_ONE + 50 * MINUTE, "c")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    first, second = sorted(table(context), key=lambda row: row["session_start"])
    assert changes(context) == [("appeared", None), ("appeared", None)]
    put(context, "b", [line("ann", DAY_ONE + 25 * MINUTE, "b")], "2026-01-02")
    ingest_and_publish(context, "2026-01-02")
    refresh(context)
    assert [(row["session_id"], row["event_count"]) for row in table(context)] == [(first["session_id"], 3)]
    assert changes(context) == [("changed", None), ("vanished", first["session_id"])]
    put(context, "b", [], "2026-01-02")
    ingest_and_publish(context, "2026-01-02")
    refresh(context)
    ids = {row["session_id"] for row in table(context)}
    assert ids == {first["session_id"], second["session_id"]}
    assert changes(context) == [("appeared", None), ("changed", None)]


def test_an_earlier_first_event_gives_a_new_id_and_the_log_names_it_for_the_old_one(context: StreamContext) -> None:
    midnight = DAY_ONE + timedelta(days=1)
    put(context, "a", [line("ann", midnight + 5 * MINUTE, "a")], "2026-01-02")
    ingest_and_publish(context, "2026-01-02")
    refresh(context)
    changes(context)
    put(context, "b", [line("ann", midnight - 5 * MINUTE, "b")], "2026-01-03")
    ingest_and_publish(context, "2026-01-03")
    refresh(context)
    (row,) = table(context)
    assert row["session_partition"] == "2026-01-01"
    assert changes(context) == [("appeared", None), ("vanished", row["session_id"])]


def test_merged_into_is_recorded_even_while_its_partition_is_stale(context: StreamContext) -> None:
    midnight = DAY_ONE + timedelta(days=1)
    put(context, "a", [line("ann", midnight + 5 * MINUTE, "a")], "2026-01-02")
    ingest_and_publish(context, "2026-01-02")
    refresh(context)
    changes(context)
    put(context, "b", [line("ann", midnight - 5 * MINUTE, "b")], "2026-01-03")
    ingest_and_publish(context, "2026-01-03")
    sessionize_partitions(context, ["2026-01-02"], RUN)
    load(context, "2026-01-02")
    ((change, merged_into),) = changes(context)
    refresh(context)
    assert (change, merged_into) == ("vanished", table(context)[0]["session_id"])


def test_a_session_without_surviving_events_is_merged_into_none(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    changes(context)
    put(context, "a", [], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    assert table(context) == []
    assert changes(context) == [("vanished", None)]


def test_a_session_is_open_until_the_gap_has_passed_or_the_user_came_back(context: StreamContext) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a"), line("bob", DAY_ONE + 30 * MINUTE, "b")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    assert sorted((row["user_id"], row["is_open"]) for row in table(context, "sessions_now")) == [
        ("ann", True),
        ("bob", True),
    ]
    before = table(context)
    put(context, "b", [line("ann", DAY_ONE + 61 * MINUTE, "c")], "2026-01-02")
    ingest_and_publish(context, "2026-01-02")
    refresh(context)
    state = {row["session_start"]: (row["is_open"], row["open_until"]) for row in table(context, "sessions_now")}
    assert state == {
        DAY_ONE: (False, None),
        DAY_ONE + 30 * MINUTE: (False, DAY_ONE + 60 * MINUTE),
        DAY_ONE + 61 * MINUTE: (True, DAY_ONE + 91 * MINUTE),
    }
    loaded_at = {row["session_id"]: row["loaded_at"] for row in table(context)}
    assert all(loaded_at[row["session_id"]] == row["loaded_at"] for row in before)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"session": {"partition": "weekly"}}, "session.partition"),
        ({"session": {"timezone": "Europe/Berlin"}}, "session.timezone"),
        ({"landing": {"partition": "hourly"}}, "landing.partition"),
    ],
)
def test_a_stream_keeps_the_calendars_that_it_began_with(context: StreamContext, change: Any, key: str) -> None:
    put(context, "a", [line("ann", DAY_ONE, "a")], "2026-01-01")
    ingest_and_publish(context, "2026-01-01")
    other = StreamContext(stream(name=context.stream.name, **change), context.source, context.lake, context.database)
    with pytest.raises(CalendarChangedError, match=key):
        status(other)
    refresh(context)
    assert len(table(context)) == 1
