"""Every environment variable that configures the platform, named and validated here and nowhere else.

It does without pydantic-settings: every command and every worker imports this module first, and importing the library
takes ten times as long. Not here: options for memory allocators (``allocator``), and what is part of a stream
(``contracts.stream``).
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

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
        dagster_postgres_url: the database of Dagster's instance; None for SQLite.
        block_bytes: how much of a landing file is read at once.
        bucket_bytes: how much of a partition is processed at once.
        scratch_folder: the folder of temporary files; None for one within `home`.
    """

    home: Path
    lake: Path
    streams: tuple[Path, ...]
    warehouse_url: str | None = field(repr=False, default=None)
    dagster_postgres_url: str | None = field(repr=False, default=None)
    block_bytes: int = BLOCK_BYTES
    bucket_bytes: int = BUCKET_BYTES
    scratch_folder: Path | None = None

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
        own_streams = _folder(environment, "SESSIONS_STREAMS")
        return cls(
            home=home,
            lake=_folder(environment, "SESSIONS_LAKE") or home / "lake",
            streams=(DEMO_STREAMS, own_streams) if own_streams else (DEMO_STREAMS,),
            warehouse_url=_postgres_url(environment, "SESSIONS_WAREHOUSE_URL"),
            dagster_postgres_url=_postgres_url(environment, "DAGSTER_POSTGRES_URL"),
            block_bytes=_megabytes(environment, "SESSIONS_BLOCK_MB", MOST_BLOCK_MB) or BLOCK_BYTES,
            bucket_bytes=_megabytes(environment, "SESSIONS_BUCKET_MB", MOST_BUCKET_MB) or BUCKET_BYTES,
            scratch_folder=_folder(environment, "SESSIONS_SCRATCH"),
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


def _postgres_url(environment: Mapping[str, str], name: str) -> str | None:
    text = environment.get(name, "").strip()
    if not text:
        return None
    # The value may contain a password, so it is not shown.
    scheme = urlsplit(text).scheme
    if scheme.partition("+")[0] not in {"postgresql", "postgres"}:
        raise SettingsError(f"{name}: it is not a PostgreSQL URL. Fix: write postgresql://user@host/database.")
    # SQLAlchemy's spelling, postgresql+psycopg2://, is understood too
    return text.replace(f"{scheme}://", "postgresql://", 1)
