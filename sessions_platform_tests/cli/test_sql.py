"""What `sessions-platform sql` and the other commands print of values that come from anywhere."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from sessions_platform.cli import app
from sessions_platform.cli.output import json_of, print_document, print_table
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.postgres.row_names import distinct

HOSTILE = "\x1b[2J\x1b]0;mine\x07 \x9b31m \u202egnp.exe \x00 \r over"


def strictly(text: str) -> Any:
    """JSON as every parser has to take it."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def obeyed(text: str) -> set[str]:
    return {
        character for character in text if character != "\n" and (ord(character) < 32 or character in "\x7f\x9b\u202e")
    }


def test_no_control_character_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{HOSTILE: HOSTILE}])
    print_document({"a": HOSTILE}, as_json=False)
    print_document({"a": HOSTILE}, as_json=True)
    out = capsys.readouterr().out
    assert obeyed(out) == set()
    assert r"\x1b[2J" in out
    assert strictly(out.splitlines()[-1]) == {"a": HOSTILE}  # in JSON nothing is lost


def test_a_name_in_brackets_is_no_style(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"[red]a": "[bold]b"}])
    out = capsys.readouterr().out
    assert "[red]a" in out
    assert "[bold]b" in out


def test_every_number_is_valid_json(database: Database) -> None:
    rows = database.query("""select 'NaN'::float8 as nan, '-Infinity'::float8 as least, 'Infinity'::float4 as most,
        'NaN'::numeric as exact, array['NaN'::float8, 1] as list, 1.5::float8 as number""")
    assert strictly(json_of(rows)) == [
        {"nan": "NaN", "least": "-Infinity", "most": "Infinity", "exact": "NaN", "list": ["NaN", 1.0], "number": 1.5}
    ]


def test_columns_of_one_name_are_all_kept(database: Database) -> None:
    assert database.query('select 1 as a, 2 as a, 3 as a_2, 4 as b, 5 as a') == [
        {"a": 1, "a_3": 2, "a_2": 3, "b": 4, "a_4": 5}
    ]  # fmt: skip
    assert distinct(["?column?", "?column?"]) == ["?column?", "?column?_2"]


@pytest.mark.parametrize(
    "query", ["-- a comment\nselect 1 as a", "--comment\nselect 1 as a", "select 1 as a", "select 1 as a -- b"]
)
def test_a_query_may_begin_with_a_comment(query: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONS_HOME", str(settings.home))
    for arguments in ([query, "--json"], ["--format", "json", query]):
        printed = CliRunner().invoke(app, ["sql", *arguments])
        assert (printed.exit_code, printed.stdout) == (0, '[{"a": 1}]\n'), printed.output


def test_an_option_that_there_is_not_is_no_query(tmp_path: Path) -> None:
    for option in ("--formt=csv", "--formt", "--outputs=a file.csv"):
        refused = CliRunner().invoke(app, ["sql", option, "select 1"], env={"SESSIONS_HOME": str(tmp_path)})
        assert refused.exit_code == 2
        assert "No such option" in refused.output
