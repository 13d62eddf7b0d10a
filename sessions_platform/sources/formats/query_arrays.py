"""Query strings with an array of events in one of their pairs: ``events=%5B%7B…%7D%2C%7B…%7D%5D&device_id=a``.

A record is an element as it is written, with its escapes, so that no byte is lost. Its header is the query string
without the array. Elements are found in the JSON that the pair means, by what finds them in lines of JSON
(`json_batches`); the offsets lead back to the bytes.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

from sessions_platform.sources.formats.held_records import Spans, spans_of
from sessions_platform.sources.formats.json_batches import BatchSplitter
from sessions_platform.sources.formats.text_records import line_ends

_QUERY = re.compile(rb"(?:[^?\n]*\?)?(?P<query>[^#\s]*)")
_PAIR = re.compile(rb"(?P<name>[^&=]*)=(?P<value>[^&]*)")
_UNIT = re.compile(rb"%[0-9a-fA-F]{2}|.", re.DOTALL)


class ArrayFinder:
    """Finds the records of texts that are whole lines.

    Args:
        name: of the pair whose value is a JSON array.
    """

    def __init__(self, name: str) -> None:
        self._name = name.encode()
        self._elements = BatchSplitter([])

    def find(self, text: bytes) -> Spans:
        """The elements of each line, with headers. A line without the array is one record, without a header."""
        return spans_of(self._records(text))

    def _records(self, text: bytes) -> Iterator[tuple[int, int, bytes | None]]:
        start = 0
        for end in line_ends(text):
            line = text[start:end].rstrip(b"\r\n")
            if value := self._value(line):
                header = line[: value.start("value")] + line[value.end("value") :]
                for first, behind in self._spans(value["value"]):
                    offset = start + value.start("value")
                    yield offset + first, offset + behind, header
            else:
                yield start, start + len(line), None
            start = int(end)

    def _value(self, line: bytes) -> re.Match[bytes] | None:
        """The pair with the array; of one that is repeated the last, as it is with all pairs."""
        query = _QUERY.match(line)
        pairs = _PAIR.finditer(line, *query.span("query")) if query else ()
        named = [pair for pair in pairs if pair["value"] and unescaped(pair["name"]) == self._name]
        return named[-1] if named else None

    def _spans(self, value: bytes) -> Iterator[tuple[int, int]]:
        """Where the elements of an array are, in the value as it is written."""
        units = [unit.span() for unit in _UNIT.finditer(value)]
        as_line = unescaped(value).replace(b"\n", b" ")  # the elements of a line are found
        starts, ends, _ = self._elements.records_of(as_line)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            yield units[start][0], units[end - 1][1]


def unescaped(text: bytes) -> bytes:
    """The bytes that a name or a value of a query string means."""
    return unquote_to_bytes(text.replace(b"+", b" "))
