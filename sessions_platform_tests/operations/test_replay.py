"""Rejected rows are repaired and replayed: each repaired row replaces its original exactly once."""

import base64
import csv
import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.operations import replay as replaying
from sessions_platform.operations.dead_letters import (
    Filter,
    discard,
    expire,
    exported,
    find_rejected_records,
    write_csv,
)
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.operations.repaired_rows import RepairedRow, read_repaired_rows
from sessions_platform.operations.replay import replay
from sessions_platform.operations.replay_report import Replay, ReplayOutcome
from sessions_platform.operations.status import pending_landing_partitions, status
from sessions_platform.pipeline import deduplicate as deduplicate_module
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.publish import publish
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform.transforms.deduplicate import deduplicate
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, put, refresh, run_pending, table, validated
from sessions_platform_tests.streams import DAY_ONE, PLAIN

pytestmark = pytest.mark.slow

DAY = "2026-01-01"
MINUTE = timedelta(minutes=1)
# The second row was repaired, and its repair is rejected too.
ALL_OPEN = {("repl", 1, "open"), ("web/", 2, "open"), ("web/", 3, "open")}
NO_IDS = {name: column for name, column in PLAIN["columns"].items() if name != "event_id"}


def rejected_records(context: StreamContext) -> list[dict[str, Any]]:
    return find_rejected_records(context, Filter())


def statuses(context: StreamContext) -> list[tuple[int, str]]:
    return [(row["position"], row["status"]) for row in rejected_records(context)]


def places(context: StreamContext) -> set[tuple[str, int, str]]:
    """Where each row of the queue comes from, a landing file or a replay, and its status."""
    return {(row["source_uri"][:4], row["position"], row["status"]) for row in rejected_records(context)}


def decisions(context: StreamContext) -> list[tuple[str, str]]:
    return [(row["status"], row["because"].split(" under ")[0]) for row in table(context, "rejection_decisions")]


def repaired(context: StreamContext, repair: Callable[[int, str], bytes | None]) -> list[RepairedRow]:
    """An export with repaired payloads: `repair` takes position and payload, and None leaves a row out."""
    rows = [(row["rejection_id"], repair(row["position"], row["payload"])) for row in rejected_records(context)]
    return [RepairedRow(name, payload, f"repaired:{at}") for at, (name, payload) in enumerate(rows, 1) if payload]


def replayed(context: StreamContext, repair: Callable[[int, str], bytes | None]) -> Replay:
    done = replay(context, repaired(context, repair), "a-replay")
    run_pending(context)
    return done


def sessions(context: StreamContext) -> list[dict[str, Any]]:
    rows = [{k: v for k, v in row.items() if k != "loaded_at"} for row in table(context)]
    return sorted(rows, key=lambda row: row["session_id"])


def with_contract(context: StreamContext, **changes: Any) -> StreamContext:
    """The same stream, under another contract."""
    stream = Stream.model_validate({**PLAIN, "name": context.stream.name, **changes})
    return replace(context, stream=stream)


CORRECT_LINES = [line("ann", DAY_ONE + minute * MINUTE, f"e{minute}") for minute in (0, 10, 20, 90)]


@pytest.fixture
def with_rejected_rows(context: StreamContext) -> StreamContext:
    """Four rows of ann, of which the second and third are broken."""
    put(
        context,
        "web/a.ndjson",
        [CORRECT_LINES[0], b"{broken", line(None, DAY_ONE + 20 * MINUTE, "e20"), CORRECT_LINES[3]],
        DAY,
    )
    run_pending(context)
    return context


@pytest.fixture
def correct_from_the_start(open_context: Callable[..., StreamContext]) -> StreamContext:
    context = open_context()
    put(context, "web/a.ndjson", CORRECT_LINES, DAY)
    run_pending(context)
    return context


def corrected(position: int, _payload: str) -> bytes:
    return CORRECT_LINES[position - 1]


