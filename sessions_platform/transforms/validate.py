"""Validate parsed rows one by one: which are events, and which are rejected and why.

Here: casts and contract rules, applied to each row by itself, and the reasons of each rejected row.
What only several rows together show (repeated ids and values) is in ``transforms.deduplicate``; the
rules are made from the stream in ``contracts.events``; how a reason and a rejected row look is in
``transforms.rejections``.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from sessions_platform.contracts.column_types import ordered_columns
from sessions_platform.contracts.events import PROVENANCE, Known, contract_columns
from sessions_platform.contracts.polars_types import REASON, REASONS
from sessions_platform.contracts.raw_events import fields_among
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.schemas.events import Rule, column_rules, row_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.typed.payloads import with_payloads
from sessions_platform.transforms.cast import cast_expr, cast_rule, may_fail
from sessions_platform.transforms.identifiers import md5_of
from sessions_platform.transforms.parse.typed_rows import texts_of
from sessions_platform.transforms.pseudonymize import pseudonymize
from sessions_platform.transforms.rejections import reason_expr
from sessions_platform.transforms.skip import without_skipped
from sessions_platform.transforms.stretches import ROWS, spread

# The md5 of the payload as it came: ids are derived from it where the source has none.
PAYLOAD_DIGEST = "_payload_digest"

_ROW = "_row"
_RAW = [*PROVENANCE, "payload", ROWS]
_WHOLE_ROW = (Code.malformed, Code.unreadable_file)
_NO_REASONS = pl.DataFrame(schema={_ROW: pl.UInt32, "column": pl.String, "reason": REASON})


@dataclass(frozen=True)
class ValidationResult:
    """The rows of a block, split; each row is in one of the two frames, or counted in `skipped`.

    `events` has the columns ``accepted_columns`` and may still contain duplicates. `rejected` has the
    provenance columns, payload (Binary), ``ROWS`` and reasons (``REASONS``, never empty). Both in input order.
    """

    events: pl.DataFrame
    rejected: pl.DataFrame
    skipped: int = 0


def accepted_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of ``ValidationResult.events``: the contract's, and the payload's digest where ids are derived."""
    own = (*ordered_columns(stream), *PROVENANCE)
    accepted = {name: dtype for name, dtype in contract_columns(stream).items() if name in own}
    digest = {PAYLOAD_DIGEST: pl.String()} if stream.derives_event_id else {}
    return {**accepted, "properties": pl.String(), **digest}


def validate(
    parsed: pl.DataFrame, stream: Stream, landing_partition: str, known: Known | None = None
) -> ValidationResult:
    """Split parsed rows of one landing partition into events and rejected rows, each with all its reasons.

    Args:
        parsed: what ``transforms.parse`` returns: the stream's columns as text, properties, the raw
            columns, ``ROWS`` and parse_errors; any number of rows, any order.
        stream: the contract.
        landing_partition: its key; the latest time that an event may have depends on it.
        known: by column, the values that its reference contains; needed only by a stream with references.

    Returns:
        Accepted and rejected rows; together all rows of `parsed` but those that are skipped.

    Raises:
        RuntimeError: the typed columns do not have the contract's types, which is a defect of this program.
    """
    known = known or {}
    if needs_payloads(stream):
        parsed = with_payloads(parsed)
    rows = int(parsed[ROWS].sum())
    parsed = without_skipped(texts_of(parsed, {str(rule.column) for rule in stream.skip}), stream)
    skipped = rows - int(parsed[ROWS].sum())
    # Lazily, because polars evaluates an expression that a cast repeats (a timestamp's moment) only once then.
    typed = parsed.lazy().with_row_index(_ROW)
    casts = (
        cast_expr(name, column, parsed.schema[name]).alias(_typed_name(name)) for name, column in stream.columns.items()
    )
    typed = typed.with_columns(casts).collect()
    cast_errors = _cast_errors(typed, stream)
    reasons = _reasons_by_row(typed, cast_errors, _broken_rules(typed, stream, landing_partition, known))
    if reasons.is_empty():
        nothing = typed.clear().select(*_RAW, reasons=pl.lit(None, REASONS))
        return ValidationResult(_as_events(typed, stream), nothing, skipped)
    is_rejected = typed[_ROW].is_in(reasons[_ROW].implode())
    rejected = with_payloads(typed.select(_ROW, *_RAW, *fields_among(typed.columns)).filter(is_rejected))
    rejected = rejected.join(reasons, on=_ROW, how="left", maintain_order="left")
    # Only the columns that an event is made of: filtering all of them takes several times as long.
    needed = [*map(_typed_name, ordered_columns(stream)), "properties", *_RAW]
    accepted = typed.select(needed).filter(~is_rejected)
    return ValidationResult(_as_events(accepted, stream), rejected.select(*_RAW, "reasons"), skipped)


