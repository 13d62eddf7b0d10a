"""A log line is one line of JSON with the fields of the documentation, and no others."""

import json
from pathlib import Path

import pytest

from sessions_platform.cli.messages import say
from sessions_platform.operations.log_lines import FIELDS, field_table, log_line
from sessions_platform.operations.page_tables import with_table
from sessions_platform.settings import Settings, SettingsError

PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"


def test_a_line_is_one_line_whatever_the_event_says() -> None:
    line = log_line("INFO", "here", "one\ntwo \x1b[2J \u2028 end", rows=3, run_id=None)
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    said = json.loads(line)
    assert said["event"] == "one\ntwo \x1b[2J \u2028 end"
    assert (said["level"], said["rows"]) == ("info", 3)
    assert list(said) == ["timestamp", "level", "logger", "event", "rows"]


def test_a_field_that_the_documentation_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="payload"):
        log_line("info", "here", "something", payload="x")


def test_the_page_has_every_field() -> None:
    page = PAGE.read_text()
    assert with_table(page, "log fields", field_table()) == page, (
        "run python -m sessions_platform.operations.log_lines docs/monitoring.md"
    )
    assert len(FIELDS) == 12


def test_the_table_is_once_in_the_page_under_logs() -> None:
    page = PAGE.read_text()
    assert page.count("<!-- log fields: ") == page.partition("\n## Logs\n")[2].count("<!-- log fields: ") == 2
    assert "|\n<!--" not in page  # no other table has its mark for a row


def test_a_command_says_text_or_json(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    say("a warning", "warning")
    assert capsys.readouterr().err == "a warning\n"
    monkeypatch.setenv("SESSIONS_LOG", "json")
    say("a warning", "warning")
    said = json.loads(capsys.readouterr().err)
    assert {**said, "timestamp": ""} == {
        "timestamp": "",
        "level": "warning",
        "logger": "sessions_platform.cli",
        "event": "a warning",
    }


def test_another_form_of_logs_is_reported_with_its_fix() -> None:
    with pytest.raises(SettingsError, match=r"SESSIONS_LOG: 'xml' is neither json nor text\. Fix: "):
        Settings.from_environment({"SESSIONS_LOG": "xml"})
