"""Recorded files, shuffled and cut into ten."""

import csv
import gzip
import random
from pathlib import Path
from typing import IO, Any

import pyarrow.parquet as pq

PARTS = 10
SEED = 20260101


def shuffled_in_ten(file: Path, folder: Path) -> list[Path]:
    """Ten files of the same format and compression; each row is in one, no two hold the same bytes."""
    parts = [folder / f"part_{number}{''.join(file.suffixes)}" for number in range(PARTS)]
    _CUT[file.name.removesuffix(".gz").rpartition(".")[2]](file, parts)
    # A file of the same bytes would count once.
    assert len({part.read_bytes() for part in parts}) == PARTS
    return parts


def _cut_ndjson(file: Path, parts: list[Path]) -> None:
    with _opened(file, "rt") as text:
        lines = list(text)
    for part, places in zip(parts, _dealt(len(lines)), strict=True):
        with _opened(part, "wt") as text:
            text.writelines(lines[place] for place in places)


def _cut_csv(file: Path, parts: list[Path]) -> None:
    """By record, for a quoted field may hold line ends; every part has the header."""
    with _opened(file, "rt") as text:
        header, *records = csv.reader(text)
    for part, places in zip(parts, _dealt(len(records)), strict=True):
        with _opened(part, "wt") as text:
            csv.writer(text).writerows([header, *(records[place] for place in places)])


def _cut_parquet(file: Path, parts: list[Path]) -> None:
    table = pq.read_table(file)
    for part, places in zip(parts, _dealt(table.num_rows), strict=True):
        pq.write_table(table.take(places), part)


def _dealt(rows: int) -> list[list[int]]:
    """The places of the rows in another order, always the same one, dealt out to the parts."""
    order = random.Random(SEED).sample(range(rows), rows)
    return [order[part::PARTS] for part in range(PARTS)]


def _opened(file: Path, mode: str) -> IO[Any]:
    opener: Any = gzip.open if file.suffix == ".gz" else open
    return opener(file, mode, encoding="utf-8", newline="")


_CUT = {"ndjson": _cut_ndjson, "csv": _cut_csv, "parquet": _cut_parquet}