def needs_payloads(stream: Stream) -> bool:
    """Whether a row's payload is needed before it is known to be rejected: for a derived id, or a rule that skips."""
    return stream.derives_event_id or any(rule.column is None for rule in stream.skip) or bool(stream.source.comment)


def _typed_name(column: str) -> str:
    return f"_typed_{column}"


def _as_events(accepted: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    own = [pl.col(_typed_name(name)).alias(name) for name in ordered_columns(stream)]
    digest = [md5_of(accepted["payload"]).alias(PAYLOAD_DIGEST)] if stream.derives_event_id else []
    events = pseudonymize(accepted.select(*own, "properties", *PROVENANCE, *digest), stream)
    return spread(events, accepted[ROWS])


def _cast_errors(typed: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Texts that could not be cast to their column's type: _row, column, reason."""
    errors = [
        typed.filter(pl.col(name).is_not_null() & pl.col(_typed_name(name)).is_null()).select(
            _ROW, column=pl.lit(name), reason=reason_expr(*cast_rule(column), column=name, value=pl.col(name))
        )
        for name, column in stream.columns.items()
        if may_fail(column)
    ]
    return pl.concat([_NO_REASONS, *errors])


def _broken_rules(typed: pl.DataFrame, stream: Stream, landing_partition: str, known: Known) -> pl.DataFrame:
    """The rules that readable rows break: _row, column, reason."""
    has_parse_errors = typed["parse_errors"].list.len().max()
    readable = typed.filter(~_is_unreadable()) if has_parse_errors else typed
    schema = row_schema(stream, landing_partition, known)
    frame = readable.select(pl.col(_typed_name(name)).alias(name) for name in schema.columns)
    if not schema.has_types(frame):
        raise RuntimeError(f"the validated frame does not have the contract's types: {dict(frame.schema)}")
    is_broken = schema.broken_rows(frame)
    if not is_broken.any():
        return _NO_REASONS
    readable, frame = texts_of(readable.filter(is_broken), stream.columns), frame.filter(is_broken)
    latest = stream.latest_moment(landing_partition)
    rules = {name: column_rules(stream, name, latest, known) for name in stream.columns}
    return _explained(schema.broken_values(frame), readable, rules)


def _is_unreadable() -> pl.Expr:
    """Whether a row is malformed or of a corrupt file: its columns are null because of that, and not missing."""
    codes = pl.col("parse_errors").list.eval(pl.element().struct.field("code"))
    return codes.list.eval(pl.element().is_in([code.value for code in _WHOLE_ROW])).list.any()


def _explained(cases: pl.DataFrame, readable: pl.DataFrame, rules: Mapping[str, list[Rule]]) -> pl.DataFrame:
    """Turn ``Schema.broken_values`` into reasons: _row, column, reason."""
    reasons = [_NO_REASONS]
    for (column, number), group in cases.group_by("column", "check_number", maintain_order=True):
        name = str(column)
        if number is None:
            code, text = (Code.missing_identity if name == "user_id" else Code.missing_value), "not null"
            value = pl.lit(None, pl.String)
        else:
            rule = rules[name][int(str(number))]
            code, text, value = rule.code, rule.text, pl.col(name)
        rows = readable[group["index"]]
        reasons.append(rows.select(_ROW, column=pl.lit(name), reason=reason_expr(code, text, column=name, value=value)))
    return pl.concat(reasons)


def _reasons_by_row(typed: pl.DataFrame, cast_errors: pl.DataFrame, broken: pl.DataFrame) -> pl.DataFrame:
    """All reasons of each rejected row: _row, reasons. A value that could not be read or cast is not also missing."""
    with_errors = typed.filter(pl.col("parse_errors").list.len() > 0)
    parse_errors = with_errors.select(_ROW, reason="parse_errors").explode("reason")
    parse_errors = parse_errors.select(_ROW, column=pl.col("reason").struct.field("column"), reason="reason")
    known = pl.concat([_NO_REASONS, parse_errors, cast_errors])
    is_missing = pl.col("reason").struct.field("rule") == "not null"
    absent = broken.filter(is_missing).join(known, on=[_ROW, "column"], how="anti")
    every = pl.concat([known, absent, broken.filter(~is_missing)])
    return every.group_by(_ROW, maintain_order=True).agg(reasons="reason")
