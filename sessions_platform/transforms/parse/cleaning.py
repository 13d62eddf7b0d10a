"""Clean the text of one source field: null where it stands for nothing, decoded, one part of it, in one spelling.

It is done to each field of `from` and `join` before the fallback is chosen, so that a text that means nothing leads
to the next field. In this order:

1. `trim`; blank texts and `nulls` become null, as they are in the source;
2. `decode`, `split`, `extract`: each may give null, but not for what `nulls` lists;
3. `trim` and blank texts again, then `case` and `unicode`.

Parts are split before they are decoded where their separators are escaped (haproxy). Two forms of the same rules: a
list of values for ``row_parser``, a series for ``vectorized``. What polars and Python might do differently is left to
one of them in both: letters outside of ASCII and escapes to Python, regular expressions to polars.

Not here: how a field is found (``row_parser``), and how its text becomes a value of a type (``transforms.cast``).
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from sessions_platform.contracts.respelling import Split
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.typed_values import BYTES_PREFIX
from sessions_platform.transforms.parse.decoding import Decoder, Undecodable
from sessions_platform.transforms.parse.unstorable import broken_text_rule

# ASCII's white space: a text of nothing else is blank.
_BLANKS = " \t\n\v\f\r"
# All of Unicode's (property White_Space), which `trim` removes.
WHITE_SPACE = _BLANKS + "\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
# All blanks sort before the first other character of ASCII that can be seen, and hardly any other text does.
_FIRST_VISIBLE = "!"


def is_blank(text: str) -> bool:
    """Whether a text has nothing to be seen."""
    return not text.strip(_BLANKS)


@dataclass(frozen=True)
class Cleaning:
    """How the text of a column's source fields is cleaned."""

    nulls: frozenset[str]
    trim: bool = False
    lower: bool = False
    nfc: bool = False
    decoder: Decoder | None = None
    split: Split | None = None
    extract: str | None = None

    @classmethod
    def of(cls, stream: Stream, name: str) -> "Cleaning":
        """The cleaning of a column of the stream."""
        column, source = stream.columns[name], stream.source
        nulls = frozenset(source.nulls if column.nulls is None else column.nulls)
        decoder = column.decode and Decoder(column.decode, latin_1=source.invalid_utf8 == "latin-1")
        spelling = (column.trim, column.case == "lower", column.unicode == "NFC")
        return cls(nulls, *spelling, decoder or None, column.split, column.extract)

    @property
    def takes_parts(self) -> bool:
        """Whether a text is decoded, split or extracted from."""
        return bool(self.decoder or self.split or self.extract)

    @property
    def rewrites(self) -> bool:
        """Whether a text may become another text, and not only null."""
        return self.trim or self.lower or self.nfc or self.takes_parts

    # One by one --------------------------------------------------------------------------------------------

    def values(self, texts: Sequence[str | None]) -> list[Any]:
        """Each text as the column has it; None where it stands for nothing. One that no text is, is `Undecodable`."""
        stated = [text if text is None else self._stated(text) for text in texts]
        if not self.takes_parts:
            return [text if text is None else self._respelled(text) for text in stated]
        return [self._finished(part) for part in self._parts(stated)]

    def _stated(self, text: str) -> str | None:
        text = text.strip(WHITE_SPACE) if self.trim else text
        return None if is_blank(text) or text in self.nulls else text

    def _parts(self, texts: list[str | None]) -> list[Any]:
        is_text = [text is not None and _is_plain(text) for text in texts]
        plain: list[Any] = [text for text, is_one in zip(texts, is_text, strict=True) if is_one]
        for step in self._steps_of_values():
            plain = step(plain)
        of_plain = iter(plain)
        return [next(of_plain) if is_one else text for text, is_one in zip(texts, is_text, strict=True)]

    def _steps_of_values(self) -> list[Callable[[list[Any]], list[Any]]]:
        decode = [_each(self.decoder.text)] if self.decoder else []
        split = [_each(partial(_part, split=self.split))] if self.split else []
        extract = [partial(_extracted_values, pattern=self.extract)] if self.extract else []
        splits_first = self.decoder is not None and self.decoder.splits_first
        opened = [_each(_without_braces)] if splits_first else []
        return [*opened, *split, *decode, *extract] if splits_first else [*decode, *split, *extract]

    def _finished(self, part: Any) -> Any:
        if not isinstance(part, str):
            return part
        part = part.strip(WHITE_SPACE) if self.trim else part
        return None if is_blank(part) else self._respelled(part)

    def _respelled(self, text: str) -> str:
        if text.startswith(BYTES_PREFIX):
            return text  # bytes become text in ``transforms.cast``
        text = text.lower() if self.lower else text
        return unicodedata.normalize("NFC", text) if self.nfc else text

    # Many at once ------------------------------------------------------------------------------------------

    def series(self, texts: pl.Series) -> pl.Series:
        """The same for each text (String), in the same order; null where it is null. None may be undecodable."""
        texts = self._stated_series(texts, self.nulls)
        if self.takes_parts:
            is_bytes = texts.str.starts_with(BYTES_PREFIX).fill_null(value=False)
            texts = _but_for(is_bytes, texts, self._parts_of_series(texts))
            texts = self._stated_series(texts, frozenset())
        if self.lower or self.nfc:
            texts = _by_text(texts, self._respelled, texts.str.to_lowercase() if self.lower else texts)
        return texts

    def undecodable_among(self, texts: pl.Series) -> pl.Series | None:
        """Which texts (String) the decoder may find undecodable (Boolean); None if it can't be any of them."""
        if self.decoder is None:
            return None
        if self.decoder.splits_first:
            texts = self._split(_series_without_braces(texts))
        doubtful = texts.str.contains(self.decoder.doubtful).fill_null(value=False).arg_true()
        found = [isinstance(self.decoder.text(text), Undecodable) for text in texts.gather(doubtful)]
        if not any(found):
            return None
        return pl.Series([False]).new_from_index(0, len(texts)).scatter(doubtful.filter(pl.Series(found)), True)

    def null_among(self, texts: pl.Series, *, may_be_blank: bool = True) -> pl.Series | None:
        """Which texts (String) stand for nothing as they are (Boolean); None if no text does."""
        return _null_among(texts, self.nulls, may_be_blank=may_be_blank)

    def _stated_series(self, texts: pl.Series, nulls: frozenset[str]) -> pl.Series:
        if self.trim:
            texts = texts.str.strip_chars(WHITE_SPACE)
        is_null = _null_among(texts, nulls)
        return texts if is_null is None else _but_for(is_null, None, texts)

    def _parts_of_series(self, texts: pl.Series) -> pl.Series:
        steps = [self._decoded, self._split, self._extracted]
        if self.decoder is not None and self.decoder.splits_first:
            steps = [_series_without_braces, self._split, self._decoded, self._extracted]
        for step in steps:
            texts = step(texts)
        return texts

    def _decoded(self, texts: pl.Series) -> pl.Series:
        if self.decoder is None:
            return texts
        escaped = texts.str.contains(self.decoder.escapes).fill_null(value=False).arg_true()
        decoded = [self.decoder.text(text) for text in texts.gather(escaped)]
        return _replaced(texts, escaped, [text if isinstance(text, str) else None for text in decoded])

    def _split(self, texts: pl.Series) -> pl.Series:
        if self.split is None:
            return texts
        return texts.str.split(self.split.separator).list.get(self.split.part, null_on_oob=True)

    def _extracted(self, texts: pl.Series) -> pl.Series:
        return texts if self.extract is None else extracted(texts, self.extract)


