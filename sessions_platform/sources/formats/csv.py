"""CSV: a record is a line, or several that a quoted field spans; its fields are named by a header.

Splitting finds the records without understanding them, in whole blocks of text at once; only lines
with an odd number of quotes are looked at one by one. Decoding is the standard library's, for single
records. Every value is text; an empty field is null.
"""

import csv
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import chain

import numpy as np

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.formats.base import Content, Decoder, Fields, RecordBlock
from sessions_platform.sources.formats.errors import CorruptDataError, MalformedError
from sessions_platform.sources.formats.text_records import (
    Ends,
    decoded,
    line_ends,
    lines,
    positions_of,
    record_blocks,
    whole_lines,
)

# A quote that is still open after this many bytes was opened by mistake, and must not keep the file in memory.
LONGEST_OPEN_RECORD = 8 * 1024 * 1024


class CsvFormat:
    """CSV with the separator, quote, header and encoding that a stream states."""

    def __init__(self, options: FormatOptions) -> None:
        self._options = options

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """The records below the header, which is the first record where the stream doesn't list the names."""
        separator, quote, encoding = self._options.separator, self._options.quote, self._options.encoding
        texts = whole_lines(content.text(), block_bytes)
        splitter = RecordSplitter(separator.encode(encoding), quote.encode(encoding)) if quote else None
        blocks = splitter.split(texts) if splitter else chain.from_iterable(map(lines, texts))
        if self._options.header is not True:
            yield from blocks
            return
        header = None
        for payloads, terminators, *_ in blocks:
            assert terminators is not None
            if header is None:
                header = payloads[0]
                yield RecordBlock(payloads[:0], terminators[:0], header, header + terminators[0])
                if splitter and not splitter.is_whole(header):
                    raise CorruptDataError(
                        "its first record, the header, is no CSV: a quote is open or stands amid a field"
                    )
                yield RecordBlock(payloads[1:], terminators[1:], header)
            else:
                yield RecordBlock(payloads, terminators, header)

    def decoder(self) -> Decoder:
        """A function from a record and its header to its fields, all of them text or None."""
        csv.field_size_limit(sys.maxsize)  # a payload is in memory already, and is not malformed by its length
        split = _field_splitter(self._options)
        names_under = header_names(self._options)

        def decode(payload: bytes, header: bytes | None) -> Fields:
            if not payload:
                raise MalformedError("is an empty line")
            names, values = names_under(header), split(payload)
            if len(names) != len(values):
                raise MalformedError(f"the row has {len(values)} fields, the header names {len(names)}")
            return {name: value or None for name, value in zip(names, values, strict=True)}

        return decode


# Fields --------------------------------------------------------------------------------------------------


def header_names(options: FormatOptions) -> Callable[[bytes | None], list[str]]:
    """A function from a header to the names of the fields under it, which ignores it where the stream lists them.

    The function raises MalformedError where a header is not a CSV record, or repeats a name.
    """
    if isinstance(options.header, list):
        listed = options.header
        return lambda _: _distinct(listed)
    split = _field_splitter(options)
    return lru_cache(maxsize=8)(lambda header: _distinct(split(header or b"")))


def _field_splitter(options: FormatOptions) -> Callable[[bytes], list[str]]:
    separator, quote, encoding = options.separator, options.quote, options.encoding

    def split(record: bytes) -> list[str]:
        text = decoded(record, encoding)
        if quote is None or (quote not in text and "\r" not in text):
            return text.split(separator)
        try:
            return next(csv.reader((text,), delimiter=separator, quotechar=quote, strict=True))
        except csv.Error as error:
            raise MalformedError(f"is not one CSV record: {str(error).partition(' - ')[0]}") from None

    return split


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1).replace("\0", "\\u0000")
        raise MalformedError(f"the header names {repeated!r} twice")
    return names


# Records -------------------------------------------------------------------------------------------------