def test_repaired_rows_give_the_sessions_of_rows_that_were_correct_from_the_start(
    with_rejected_rows: StreamContext, correct_from_the_start: StreamContext
) -> None:
    done = replayed(with_rejected_rows, corrected)
    assert done.counts == {"accepted": 2}
    assert done.landing_partitions == [DAY]
    assert sessions(with_rejected_rows) == sessions(correct_from_the_start)
    assert statuses(with_rejected_rows) == [(2, "resolved"), (3, "resolved")]
    counts = status(with_rejected_rows)
    assert (counts["raw_rows"], counts["accepted"], counts["rejected"], counts["duplicates"]) == (6, 4, 2, 0)
    assert counts["pending"] == {"landing": [], "session": []}


def test_a_repaired_row_is_linked_with_the_row_that_it_replaces(with_rejected_rows: StreamContext) -> None:
    replayed(with_rejected_rows, corrected)
    events = with_rejected_rows.events([DAY]).scan().collect()
    place = dict(zip(events["event_id"], events.select("source_uri", "position").iter_rows(), strict=True))
    rows = {row["position"]: row for row in rejected_records(with_rejected_rows)}
    assert (rows[2]["replacement_uri"], rows[2]["replacement_position"]) == place["e10"]
    assert (rows[3]["replacement_uri"], rows[3]["replacement_position"]) == place["e20"]
    assert place["e10"][0].startswith("replay:")
    assert {repair.rejection_id for repair in with_rejected_rows.ledger.repairs()} == {
        row["rejection_id"] for row in rows.values()
    }
    assert {(row["decided_by"], row["because"]) for row in rows.values()} == {(RUN, "a repair of it is accepted")}


def test_replaying_twice_adds_nothing(with_rejected_rows: StreamContext) -> None:
    rows = repaired(with_rejected_rows, corrected)
    replay(with_rejected_rows, rows, "a-replay")
    once_stored = replay(with_rejected_rows, rows, "again")
    assert (once_stored.counts, once_stored.landing_partitions) == ({"replayed": 2}, [DAY])
    run_pending(with_rejected_rows)
    before = (
        table(with_rejected_rows),
        rejected_records(with_rejected_rows),
        table(with_rejected_rows, "rejection_decisions"),
        status(with_rejected_rows),
    )
    assert replay(with_rejected_rows, rows, "again").counts == {"resolved": 2}
    run_pending(with_rejected_rows)
    ingest_and_publish(with_rejected_rows, DAY)
    refresh(with_rejected_rows)
    assert (
        table(with_rejected_rows),
        rejected_records(with_rejected_rows),
        table(with_rejected_rows, "rejection_decisions"),
        status(with_rejected_rows),
    ) == before


def test_a_dry_run_reports_the_same_outcomes_and_changes_nothing(with_rejected_rows: StreamContext) -> None:
    before = (
        table(with_rejected_rows),
        rejected_records(with_rejected_rows),
        with_rejected_rows.ledger.files(),
        status(with_rejected_rows),
    )
    rows = repaired(
        with_rejected_rows, lambda at, payload: CORRECT_LINES[1] if at == 2 else payload.replace("e20", "e21").encode()
    )
    done = replay(with_rejected_rows, rows, "a-replay", dry_run=True)
    assert [(outcome.outcome, outcome.reasons_in_a_line) for outcome in done.outcomes] == [
        (ReplayOutcome.accepted, ""),
        (ReplayOutcome.rejected, "missing_identity user_id not null"),
    ]
    assert (
        table(with_rejected_rows),
        rejected_records(with_rejected_rows),
        with_rejected_rows.ledger.files(),
        status(with_rejected_rows),
    ) == before


def test_rows_that_would_be_rejected_again_are_reported_and_the_others_are_stored(
    with_rejected_rows: StreamContext,
) -> None:
    done = replayed(with_rejected_rows, lambda at, payload: CORRECT_LINES[1] if at == 2 else payload.encode())
    assert [(outcome.outcome, outcome.reasons_in_a_line) for outcome in done.outcomes] == [
        (ReplayOutcome.accepted, ""),
        (ReplayOutcome.unchanged, "missing_identity user_id not null"),
    ]
    assert statuses(with_rejected_rows) == [(2, "resolved"), (3, "open")]
    assert status(with_rejected_rows)["accepted"] == 3


