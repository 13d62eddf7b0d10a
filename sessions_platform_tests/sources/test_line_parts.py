"""Lines that Docker and Kubernetes cut into several records: joined to the byte, or malformed with the reason."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.sources.files.reader import FileReading
from sessions_platform.sources.files.told_by import Text
from sessions_platform.sources.formats import line_parts
from sessions_platform.sources.formats.base import Fields, decode_all
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.line_parts import DockerParts
from sessions_platform.sources.formats.registry import open_format

AT = "2026-01-05T09:00:00.123456789Z"
CRI = r"(?P<time>\S+) (?P<stream>stdout|stderr) (?P<tags>F\S*) (?P<log>.*)"
LINE = r"(?s)(?P<user>\S+) (?P<text>.*)"
SOURCES: dict[str, dict[str, Any]] = {
    "docker": {"format": "ndjson"},
    "cri": {"format": "regex", "pattern": CRI, "invalid_utf8": "latin-1"},
}
SHORT = 16
every_kind = pytest.mark.parametrize("kind", list(SOURCES))


class Piece(NamedTuple):
    """A part of a line, as a container's runtime hands it to the log; `line` numbers the lines."""

    line: int
    stream: str
    text: str
    is_last: bool


def source_of(kind: str) -> FilesSource:
    parse = {"field": "log", "format": "regex", "pattern": LINE}
    return FilesSource.model_validate({"files": "*", **SOURCES[kind], "parts": kind, "parse": parse})


def written(kind: str, piece: Piece) -> bytes:
    """A record of the log, as the runtime writes it."""
    if kind == "cri":
        return f"{AT} {piece.stream} {'F' if piece.is_last else 'P'} {piece.text}\n".encode()
    log = piece.text + "\n" * piece.is_last
    return json.dumps({"log": log, "stream": piece.stream, "time": AT}, ensure_ascii=False).encode() + b"\n"


def pieces_of(line: int, stream_: str, text: str) -> list[Piece]:
    """A line, cut as Docker cuts it: a part has so many bytes, and what is left goes on."""
    parts = [text[at : at + SHORT] for at in range(0, len(text), SHORT)] or [""]
    if len(parts[-1]) == SHORT:
        parts.append("")
    return [Piece(line, stream_, part, at == len(parts) - 1) for at, part in enumerate(parts)]


@st.composite
def logs(draw: st.DrawFn) -> list[Piece]:
    """Lines of two streams, whose parts may alternate; the file may end amid a line."""
    some = st.text(st.sampled_from('ab "\\é\u2028'), min_size=1, max_size=7)
    text = st.builds(lambda letters, length: f"ann {letters * length}"[:length], some, st.integers(5, 4 * SHORT))
    queues: dict[str, list[Piece]] = {"stdout": [], "stderr": []}
    for line in range(draw(st.integers(1, 6))):
        of = draw(st.sampled_from(sorted(queues)))
        queues[of] += pieces_of(line, of, draw(text))
    log: list[Piece] = []
    while any(queues.values()):
        of = draw(st.sampled_from([name for name, queue in queues.items() if queue]))
        taken = draw(st.integers(1, len(queues[of])))
        log += queues[of][:taken]
        del queues[of][:taken]
    return log[: draw(st.integers(1, len(log)))]


def expected_of(log: Sequence[Piece]) -> list[str | None]:
    """By row its line: of one whose parts follow each other one row, and of another one None for each row."""
    places: dict[int, list[int]] = {}
    for at, piece in enumerate(log):
        places.setdefault(piece.line, []).append(at)
    rows: list[str | None] = []
    for at, piece in enumerate(log):
        own = places[piece.line]
        is_whole = own[-1] - own[0] == len(own) - 1 and log[own[-1]].is_last
        if at == own[0]:
            rows.append("".join(log[each].text for each in own) if is_whole else None)
        elif not is_whole and not is_run(own, at):
            rows.append(None)
    return rows


def is_run(own: Sequence[int], at: int) -> bool:
    """Whether a part belongs to the row of the one before: those are in one row that come before any other record."""
    return own[0] + own.index(at) == at


@pytest.fixture(autouse=True, scope="module")
def short_parts() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DockerParts, "_PART", SHORT)
        yield


