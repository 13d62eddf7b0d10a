"""The fields of a CSV record: how it is cut, what quotes and escapes mean in it, and the names of its fields.

Python's `csv` cuts records that have neither escapes nor runs of blanks as separators; what it lacks is
`_RecordScanner`. Which bytes are a record is in `csv`; many records are cut at once in `transforms.parse.vectorized`.
"""

import csv
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

from sessions_platform.contracts.csv_options import BLANKS, WHITESPACE
from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.text_records import decoded


def separators_of(options: FormatOptions) -> str:
    """The characters that separate fields: one, or those of which runs do."""
    return BLANKS if options.separator == WHITESPACE else options.separator


def header_names(options: FormatOptions) -> Callable[[bytes | None], list[str]]:
    """A function from a header to the names of the fields under it, which ignores it where the stream lists them.

    The function raises MalformedError where a header is not a CSV record, or repeats a name.
    """
    if isinstance(options.header, list):
        listed = options.header
        return lambda _: _distinct(listed)
    split = field_splitter(options)
    return lru_cache(maxsize=8)(lambda header: _distinct(split(header or b"")))


def names_of_fields(names: Sequence[str], fields: int, options: FormatOptions) -> list[str]:
    """The names of a record's fields, of which there may be more or fewer than the header names.

    Raises:
        MalformedError: that is refused.
    """
    if fields > len(names) and options.extra_fields == "keep":
        return _distinct([*names, *map(str, range(len(names) + 1, fields + 1))])
    if fields > len(names) or (fields < len(names) and options.missing_fields == "refuse"):
        raise MalformedError(f"the row has {fields} fields, the header names {len(names)}")
    return list(names[:fields])


def field_splitter(options: FormatOptions) -> Callable[[bytes], list[str]]:
    """A function from a record to its fields' texts. It raises MalformedError where it is not one CSV record."""
    separator, quote, encoding, escape = options.separator, options.quote, options.encoding, options.escape
    scan = _RecordScanner(options).fields
    is_whitespace, may_hold_lf = separator == WHITESPACE, options.line_end == "auto"

    def split(record: bytes) -> list[str]:
        text = decoded(record, encoding)
        if is_whitespace or (escape is not None and escape in text):
            return scan(text)
        if quote is None or not (quote in text or "\r" in text or (may_hold_lf and "\n" in text)):
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


class _RecordScanner:
    """Cuts a record at its separators, outside of quotes and escapes.

    An escape before a separator, a quote, a comment character, a line end or an escape means that character. Before
    any other it is a letter, as is the other one: \\N is what `nulls` says, and \\t is for the column to decode.
    """

    def __init__(self, options: FormatOptions) -> None:
        separators, quote, escape = separators_of(options), options.quote or "", options.escape or ""
        self._separators, self._quote = separators, quote
        self._is_whitespace = options.separator == WHITESPACE
        pair = f"{re.escape(escape)}(?:\r\n|(?s:.))" if escape else "(?!)"
        line_ends = "\r\n" if quote else ""  # without quotes a line end that is part of the record is data
        unquoted = f"(?>(?:[^{re.escape(separators + escape + line_ends)}]+|{pair})*)"
        quoted = f"{quote and re.escape(quote)}(?>(?:[^{re.escape(quote + escape)}]+|{re.escape(quote * 2)}|{pair})*)"
        self._unquoted = re.compile(unquoted)
        self._quoted = re.compile(f"{quoted}{re.escape(quote)}") if quote else None
        self._separator = re.compile(f"[{re.escape(separators)}]" + ("+" if self._is_whitespace else ""))
        self._meant = {*separators, quote, escape, options.comment, "\r", "\n", "\r\n"}
        escaped = f"{re.escape(escape)}(\r\n|(?s:.))" if escape else "(?!)()"
        self._escaped = re.compile(escaped)
        self._escaped_or_doubled = re.compile(f"{escaped}|{re.escape(quote * 2)}")

    def fields(self, text: str) -> list[str]:
        """The texts of the fields. Raises MalformedError."""
        at = 0
        if self._is_whitespace:
            at = len(text) - len(text.lstrip(self._separators))
            if at == len(text):
                raise MalformedError("is an empty line")
        found: list[str] = []
        while True:
            field, at = self._field(text, at)
            found.append(field)
            if at == len(text):
                return found
            separator = self._separator.match(text, at)
            assert separator is not None
            at = separator.end()
            if self._is_whitespace and at == len(text):
                return found

    def _field(self, text: str, start: int) -> tuple[str, int]:
        """The text of the field that begins at an offset, and the offset behind it: a separator, or the end."""
        if self._quoted and text.startswith(self._quote, start):
            return self._quoted_field(text, start)
        field = self._unquoted.match(text, start)
        assert field is not None  # it may be empty
        end = field.end()
        if end < len(text) and text[end] not in self._separators:
            is_line_end = text[end] in "\r\n"
            reason = "new-line character seen in unquoted field" if is_line_end else "it ends with an escape"
            raise MalformedError(f"is not one CSV record: {reason}")
        return self._escaped.sub(self._unescaped, field[0]), end

    def _quoted_field(self, text: str, start: int) -> tuple[str, int]:
        assert self._quoted is not None
        field = self._quoted.match(text, start)
        if field is None:
            raise MalformedError("is not one CSV record: unexpected end of data")
        end = field.end()
        if end < len(text) and text[end] not in self._separators:
            expected = "blank" if self._is_whitespace else repr(self._separators)
            raise MalformedError(f"is not one CSV record: {expected} expected after {self._quote!r}")
        return self._escaped_or_doubled.sub(self._unescaped, field[0][1:-1]), end

    def _unescaped(self, found: re.Match[str]) -> str:
        """What a pair stands for; a doubled quote is one."""
        if found[1] is None:
            return self._quote
        return found[1] if found[1] in self._meant else found[0]