def test_a_repair_that_contradicts_an_accepted_event_is_rejected_as_conflicting(
    with_rejected_rows: StreamContext,
) -> None:
    other = line("ann", DAY_ONE + 5 * MINUTE, "e0", "buy")
    done = replayed(with_rejected_rows, lambda at, _: other if at == 2 else None)
    assert [(o.outcome, o.reasons_in_a_line) for o in done.outcomes] == [
        (ReplayOutcome.rejected, "conflicting_duplicate event_id same id, same content")
    ]
    assert status(with_rejected_rows)["accepted"] == 2


def test_a_repair_that_repeats_an_event_is_a_duplicate_and_resolves_the_row(with_rejected_rows: StreamContext) -> None:
    done = replayed(with_rejected_rows, lambda at, _: CORRECT_LINES[0] if at == 2 else None)
    assert done.counts == {"accepted": 1}
    assert statuses(with_rejected_rows) == [(2, "resolved"), (3, "open")]
    assert (status(with_rejected_rows)["accepted"], status(with_rejected_rows)["duplicates"]) == (2, 1)


def test_a_row_with_a_pending_repair_is_neither_discarded_nor_repaired_differently(
    with_rejected_rows: StreamContext,
) -> None:
    first = repaired(with_rejected_rows, corrected)
    replay(with_rejected_rows, first[:1], "a-replay")
    other = [replace(first[0], payload=CORRECT_LINES[1].replace(b"view", b"buy"))]
    assert replay(with_rejected_rows, other, "another").counts == {"pending": 1}
    with pytest.raises(UserError, match="a repair of it is not validated yet"):
        discard(with_rejected_rows, [first[0].rejection_id], "no", "me")


@pytest.mark.parametrize("unique", [False, True], ids=["an id", "a unique value"])
def test_a_conflicting_row_that_is_repaired_is_resolved_and_stays_in_the_queue(
    open_context: Callable[..., StreamContext], unique: bool
) -> None:
    context = open_context(columns={**PLAIN["columns"], "page_url": {"from": "url", "unique": unique}})
    rows = [line("ann", DAY_ONE, "a", url="/1"), line("ann", DAY_ONE + MINUTE, "b" if unique else "a", url="/1")]
    put(context, "z.ndjson", [*rows, line("ann", DAY_ONE + 2 * MINUTE, "c", url="/3")], DAY)
    run_pending(context)
    assert statuses(context) == [(2, "open")]
    assert replayed(context, lambda *_: line("ann", DAY_ONE + MINUTE, "b", url="/2")).counts == {"accepted": 1}
    assert statuses(context) == [(2, "resolved")]
    counts = status(context)
    assert (counts["raw_rows"], counts["accepted"], counts["rejected"], counts["duplicates"]) == (4, 3, 1, 0)


# Whatever happens afterwards, one row is one event


@pytest.mark.parametrize("columns", [PLAIN["columns"], NO_IDS], ids=["ids", "derived ids"])
def test_a_contract_that_comes_to_accept_the_old_row_makes_no_second_event(
    open_context: Callable[..., StreamContext], columns: dict[str, Any]
) -> None:
    strict = {**columns, "event_type": {"from": "type", "isin": ["view"]}}
    context = open_context(columns=strict)
    put(context, "z.ndjson", [line("ann", DAY_ONE, "a"), line("ann", DAY_ONE + MINUTE, "b", "veiw")], DAY)
    run_pending(context)
    replayed(context, lambda _, payload: payload.replace("veiw", "view").encode())
    before = sessions(context)
    lenient = with_contract(context, columns=columns)
    run_pending(lenient)
    assert [row["event_count"] for row in sessions(lenient)] == [2]
    assert sessions(lenient) == before
    assert status(lenient)["duplicates"] == 1
    assert rejected_records(lenient) == []
    back = with_contract(context, columns=strict)
    run_pending(back)
    assert sessions(back) == before
    assert statuses(back) == [(2, "resolved")]


