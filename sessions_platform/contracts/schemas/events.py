"""The contract of accepted events as a schema, and the rules of which it consists.

It serves twice: ``transforms.validate`` finds with it which rows are rejected, and the check `keeps_contract`
validates stored events with it. How a column is described in a stream's file is in ``contracts.columns``; the codes of
reasons are in ``contracts.rejection_reasons``; rules between rows (duplicates, conflicts) are in
``transforms.deduplicate``.

The texts of the rules are stored in the reasons of rejected rows.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import polars as pl

from sessions_platform.contracts.column_types import ordered_columns
from sessions_platform.contracts.columns import Column, ColumnType, Reference
from sessions_platform.contracts.events import Known
from sessions_platform.contracts.polars_types import DTYPES
from sessions_platform.contracts.pseudonyms import PSEUDONYM, Pseudonym, truncated_address
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.schemas.schema import ColumnSchema, Schema, ValueCheck
from sessions_platform.contracts.stream import Stream

_VALUES_LISTED = 10
_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}

_DESCRIPTIONS = {
    "event_id": "Identifies the event; where the source has no id, made from the row and its occurrence number.",
    "user_id": "Whose event it is.",
    "event_timestamp": "When it happened, in UTC.",
    "event_type": "What happened.",
    "properties": "Source fields that no column names, as JSON.",
    "landing_partition": "Where the row landed.",
    "source_uri": "The file that it came from.",
    "position": "Its line, record or row in the file, from 1.",
}


@dataclass(frozen=True)
class Rule:
    """One rule of one column: the check, and the code and rule text of the reason where it fails."""

    code: Code
    text: str
    check: ValueCheck


def column_rules(stream: Stream, name: str, latest: datetime | None, known: Known | None = None) -> list[Rule]:
    """The rules of one column beyond its type and nullability, in the order of the schema's checks.

    A broken check is reported by its number, which is the index in this list.

    Args:
        stream: the contract.
        name: of one of its columns.
        latest: the latest moment of the landing partition (``Stream.latest_moment``), included; without it there is no
            such rule.
        known: the values of references; without them there is no such rule.
    """
    column = stream.columns[name]
    rules = [
        Rule(Code.out_of_range, f"{_BOUNDS[kind]} {b:.15g}", ValueCheck.compares(kind, b))
        for kind, b in column.bounds.items()
    ]
    if column.isin is not None:
        allowed = _typed(column)
        rules.append(Rule(Code.not_allowed, f"one of {_listed(allowed)}", ValueCheck.isin(allowed)))
    if column.pattern is not None:
        rules.append(Rule(Code.pattern_mismatch, f"holds the pattern {column.pattern}", _contains(column.pattern)))
    if column.references and known is not None:
        check = _is_in(column.references, known[name])
        rules.append(Rule(Code.unknown_reference, f"stands in {column.references}", check))
    if stream.pseudonymize.get(name) is Pseudonym.truncate_ip:
        rules.append(Rule(Code.wrong_type, "an IP address", _IS_ADDRESS))
    if name == "event_timestamp":
        first = stream.first_moment
        rules.append(
            Rule(
                Code.before_start,
                f"not before {first.isoformat()}, the stream's start",
                ValueCheck.compares("ge", first),
            )
        )
        if latest is not None:
            text = f"not after {latest.isoformat()}, the latest in its landing partition"
            rules.append(Rule(Code.future_timestamp, text, ValueCheck.compares("le", latest)))
    return rules


def events_schema(stream: Stream, landing_partition: str | None = None, known: Known | None = None) -> Schema:
    """The contract of stored events.

    Args:
        stream: the contract.
        landing_partition: its key, if all rows are of one: then that is checked, and its latest moment.
        known: the values of references, if these are to be checked.

    Returns:
        A strict schema with the columns ``event_columns``; event_id is unique.
    """
    same_partition = [ValueCheck.compares("eq", landing_partition)] if landing_partition else []
    columns = {
        "event_id": ColumnSchema(pl.String(), description=_DESCRIPTIONS["event_id"]),
        **_with_pseudonyms(row_schema(stream, landing_partition, known).columns, stream),
        **_enriched_schema(stream),
        "properties": _provenance("properties", pl.String(), nullable=True),
        "landing_partition": _provenance("landing_partition", pl.String(), same_partition),
        "source_uri": _provenance("source_uri", pl.String()),
        "position": _provenance("position", pl.Int64(), [ValueCheck.compares("ge", 1)]),
    }
    columns["event_id"] = replace(columns["event_id"], unique=True, nullable=False)
    return Schema(f"{stream.name}.events", columns)


def _enriched_schema(stream: Stream) -> dict[str, ColumnSchema]:
    return {
        column: ColumnSchema(DTYPES[kind], nullable=True, description=f"Added by the enrichment {name}.")
        for name, config in stream.enrich.items()
        for column, kind in config.added.items()
    }


def row_schema(stream: Stream, landing_partition: str | None, known: Known | None = None) -> Schema:
    """The rules that can be checked row by row, of the stream's own columns; arguments as of ``events_schema``."""
    latest = stream.latest_moment(landing_partition) if landing_partition else None
    columns = {
        name: ColumnSchema(
            DTYPES[column.type],
            [rule.check for rule in column_rules(stream, name, latest, known)],
            nullable=column.nullable,
            description=column.description or _DESCRIPTIONS.get(name),
        )
        for name, column in ordered_columns(stream).items()
    }
    return Schema(f"{stream.name}.events", columns, strict=False)


