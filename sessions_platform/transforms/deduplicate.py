"""Drop duplicates, derive ids and find conflicts among the accepted rows of one landing partition.

Here: what only the rows of a landing partition together show. What one row shows by itself is in
``transforms.validate``; duplicates that landed in different landing partitions are left out when
sessions are computed (``transforms.sort_events``); how a landing partition that does not fit into
memory is divided is in ``pipeline.deduplicate``.

Terms. Two accepted rows with the same event_id are *duplicates* if they agree in what the stream
compares, else the one that is not kept is a *conflict* and is rejected. A *repaired row* counts at the
file and position of the *original row* that it replaces, so that order and derived ids do not depend
on when it was repaired.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import polars as pl

from sessions_platform.contracts.events import PLACE, contract_columns
from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.identifiers import uuids_of
from sessions_platform.transforms.rejections import reason_expr
from sessions_platform.transforms.same_content import compared_content
from sessions_platform.transforms.sort_events import PART_ROWS, rows_by_time, sort_by_time
from sessions_platform.transforms.validate import PAYLOAD_DIGEST

# Which rows are repaired rows, and which original row of a landing file each replaces. Of several for
# one original row the one of the highest sequence counts.
REPAIRS: dict[str, pl.DataType] = {
    "source_uri": pl.String(),
    "position": pl.Int64(),
    "_original_uri": pl.String(),
    "_original_position": pl.Int64(),
    "_sequence": pl.Int64(),
}
_NO_REPAIRS = pl.DataFrame(schema=REPAIRS)
# File and position at which a row counts: a repaired row at its original row's, any other at its own.
_EFFECTIVE_PLACE = ["_uri", "_position"]
_NO_CONFLICTS = pl.DataFrame(schema={"source_uri": pl.String, "position": pl.Int64, "reasons": REASONS})


class Deduplicated(NamedTuple):
    """Every accepted row is in `events`, in `conflicts`, or counted in `duplicates`.

    `events` has the contract columns, in the order of ``sort_by_time``; `conflicts` has source_uri
    (String), position (Int64), each pair once, and reasons (``REASONS``). `repeated_lines` counts the
    events whose id is derived and whose payload occurred before in the landing partition.
    """

    events: pl.DataFrame
    conflicts: pl.DataFrame
    duplicates: int
    repeated_lines: int


def deduplicate(
    events: pl.DataFrame, stream: Stream, file_digests: Mapping[str, str], repairs: pl.DataFrame = _NO_REPAIRS
) -> Deduplicated:
    """Give derived ids, drop and count duplicates, and find conflicts, over a whole landing partition.

    The first row of an id is kept, or the last (`duplicates.keep`), by file and position. A row that a repaired one
    replaces is a duplicate, unless it contradicts an event of another place, as it may have done before the repair.

    Args:
        events: accepted rows, with the columns ``transforms.validate.accepted_columns``; any order.
        stream: the contract; its columns with `unique: true` are checked as event_id is.
        file_digests: by source_uri, the digest of the file's text, whatever it was packed with; files of one digest
            count once where ids are derived.
        repairs: the repaired rows among `events`, with the columns ``REPAIRS``.

    Returns:
        The events that are left, the rows to be rejected as `conflicting_duplicate`, and the number of duplicates.
    """
    events, replaced = _newest_of_each_place(events, repairs)
    if stream.derives_event_id:
        events = _with_derived_ids(events, file_digests)
    events, repeats = _kept_of_each_id(events, stream)
    conflicts = [_differing(events, repeats, stream)]
    duplicates = repeats.height - conflicts[0].height
    differing = repeats.join(conflicts[0], on=PLACE, how="semi")
    for name in _unique_columns(stream):
        conflicts.append(_repeated_value(_first_of_each(events, name)[1], name))
        conflicts.append(_repeated_value(_after_first_value(differing, events, name), name))
    replaced_conflicts = _conflicts_elsewhere(replaced, events, stream)
    # A replaced row may contradict several events, and is one row all the same: rows are counted, not conflicts.
    duplicates += replaced.height - replaced_conflicts.select(PLACE).n_unique()
    conflicts.append(replaced_conflicts)
    by_row = pl.concat(conflicts).group_by(PLACE, maintain_order=True)
    by_row = by_row.agg(pl.col("reasons").list.explode(keep_nulls=False, empty_as_null=False))
    events = _placed(events.join(by_row, on=PLACE, how="anti"), stream)
    repeated_lines = int((events["_occurrence"] > 0).sum()) if stream.derives_event_id else 0
    events = sort_by_time(events.select(*contract_columns(stream)), stream)
    return Deduplicated(events, by_row, duplicates, repeated_lines)


def _placed(events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Events whose place is the one at which they count, if the stream orders events by it."""
    return events.with_columns(source_uri="_uri", position="_position") if stream.orders_by_position else events


