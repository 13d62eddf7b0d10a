"""Rows as a table that fits a terminal, or as a record each where a row is too wide to be read.

Here belongs the layout, in lines of text. Not here: where rows come from, and whether there is a terminal, which
is in `terminal.py`.
"""

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sessions_platform.cli.terminal import styled
from sessions_platform.operations.json_text import printable

_SEPARATOR = "  "
_RULE = "─"
_READABLE = 12  # columns that a text keeps at least
_WIDEST = 60  # columns that a text takes at most while others are cut, too
_LEAST_SHOWN = 3  # a table of fewer of its columns says less than records
_NAME_STAYS = 10  # columns up to which a name is not divided into lines
_NULL = "NULL"
# What tells most about a row, in the order in which it is shown where not all columns fit.
_KEYS = (
    *("id", "stream", "user_id", "session_start", "event_timestamp", "event_type", "duration_seconds", "event_count"),
    *("primary_action", "entry_page", "exit_page", "landing_partition", "session_partition", "reasons", "payload"),
    *("session_end", "session_id", "event_id", "rejection_id"),
)

Row = Sequence[str | None]


@dataclass(frozen=True)
class Header:
    """A column: its name, and whether its values are numbers, which are to the right, or text, which may be cut."""

    name: str
    is_number: bool = False
    is_text: bool = True


@dataclass(frozen=True)
class Layout:
    """Which columns a table has, by index and in order, how wide each is, and whether longer texts are cut."""

    shown: tuple[int, ...]
    widths: tuple[int, ...]
    cuts: bool


def fitting(headers: Sequence[Header], rows: Sequence[Row], columns: int | None, lines: int) -> Layout | None:
    """The layout of a table within so many columns; None where records are easier to read.

    Records are, if fewer than three columns of a table would fit, or if the records of all rows fit on the screen.

    Args:
        headers: of all columns.
        rows: the first ones, by which widths are chosen.
        columns: of the terminal; None where nothing has to fit.
        lines: of the terminal.
    """
    widths = [_Widths.of(header, [row[at] for row in rows]) for at, header in enumerate(headers)]
    every = range(len(headers))
    if (layout := _layout(every, widths, columns)) or columns is None:
        return layout
    if len(rows) * (len(headers) + 1) < lines:
        return None
    best = None
    for count in range(1, len(headers)):
        shown = sorted(every, key=lambda at: _rank(headers[at].name))[:count]
        layout = _layout(shown, widths, columns)
        if layout is None:
            break
        best = layout
    return best if best and len(best.shown) >= _LEAST_SHOWN else None


def table_lines(
    headers: Sequence[Header], rows: Iterator[Row], layout: Layout, *, shows_all: str, coloured: bool
) -> Iterator[str]:
    """The header, a rule, and a line for each row; where columns are left out, they are named, with what shows them."""
    shown = [headers[at] for at in layout.shown]
    bold = partial(styled, style="bold", coloured=coloured)
    dim = partial(styled, style="dim", coloured=coloured)
    for line in _title_lines(shown, layout.widths):
        yield bold(line)
    yield dim(_SEPARATOR.join(_RULE * width for width in layout.widths))
    for row in rows:
        cells = [
            _value(row[at], header, width, dim, cuts=layout.cuts)
            for at, header, width in zip(layout.shown, shown, layout.widths, strict=True)
        ]
        yield _SEPARATOR.join(cells).rstrip()
    left_out = [printable(header.name) for at, header in enumerate(headers) if at not in layout.shown]
    if left_out:
        said = f"{len(shown)} of {len(headers)} columns fit; {shows_all} shows {', '.join(left_out)}"
        yield from map(dim, textwrap.wrap(said, max(sum(layout.widths) + len(_SEPARATOR) * (len(shown) - 1), 40)))


