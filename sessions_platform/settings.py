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
from pathlib import Path

from sessions_platform.errors import UserError

MIB = 1024 * 1024
BLOCK_BYTES = 16 * MIB
MOST_BLOCK_MB = 1024  # a block's payloads have to fit into one Arrow buffer
# How much of a partition is processed at once, in bytes in memory. Processing takes about thirty times as much memory,
# on many processors forty times.
BUCKET_BYTES = 32 * MIB
MOST_BUCKET_MB = 1_000_000


class SettingsError(UserError):
    """An environment variable can't be used; the message names it, the reason and the fix."""


@dataclass(frozen=True)
class Settings:
    """Where things are stored, and how much is read at once. Secrets are not part of the repr.

    Attributes:
        home: the folder of everything that has no folder of its own.
        lake: the folder of the lake.
        streams: the folders with streams' files.
        warehouse_url: the warehouse's database; None for the embedded server.
        reader_url: the same database for queries of people, as a role that may only read; None for a role of the
            embedded server, or for `warehouse_url`.
        dagster_postgres_url: the database of Dagster's instance; None for SQLite.
        block_bytes: how much of a landing file is read at once.
        bucket_bytes: how much of a partition is processed at once.
        scratch_folder: the folder of temporary files; None for one within `home`.
        erasure_key: the key by which erased users are recognized; None for one that is kept in `home`.
        pseudonym_key: the key of the pseudonyms of streams that have some; None where there is none.
    """

    home: Path
    lake: Path
    streams: tuple[Path, ...]
    warehouse_url: str | None = field(repr=False, default=None)
    reader_url: str | None = field(repr=False, default=None)
    dagster_postgres_url: str | None = field(repr=False, default=None)
    block_bytes: int = BLOCK_BYTES
    bucket_bytes: int = BUCKET_BYTES
    scratch_folder: Path | None = None
    erasure_key: str | None = field(repr=False, default=None)
    pseudonym_key: str | None = field(repr=False, default=None)

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
        home = _folder(environment, "SESSIONS_HOME") or Path.home() / ".sessions_platform"
        warehouse_url = _postgres_url(environment, "SESSIONS_WAREHOUSE_URL")
        own_streams = _folder(environment, "SESSIONS_STREAMS")
        return cls(
            home=home,
            lake=_folder(environment, "SESSIONS_LAKE") or home / "lake",
            streams=(DEMO_STREAMS, own_streams) if own_streams else (DEMO_STREAMS,),
            warehouse_url=warehouse_url,
            reader_url=_reader_url(environment, warehouse_url),
            dagster_postgres_url=_postgres_url(environment, "DAGSTER_POSTGRES_URL"),
            block_bytes=_megabytes(environment, "SESSIONS_BLOCK_MB", MOST_BLOCK_MB) or BLOCK_BYTES,
            bucket_bytes=_megabytes(environment, "SESSIONS_BUCKET_MB", MOST_BUCKET_MB) or BUCKET_BYTES,
            scratch_folder=_folder(environment, "SESSIONS_SCRATCH"),
            erasure_key=environment.get("SESSIONS_ERASURE_KEY", "").strip() or None,
            pseudonym_key=environment.get("SESSIONS_PSEUDONYM_KEY", "").strip() or None,
        )


DEMO_STREAMS = Path(__file__).parent / "demo"

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
    """
    make_private_folder(home, PASSABLE_FOLDER if os.geteuid() == 0 else PRIVATE_FOLDER)


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


def _megabytes(environment: Mapping[str, str], name: str, most: int) -> int | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    if not (text.isdecimal() and 1 <= int(text) <= most):
        raise SettingsError(f"{name}: {text!r} is not a whole number from 1 to {most}. Fix: write one.")
    return int(text) * MIB


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
