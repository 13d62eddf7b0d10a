"""Lines that a regular expression cuts into fields: a record is a line, and its fields are the named groups.

The expression is Rust's, as polars has it, so the time it takes is linear in the line. It has to match the whole line.
Single lines and whole blocks are cut by the same call (``LinePattern``), for it is the calls that take time. An empty
group is null, as an empty field of CSV is.

A line that is not UTF-8 is matched with a stand-in for each byte that belongs to no character. So these bytes cost the
row only where a named group has them.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property

import polars as pl

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.contracts.polars_syntax import group_names, pattern_problem
from sessions_platform.sources.formats.base import BlockDecoder, Fields
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.line_format import Lines
from sessions_platform.sources.formats.text_records import (
    STAND_IN,
    has_stand_ins,
    text_decoder,
    with_stand_ins,
)


class RegexFormat(Lines):
    """Lines in the encoding that a stream states, cut by its `pattern`."""

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

    def reasons(self, texts: pl.Series) -> list[str]:
        """Why each text (String) does not match: the last named group up to which it does. It quotes nothing of it."""
        reasons = ["does not match the pattern"] * len(texts)
        unexplained = pl.Series(range(len(texts)), dtype=pl.UInt32)
        for name, start in reversed(self._beginnings):
            ends = texts.gather(unexplained).str.extract(start, group_index=1).str.len_chars()
            for number, end in zip(unexplained, ends, strict=True):
                if end is not None:
                    reasons[number] = f"does not match the pattern; it does up to {name}, which ends at character {end}"
            unexplained = unexplained.filter(ends.is_null())
        return reasons

    @cached_property
    def _beginnings(self) -> list[tuple[str, str]]:
        """For each named group that is within no other, its name and the pattern up to its end."""
        beginnings: list[tuple[str, str]] = []
        known = 0
        for end in (at + 1 for at, character in enumerate(self._pattern) if character == ")"):
            start = rf"\A({self._pattern[:end]})"
            names = [] if pattern_problem(start) else group_names(start)
            if len(names) > known:
                beginnings.append((names[-1], start))
                known = len(names)
        return beginnings


class RegexDecoder(BlockDecoder):
    """Decodes lines, one or many at once, by the `pattern` of the options."""

    def __init__(self, options: FormatOptions) -> None:
        assert options.pattern is not None, "a stream's file without it is refused"
        self._pattern = LinePattern(options.pattern)
        rejects_stray_bytes = options.encoding == "utf-8" and options.invalid_utf8 == "reject"
        self._text = with_stand_ins if rejects_stray_bytes else text_decoder(options)

    def many(self, payloads: Sequence[bytes], headers: Sequence[bytes | None]) -> Iterator[Fields | MalformedError]:
        """The fields of each line, or why it has none."""
        del headers
        texts = list(map(self._text_or_error, payloads))
        of_lines = pl.Series([text for text in texts if isinstance(text, str)], dtype=pl.String)
        columns, matches = self._pattern.cut(of_lines)
        reasons = iter(self._pattern.reasons(of_lines.filter(~matches)))
        groups = zip(*(column.to_list() for column in columns), strict=True)
        cut = (row if is_match else next(reasons) for is_match, row in zip(matches, groups, strict=True))
        for text, payload in zip(texts, payloads, strict=True):
            yield text if isinstance(text, MalformedError) else self._fields(payload, text, next(cut))

    def _text_or_error(self, payload: bytes) -> str | MalformedError:
        try:
            return self._text(payload)
        except MalformedError as error:
            return error

    def _fields(self, payload: bytes, text: str, cut: tuple[str, ...] | str) -> Fields | MalformedError:
        """The fields of a line by its groups' texts, or by the reason why it has none."""
        if isinstance(cut, str) or not text:
            return MalformedError(str(cut) if text else "is an empty line")
        groups = dict(zip(self._pattern.names, cut, strict=True))
        if self._text is with_stand_ins and has_stand_ins(text, payload):
            for name in (name for name, value in groups.items() if STAND_IN.search(value)):
                return MalformedError(f"{name} is not UTF-8")
        return {name: value or None for name, value in groups.items()}
