"""The values that stand in a reference file.

It is read as a landing file is, by the same rules. But what would be a rejected row there is a
mistake here: with half of its reference a stream would reject rows for nothing.
"""

from collections.abc import Iterable

import polars as pl

from sessions_platform.contracts.columns import Column, Reference
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.sources.files.reader import FileReading
from sessions_platform.sources.files.source import path_of
from sessions_platform.sources.formats.registry import open_format
from sessions_platform.transforms.parse.parse import parse

_VALUE = "value"


def values_of_file(stream: Stream, reference: Reference) -> pl.Series:
    """The texts of the reference's column, with nulls and repeats. Raises Mistake where the file can't be read."""
    path = path_of(stream, reference.file or "")
    source = FilesSource.model_validate({"files": reference.file, "format": reference.format})
    rows = _as_stream(reference, source)
    found = [pl.Series(_VALUE, dtype=pl.String)]
    try:
        for block in FileReading(path, source, open_format(source), _keep_no_copy):
            placed = block.with_columns(landing_partition=pl.lit(""), source_uri=pl.lit(reference.file))
            parsed = parse(placed, rows)
            _refuse_faults(parsed, path)
            found.append(parsed[_VALUE])
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} can't be read: {reason}. Fix: put it there, or name another.") from None
    return pl.concat(found)


def _keep_no_copy(_pieces: Iterable[bytes]) -> str:
    return "the file is left where it is"


def _as_stream(reference: Reference, source: FilesSource) -> Stream:
    """A stream of one column, by which the file is parsed."""
    column = Column.model_validate({"from": [reference.column], "nullable": True})
    named = {"name": "reference", "start": "2026-01-01", "extra_columns": "drop"}
    return Stream.model_validate({**named, "source": source, "columns": {_VALUE: column}})


def _refuse_faults(parsed: pl.DataFrame, path: object) -> None:
    """An empty line is no row of a file that people write; anything else that can't be read is a mistake."""
    broken = parsed.filter(pl.col("parse_errors").list.len() > 0, pl.col("payload").bin.size() > 0)
    broken = pl.concat([broken, parsed.filter(pl.col("corrupt_reason").is_not_null())])
    if not broken.is_empty():
        position, parse_errors = broken.select("position", "parse_errors").row(0)
        raise UserError(f"{path}: row {position}: {parse_errors[0]['rule']}. Fix: mend the row.")
