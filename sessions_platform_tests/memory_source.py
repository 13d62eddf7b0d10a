"""A source that is a dict of lines, with the same protocol as all sources; for tests without files."""

import hashlib
from collections.abc import Iterable, Iterator

import polars as pl

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.sources.base import NO_CURSORS, Cursors, Quarantine, Slice


class MemorySource:
    def __init__(self) -> None:
        self.files: dict[str, tuple[str | None, list[bytes]]] = {}

    def put(self, uri: str, lines: Iterable[bytes], landing_partition: str | None) -> None:
        self.files[uri] = (landing_partition, list(lines))

    def remove(self, uri: str) -> None:
        del self.files[uri]

    def find(self, landing_partitions: Iterable[str] | None = None, cursors: Cursors = NO_CURSORS) -> list[Slice]:  # noqa: ARG002
        asked = None if landing_partitions is None else set(landing_partitions)
        return [
            Slice(uri, _digest(lines), partition)
            for uri, (partition, lines) in sorted(self.files.items())
            if asked is None or partition is None or partition in asked
        ]

    def read(self, slice_: Slice, quarantine: Quarantine) -> "MemoryReading":  # noqa: ARG002
        return MemoryReading(self.files[slice_.uri][1])

    def partition_of(self, uri: str) -> str | None:
        return self.files[uri][0] if uri in self.files else None


class MemoryReading:
    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines
        self.digest = _digest(lines)
        self.text_bytes: int | None = len(lines) + sum(map(len, lines))

    def __iter__(self) -> Iterator[pl.DataFrame]:
        columns = {
            "position": list(range(1, len(self.lines) + 1)),
            "preamble": [None] * len(self.lines),
            "payload": self.lines,
            "line_terminator": [b"\n"] * len(self.lines),
            "header": [None] * len(self.lines),
            "corrupt_reason": [None] * len(self.lines),
        }
        yield pl.DataFrame(columns, schema={name: RAW_EVENTS[name] for name in columns})


def _digest(lines: list[bytes]) -> str:
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
