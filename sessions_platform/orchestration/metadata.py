"""What the UI shows beside an asset or a check.

Dagster keeps it in its event log. Payloads stand here shortened, for people who ask why a row was
rejected; log lines and error messages never hold any.
"""

from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from sessions_platform.pipeline.validate import ValidatedPartition
from sessions_platform.transforms.schema_drift import Drift

_ROWS_SHOWN = 100
_TEXT_SHOWN = 200

Records = Sequence[Mapping[str, str | float]]


def as_table(name: str, records: Records) -> dict[str, dg.MetadataValue]:
    """Metadata of this name that the UI shows as a table; none where there are no records."""
    if not records:
        return {}
    kinds = {str: "string", int: "int", float: "float"}
    columns = [dg.TableColumn(column, kinds[type(value)]) for column, value in records[0].items()]
    shown = [dg.TableRecord(dict(record)) for record in records[:_ROWS_SHOWN]]
    return {name: dg.MetadataValue.table(shown, schema=dg.TableSchema(columns))}


def as_rounded_percent(rows: int, of: int) -> float:
    return round(100 * rows / of, 4) if of else 0.0


def samples_of(validated: ValidatedPartition) -> list[dict[str, str | float]]:
    """A few rejected rows of a landing partition, shortened."""
    return [
        {
            "partition": validated.landing_partition,
            "source_uri": row["source_uri"],
            "position": row["position"],
            "reasons": _shortened("; ".join(map(_told, row["reasons"]))),
            "payload": _shortened(row["payload"]),
        }
        for row in validated.samples
    ]


def drifted(drifts: Iterable[Drift]) -> list[dict[str, str | float]]:
    return [
        {
            "field": _shortened(drift.field),
            "is": drift.kind.value,
            "types": drift.types,
            "rows": drift.rows,
            "of": drift.of,
            "percent": as_rounded_percent(drift.rows, drift.of),
        }
        for drift in drifts
    ]


def _told(reason: Mapping[str, str]) -> str:
    where = f"{reason['code']} {reason['column']}".rstrip()
    return f"{where}: {reason['rule']}"


def _shortened(text: str) -> str:
    return text if len(text) <= _TEXT_SHOWN else f"{text[: _TEXT_SHOWN - 1]}…"
