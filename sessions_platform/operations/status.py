"""What a stream holds, and what waits to be done."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from sessions_platform.contracts.calendar import Calendar, contiguous_runs
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.reference_data import read_references
from sessions_platform.storage.ledger.ledger import KnownFile, LandingVersion

_RANGES = 8


def status(context: StreamContext) -> dict[str, Any]:
    """Counts of everything published and loaded, and what waits. Durations are in seconds."""
    landings = context.ledger.landings()
    by_reason: Counter[str] = Counter()
    for landing in landings:
        by_reason.update(landing.rejected_by_reason)
    warehouse = context.warehouse
    with context.database.transaction(read_only=True) as connection:
        loaded = context.ledger.loaded_sessions(connection)
        totals = warehouse.queries.totals(connection)
    return {
        "stream": context.stream.name,
        "raw_rows": sum(landing.raw_rows for landing in landings),
        "accepted": sum(landing.accepted for landing in landings),
        "rejected": sum(landing.rejected for landing in landings),
        "duplicates": sum(landing.duplicates for landing in landings),
        "rejected_by_reason": dict(sorted(by_reason.items())),
        "duplicates_across": sum(version.duplicates_across for version in loaded),
        "conflicts_across": sum(version.conflicts_across for version in loaded),
        **totals,
        "partitions": {"landing": len(landings), "session": len(loaded)},
        "pending": {
            "landing": pending_landing_partitions(context),
            "session": context.ledger.stale_partitions(context.stream.session_rule_version),
        },
        "validated_with_older_references": validated_with_older_references(context),
        "warehouse": context.database.shown,
    }


def pending_landing_partitions(context: StreamContext, newest: str | None = None) -> list[str]:
    """Landing partitions to materialize: files new, changed or not yet published; or judged by another contract.

    `newest` is where files of a flat glob that nobody has seen yet belong to; they are left out without it.
    """
    known = {file.uri: file for file in context.ledger.files()}
    published = _published(context)
    pending: set[str] = set()
    for file in context.source.find(cursors=context.ledger.cursors()):
        seen = known.get(file.uri)
        partition = seen.landing_partition if seen else (file.landing_partition or newest)
        if partition and (seen is None or seen.fingerprint != file.fingerprint):
            pending.add(partition)
    pending |= _read_and_unpublished(known.values(), published)
    contract = context.stream.contract_version
    pending.update(name for name, landing in published.items() if landing.contract_version != contract)
    return sorted(pending)


def unpublished_landing_partitions(context: StreamContext) -> set[str]:
    """Landing partitions that hold raw rows which were read later than what is published."""
    return _read_and_unpublished(context.ledger.files(), _published(context))


def _published(context: StreamContext) -> dict[str, LandingVersion]:
    return {landing.landing_partition: landing for landing in context.ledger.landings()}


def _read_and_unpublished(files: Iterable[KnownFile], published: Mapping[str, LandingVersion]) -> set[str]:
    newest = {partition: landing.raw_sequence for partition, landing in published.items()}
    return {
        file.landing_partition
        for file in files
        if file.sequence is not None and file.sequence > newest.get(file.landing_partition, -1)
    }


def validated_with_older_references(context: StreamContext) -> list[str]:
    """Landing partitions that were judged when a reference held other values.

    They don't wait: a table of products that grows each day would have all of history judged each day. Whoever
    wants their rows judged by what it holds now materializes them.
    """
    digests = read_references(context).digests
    published = context.ledger.landings() if digests else []
    return [landing.landing_partition for landing in published if landing.reference_digests != digests]


def covering_ranges(partitions: Sequence[str], calendar: Calendar, most: int = _RANGES) -> list[tuple[str, str]]:
    """Ranges that cover the partitions, `most` at the most: the narrowest breaks between them are bridged."""
    ranges = [(run[0], run[-1]) for run in contiguous_runs(list(partitions), calendar)]
    while len(ranges) > most:
        breaks = [calendar.window(b[0]).start - calendar.window(a[1]).end for a, b in pairwise(ranges)]
        narrowest = breaks.index(min(breaks))
        ranges[narrowest : narrowest + 2] = [(ranges[narrowest][0], ranges[narrowest + 1][1])]
    return ranges
