"""How results are printed and saved, and which contexts and user a command works with."""

import getpass
import json
import os
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


def print_document(document: Any, as_json: bool) -> None:
    """Print a document as YAML for people, or as one line of JSON."""
    if as_json:
        typer.echo(json.dumps(document, default=str, ensure_ascii=False))
    else:
        import yaml

        typer.echo(yaml.safe_dump(json.loads(json.dumps(document, default=str)), sort_keys=False).rstrip())


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print rows, all with the same keys, as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*(rows[0] if rows else ()))
    for row in rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    Console().print(table if rows else "no rows")
