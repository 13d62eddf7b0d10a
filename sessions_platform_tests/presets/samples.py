"""The samples of presets: a small file in the form of each tool, and what is to be made of it.

`samples/NAME.*` is the file and `samples/NAME.expected.yaml` what was derived of it without the platform. What the tool
delivers beside it, as the names of a feed's columns, is in the folder `samples/NAME`.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.operations.preview import Preview, preview
from sessions_platform.settings import Settings
from sessions_platform.transforms.sessionize import sessionize
from sessions_platform.transforms.summarize import summarize

FOLDER = Path(__file__).parent / "samples"
_EXPECTED = ".expected.yaml"
MOST_LINES = 6


@dataclass(frozen=True)
class Expected:
    """What a sample has to become. Of sessions and values only the keys and rows that are stated are compared.

    Attributes:
        how: by which means this was derived.
        stream: keys that the stream of the sample states besides name, start, preset and files.
        sessions: all of them, by user_id and session_start.
        values: by column those of the first events, in the order of the file.
    """

    how: str
    events: int
    sessions: list[dict[str, Any]]
    rejected: dict[str, int]
    duplicates: int = 0
    skipped: int = 0
    start: str = "2026-01-01"
    stream: str = ""
    values: dict[str, list[Any]] | None = None


def file_of(name: str) -> Path:
    """The sample of a preset."""
    (path,) = (each for each in FOLDER.glob(f"{name}.*") if not each.name.endswith(_EXPECTED))
    return path


def expected_of(name: str) -> Expected:
    """What the sample of a preset has to become."""
    content = yaml.safe_load((FOLDER / f"{name}{_EXPECTED}").read_text(encoding="utf-8"))
    return Expected(**{"rejected": {}, **content})


def stream_of(name: str, folder: Path, file: Path | None = None) -> Stream:
    """The stream that reads the sample of a preset, or another file, in six lines at most."""
    expected = expected_of(name)
    lines = [
        f"name: {name}",
        f"start: {expected.start}",
        f"source: {{preset: {name}, files: '{file or file_of(name)}'}}",
        *expected.stream.splitlines(),
    ]
    assert len(lines) <= MOST_LINES
    if (FOLDER / name).is_dir():
        shutil.copytree(FOLDER / name, folder, dirs_exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return load_stream(path, folder)


def read(name: str, folder: Path, file: Path | None = None) -> tuple[Stream, Preview]:
    """The stream of a preset, and what it makes of its sample or another file."""
    of = stream_of(name, folder, file)
    return of, preview(of, Settings(folder / "home", folder / "lake", ()), [file or file_of(name)])


def sessions_of(of: Stream, read: Preview) -> list[dict[str, Any]]:
    """The sessions of the accepted events, by user_id and session_start."""
    summary = summarize(sessionize(read.events, of), of)
    return [plain(row) for row in summary.sort("user_id", "session_start").iter_rows(named=True)]


def values_of(read: Preview, column: str) -> list[Any]:
    """The values of a column, in the order of the file."""
    return [comparable(value) for value in read.events.sort("source_uri", "position")[column]]


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row with values as they are compared."""
    return {name: comparable(value) for name, value in row.items()}


def comparable(value: Any) -> Any:
    """A value as it is compared: times as ISO 8601 in UTC, those without a zone as UTC."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
    return value


def differences(name: str, folder: Path) -> Iterator[str]:
    """What of the expectations of a preset's sample does not come true."""
    expected = expected_of(name)
    of, made = read(name, folder)
    counts = ("events", made.events.height), ("duplicates", made.duplicates), ("skipped", made.skipped)
    for key, number in (*counts, ("rejected", made.rejected_by_reason)):
        if getattr(expected, key) != number:
            yield f"{key}: expected {getattr(expected, key)}, found {number}"
    for column, values in (expected.values or {}).items():
        found = values_of(made, column)[: len(values)]
        if found != list(map(comparable, values)):
            yield f"values of {column}: expected {values}, found {found}"
    found_sessions = sessions_of(of, made) if made.events.height else []
    if len(found_sessions) != len(expected.sessions):
        yield f"sessions: expected {len(expected.sessions)}, found {len(found_sessions)}"
    for row, found_row in zip(map(plain, expected.sessions), found_sessions, strict=False):
        stated = {key: found_row[key] for key in row}
        if stated != row:
            yield f"session: expected {row}, found {stated}"
