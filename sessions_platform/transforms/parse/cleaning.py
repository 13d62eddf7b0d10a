"""Clean the text of one source field: trimmed, null where it stands for nothing, in one spelling.

It is done to each field of `from` and `join` before the fallback is chosen, so that a text that means nothing leads
to the next field. In this order: `trim`; blank texts and `nulls` become null; `case`; `unicode`. Two forms of the same
rules: one text for ``row_parser``, a series for ``vectorized``. What polars and Python might spell differently (case
and normal form outside of ASCII) is left to Python in both, so they agree in every release of Unicode.

Not here: how a field is found (``row_parser``), and how its text becomes a value of a type (``transforms.cast``).
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.typed_values import BYTES_PREFIX

# ASCII's white space: a text of nothing else is blank.
_BLANKS = " \t\n\v\f\r"
# All of Unicode's (property White_Space), which `trim` removes.
WHITE_SPACE = _BLANKS + "\x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
# All blanks sort before the first other character of ASCII that can be seen, and hardly any other text does.
_FIRST_VISIBLE = "!"


@dataclass(frozen=True)
class Cleaning:
    """How the text of a column's source fields is cleaned."""

    nulls: frozenset[str]
    trim: bool = False
    lower: bool = False
    nfc: bool = False

    @classmethod
    def of(cls, stream: Stream, name: str) -> "Cleaning":
        """The cleaning of a column of the stream."""
        column = stream.columns[name]
        nulls = stream.source.nulls if column.nulls is None else column.nulls
        return cls(frozenset(nulls), column.trim, column.case == "lower", column.unicode == "NFC")

    @property
    def rewrites(self) -> bool:
        """Whether a text may become another text, and not only null."""
        return self.trim or self.lower or self.nfc

    def text(self, text: str) -> str | None:
        """A text as the column has it; None where it stands for nothing."""
        text = text.strip(WHITE_SPACE) if self.trim else text
        if not text.strip(_BLANKS) or text in self.nulls:
            return None
        return self._respelled(text)

    def series(self, texts: pl.Series) -> pl.Series:
        """The same for each text (String), in the same order; null where it is null."""
        if self.trim:
            texts = texts.str.strip_chars(WHITE_SPACE)
        if (is_null := self.null_among(texts)) is not None:
            texts = pl.select(pl.when(~pl.lit(is_null)).then(pl.lit(texts))).to_series()
        if self.lower or self.nfc:
            texts = _by_text(texts, self._respelled, texts.str.to_lowercase() if self.lower else texts)
        return texts

    def null_among(self, texts: pl.Series, *, may_be_blank: bool = True) -> pl.Series | None:
        """Which texts (String) stand for nothing as they are (Boolean); None if no text does."""
        found = [_blank_among(texts)] if may_be_blank else []
        if self.nulls:
            found.append(texts.is_in(list(self.nulls)).fill_null(value=False))
        found = [rows for rows in found if rows.any()]
        return found[0] if len(found) == 1 else found[0] | found[1] if found else None

    def _respelled(self, text: str) -> str:
        if text.startswith(BYTES_PREFIX):
            return text  # bytes become text in ``transforms.cast``
        text = text.lower() if self.lower else text
        return unicodedata.normalize("NFC", text) if self.nfc else text


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
    return of_ascii.scatter(others.arg_true(), spelled)
