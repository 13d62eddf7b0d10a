"""What an accepted event is: its columns, and the rules that each row must keep.

One pandera schema, made from the stream's columns, both routes rows (transforms.validate)
and proves what is stored (the asset check `keeps_contract`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandera.polars as pa
import polars as pl

from sessions_platform.contracts.columns import Column, ColumnType, Reference
from sessions_platform.contracts.enrichments import enriched_columns
from sessions_platform.contracts.polars_types import DTYPES
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.stream import Stream

LEADING = ("event_id", "user_id", "event_timestamp", "event_type")
PLACE = ["source_uri", "position"]  # which is one row of a landing partition
PROVENANCE: dict[str, pl.DataType] = {
    "landing_partition": pl.String(),
    "source_uri": pl.String(),
    "position": pl.Int64(),
}

# The values of each column that has `references`, typed as the column is; as of one reading.
Known = Mapping[str, pl.Series]

_VALUES_LISTED = 10
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}

# What the job audit_event_ids finds: ids that stand under two users or times, with all their places.
REPEATED_EVENT_IDS: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "event_timestamp": pl.Datetime("us", "UTC"),
    "event_id": pl.String(),
    **PROVENANCE,
}

_DESCRIPTIONS = {
    "event_id": "Names the event; where the source has no id, made from the row and its occurrence number.",
    "user_id": "Whose event it is.",
    "event_timestamp": "When it happened, in UTC.",
    "event_type": "What happened.",
    "properties": "Source fields that no column names, as JSON.",
    "landing_partition": "Where the row landed.",
    "source_uri": "The file that it stood in.",
    "position": "Its line, record or row in the file, from 1.",
}


@dataclass(frozen=True)
class Rule:
    """One rule of one column: what pandera tests, and the code and words of the reason where it fails."""

    code: Code
    text: str
    check: pa.Check


def ordered_columns(stream: Stream) -> dict[str, Column]:
    """The stream's columns in the order in which an event holds them."""
    leading = {name: stream.columns[name] for name in LEADING if name in stream.columns}
    return {**leading, **stream.columns}


def contract_columns(stream: Stream) -> dict[str, pl.DataType]:
    """What an accepted row is made of: event_id, the stream's own columns, properties and provenance."""
    own = {name: DTYPES[column.type] for name, column in ordered_columns(stream).items()}
    return {"event_id": pl.String(), **own, "properties": pl.String(), **PROVENANCE}


def event_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of the asset `events`: the contract columns, with enriched ones before properties and provenance."""
    contract = contract_columns(stream)
    enriched = {name: DTYPES[kind] for name, kind in enriched_columns(stream.enrich).items()}
    last = {name: contract.pop(name) for name in ("properties", *PROVENANCE)}
    return {**contract, **enriched, **last}


def content_columns(stream: Stream) -> list[str]:
    """What decides whether two rows of one id agree: the contract columns but for provenance."""
    return [name for name in contract_columns(stream) if name not in PROVENANCE]


def column_rules(stream: Stream, name: str, latest: datetime | None, known: Known | None = None) -> list[Rule]:
    """The rules of one column beyond its type, in the order of the schema's checks.

    `latest` is the last moment that its landing partition allows, `known` what references hold; a
    rule that lacks what it needs is left out.
    """
    column = stream.columns[name]
    rules = [Rule(Code.out_of_range, f"{_BOUNDS[kind]} {b:.15g}", _bound(kind, b)) for kind, b in column.bounds.items()]
    if column.isin is not None:
        allowed = _typed(column)
        rules.append(Rule(Code.not_allowed, f"one of {_listed(allowed)}", pa.Check.isin(allowed)))
    if column.pattern is not None:
        rules.append(Rule(Code.pattern_mismatch, f"holds the pattern {column.pattern}", _contains(column.pattern)))
    if column.references and known is not None:
        there = _stands_in(column.references, known[name])
        rules.append(Rule(Code.unknown_reference, f"stands in {column.references}", there))
    if name == "event_timestamp":
        first = stream.first_moment
        rules.append(Rule(Code.before_start, f"not before {first.isoformat()}, the stream's start", pa.Check.ge(first)))
        if latest is not None:
            text = f"not after {latest.isoformat()}, the latest in its landing partition"
            rules.append(Rule(Code.future_timestamp, text, pa.Check.le(latest)))
    return rules


def events_schema(
    stream: Stream, landing_partition: str | None = None, known: Known | None = None
) -> pa.DataFrameSchema:
    """The contract of the events that landed in one landing partition; or what all have in common."""
    here = [pa.Check.eq(landing_partition)] if landing_partition else []
    columns = {
        "event_id": pa.Column(pl.String, description=_DESCRIPTIONS["event_id"]),
        **row_schema(stream, landing_partition, known).columns,
        **_enriched_schema(stream),
        "properties": _provenance("properties", pl.String, nullable=True),
        "landing_partition": _provenance("landing_partition", pl.String, here),
        "source_uri": _provenance("source_uri", pl.String),
        "position": _provenance("position", pl.Int64, [pa.Check.ge(1)]),
    }
    columns["event_id"].unique = True
    return pa.DataFrameSchema(columns, strict=True, name=f"{stream.name}.events")


def _enriched_schema(stream: Stream) -> dict[str, pa.Column]:
    return {
        column: pa.Column(DTYPES[kind], nullable=True, description=f"Added by the enrichment {name}.")
        for name in stream.enrich
        for column, kind in enriched_columns([name]).items()
    }


def row_schema(stream: Stream, landing_partition: str | None, known: Known | None = None) -> pa.DataFrameSchema:
    """The rules that one row can be held against without looking at others."""
    latest = stream.latest_moment(landing_partition) if landing_partition else None
    columns = {
        name: pa.Column(
            DTYPES[column.type],
            nullable=column.nullable,
            checks=[rule.check for rule in column_rules(stream, name, latest, known)],
            description=column.description or _DESCRIPTIONS.get(name),
        )
        for name, column in ordered_columns(stream).items()
    }
    return pa.DataFrameSchema(columns, name=f"{stream.name}.events")


def _provenance(
    name: str, dtype: type[pl.DataType], checks: Sequence[pa.Check] = (), *, nullable: bool = False
) -> pa.Column:
    return pa.Column(dtype, list(checks), nullable=nullable, description=_DESCRIPTIONS[name])


def _typed(column: Column) -> list[str | int | float]:
    kind = {ColumnType.integer: int, ColumnType.float: float}.get(column.type, str)
    return [kind(value) for value in column.isin or []]


def _bound(kind: str, bound: float) -> pa.Check:
    return getattr(pa.Check, kind)(bound)


def _listed(values: Sequence[object]) -> str:
    """Some of the values, and how many there are."""
    shown = ", ".join(map(str, values[:_VALUES_LISTED]))
    return shown if len(values) <= _VALUES_LISTED else f"{shown}, … ({len(values)} in all)"


def _contains(pattern: str) -> pa.Check:
    return pa.Check(
        lambda data: data.lazyframe.select(pl.col(data.key).str.contains(pattern)),
        name="pattern",
        description=f"matches {pattern}",
    )


def _stands_in(reference: Reference, known: pl.Series) -> pa.Check:
    return pa.Check(
        lambda data: data.lazyframe.select(pl.col(data.key).is_in(known.implode())),
        name="references",
        description=f"stands in {reference}",
    )
