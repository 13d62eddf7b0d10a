"""Records of results as tables for people: flat, of plain values, long texts shortened.

Checks and assets show them as metadata. Here belongs how a result reads as a record; not which results there are
(`quality`, `validate`, `drift`), and not how a table reaches a user interface (`orchestration/metadata.py`).

Samples of rejected payloads are shown in metadata on purpose, for people who ask why a row was rejected. Log lines and
error messages never contain any.
"""

from collections.abc import Iterable, Mapping, Sequence

from sessions_platform.contracts.values import as_percent
from sessions_platform.pipeline.ingest import Ingested
from sessions_platform.pipeline.validate import ValidatedPartition
from sessions_platform.transforms.schema_drift import Drift
from sessions_platform.transforms.thresholds import ThresholdViolation

Record = dict[str, str | float]
Records = Sequence[Mapping[str, str | float | None]]

_TEXT_SHOWN = 200


def rounded_percent(rows: int, of: int) -> float:
    """`rows` in percent of `of`, with four decimals; 0.0 of nothing."""
    return round(100 * rows / of, 4) if of else 0.0


def sample_records(validated: ValidatedPartition) -> list[Record]:
    """A few rejected rows of a landing partition, with texts shortened to 200 characters."""
    return [
        {
            "partition": validated.landing_partition,
            "source_uri": row["source_uri"],
            "position": row["position"],
            "reasons": _shortened("; ".join(map(_reason, row["reasons"]))),
            "payload": _shortened(row["payload"]),
        }
        for row in validated.samples
    ]


def reason_records(validated: ValidatedPartition) -> list[Record]:
    """How many rows of a landing partition were rejected for each reason; the most frequent reason first."""
    return [
        {"reason": code, "rows": rows, "percent": rounded_percent(rows, validated.raw_rows)}
        for code, rows in sorted(validated.rejected_by_reason.items(), key=lambda count: (-count[1], count[0]))
    ]


def skipped_records(ingested: Ingested) -> list[Record]:
    """What was skipped in the landing folder, and why."""
    return [{"file": _shortened(skip.place), "reason": skip.reason} for skip in ingested.skipped]


def warning_records(ingested: Ingested) -> list[Record]:
    """What is doubtful about the files that were read."""
    return [{"file": _shortened(warning.uri), "warning": warning.text} for warning in ingested.warnings]


def drift_records(drifts: Iterable[Drift]) -> list[Record]:
    """Differences of an observed schema, one a record."""
    return [
        {
            "field": _shortened(drift.field),
            "is": drift.kind.value,
            "types": drift.types,
            "file": _shortened(drift.file),
            "rows": drift.rows,
            "of": drift.of,
            "percent": rounded_percent(drift.rows, drift.of),
        }
        for drift in drifts
    ]


def violation_record(landing_partition: str, violation: ThresholdViolation) -> Record:
    """A threshold of rejected rows that a landing partition exceeds."""
    return {
        "partition": landing_partition,
        "reason": violation.code or "any",
        "rows": violation.rows,
        "of": violation.of,
        "percent": rounded_percent(violation.rows, violation.of),
        "limit": as_percent(violation.limit),
        "outcome": "fails" if violation.fails else "warns",
    }


def _reason(reason: Mapping[str, str]) -> str:
    """A reason without the value, as in "bad_timestamp event_timestamp: is no RFC 3339 timestamp"."""
    where = f"{reason['code']} {reason['column']}".rstrip()
    return f"{where}: {reason['rule']}"


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_SHOWN else f"{text[: _TEXT_SHOWN - 1]}…"
