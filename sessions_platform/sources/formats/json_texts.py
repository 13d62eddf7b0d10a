r"""NDJSON with an array of events in a text: ``{"at": 1, "body": "{\"batch\":[{\"event\":\"a\"}],\"sentAt\":2}"}``.

So proxies and web servers log the bodies that they are sent. A record is an element as it is written, with its
escapes, so that no byte is lost. Its header is the line without the elements. Elements are found in the JSON that the
text means, by what finds them in lines of JSON (`json_batches`); the offsets lead back to the bytes.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.formats.base import Decoder, Fields
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.held_records import Spans, spans_of
from sessions_platform.sources.formats.json_batches import BatchSplitter
from sessions_platform.sources.formats.json_elements import quoted_key
from sessions_platform.sources.formats.json_objects import json_object, json_value, utf8_of
from sessions_platform.sources.formats.text_records import line_ends

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
# Half of a character outside of the basic plane means nothing without the other half.
_UNIT = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u.{4}|\\.|[^\\]+", re.DOTALL)


class _Key(NamedTuple):
    """A key, and what precedes its value."""

    name: str
    sign: re.Pattern[bytes]


class TextArrayFinder:
    """Finds the records of texts that are whole lines.

    Args:
        text_keys: the keys that lead to the text, within objects.
        keys: the steps to the array within the text, as of `FormatOptions.event_keys`.
    """

    def __init__(self, text_keys: Sequence[str], keys: list[str]) -> None:
        self._text_keys = [_Key(key, re.compile(re.escape(quoted_key(key)) + rb"\s*:\s*")) for key in text_keys]
        self._is_bare = not keys
        self._elements = BatchSplitter(keys)

    def find(self, text: bytes) -> Spans:
        """The elements of each line, with headers. A line without the array is one record, without a header."""
        return spans_of(self._records(text))

    def _records(self, text: bytes) -> Iterator[tuple[int, int, bytes | None]]:
        start = 0
        for end in line_ends(text):
            line = text[start:end].rstrip(b"\r\n")
            spans = self._spans(line)
            if spans is None:
                yield start, start + len(line), None
            elif spans:
                header = line[: spans[0][0]] + line[spans[-1][1] :]
                yield from ((start + first, start + behind, header) for first, behind in spans)
            start = int(end)

    def _spans(self, line: bytes) -> list[tuple[int, int]] | None:
        """Where the elements are in a line, as they are written; None where it has no array."""
        found = _text_at(line, self._text_keys)
        meant = None if found is None else Meant.of(line[found[0] : found[1]])
        if found is None or meant is None or (self._is_bare and not meant.text.lstrip().startswith(b"[")):
            return None
        starts, ends, headers = self._elements.records_of(meant.text.replace(b"\n", b" ").replace(b"\r", b" "))
        if headers is not None and headers.null_count():
            return None
        begin, end = meant.sources(starts), meant.sources(ends - 1, behind=True)
        return list(zip((begin + found[0]).tolist(), (end + found[0]).tolist(), strict=True))


class Meant(NamedTuple):
    """The bytes that a text of JSON means, and where each comes from.

    Attributes:
        text: in UTF-8.
        at: offsets in `text` at which units begin; the bytes of a unit that is no escape are consecutive.
        from_: where these units begin in the text as it is written, and at the end of all its length.
        is_escape: for each unit.
    """

    text: bytes
    at: np.ndarray
    from_: np.ndarray
    is_escape: np.ndarray

    @classmethod
    def of(cls, written: bytes) -> "Meant | None":
        """What is meant; None where that is no text."""
        units = [unit[0] for unit in _UNIT.finditer(written)]
        try:
            meant = [_unescaped(unit) for unit in units]
        except MalformedError:
            return None
        at, from_ = (np.cumsum([0, *map(len, each)]) for each in (meant, units))
        return cls(b"".join(meant), at[:-1], from_, np.array([unit[:1] == b"\\" for unit in units], bool))

    def sources(self, offsets: np.ndarray, *, behind: bool = False) -> np.ndarray:
        """Where the bytes at these offsets come from: where what means them begins, or ends."""
        unit = np.searchsorted(self.at, offsets, side="right") - 1
        within = self.from_[unit] + offsets - self.at[unit] + behind
        return np.where(self.is_escape[unit], self.from_[unit + behind], within) if len(offsets) else offsets


def _text_at(line: bytes, keys: Sequence[_Key]) -> tuple[int, int] | None:
    """Where the text is in a JSON object to which these keys lead, without its quotes; None where there is none."""
    start, end = 0, len(line)
    for key in keys:
        inner = _value_at(line[start:end], key)
        if inner is None:
            return None
        start, end = start + inner[0], start + inner[1]
    return (start + 1, end - 1) if line[start : start + 1] == b'"' else None


def _value_at(record: bytes, key: _Key) -> tuple[int, int] | None:
    """Where the value of a key is in an object: of a repeated one the last, as everywhere.

    No text has a key with its quotes within it, for there they are escaped.
    """
    try:
        value = bytes(_fields(record)[key.name])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return None
    starts = [sign.end() for sign in key.sign.finditer(record)]
    return next(((start, start + len(value)) for start in reversed(starts) if record.startswith(value, start)), None)


def text_decoder(options: FormatOptions) -> Decoder:
    """A function from an element, as it is written, to the fields of its object."""
    as_utf8, nulls = utf8_of(options), options.non_finite == "null"

    def decode(payload: bytes, header: bytes | None) -> Fields:
        payload = as_utf8(payload)
        if header is None:
            json_object(payload, non_finite_as_null=nulls)
            raise MalformedError(f"has no array at {options.events}")
        return json_object(_unescaped(payload), non_finite_as_null=nulls)

    return decode


def _unescaped(written: bytes) -> bytes:
    if b"\\" not in written:
        return written
    return json_value(b'"%b"' % written).encode(errors="surrogatepass")
