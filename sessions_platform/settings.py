"""Every environment variable that configures the platform, named and validated here and nowhere else.

It does without pydantic-settings: every command and every worker imports this module first, and importing the library
takes ten times as long. Not here: options for memory allocators (``allocator``), and what is part of a stream
(``contracts.stream``).
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from sessions_platform.errors import UserError
from sessions_platform.memory_budget import LEAST_BYTES, MIB, MemoryBudget

ALERT_URL = "SESSIONS_ALERT_URL_"  # followed by a name of the channel's own
BLOCK_BYTES = 16 * MIB
ENGINES = ("polars", "spark")  # the first one is the default
MOST_BLOCK_MB = 1024  # a block's payloads have to fit into one Arrow buffer


class SettingsError(UserError):
    """An environment variable can't be used; the message names it, the reason and the fix."""


@dataclass(frozen=True)
class AlertSettings:
    """Where alerts go, and when those fire that a limit decides. URLs may contain secrets, and are not in the repr.

    Attributes:
        channels: names, in lower case, and URLs.
        ui_url: the address of Dagster's UI, for links.
        nothing_landed: for how long nothing may be read of a source.
        stale: for how long readers may miss a published change.
        sensor_silent: for how long a sensor that is on may not be evaluated without an error.
        rejected_rows: how many rows more may be rejected than a day before.
    """

    channels: tuple[tuple[str, str], ...] = field(repr=False, default=())
    ui_url: str = "http://127.0.0.1:3000"
    nothing_landed: timedelta = timedelta(hours=26)
    stale: timedelta = timedelta(hours=6)
    sensor_silent: timedelta = timedelta(minutes=15)
    rejected_rows: int = 100

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "AlertSettings":
        """Read the variables. Raises SettingsError where a value can't be used."""
        channels = sorted(
            (name.removeprefix(ALERT_URL).lower(), url.strip())
            for name, url in environment.items()
            if name.startswith(ALERT_URL) and url.strip()
        )
        return cls(
            channels=tuple(channels),
            ui_url=environment.get("SESSIONS_UI_URL", "").strip() or cls.ui_url,
            nothing_landed=_duration(environment, "SESSIONS_ALERT_NOTHING_LANDED") or cls.nothing_landed,
            stale=_duration(environment, "SESSIONS_ALERT_STALE") or cls.stale,
            sensor_silent=_duration(environment, "SESSIONS_ALERT_SENSOR_SILENT") or cls.sensor_silent,
            rejected_rows=_number(environment, "SESSIONS_ALERT_REJECTED_ROWS", 10**12) or cls.rejected_rows,
        )


@dataclass(frozen=True)
class Settings:
    """Where things are stored, and how much is read at once. Secrets are not part of the repr.

    Attributes:
        home: the folder of everything that has no folder of its own.
        lake: the folder of the lake; with `lake_url` only of what other assets than the platform's store.
        lake_url: where the lake is if it is in an object store, as s3://BUCKET/PREFIX, gs:// or az://.
        streams: the folders with streams' files.
        warehouse_url: the warehouse's database; None for the embedded server.
        reader_url: the same database for queries of people, as a role that may only read; None for a role of the
            embedded server, or for `warehouse_url`.
        dagster_postgres_url: the database of Dagster's instance; None for SQLite.
        block_bytes: how much of a landing file is read at once.
        memory: how much a run may have in memory.
        scratch_folder: the folder of temporary files; None for one within `home`.
        erasure_key: the key by which erased users are recognized; None for one that is kept in `home`.
        pseudonym_key: the key of the pseudonyms of streams that have some; None where there is none.
        alerts: where alerts go, and when they fire.
        engine: what computes the sessions of streams that name no engine.
        spark: the master or Connect server of the engine spark.
    """

    home: Path
    lake: Path
    streams: tuple[Path, ...]
    warehouse_url: str | None = field(repr=False, default=None)
    reader_url: str | None = field(repr=False, default=None)
    dagster_postgres_url: str | None = field(repr=False, default=None)
    block_bytes: int = BLOCK_BYTES
    memory: MemoryBudget = field(default_factory=MemoryBudget.default)
    scratch_folder: Path | None = None
    erasure_key: str | None = field(repr=False, default=None)
    pseudonym_key: str | None = field(repr=False, default=None)
    alerts: AlertSettings = field(default_factory=AlertSettings)
    lake_url: str | None = None
    engine: str = "polars"
    spark: str = "local[*]"

    @property
    def scratch(self) -> Path:
        """The folder for temporary files of computations."""
        return self.scratch_folder or self.home / "scratch"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the environment variables; an empty one counts as absent.

        Raises:
            SettingsError: where a value can't be used.
        """
        scanner_is_on(environment)
        _check_log(environment)
        home = _folder(environment, "SESSIONS_HOME") or Path.home() / ".sessions_platform"
        lake_url = _lake_url(environment.get("SESSIONS_LAKE", "").strip())
        warehouse_url = _postgres_url(environment, "SESSIONS_WAREHOUSE_URL")
        own_streams = _folder(environment, "SESSIONS_STREAMS")
        return cls(
            home=home,
            lake=(None if lake_url else _folder(environment, "SESSIONS_LAKE")) or home / "lake",
            streams=_folders_of_streams(home, own_streams),
            warehouse_url=warehouse_url,
            reader_url=_reader_url(environment, warehouse_url),
            dagster_postgres_url=_postgres_url(environment, "DAGSTER_POSTGRES_URL"),
            block_bytes=_megabytes(environment, "SESSIONS_BLOCK_MB", MOST_BLOCK_MB) or BLOCK_BYTES,
            memory=_memory(environment),
            scratch_folder=_folder(environment, "SESSIONS_SCRATCH"),
            erasure_key=environment.get("SESSIONS_ERASURE_KEY", "").strip() or None,
            pseudonym_key=environment.get("SESSIONS_PSEUDONYM_KEY", "").strip() or None,
            alerts=AlertSettings.from_environment(environment),
            lake_url=lake_url,
            engine=_engine(environment),
            spark=_spark(environment),
        )


DEMO_STREAMS = Path(__file__).parent / "demo"
DEMO_LANDING = Path("landing", "web_shop")  # within the home


def _folders_of_streams(home: Path, own: Path | None) -> tuple[Path, ...]:
    """The demo's stream is there where the demo was run, and as long as there are no others."""
    if own is None:
        return (DEMO_STREAMS,)
    demo_was_run = os.path.isdir(home / DEMO_LANDING)  # noqa: PTH112  a home that can't be entered is told elsewhere
    return (DEMO_STREAMS, own) if demo_was_run else (own,)


