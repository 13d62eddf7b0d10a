"""Whether this installation can work: its environment, folders, disk, database and streams, each finding with its fix.

Nothing is made and no server is started, but for an object that is written to the lake's bucket, where it has one, and
deleted again. Not here: Dagster's instance and daemon (`orchestration/doctor.py`), what is
stored (`verify.py`), and how findings are shown (`cli`).
"""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sessions_platform.errors import UserError
from sessions_platform.settings import ALERT_URL, Settings, scanner_is_on

_PYTHONS = ((3, 11), (3, 13))
_PACKAGES = ("sessions-platform", "dagster", "dagster-webserver", "polars", "psycopg", "pyarrow", "pandera", "pydantic")
_SECRETS = ("SESSIONS_ERASURE_KEY", "SESSIONS_PSEUDONYM_KEY")
_URLS = ("SESSIONS_WAREHOUSE_URL", "SESSIONS_READER_URL", "DAGSTER_POSTGRES_URL")
_LITTLE_DISK, _NO_DISK = 5 * 10**9, 5 * 10**8  # bytes
_OLDEST_SERVER = 14


class Outcome(StrEnum):
    """How a finding is to be taken: only what fails has to be put right before the platform works."""

    ok = "ok"
    warn = "warn"
    fail = "fail"


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and what to do about it; no fix where nothing has to be done."""

    what: str
    outcome: Outcome
    found: str
    fix: str = ""

    @property
    def document(self) -> dict[str, str]:
        """For JSON."""
        return {name: str(value) for name, value in asdict(self).items()}


Examination = Callable[[Settings], Iterator[Finding]]


def examine(environment: Mapping[str, str], more: Examination = lambda _: iter(())) -> Iterator[Finding]:
    """Everything that can be looked at, in the order in which one thing needs the other.

    Args:
        environment: the environment variables.
        more: what else to look at, once the settings are known to be usable.
    """
    yield _python(sys.version_info[:3])
    yield from _packages()
    try:
        settings = Settings.from_environment(environment)
    except UserError as error:
        yield _failed("settings", error)
        return
    yield from _variables(environment)
    yield _scanner(environment)
    yield from _folders(settings)
    yield from _disks(settings)
    yield from _database(settings)
    yield from _streams(settings)
    yield from more(settings)


def _failed(what: str, error: Exception) -> Finding:
    reason, _, fix = str(error).partition(" Fix: ")
    return Finding(what, Outcome.fail, reason, fix)


def _python(running: tuple[int, ...]) -> Finding:
    shown, (oldest, newest) = ".".join(map(str, running)), _PYTHONS
    if oldest <= running[:2] <= newest:
        return Finding("python", Outcome.ok, shown)
    return Finding("python", Outcome.fail, shown, "install the platform with Python 3.11, 3.12 or 3.13")


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(f"package {name}", Outcome.ok, version(name))
        except PackageNotFoundError:
            yield Finding(
                f"package {name}", Outcome.fail, "it is not installed", "run make setup, or install the wheel"
            )


def _variables(environment: Mapping[str, str]) -> Iterator[Finding]:
    """What is set; of keys and URLs only that they are, since they may contain passwords."""
    names = {*_SECRETS, *_URLS, *(name for name in environment if name.startswith("SESSIONS_"))}
    for name in sorted(names):
        if value := environment.get(name, "").strip():
            is_secret = name in {*_SECRETS, *_URLS} or name.startswith(ALERT_URL)
            yield Finding(name, Outcome.ok, "set" if is_secret else value)


def _scanner(environment: Mapping[str, str]) -> Finding:
    """Whether the compiled scanner is there, which nothing needs, but for speed."""
    from sessions_platform.scanner.build import library_file
    from sessions_platform.scanner.check import check

    if not scanner_is_on(environment):
        return Finding("scanner", Outcome.ok, "switched off by SESSIONS_SCANNER")
    file = library_file()
    fix = f"{sys.executable} -m sessions_platform.scanner, with a C compiler (gcc, clang or the package ziglang)"
    if not file.exists():
        return Finding(
            "scanner", Outcome.warn, "it is not compiled: NDJSON is read more slowly, with the same result", fix
        )
    try:
        check(file)
    except UserError as error:
        return Finding("scanner", Outcome.warn, f"{file}: {error}", f"remove the file, then {fix}")
    return Finding("scanner", Outcome.ok, str(file))


def _folders(settings: Settings) -> Iterator[Finding]:
    yield _written_folder("home", settings.home, "SESSIONS_HOME")
    if settings.lake_url is None:
        yield _written_folder("lake", settings.lake, "SESSIONS_LAKE")
    else:
        yield _lake_in_store(settings, settings.lake_url)
    yield _written_folder("scratch", settings.scratch, "SESSIONS_SCRATCH")


def _lake_in_store(settings: Settings, url: str) -> Finding:
    """Whether an object can be written there, is not overwritten, and can be read, listed and deleted."""
    from sessions_platform.storage.lake.errors import LakeUnavailableError
    from sessions_platform.storage.lake.opening import open_filesystem
    from sessions_platform.storage.lake.probe import probe

    try:
        refuses = probe(open_filesystem(settings))
    except (UserError, ConnectionError, LakeUnavailableError) as error:
        return _failed("lake", error)
    if not refuses:
        fix = "use a store that supports conditional writes (If-None-Match)"
        return Finding("lake", Outcome.warn, f"{url} overwrites an object where it was asked not to", fix)
    return Finding("lake", Outcome.ok, f"{url}, which can be written, read, listed and deleted")


def _written_folder(what: str, folder: Path, variable: str) -> Finding:
    there = _nearest(folder)
    if not there.is_dir():
        return Finding(what, Outcome.fail, f"{there} is no folder", f"set {variable} to another one")
    if not os.access(there, os.W_OK | os.X_OK):
        fix = f"let this user write there, or set {variable} to another folder"
        return Finding(what, Outcome.fail, f"{there} can't be written to", fix)
    return Finding(what, Outcome.ok, str(folder) if folder.exists() else f"{folder}, made when it is needed")


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    return next(each for each in (folder, *folder.parents) if each.exists())


def _disks(settings: Settings) -> Iterator[Finding]:
    disks = {_nearest(folder).stat().st_dev: folder for folder in (settings.scratch, settings.lake, settings.home)}
    for folder in disks.values():
        yield _disk(folder, shutil.disk_usage(_nearest(folder)).free)


def _disk(folder: Path, free: int) -> Finding:
    outcome = Outcome.fail if free < _NO_DISK else Outcome.warn if free < _LITTLE_DISK else Outcome.ok
    fix = "" if outcome is Outcome.ok else "free space, or move the folder to another disk"
    return Finding(f"disk of {folder}", outcome, f"{free / 10**9:,.1f} GB free", fix)


def _database(settings: Settings) -> Iterator[Finding]:
    import psycopg

    from sessions_platform.storage.postgres.about import about_database, embedded_is_running
    from sessions_platform.storage.postgres.database import Database
    from sessions_platform.storage.postgres.errors import in_a_sentence

    if settings.warehouse_url is None and not embedded_is_running(settings.home):
        yield Finding("database", Outcome.ok, "the embedded PostgreSQL is not running; commands start it")
        return
    try:
        about = about_database(Database(settings))
    except UserError as error:
        yield _failed("database", error)
    except psycopg.Error as error:
        yield _failed("database", UserError(in_a_sentence(error)))
    else:
        yield _server(about.shown, about.server)
        yield _roles(about.login, about.roles)
        yield _version(about.version, about.newest)


def _server(shown: str, server: str) -> Finding:
    found, major = f"{shown}, PostgreSQL {server}", int(server.partition(".")[0])
    if major < _OLDEST_SERVER:
        return Finding("database", Outcome.fail, found, f"use PostgreSQL {_OLDEST_SERVER} or later")
    return Finding("database", Outcome.ok, found)


def _roles(login: str, roles: Mapping[str, bool]) -> Finding:
    missing = [role for role, is_member in roles.items() if not is_member]
    if missing:
        fix = "have an administrator make them: docs/operations.md, Roles"
        return Finding("roles", Outcome.warn, f"{login} is no member of {', '.join(missing)}", fix)
    return Finding("roles", Outcome.ok, f"{login}, a member of {', '.join(roles)}")


def _version(found: str | None, newest: str) -> Finding:
    if found is None or found < newest:
        return Finding("tables", Outcome.ok, f"version {found or 'none'}; the next command upgrades them to {newest}")
    if found > newest:
        fix = "install the version of sessions-platform that upgraded them, or a later one"
        return Finding("tables", Outcome.fail, f"version {found}, and this program knows up to {newest}", fix)
    return Finding("tables", Outcome.ok, f"version {found}")


def _streams(settings: Settings) -> Iterator[Finding]:
    from sessions_platform.operations.check import check_streams

    try:
        checked = check_streams(settings)
    except UserError as error:
        yield _failed("streams", error)
        return
    for each in checked:
        if each.problems:
            yield Finding(f"stream {each.name}", Outcome.fail, "\n".join(each.problems), "correct the stream's file")
        elif each.notes:
            found, _, fix = each.notes[0].partition(" Fix: ")
            yield Finding(f"stream {each.name}", Outcome.warn, found, fix)
        else:
            yield Finding(f"stream {each.name}", Outcome.ok, str(each.file))