def candidate_hashes(stream: Stream) -> dict[str, pl.Expr]:
    """Hashes (UInt64) of the values that make two accepted rows candidates for deduplication; null for null.

    Rows that share none of them with any other row are unique: ``unique_events`` is enough for those.
    """
    ids = [name for name in ("event_id",) if name in stream.columns]
    of_id = pl.coalesce(*ids, *([PAYLOAD_DIGEST] if stream.derives_event_id else []))
    columns = {"event_id": of_id, **{name: pl.col(name) for name in _unique_columns(stream)}}
    return {f"_hash_of_{name}": pl.when(column.is_not_null()).then(column.hash()) for name, column in columns.items()}


def unique_events(
    events: pl.DataFrame, is_unique: pl.Series, stream: Stream, file_digests: Mapping[str, str]
) -> Iterator[pl.DataFrame]:
    """What ``deduplicate`` returns as `events` for rows that are no candidates and have no repair, in parts.

    Each part is gathered when it is needed, so that not all rows exist twice. Without rows there is one part.

    Args:
        events: rows among which there are others, too.
        is_unique: which of them are meant (Boolean).
        stream: the contract.
        file_digests: as for ``deduplicate``.
    """
    rows = is_unique.arg_true()
    if stream.derives_event_id:
        placed, _ = _newest_of_each_place(events[rows], _NO_REPAIRS)
        events = _with_derived_ids(placed, file_digests).rechunk()
        rows = pl.int_range(events.height, dtype=pl.UInt32, eager=True)
    order = rows_by_time(events, stream, rows)
    events = events.select(*contract_columns(stream))
    for first in range(0, max(1, len(order)), PART_ROWS):
        yield events[order.slice(first, PART_ROWS)]


