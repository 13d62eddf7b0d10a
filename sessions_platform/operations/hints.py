"""What is likely wrong with a stream: no file is found, one can't be read, or too many rows are rejected.

Here belongs which streams and landing partitions a hint is given about. Not here: the causes of rejections
(`likely_causes.py`), what lies near the landing files that were looked for (`sources`), and where hints are shown.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.values import as_percent
from sessions_platform.operations.page_column import likely_page, page_sentence
from sessions_platform.operations.skipped import were_skipped
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.sources.base import Found, Locating
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.storage.warehouses.postgres.dead_letters import Status
from sessions_platform.transforms.thresholds import threshold_violations

if TYPE_CHECKING:
    from sessions_platform.operations.likely_causes import RejectedSample

_NEARLY_ALL = 0.9
_FEWEST_ROWS = 10
_MOST_HINTS = 3
_SAMPLES = 20


def hints(context: StreamContext, found: Found, landings: Sequence[LandingVersion]) -> list[str]:
    """Sentences on what is likely wrong, each with the fix; none where nothing is.

    Args:
        context: the stream's, prepared.
        found: what there is in its source.
        landings: the current landing versions.
    """
    return [
        *_nothing_found(context, found),
        *islice(_with_one_cause(context, landings), _MOST_HINTS),
        *islice(_above_thresholds(context, landings), _MOST_HINTS),
        *_old_columns(context),
        *_no_pages(context.stream),
    ]


def _old_columns(context: StreamContext) -> Iterator[str]:
    with context.database.transaction(read_only=True) as connection:
        obsolete = context.tables.obsolete(connection)
    if obsolete:
        name = context.stream.name
        yield (
            f"{name}.sessions has columns that the stream does not have, with old values: {', '.join(obsolete)}. "
            f"Fix: run `sessions-platform rebuild {name}`, which removes them."
        )


def _no_pages(stream: Stream) -> Iterator[str]:
    """A sentence where a column is likely meant as the page, and is not called so, as after it was renamed."""
    if likely_page(stream) and (sentence := page_sentence(stream)):
        yield sentence


def _nothing_found(context: StreamContext, found: Found) -> Iterator[str]:
    if found.slices:
        return
    if found.skipped:
        first, noun, count = found.skipped[0], context.stream.source.noun, len(found.skipped)
        beginning = f"no {noun} can be read; the first of {count}, " if were_skipped(noun, count) else ""
        yield f"{beginning}{first.place}: {first.reason.removesuffix('.')}."
    elif isinstance(context.source, Locating):
        yield context.source.near()


def _with_one_cause(context: StreamContext, landings: Sequence[LandingVersion]) -> Iterator[str]:
    """A sentence for each code of files, or of nearly all rows of partitions; its samples are of the newest one."""
    by_code: dict[str, list[LandingVersion]] = {}
    for landing in reversed(landings):
        for code, rows in landing.rejected_by_reason.items():
            if need_attention(code, rows, landing.raw_rows):
                by_code.setdefault(code, []).append(landing)
    for code, affected in by_code.items():
        samples = _samples(context, affected[0].landing_partition, code)
        if samples:
            yield f"{_where(affected, code)}: {_cause(context, affected[0], code, samples)}"


def _above_thresholds(context: StreamContext, landings: Sequence[LandingVersion]) -> Iterator[str]:
    """A sentence for each threshold that a landing partition with open rows exceeds, the newest partition first."""
    for landing in reversed(landings):
        counts = landing.raw_rows, landing.rejected, landing.rejected_by_reason
        for violation in threshold_violations(context.stream.rejected, *counts):
            if not _samples(context, landing.landing_partition, violation.code or None):
                continue
            partition, reason = landing.landing_partition, f" as {violation.code}" if violation.code else ""
            listed = f"`sessions-platform rejected list {context.stream.name} --partition {partition}`"
            yield (
                f"{violation.rows:,} of {violation.of:,} rows of {partition} are rejected{reason}, which is more than "
                f"{as_percent(violation.limit)}. Fix: see {listed}, or raise the threshold in the stream's file."
            )


def need_attention(code: str, rows: int, of: int) -> bool:
    """Whether rows with one reason have one cause: nearly all of a landing partition do, or one is a whole file."""
    return code == Code.unreadable_file or rows >= max(_NEARLY_ALL * of, _FEWEST_ROWS)


def _where(affected: Sequence[LandingVersion], code: str) -> str:
    first, *others = affected
    rows = first.rejected_by_reason[code]
    besides = f" (and of {len(others)} more partitions)" if others else ""
    return f"{rows:,} of {first.raw_rows:,} rows of {first.landing_partition}{besides} are rejected as {code}"


def _cause(context: StreamContext, landing: LandingVersion, code: str, samples: "Sequence[RejectedSample]") -> str:
    from sessions_platform.operations.likely_causes import likely_cause  # needed where something is wrong

    fields = context.ledger.observed_fields(landing.landing_partition)
    return likely_cause(code, samples, context.stream, fields)


def _samples(context: StreamContext, landing_partition: str, code: str | None) -> "list[RejectedSample]":
    """The first open rows of a partition, of a code or of any; none where somebody has decided about them all."""
    from sessions_platform.operations.likely_causes import RejectedSample

    wanted = {"status": Status.open, "code": code, "landing_partition": landing_partition, "limit": _SAMPLES}
    with context.database.transaction(read_only=True) as connection:
        rows = context.dead_letters.find(connection, **wanted)
    return [
        RejectedSample(_text(row["payload"], row["payload_encoding"]), row["reasons"], row["source_uri"])
        for row in rows
    ]


def _text(payload: str, encoding: str) -> str:
    from sessions_platform.transforms.rejections import payload_bytes  # brings numpy; most streams have no hints

    return payload_bytes(payload, encoding).decode(errors="replace")
