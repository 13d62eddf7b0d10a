"""A sample of the rows of files, decoded: the first ones of each file, and some at random of each block behind them.

Here: which rows are read, within bounds. Not here: which format they are in (`text_formats`), and what their fields
contain (`fields`).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import polars as pl

from sessions_platform.contracts.sources import FilesSource
from sessions_platform.operations.inference.opened import OpenedFile
from sessions_platform.sources.files.reader import FileReading
from sessions_platform.sources.files.told_by import envelope_of
from sessions_platform.sources.formats.base import Decoder, Fields, decode_all
from sessions_platform.sources.formats.envelopes import envelope_decoder
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.registry import open_format

FIRST_ROWS = 1000
_RANDOM_ROWS = 200
_BLOCKS = 24
_BLOCK_BYTES = 1 << 20
_SEED = 7


@dataclass
class Sample:
    """Rows of files.

    Attributes:
        rows: the fields of each row that can be decoded; those of its envelope begin with ^.
        malformed: how many rows can't be decoded.
        reason: why the first of these can't.
        read: how many rows the blocks had that were read.
        is_whole: whether all blocks of all files were read.
    """

    rows: list[Fields] = field(default_factory=list)
    malformed: int = 0
    reason: str = ""
    read: int = 0
    is_whole: bool = True


def sample_of(files: Sequence[OpenedFile], options: dict[str, Any]) -> Sample:
    """A sample of the rows of files that are all in the format of these options; the same for the same files."""
    source = FilesSource.model_validate({"files": "*", **options})
    file_format = open_format(source)
    decode = file_format.decoder()
    chosen = random.Random(_SEED)
    sample = Sample()
    for file in files:
        with file.handle() as handle:
            opened = partial(_reopened, handle)
            name = (file.file.parent / (file.member or file.file.name).rpartition("/")[2]).absolute()
            reading = FileReading(name, source, file_format, lambda _: "", _BLOCK_BYTES, opened)
            for number, block in enumerate(reading):
                if number == _BLOCKS:
                    sample.is_whole = False
                    break
                _add(sample, source, decode, block, FIRST_ROWS if number == 0 else _RANDOM_ROWS, number, chosen)
    return sample


def _reopened(handle: Any, _: Any) -> Any:
    return handle


def _add(
    sample: Sample,
    source: FilesSource,
    decode: Decoder,
    block: pl.DataFrame,
    most: int,
    number: int,
    chosen: random.Random,
) -> None:
    """Decode the first rows of the first block, or some of a further one."""
    sample.read += block.height
    rows = block.filter(pl.col("corrupt_reason").is_null())
    if number == 0:
        rows = rows.head(most)
    elif rows.height > most:
        rows = rows[sorted(chosen.sample(range(rows.height), most))]
    headers, envelope = rows["header"].to_list(), envelope_decoder(source)
    decoded = decode_all(decode, rows["payload"].to_list(), headers)
    for fields, header in zip(decoded, headers, strict=True):
        if not isinstance(fields, MalformedError):
            sample.rows.append(fields | envelope_of(header, envelope))
        elif "comment" not in str(fields):
            sample.malformed += 1
            sample.reason = sample.reason or str(fields)
