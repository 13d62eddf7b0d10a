"""A stream is rebuilt as a shadow stream and swapped in: readers see the old state or the new one."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.operations.rebuild import Rebuilt, rebuild
from sessions_platform.operations.status import pending_landing_partitions, status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.load import load_sessions
from sessions_platform.pipeline.publish import publish
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.settings import Settings
from sessions_platform.sources.files.source import FileSource
from sessions_platform.storage.ledger.ledger import CalendarChangedError, StaleWriteError
from sessions_platform.storage.postgres.roles import as_owner
from sessions_platform.storage.warehouses.postgres.tables import WarehouseError
from sessions_platform.transforms.reference_sessionizer import Event, session_id, sessions_of
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, put, refresh, stale, table, validated
from sessions_platform_tests.streams import DAY_ONE, PLAIN

pytestmark = pytest.mark.slow

LANDING = ["2026-01-05", "2026-01-06", "2026-01-20"]
MINUTE = timedelta(minutes=1)
AMOUNT = {"amount": {"type": "integer", "nullable": True}}


VALIDATING, SESSIONIZING, SWAPPING = "to validate", "to compute", "swapping"
PHASES = (VALIDATING, SESSIONIZING, SWAPPING)


def at(phase: str, call: Callable[[], None]) -> Callable[[str], None]:
    """A `report` for rebuild that makes the call in one phase."""
    return lambda line: call() if phase in line else None


def rebuild_stream(
    context: StreamContext, report: Callable[[str], None] = lambda _: None, run: str = "the-rebuild"
) -> Rebuilt:
    return rebuild(context, run, report)


def changed(context: StreamContext, **changes: Any) -> StreamContext:
    """The same stream, with other top-level keys in its file."""
    stream = Stream.model_validate({**PLAIN, "name": context.stream.name, **changes})
    return StreamContext(stream, context.source, context.lake, context.database)


@pytest.fixture
def events() -> list[tuple[str, Any, str]]:
    """User, time and id; some sessions continue over a midnight."""
    dice = random.Random(7)
    minutes = [dice.randrange(4 * 24 * 60) for _ in range(300)]
    return [(dice.choice("abcd"), DAY_ONE + minute * MINUTE, f"e{number}") for number, minute in enumerate(minutes)]


@pytest.fixture
def current(context: StreamContext, events: list[tuple[str, Any, str]]) -> StreamContext:
    for number, partition in enumerate(LANDING):
        lines = [line(*event, amount=1) for event in events[number::3]]
        put(context, f"file-{number}", [*lines, b"{broken", line(None, DAY_ONE, "x")], partition)
    ingest_and_publish(context, *LANDING)
    refresh(context)
    return context


def expected_sessions(events: list[tuple[str, Any, str]]) -> list[list[Event]]:
    place = {"landing_partition": "", "source_uri": "", "position": 0}
    rows = [{"user_id": u, "event_timestamp": at, "event_id": name, **place} for u, at, name in events]
    return sessions_of(rows)


@pytest.mark.parametrize(
    ("session", "key_of"),
    [
        ({"partition": "monthly"}, lambda at: f"{at:%Y-%m-01}"),
        ({"partition": "hourly"}, lambda at: f"{at:%Y-%m-%dT%H}"),
        ({"timezone": "Asia/Kathmandu"}, lambda at: f"{at + timedelta(hours=5, minutes=45):%Y-%m-%d}"),
    ],
    ids=["months", "hours", "another zone"],
)
def test_another_cadence_or_zone_makes_the_same_sessions_in_other_partitions(
    current: StreamContext, events: list[tuple[str, Any, str]], session: dict[str, Any], key_of: Callable[[Any], str]
) -> None:
    before = {row["session_id"]: row for row in table(current)}
    rejected = table(current, "rejected_events")
    other = changed(current, session=session)
    with pytest.raises(CalendarChangedError, match="rebuild"):
        status(other)

    rebuilt = rebuild_stream(other)

    rows = {row["session_id"]: row for row in table(other)}
    assert {name: row["session_partition"] for name, row in rows.items()} == {
        session_id(found): key_of(found[0]["event_timestamp"]) for found in expected_sessions(events)
    }
    assert {name: row["event_count"] for name, row in rows.items()} == {
        name: row["event_count"] for name, row in before.items()
    }
    counts = Counter(row["session_partition"] for row in rows.values())
    assert {partition: count for partition, count in rebuilt.sessions.items() if count} == counts
    assert table(other, "rejected_events") == rejected, "the time of their first rejection stays"
    assert status(other)["pending"] == {"landing": [], "session": []}
    with pytest.raises(CalendarChangedError):
        status(changed(current))


def test_unchanged_sessions_keep_their_loaded_at(current: StreamContext) -> None:
    before = table(current)
    assert rebuild_stream(changed(current)).changed.changed == 0
    assert table(current) == before
    assert [row for row in table(current, "session_changes") if row["run_id"] == "the-rebuild"] == []


def test_a_rebuilt_stream_can_be_refreshed(current: StreamContext, events: list[tuple[str, Any, str]]) -> None:
    other = changed(current, session={"partition": "weekly"})
    rebuild_stream(other)
    late = ("a", DAY_ONE + 3 * 24 * 60 * MINUTE, "late")
    put(other, "late", [line(*late)], "2026-01-21")
    assert pending_landing_partitions(other) == ["2026-01-21"]
    ingest_and_publish(other, "2026-01-21")
    assert stale(other) == ["2025-12-29"]
    refresh(other)
    assert {row["session_id"] for row in table(other)} == {session_id(s) for s in expected_sessions([*events, late])}


def test_a_column_of_another_type_is_filled_anew(current: StreamContext) -> None:
    most = {"columns": {"most": {"max": "amount"}}}
    columns = {**PLAIN["columns"], **AMOUNT}
    whole = changed(current, columns=columns, session=most)
    ingest_and_publish(whole, *LANDING)
    refresh(whole)
    columns["amount"] = {"type": "float", "nullable": True}
    fractions = changed(current, columns=columns, session=most)
    with pytest.raises(WarehouseError, match="rebuild"):
        status(fractions)
    rebuild_stream(fractions)
    assert [(type(row["most"]), row["most"]) for row in table(fractions)] == [(float, 1.0)] * len(table(whole))
    assert table(fractions, "sessions_now")


def test_a_session_column_that_the_stream_no_longer_has_is_told_and_removed_by_a_rebuild(
    current: StreamContext,
) -> None:
    of_one = changed(current, session={"columns": {"last_type": {"last": "event_type"}}})
    refresh(of_one)
    renamed = changed(current, session={"columns": {"final_type": {"last": "event_type"}}})
    refresh(renamed)
    (hint,) = status(renamed)["hints"]
    assert "has columns that the stream does not have, with old values: last_type. Fix: run" in hint
    rebuild_stream(renamed)
    assert status(renamed)["hints"] == []
    assert {"last_type", "final_type"} & set(table(renamed)[0]) == {"final_type"}
    assert {"last_type", "final_type"} & set(table(renamed, "sessions_now")[0]) == {"final_type"}


def test_a_users_view_on_a_column_that_the_stream_no_longer_has_is_named(current: StreamContext) -> None:
    of_one = changed(current, session={"columns": {"last_type": {"last": "event_type"}}})
    of_one.prepare()
    name = current.stream.name
    with of_one.database.transaction() as connection, as_owner(connection):
        connection.execute(f"create view {name}.mine as select last_type from {name}.sessions".encode())
    with pytest.raises(
        WarehouseError, match=r"column last_type, .* can't be dropped: view \w+\.mine depends .* Fix: drop"
    ):
        rebuild_stream(changed(current))
    assert len(table(current, "mine")) == len(table(current))


def test_a_users_view_on_a_column_of_another_type_is_named(current: StreamContext) -> None:
    name, columns = current.stream.name, {**PLAIN["columns"], **AMOUNT}
    whole = changed(current, columns=columns, session={"columns": {"most": {"max": "amount"}}})
    whole.prepare()
    with whole.database.transaction() as connection, as_owner(connection):
        connection.execute(f"create view {name}.mine as select most from {name}.sessions".encode())
    columns["amount"] = {"type": "float", "nullable": True}
    with pytest.raises(WarehouseError, match=r"column most can't become double precision: .* view \w+\.mine"):
        rebuild_stream(changed(current, columns=columns, session={"columns": {"most": {"max": "amount"}}}))
    assert len(table(current, "mine")) == len(table(current))


def test_readers_see_the_old_state_until_the_new_one_is_complete(current: StreamContext) -> None:
    before, seen = table(current), []
    rebuild_stream(changed(current, session={"gap": "5m"}), lambda _: seen.append(table(current) == before))
    assert seen == [True] * len(PHASES)
    assert len(table(current)) > len(before)


def test_a_failed_rebuild_leaves_the_current_state_and_the_next_one_succeeds(current: StreamContext) -> None:
    def breaks() -> None:
        raise InterruptedError

    before = table(current), status(current)
    other = changed(current, session={"partition": "monthly"})
    for phase in PHASES:
        with pytest.raises(InterruptedError):
            rebuild_stream(other, at(phase, breaks))
        assert (table(current), status(current)) == before
    rebuild_stream(other)
    assert {row["session_partition"] for row in table(other)} == {"2026-01-01"}


def test_a_file_that_is_ingested_during_a_rebuild_is_included(
    current: StreamContext, events: list[tuple[str, Any, str]]
) -> None:
    late = ("d", DAY_ONE + timedelta(days=9), "late")

    def ingest_late_file() -> None:
        if "late" not in {file.uri for file in current.ledger.files()}:
            put(current, "late", [line(*late)], "2026-01-20")
            ingest_and_publish(current, "2026-01-20")

    other = changed(current, session={"partition": "monthly"})
    rebuild_stream(other, at(SWAPPING, ingest_late_file))
    assert {row["session_id"] for row in table(other)} == {session_id(s) for s in expected_sessions([*events, late])}
    assert status(other)["pending"] == {"landing": [], "session": []}


def test_after_a_rebuild_writers_with_the_old_calendar_are_refused(current: StreamContext) -> None:
    put(current, "late", [line("a", DAY_ONE, "late")], "2026-01-21")
    ingest(current, ["2026-01-21"], RUN)
    draft = validated(current, "2026-01-21")
    sessionize_partitions(current, ["2026-01-01"], RUN)
    work = current.sessionized_events(["2026-01-01"])
    other = changed(current, session={"partition": "monthly"})
    rebuild_stream(other)
    after = table(other)
    put(current, "later", [line("a", DAY_ONE, "later")], "2026-01-21")
    for write in (
        lambda: ingest(current, ["2026-01-21"], RUN),
        lambda: publish(current, draft, RUN),
        lambda: sessionize_partitions(current, ["2026-01-01"], RUN),
    ):
        with pytest.raises(CalendarChangedError, match="reload the code location"):
            write()
    with pytest.raises(StaleWriteError, match="rebuilt"):
        load_sessions(current, work, RUN)
    assert table(other) == after


def test_a_second_concurrent_rebuild_is_refused(current: StreamContext) -> None:
    refused: list[str] = []

    def second() -> None:
        with pytest.raises(UserError, match="being rebuilt already") as caught:
            rebuild_stream(current)
        refused.append(str(caught.value))

    rebuild_stream(changed(current), lambda _: second())
    assert len(refused) == len(PHASES)


@pytest.mark.parametrize("dated", [True, False], ids=["dated files", "a flat folder"])
def test_files_are_assigned_by_their_name_or_else_by_when_they_were_read(
    settings: Settings, tmp_path: Path, dated: bool
) -> None:
    """So is a file that has vanished."""
    path = "landing/{partition:%Y-%m-%d}/*.ndjson" if dated else "landing/*.ndjson"
    files = {key: tmp_path / "landing" / (key if dated else "") / f"{key}.ndjson" for key in LANDING}

    def opened(cadence: str) -> StreamContext:
        source = {"files": path, "format": "ndjson"}
        name = f"moves_{'dated' if dated else 'flat'}"
        keys = {"name": name, "source": source, "landing": {"partition": cadence}, "path": tmp_path / "moves.yaml"}
        stream = Stream.model_validate({**PLAIN, **keys})
        return StreamContext.open(stream, settings, FileSource(stream))

    daily = opened("daily")
    for key, file in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(line("ann", f"{key}T12:00:00Z", key) + b"\n{broken\n")
        ingest(daily, [key], RUN)
        publish(daily, validated(daily, key), RUN)
    refresh(daily)
    before = table(daily)
    files[LANDING[0]].unlink()

    weekly = opened("weekly")
    rebuild_stream(weekly)
    assert {v.landing_partition: (v.accepted, v.rejected) for v in weekly.ledger.landings()} == {
        "2026-01-05": (2, 2),
        "2026-01-19": (1, 1),
    }
    raw = weekly.raw_events(["2026-01-05", "2026-01-19"])
    assert raw.scan("2026-01-05").select("landing_partition").unique().collect().to_series().to_list() == ["2026-01-05"]
    assert table(weekly) == before
    assert pending_landing_partitions(opened("weekly")) == []


@pytest.mark.parametrize(
    "columns",
    [
        {**PLAIN["columns"], "amount": {"type": "float", "nullable": True}},
        {**PLAIN["columns"], "amount": {"type": "string", "nullable": True}},
        PLAIN["columns"],
    ],
    ids=["a number", "a text", "removed"],
)
def test_an_event_column_that_is_removed_or_has_another_type_needs_no_rebuild(
    current: StreamContext, columns: dict[str, Any]
) -> None:
    """No table contains it: events are validated again, and sessions refreshed."""
    whole = changed(current, columns={**PLAIN["columns"], **AMOUNT})
    ingest_and_publish(whole, *LANDING)
    refresh(whole)
    before = [(row["session_id"], row["event_count"]) for row in table(whole)]
    other = changed(current, columns=columns)
    assert pending_landing_partitions(other) == LANDING
    ingest_and_publish(other, *LANDING)
    refresh(other)
    assert status(other)["pending"] == {"landing": [], "session": []}
    assert [(row["session_id"], row["event_count"]) for row in table(other)] == before
