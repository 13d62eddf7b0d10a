"""A user of the demo is erased from the command line and by the job: a byte search of everything finds nothing."""

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from sessions_platform.storage.postgres import embedded

pytestmark = pytest.mark.slow

STREAM = "web_shop"
PROGRAM = [str(Path(sys.executable).parent / "sessions-platform")]
TABLES = """select table_schema, table_name from information_schema.tables
            where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"""
USERS_IN_SAMPLES = r"""select distinct found[1] from event_logs,
    regexp_matches(event, '"payload": "[^}]*?(u-[0-9a-f]{8})', 'g') as found order by 1"""
OTHERS = "select * from web_shop.sessions where user_id <> all(%s) order by session_id"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("demo")
    home.chmod(0o755)
    server = embedded.attach(home)
    run(home, *PROGRAM, "demo")
    yield home
    server.close()


def run(home: Path, *command: str) -> str:
    environment = {**os.environ, "SESSIONS_HOME": str(home)}
    if command[0] == sys.executable:  # Dagster's own command
        environment["DAGSTER_HOME"] = str(home / "dagster")
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout


def query(home: Path, database: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(embedded.attach(home).url(database)) as connection:
        return connection.execute(sql, values or None).fetchall()  # type: ignore[arg-type]


def in_databases(home: Path, word: str) -> list[str]:
    found = []
    for database in ("sessions", "dagster"):
        with psycopg.connect(embedded.attach(home).url(database)) as connection:
            for schema, table in connection.execute(TABLES).fetchall():
                count = SQL("select count(*) from {} t where position(%s in t::text) > 0")
                row = connection.execute(count.format(Identifier(schema, table)), [word]).fetchone()
                if row != (0,):
                    found.append(f"{database}: {schema}.{table}: {row}")
    return found


def in_files(home: Path, word: str) -> list[str]:
    """The files of lake, landing folder and Dagster that contain the word: in bytes, decompressed or as Parquet."""
    found = []
    for folder in ("lake", "landing", "dagster"):
        for file in filter(Path.is_file, (home / folder).rglob("*")):
            content = file.read_bytes()
            texts = [content, gzip.decompress(content) if content.startswith(b"\x1f\x8b") else b""]
            if content.startswith(b"PAR1"):
                frame = pl.read_parquet(file)
                binary = [name for name, dtype in frame.schema.items() if dtype == pl.Binary]
                texts += [b"\n".join(value or b"" for value in frame[name]) for name in binary]
                texts.append(frame.drop(binary).write_ndjson().encode())
            if any(word.encode() in text for text in texts):
                found.append(str(file))
    return found


def test_a_byte_search_of_everything_finds_nothing_of_a_user_of_the_demo(home: Path) -> None:
    in_samples = {user for (user,) in query(home, "dagster", USERS_IN_SAMPLES)}
    with_sessions = {user for (user,) in query(home, "sessions", "select distinct user_id from web_shop.sessions")}
    first, second = sorted(in_samples & with_sessions)[:2]
    assert in_databases(home, first)
    assert in_files(home, first)
    others = query(home, "sessions", OTHERS, [first, second])
    receipt = json.loads(run(home, *PROGRAM, "erase", STREAM, "--user", first, "--json"))
    assert receipt["erased_raw_rows"]["owner"] > 0
    assert receipt["redacted"]["dagster_records"] > 0
    assert receipt["left"] == []
    # the second one by the job, whose configuration names a file
    users = home / "users.txt"
    users.write_text(f"{second}\n")
    config = json.dumps({"ops": {f"{STREAM}__erase_users": {"config": {"users_file": str(users)}}}})
    job = ["-m", "dagster", "job", "execute", "-m", "sessions_platform.definitions", "-j", f"{STREAM}__erase"]
    (home / "config.yaml").write_text(config)
    run(home, sys.executable, *job, "-c", str(home / "config.yaml"))
    for user in (first, second):
        assert re.fullmatch("u-[0-9a-f]{8}", user)
        assert in_databases(home, user) == []
        assert in_files(home, user) == []
    assert query(home, "sessions", OTHERS, [first, second]) == others
    status = json.loads(run(home, *PROGRAM, "status", STREAM, "--json"))
    assert status["raw_rows"] == status["accepted"] + status["rejected"] + status["duplicates"]
    assert status["pending"] == {"landing": [], "session": []}
