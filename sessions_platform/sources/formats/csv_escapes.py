"""Escapes of CSV, and how the lines of a file end, for whole texts of bytes.

An escape and the byte behind it are data, whatever that byte is. So records are cut in a *masked* copy of the text, in
which such pairs are replaced by a letter: what is left of separators, quotes and line ends is syntax. Positions in the
copy are positions in the text. What an escape means in a value is in `csv_fields`.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np

from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.formats.text_records import CR, LF, LONGEST_LINE, line_ends

# How much of a file is searched for the end of its first line.
_LONGEST_FIRST_LINE = 8 * 1024 * 1024
_LETTERS = b"abcdef"


class Escapes:
    """Finds what is escaped.

    Args:
        escape: one byte.
        syntax: the other bytes that have a meaning: separators, the quote, the comment.
        comment: begins a line that has no escapes at its end; None for none.
        line_end: LF or CR.
    """

    def __init__(self, escape: bytes, syntax: bytes, comment: bytes | None, line_end: bytes = LF) -> None:
        self._escape = escape
        self._comment = comment
        self._line_end = line_end
        letter = next(letter for letter in _LETTERS if letter not in escape + syntax)
        # In a run of escapes each second one is escaped by the one before it, so these pairs are masked first.
        escaped = [escape, CR + LF, LF, CR, *(bytes([byte]) for byte in syntax)]
        if line_end == CR:
            escaped.remove(CR + LF)
        self._masks = [(escape + text, bytes([letter]) * (1 + len(text))) for text in escaped]

    def masked(self, text: bytes) -> bytes:
        """The text with a letter in place of each escape of syntax and of what it escapes; CR LF is one."""
        if self._escape not in text:
            return text
        masked = text
        for pair, letters in self._masks:
            masked = masked.replace(pair, letters)
        return self._with_ends_of_comments(masked, text) if self._comment else masked

    def _with_ends_of_comments(self, masked: bytes, text: bytes) -> bytes:
        """The masked text, in which comments end with their lines, even if these end with an escape."""
        assert self._comment is not None
        data, restored = np.frombuffer(text, np.uint8), np.frombuffer(masked, np.uint8).copy()
        ends = line_ends(text, self._line_end)
        last = ends[data[np.append(0, ends[:-1])] == self._comment[0]] - 1
        restored[last] = data[last]
        return restored.tobytes()

    def unbroken(self, texts: Iterable[bytes]) -> Iterator[bytes]:
        """The same texts, cut anew so that none ends with an escaped line end, but for the last.

        Raises:
            CorruptDataError: lines that escapes join are longer than LONGEST_LINE, or `texts` raised it.
        """
        held = b""
        for text in texts:
            held += text
            cut = self.masked(held).rfind(self._line_end) + 1 if self._may_end_escaped(held) else len(held)
            if not cut and len(held) > LONGEST_LINE:
                raise CorruptDataError(f"the rest of the file begins with a line of more than {LONGEST_LINE >> 20} MiB")
            if cut:
                yield held[:cut]
                held = held[cut:]
        if held:
            yield held

    def _may_end_escaped(self, text: bytes) -> bool:
        return text.endswith((self._escape + self._line_end, self._escape + CR + LF))


def line_end_of(
    chunks: Iterator[bytes], separators: bytes, quote: bytes | None, escape: bytes | None
) -> tuple[bytes, Iterator[bytes]]:
    """How the lines of a file end, LF or CR, by its first line end outside of quotes; and all of its chunks."""
    either = [rb"\r+\n?", rb"\n", *(re.escape(quote) for quote in (quote,) if quote)]
    if escape:
        either.insert(0, rb"(?P<pair>%b(?:\r\n|(?s:.)))" % re.escape(escape))
    syntax = re.compile(b"|".join(either))
    head = b""
    for chunk in chunks:
        head += chunk
        found = _first_line_end(head, syntax, separators, quote)
        if found or len(head) > _LONGEST_FIRST_LINE:
            return found or LF, chain([head], chunks)
    at_end = _first_line_end(head + b".", syntax, separators, quote)  # of a file that ends with it
    return at_end or LF, iter([head])


def _first_line_end(head: bytes, syntax: re.Pattern[bytes], separators: bytes, quote: bytes | None) -> bytes | None:
    """LF or CR; None if that can't be told yet."""
    is_quoted = False
    for found in syntax.finditer(head):
        start, text = found.start(), found[0]
        if found.lastgroup == "pair":
            continue
        if text == quote:
            is_quoted = not is_quoted and (start == 0 or head[start - 1] in separators)
        elif not is_quoted:
            if text.endswith(LF):
                return LF
            return CR if found.end() < len(head) else None
    return None
