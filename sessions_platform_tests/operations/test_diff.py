"""A diff shows what the pipeline would do with the same files, before and after a change, and stores nothing."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from sessions_platform.cli import app
from sessions_platform.errors import UserError
from sessions_platform.operations.diff import Difference, diff
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform.settings import Settings
from sessions_platform_tests.ingested import DAY, open_folder
from sessions_platform_tests.streams import DAY_ONE, PLAIN

TIMES = {"ann": (0, 10, 25, 300), "bob": (5, 45)}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with streams/web.yaml and a landing file of six events and a row without a user."""
    folder = tmp_path / "streams" / "landing" / DAY
    folder.mkdir(parents=True)
    rows = [
        {"id": f"{user}{minute}", "user": user, "ts": (DAY_ONE + timedelta(minutes=minute)).isoformat(), "type": "view"}
        for user, minutes in TIMES.items()
        for minute in minutes
    ]
    lines = [*rows, {"id": "nobody", "user": None, "ts": DAY_ONE.isoformat(), "type": "view"}]
    (folder / "a.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _write(tmp_path / "streams" / "web.yaml")
    return tmp_path


def _write(path: Path, **changes: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({**PLAIN, **changes}, sort_keys=False))
    return path


def compared(home: Path, **changes: Any) -> Difference:
    from sessions_platform.contracts.stream_file import load_stream

    settings = Settings(home / "home", home / "lake", (home / "streams",))
    stream = load_stream(home / "streams" / "web.yaml", settings.home)
    return diff(stream, _write(home / "new" / "web.yaml", **changes), settings)


def test_the_same_definition_makes_no_difference_and_no_file(home: Path) -> None:
    same = compared(home, description="said otherwise")
    assert same.is_empty
    assert same.document["sessions"] == {
        **dict.fromkeys(("before", "after", "kept"), 4),
        **dict.fromkeys(("changed", "gone", "new"), 0),
        "changed_columns": {},
    }
    assert not (home / "home").exists()
    assert not (home / "lake").exists()


def test_a_shorter_gap_keeps_the_ids_of_first_sessions_and_says_what_changes(home: Path) -> None:
    document = compared(home, session={"gap": "12m"}).document
    sessions = document["sessions"]
    assert (sessions["before"], sessions["after"]) == (4, 5)
    assert [sessions[name] for name in ("kept", "changed", "gone", "new")] == [3, 1, 0, 1]
    assert sessions["changed_columns"] == {"session_end": 1, "event_count": 1, "duration_seconds": 1}
    (changed,) = document["examples"]["changed"]
    assert (changed["user_id"], changed["columns"]["event_count"]) == ("ann", [3, 2])
    assert document["examples"]["new"][0]["session_start"] == "2026-01-01T00:25:00+00:00"
    assert document["consequences"] == ["Every session partition would be computed again."]


def test_rows_that_a_change_rejects_are_told_with_reason_and_place(home: Path) -> None:
    columns = {**PLAIN["columns"], "event_id": {"from": "id", "pattern": "^ann"}}
    document = compared(home, columns=columns).document
    assert document["rows"]["moved"] == {"accepted to rejected": 2}
    (code,) = document["rows"]["newly_rejected_by_reason"]
    first = document["examples"]["newly_rejected"][0]
    assert (first["position"], first["before"], first["after"], first["reasons"]) == (5, "accepted", "rejected", [code])
    assert "bob5" in first["payload"]
    assert document["sessions"]["gone"] == 2


def test_rows_that_a_change_accepts_and_columns_that_it_adds_are_told(home: Path) -> None:
    columns = {**PLAIN["columns"], "user_id": {"from": ["user", "id"]}}
    document = compared(home, columns=columns, session={"columns": {"ids": {"count_distinct": "event_id"}}}).document
    assert document["rows"]["moved"] == {"rejected to accepted": 1}
    assert document["columns"] == {"added": ["ids"], "removed": []}
    assert document["examples"]["newly_accepted"][0]["position"] == 7


def test_values_and_columns_of_events_that_a_change_alters_are_told(home: Path) -> None:
    (home / "streams" / "types.csv").write_text("type,about\nview,seen\n")
    lookup = {"table": "types.csv", "key": "type", "from": "event_type", "take": ["about"]}
    enriched = compared(home, enrich={"lookup": lookup})
    assert (enriched.document["columns"], enriched.is_empty) == ({"added": [], "removed": []}, False)
    assert enriched.document["events"] == {
        "changed": 0,
        "changed_columns": {},
        "columns": {"added": ["about"], "removed": []},
    }
    _write(home / "streams" / "web.yaml", enrich={"lookup": lookup})
    (home / "streams" / "others.csv").write_text("type,about\nview,looked at\n")
    other = compared(home, enrich={"lookup": {**lookup, "table": "others.csv"}})
    assert (other.document["events"]["changed"], other.is_empty) == (6, False)
    assert other.document["events"]["changed_columns"] == {"about": 6}
    assert other.document["sessions"]["kept"] == 4


def test_a_table_of_the_other_definition_lies_beside_the_streams_own_file(home: Path) -> None:
    (home / "streams" / "types.csv").write_text("type,kind\nview,seen\n")
    lookup = {"table": "types.csv", "key": "type", "from": "event_type", "take": ["kind"]}
    assert list(compared(home, enrich={"lookup": lookup}).other.enrich) == ["lookup"]


def test_mistakes_of_the_other_file_are_told(home: Path) -> None:
    with pytest.raises(UserError, match=r"new/web\.yaml:\d+: sesion: "):
        compared(home, sesion={})


def test_the_command_ends_with_3_where_something_differs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONS_HOME", str(home / "home"))
    monkeypatch.setenv("SESSIONS_STREAMS", str(home / "streams"))
    other = _write(home / "new" / "web.yaml", session={"gap": "12m"})
    command = ["diff", "web", "--against", str(other)]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 3
    assert "sessions by id: 3 kept, 1 changed, 0 gone, 1 new" in shown.output
    document = json.loads(CliRunner().invoke(app, [*command, "--json", "--rows", "2"]).stdout)
    assert document["rows"]["before"]["raw_rows"] == 2
    assert CliRunner().invoke(app, ["diff", "web", "--against", str(home / "streams" / "web.yaml")]).exit_code == 0


@pytest.mark.slow
def test_both_sides_are_the_sessions_that_the_pipeline_loads(home: Path, settings: Settings) -> None:
    for changes in ({}, {"session": {"gap": "12m", "split_at_midnight": True}}):
        difference = compared(home, **changes)
        context = open_folder(
            home / "streams", settings, source={"files": "landing/{partition:%Y-%m-%d}/*.ndjson"}, **changes
        )
        run_pipeline(context, [DAY], "a-run")
        stored = context.database.query(
            f"select session_id, event_count from {context.stream.name}.sessions order by 1"
        )
        made = difference.sessions_after.select("session_id", "event_count").sort("session_id").to_dicts()
        assert stored == made
