"""Canary secrets in every variable that holds one are found nowhere but in the environment."""

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from sessions_platform_tests.faults.commands import run_command
from sessions_platform_tests.faults.trial import Trial, Trials

pytestmark = pytest.mark.slow

URLS = ("SESSIONS_WAREHOUSE_URL", "DAGSTER_POSTGRES_URL")
KEYS = ("SESSIONS_ERASURE_KEY", "SESSIONS_PSEUDONYM_KEY")
_TABLES = """select table_schema, table_name from information_schema.tables
             where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')"""


def canaries(trial: Trial) -> dict[str, str]:
    """Each URL with a password of its own, of which the server accepts any; and keys that the stream needs."""
    stream = trial.folder / "streams" / "shop.yaml"
    stream.write_text(f"{stream.read_text()}pseudonymize: {{page_url: hmac}}\n")
    urls = {
        name: trial.environment[name].replace("postgres@", f"postgres:canary{secrets.token_hex(8)}@") for name in URLS
    }
    return {**urls, **{name: f"canary{secrets.token_hex(16)}" for name in KEYS}}


def secret_of(value: str) -> str:
    """The password of a URL; a key is a secret as a whole."""
    return value.split("@", maxsplit=1)[0].rsplit(":", 1)[1] if "://" in value else value


def forms(secret: str) -> list[bytes]:
    """How a secret may look where it is stored."""
    plain = secret.encode()
    return [plain, plain.hex().encode(), base64.b64encode(plain).rstrip(b"="), repr(secret).encode()]


def everything_stored(trial: Trial) -> Iterator[tuple[str, bytes]]:
    """All files of a trial, and all rows of its database: lake, ledger, warehouse, logs and Dagster's storage."""
    for file in sorted(trial.folder.rglob("*")):
        if file.is_file():
            yield str(file), file.read_bytes()
    with psycopg.connect(trial.settings.warehouse_url or "") as connection:
        for schema, name in connection.execute(_TABLES).fetchall():
            rows = connection.execute(SQL("select t::text from {} t").format(Identifier(schema, name))).fetchall()
            yield f"{schema}.{name}", "\n".join(row for (row,) in rows).encode()


def assert_absent(secrets_of: dict[str, str], places: list[tuple[str, bytes]]) -> None:
    found = [
        (name, place)
        for name, value in secrets_of.items()
        for place, content in places
        if any(form in content for form in forms(secret_of(value)))
    ]
    assert found == []


def test_no_secret_is_stored_or_printed_by_a_run_or_by_a_failure(trials: Trials) -> None:
    with trials.trial() as trial:
        urls = canaries(trial)
        files = [str(file) for file in sorted((trial.folder / "new").iterdir())]
        ingest = ["ingest", "shop", *files, "--partition", "2026-01-03", "--json"]
        printed = [run_command(trial, *ingest, **urls), run_command(trial, "sql", "select nothing", **urls)]
        printed.append(run_command(trial, "erase", "shop", "--user", "ann", **urls))
        assert [code for code, _ in printed] == [0, 2, 0]
        nowhere = urls["SESSIONS_WAREHOUSE_URL"].replace("?host=", "?host=/nowhere")
        printed.append(run_command(trial, "status", **{**urls, "SESSIONS_WAREHOUSE_URL": nowhere}))
        assert printed[-1][0] != 0
        places = [(f"output {number}", text.encode()) for number, (_, text) in enumerate(printed)]
        assert_absent(urls, places + list(everything_stored(trial)))


def test_the_search_finds_a_secret_that_is_stored(trials: Trials) -> None:
    with trials.trial() as trial:
        urls = canaries(trial)
        (trial.folder / "log").write_text(f"connecting to {urls[URLS[0]]}")
        with pytest.raises(AssertionError, match="log"):
            assert_absent(urls, list(everything_stored(trial)))
        (trial.folder / "log").unlink()
        with psycopg.connect(trial.settings.warehouse_url or "") as connection:
            connection.execute("create table public.note as select %s::text as note", [urls[URLS[1]]])
        with pytest.raises(AssertionError, match="note"):
            assert_absent(urls, list(everything_stored(trial)))


def test_no_pickle_is_stored(trials: Trials) -> None:
    with trials.trial() as trial:
        files = [str(file) for file in sorted((trial.folder / "new").iterdir())]
        code, error = run_command(trial, "ingest", "shop", *files, "--partition", "2026-01-03", "--json")
        assert code == 0, error
        stored = [file for file in trial.folder.rglob("*") if file.is_file()]
        assert [file for file in stored if is_pickle(file)] == []
        (trial.folder / "planted").write_bytes(b"\x80\x04\x95.")
        assert is_pickle(trial.folder / "planted")


def is_pickle(file: Path) -> bool:
    """By the first bytes of protocols 2 to 5."""
    with file.open("rb") as handle:
        start = handle.read(2)
    return file.suffix in {".pkl", ".pickle"} or (
        start[:1] == b"\x80" and start[1:] in {bytes([n]) for n in (2, 3, 4, 5)}
    )
