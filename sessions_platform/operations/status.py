"""What a stream contains, and what is pending or stale.

Here belong counts, and which partitions have to be materialized. Not here: runs for them (`orchestration/jobs.py`), and
which session partitions an event invalidates (`pipeline/invalidation.py`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sessions_platform.contracts.calendar import Calendar, contiguous_runs
from sessions_platform.errors import UserError
from sessions_platform.operations.hints import hints
from sessions_platform.operations.skipped import skipped_files
from sessions_platform.operations.target_status import target_hints, target_statuses
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.growth import divided
from sessions_platform.sources.base import Found, Skipped
from sessions_platform.storage.ledger.ledger import LandingVersion

_RANGES = 8


def status(context: StreamContext, found: Found | None = None) -> dict[str, Any]:
    """Counts of everything published and loaded, and the pending partitions. Durations are in seconds.

    Args:
        context: the stream's.
        found: what there is in the source, where somebody has just looked; searched here by default.
    """
    context.prepare()
    found = found or _found_or_told(context)
    landings = context.ledger.landings()
    by_reason: Counter[str] = Counter()
    for landing in landings:
        by_reason.update(landing.rejected_by_reason)
    with context.database.transaction(read_only=True) as connection:
        loaded = context.ledger.loaded_sessions(connection)
        totals = context.queries.totals(connection)
        identity = context.queries.identities(connection)
    return {
        "stream": context.stream.name,
        "source": {"kind": context.stream.source.kind, "noun": context.stream.source.noun},
        "raw_rows": sum(landing.raw_rows for landing in landings),
        "accepted": sum(landing.accepted for landing in landings),
        "rejected": sum(landing.rejected for landing in landings),
        "duplicates": sum(landing.duplicates for landing in landings),
        "skipped": sum(landing.skipped for landing in landings),
        "repeated_lines": sum(landing.repeated_lines for landing in landings),
        "rejected_by_reason": dict(sorted(by_reason.items())),
        "duplicates_across": sum(version.duplicates_across for version in loaded),
        "conflicts_across": sum(version.conflicts_across for version in loaded),
        "simultaneous_events": sum(version.simultaneous_events for version in loaded),
        "events_outside_sessions": sum(version.events_outside_sessions for version in loaded),
        "events_without_tool_id": sum(version.events_without_tool_id for version in loaded),
        **totals,
        **({"identity": identity} if identity else {}),
        "partitions": {"landing": len(landings), "session": len(loaded)},
        "pending": {
            "landing": pending_landing_partitions(context, found=found),
            "session": context.stale_session_partitions(),
        },
        "validated_with_older_references": validated_with_older_references(context),
        "skipped_files": skipped_files(found),
        "targets": target_statuses(context),
        **_scores(context),
        "hints": [*hints(context, found, landings), *target_hints(context)],
        "lake": _lake(context),
        "warehouse": context.database.shown,
    }


def _scores(context: StreamContext) -> dict[str, Any]:
    """What there is to say of scores; nothing of most streams, which state none."""
    if not context.stream.scores:
        return {}
    from sessions_platform.operations.score_status import score_status  # it imports polars

    return {"scores": score_status(context)}


def _found_or_told(context: StreamContext) -> Found:
    """What there is in the source; or why it can't be said: a server doesn't answer or refuses, a secret is missing."""
    try:
        return context.found()
    except UserError as refused:
        return Found((), [Skipped(context.stream.source.place, str(refused))])


def _lake(context: StreamContext) -> dict[str, Any]:
    """How many files with current rows are not there now, and what the last verification has left."""
    files = context.ledger.lake_files()
    missing = context.lake.missing(context.stream.name, [file.path for file in files])
    last = context.ledger.verification()
    return {
        "files": len(files),
        "missing_files": [file.path for file in files if file.path in missing],
        "verified_at": last.verified_at if last else None,
        "problems": last.problems if last else [],
    }


def pending_landing_partitions(
    context: StreamContext, newest: str | None = None, found: Found | None = None
) -> list[str]:
    """Landing partitions to materialize: with files that are new, changed or not published, or of another contract.

    Args:
        context: the stream's.
        newest: the landing partition of files that are new and whose name gives none, and of what was appended to
            known ones; without it they are left out.
        found: what there is in the source; searched here by default.
    """
    context.prepare()
    found = found or context.found()
    known, read = context.ledger.fingerprints(), context.ledger.newest_sequences()
    published = _published(context)  # after what was read, so that none seems read later that is published meanwhile
    pending: set[str] = set()
    for file in divided(context.source, context.ledger, found, newest).slices:
        partition, fingerprint = known.get(file.uri, (file.landing_partition or newest, None))
        partition = newest if file.cursor else partition
        if partition and fingerprint != file.fingerprint:
            pending.add(partition)
    pending |= _unpublished(read, published)
    contract = context.stream.contract_version
    pending.update(name for name, landing in published.items() if landing.contract_version != contract)
    return sorted(pending)


def unpublished_landing_partitions(context: StreamContext) -> set[str]:
    """Landing partitions with raw rows that were read later than what is published."""
    read = context.ledger.newest_sequences()
    return _unpublished(read, _published(context))


def _published(context: StreamContext) -> dict[str, LandingVersion]:
    return {landing.landing_partition: landing for landing in context.ledger.landings()}


def _unpublished(read: Mapping[str, int], published: Mapping[str, LandingVersion]) -> set[str]:
    newest = {partition: landing.raw_sequence for partition, landing in published.items()}
    return {partition for partition, sequence in read.items() if sequence > newest.get(partition, -1)}


def validated_with_older_references(context: StreamContext) -> list[str]:
    """Landing partitions that were validated when a reference had other values.

    They are not pending, since a table of products that grows each day would have the whole history validated again
    each day. To validate their rows with the current values, materialize them.
    """
    if not context.stream.references:
        return []
    from sessions_platform.pipeline.reference_data import read_references  # most streams have none

    digests, published = read_references(context).digests, context.ledger.landings()
    return [landing.landing_partition for landing in published if landing.reference_digests != digests]


def covering_ranges(partitions: Sequence[str], calendar: Calendar, most: int = _RANGES) -> list[tuple[str, str]]:
    """Ranges that cover the partitions: the narrowest gaps are closed until there are `most` or fewer.

    Args:
        partitions: keys of the calendar, in any order.
        calendar: of the partitions.
        most: how many ranges there may be.

    Returns:
        First and last partition of each range, ordered.
    """
    ranges = [(run[0], run[-1]) for run in contiguous_runs(list(partitions), calendar)]
    while len(ranges) > most:
        gaps = [calendar.window(b[0]).start - calendar.window(a[1]).end for a, b in pairwise(ranges)]
        narrowest = gaps.index(min(gaps))
        ranges[narrowest : narrowest + 2] = [(ranges[narrowest][0], ranges[narrowest + 1][1])]
    return ranges
