"""How results are printed and saved, and which contexts and user a command works with."""

import getpass
import json
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sessions_platform.cli import terminal
from sessions_platform.cli.messages import say
from sessions_platform.errors import UserError
from sessions_platform.operations.json_text import json_of, printable
from sessions_platform.settings import Settings

__all__ = [
    "contexts",
    "json_of",
    "one_connection",
    "print_document",
    "print_table",
    "printable",
    "save",
    "user",
    "wrapped",
]

_WIDEST, _NARROWEST = 100, 20  # columns: beyond the one lines are hard to read, below the other they are words

if TYPE_CHECKING:
    from sessions_platform.pipeline.context import StreamContext


def contexts(stream: str | None) -> "list[StreamContext]":
    """The contexts of one stream, or of all; the mistakes of broken ones are printed, and they are left out."""
    from sessions_platform.pipeline.context import open_all, open_contexts

    if stream:
        return open_contexts(Settings.from_environment(), [stream])
    opened, broken = open_all(Settings.from_environment())
    for each in broken:
        say(str(each.error), "error")
    return opened


@contextmanager
def one_connection(opened: "Sequence[StreamContext]") -> Iterator[None]:
    """Have contexts that were opened together answer over one connection."""
    with opened[0].database.kept_open() if opened else nullcontext():
        yield


def save(file: Path, text: str) -> None:
    """Write a text file. Raises UserError where the file can't be written."""
    try:
        file.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise UserError(f"{file}: it can't be written: {error.strerror}. Fix: name another file.") from None


def user() -> str:
    """Who runs the command, for the history of decisions."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name on this machine
        return f"user {os.getuid()}"


def wrapped(text: str, columns: int | None, indent: int) -> list[str]:
    """The lines of a text, without what a terminal would obey, so that they fit behind an indent.

    Args:
        text: may have lines.
        columns: of the terminal; None where lines are as long as they are.
        indent: columns that are left free.
    """
    lines = printable(text).splitlines() or [""]
    if columns is None:
        return lines
    width = max(min(columns, _WIDEST) - indent, _NARROWEST)
    return [piece for line in lines for piece in textwrap.wrap(line, width) or [""]]


def print_document(document: Any, as_json: bool) -> None:
    """Print a document as YAML for people, or as one line of JSON."""
    if as_json:
        typer.echo(json_of(document))
    else:
        import yaml

        typer.echo(yaml.safe_dump(json.loads(json_of(document)), sort_keys=False).rstrip())


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print rows, all with the same keys, as a table; on a terminal one that fits, or records."""
    from sessions_platform.cli.tables import Header, fitting, record_lines, table_lines

    if not rows:
        typer.echo("no rows")
        return
    headers = [Header(name, *_kind(row[name] for row in rows)) for name in rows[0]]
    texts = [[None if value is None else str(value) for value in row.values()] for row in rows]
    columns, coloured = terminal.width(), terminal.is_coloured(sys.stdout)
    layout = fitting(headers, texts, columns, terminal.size()[1])
    lines = (
        table_lines(headers, iter(texts), layout, shows_all="--json", coloured=coloured)
        if layout
        else record_lines(headers, iter(texts), columns, coloured=coloured)
    )
    for line in lines:
        typer.echo(line)


def _kind(values: Iterable[Any]) -> tuple[bool, bool]:
    """Whether a column has numbers, and whether it has text that may be cut."""
    kinds = {type(value) for value in values if value is not None}
    return kinds <= {int, float}, str in kinds