def _newest_of_each_place(events: pl.DataFrame, repairs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events in the order of their effective places, and those that a newer repair of the same row replaces."""
    if repairs.is_empty():
        placed = events.with_columns(_uri="source_uri", _position="position")
        placed = placed if _is_sorted(placed) else placed.sort(*_EFFECTIVE_PLACE)
        return placed, placed.clear()
    placed = events.join(repairs, on=PLACE, how="left").with_columns(
        _uri=pl.coalesce("_original_uri", "source_uri"),
        _position=pl.coalesce("_original_position", "position"),
        _sequence=pl.col("_sequence").fill_null(0),
    )
    placed = placed.sort(*_EFFECTIVE_PLACE, "_sequence", descending=[False, False, True])
    is_newest = pl.struct(_EFFECTIVE_PLACE).is_first_distinct()
    return placed.filter(is_newest), placed.filter(~is_newest)


def _is_sorted(placed: pl.DataFrame) -> bool:
    """Whether rows are in the order of file and position, as they mostly are: to check is cheaper than to sort."""
    uri, position = placed["_uri"], placed["_position"]
    rises = (uri > uri.shift()) | ((uri == uri.shift()) & (position > position.shift()))
    return bool(rises.fill_null(value=True).all())


def _conflicts_elsewhere(replaced: pl.DataFrame, events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The conflicts of replaced rows with events of other effective places; a row may have several."""
    conflicts = [_NO_CONFLICTS]
    if "event_id" in stream.columns:
        elsewhere = replaced.join(events, on=["event_id", *_EFFECTIVE_PLACE], how="anti")
        conflicts.append(_differing(events, elsewhere, stream))
    for name in _unique_columns(stream):
        first, _ = _first_of_each(events, name)
        elsewhere = replaced.join(first, on=[name, *_EFFECTIVE_PLACE], how="anti")
        conflicts.append(_repeated_value(elsewhere.join(first, on=name, how="semi"), name))
    return pl.concat(conflicts)


def _unique_columns(stream: Stream) -> list[str]:
    return [name for name, column in stream.columns.items() if column.unique and name != "event_id"]


def _with_derived_ids(events: pl.DataFrame, file_digests: Mapping[str, str]) -> pl.DataFrame:
    """Give rows without event_id one of their payload and its occurrence number, so that identical lines stay separate.

    Files of the same text count once: the rows of each take the ids of those of the first, and so become duplicates.
    """
    first_file: dict[str, str] = {}
    same_text = {uri: first_file.setdefault(file_digests[uri], uri) for uri in sorted(file_digests)}
    events = events.with_columns(_file=pl.col("_uri").replace_strict(same_text, return_dtype=pl.String))
    row = ["_file", "_position", PAYLOAD_DIGEST]
    if "event_id" not in events.columns:
        events = events.with_columns(event_id=pl.lit(None, pl.String))
    numbered = events.filter(pl.col("event_id").is_null()).select(row).unique().sort("_file", "_position")
    numbered = numbered.with_columns(_occurrence=pl.int_range(pl.len()).over(PAYLOAD_DIGEST))
    events = events.join(numbered, on=row, how="left", maintain_order="left")
    derived = uuids_of(events.select(PAYLOAD_DIGEST, pl.col("_occurrence").cast(pl.String).fill_null("")))
    return events.with_columns(event_id=pl.coalesce("event_id", derived))


def _first_of_each(events: pl.DataFrame, column: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that are the first with their value of the column, and those that repeat one. Nulls repeat nothing."""
    repeats = ~pl.col(column).is_first_distinct() & pl.col(column).is_not_null()
    return events.filter(~repeats), events.filter(repeats)


def _kept_of_each_id(events: pl.DataFrame, stream: Stream) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that are kept of each event_id, and all others; `events` are in the order of their effective places."""
    keeps_last = stream.duplicates.keep == "last"
    is_kept = pl.col("event_id").is_last_distinct() if keeps_last else pl.col("event_id").is_first_distinct()
    return events.filter(is_kept), events.filter(~is_kept)


def _differing(events: pl.DataFrame, repeats: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The conflicts among rows that repeat an event_id: their content differs from the event that has it."""
    content = compared_content(stream)
    kept = events.join(repeats, on="event_id", how="semi").select("event_id", _kept=content)
    pairs = repeats.with_columns(_content=content).join(kept, on="event_id")
    return _repeated_value(pairs.filter(pl.col("_content") != pl.col("_kept")), "event_id", "same id, same content")


def _after_first_value(rows: pl.DataFrame, events: pl.DataFrame, column: str) -> pl.DataFrame:
    """The rows whose value of the column an event at an earlier effective place has."""
    first = _first_of_each(events, column)[0].select(column, _first_uri="_uri", _first_position="_position")
    pairs = rows.join(first, on=column)
    is_before = (pl.col("_first_uri") == pl.col("_uri")) & (pl.col("_first_position") < pl.col("_position"))
    return pairs.filter((pl.col("_first_uri") < pl.col("_uri")) | is_before)


def _repeated_value(rows: pl.DataFrame, column: str, rule: str = "stands only once (unique)") -> pl.DataFrame:
    """The rows as conflicts: source_uri, position, reasons."""
    reason = reason_expr(Code.conflicting_duplicate, rule, column=column, value=pl.col(column))
    return rows.select("source_uri", "position", reasons=pl.concat_list(reason).cast(REASONS))
