"""The demo's week, read back with gzip, json and datetime alone, and validated by hand."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.demo.events import Planted, land_week
from sessions_platform.demo.visits import DAYS, SESSION_GAP, START
from sessions_platform.settings import DEMO_STREAMS

EVENTS = 6_000
STREAM = load_stream(DEMO_STREAMS / "web_shop.yaml", home=Path("/home/somebody"))
GZIP_MTIME = slice(4, 8)  # where RFC 1952 has the time of writing
FEWEST, MOST = 0.01, 0.02
CODES = {
    Code.malformed,
    Code.missing_identity,
    Code.bad_timestamp,
    Code.future_timestamp,
    Code.before_start,
    Code.not_allowed,
    Code.out_of_range,
    Code.pattern_mismatch,
    Code.conflicting_duplicate,
}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    landing_day: str
    line: str


class Week(NamedTuple):
    folder: Path
    planted: Planted
    rows: list[Row]


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Week:
    folder = tmp_path_factory.mktemp("a folder with spaces")
    planted = land_week(folder, EVENTS)
    return Week(folder, planted, list(read(folder)))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read(folder: Path) -> Iterator[Row]:
    for path in files(folder):
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
            yield from (Row(path.parent.name, line.rstrip("\n")) for line in lines)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in files(folder)}


def parsed(line: str) -> dict[str, Any] | None:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None


def moment(event: dict[str, Any]) -> datetime | None:
    if isinstance(event["ts"], int):
        return EPOCH + timedelta(milliseconds=event["ts"])
    try:
        return datetime.fromisoformat(event["ts"])
    except ValueError:
        return None


def user(event: dict[str, Any]) -> str | None:
    return (event["user"] or {}).get("id") or event["anonymous_id"]


def reasons(row: Row) -> list[str]:
    """Every rule of the stream that a row breaks by itself."""
    event = parsed(row.line)
    if event is None:
        return ["malformed"]
    at, end = moment(event), datetime.fromisoformat(row.landing_day).replace(tzinfo=UTC) + timedelta(days=1)
    latest = min(end + timedelta(minutes=5), START + timedelta(days=DAYS, microseconds=-1))
    broken = {
        "missing_identity": user(event) is None,
        "bad_timestamp": at is None,
        "future_timestamp": at is not None and at > latest,
        "before_start": at is not None and at < START,
        "not_allowed": event["event"] not in (STREAM.columns["event_type"].isin or [])
        or event["device"] not in [None, *(STREAM.columns["device"].isin or [])],
        "pattern_mismatch": not re.search(STREAM.columns["page_url"].pattern or "", event["url"]),
        "out_of_range": event.get("amount", 0) < 0,
    }
    return [code for code, contains in broken.items() if contains]


def good(week: Week) -> list[Row]:
    """Rows that break no rule by themselves; duplicates are among them."""
    return [row for row in week.rows if not reasons(row)]


def test_the_week_is_that_of_the_stream(week: Week) -> None:
    days = STREAM.landing_calendar.keys_between("2026-01-05", "2026-01-11")
    assert (STREAM.start, STREAM.end) == (START.date(), START.date() + timedelta(days=DAYS))
    assert sorted(path.name for path in week.folder.iterdir()) == days


def test_the_same_arguments_give_the_same_bytes(week: Week, tmp_path: Path) -> None:
    assert land_week(tmp_path, EVENTS) == week.planted
    assert contents(tmp_path) == contents(week.folder)
    assert {content[GZIP_MTIME] for content in contents(tmp_path).values()} == {bytes(4)}, "no wall clock"


def test_another_seed_gives_other_bytes(week: Week, tmp_path: Path) -> None:
    land_week(tmp_path, EVENTS, seed=8)
    ours, theirs = contents(tmp_path), contents(week.folder)
    assert ours.keys() == theirs.keys()
    assert not any(ours[name] == theirs[name] for name in ours)


def test_writing_the_week_again_changes_no_file(tmp_path: Path) -> None:
    land_week(tmp_path, 1_000)
    before = [path.stat() for path in files(tmp_path)]
    land_week(tmp_path, 1_000)
    after = [path.stat() for path in files(tmp_path)]
    assert [(file.st_ino, file.st_mtime_ns) for file in after] == [(file.st_ino, file.st_mtime_ns) for file in before]


def test_only_finished_files_are_left(week: Week) -> None:
    names = {f"events-{hour}.ndjson.gz" for hour in ("00", "06", "12", "18")}
    assert all({path.name for path in day.iterdir()} == names for day in week.folder.iterdir())


def test_a_write_that_dies_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object) -> None:
        raise OSError("the disk is full")

    land_week(tmp_path, 1_000)
    before = contents(tmp_path)
    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(OSError, match="disk is full"):
        land_week(tmp_path, 1_000, seed=8)
    visible = {name: content for name, content in contents(tmp_path).items() if name.endswith(".ndjson.gz")}
    assert visible == before


def test_every_row_that_is_rejected_alone_has_one_reason_and_is_counted(week: Week) -> None:
    validated = [reasons(row) for row in week.rows]
    assert max(map(len, validated)) == 1
    alone = {code: count for code, count in week.planted.rejected.items() if code != Code.conflicting_duplicate}
    assert Counter(reason for (reason,) in filter(None, validated)) == alone
    assert len(week.rows) == week.planted.lines


def test_duplicates_and_conflicts_are_counted(week: Week) -> None:
    """Of rows with one id: those within a landing day first, then what is left across days."""
    seen: dict[str, tuple[str, str]] = {}
    counted: Counter[str] = Counter()
    for row in good(week):
        event_id = json.loads(row.line)["id"]
        first_day, first_line = seen.setdefault(event_id, row)
        if (first_day, first_line) == row:
            counted["duplicates"] += 1
        elif first_day == row.landing_day:
            counted["conflicting"] += 1
        else:
            counted["duplicates_across" if first_line == row.line else "conflicts_across"] += 1
    counted["duplicates"] -= len(seen)  # each first row found itself
    assert counted == {
        "duplicates": week.planted.duplicates,
        "conflicting": week.planted.rejected[Code.conflicting_duplicate],
        "duplicates_across": week.planted.duplicates_across,
        "conflicts_across": week.planted.conflicts_across,
    }
    assert len(seen) == week.planted.events_in_sessions


def test_a_conflict_across_days_is_about_the_same_user_and_time(week: Week) -> None:
    known: dict[str, set[tuple[str | None, datetime | None]]] = {}
    for row in good(week):
        event = json.loads(row.line)
        known.setdefault(event["id"], set()).add((user(event), moment(event)))
    assert all(len(who_and_when) == 1 for who_and_when in known.values())


def test_late_events_are_named_and_all_others_land_on_their_day(week: Week) -> None:
    delays: dict[str, int] = {}
    for row in good(week):
        event = json.loads(row.line)
        at = moment(event)
        assert at is not None
        delay = date.fromisoformat(row.landing_day) - at.astimezone(UTC).date()
        delays[event["id"]] = min(delay.days, delays.get(event["id"], delay.days))
    late = {event_id: days for event_id, days in delays.items() if days}
    assert late.keys() == week.planted.late_ids
    assert len(late) == week.planted.late
    assert set(late.values()) <= {1, 2, 3, 4, 5}


def test_every_fault_is_planted_and_faults_are_rare(week: Week) -> None:
    planted = week.planted
    copies = (planted.duplicates, planted.duplicates_across, planted.conflicts_across, planted.late)
    parse_errors = [*planted.rejected.values(), *copies]
    assert set(planted.rejected) == CODES
    assert min(parse_errors) > 0
    assert FEWEST < sum(parse_errors) / planted.lines < MOST


def test_the_week_has_the_difficult_cases_of_sessionization(week: Week) -> None:
    timelines: dict[str, set[tuple[datetime, str]]] = {}
    for row in good(week):
        event = json.loads(row.line)
        who, at = user(event), moment(event)
        assert who is not None
        assert at is not None
        timelines.setdefault(who, set()).add((at.astimezone(UTC), event["id"]))
    pairs = [pair for line in timelines.values() for pair in neighbours(sorted(line))]
    gap = timedelta(milliseconds=SESSION_GAP)
    assert STREAM.session.gap == gap
    assert any(after == before for before, after in pairs), "simultaneous events"
    assert any(after - before == gap for before, after in pairs), "a silence of just the gap"
    assert any(before.date() < after.date() and after - before < gap for before, after in pairs), "midnight"
    assert any(who.startswith("a-") for who in timelines), "people who never signed in"
    busiest = sorted(map(len, timelines.values()), reverse=True)[: len(timelines) // 10]
    assert sum(busiest) > 0.3 * sum(map(len, timelines.values())), "a heavy tail"


def neighbours(timeline: list[tuple[datetime, str]]) -> list[tuple[datetime, datetime]]:
    return [(before, after) for (before, _), (after, _) in pairwise(timeline)]


def test_too_few_events_are_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"too few to plant .*: ask for 1,000 or more"):
        land_week(tmp_path, 10)
    assert files(tmp_path) == []