# What the platform makes is for its owner alone, whatever the umask: it contains what users did.
PRIVATE_FOLDER = 0o700
PRIVATE_FILE = 0o600
PASSABLE_FOLDER = 0o711


def make_private_folder(folder: Path, mode: int = PRIVATE_FOLDER) -> None:
    """Make a folder, and those above it that are missing, each with this mode; existing ones stay as they are."""
    missing = [folder]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for made in reversed(missing):
        with suppress(FileExistsError):
            made.mkdir(mode=PRIVATE_FOLDER)
            made.chmod(mode)  # the umask may have taken rights away


def make_home(home: Path) -> None:
    """Make a home, for its owner alone.

    Root's can be passed through, though not listed: PostgreSQL refuses to run as root, and its user's data is inside.

    Raises:
        SettingsError: it can't be made.
    """
    try:
        make_private_folder(home, PASSABLE_FOLDER if os.geteuid() == 0 else PRIVATE_FOLDER)
    except OSError as error:
        fix = "name a folder that this user may make"
        raise SettingsError(f"SESSIONS_HOME: {home} can't be made: {error.strerror}. Fix: {fix}.") from None


def scanner_is_on(environment: Mapping[str, str]) -> bool:
    """Whether the compiled scanner may be used, where it is there: not with `SESSIONS_SCANNER=off`.

    It is asked for where rows are parsed, in any process, and so is no attribute of the settings.
    """
    text = environment.get("SESSIONS_SCANNER", "").strip() or "on"
    if text not in ("on", "off"):
        raise SettingsError(f"SESSIONS_SCANNER: {text!r} is neither on nor off. Fix: write one of them.")
    return text == "on"


def logs_are_json(environment: Mapping[str, str]) -> bool:
    """Whether what is said besides results is JSON lines (`SESSIONS_LOG=json`), and no text for people.

    Like the scanner's, it is asked for where it counts: an error of the settings themselves is said so, too.
    """
    return environment.get("SESSIONS_LOG", "").strip() == "json"


def _check_log(environment: Mapping[str, str]) -> None:
    text = environment.get("SESSIONS_LOG", "").strip()
    if text not in ("", "json", "text"):
        raise SettingsError(f"SESSIONS_LOG: {text!r} is neither json nor text. Fix: write one of them.")


def _folder(environment: Mapping[str, str], name: str) -> Path | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    if "://" in text:
        raise SettingsError(f"{name}: {text!r} is a URL, and only folders are supported. Fix: name a folder.")
    path = Path(text).expanduser()
    if not path.is_absolute():
        raise SettingsError(f"{name}: {text!r} is a relative path. Fix: write an absolute one.")
    return path


def _lake_url(text: str) -> str | None:
    """The URL of a lake in an object store, without a slash at its end; None for a folder or nothing."""
    if "://" not in text:
        return None
    url = text.rstrip("/")
    if not _LAKE_URL.fullmatch(url):
        # It is not quoted, since it may contain a password.
        raise SettingsError(
            "SESSIONS_LAKE: it is no URL of a lake. Fix: write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or "
            "az://CONTAINER/PREFIX, of letters, digits and -._/ alone; or an absolute path."
        )
    return url


_LAKE_URL = re.compile(r"(?:s3|gs|az)://[A-Za-z0-9.-]+(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._-]+)*")


def _megabytes(environment: Mapping[str, str], name: str, most: int) -> int | None:
    number = _number(environment, name, most)
    return None if number is None else number * MIB


def _number(environment: Mapping[str, str], name: str, most: int) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    if not (text.isdecimal() and 1 <= int(text) <= most):
        raise SettingsError(f"{name}: {text!r} is not a whole number from 1 to {most}. Fix: write one.")
    return int(text)


