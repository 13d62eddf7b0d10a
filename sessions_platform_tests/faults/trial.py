"""A trial: a small stream with a lake, landing files and a database of its own, and what it contains.

Here: the stream's files, how a trial is made and thrown away in a tenth of a second (the lake is copied, and PostgreSQL
copies a database from a template), and the comparison of two states. Not here: what is done in a trial (`workload.py`
and the tests), and the sums over all trials (`report.py`).
"""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg.sql import SQL, Identifier, Literal

from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.opening import open_filesystem
from sessions_platform.storage.postgres import embedded
from sessions_platform_tests.faults.small_disks import small_disk
from sessions_platform_tests.faults.workload import STREAM, first, run
from sessions_platform_tests.streams import DAY_ONE, PLAIN

PROJECT = Path(__file__).parents[2]

_UNCOMPARED = {"loaded_at", "rejected_at", "run_id", "decided_at", "replayed_at", "changed_at", "decision_id"}
_numbers = itertools.count()

State = dict[str, Counter[str]]


@dataclass(frozen=True)
class Outcome:
    """What a trial ended with: rows that are missing, rows too many, and the first difference as text."""

    lost: int
    doubled: int
    difference: str


@dataclass(frozen=True)
class Trial:
    """A stream of its own, in `folder` and in a database; `lake` is where its lake is."""

    folder: Path
    settings: Settings
    _processes: list[subprocess.Popen[str]] = field(default_factory=list, compare=False)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its processes."""
        own = {
            "TRIAL": str(self.folder),
            "SESSIONS_HOME": str(self.settings.home),
            "SESSIONS_LAKE": self.settings.lake_url or str(self.settings.lake),
            "SESSIONS_SCRATCH": str(self.settings.scratch),
            "SESSIONS_STREAMS": str(self.folder / "streams"),
            "SESSIONS_WAREHOUSE_URL": self.settings.warehouse_url or "",
            "DAGSTER_POSTGRES_URL": self.settings.dagster_postgres_url or "",
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "PYTHONWARNINGS": "ignore",
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SESSIONS_", "DAGSTER_"))}
        return {**kept, **own}

    def open(self) -> StreamContext:
        """The stream, as a new process sees it."""
        return open_contexts(self.settings, [STREAM])[0]

    def run(self, command: str) -> None:
        """Run a command in this process, undisturbed."""
        run(command, self.open(), self.folder)

    def start(self, command: str, point: int = 0, number: int = signal.SIGKILL, **more: str) -> subprocess.Popen[str]:
        """Start a command in a process of its own, which gets a signal at a commit point."""
        program = ["-m", "sessions_platform_tests.faults.workload", command, str(point), str(int(number))]
        return self.python(*program, **more)

    def python(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start Python with these arguments, and the trial's variables."""
        environment = {**self.environment, **variables}
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=PROJECT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def end(self) -> None:
        """Kill what still runs, where a test has failed."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def state(self) -> State:
        """Everything that is published and loaded, each row as often as it is there."""
        context = self.open()
        context.prepare()
        tables = ("sessions", "rejected_events", "session_changes", "rejection_decisions")
        rows = {name: context.database.query(f"select * from {STREAM}.{name}") for name in tables}
        landings = context.ledger.landings()
        events = context.lake.scan([landing.events_path for landing in landings], context.event_columns)
        raw = context.raw_events([landing.landing_partition for landing in landings]).scan()
        rows["events"] = events.collect().to_dicts()
        rows["raw_events"] = raw.select("source_uri", "position", "payload").collect().to_dicts()
        return {name: Counter(map(_as_text, table)) for name, table in rows.items()}

    def pending(self) -> Mapping[str, list[str]]:
        """What `status` lists as pending."""
        return status(self.open())["pending"]


def finish(process: subprocess.Popen[str], seconds: float = 240) -> tuple[int, str]:
    """Wait for the end of a process; its exit code and its error output."""
    _, error = process.communicate(timeout=seconds)
    return process.returncode, error


def compare(expected: State, actual: State) -> Outcome:
    """The rows that one state has and the other does not."""
    lost = {name: expected[name] - actual[name] for name in expected}
    doubled = {name: actual[name] - expected[name] for name in expected}
    differences = [
        f"{word} in {name}: {rows.most_common(2)}"
        for word, tables in (("lost", lost), ("doubled", doubled))
        for name, rows in tables.items()
        if rows
    ]
    return Outcome(
        sum(rows.total() for rows in lost.values()),
        sum(rows.total() for rows in doubled.values()),
        "; ".join(differences)[:2000],
    )


def _as_text(row: dict[str, Any]) -> str:
    return str({name: value for name, value in row.items() if name not in _UNCOMPARED})


class Trials:
    """Makes trials on one server. Each begins as a copy of a stream with two days, loaded, or on an empty database.

    Args:
        folder: of the trials.
        server: where PostgreSQL is.
        lakes_url: the URL below which the trials' lakes are, where these are in an object store.
        write: writes the stream's files into the folder of a trial; by default ``write_stream``.
    """

    def __init__(
        self,
        folder: Path,
        server: Settings,
        lakes_url: str | None = None,
        write: Callable[[Path], None] | None = None,
    ) -> None:
        self._write = write or write_stream
        self._folder = folder
        self._lakes_url = lakes_url
        self.server_home = server.home
        self._databases = Settings.from_environment({"SESSIONS_HOME": str(server.home)})
        self._expected: dict[str, State] = {}
        self._points: dict[str, list[str]] = {}
        self._template = self._make(f"template_{next(_numbers)}", None)
        self._write(self._template.folder)
        first(self._template.open(), self._template.folder)

    @contextmanager
    def trial(self, command: str = "ingest") -> Iterator[Trial]:
        """A trial in which the command can be run; it is deleted at the end."""
        name = f"fault{next(_numbers)}"
        trial = self._make(name, None if command == "first" else self._template)
        if command == "first":
            self._write(trial.folder)
        try:
            yield trial
        finally:
            self._delete(trial)

    @contextmanager
    def empty(self) -> Iterator[Trial]:
        """A trial with an empty database and no files; it is deleted at the end."""
        trial = self._make(f"fault{next(_numbers)}", None)
        try:
            yield trial
        finally:
            self._delete(trial)

    @contextmanager
    def saved(self, trial: Trial) -> Iterator[Callable[[], None]]:
        """A copy of a trial's database, and a function that restores it."""
        name, copy = trial.folder.name, f"{trial.folder.name}_copy"

        def replace_by(source: str, target: str) -> None:
            terminate = "select pg_terminate_backend(pid) from pg_stat_activity where datname = {}"
            self._administrate(SQL(terminate).format(Literal(source)))
            self._administrate(SQL("drop database if exists {} with (force)").format(Identifier(target)))
            self._administrate(SQL("create database {} template {}").format(Identifier(target), Identifier(source)))

        replace_by(name, copy)
        try:
            yield lambda: replace_by(copy, name)
        finally:
            self._administrate(SQL("drop database {} with (force)").format(Identifier(copy)))

    def expected(self, command: str) -> State:
        """The state after the command, never disturbed."""
        if command not in self._expected:
            with self.trial(command) as trial:
                trial.run(command)
                self._expected[command] = trial.state()
        return self._expected[command]

    def points(self, command: str) -> list[str]:
        """The names of all commit points that the command passes."""
        if command not in self._points:
            self._points[command] = self.count_points(command)
        return self._points[command]

    def count_points(self, command: str) -> list[str]:
        """Run the command in a process with the variables of this one, and return the names of its commit points."""
        with self.trial(command) as trial:
            code, output = self.kill(trial, command, 0)
            assert code == 0, output
            return json.loads(output)

    @contextmanager
    def tablespace(self) -> Iterator[tuple[str, Path]]:
        """A tablespace on a small disk, which the test makes small; its name and folder."""
        name, folder = f"space{next(_numbers)}", self._folder / f"space{next(_numbers)}"
        folder.mkdir()
        with small_disk(folder, 64 * 1024):
            inner = folder / "data"
            inner.mkdir(mode=0o700)
            owner = (self.server_home / "postgres" / "cluster" / "data").stat()
            os.chown(inner, owner.st_uid, owner.st_gid)
            self._administrate(SQL("create tablespace {} location {}").format(Identifier(name), Literal(str(inner))))
            try:
                yield name, folder
            finally:
                self._administrate(SQL("drop tablespace {}").format(Identifier(name)))

    def kill_server(self) -> None:
        """Kill the server's first process; the others end once they notice."""
        pid = (self.server_home / "postgres" / "cluster" / "data" / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)

    def kill(self, trial: Trial, command: str, point: int) -> tuple[int, str]:
        """Run a command that is killed at a commit point; its exit code, and what it printed."""
        process = trial.start(command, point)
        output, error = process.communicate(timeout=240)
        return process.returncode, output or error

    def url(self, database: str) -> str:
        """The URL of a database of the server."""
        return embedded.attach(self.server_home).url(database)

    def _make(self, name: str, template: Trial | None) -> Trial:
        folder = self._folder / name
        if template is None:
            folder.mkdir(parents=True)
        else:
            shutil.copytree(template.folder, folder)
        source = SQL("template {} strategy wal_log").format(Identifier(template.folder.name)) if template else SQL("")
        self._administrate(SQL("create database {} {}").format(Identifier(name), source))
        settings = replace(
            self._databases,
            home=folder / "home",
            lake=folder / "lake",
            streams=(folder / "streams",),
            warehouse_url=self.url(name),
            dagster_postgres_url=self.url(name),
            lake_url=f"{self._lakes_url}/{name}" if self._lakes_url else None,
        )
        if template and self._lakes_url:
            _copy_lake(template.settings, settings)
        return Trial(folder, settings)

    def _delete(self, trial: Trial) -> None:
        trial.end()
        self._administrate(SQL("drop database {} with (force)").format(Identifier(trial.folder.name)))
        shutil.rmtree(trial.folder, ignore_errors=True)

    def _administrate(self, statement: Any) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


