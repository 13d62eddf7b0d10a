"""Checking streams without a database: each problem of a file, a landing path or a reference, and its line."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from sessions_platform.cli import app
from sessions_platform.errors import UserError
from sessions_platform.operations.check import check_streams
from sessions_platform.settings import Settings

STREAM = """\
name: web
start: 2026-01-01
source:
  files: landing/*.ndjson
  format: ndjson
columns:
  user_id: {from: u}
  event_timestamp: {from: t, formats: [epoch_ms]}
  event_type: {from: e, references: {file: types.csv, column: name}}
  page_url: {from: p, nullable: true}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one stream, its reference, and a landing file."""
    (tmp_path / "web.yaml").write_text(STREAM)
    (tmp_path / "types.csv").write_text("name\nview\n")
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "a.ndjson").touch()
    return tmp_path


def settings_of(folder: Path) -> Settings:
    return Settings(home=folder / "home", lake=folder / "lake", streams=(folder,))


def problems(folder: Path, *names: str) -> dict[str, tuple[str, ...]]:
    return {each.name: each.problems for each in check_streams(settings_of(folder), names)}


def test_a_stream_that_can_be_used_is_ok_and_nothing_is_made(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    (checked,) = check_streams(settings_of(folder))
    assert (checked.name, checked.problems, checked.notes) == ("web", (), ())
    assert sorted(folder.rglob("*")) == before


def test_a_rule_like_another_programs_is_shown_with_its_keys(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "web.yaml").write_text(STREAM + "session: {like: amplitude, gap: 20m}\n")
    (checked,) = check_streams(settings_of(folder))
    assert checked.document["session"] == {"gap": "20m", "like": "amplitude", "passive": ["session_end"]}
    monkeypatch.setenv("SESSIONS_HOME", str(folder / "home"))
    monkeypatch.setenv("SESSIONS_STREAMS", str(folder))
    shown = CliRunner().invoke(app, ["check", "web"]).output
    assert '  session: like amplitude, which is {"gap": "20m", "passive": ["session_end"]}\n' in shown


def test_a_landing_path_without_a_file_is_a_note_that_says_what_lies_near(folder: Path) -> None:
    (folder / "landing" / "a.ndjson").rename(folder / "landing" / "a.json")
    (checked,) = check_streams(settings_of(folder))
    assert checked.problems == ()
    (note,) = checked.notes
    assert note.startswith("no file matches landing/*.ndjson")
    assert ".json" in note


@pytest.mark.parametrize(
    ("column", "fix"),
    [
        ("seite: {from: p, nullable: true}", "call the column of the page page_url."),
        ("seite: {from: page_location, nullable: true}", "if seite is the page, call that column page_url."),
        ("landing_url: {from: p, nullable: true}", "if landing_url is the page, call that column page_url."),
        ("referrer_url: {from: p, nullable: true}", "call the column of the page page_url."),
    ],
)
def test_a_page_that_is_called_otherwise_is_a_note_since_entry_pages_would_be_null(
    folder: Path, column: str, fix: str
) -> None:
    (folder / "web.yaml").write_text(STREAM.replace("page_url: {from: p, nullable: true}", column))
    (checked,) = check_streams(settings_of(folder))
    (note,) = checked.notes
    assert note.startswith("entry_page and exit_page are null, since they are read from a column page_url, ")
    assert note.endswith(f"Fix: {fix}")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "types.csv can't be read: No such file or directory"),
        ("name\n", "has no values"),
        ("kind\nview\n", "has no values"),
    ],
    ids=["missing", "empty", "without the column"],
)
def test_a_reference_that_can_not_be_used_is_told_with_the_line_that_names_it(
    folder: Path, content: str | None, reason: str
) -> None:
    file = folder / "types.csv"
    file.unlink() if content is None else file.write_text(content)
    (problem,) = problems(folder)["web"]
    assert problem.startswith(f"{folder / 'web.yaml'}:9: columns.event_type.references: ")
    assert reason in problem
    assert "Fix: " in problem


def test_a_broken_file_hides_no_other_and_only_the_streams_that_are_asked_for_are_shown(folder: Path) -> None:
    (folder / "shop.yaml").write_text(STREAM.replace("name: web", "name: shop").replace("2026-01-01", "2026-13-01"))
    found = problems(folder)
    assert list(found) == ["shop", "web"]
    assert [problem.partition(": ")[0] for problem in found["shop"]] == [f"{folder / 'shop.yaml'}:2"]
    assert found["web"] == ()
    assert list(problems(folder, "web")) == ["web"]
    with pytest.raises(UserError, match="nix: there is no such stream"):
        check_streams(settings_of(folder), ["web", "nix"])


def test_the_command_exits_with_2_where_a_stream_has_problems(folder: Path) -> None:
    environment = {"SESSIONS_STREAMS": str(folder), "SESSIONS_HOME": str(folder / "home")}

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, ["check", "web", *arguments], env=environment)

    shown = run()
    assert (shown.exit_code, shown.output) == (0, "web: ok\n")
    (folder / "types.csv").unlink()
    shown = run("--json")
    (document,) = json.loads(shown.output)
    assert (shown.exit_code, document["stream"], len(document["problems"])) == (2, "web", 1)
    assert run().output.splitlines()[:1] == ["web: 1 problem"]


def test_a_stream_is_shown_with_the_keys_of_its_preset_and_of_the_program_that_it_is_like(folder: Path) -> None:
    (folder / "shop.yaml").write_text(
        "name: shop\nstart: 2026-01-01\nsource: {preset: segment_http, files: landing/*}\n"
        "session: {like: posthog, gap: 1h}\n"
    )
    environment = {"SESSIONS_STREAMS": str(folder), "SESSIONS_HOME": str(folder / "home")}
    shown = CliRunner().invoke(app, ["check", "shop", "--expanded"], env=environment, catch_exceptions=False).output
    keys = yaml.safe_load(shown)
    assert keys["source"]["events"] == "batch"
    assert keys["columns"]["event_id"] == {"from": "messageId"}
    assert keys["session"] == {"gap": "1h", "max_length": "24h"}
    assert "preset segment_http" in shown


def test_a_broken_stream_is_not_expanded(folder: Path) -> None:
    (folder / "web.yaml").write_text(STREAM + "session: {gap: 3}\n")
    (checked,) = check_streams(settings_of(folder))
    assert checked.problems
    assert checked.expanded is None


def test_files_are_checked_by_themselves_in_whatever_folder_they_are(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pre-commit names them, below the working folder."""
    (folder / "broken.yaml").write_text(STREAM.replace("page_url", "page url"))
    monkeypatch.chdir(folder.parent)
    names = [f"{folder.name}/web.yaml", f"{folder.name}/broken.yaml", f"{folder.name}/gone.yaml"]
    checked = check_streams(Settings(folder / "home", folder / "lake", (folder / "nowhere",)), names)
    assert [(each.name, bool(each.problems)) for each in checked] == [
        ("web", False),
        (names[1], True),
        (names[2], True),
    ]
    assert f"{folder}/broken.yaml:10: columns.page url: " in checked[1].problems[0]
    assert "gone.yaml: file: No such file" in checked[2].problems[0]
    (hook,) = yaml.safe_load((Path(__file__).parents[2] / ".pre-commit-hooks.yaml").read_text())
    assert hook["entry"] == "sessions-platform check"