def _with_pseudonyms(columns: Mapping[str, ColumnSchema], stream: Stream) -> dict[str, ColumnSchema]:
    """The columns as events store them: rules are about the values as they came, of which a pseudonym keeps none."""
    stored = dict(columns)
    for name, method in stream.pseudonymize.items():
        description = f"{stored[name].description or name} Stored as a pseudonym ({method.value})."
        stored[name] = replace(stored[name], checks=[_STORED[method]], description=description)
    return stored


def _address_is(test: Callable[[str, str | None], bool]) -> ValueCheck:
    """A check of an address and its network, which is null for what is no address."""

    def holds(values: pl.Series) -> pl.Series:
        return pl.Series([value is None or test(value, truncated_address(value)) for value in values], dtype=pl.Boolean)

    return ValueCheck("an IP address", lambda column: column.map_batches(holds, return_dtype=pl.Boolean))


_IS_ADDRESS = _address_is(lambda _, network: network is not None)
_STORED = {
    Pseudonym.hmac: ValueCheck(
        f"str_matches('{PSEUDONYM}')", lambda column: column.str.contains(PSEUDONYM), ("str_matches", PSEUDONYM)
    ),
    Pseudonym.truncate_ip: _address_is(lambda address, network: address == network),
}


def _provenance(
    name: str, dtype: pl.DataType, checks: Sequence[ValueCheck] = (), *, nullable: bool = False
) -> ColumnSchema:
    return ColumnSchema(dtype, checks, nullable, description=_DESCRIPTIONS[name])


def _typed(column: Column) -> list[str | int | float]:
    kind = {ColumnType.integer: int, ColumnType.float: float}.get(column.type, str)
    return [kind(value) for value in column.isin or []]


def _listed(values: Sequence[object]) -> str:
    """The values, or the first ``_VALUES_LISTED`` of them and their number."""
    shown = ", ".join(map(str, values[:_VALUES_LISTED]))
    return shown if len(values) <= _VALUES_LISTED else f"{shown}, … ({len(values)} in all)"


def _contains(pattern: str) -> ValueCheck:
    return ValueCheck(f"matches {pattern}", lambda column: column.str.contains(pattern))


def _is_in(reference: Reference, known: pl.Series) -> ValueCheck:
    return ValueCheck(f"stands in {reference}", lambda column: column.is_in(known.implode()))
