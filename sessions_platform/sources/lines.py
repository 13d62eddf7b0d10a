"""Text cut into lines and CSV records, none of them understood, no byte of them lost."""

import io
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from sessions_platform.sources.unreadable import Unreadable

# A line has to fit into memory several times over, and a rejected one into a field of PostgreSQL.
LONGEST_LINE = 128 * 1024 * 1024
# A quote that is still open so far behind was opened by mistake, and must not hold the file in memory.
LONGEST_OPEN_RECORD = 8 * 1024 * 1024


class Lines(NamedTuple):
    """Lines or records of one text, and the line end of each: LF, CR LF, or nothing at the end of the file."""

    payloads: list[bytes]
    ends: list[bytes]


def whole_lines(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The same text, cut only after a newline; what follows the last one comes last.

    Raises Unreadable at a line that is too long to be held. No text may be as long as that itself.
    """
    begun: list[bytes] = []
    held = 0
    for text in texts:
        first = text.find(b"\n")
        if held + (len(text) if first < 0 else first) > LONGEST_LINE:
            raise Unreadable(f"the rest of the file begins with a line of more than {LONGEST_LINE >> 20} MiB")
        end = text.rfind(b"\n") + 1
        begun.append(text[:end] or text)
        held += len(begun[-1])
        if end:
            whole, begun, held = b"".join(begun), [text[end:]], len(text) - end
            yield whole
            del whole
    if rest := b"".join(begun):
        yield rest


def lines(text: bytes) -> Lines:
    """Newlines end a line, with the carriage return before them. Other carriage returns are data."""
    if b"\r" not in text:
        return _ended(text.split(b"\n"), b"\n")
    if text.count(b"\r\n") == text.count(b"\n"):
        return _ended(text.replace(b"\r\n", b"\n").split(b"\n"), b"\r\n")
    return _without_ends(list(io.BytesIO(text)))


def _ended(payloads: list[bytes], end: bytes) -> Lines:
    ends = [end] * (len(payloads) - 1)
    return Lines(payloads, [*ends, b""]) if payloads[-1] else Lines(payloads[:-1], ends)


def _without_ends(pieces: list[bytes]) -> Lines:
    ends = [b"\r\n" if piece.endswith(b"\r\n") else b"\n" if piece.endswith(b"\n") else b"" for piece in pieces]
    return Lines([piece[: len(piece) - len(end)] for piece, end in zip(pieces, ends, strict=True)], ends)


class Records:
    """Cuts CSV into records: a quoted field may hold line ends.

    A line with an even number of quotes is a record by itself. On any other a field may open
    that is closed on a later line, by a quote with a separator or a line end behind it. Where
    something else is behind it, or it isn't closed within LONGEST_OPEN_RECORD or the file, it
    was opened by mistake: the lines from the opening one on are records each by itself. So
    one stray quote costs the row that it stands in, and none of the rows behind.
    """

    def __init__(self, separator: bytes, quote: bytes) -> None:
        # Atomic groups, so that no long record is tried in many ways. Possessive repeats would say the same
        # in fewer signs, but Python 3.11.2, which Debian 12 has, gets nested ones wrong.
        inside = rb"(?>[^Q]*(?:QQ[^Q]*)*)"
        field = rb"(?:Q" + inside + rb"Q|(?!Q)(?>[^S]*))"
        more = rb"(?>(?:S" + field + rb")*)"
        self._quote = quote
        self._whole = self._pattern(field + more, separator)
        self._opens = self._pattern(rb"(?>(?:" + field + rb"S)*)Q" + inside, separator)
        self._closes = self._pattern(inside + rb"Q" + more + rb"(?:\r?\n)?", separator)
        self._stays_open = self._pattern(inside + rb"(?:Q" + more + rb"SQ" + inside + rb")?", separator)

    def _pattern(self, spelled: bytes, separator: bytes) -> re.Pattern[bytes]:
        escaped = {b"Q": re.escape(self._quote), b"S": re.escape(separator)}
        return re.compile(re.sub(rb"[QS]", lambda found: escaped[found[0]], spelled))

    def is_whole(self, record: bytes) -> bool:
        return self._whole.fullmatch(record) is not None

    def cut(self, texts: Iterable[bytes]) -> Iterator[Lines]:
        """The records of texts that are whole lines."""
        self._opened: list[bytes] = []
        self._held = 0
        for text in texts:
            if not self._opened and not self._may_open(text):
                yield lines(text)
                continue
            records: list[bytes] = []
            for line in io.BytesIO(text):
                if self._opened:
                    self._go_on(line, records)
                else:
                    self._begin(line, records)
            yield _without_ends(records)
        yield _without_ends(self._opened)

    def _may_open(self, text: bytes) -> bool:
        return self._quote in text and any(line.count(self._quote) % 2 for line in io.BytesIO(text))

    def _begin(self, line: bytes, records: list[bytes]) -> None:
        if line.count(self._quote) % 2 and self._opens.fullmatch(line):
            self._hold(line, records)
        else:
            records.append(line)

    def _go_on(self, line: bytes, records: list[bytes]) -> None:
        if self._quote not in line or self._stays_open.fullmatch(line):
            self._hold(line, records)
        elif self._closes.fullmatch(line):
            records.append(b"".join([*self._opened, line]))
            self._opened, self._held = [], 0
        else:
            self._give_up(records)
            self._begin(line, records)

    def _hold(self, line: bytes, records: list[bytes]) -> None:
        self._opened.append(line)
        self._held += len(line)
        if self._held > LONGEST_OPEN_RECORD:
            self._give_up(records)

    def _give_up(self, records: list[bytes]) -> None:
        records += self._opened
        self._opened, self._held = [], 0
