"""Where the result of `sql` goes: a terminal, a pipe or a file, and as what.

Here belongs the choice of a format, and that a file is whole or not there. Not here: how values are read
(`storage/postgres/results.py`), the formats (`operations/export.py`) and the layout of tables (`tables.py`).
"""

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from sessions_platform.cli import terminal
from sessions_platform.cli.failures import IncompleteOutputError
from sessions_platform.errors import UserError

if TYPE_CHECKING:
    from sessions_platform.operations.export import Format, Sink
    from sessions_platform.storage.postgres.database import Database
    from sessions_platform.storage.postgres.results import Result

_LAID_OUT_BY = 500  # rows by which the widths of a table are chosen
_NUMBERS = ("int2", "int4", "int8", "oid", "float4", "float8", "numeric", "money")
_NEVER_CUT = ("bool", "date", "time", "timestamp", "timestamptz", "timetz")
_SUFFIXES = {".parquet": "parquet", ".pq": "parquet", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "json"}


class View(StrEnum):
    """What `sql` prints."""

    table = "table"
    record = "record"
    csv = "csv"
    ndjson = "ndjson"
    json = "json"
    parquet = "parquet"


def print_result(database: "Database", query: str, view: View | None, file: Path | None) -> None:
    """Print the result of a query, or write it to a file.

    Args:
        database: which is queried as the reader.
        query: one statement.
        view: by default, of a file what its name says; for a terminal a table, or records where a row is too wide; and
            CSV for a pipe.
        file: the file to write; a regular one is replaced once it is complete.

    Raises:
        UserError: the query, or the choice of format and file.
        IncompleteOutputError: the database failed after some rows were printed.
    """
    if (view is None and file is None and terminal.is_terminal(sys.stdout)) or view in (View.table, View.record):
        if file is not None:
            raise UserError(f"--format {view} is for people. Fix: for a file, choose csv, ndjson, json or parquet.")
        _print_for_people(database, query, view)
        return
    from sessions_platform.operations.export import Format

    form = Format(view or _SUFFIXES.get(file.suffix.lower() if file else "", "csv"))
    if file is not None:
        with _whole(file) as sink:
            _write(database, query, form, sink)
    else:
        _print_for_programs(database, query, form)


def _print_for_people(database: "Database", query: str, view: View | None) -> None:
    from sessions_platform.storage.postgres.results import Values

    printed = False
    try:
        with database.result(query, Values.text) as result:
            for line in _lines(result, view):
                typer.echo(line)
                printed = True
    except Exception as error:
        _fail_if_printed(error, printed=printed)
        raise


def _lines(result: "Result", view: View | None) -> Iterator[str]:
    from sessions_platform.cli.tables import Header, fitting, record_lines, table_lines

    headers = [
        Header(
            column.name,
            is_number=column.type_name in _NUMBERS and not column.is_array,
            is_text=column.is_array or column.type_name not in (*_NUMBERS, *_NEVER_CUT),
        )
        for column in result.columns
    ]
    first = list(islice(result.rows, _LAID_OUT_BY))
    if not first:
        yield "no rows"
        return
    rows, coloured = chain(first, result.rows), terminal.is_coloured(sys.stdout)
    columns, lines = terminal.width(), terminal.size()[1]
    layout = None if view is View.record else fitting(headers, first, columns, 0 if view is View.table else lines)
    if layout is None and view is View.table:
        layout = fitting(headers, first, None, 0)  # whoever asks for a table gets one, be it wider than the terminal
    if layout is None:
        yield from record_lines(headers, rows, columns, coloured=coloured)
    else:
        yield from table_lines(headers, rows, layout, shows_all="--format record", coloured=coloured)


def _print_for_programs(database: "Database", query: str, form: "Format") -> None:
    is_seen = terminal.is_terminal(sys.stdout)
    if is_seen and form == View.parquet:
        raise UserError("Parquet is no text for a terminal. Fix: name a file with --output FILE.")
    sink = _Printed() if is_seen else sys.stdout.buffer
    counted = _Counted(sink)
    try:
        _write(database, query, form, counted)
    except Exception as error:
        _fail_if_printed(error, printed=counted.has_written)
        raise
    counted.flush()


def _write(database: "Database", query: str, form: "Format", sink: "Sink") -> None:
    from sessions_platform.operations.export import write

    with database.result(query, form.values) as result:
        write(result, form, sink)


def _fail_if_printed(error: Exception, *, printed: bool) -> None:
    """Have nobody try the command again after the error, where rows would then be printed twice."""
    import psycopg

    from sessions_platform.storage.postgres.errors import in_a_sentence

    if printed and isinstance(error, psycopg.Error):
        raise IncompleteOutputError(f"{in_a_sentence(error)} What was printed is not complete.") from None


class _Counted:
    """What is written to, and whether anything was."""

    def __init__(self, sink: "Sink") -> None:
        self._sink = sink
        self.has_written = False

    def write(self, data: bytes) -> int:
        self.has_written = True
        return self._sink.write(data)

    def flush(self) -> None:
        self._sink.flush()


class _Printed:
    """A terminal, which is shown escapes instead of what it would obey. What is written are whole lines."""

    def write(self, data: bytes) -> int:
        from sessions_platform.operations.json_text import printable

        typer.echo(printable(data.decode()), nl=False)
        return len(data)

    def flush(self) -> None:
        sys.stdout.flush()


@contextmanager
def _whole(file: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when it is complete; what has no content of its own, as /dev/stdout, is written into.

    Raises:
        UserError: it can't be written.
    """
    target = file.resolve()
    try:
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            with target.open("wb") as sink:
                yield sink
            return
        draft = target.with_name(f".{target.name}.{os.getpid()}.draft")
        try:
            with draft.open("wb") as sink:
                yield sink
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UserError(f"{file}: it can't be written: {error.strerror}. Fix: name another file.") from None
