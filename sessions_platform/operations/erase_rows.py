"""Find the raw rows of users, and replace the lake's files that contain them by files without.

Here: which rows are erased, and the transaction that makes the rest the current raw rows. Rows that are left keep their
positions, and those of other landing files that share a raw file move with them to the new one. Not here: how a row
names a user (`transforms/erasure.py`), what follows from the new raw rows (`erase.py`), and files that are not the
lake's (`erase_landing.py`).
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import polars as pl

from sessions_platform.contracts.events import PLACE
from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.progress import count, steps
from sessions_platform.pipeline.raw_files import rows_of
from sessions_platform.pipeline.tombstones import Tombstones
from sessions_platform.storage.lake.prefetch import prefetch
from sessions_platform.storage.ledger.ledger import Erasure, KnownFile, ReplacedRows, StaleWriteError
from sessions_platform.transforms.erasure import NAMED, Naming, UserPattern
from sessions_platform.transforms.rejections import rejection_ids
from sessions_platform.transforms.stretches import ROWS, joined, places_of

_ATTEMPTS = 5


@dataclass(frozen=True)
class RawRowsOfUsers:
    """Raw rows to erase, with the columns ``NAMED``, and their landing files.

    `looked_at` counts all raw files of the stream, and `mentions` rows of others that stay.
    """

    files: tuple[KnownFile, ...]
    sharing: dict[str, list[str]]  # the landing files of each raw file with such rows
    looked_at: int
    rows: pl.DataFrame
    mentions: int

    @property
    def counts(self) -> dict[str, int]:
        """How many rows, by how they name a user."""
        rows = dict(self.rows.group_by("naming").len().iter_rows())
        return {naming.value: rows.get(naming.value, 0) for naming in Naming}


def find_rows(context: StreamContext, pattern: UserPattern) -> RawRowsOfUsers:
    """The raw rows that name users, in one pass over the raw rows of the stream.

    Erased are the rows of the users; rows of nobody whose text names a user; rejected rows whose text does; and, of a
    row that was repaired, the original row with all of its repairs, if any of them is erased. An accepted event of
    somebody else stays, even if it mentions a user.
    """
    files = [file for file in context.ledger.files() if file.path is not None]
    paths = list(dict.fromkeys(file.stored.path for file in files))
    named = pl.concat(
        [pl.DataFrame(schema=NAMED), *(_named_in(context, path, pattern) for path in steps("searching", paths))]
    )
    is_mention = pl.col("naming") == Naming.mention.value
    rejected = _rejected_places(context, files, named.filter(is_mention))
    erased = pl.concat([named.filter(~is_mention), named.filter(is_mention).join(rejected, on=PLACE, how="semi")])
    mentions = named.height - erased.height
    erased = pl.concat([erased, _of_same_repairs(context, files, erased)])
    uris = set(erased["source_uri"])
    holding = tuple(file for file in files if file.uri in uris)
    sharing: dict[str, list[str]] = {file.stored.path: [] for file in holding}
    for file in files:
        if file.stored.path in sharing:
            sharing[file.stored.path].append(file.uri)
    return RawRowsOfUsers(holding, sharing, len(paths), erased, mentions)


def replace_raw_rows(
    context: StreamContext, pattern: UserPattern, tombstones: Tombstones, erasure: Erasure
) -> tuple[Erasure, RawRowsOfUsers]:
    """Make the rows that are left the current raw rows, in one transaction; their landing partitions are pending then.

    Returns:
        The erasure with its progress, and what was found.

    Raises:
        StaleWriteError: landing files were read again during each of five attempts.
    """
    for _ in range(_ATTEMPTS):
        found = find_rows(context, pattern)
        replaced = [_without(context, path, found) for path in found.sharing]
        try:
            return _record(context, tombstones, erasure, found, replaced), found
        except StaleWriteError:
            for rows in replaced:
                context.lake.remove(rows.stored.path)
    raise StaleWriteError(f"{context.stream.name}: landing files were read during each attempt to erase rows of them")


def _named_in(context: StreamContext, path: str, pattern: UserPattern) -> pl.DataFrame:
    with closing(prefetch(context.lake.blocks([path], RAW_EVENTS))) as blocks:
        named = []
        for block in blocks:
            named.append(pattern.rows_naming(block))
            count(block.height)
    return pl.concat([pl.DataFrame(schema=NAMED), *named])


def _rejected_places(context: StreamContext, files: Sequence[KnownFile], rows: pl.DataFrame) -> pl.DataFrame:
    """The places of rejected rows in the landing partitions of these rows."""
    partition_of = {file.uri: file.landing_partition for file in files}
    partitions = sorted({partition_of[uri] for uri in rows["source_uri"].unique()})
    dataset = context.rejected_events(partitions)
    paths = [stored.path for of_partition in dataset.partitions.values() for stored in of_partition]
    standing_for = pl.col("rows").fill_null(1).alias(ROWS)  # files of an older version have no such column
    rejected = context.lake.scan(paths, dataset.schema).select(*PLACE, standing_for)
    return places_of(rejected.collect()).select(*PLACE)


def _of_same_repairs(context: StreamContext, files: Sequence[KnownFile], erased: pl.DataFrame) -> pl.DataFrame:
    """The rows besides these that were repaired into one of them, or from one of them."""
    places = set(erased.select(*PLACE).iter_rows())
    repairs = context.ledger.repairs()
    of_original: dict[str, set[tuple[str, int]]] = {}
    for repair in repairs:
        group = of_original.setdefault(repair.original_id, set())
        for uri, first in ((repair.original_uri, repair.original_position), (repair.uri, repair.position)):
            group.update((uri, position) for position in range(first, first + repair.rows))
    more = {place for group in of_original.values() if group & places for place in group} - places
    rows = [pl.DataFrame(schema=NAMED)]
    for file in files:
        positions = [position for uri, position in more if uri == file.uri]
        if positions:
            for block in rows_of(context.lake, file.stored.path, [file.uri]):
                raw = block.filter(pl.col("position").is_in(positions))
                rows.append(raw.select(*PLACE, "payload", naming=pl.lit(Naming.text.value)))
    return pl.concat(rows)


def _without(context: StreamContext, path: str, found: RawRowsOfUsers) -> ReplacedRows:
    """Write a raw file anew, without the rows; all landing files that share it have theirs in the new one."""
    uris = found.sharing[path]
    rows = found.rows.filter(pl.col("source_uri").is_in(uris))
    counts = dict(rows.group_by("source_uri").len().iter_rows())
    partition = next(file.landing_partition for file in found.files if file.path == path)

    def kept() -> Iterator[pl.DataFrame]:
        for block in context.lake.blocks([path], RAW_EVENTS):
            yield block.join(rows, on=PLACE, how="anti", maintain_order="left")

    stored = context.lake.write(context.folder("raw_events", partition), kept(), RAW_EVENTS)
    return ReplacedRows(uris, path, stored, counts)


def _record(
    context: StreamContext,
    tombstones: Tombstones,
    erasure: Erasure,
    found: RawRowsOfUsers,
    replaced: Sequence[ReplacedRows],
) -> Erasure:
    elsewhere = found.rows.filter(pl.col("naming") != Naming.owner.value)["payload"]
    ids = _ids_of(context, found.rows)
    counts = {uri: rows for of_file in replaced for uri, rows in of_file.erased.items()}
    emptied = [file.digest for file in found.files if file.digest and file.rows == counts.get(file.uri)]
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        context.ledger.add_tombstones(connection, tombstones.of_payloads(elsewhere))
        # a file without rows would otherwise be taken for one whose quarantined copy is missing
        context.ledger.add_tombstones(connection, list(map(tombstones.of_file, emptied)))
        ids += context.warehouse.erasure.rejected_at(connection, found.rows)
        context.ledger.replace_raw_rows(connection, replaced, ids, erasure.run_id)
        removed = context.warehouse.erasure.remove_rejected(connection, ids)
        return context.ledger.record_progress(connection, erasure, _progress(erasure, found, removed))


def _ids_of(context: StreamContext, rows: pl.DataFrame) -> list[str]:
    """The rejection ids that the rows have had, each by itself or as stretches; also if they are in no queue now."""
    single = rows.select(*PLACE, "payload", pl.lit(1, pl.Int64).alias(ROWS)).sort(*PLACE)
    alike = single.with_columns(reasons=pl.lit([], REASONS))
    return [name for each in (single, *joined([alike])) for name in rejection_ids(each, context.stream)]


def _progress(erasure: Erasure, found: RawRowsOfUsers, rejected: int) -> dict[str, object]:
    """What has been done: counts are added up, so that an erasure that was killed and repeated tells all of it."""
    before = erasure.progress
    counts = {f"rows_{naming}": before.get(f"rows_{naming}", 0) + rows for naming, rows in found.counts.items()}
    partitions = {file.landing_partition for file in found.files}
    return {
        **before,
        **counts,
        "raw_files": before.get("raw_files", 0) + len(found.sharing),
        "rejected_rows": before.get("rejected_rows", 0) + rejected,
        "landing_partitions": sorted({*before.get("landing_partitions", []), *partitions}),
        "landing_files": sorted({*before.get("landing_files", []), *(f.uri for f in found.files if not f.is_replay)}),
    }
