"""Every command block of README.md and docs/ runs: shell, Python and SQL, in the order of the pages, in one home.

A line that can't run is in `NOT_RUN`, with the reason; every other line has to end with exit code 0. What stands in the
pages for something of the reader's, such as ids of rows, is in `IN_PLACE_OF`. Not here: streams in YAML (`test_docs`).
"""

import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sessions_platform.storage.postgres import embedded
from sessions_platform.storage.postgres.embedded.programs import PROGRAMS
from sessions_platform_tests.test_docs import PAGES, PROJECT

pytestmark = pytest.mark.slow

COMMANDS = ("sh", "python", "sql")
OTHERS = ("", "yaml", "mermaid", "text", "nginx")
BLOCK = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)

# Whole blocks, by page and by how the first line begins.
NOT_RUN_BLOCKS = {
    ("coming-from.md", "select theirs.*"): "it joins a table that another tool's model made",
    ("coming-from.md", "create view segment_sessions"): "it is for whoever may write, and reads a stream of Segment's",
    (
        "operations.md",
        "pip install 'sessions-platform[object-stores]'",
    ): "it needs a bucket; tests in servers have one",
    ("embedding.md", "import dagster as dg"): "it is of a project of the reader's; test_embedding merges the same",
    ("embedding.md", "streams = sessions_platform"): "the same",
    ("enrichment.md", "def section"): "it is of a package of the reader's; test_own_function has its like",
    ("targets.md", "_, partition, session = redis"): "no Redis runs here; test_redis_target reads the same keys",
    ("identity.md", "select "): "no stream of these pages has an identity; test_identity asks",
    ("sources.md", "alter table public.events"): "it is for the server of the source, which has the table",
    ("sources.md", "sessions-platform ingest shop --from"): "it asks a server; test_backfill does",
}
# By page and by how the line begins.
NOT_RUN = {
    ("targets.md", "sessions-platform deliver"): "the demo has no targets; orchestration/test_deliveries.py runs it",
    ("README.md", "make demo"): "the same command without installing: the tests begin with it",
    ("README.md", "make test"): "it runs the tests",
    ("README.md", "make dev"): "it does not end; the tests in browser/ start it",
    ("README.md", ".venv/bin/dagster dev"): "it does not end; `make dev` starts the same",
    ("monitoring.md", "sessions-platform alerts --test"): "its channels are examples; test_alerts sends it",
    ("monitoring.md", "sessions-platform alerts   "): "the same, and where something fires it ends with 3",
    ("monitoring.md", "sessions-platform alerts --dry-run"): "the same",
    ("monitoring.md", "sessions-platform metrics       "): "it does not end; test_metrics serves the same",
    ("reading-the-lake.md", "events_in_spark ="): "Spark is not installed",
    ("reading-the-lake.md", "import connectorx"): "connectorx is not installed",
    ("reading-the-lake.md", "sessions = connectorx"): "connectorx is not installed",
    ("reading-the-lake.md", "sessions = pl.read_database_uri"): "connectorx is not installed",
}
NOT_REPAIRED = """select rejection_id from web_shop.dead_letters
    where status = 'open' and not reasons @> '[{"code": "missing_identity"}]' order by 1"""
# By page: a text, and the query of the value that stands for it.
IN_PLACE_OF = {
    "dead-letters.md": {
        "0f8fad5b": f"{NOT_REPAIRED} limit 1",
        "7c9e6679": f"{NOT_REPAIRED} offset 1 limit 1",
    },
    "operations.md": {"u-269e0d37": "select user_id from web_shop.sessions order by 1 limit 1"},
}
REPAIRS = """#!{python}
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
for row in rows:
    found = json.loads(row["payload"])
    row["payload"] = json.dumps({{**found, "user": {{"id": "repaired"}}, "anonymous_id": "repaired"}})
open(sys.argv[1], "w").writelines(json.dumps(row) + chr(10) for row in rows)
"""


