"""The values of a reference file: a column of a CSV, NDJSON or Parquet file that a stream's column refers to.

It is read and parsed by the rules of a landing file, but a row that would be rejected there is an error
here: with part of its reference a stream would reject good rows. References in a table of the warehouse
database, and the comparison of both with what was recorded, are in `pipeline.reference_data`.
"""

from collections.abc import Iterable

import polars as pl

from sessions_platform.contracts.columns import Column, Reference
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.sources.files.paths import path_of
from sessions_platform.sources.files.reader import FileReading
from sessions_platform.sources.formats.registry import open_format
from sessions_platform.transforms.parse.parse import parse

_VALUE = "value"


def values_of_file(stream: Stream, reference: Reference) -> pl.Series:
    """The values of the reference's column, as text, in the order of the file.

    Args:
        stream: the one whose YAML file the path of the reference is relative to.
        reference: one that names a file.

    Returns:
        A String series, with nulls and repeats.

    Raises:
        UserError: the file, or one of its rows, can't be read.
    """
    path = path_of(stream, reference.file or "")
    source = FilesSource.model_validate({"files": reference.file, "format": reference.format})
    parsed_as = _as_stream(reference, source)
    values = [pl.Series(_VALUE, dtype=pl.String)]
    try:
        for block in FileReading(path, source, open_format(source), _leave_in_place):
            rows = block.with_columns(landing_partition=pl.lit(""), source_uri=pl.lit(reference.file))
            parsed = parse(rows, parsed_as)
            _raise_parse_errors(parsed, path)
            values.append(parsed[_VALUE])
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path} can't be read: {reason}. Fix: put it there, or name another.") from None
    return pl.concat(values)


def _leave_in_place(_chunks: Iterable[bytes]) -> str:
    return "the file is left where it is"


def _as_stream(reference: Reference, source: FilesSource) -> Stream:
    """A stream of one column, by which the file is parsed."""
    column = Column.model_validate({"from": [reference.column], "nullable": True})
    named = {"name": "reference", "start": "2026-01-01", "extra_columns": "drop"}
    return Stream.model_validate({**named, "source": source, "columns": {_VALUE: column}})


def _raise_parse_errors(parsed: pl.DataFrame, path: object) -> None:
    """Empty lines are skipped, because people leave them in files; any other row that can't be parsed is an error."""
    broken = parsed.filter(pl.col("parse_errors").list.len() > 0, pl.col("payload").bin.size() > 0)
    broken = pl.concat([broken, parsed.filter(pl.col("corrupt_reason").is_not_null())])
    if not broken.is_empty():
        position, parse_errors = broken.select("position", "parse_errors").row(0)
        raise UserError(f"{path}: row {position}: {parse_errors[0]['rule']}. Fix: correct the row.")
