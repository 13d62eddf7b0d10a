"""Repairs of a landing partition: which of them count, and where stretches of rejected rows have to begin for them.

A repair is a range of repaired rows that replaces a range of rows of a landing file, mostly one row by one. Not here:
what a repaired row replaces among the accepted ones (`transforms.deduplicate`), and how repairs are made
(`operations.replay`).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from sessions_platform.contracts.events import PLACE
from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.raw_rows import RawRows
from sessions_platform.storage.ledger.ledger import Repair
from sessions_platform.transforms.deduplicate import REPAIRS
from sessions_platform.transforms.rejections import rejection_ids
from sessions_platform.transforms.stretches import NO_BREAKS, ROWS, places_of

_RANGES: dict[str, pl.DataType] = {**REPAIRS, ROWS: pl.Int64(), "_original_id": pl.String()}


@dataclass(frozen=True)
class CurrentRepairs:
    """The repairs of a landing partition.

    Attributes:
        current: the repaired rows that count, with the columns ``REPAIRS``.
        orphaned: the places of the other repaired rows: source_uri, position.
        breaks: the places at which a stretch of rejected rows has to begin, so that the rows that a repair replaces
            are a rejected row of their own, as they were when it was made.
    """

    current: pl.DataFrame
    orphaned: pl.DataFrame
    breaks: pl.DataFrame


def find_current(stream: Stream, raw: RawRows, repairs: Sequence[Repair]) -> CurrentRepairs:
    """The repairs whose original rows are all still there, and the others."""
    values = [
        (r.uri, r.position, r.original_uri, r.original_position, r.sequence, r.rows, r.original_id) for r in repairs
    ]
    every = pl.DataFrame(values, schema=_RANGES, orient="row")
    if every.is_empty():
        return CurrentRepairs(every.select(*REPAIRS), every.select(*PLACE), NO_BREAKS)
    originals = _originals(repairs)
    ids = _ids_of(stream, raw, originals)
    is_current = pl.col("_original_id").is_in(ids.implode())
    current = every.filter(is_current)
    orphaned = places_of(every.filter(~is_current).select(*PLACE, ROWS)).select(*PLACE)
    return CurrentRepairs(_rows_of(current), orphaned, _breaks([current, originals.filter(is_current)]))


def _originals(repairs: Sequence[Repair]) -> pl.DataFrame:
    """The ranges of rows that were repaired first: source_uri, position, ``ROWS`` and _original_id, each once."""
    first = {r.original_id: r for r in repairs if r.rejection_id == r.original_id}
    values = [(r.original_uri, r.original_position, r.rows, name) for name, r in first.items()]
    schema = {"source_uri": pl.String, "position": pl.Int64, ROWS: pl.Int64, "_original_id": pl.String}
    return pl.DataFrame(values, schema=schema, orient="row")


def _ids_of(stream: Stream, raw: RawRows, ranges: pl.DataFrame) -> pl.Series:
    """The ids that the rows of each range have as one rejected row, where they are there and alike."""
    ranges = ranges.with_row_index("_range").with_columns(_first="position", _wanted=ROWS)
    places = places_of(ranges)
    stored = [rows.select(*PLACE, "payload") for rows in raw.at_places(places.select(*PLACE).unique())]
    found = places.join(pl.concat(stored), on=PLACE)
    whole = found.group_by("_range", maintain_order=True).agg(
        pl.col("source_uri", "payload", "_wanted").first(),
        pl.col("_first").first().alias("position"),
        pl.len().cast(pl.Int64).alias(ROWS),
        _kinds=pl.col("payload").n_unique(),
    )
    return rejection_ids(whole.filter((pl.col(ROWS) == pl.col("_wanted")) & (pl.col("_kinds") == 1)), stream)


def _rows_of(repairs: pl.DataFrame) -> pl.DataFrame:
    """Each row of the ranges, with the columns ``REPAIRS``."""
    distance = pl.col("_original_position") - pl.col("position")
    rows = places_of(repairs.with_columns(_distance=distance))
    return rows.with_columns(_original_position=pl.col("position") + pl.col("_distance")).select(*REPAIRS)


def _breaks(ranges: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The first place of each range, and the one after it."""
    begin = pl.concat([of.select(*PLACE, ROWS) for of in ranges])
    after = begin.with_columns(pl.col("position") + pl.col(ROWS))
    return pl.concat([begin, after]).select(*PLACE).unique()