def _engine(environment: Mapping[str, str]) -> str:
    text = environment.get("SESSIONS_ENGINE", "").strip() or ENGINES[0]
    if text not in ENGINES:
        raise SettingsError(f"SESSIONS_ENGINE: {text!r} is no engine. Fix: write one of {', '.join(ENGINES)}.")
    return text


def _spark(environment: Mapping[str, str]) -> str:
    """What Spark calls a master, or the URL of a Connect server. It is not quoted, since it may contain a token."""
    text = environment.get("SESSIONS_SPARK", "").strip() or "local[*]"
    if not _SPARK.fullmatch(text):
        raise SettingsError(
            "SESSIONS_SPARK: it is neither a master of Spark nor a Connect server. Fix: write local[2], "
            "local-cluster[2,1,1024], spark://HOST:7077, yarn, k8s://HOST or sc://HOST:15002."
        )
    return text


_SPARK = re.compile(
    r"local(?:\[(?:\*|[1-9]\d*)(?:,[1-9]\d*)?\])?|local-cluster\[[1-9]\d*,[1-9]\d*,[1-9]\d*\]|yarn|"
    r"k8s://\S+|spark://[^\s/]+|sc://[^\s/;]+(?:/\S*)?",
    re.ASCII,
)


def _duration(environment: Mapping[str, str], name: str) -> timedelta | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    parts = _DURATION.fullmatch(text)
    if parts is None:
        raise SettingsError(f"{name}: {text!r} is no duration. Fix: write one, such as 90s, 15m, 26h or 2d.")
    return timedelta(seconds=int(parts["number"]) * _SECONDS[parts["unit"]])


_DURATION = re.compile(r"(?P<number>[1-9][0-9]{0,5}) ?(?P<unit>[smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _memory(environment: Mapping[str, str]) -> MemoryBudget:
    if environment.get("SESSIONS_BUCKET_MB", "").strip():
        raise SettingsError(
            "SESSIONS_BUCKET_MB: it no longer exists; SESSIONS_MEMORY says how much memory a run may take, of which "
            "the size of buckets follows. Fix: remove it, and set SESSIONS_MEMORY (such as 2GB) where the default, a "
            "quarter of the machine's memory, is not right."
        )
    text = environment.get("SESSIONS_MEMORY", "").strip()
    if not text:
        return MemoryBudget.default()
    parts = _SIZE.fullmatch(text)
    size = int(float(parts["number"]) * _UNITS[parts["unit"].upper()]) if parts else 0
    if size < LEAST_BYTES:
        raise SettingsError(
            f"SESSIONS_MEMORY: {text!r} is not a size of {LEAST_BYTES // MIB}MiB or more. Fix: write one, such as 2GB."
        )
    return MemoryBudget.of(size)


_SIZE = re.compile(r"(?P<number>\d{1,9}(?:\.\d{1,9})?) ?(?P<unit>[MGT]i?B)", re.IGNORECASE | re.ASCII)
_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": MIB, "GIB": 1024 * MIB, "TIB": 1024 * 1024 * MIB}


def _reader_url(environment: Mapping[str, str], warehouse_url: str | None) -> str | None:
    url = _postgres_url(environment, "SESSIONS_READER_URL")
    if url and not warehouse_url:
        raise SettingsError(
            "SESSIONS_READER_URL: it is of no use without SESSIONS_WAREHOUSE_URL, since the embedded server has a role "
            "for readers. Fix: set both, or neither."
        )
    return url


def _postgres_url(environment: Mapping[str, str], name: str) -> str | None:
    """A URL as libpq understands it. No message quotes it, since any part may be one of the password."""
    text = environment.get(name, "").strip()
    if not text:
        return None
    parts = _URL.fullmatch(text)
    if parts is None:
        raise SettingsError(f"{name}: it is not a PostgreSQL URL. Fix: write postgresql://user@host/database.")
    if _has_raw_characters(parts["authority"], parts["path"]) or _BAD_PERCENT.search(text):
        raise SettingsError(
            f"{name}: a character of its user or password is not percent-encoded, or its port is no number. "
            f"Fix: write @ as %40, / as %2F, ? as %3F, % as %25, and so on."
        )
    # SQLAlchemy's spelling, postgresql+psycopg2://, is understood too
    return f"postgresql://{parts['authority']}{parts['path'] or ''}{parts['query'] or ''}"


# As libpq parses it: the user and password end at the first @, and all that ends at the first / or ?.
_URL = re.compile(r"postgres(?:ql)?(?:\+\w+)?://(?P<authority>[^/?]*)(?P<path>/[^?]*)?(?P<query>\?.*)?", re.DOTALL)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+(?:%25\w+)?\]|[^:@\[\]]*)(?::\d*)?")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


def _has_raw_characters(authority: str, path: str | None) -> bool:
    """Whether the part before the path can't be user:password@host:port, or an @ has come to be behind a raw /."""
    hosts = authority.partition("@")[2] if "@" in authority else authority
    return "@" in (path or "") or not all(map(_HOST.fullmatch, hosts.split(",")))
