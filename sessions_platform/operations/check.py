"""What can be said of streams without a database: their files, their landing paths and their files of reference values.

Not here: the rules of a stream's file (``contracts``), and what a stream contains (`status.py`). A reference to a table
is not looked at, since that takes the database.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sessions_platform.contracts.columns import Reference
from sessions_platform.contracts.issues import KeyPath
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, line_of, load_stream
from sessions_platform.contracts.stream_folder import BrokenStream, read_streams
from sessions_platform.contracts.unknown_stream import SUFFIXES
from sessions_platform.errors import UserError
from sessions_platform.operations.page_column import page_sentence
from sessions_platform.operations.presets import expanded_text
from sessions_platform.settings import Settings
from sessions_platform.sources.base import Locating
from sessions_platform.sources.registry import open_source


@dataclass(frozen=True)
class CheckedStream:
    """What was found of one stream.

    Attributes:
        name: the stream's.
        file: its YAML file; None where several claim to be it.
        problems: sentences, each with file, line, key, reason and fix; empty for a stream that can be used.
        notes: what hinders nothing, and may be meant otherwise, such as a landing path without files.
        session: the session rule with the keys of what it is like; without those that have their defaults, but for gap.
    """

    name: str
    file: Path | None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    session: Mapping[str, Any] | None = None

    @property
    def expanded(self) -> str | None:
        """The stream's file with all that it and what it names state; None for a stream that can't be used."""
        return expanded_text(self.file) if self.file and not self.problems else None

    @property
    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "stream": self.name,
            "file": str(self.file) if self.file else None,
            "problems": list(self.problems),
            "notes": list(self.notes),
            "session": self.session,
        }


def check_streams(settings: Settings, names: Sequence[str] = ()) -> list[CheckedStream]:
    """Check the streams of these names, by default all, in the order of their names; or of files, named *.yaml.

    Raises:
        UserError: there is no stream of a name, or a folder of streams can't be read.
    """
    files = [Path(name) for name in names if name.endswith(SUFFIXES)]
    names = [name for name in names if not name.endswith(SUFFIXES)]
    of_files = [_of_file(file, settings) for file in files]
    if files and not names:
        return of_files
    streams = read_streams(settings.streams, settings.home, settings.pseudonym_key)
    checked = [
        *(_broken(each) for each in streams.broken.values()),
        *(_usable(each, settings) for name, each in streams.usable.items() if not names or name in names),
    ]
    for name in names:
        if name not in streams.broken:
            streams.named(name)
    wanted = [each for each in checked if not names or each.name in names]
    return [*of_files, *sorted(wanted, key=lambda each: each.name)]


def _of_file(file: Path, settings: Settings) -> CheckedStream:
    """Of a file by itself, in whatever folder it is."""
    try:
        return _usable(load_stream(file.absolute(), settings.home, settings.pseudonym_key), settings)
    except StreamError as error:
        return CheckedStream(str(file), file, tuple(map(str, error.problems)))


def _broken(stream: BrokenStream) -> CheckedStream:
    files = {problem.file for problem in stream.problems}
    return CheckedStream(stream.name, files.pop() if len(files) == 1 else None, tuple(map(str, stream.problems)))


def _usable(stream: Stream, settings: Settings) -> CheckedStream:
    notes = [sentence] if (sentence := page_sentence(stream)) else []
    problems = list(_reference_problems(stream))
    try:
        source = open_source(stream, settings)
        if isinstance(source, Locating) and source.is_empty():
            notes.append(source.near())
    except (UserError, OSError) as error:
        problems.append(_at(stream, ("source",), str(error)))
    stated = stream.session.model_dump(mode="json", exclude_defaults=True)
    session = {"gap": stream.session.model_dump(mode="json", include={"gap"})["gap"], **stated}
    return CheckedStream(stream.name, stream.path, tuple(problems), tuple(notes), session)


def _reference_problems(stream: Stream) -> Iterator[str]:
    for name, reference in stream.references.items():
        if reference.file:
            try:
                _read(stream, name, reference)
            except UserError as error:
                yield _at(stream, ("columns", name, "references"), str(error))


def _read(stream: Stream, name: str, reference: Reference) -> None:
    from sessions_platform.pipeline.reference_file import values_of_file  # most streams have none
    from sessions_platform.pipeline.reference_values import usable_values

    usable_values(values_of_file(stream, reference).alias(name), stream.columns[name], reference)


def _at(stream: Stream, key_path: KeyPath, sentence: str) -> str:
    line = line_of(stream.path, key_path)
    place = f"{stream.path}:{line}" if line else str(stream.path)
    return f"{place}: {'.'.join(key_path)}: {sentence}"
