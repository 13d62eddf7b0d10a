"""Lines that a regular expression cuts into fields: a record is a line, and its fields are the named groups.

The expression is Rust's, as polars has it, so the time it takes is linear in the line. It has to match the whole line.
Single lines and whole blocks are cut by the same call (``LinePattern``), for it is the calls that take time. An empty
group is null, as an empty field of CSV is.

A line that is not UTF-8 is matched with a stand-in for each byte that belongs to no character. So these bytes cost the
row only where a named group has them.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain

import polars as pl

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.contracts.polars_syntax import group_names, pattern_problem
from sessions_platform.sources.formats.base import Content, Fields, RecordBlock
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.text_records import (
    STAND_IN,
    has_stand_ins,
    lines,
    text_decoder,
    whole_lines,
    with_stand_ins,
)


class RegexFormat:
    """Lines in the encoding that a stream states, cut by its `pattern`."""

    def __init__(self, options: FormatOptions) -> None:
        self._options = options

    def records(self, content: Content, block_bytes: int) -> Iterator[RecordBlock]:
        """Each line, the empty ones too."""
        return chain.from_iterable(map(lines, whole_lines(content.text(), block_bytes)))

    def decoder(self) -> "RegexDecoder":
        """A function from a line to its named groups, all of them text or None."""
        return RegexDecoder(self._options)


class LinePattern:
    """A regular expression that matches whole lines; `names` are those of its named groups."""

    def __init__(self, pattern: str) -> None:
        self.names = group_names(pattern)
        self._pattern = pattern
        # The empty group last is null where the expression does not match.
        whole = rf"\A(?:{pattern})()\z"
        # A comment at the end of a pattern in (?x) goes up to the line's end.
        self._whole = whole if pattern_problem(whole) is None else f"\\A(?:{pattern}\n)()\\z"

    def cut(self, texts: pl.Series) -> tuple[list[pl.Series], pl.Series]:
        """Cut each text (String).

        Returns:
            For each name the group's text (String; empty where the group took no part), and whether each text matches
            (Boolean).
        """
        groups = texts.str.extract_groups(self._whole).struct.unnest()
        return [groups[name].fill_null("") for name in self.names], groups.to_series(-1).is_not_null()

    def reason(self, text: str) -> str:
        """Why a text does not match: the last named group up to which it does. It quotes nothing of the text."""
        for name, start in reversed(self._beginnings):
            end = pl.Series([text]).str.extract(start, group_index=1).str.len_chars().item()
            if end is not None:
                return f"does not match the pattern; it does up to {name}, which ends at character {end}"
        return "does not match the pattern"

    @cached_property
    def _beginnings(self) -> list[tuple[str, str]]:
        """For each named group that is within no other, its name and the pattern up to its end."""
        beginnings = []
        for end in (at + 1 for at, character in enumerate(self._pattern) if character == ")"):
            start = rf"\A({self._pattern[:end]})"
            names = [] if pattern_problem(start) else group_names(start)
            if len(names) > len(beginnings):
                beginnings.append((names[-1], start))
        return beginnings


class RegexDecoder:
    """Decodes lines, one or many at once, by the `pattern` of the options."""

    def __init__(self, options: FormatOptions) -> None:
        assert options.pattern is not None, "a stream's file without it is refused"
        self._pattern = LinePattern(options.pattern)
        rejects_stray_bytes = options.encoding == "utf-8" and options.invalid_utf8 == "reject"
        self._text = with_stand_ins if rejects_stray_bytes else text_decoder(options)

    def __call__(self, payload: bytes, header: bytes | None) -> Fields:
        """The fields of a line. Raises MalformedError."""
        (fields,) = self.many([payload], [header])
        if isinstance(fields, MalformedError):
            raise fields
        return fields

    def many(self, payloads: Sequence[bytes], headers: Sequence[bytes | None]) -> Iterator[Fields | MalformedError]:
        """The fields of each line, or why it has none."""
        del headers
        texts = list(map(self._text_or_error, payloads))
        columns, matches = self._pattern.cut(
            pl.Series([text for text in texts if isinstance(text, str)], dtype=pl.String)
        )
        rows = zip(*(column.to_list() for column in columns), strict=True)
        decoded = zip(matches.to_list(), rows, strict=True)
        for text, payload in zip(texts, payloads, strict=True):
            if isinstance(text, MalformedError):
                yield text
            else:
                yield self._fields(payload, text, *next(decoded))

    def _text_or_error(self, payload: bytes) -> str | MalformedError:
        try:
            return self._text(payload)
        except MalformedError as error:
            return error

    def _fields(self, payload: bytes, text: str, matches: bool, values: tuple[str, ...]) -> Fields | MalformedError:
        if not (matches and text):
            return MalformedError(self._pattern.reason(text) if text else "is an empty line")
        groups = dict(zip(self._pattern.names, values, strict=True))
        if self._text is with_stand_ins and has_stand_ins(text, payload):
            for name in (name for name, value in groups.items() if STAND_IN.search(value)):
                return MalformedError(f"{name} is not UTF-8")
        return {name: value or None for name, value in groups.items()}