def test_a_stricter_contract_reopens_the_original_row_and_a_second_repair_resolves_both(
    with_rejected_rows: StreamContext,
) -> None:
    replayed(with_rejected_rows, lambda at, _: line("ann", DAY_ONE + 10 * MINUTE, "e10", "veiw") if at == 2 else None)
    strict = with_contract(
        with_rejected_rows, columns={**PLAIN["columns"], "event_type": {"from": "type", "isin": ["view"]}}
    )
    run_pending(strict)
    assert places(strict) == ALL_OPEN
    replayed(strict, lambda at, payload: payload.replace("veiw", "view").encode() if at == 1 else None)
    assert {(row["position"], row["status"]) for row in rejected_records(strict)} == {
        (1, "resolved"),
        (2, "resolved"),
        (3, "open"),
    }
    assert status(strict)["accepted"] == 3
    assert ("open", "nothing of it is accepted") in decisions(strict)


def test_resolved_rows_expire_and_return_only_if_no_accepted_event_replaces_them(
    with_rejected_rows: StreamContext,
) -> None:
    replayed(with_rejected_rows, lambda at, _: line("ann", DAY_ONE + 10 * MINUTE, "e10", "veiw") if at == 2 else None)
    assert expire(with_rejected_rows, timedelta(days=1), "me") == {}
    assert expire(with_rejected_rows, timedelta(0), "me") == {"resolved": 1}
    ingest_and_publish(with_rejected_rows, DAY)
    assert statuses(with_rejected_rows) == [(3, "open")]
    assert decisions(with_rejected_rows) == [
        ("resolved", "a repair of it is accepted"),
        ("expired", "resolved for longer than 00:00:00"),
    ]
    strict = with_contract(
        with_rejected_rows, columns={**PLAIN["columns"], "event_type": {"from": "type", "isin": ["view"]}}
    )
    run_pending(strict)
    assert places(strict) == ALL_OPEN


def test_the_history_shows_rows_that_a_corrected_contract_accepts(with_rejected_rows: StreamContext) -> None:
    lenient = with_contract(with_rejected_rows, columns={**PLAIN["columns"], "user_id": {"from": ["user", "id"]}})
    run_pending(lenient)
    assert statuses(lenient) == [(2, "open")]
    assert decisions(lenient) == [("resolved", "not rejected")]
    run_pending(with_rejected_rows)
    assert statuses(with_rejected_rows) == [(2, "open"), (3, "open")]


def test_a_file_that_grows_keeps_its_repairs_and_one_whose_row_changed_orphans_them(
    with_rejected_rows: StreamContext,
) -> None:
    replayed(with_rejected_rows, lambda at, _: CORRECT_LINES[1] if at == 2 else None)
    grown = [
        CORRECT_LINES[0],
        b"{broken",
        line(None, DAY_ONE + 20 * MINUTE, "e20"),
        CORRECT_LINES[3],
        line("bob", DAY_ONE, "b"),
    ]
    put(with_rejected_rows, "web/a.ndjson", grown, DAY)
    run_pending(with_rejected_rows)
    assert statuses(with_rejected_rows) == [(2, "resolved"), (3, "open")]
    assert status(with_rejected_rows)["accepted"] == 4
    put(
        with_rejected_rows,
        "web/a.ndjson",
        [CORRECT_LINES[0], line("ann", DAY_ONE + 11 * MINUTE, "e11"), *grown[2:]],
        DAY,
    )
    run_pending(with_rejected_rows)
    events = with_rejected_rows.events([DAY]).scan().collect()
    assert sorted(events["event_id"]) == ["b", "e0", "e11", "e90"]
    assert (statuses(with_rejected_rows), status(with_rejected_rows)["duplicates"]) == ([(3, "open")], 1)
    put(with_rejected_rows, "web/a.ndjson", grown, DAY)
    run_pending(with_rejected_rows)
    assert sorted(with_rejected_rows.events([DAY]).scan().collect()["event_id"]) == ["b", "e0", "e10", "e90"]
    assert statuses(with_rejected_rows) == [(2, "resolved"), (3, "open")]


