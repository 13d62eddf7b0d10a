"""Commands as processes: behind a terminal of any size, into a pipe that closes, to a full disk, and without any."""

import os
import subprocess
from pathlib import Path

import polars as pl
import pytest

from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.database import Database
from sessions_platform_tests.cli.terminal import Terminal, command, environment, in_terminal

pytestmark = pytest.mark.slow

MANY = "select i, md5(i::text) as hash from generate_series(1, 2000000) i"
WIDE = (
    "select 'ann' as user_id, now() as session_start, repeat('x', 50) as note, repeat('y', 50) as other, n "
    "from generate_series(1, 30) n"
)


@pytest.fixture
def home(settings: Settings, database: Database) -> Path:
    """A home whose server runs."""
    database.query("select 1")
    return settings.home


def run(home: Path, *arguments: str, **others: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), env=environment(home, **others), capture_output=True, text=True, check=False
    )


def in_shell(home: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of bash, in which "$@" is the command."""
    run = ["bash", "-o", "pipefail", "-c", script, "bash", *command(*arguments)]
    return subprocess.run(run, env=environment(home), capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("columns", "first"), [(40, "── 1 ──"), (80, "user_id"), (132, "user_id")])
def test_a_terminal_gets_a_table_of_its_width_or_records(home: Path, columns: int, first: str) -> None:
    printed = in_terminal(home, "sql", WIDE, columns=columns, NO_COLOR="1")
    assert printed.code == 0
    assert printed.lines[0].startswith(first)
    assert max(map(len, printed.lines)) <= columns
    assert "\x1b" not in printed.text


def test_a_terminal_gets_colours_where_it_takes_them(home: Path) -> None:
    assert "\x1b[1m" in in_terminal(home, "sql", "select 1 as a").text
    assert "\x1b" not in in_terminal(home, "sql", "select 1 as a", TERM="dumb").text


def test_a_terminal_gets_no_byte_that_it_would_obey(home: Path) -> None:
    for form in ("table", "record", "csv", "ndjson", "json"):
        text = in_terminal(home, "sql", r"select E'a\x1b[2J\x07' as a", "--format", form, NO_COLOR="1").text
        assert "\x1b" not in text
        assert "\x07" not in text


def test_a_pipe_gets_csv(home: Path) -> None:
    done = run(home, "sql", r"select 1 as a, null::text as b, E'\x1b' as c")
    assert (done.stdout, done.returncode) == ("a,b,c\n1,,\x1b\n", 0)


def test_a_file_has_the_format_of_its_name_and_is_whole_or_not_there(home: Path, tmp_path: Path) -> None:
    assert run(home, "sql", "select 1 as a", "-o", str(tmp_path / "a.parquet")).returncode == 0
    assert pl.read_parquet(tmp_path / "a.parquet").to_dicts() == [{"a": 1}]
    failed = run(
        home, "sql", "select 1 / (9000 - x) as a from generate_series(1, 9000) x", "-o", str(tmp_path / "b.csv")
    )
    assert failed.returncode == 2
    assert "division by zero" in failed.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["a.parquet"]


def test_parquet_is_not_printed_to_a_terminal(home: Path) -> None:
    printed = in_terminal(home, "sql", "select 1", "--format", "parquet", NO_COLOR="1")
    assert printed.code == 2
    assert "Fix: name a file with --output FILE." in printed.text


@pytest.mark.parametrize("form", ["csv", "json", "parquet", "table"])
def test_a_pipe_that_closes_ends_the_command_without_a_word(home: Path, form: str) -> None:
    done = in_shell(home, '"$@" | head -c 20 > /dev/null', "sql", MANY, "--format", form)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_is_a_sentence(home: Path) -> None:
    done = in_shell(home, '"$@" > /dev/full', "sql", "select 1")
    assert done.returncode == 1
    assert done.stderr == "standard output: the disk is full. Fix: free space, then run again.\n"


@pytest.mark.parametrize(("query", "code"), [("select 1", 0), ("selec", 2)])
def test_without_any_standard_stream_a_command_has_its_exit_code(home: Path, query: str, code: int) -> None:
    assert in_shell(home, '"$@" <&- >&- 2>&-', "sql", query).returncode == code


def test_a_closed_standard_output_is_no_other_file(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    done = in_shell(home, '"$@" <&- >&-', "sql", "select 1 as a", "-o", str(file))
    assert (done.returncode, done.stderr, file.read_text()) == (0, "", "a\n1\n")


def test_an_interrupt_ends_a_query_with_130_and_cancels_it_on_the_server(home: Path, database: Database) -> None:
    query = "select 'first' as a union all select pg_sleep(600)::text"
    run = command("sql", f"{query} /* interrupted {os.getpid()} */")
    terminal = Terminal(run, columns=80, lines=24, environment=environment(home))
    running = f"""select count(*) as n from pg_stat_activity where query like '%interrupted {os.getpid()}%'
        and pid <> pg_backend_pid() and state = 'active'"""
    while database.query(running) == [{"n": 0}]:
        pass
    terminal.interrupt()
    printed = terminal.end()
    assert printed.code == 130
    assert "Traceback" not in printed.text
    assert database.query(running) == [{"n": 0}]