def rows_of(kind: str, text: bytes, block_bytes: int = 1 << 20) -> list[tuple[bytes, Fields | MalformedError]]:
    """The bytes and the fields of each record."""
    opened = open_format(source_of(kind))
    found: list[tuple[bytes, Fields | MalformedError]] = []
    for block in opened.records(Text(text), block_bytes):
        assert block.terminators is not None
        header = block.header if block.header is not None else [None] * len(block.payloads)
        decoded = decode_all(opened.decoder(), block.payloads.to_list(), list(header))
        together = (payload + end for payload, end in zip(block.payloads, block.terminators, strict=True))
        found += zip(together, decoded, strict=True)
    return found


@every_kind
@given(log=logs(), block_bytes=st.integers(1, 400))
@hypothesis_settings(max_examples=150, deadline=None)
def test_lines_are_joined_to_the_byte_and_none_is_half_read(kind: str, log: list[Piece], block_bytes: int) -> None:
    text = b"".join(written(kind, piece) for piece in log)
    rows = rows_of(kind, text, block_bytes)
    assert b"".join(row for row, _ in rows) == text
    lines = [None if isinstance(fields, MalformedError) else fields["log"] for _, fields in rows]
    assert [line and f"{line['user']} {line['text'] or ''}" for line in lines] == expected_of(log)


@pytest.mark.slow
@every_kind
@given(log=logs(), pieces=st.integers(0, 20), more=st.integers(-2, 2))
@hypothesis_settings(max_examples=150, deadline=None)
def test_what_is_settled_in_a_growing_file_stays_as_it_is(
    kind: str, log: list[Piece], pieces: int, more: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = b"".join(written(kind, piece) for piece in log)
    path = tmp_path_factory.mktemp("grows") / "log"
    cut = len(b"".join(written(kind, piece) for piece in log[:pieces])) + more
    path.write_bytes(text[: max(0, cut)])
    reading = FileReading(path, source_of(kind), open_format(source_of(kind)), lambda _: "", 64, may_grow=True)
    assert sum(frame.height for frame in reading) >= 0
    extent = reading.extent
    assert extent is not None
    settled = rows_of(kind, text)[: extent.settled_rows]
    assert b"".join(row for row, _ in settled) == text[: extent.settled_bytes]
    assert list(map(str, settled)) == list(map(str, rows_of(kind, path.read_bytes())[: extent.settled_rows]))


APART = "is a part of a line that was cut at 16 KiB, and a record of the other stream is amid it"
NO_END = "begins a line that was cut at 16 KiB, and the file ends before the rest"


def reasons(kind: str, *pieces: Piece) -> list[str]:
    """Why each row is malformed, without what is to be done."""
    rows = rows_of(kind, b"".join(written(kind, piece) for piece in pieces))
    return [str(fields).partition(":")[0] if isinstance(fields, MalformedError) else "" for _, fields in rows]


@every_kind
def test_what_can_not_be_joined_says_why(kind: str) -> None:
    first, rest = Piece(0, "stdout", "ann " + "a" * 12, False), Piece(0, "stdout", "end", True)
    other = Piece(1, "stderr", "bob failed", True)
    assert reasons(kind, first, other, rest) == [APART, "", APART]
    assert reasons(kind, other, first) == ["", NO_END]
    assert reasons(kind, first, rest, other) == ["", ""]
    if kind == "docker":  # the last that a process wrote, which ended without a line end
        assert reasons(kind, Piece(0, "stdout", "ann short", False), other) == ["", ""]


@every_kind
def test_a_line_of_more_than_can_be_held_ends_the_file(
    kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(line_parts, "LONGEST_LINE", 1000)
    log = [Piece(0, "stdout", "ann ok", True), *(Piece(1, "stdout", "a" * SHORT, False) for _ in range(90))]
    path = tmp_path / "log"
    path.write_bytes(b"".join(written(kind, piece) for piece in log))
    reading = FileReading(path, source_of(kind), open_format(source_of(kind)), lambda _: "copy", 256)
    rows = [row for frame in reading for row in frame.iter_rows(named=True)]
    assert [row["corrupt_reason"] is None for row in rows] == [True, False]
    assert rows[0]["payload"] == written(kind, log[0]).rstrip(b"\n")