def _copy_lake(source: Settings, target: Settings) -> None:
    here, there = open_filesystem(source), open_filesystem(target)
    for path in here.list(STREAM):
        with here.local(path) as local, there.draft(path.rpartition("/")[0]) as draft:
            shutil.copyfile(local, draft)
            there.put_if_absent(path, draft)


def write_stream(folder: Path) -> None:
    """A stream whose first two days have landed, and the files of a third one.

    Users have sessions over midnight, some rows are rejected, one event is delivered on two days, and the new files
    have late events for sessions of the first day.
    """
    streams = folder / "streams"
    for day in (1, 2):
        write_lines(streams / "landing" / f"2026-01-0{day}" / "a.ndjson", _day(day))
    write_lines(streams / "landing" / "2026-01-02" / "late.ndjson", [_event("ann", 40, "late-0"), *_day(1)[:1]])
    write_lines(folder / "new" / "third.ndjson", _day(3))
    write_lines(folder / "new" / "late.ndjson", [_event("bob", 45, "late-1"), _event(None, 46, "late-2")])
    (streams / "shop.yaml").write_text(yaml.safe_dump({**PLAIN, "name": STREAM, "end": "2026-01-06"}, sort_keys=False))


def _day(day: int) -> list[str]:
    moments = [
        (user, 60 * hour + minute) for user in ("ann", "bob", "eve") for hour in (1, 23) for minute in (0, 20, 50)
    ]
    start = 1440 * (day - 1)
    lines = [_event(user, start + minute, f"{user}-{day}-{minute}") for user, minute in moments]
    return [*lines, _event(None, start + 5, f"nobody-{day}"), "{broken"]


def _event(user: str | None, minute: int, name: str) -> str:
    moment = DAY_ONE + timedelta(minutes=minute)
    return json.dumps({"id": name, "user": user, "ts": moment.isoformat(), "type": "view", "url": f"/{name}"})


def write_lines(file: Path, lines: list[str]) -> None:
    """A landing file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))