def record_lines(
    headers: Sequence[Header], rows: Iterator[Row], columns: int | None, *, coloured: bool
) -> Iterator[str]:
    """A block for each row, with a line for each column; long values go on in further lines, and nothing is cut."""
    names = [_cell(header.name) for header in headers]
    label = max(map(_width, names), default=0)
    if columns is not None:
        label = min(label, max(columns // 2, 1))
    space = None if columns is None else max(columns - label - len(_SEPARATOR), 8)
    for number, row in enumerate(rows, 1):
        title = f"{_RULE}{_RULE} {number} "
        yield styled(title + _RULE * max((columns or 40) - len(title), 0), "dim", coloured=coloured)
        for name, value in zip(names, row, strict=True):
            first, *others = [_NULL] if value is None else _pieces(printable(value), space)
            text = styled(first, "dim", coloured=coloured) if value is None else first
            yield f"{styled(_fitted(name, label), 'bold', coloured=coloured)}{_SEPARATOR}{text}".rstrip()
            yield from (" " * label + _SEPARATOR + other for other in others)


@dataclass(frozen=True)
class _Widths:
    """Of a column: its name's, that of values and name, that of values and the name in several lines, and the least."""

    name: int
    whole: int
    divided: int
    least: int

    @classmethod
    def of(cls, header: Header, values: Sequence[str | None]) -> "_Widths":
        cells = max((_width(_NULL if value is None else _cell(value)) for value in values), default=0)
        name = _cell(header.name)
        piece = max(min(_width(name), _NAME_STAYS), *map(_width, _name_pieces(name)))
        divided = max(cells, piece)
        least = min(divided, max(_READABLE, piece)) if header.is_text else divided
        return cls(_width(name), max(cells, _width(name)), divided, least)


def _layout(shown: Sequence[int], widths: Sequence[_Widths], columns: int | None) -> Layout | None:
    """The widths of these columns: in full, else with names in several lines, else with long texts cut, else None."""
    of_shown = [widths[at] for at in shown]
    space = None if columns is None else columns - len(_SEPARATOR) * (len(of_shown) - 1)
    whole = [width.whole for width in of_shown]
    if space is None or sum(whole) <= space:
        return Layout(tuple(shown), tuple(whole), cuts=columns is not None)
    divided = [width.divided for width in of_shown]
    for most in range(_WIDEST, _READABLE - 1, -1):
        cut = [max(min(width.divided, most), width.least) for width in of_shown]
        chosen = divided if sum(divided) <= space else cut
        if sum(chosen) <= space:
            return Layout(tuple(shown), _with_whole_names(chosen, of_shown, space), cuts=True)
    return None


def _with_whole_names(chosen: Sequence[int], widths: Sequence[_Widths], space: int) -> tuple[int, ...]:
    """The widths, and where there is space left, those of the first columns as wide as their names are."""
    left = space - sum(chosen)
    result = []
    for width, of_column in zip(chosen, widths, strict=True):
        more = max(of_column.name - width, 0)
        result.append(width + more if more <= left else width)
        left -= result[-1] - width
    return tuple(result)


def _rank(name: str) -> int:
    return _KEYS.index(name) if name in _KEYS else len(_KEYS)


def _title_lines(headers: Sequence[Header], widths: Sequence[int]) -> list[str]:
    """The names, each in as many lines as its column's width makes of it; they end on the same line."""
    names = [_title(_cell(header.name), width) for header, width in zip(headers, widths, strict=True)]
    height = max(map(len, names), default=0)
    filled = [[""] * (height - len(name)) + name for name in names]
    return [
        _SEPARATOR.join(
            _padded(name[line], width, header) for name, width, header in zip(filled, widths, headers, strict=True)
        ).rstrip()
        for line in range(height)
    ]


def _title(name: str, width: int) -> list[str]:
    lines = [""]
    for piece in _name_pieces(name):
        if lines[-1] and _width(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return lines


def _name_pieces(name: str) -> list[str]:
    """A name where it may be divided: after underscores and spaces."""
    return re.findall(r"[^_ ]+[_ ]*|[_ ]+", name) or [""]


def _cell(text: str) -> str:
    """A value in one line; what a terminal would obey, ends of lines and tabs too, is written as escapes."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _value(value: str | None, header: Header, width: int, dim: Callable[[str], str], *, cuts: bool) -> str:
    if value is None:
        return _padded(_NULL, width, header).replace(_NULL, dim(_NULL))
    return _padded(_cell(value), width, header, cuts=cuts)


def _padded(text: str, width: int, header: Header, *, cuts: bool = True) -> str:
    """The text in its column. A number is never cut, since it would be read as another one."""
    if _width(text) > width and not (cuts and header.is_text):
        return text
    if header.is_number:
        return " " * (width - _width(text)) + text
    return _fitted(text, width)


def _fitted(text: str, width: int) -> str:
    """Cut with … or filled with spaces to so many columns; letters of East Asia take two, and accents none."""
    from rich.cells import set_cell_size

    if _width(text) <= width:
        return text + " " * (width - _width(text))
    if "/" in text and " " not in text:  # of paths and URLs the end says more than the middle
        end = text[-(width // 2) :]
        return set_cell_size(text, width - 1 - _width(end)) + "…" + end
    return set_cell_size(text, width - 1) + "…"


def _pieces(text: str, width: int | None) -> list[str]:
    """The lines of a value, each divided where it is too long."""
    lines = text.expandtabs(4).split("\n")
    if width is None:
        return lines
    from rich.cells import chop_cells

    return [piece for line in lines for piece in (chop_cells(line, width) if line else [""])]


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
