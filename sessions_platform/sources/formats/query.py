"""Query strings: a record is a line such as ``idsite=1&url=https%3A%2F%2Fa.example%2F``, as trackers send requests.

What stands before the first ``?`` of a line, a path or a method, is passed over; a line without one is a query string
as a whole, and what follows a space or ``#`` belongs to none. ``+`` and ``%20`` are spaces, an empty value is null, and
of a name that is repeated the last value counts, as PHP reads it. A line that is not UTF-8 once decoded is malformed.
Lines are decoded one by one. An array of events in one pair is taken apart by `query_arrays`.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote_plus

from sessions_platform.sources.formats.base import Content, Decoder, Fields, RecordBlock
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.held_records import HeldRecords
from sessions_platform.sources.formats.json_objects import json_object
from sessions_platform.sources.formats.line_format import LineFormat
from sessions_platform.sources.formats.query_arrays import ArrayFinder
from sessions_platform.sources.formats.text_records import text_decoder, whole_lines

_QUERY = re.compile(r"(?:[^?]*\?)?(?P<query>[^#\s]*)")


class QueryFormat(LineFormat):
    """Lines that are query strings, or the elements of an array in each; values of pairs are text or None."""

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """Each line, the empty ones too; with `events`, each element of the array in that pair."""
        if self._options.events is None:
            return super().records(content, block_bytes)
        return HeldRecords(ArrayFinder(self._options.events).find).split(whole_lines(content.text(), block_bytes))

    def decoder(self) -> Decoder:
        """A function from a line, or an element, to its fields."""
        if self._options.events is None:
            return super().decoder()
        text_of, nulls = text_decoder(self._options), self._options.non_finite == "null"

        def decode(payload: bytes, header: bytes | None) -> Fields:
            if header is None:
                raise MalformedError(f"has no array at {self._options.events}")
            return json_object(_decoded(text_of(payload)).encode(), non_finite_as_null=nulls)

        return decode

    def fields(self, text: str) -> Fields:
        """The pairs of a query string."""
        if text.lstrip().startswith(("{", "[")):
            raise MalformedError("is JSON, and no query string")
        found = _QUERY.match(text)
        pairs = [pair.partition("=") for pair in (found["query"] if found else "").split("&") if pair]
        if not any(separator for _, separator, _ in pairs):
            raise MalformedError("has no name with a value, as a query string has" if text else "is an empty line")
        return {_decoded(name): _decoded(value) or None for name, _, value in pairs}


def _decoded(text: str) -> str:
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError:
        raise MalformedError("has escapes that are not UTF-8") from None