def extracted(texts: pl.Series, pattern: str) -> pl.Series:
    """The group of a pattern in each text (String), or all that it matches; null where it doesn't match."""
    groups = texts.str.extract_groups(pattern).struct.fields if len(texts) else []
    return texts.str.extract(pattern, len(groups[:1]))


def _extracted_values(values: list[Any], pattern: str | None) -> list[Any]:
    texts = pl.Series([value if isinstance(value, str) else None for value in values], dtype=pl.String)
    parts = extracted(texts, pattern or "")
    return [part if isinstance(value, str) else value for value, part in zip(values, parts, strict=True)]


def _each(step: Callable[[str], Any]) -> Callable[[list[Any]], list[Any]]:
    """A step of one text as a step of many, of which those that are none any more stay."""
    return lambda values: [step(value) if isinstance(value, str) else value for value in values]


def _part(text: str, split: Split) -> str | None:
    parts = text.split(split.separator)
    return parts[split.part] if -len(parts) <= split.part < len(parts) else None


def _is_plain(text: str) -> bool:
    """Whether it stands for itself, and can be stored: another one is rejected, or becomes text in ``cast``."""
    return not text.startswith(BYTES_PREFIX) and broken_text_rule(text) is None


def _without_braces(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == "{" and text[-1] == "}" else text


def _series_without_braces(texts: pl.Series) -> pl.Series:
    return texts.str.replace(r"(?s)^\{(.*)\}$", "$1")


def _but_for(rows: pl.Series, these: pl.Series | None, others: pl.Series) -> pl.Series:
    """The `others`, but `these` in the rows for which it is true."""
    if not rows.any():
        return others
    return pl.select(pl.when(pl.lit(rows)).then(pl.lit(these)).otherwise(pl.lit(others)).cast(pl.String)).to_series()


def _null_among(texts: pl.Series, nulls: frozenset[str], *, may_be_blank: bool = True) -> pl.Series | None:
    found = [_blank_among(texts)] if may_be_blank else []
    if nulls:
        found.append(texts.is_in(list(nulls)).fill_null(value=False))
    found = [rows for rows in found if rows.any()]
    return found[0] if len(found) == 1 else found[0] | found[1] if found else None


def _blank_among(texts: pl.Series) -> pl.Series:
    before_visible, empty = texts < _FIRST_VISIBLE, texts == ""
    if before_visible.sum() > empty.sum():
        at = before_visible.arg_true()
        visible = at.filter(texts.gather(at).str.strip_chars(_BLANKS) != "")
        empty = before_visible.scatter(visible, values=False)
    return empty.fill_null(value=False) if texts.null_count() else empty


def _by_text(texts: pl.Series, respelled: Callable[[str], str], of_ascii: pl.Series) -> pl.Series:
    """ASCII texts as polars spelled them, the others, and those that stand for bytes, one by one."""
    others = texts.str.len_bytes() != texts.str.len_chars()
    others = (others | texts.str.starts_with(BYTES_PREFIX)).fill_null(value=False)
    if not others.any():
        return of_ascii
    spelled = [respelled(text) for text in texts.filter(others)]
    return _replaced(of_ascii, others.arg_true(), spelled)


def _replaced(texts: pl.Series, rows: pl.Series, by: Sequence[str | None]) -> pl.Series:
    """The texts, with other ones in these rows. A copy, since other columns may be made of the same texts."""
    return texts.clone().scatter(rows, pl.Series(by, dtype=pl.String))
