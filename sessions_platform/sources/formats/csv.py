"""CSV: a record is a line, or several that a quoted field spans; its fields are named by a header.

Splitting finds the records without understanding them, in whole blocks of text at once; only lines
with an odd number of quotes are looked at one by one. Every value is text; an empty field is null. Not here: how one
record is cut into fields (`csv_fields`), and escapes and line ends in a text (`csv_escapes`).
"""

import csv
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np

from sessions_platform.contracts.csv_options import WHITESPACE
from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.formats.base import Content, Decoder, Fields, RecordBlock
from sessions_platform.sources.formats.csv_escapes import Escapes, line_end_of
from sessions_platform.sources.formats.csv_fields import field_splitter, header_names, names_of_fields, separators_of
from sessions_platform.sources.formats.csv_header import check_header
from sessions_platform.sources.formats.errors import CorruptDataError, MalformedError
from sessions_platform.sources.formats.text_records import (
    LF,
    Ends,
    are_records,
    line_ends,
    lines,
    positions_of,
    record_blocks,
    whole_lines,
)

# A quote that is still open after this many bytes was opened by mistake, and must not keep the file in memory.
LONGEST_OPEN_RECORD = 8 * 1024 * 1024


class CsvFormat:
    """CSV with the options that a stream states."""

    def __init__(self, options: FormatOptions, required: Mapping[str, Sequence[str]] | None = None) -> None:
        self._options = options
        self._required = required or {}
        encoded = {
            key: character.encode(options.encoding) if character else None
            for key, character in (("quote", options.quote), ("escape", options.escape), ("comment", options.comment))
        }
        self._quote, self._escape, self._comment = encoded["quote"], encoded["escape"], encoded["comment"]
        self._separators = separators_of(options).encode(options.encoding)

    def requiring(self, required: Mapping[str, Sequence[str]]) -> "CsvFormat":
        """The same format, by which a file is corrupt whose header names no field of any of these columns."""
        return CsvFormat(self._options, required)

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """The records below the header, which is the first record where the stream doesn't list the names."""
        line_end, chunks = LF, content.text()
        if self._options.line_end == "auto":
            line_end, chunks = line_end_of(chunks, self._separators, self._quote, self._escape)
        splitter = self._splitter(line_end)
        blocks = splitter.split(whole_lines(chunks, block_bytes, line_end), content)
        if self._options.header is True:
            return self._below_header(blocks, splitter, content)
        return blocks

    def _splitter(self, line_end: bytes) -> "RecordSplitter":
        escapes = None
        if self._escape:
            syntax = self._separators + (self._quote or b"") + (self._comment or b"")
            escapes = Escapes(self._escape, syntax, self._comment, line_end)
        is_run = self._options.separator == WHITESPACE
        return RecordSplitter(
            self._separators, self._quote, are_runs=is_run, escapes=escapes, comment=self._comment, line_end=line_end
        )

    def _below_header(
        self, blocks: Iterator[RecordBlock], splitter: "RecordSplitter", content: Content
    ) -> Iterator[RecordBlock]:
        size = 0  # of the comments above the header, which have to fit into a row
        for block in blocks:
            payloads, terminators = block.payloads, block.terminators
            assert terminators is not None
            first = self._first_record(payloads)
            above = b"".join(chain.from_iterable(zip(payloads[:first], terminators[:first], strict=True)))
            size += len(above)
            if size > LONGEST_OPEN_RECORD:
                raise CorruptDataError(f"it begins with more than {LONGEST_OPEN_RECORD >> 20} MiB of comments")
            if first == len(payloads):
                yield RecordBlock(payloads[:0], terminators[:0], None, above)
                continue
            header = payloads[first]
            is_whole = splitter.is_whole(header)
            content.has_open_head = not (is_whole and terminators[first])
            check_header(header, self._options, self._required if is_whole else {})
            yield RecordBlock(payloads[:0], terminators[:0], header, above + header + terminators[first])
            if not is_whole:
                raise CorruptDataError(
                    "its first record, the header, is no CSV: a quote is open or stands amid a field"
                )
            yield RecordBlock(payloads[first + 1 :], terminators[first + 1 :], header)
            for below in blocks:
                yield RecordBlock(below.payloads, below.terminators, header)

    def _first_record(self, payloads: Iterable[bytes]) -> int:
        """The number of lines that are comments before the first one that is not."""
        count = 0
        if self._comment:
            for payload in payloads:
                if not payload.startswith(self._comment):
                    break
                count += 1
        return count

    def decoder(self) -> Decoder:
        """A function from a record and its header to its fields, all of them text or None."""
        csv.field_size_limit(sys.maxsize)  # a payload is in memory already, and is not malformed by its length
        split = field_splitter(self._options)
        names_under = header_names(self._options)

        def decode(payload: bytes, header: bytes | None) -> Fields:
            if not payload:
                raise MalformedError("is an empty line")
            names, values = names_under(header), split(payload)
            if len(names) != len(values):
                names = names_of_fields(names, len(values), self._options)
            return {name: value or None for name, value in zip(names, values, strict=True)}

        return decode


# Records -------------------------------------------------------------------------------------------------


