"""Messages of PostgreSQL's plugin pgoutput, and the rows of one table that they insert and update.

The format is that of PostgreSQL's documentation, "Logical Replication Message Formats", protocol version 1 without
`binary`: each value is the text of its type's output function. Not here: asking for messages (`slot`, `changes`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sessions_platform.sources.errors import SourceRefusedError

_NULL, _UNCHANGED, _TEXT = b"nut"
_KEY_ONLY, _WHOLE = b"KO"
_NO_VALUE = b"null"
_ODD = re.compile(rb'[\x00-\x1f"\\]')
_ESCAPES = {b"\b": rb"\b", b"\f": rb"\f", b"\n": rb"\n", b"\r": rb"\r", b"\t": rb"\t", b'"': rb"\"", b"\\": rb"\\"}


@dataclass(frozen=True)
class _Relation:
    """A table as one relation message has it; `columns` are names as keys of JSON, each with its colon."""

    name: str
    columns: Sequence[bytes]


class Changes:
    """Takes the messages of transactions in order, and gives the rows of one table as JSON.

    A row is an object whose values are texts, or null. Only transactions count whose commit lies at `after` or behind
    it, and before `upto`.

    Attributes:
        deletes, truncates: how many there were of the table by now.
    """

    def __init__(self, place: str, table: str, after: int, upto: int) -> None:
        self.deletes = self.truncates = 0
        self._place, self._table, self._after, self._upto = place, table, after, upto
        self._relations: dict[int, _Relation] = {}
        self._counts = False

    def row(self, message: bytes) -> bytes | None:
        """The row that a message inserts or updates; None where it does neither, or not in the table."""
        kind = message[:1]
        if kind == b"B":
            self._counts = self._after <= _number(message, 1, 8) < self._upto
        elif kind == b"R":
            self._relations[_number(message, 1, 4)] = _relation(message)
        elif kind == b"T" and self._counts:
            oids = (_number(message, at, 4) for at in range(6, len(message), 4))
            self.truncates += any(self._is_of_table(oid) for oid in oids)
        elif kind in (b"I", b"U", b"D") and self._counts and self._is_of_table(_number(message, 1, 4)):
            return self._changed(kind, message)
        return None

    def _is_of_table(self, oid: int) -> bool:
        return oid in self._relations and self._relations[oid].name == self._table

    def _changed(self, kind: bytes, message: bytes) -> bytes | None:
        if kind == b"D":
            self.deletes += 1
            return None
        at, before = 5, None
        if message[at] in (_KEY_ONLY, _WHOLE):
            is_whole = message[at] == _WHOLE
            values, at = self._values(message, at + 1, None)
            before = values if is_whole else None
        columns = self._relations[_number(message, 1, 4)].columns
        values, _ = self._values(message, at + 1, before)
        return b"{%b}" % b",".join(map(bytes.__add__, columns, values))

    def _values(self, message: bytes, at: int, before: Sequence[bytes] | None) -> tuple[list[bytes], int]:
        """The values of a row as JSON, and where they end."""
        values: list[bytes] = []
        count, at = _number(message, at, 2), at + 2
        for place in range(count):
            kind, at = message[at], at + 1
            if kind == _TEXT:
                end = at + 4 + _number(message, at, 4)
                values.append(_quoted(message[at + 4 : end]))
                at = end
            elif kind == _NULL:
                values.append(_NO_VALUE)
            elif before is not None:
                values.append(before[place])
            else:
                raise self._without_value()
        return values, at

    def _without_value(self) -> SourceRefusedError:
        return SourceRefusedError(
            f"{self._place}: an update did not send a long value that it left as it was, because the table had no "
            f"replica identity full then. Fix: alter table {self._table} replica identity full, create a slot of "
            "another name, and name it in source.incremental.slot: the table is then read anew, and what was read "
            "before is a duplicate."
        )


def _relation(message: bytes) -> _Relation:
    namespace, at = _text(message, 5)
    name, at = _text(message, at)
    count, at = _number(message, at + 1, 2), at + 3
    columns: list[bytes] = []
    for _ in range(count):
        column, at = _text(message, at + 1)
        columns.append(_quoted(column) + b":")
        at += 8  # its type and the type's modifier
    return _Relation(f"{namespace.decode()}.{name.decode()}", columns)


def _number(message: bytes, at: int, size: int) -> int:
    return int.from_bytes(message[at : at + size], "big")


def _text(message: bytes, at: int) -> tuple[bytes, int]:
    end = message.index(0, at)
    return message[at:end], end + 1


def _quoted(text: bytes) -> bytes:
    """A text in JSON, escaped as PostgreSQL's own JSON is."""
    return b'"%b"' % (_ODD.sub(_escaped, text) if _ODD.search(text) else text)


def _escaped(found: re.Match[bytes]) -> bytes:
    return _ESCAPES.get(found[0]) or b"\\u%04x" % found[0][0]
