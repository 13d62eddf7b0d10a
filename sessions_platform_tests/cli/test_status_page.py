"""`status` for people: what is wrong first, then what is stale, then the numbers; and it fits 80 columns."""

from typing import Any

import pytest

from sessions_platform.cli.status_page import status_lines


def document(stream: str = "shop", **others: Any) -> dict[str, Any]:
    """A status document of a stream with nothing wrong."""
    return {
        "stream": stream,
        "source": {"kind": "ndjson", "noun": "file"},
        "raw_rows": 12_345,
        "accepted": 12_000,
        "rejected": 300,
        "duplicates": 45,
        "skipped": 0,
        "rejected_by_reason": {"bad_timestamp": 100, "malformed": 200},
        "duplicates_across": 7,
        "conflicts_across": 1,
        "sessions": 2_000,
        "users": 900,
        "events_in_sessions": 11_992,
        "events_outside_sessions": 0,
        "events_without_tool_id": 0,
        "total_duration_seconds": 400_000.0,
        "partitions": {"landing": 7, "session": 8},
        "pending": {"landing": [], "session": []},
        "validated_with_older_references": [],
        "skipped_files": {"count": 0, "by_reason": {}, "first": []},
        "hints": [],
        "lake": {"files": 30, "missing_files": [], "verified_at": None, "problems": []},
        "warehouse": "embedded PostgreSQL of /home/ann/.sessions_platform",
        **others,
    }


DAYS = [f"2026-03-{day:02}" for day in range(1, 8)]
WRONG = {
    "lake": {"files": 30, "missing_files": ["events/a.parquet"], "verified_at": "2026-03-01 09:00:00", "problems": []},
    "hints": ["no landing file is found in \x1b[2J/data. Fix: look at /date."],
    "skipped_files": {"count": 12, "by_reason": {}, "first": ["a: is a link", "b: is a link"]},
}
STALE = {"pending": {"landing": DAYS, "session": DAYS[:1]}, "validated_with_older_references": DAYS[:2]}


def test_what_is_wrong_comes_before_what_is_stale_and_that_before_numbers() -> None:
    broken = {"stream": "app", "problems": ["app.yaml:3: sesion: the key is not known. Fix: write session."]}
    lines = list(status_lines([document(**WRONG, **STALE), broken], None))
    assert [line[:6] for line in lines[:8]] == ["✗ shop", "✗ shop", "✗ shop", "✗ app:", *["! shop"] * 3, ""]
    assert lines[0].endswith(
        "1 of 30 lake files are missing: events/a.parquet. Fix: sessions-platform verify shop --repair"
    )
    assert r"\x1b[2J/data" in lines[1]
    assert lines[2] == "✗ shop: 12 files were skipped: a: is a link, b: is a link and 10 more"
    assert "7 landing partitions to ingest: 2026-03-01, 2026-03-02, 2026-03-03 and 4 more. Fix: " in lines[4]
    assert "1 session partition to refresh: 2026-03-01. " in lines[5]
    assert lines[8] == "shop"


def test_what_a_source_has_is_called_by_its_name_and_a_server_skips_no_file() -> None:
    objects = document(**{**WRONG, "hints": [], "source": {"kind": "ndjson", "noun": "object"}})
    assert next(line for line in status_lines([objects], None) if "skipped" in line).startswith("✗ shop: 12 objects ")
    doubts = ["kafka://a/b: messages 1 to 3 are gone", "kafka://a/b: it can't be reached. Fix: start it."]
    server = document(
        source={"kind": "kafka", "noun": "message"},
        skipped_files={"count": 2, "by_reason": {}, "first": doubts},
        hints=[doubts[1]],
    )
    assert list(status_lines([server], None))[:3] == [f"✗ shop: {doubts[1]}", f"✗ shop: {doubts[0]}", ""]


def test_a_score_says_when_its_model_was_trained_and_how_good_it_was_and_one_without_a_model_is_stale() -> None:
    metrics = {"auc": 0.9204, "auc_of_event_count": 0.691, "log_loss": 0.27, "brier": 0.094}
    current = {"score": "purchase", "state": "current", "trained_at": "2026-03-01 09:00:00", "metrics": metrics}
    scores = [
        {**current, "due": 2},
        {"score": "bot", "state": "untrained", "trained_at": None, "metrics": {}, "due": 0},
    ]
    lines = list(status_lines([document(scores=scores)], None))
    run = "Fix: sessions-platform run shop, or switch the sensors on"
    assert lines[0] == f"! shop: 2 session partitions to score. {run}"
    assert lines[1].endswith(
        "the score bot has no model of what it is now: untrained. Fix: sessions-platform train shop bot"
    )
    said = [line.split(maxsplit=1)[1] for line in lines if line.startswith("  score ")]
    measured = "auc 0.920, auc_of_event_count 0.691, brier 0.094; 2 session partitions to score"
    assert said == [f"purchase: current, trained 2026-03-01 09:00, {measured}", "bot: untrained"]


def test_a_broken_model_is_trained_anew_and_not_repaired() -> None:
    model = {"asset": "score_models", "partition": "bot", "path": "shop/a", "detail": "there is no such file"}
    events = {"asset": "events", "partition": DAYS[0], "path": "shop/b", "detail": "it has 1 rows of 2"}
    lake = {"files": 30, "missing_files": [], "verified_at": None, "problems": [events, model]}
    lines = list(status_lines([document(lake=lake)], None))
    assert "left 1 problems: shop/b, it has 1 rows of 2. Fix: sessions-platform verify shop --repair" in lines[0]
    assert lines[1] == (
        "✗ shop: the model of a score, shop/a: there is no such file. Fix: sessions-platform train shop bot"
    )


def test_rows_that_are_unaccounted_for_are_wrong() -> None:
    assert next(status_lines([document(raw_rows=12_350)], None)).startswith("✗ shop: 5 raw rows are unaccounted for.")


def test_where_nothing_is_wrong_it_says_so_once_and_has_the_numbers_of_each_stream() -> None:
    lines = list(status_lines([document("shop"), document("app", rejected_by_reason={})], None))
    assert lines[:9] == [
        "✓ nothing is wrong, and nothing is stale",
        "",
        "shop",
        "  rows       12,345 raw = 12,000 accepted + 300 rejected + 45 duplicates",
        "  rejected   malformed 200, bad_timestamp 100",
        "  events     11,992 in sessions; 8 landed again on another day",
        "  sessions   2,000 of 900 users, 3 min 20 s each on average",
        "  partitions 7 landing, 8 session; 30 lake files",
        "  verified   never",
    ]
    assert lines[11:13] == ["app", "  rows       12,345 raw = 12,000 accepted + 300 rejected + 45 duplicates"]


@pytest.mark.parametrize("columns", [40, 80])
def test_lines_are_as_long_as_the_terminal_is_wide(columns: int) -> None:
    lines = list(status_lines([document(**WRONG, **STALE)], columns))
    assert max(map(len, lines)) <= columns
    assert len(lines) > len(list(status_lines([document(**WRONG, **STALE)], None)))


def test_colours_are_there_only_when_asked_for() -> None:
    assert "\x1b" not in "".join(status_lines([document()], 80))
    assert "\x1b[32m✓\x1b[0m" in "".join(status_lines([document()], 80, coloured=True))