def test_equal_repairs_of_a_files_copies_count_once_where_ids_are_derived(
    open_context: Callable[..., StreamContext],
) -> None:
    context = open_context(columns=NO_IDS)
    twice = [line("ann", DAY_ONE, "a")] * 2
    for name in ("one", "two"):
        put(context, name, [line(None, DAY_ONE, "a"), *twice, b"{"], DAY)
    run_pending(context)
    for uri in ("two", "one"):
        rows = [row for row in rejected_records(context) if row["source_uri"] == uri and row["position"] == 1]
        replay(context, [RepairedRow(row["rejection_id"], twice[0], "here") for row in rows], RUN)
        run_pending(context)
    assert status(context)["events_in_sessions"] == 3
    assert [row["status"] for row in rejected_records(context)] == ["resolved", "open", "resolved", "open"]


def test_repairs_survive_a_rebuild_in_the_landing_partition_of_their_file(
    with_rejected_rows: StreamContext, correct_from_the_start: StreamContext
) -> None:
    replayed(with_rejected_rows, corrected)
    for changes in ({"landing": {"partition": "monthly"}}, {"landing": {"partition": "daily"}}):
        other = with_contract(with_rejected_rows, **changes)
        rebuild(other, "the-rebuild", lambda _: None)
        assert sessions(other) == sessions(correct_from_the_start)
        assert statuses(other) == [(2, "resolved"), (3, "resolved")]
        assert status(other)["pending"] == {"landing": [], "session": []}
        assert {repair.landing_partition for repair in other.ledger.repairs()} == {DAY}
        assert replay(other, repaired(other, corrected), "again").counts == {"resolved": 2}
    assert Ledger(with_rejected_rows.database, f"{with_rejected_rows.stream.name}~next").files() == []


def test_files_of_repaired_rows_do_not_count_as_vanished(with_rejected_rows: StreamContext) -> None:
    replayed(with_rejected_rows, corrected)
    ingested = ingest(with_rejected_rows, [DAY], RUN)[DAY]
    assert (ingested.files, ingested.rows, ingested.vanished) == (2, 6, 0)


# Concurrent changes