class RecordSplitter:
    """Splits CSV into records: a quoted field may contain line ends.

    A line with an even number of quotes is a record. On any other a field may open
    that is closed on a later line, by a quote that a separator or a line end follows. Where
    something else follows, or it isn't closed within LONGEST_OPEN_RECORD or the file, it
    was opened by mistake: the lines from the opening one on are then single records. So one
    stray quote costs the row that contains it, and none of the rows after it.
    """

    def __init__(
        self,
        separators: bytes,
        quote: bytes | None,
        *,
        are_runs: bool = False,
        escapes: Escapes | None = None,
        comment: bytes | None = None,
        line_end: bytes = LF,
    ) -> None:
        self._quote = quote
        self._escapes = escapes
        self._line_end = line_end
        if quote:
            self._compile(separators, quote, "+" if are_runs else "", comment)

    def _compile(self, separators: bytes, quote: bytes, repeated: str, comment: bytes | None) -> None:
        # Groups are atomic, (?>…), so that a long record is matched in one way only. Possessive repeats would say
        # the same more shortly, but Python 3.11.2, which Debian 12 has, gets nested ones wrong.
        blanks, q = (re.escape(characters.decode("latin-1")) for characters in (separators, quote))
        s = f"[{blanks}]{repeated}"
        quoted_text = f"(?>[^{q}]*(?:{q}{q}[^{q}]*)*)"  # a doubled quote is data
        field = f"(?:{q}{quoted_text}{q}|(?!{q})(?>[^{blanks}]*))"  # in quotes, or not beginning with one
        more_fields = f"(?>(?:{s}{field})*)"
        no_comment = f"(?!{re.escape(comment.decode('latin-1'))})" if comment else ""
        end = "\r?\n" if self._line_end == LF else "\r"
        self._whole = _compiled(field + more_fields)
        # A line that ends in an open field, from the beginning of a record.
        self._opens = _compiled(f"{no_comment}(?>(?:{field}{s})*){q}{quoted_text}")
        # A line that begins in an open field: it closes that field and ends the record …
        self._closes = _compiled(f"{quoted_text}{q}{more_fields}(?:{end})?")
        # … or ends in an open field again, be it the same or a later one.
        self._stays_open = _compiled(f"{quoted_text}(?:{q}{more_fields}{s}{q}{quoted_text})?")

    def is_whole(self, record: bytes) -> bool:
        """Whether a record's quoted fields are all closed, with nothing between the closing quote and the separator."""
        return self._quote is None or self._whole.fullmatch(self._masked(record)) is not None

    def split(self, texts: Iterable[bytes], content: Content | None = None) -> Iterator[RecordBlock]:
        """The records of texts each of which is whole lines. A record may go on in the next text.

        `content` is told how many bytes at the end are records that more text might change, since a quote is open or
        the last line has no end.
        """
        text = open_rest = b""
        for more in self._escapes.unbroken(texts) if self._escapes else _unfinished_apart(texts, self._line_end):
            text = open_rest + more
            records, decided = self._records(text)
            yield from records
            open_rest = text[decided:]
        if content is not None:
            content.open_bytes = len(open_rest) if text.endswith(self._line_end) else len(text)
        yield from record_blocks(open_rest, line_ends(self._masked(open_rest), self._line_end), self._line_end)

    def _records(self, text: bytes) -> tuple[Iterator[RecordBlock], int]:
        """The records of a text, and how much of it they are: the rest begins with one that may yet be closed."""
        if self._escapes is None and are_records(text, self._quote, self._line_end):
            return lines(text), len(text)
        ends, decided = self._record_ends(self._masked(text))
        return record_blocks(text, ends, self._line_end), decided

    def _masked(self, text: bytes) -> bytes:
        return self._escapes.masked(text) if self._escapes else text

    def _record_ends(self, text: bytes) -> tuple[Ends, int]:
        """Where records end, and how much of the text that decides: the rest begins with one that may yet be closed."""
        ends = line_ends(text, self._line_end)
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
        if self._quote is None or self._quote not in text:
            return []
        quotes = positions_of(text, ord(self._quote))
        return np.flatnonzero(np.bincount(np.searchsorted(ends, quotes, side="right")) & 1).tolist()

    def _closing(self, text: bytes, ends: Ends, opening: int) -> tuple[int, bool] | None:
        """The line behind those that an opening line may span, and whether they are one record; None if it stays open.

        Only lines with a quote are looked at: an open field spans those without.
        """
        too_far = np.searchsorted(ends, _start(ends, opening) + LONGEST_OPEN_RECORD, side="right")
        line = opening
        assert self._quote is not None
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


def _unfinished_apart(texts: Iterable[bytes], line_end: bytes) -> Iterator[bytes]:
    """The same texts; a last line without its end is one by itself."""
    for text in texts:
        end = text.rfind(line_end) + 1
        if 0 < end < len(text):
            yield text[:end]
            yield text[end:]
        else:
            yield text


def _compiled(pattern: str) -> re.Pattern[bytes]:
    return re.compile(pattern.encode("latin-1"))


def _start(ends: Ends, line: int) -> int:
    return int(ends[line - 1]) if line else 0
