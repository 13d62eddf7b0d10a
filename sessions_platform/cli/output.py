"""How results are printed and saved, and which contexts and user a command works with."""

import getpass
import json
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from sessions_platform.errors import UserError
from sessions_platform.settings import Settings

if TYPE_CHECKING:
    from sessions_platform.pipeline.context import StreamContext


def contexts(stream: str | None) -> "list[StreamContext]":
    """The contexts of one stream, or of all; the mistakes of broken ones are printed, and they are left out."""
    from sessions_platform.pipeline.context import open_all, open_contexts

    if stream:
        return open_contexts(Settings.from_environment(), [stream])
    opened, broken = open_all(Settings.from_environment())
    for each in broken:
        typer.echo(str(each.error), err=True)
    return opened


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


# Control characters move the cursor or change the terminal, and direction marks change what is read.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """The text with characters that a terminal would obey written as escapes, as in `\\x1b`; lines and tabs stay."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def json_of(document: Any) -> str:
    """One line of JSON. What JSON has no number for is a text, as PostgreSQL's to_json has it: "NaN", "Infinity"."""
    text = json.dumps(_without_nan(document), default=str, ensure_ascii=False, allow_nan=False)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _without_nan(item) for key, item in value.items()}
    return [_without_nan(item) for item in value] if isinstance(value, list | tuple) else value


def print_document(document: Any, as_json: bool) -> None:
    """Print a document as YAML for people, or as one line of JSON."""
    if as_json:
        typer.echo(json_of(document))
    else:
        import yaml

        typer.echo(yaml.safe_dump(json.loads(json_of(document)), sort_keys=False).rstrip())


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print rows, all with the same keys, as a table."""
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(Text(printable(name))) for name in (rows[0] if rows else ())))
    for row in rows:
        table.add_row(*(Text("" if value is None else printable(str(value))) for value in row.values()))
    Console().print(table if rows else "no rows")