class RecordSplitter:
    """Splits CSV into records: a quoted field may contain line ends.

    A line with an even number of quotes is a record. On any other a field may open
    that is closed on a later line, by a quote that a separator or a line end follows. Where
    something else follows, or it isn't closed within LONGEST_OPEN_RECORD or the file, it
    was opened by mistake: the lines from the opening one on are then single records. So one
    stray quote costs the row that contains it, and none of the rows after it.
    """

    def __init__(self, separator: bytes, quote: bytes) -> None:
        # Groups are atomic, (?>…), so that a long record is matched in one way only. Possessive repeats would say
        # the same more shortly, but Python 3.11.2, which Debian 12 has, gets nested ones wrong.
        s, q = (re.escape(byte.decode("latin-1")) for byte in (separator, quote))
        quoted_text = f"(?>[^{q}]*(?:{q}{q}[^{q}]*)*)"  # a doubled quote is data
        field = f"(?:{q}{quoted_text}{q}|(?!{q})(?>[^{s}]*))"  # in quotes, or not beginning with one
        more_fields = f"(?>(?:{s}{field})*)"
        self._quote = quote
        self._whole = _compiled(field + more_fields)
        # A line that ends in an open field, from the beginning of a record.
        self._opens = _compiled(f"(?>(?:{field}{s})*){q}{quoted_text}")
        # A line that begins in an open field: it closes that field and ends the record …
        self._closes = _compiled(f"{quoted_text}{q}{more_fields}(?:\r?\n)?")
        # … or ends in an open field again, be it the same or a later one.
        self._stays_open = _compiled(f"{quoted_text}(?:{q}{more_fields}{s}{q}{quoted_text})?")

    def is_whole(self, record: bytes) -> bool:
        """Whether a record's quoted fields are all closed, with nothing between the closing quote and the separator."""
        return self._whole.fullmatch(record) is not None

    def split(self, texts: Iterable[bytes]) -> Iterator[RecordBlock]:
        """The records of texts each of which is whole lines. A record may go on in the next text."""
        open_rest = b""
        for more in texts:
            text = open_rest + more
            ends, decided = self._record_ends(text)
            yield from record_blocks(text, ends)
            open_rest = text[decided:]
        yield from lines(open_rest)

    def _record_ends(self, text: bytes) -> tuple[Ends, int]:
        """Where records end, and how much of the text that decides: the rest begins with one that may yet be closed."""
        ends = line_ends(text)
        inner = np.zeros(len(ends), bool)  # line ends inside a record
        following = 0
        for line in self._odd_lines(text, ends):
            if line < following or not self._opens.fullmatch(text, _start(ends, line), ends[line]):
                continue
            closing = self._closing(text, ends, line)
            if closing is None:
                return ends[:line][~inner[:line]], _start(ends, line)
            following, is_closed = closing
            inner[line : following - 1] = is_closed
        return ends[~inner], len(text)

    def _odd_lines(self, text: bytes, ends: Ends) -> list[int]:
        """The lines with an odd number of quotes."""
        if self._quote not in text:
            return []
        quotes = positions_of(text, ord(self._quote))
        return np.flatnonzero(np.bincount(np.searchsorted(ends, quotes, side="right")) & 1).tolist()

    def _closing(self, text: bytes, ends: Ends, opening: int) -> tuple[int, bool] | None:
        """The line behind those that an opening line may span, and whether they are one record; None if it stays open.

        Only lines with a quote are looked at: an open field spans those without.
        """
        too_far = np.searchsorted(ends, _start(ends, opening) + LONGEST_OPEN_RECORD, side="right")
        line = opening
        while True:
            at = text.find(self._quote, ends[line])
            line = len(ends) if at < 0 else int(np.searchsorted(ends, at, side="right"))
            if too_far < line:
                return int(too_far) + 1, False
            if line == len(ends):
                return None
            if not self._stays_open.fullmatch(text, ends[line - 1], ends[line]):
                is_closed = self._closes.fullmatch(text, ends[line - 1], ends[line]) is not None
                return line + is_closed, is_closed


def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode("latin-1"))


def _start(ends: Ends, line: int) -> int:
    return int(ends[line - 1]) if line else 0