def test_a_replay_stores_nothing_if_its_file_is_read_again_meanwhile(
    with_rejected_rows: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, write = repaired(with_rejected_rows, corrected), replaying._write

    def read_meanwhile(*args: Any) -> Any:
        put(with_rejected_rows, "web/a.ndjson", CORRECT_LINES, DAY)
        ingest(with_rejected_rows, [DAY], RUN)
        return write(*args)

    monkeypatch.setattr(replaying, "_write", read_meanwhile)
    with pytest.raises(UserError, match=r"web/a.ndjson was read again, .* Fix: materialize"):
        replay(with_rejected_rows, rows, "a-replay")
    run_pending(with_rejected_rows)
    assert sorted(with_rejected_rows.events([DAY]).scan().collect()["event_id"]) == ["e0", "e10", "e20", "e90"]


def test_of_two_concurrent_replays_one_stores_its_rows(
    with_rejected_rows: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, write, counts = repaired(with_rejected_rows, corrected), replaying._write, []

    def replay_meanwhile(*args: Any) -> Any:
        monkeypatch.setattr(replaying, "_write", write)
        counts.append(replay(with_rejected_rows, rows, "the-other-replay").counts)
        return write(*args)

    monkeypatch.setattr(replaying, "_write", replay_meanwhile)
    counts.append(replay(with_rejected_rows, rows, "a-replay").counts)
    run_pending(with_rejected_rows)
    assert counts == [{"accepted": 2}, {"replayed": 2}]
    assert status(with_rejected_rows)["raw_rows"] == 6


# Planted defects, each of which these tests detect


def replay_twice(context: StreamContext) -> None:
    """A replay that is repeated while it is pending, and then a contract that accepts the original row."""
    put(context, "z.ndjson", [line("ann", DAY_ONE, "a"), line("ann", DAY_ONE + MINUTE, "b", "veiw")], DAY)
    run_pending(context)
    rows = repaired(context, lambda _, payload: payload.replace("veiw", "view").encode())
    for run in ("once", "twice"):
        replay(context, rows, run)
    lenient = with_contract(context, columns=NO_IDS)
    run_pending(lenient)
    assert status(lenient)["raw_rows"] == 3
    assert [row["event_count"] for row in sessions(lenient)] == [2]


def double_replay(patch: pytest.MonkeyPatch) -> None:
    """Rows that were replayed before are replayed again."""
    numbers = itertools.count()
    patch.setattr(replaying, "decided_outcomes", lambda *_: {})
    patch.setattr(RepairedRow, "digest", property(lambda _: str(next(numbers))))


def double_event(patch: pytest.MonkeyPatch) -> None:
    """A repaired row does not replace its original, so that both are events."""
    patch.setattr(
        deduplicate_module, "deduplicate", lambda events, of, digests, _repairs: deduplicate(events, of, digests)
    )


@pytest.mark.parametrize("defect", [double_replay, double_event])
def test_these_tests_detect_planted_defects(
    open_context: Callable[..., StreamContext], monkeypatch: pytest.MonkeyPatch, defect: Callable[..., None]
) -> None:
    columns = {**NO_IDS, "event_type": {"from": "type", "isin": ["view"]}}
    replay_twice(open_context(columns=columns))
    defect(monkeypatch)
    with pytest.raises(AssertionError):
        replay_twice(open_context(columns=columns))


# Input: exported lines and repaired files


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"repaired:1: it is not a JSON object\. Fix: one object a line"),
        ("[]", r"repaired:1: it is not a JSON object\. Fix"),
        ('\n{"rejection_id": 7}', r"repaired:2: rejection_id is missing or not text\. Fix"),
        ('{"rejection_id": "a", "payload": null}', r"repaired:1: payload is missing or not text\. Fix"),
        ('{"rejection_id": "a", "payload": "", "payload_encoding": "rot13"}', r"payload_encoding is 'rot13'\. Fix"),
        ('{"rejection_id": "a", "payload": "?", "payload_encoding": "base64"}', r"payload is not base64\. Fix"),
        ('{"rejection_id": "a", "payload": "\\ud800"}', r"payload contains half of a surrogate pair\. Fix"),
    ],
)
def test_an_invalid_line_is_reported_with_its_position_and_fix(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_repaired_rows(text.split("\n"), "repaired")


def test_user_errors_are_reported_before_anything_is_stored(with_rejected_rows: StreamContext) -> None:
    good = repaired(with_rejected_rows, corrected)
    before = with_rejected_rows.ledger.files()
    with pytest.raises(UserError, match=r"there: no row of \w+ was ever rejected with the id 'a'. Fix: export"):
        replay(with_rejected_rows, [*good, RepairedRow("a", b"", "there")], RUN)
    with pytest.raises(UserError, match=r"there: .* has another payload at repaired:1. Fix: keep one"):
        replay(with_rejected_rows, [*good, RepairedRow(good[0].rejection_id, b"", "there")], RUN)
    assert with_rejected_rows.ledger.files() == before


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=30), max_size=4))
def test_an_export_is_read_as_the_bytes_that_were_rejected(payloads: list[bytes]) -> None:
    rows = [_rejected_record(number, payload) for number, payload in enumerate(payloads)]
    text = "".join(f"{exported_line}\n" for exported_line in exported(rows))
    found = read_repaired_rows(text.split("\n"), "export").get("web", [])
    assert [(row.rejection_id, row.payload) for row in found] == [(str(n), p) for n, p in enumerate(payloads)]


