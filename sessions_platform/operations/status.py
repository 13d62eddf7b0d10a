"""What a stream contains, and what is pending or stale.

Here belong counts, and which partitions have to be materialized. Not here: runs for them (`orchestration/jobs.py`), and
which session partitions an event invalidates (`pipeline/invalidation.py`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from sessions_platform.contracts.calendar import Calendar, contiguous_runs
from sessions_platform.operations.hints import hints
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.reference_data import read_references
from sessions_platform.sources.base import Found
from sessions_platform.storage.ledger.ledger import LandingVersion

_RANGES = 8
_SKIPPED_SHOWN = 10
_SKIPPED_IN_SENTENCE = 3


def status(context: StreamContext, found: Found | None = None) -> dict[str, Any]:
    """Counts of everything published and loaded, and the pending partitions. Durations are in seconds.

    Args:
        context: the stream's.
        found: what there is in the source, where somebody has just looked; searched here by default.
    """
    context.prepare()
    found = found or context.found()
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
        "skipped": sum(landing.skipped for landing in landings),
        "repeated_lines": sum(landing.repeated_lines for landing in landings),
        "rejected_by_reason": dict(sorted(by_reason.items())),
        "duplicates_across": sum(version.duplicates_across for version in loaded),
        "conflicts_across": sum(version.conflicts_across for version in loaded),
        "simultaneous_events": sum(version.simultaneous_events for version in loaded),
        **totals,
        "partitions": {"landing": len(landings), "session": len(loaded)},
        "pending": {
            "landing": pending_landing_partitions(context, found=found),
            "session": context.stale_session_partitions(),
        },
        "validated_with_older_references": validated_with_older_references(context),
        "skipped_files": skipped_files(found),
        "hints": hints(context, found, landings),
        "lake": _lake(context),
        "warehouse": context.database.shown,
    }


def skipped_files(found: Found) -> dict[str, Any]:
    """How many files were skipped, in all and by reason, and a few of them with each reason."""
    by_reason = Counter(skip.reason for skip in found.skipped)
    first = _first_skipped(found, _SKIPPED_SHOWN)
    return {"count": len(found.skipped), "by_reason": dict(sorted(by_reason.items())), "first": first}


def skipped_sentence(found: Found) -> str:
    """How many files were skipped, with a few of them and why; empty where none was."""
    if not found.skipped:
        return ""
    first = "; ".join(_first_skipped(found, _SKIPPED_IN_SENTENCE))
    return f"{len(found.skipped)} files were skipped, which `status` lists: {first}"


def _first_skipped(found: Found, most: int) -> list[str]:
    """The first files with each reason, then the second ones, and so on; those shown are in order."""
    seen: Counter[str] = Counter()
    numbered: list[tuple[int, str]] = []
    for skip in found.skipped:
        seen[skip.reason] += 1
        numbered.append((seen[skip.reason], f"{skip.place}: {skip.reason}"))
    return sorted(text for _, text in sorted(numbered)[:most])


def _lake(context: StreamContext) -> dict[str, Any]:
    """How many files with current rows are not there now, and what the last verification has left."""
    files = context.ledger.lake_files()
    last = context.ledger.verification()
    return {
        "files": len(files),
        "missing_files": [file.path for file in files if not context.lake.exists(file.path)],
        "verified_at": last.verified_at if last else None,
        "problems": last.problems if last else [],
    }


def pending_landing_partitions(
    context: StreamContext, newest: str | None = None, found: Found | None = None
) -> list[str]:
    """Landing partitions to materialize: with files that are new, changed or not published, or of another contract.

    Args:
        context: the stream's.
        newest: the landing partition of files that are new and whose name gives none; without it they are left out.
        found: what there is in the source; searched here by default.
    """
    context.prepare()
    found = found or context.found()
    known, read = context.ledger.fingerprints(), context.ledger.newest_sequences()
    published = _published(context)  # after what was read, so that none seems read later that is published meanwhile
    pending: set[str] = set()
    for file in found.slices:
        partition, fingerprint = known.get(file.uri, (file.landing_partition or newest, None))
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
    digests = read_references(context).digests
    published = context.ledger.landings() if digests else []
    return [landing.landing_partition for landing in published if landing.reference_digests != digests]


def newest_partition(calendar: Calendar) -> str:
    """The partition of the current time, be it before the first one; the last one of a stream that has ended."""
    now = datetime.now(UTC)
    return calendar.key_of(now if calendar.end is None else min(now, calendar.end - timedelta(microseconds=1)))


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