@dataclass(frozen=True)
class Block:
    """A block of a page, without the lines that do not run."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(PROJECT)}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in BLOCK.finditer(text):
        kept = [line for line in match[2].splitlines() if not is_left_out(page, line)]
        yield Block(page, text.count("\n", 0, match.start()) + 1, match[1], "\n".join(kept))


def commands(page: Path) -> list[Block]:
    left_out = [begins for name, begins in NOT_RUN_BLOCKS if name == page.name]
    return [
        block for block in blocks(page)
        if block.language in COMMANDS and block.text.strip() and not block.text.startswith(tuple(left_out))
    ]  # fmt: skip


def is_left_out(page: Path, line: str) -> bool:
    return any(page.name == name and line.startswith(begins) for name, begins in NOT_RUN)


@dataclass(frozen=True)
class Place:
    """A folder like the project's root, and a HOME, where all blocks run."""

    root: Path
    home: Path

    @property
    def platform_home(self) -> Path:
        return self.home / ".sessions_platform"

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SESSIONS_", "DAGSTER_"))}
        wheel = next((PROJECT / ".venv").glob(f"lib/python3.*/site-packages/{PROGRAMS}"))
        return {
            **kept,
            "HOME": str(self.home),
            "PATH": f"{PROJECT / '.venv/bin'}:{wheel}:{os.environ['PATH']}",
            "EDITOR": str(self.home / "repair"),
            "ADMINISTRATORS_URL": embedded.attach(self.platform_home).url("sessions"),
            "SESSIONS_STREAMS": str(self.home / "streams"),
        }

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, check=False, timeout=1200
        )
        assert done.returncode == 0, (
            f"{command[-1]}\nexit code {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-3000:]}"
        )
        return done.stdout

    def value(self, query: str) -> str:
        return self.run("sessions-platform", "sql", query).splitlines()[1]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """The demo has run there. Its files are links to the project's, so that a block may write beside them."""
    with tempfile.TemporaryDirectory(prefix="docs-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server's user has to enter
        place = Place(folder / "root", folder / "home")
        for path in (place.root, place.home, place.home / "streams", place.home / "export"):
            path.mkdir()
        for path in PROJECT.iterdir():
            (place.root / path.name).symlink_to(path)
        editor = place.home / "repair"
        editor.write_text(REPAIRS.format(python=sys.executable))
        editor.chmod(0o755)
        (place.root / "ids.txt").write_text("nobody\n")
        place.platform_home.mkdir()
        server = embedded.attach(place.platform_home)
        place.run("sessions-platform", "demo")
        yield place
        server.close()


def exports_for(page: Path, place: Place) -> None:
    """What the reader of a page has in ~/export."""
    export = place.home / "export"
    for file in export.iterdir():
        file.unlink()
    users = [
        (f"u{n % 9}", f"2026-03-0{1 + n % 2}T{10 + n // 9}:{n % 60:02}:00Z", ("view", "buy")[n % 2]) for n in range(90)
    ]
    if page.name == "README.md":
        lines = [json.dumps({"user": {"id": user}, "ts": ts, "event": kind, "url": "/"}) for user, ts, kind in users]
        (export / "a.ndjson").write_text("\n".join([*lines, ""]))
    else:
        text = "user,ts,event,url\n" + "".join(f"{user},{ts},{kind},/\n" for user, ts, kind in users)
        (export / "a.csv.gz").write_bytes(gzip.compress(text.encode()))


def run_shell(place: Place, text: str) -> None:
    place.run("bash", "-e", "-o", "pipefail", "-c", text)


def run_python(place: Place, text: str) -> None:
    place.run(sys.executable, "-c", text)


def run_sql(place: Place, text: str) -> None:
    """One statement after the other; by DuckDB where it reads files."""
    if "read_parquet" in text:
        place.run(sys.executable, "-c", f"import duckdb\nduckdb.sql({text!r})")
        return
    for statement in re.split(r";\s*(?:\n|$)", text):
        if statement.strip():
            place.run("sessions-platform", "sql", "--", statement)  # it may begin with a comment


RUN: dict[str, Callable[[Place, str], None]] = {"sh": run_shell, "python": run_python, "sql": run_sql}


@pytest.mark.xdist_group("docs")
@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_every_command_block_of_a_page_runs(page: Path, place: Place) -> None:
    exports_for(page, place)
    values = {text: place.value(query) for text, query in IN_PLACE_OF.get(page.name, {}).items()}
    for block in commands(page):
        text = block.text
        for stands, value in values.items():
            text = text.replace(stands, value)
        try:
            RUN[block.language](place, text)
        except AssertionError as failed:
            pytest.fail(f"{block.place}: {failed}", pytrace=False)


def test_every_block_is_of_a_known_language_and_every_exception_is_a_line_of_its_page() -> None:
    languages = {block.language for page in PAGES for block in blocks(page)}
    assert languages <= {*COMMANDS, *OTHERS}
    lines = {(page.name, line) for page in PAGES for line in page.read_text().splitlines()}
    stale = [
        key
        for key in {**NOT_RUN, **NOT_RUN_BLOCKS}
        if not any(name == key[0] and line.startswith(key[1]) for name, line in lines)
    ]
    assert stale == []
