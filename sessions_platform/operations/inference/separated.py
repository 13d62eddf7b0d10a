"""Fields between separators: which separator, quotes, escapes and header a text of CSV has.

Each separator that is usual is tried with Python's `csv` reader. The one counts by which all records, the first among
them, have the same number of fields; of several the one with the most fields. `csv.Sniffer` is not used: it goes by how
often a character occurs in a line, so that it takes a letter of the words for a separator where it finds no other.
"""

import csv
import io
import re
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import Any

Found = tuple[dict[str, Any], str, tuple[str, ...]]

SEPARATORS = (",", "\t", ";", "|", "\x01", "\x1f", "^", "~")
_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "bars", "\x01": "the character U+0001",
          "\x1f": "the character U+001F"}  # fmt: skip
_RECORDS = 500
_LEAST = 0.9
_NAME = re.compile(r"^[\w #@$%/()\[\].:*?&+-]{1,80}$")
_NUMBER = re.compile(r"^[+-]?\d[\d.,]*(?:[eE][+-]?\d+)?$")
_DATE = re.compile(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}|^\d{1,2}:\d{2}")
_VALUE = re.compile(
    r"^(?:[0-9a-f]{8}-[0-9a-f]{4}-.*|https?://.*|/.*|[^@\s]+@[^@\s]+\.\w+|-|true|false)$", re.IGNORECASE
)


@dataclass(frozen=True)
class _Cut:
    """The records of a text by one way of cutting, and how good that is."""

    separator: str
    quote: str | None
    escape: str | None
    records: list[list[str]]

    @property
    def width(self) -> int:
        """The most frequent number of fields."""
        return Counter(map(len, self.records)).most_common(1)[0][0]

    @property
    def share(self) -> float:
        """The share of records with that number."""
        return sum(len(record) == self.width for record in self.records) / len(self.records)


def csv_format(text: str, *, is_whole: bool) -> Found | None:
    """The options of a text of CSV, what it is in words, and notes; None where no separator cuts it evenly."""
    is_of_cr = "\r" in text and "\n" not in text
    lines = text.replace("\r", "\n").splitlines(keepends=True) if is_of_cr else text.splitlines(keepends=True)
    comment = _comment(lines)
    body = "".join(line for line in lines if not (comment and line.startswith(comment)))
    best = _best(body, is_whole=is_whole)
    if best is None:
        return None
    options: dict[str, Any] = {"format": "csv"}
    if best.separator != ",":
        options["separator"] = best.separator
    if best.quote != '"':
        options["quote"] = best.quote
    options |= {name: value for name, value in (("escape", best.escape), ("comment", comment)) if value}
    if is_of_cr:
        options["line_end"] = "auto"
    has_header = first_is_header(best.records)
    if not has_header:
        options["header"] = [f"field_{number}" for number in range(1, best.width + 1)]
    options |= _uneven(best)
    between = "blanks" if best.separator == "whitespace" else _NAMES.get(best.separator, repr(best.separator))
    header = "a header" if has_header else "no header, so the fields are named by their numbers"
    return options, f"CSV, {best.width} fields between {between}, {header}", ()


def _uneven(best: _Cut) -> dict[str, Any]:
    """The options by which records with more or fewer fields than the first are rows."""
    expected = len(best.records[0])
    fewer = sum(len(record) < expected for record in best.records)
    more = sum(len(record) > expected for record in best.records)
    of = len(best.records)
    options = {"extra_fields": "keep"} if more * 200 > of else {}
    return options | ({"missing_fields": "null"} if fewer * 200 > of else {})


def _comment(lines: list[str]) -> str | None:
    """`#` where lines above the records begin with it, and are cut otherwise than the records."""
    above = 0
    while above < len(lines) and lines[above].startswith("#"):
        above += 1
    if not above or above == len(lines):
        return None
    as_record = any(
        lines[above - 1].count(mark) == lines[above].count(mark) > 0 for mark in SEPARATORS if mark in lines[above]
    )
    return None if above == 1 and as_record else "#"


def _best(text: str, *, is_whole: bool) -> _Cut | None:
    cuts = [cut for separator in SEPARATORS if (cut := _cut(text, separator, is_whole=is_whole))]
    if not cuts and (blanks := _blanks(text, is_whole=is_whole)):
        return blanks
    return max(cuts, key=lambda cut: (cut.share > 0.98, cut.width, cut.share), default=None)


def _cut(text: str, separator: str, *, is_whole: bool) -> _Cut | None:
    """The best way to cut a text at a separator; None where its records have one field, or uneven numbers of them."""
    if separator not in text:
        return None
    ways: list[tuple[str | None, str | None]] = [('"', None)]
    if '"' in text:
        ways.append((None, None))
    if re.search(rf"(?:^|{re.escape(separator)})'[^'\n]*'(?:{re.escape(separator)}|$)", text, re.MULTILINE):
        ways.append(("'", None))
    if f"\\{separator}" in text or '\\"' in text or "\\\n" in text:
        ways += [('"' if '"' in text else None, "\\"), (None, "\\")]
    cuts = [cut for quote, escape in ways if (cut := _records(text, separator, quote, escape, is_whole=is_whole))]
    fitting = [cut for cut in cuts if cut.width > 1 and cut.share >= _LEAST and _begins_evenly(cut)]
    return max(fitting, key=lambda cut: round(cut.share, 2), default=None)


def _begins_evenly(cut: _Cut) -> bool:
    """Whether the first record has as many fields as most, or one fewer, as above rows that end in a separator."""
    first = len(cut.records[0])
    return first == cut.width or (first == cut.width - 1 and not cut.records[1][-1])


def _records(text: str, separator: str, quote: str | None, escape: str | None, *, is_whole: bool) -> _Cut | None:
    how: dict[str, Any] = {"quoting": csv.QUOTE_NONE} if quote is None else {"quotechar": quote}
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, escapechar=escape, **how)
    try:
        records = [record for record in islice(reader, _RECORDS + 1) if record]
    except csv.Error:
        return None
    records = records if is_whole and len(records) <= _RECORDS else records[:-1]
    return _Cut(separator, quote, escape, records) if records else None


def _blanks(text: str, *, is_whole: bool) -> _Cut | None:
    """A text whose fields runs of blanks separate, each record with the same number of three or more."""
    lines = [line for line in text.splitlines() if line.strip()]
    records = [line.split() for line in (lines if is_whole else lines[:-1])[:_RECORDS]]
    if len(records) < 3:
        return None
    cut = _Cut("whitespace", '"', None, records)
    return cut if cut.width > 2 and cut.share > 0.98 else None


def first_is_header(records: list[list[str]]) -> bool:
    """Whether the first record names the fields: each a name, none twice, none that is a value further below."""
    first, rows = [name.strip() for name in records[0]], records[1:]
    if not all(first) or len(set(first)) < len(first) or not all(map(_NAME.match, first)):
        return False
    if any(_NUMBER.match(name) or _DATE.match(name) or _VALUE.match(name) for name in first):
        return False
    if not rows:
        return True
    repeated = sum(any(len(row) > at and row[at] == name for row in rows) for at, name in enumerate(first))
    return repeated == 0 or (repeated < len(first) / 2 and _types_differ(first, rows))


def _types_differ(first: list[str], rows: list[list[str]]) -> bool:
    """Whether some column has numbers or times below a first field that is neither."""
    for at in range(len(first)):
        values = [row[at] for row in rows if len(row) > at and row[at]]
        if values and all(_NUMBER.match(value) or _DATE.match(value) for value in values):
            return True
    return False
