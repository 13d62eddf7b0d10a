"""Ctrl-C in a terminal amid a command: the whole process group gets it, and a sentence is all that is to be seen."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from sessions_platform.storage.postgres.database import lock
from sessions_platform_tests.cli.terminal import Terminal, command
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.dev_process import eventually

pytestmark = pytest.mark.slow

LINES = [
    {"id": "1", "user": "ann", "ts": "2026-01-01T10:00:00Z", "type": "view"},
    {"id": "2", "user": "bob", "ts": "2026-01-01T11:00:00Z", "type": "view"},
    {"id": "3", "user": None, "ts": "2026-01-01T12:00:00Z", "type": "view"},
]


@contextmanager
def held(home: Home) -> Iterator[None]:
    """Hold the stream's lock, for which a command waits when it is about to publish."""
    with home.stream_context.database.transaction() as connection:
        lock(connection, f"sessions_platform/{home.name}")
        yield


@contextmanager
def unreadable(home: Home) -> Iterator[None]:
    """Hold the table of sessions, for which a command waits that only reads."""
    with home.stream_context.database.transaction() as connection:
        connection.execute(f"lock table {home.name}.sessions in access exclusive mode".encode())
        yield


def is_waiting(home: Home) -> bool:
    sql = "select 1 from pg_locks where not granted"
    return bool(home.stream_context.database.query(sql))


def interrupted_while_it_waits(
    home: Home, *arguments: str, by: Callable[[Home], AbstractContextManager[None]] = held
) -> None:
    with by(home):
        terminal = Terminal(command(*arguments), columns=80, lines=24, environment=home.environment)
        eventually(lambda: is_waiting(home), "the command does not come to publish anything")
        terminal.interrupt()
        printed = terminal.end()
    assert printed.code == 130, printed.text
    assert "Traceback" not in printed.text
    assert "KeyboardInterrupt" not in printed.text


def done(home: Home, *arguments: str) -> None:
    terminal = Terminal(command(*arguments), columns=80, lines=24, environment=home.environment)
    printed = terminal.end()
    assert printed.code == 0, printed.text


def users(home: Home) -> list[str]:
    return sorted(row["user_id"] for row in home.table())


def test_ingest_run_and_replay_that_are_interrupted_lose_nothing_and_show_no_traceback(
    home: Home, tmp_path: Path
) -> None:
    home.stream_context.prepare()
    file = tmp_path / "a.ndjson"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in LINES))
    ingest = ("ingest", home.name, str(file), "--partition", "2026-01-01")
    interrupted_while_it_waits(home, *ingest)
    assert users(home) == []
    interrupted_while_it_waits(home, "run", home.name)
    done(home, *ingest)
    assert users(home) == ["ann", "bob"]

    exported = tmp_path / "rejected.ndjson"
    done(home, "rejected", "export", home.name, "--to", str(exported))
    row = json.loads(exported.read_text())
    exported.write_text(json.dumps({**row, "payload": row["payload"].replace("null", '"cleo"')}))
    interrupted_while_it_waits(home, "rejected", "replay", str(exported))
    done(home, "rejected", "replay", str(exported))
    assert users(home) == ["ann", "bob", "cleo"]
    assert [row["status"] for row in home.table("dead_letters")] == ["resolved"]


def test_rebuild_erase_and_verify_that_are_interrupted_lose_nothing_and_can_be_run_again(
    home: Home, tmp_path: Path
) -> None:
    file = tmp_path / "a.ndjson"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in LINES))
    done(home, "ingest", home.name, str(file), "--partition", "2026-01-01")
    before = home.table()

    interrupted_while_it_waits(home, "verify", home.name, by=unreadable)
    done(home, "verify", home.name)

    interrupted_while_it_waits(home, "rebuild", home.name)
    assert home.table() == before
    done(home, "rebuild", home.name)
    assert users(home) == ["ann", "bob"]

    erase = ("erase", home.name, "--user", "ann")
    interrupted_while_it_waits(home, *erase)
    assert "bob" in users(home)
    done(home, *erase)
    assert users(home) == ["bob"]
    done(home, "verify", home.name)