@given(st.text(max_size=5), st.sampled_from(["", "=", "+", "-", "@", "\t", "\r"]))
def test_no_cell_of_a_csv_is_taken_for_a_formula(text: str, sign: str) -> None:
    payload = f"{sign}{text}"
    table = io.StringIO(newline="")
    write_csv([{"payload": payload, "none": None, "position": 7}], table)
    _, (cell, *others) = csv.reader(io.StringIO(table.getvalue(), newline=""))
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell in (payload, f"'{payload}")
    assert others == ["", "7"]


def _rejected_record(number: int, payload: bytes) -> dict[str, Any]:
    try:
        text, encoding = payload.decode(), "utf-8"
    except UnicodeDecodeError:
        text, encoding = base64.b64encode(payload).decode(), "base64"
    place = {"stream": "web", "rejection_id": str(number), "landing_partition": DAY, "source_uri": "a", "position": 1}
    return {**place, "rows": 1, "reasons": [], "payload": text, "payload_encoding": encoding}


# Any rows, correct from the start or repaired later, in any order


ROWS_TO_REPAIR = st.lists(
    st.tuples(
        st.sampled_from(["one", "two"]),  # file
        st.sampled_from(["ann", "bob"]),
        st.integers(0, 90),  # minute
        st.sampled_from(["a", "b", "c", "d", "e", "f"]),  # id
        st.sampled_from(["correct", "correct", "no user", "no json"]),
        st.sampled_from(["now", "later", "last"]),
    ),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it makes new ones
@given(rows=ROWS_TO_REPAIR, derived=st.booleans())
def test_repairs_in_any_order_give_the_sessions_of_rows_correct_from_the_start(
    open_context: Callable[..., StreamContext], rows: list[tuple[str, str, int, str, str, str]], derived: bool
) -> None:
    """Conflicting copies are left out: which of those is accepted depends on the order."""
    columns = NO_IDS if derived else PLAIN["columns"]
    broken, whole = open_context(columns=columns), open_context(columns=columns)
    seen: dict[str, tuple[Any, ...]] = {}
    rows = [row for row in rows if derived or seen.setdefault(row[3], row[1:4]) == row[1:4]]
    right = {uri: [_written(row, "correct") for row in rows if row[0] == uri] for uri in ("one", "two")}
    for uri, lines in right.items():
        put(whole, uri, lines, DAY)
        put(broken, uri, [_written(row, row[4]) for row in rows if row[0] == uri], DAY)
    for context in (broken, whole):
        run_pending(context)
    when = {uri: [row[5] for row in rows if row[0] == uri] for uri in right}
    for moment in ("now", "later", "last"):
        now = [
            r
            for r in rejected_records(broken)
            if r["status"] == "open" and when[r["source_uri"]][r["position"] - 1] == moment
        ]
        fixed = [RepairedRow(r["rejection_id"], right[r["source_uri"]][r["position"] - 1], "here") for r in now]
        assert replay(broken, fixed, RUN).not_replayed == []
        run_pending(broken)
    assert sessions(broken) == sessions(whole)
    assert {row["status"] for row in rejected_records(broken)} <= {"resolved"}


def _written(row: tuple[str, str, int, str, str, str], how: str) -> bytes:
    _, user, minute, name, *_ = row
    at = DAY_ONE + minute * MINUTE
    if how == "no user":  # rows that are alike are repaired alike, so those of another user are others
        return line(None, at, name, was=user)
    right = line(user, at, name)
    return right[:-1] if how == "no json" else right


def test_any_publication_completes_a_replay(with_rejected_rows: StreamContext) -> None:
    replay(with_rejected_rows, repaired(with_rejected_rows, corrected), "killed-here")
    assert pending_landing_partitions(with_rejected_rows) == [DAY]
    publish(with_rejected_rows, validated(with_rejected_rows, DAY), "any-run")
    assert statuses(with_rejected_rows) == [(2, "resolved"), (3, "resolved")]
    assert pending_landing_partitions(with_rejected_rows) == []
