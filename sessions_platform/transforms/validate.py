"""Judge rows: which are events, which are rejected and why.

`judge` looks at each row of a block alone, `settle` at the rows of a whole landing
partition together, for what only neighbours show: repeated ids and values.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl
from pandera.errors import SchemaErrors

from sessions_platform.contracts.columns import Column, ColumnType
from sessions_platform.contracts.events import (
    PLACE,
    PROVENANCE,
    Known,
    Rule,
    column_rules,
    content_columns,
    event_columns,
    ordered_columns,
    row_schema,
)
from sessions_platform.contracts.polars_syntax import read_timestamp
from sessions_platform.contracts.polars_types import REASON, REASONS
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.rejection_reasons import VALUE_SHOWN, Code
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.identifiers import md5_of, sha256_of, uuids_of

_ROW = "_row"
_PAYLOAD_DIGEST = "_payload_digest"
_WHOLE_ROW = (Code.malformed, Code.unreadable_file)
# Where a row counts as standing: a mend in the stead of its root, any other in its own place.
_STEAD = ["_uri", "_position"]

# Which rows are mends, and for which row of a landing file they stand: their root. Of several the one of
# the highest sequence counts.
REPAIRS: dict[str, pl.DataType] = {
    "source_uri": pl.String(),
    "position": pl.Int64(),
    "_root_uri": pl.String(),
    "_root_position": pl.Int64(),
    "_sequence": pl.Int64(),
}
_NO_REPAIRS = pl.DataFrame(schema=REPAIRS)


@dataclass(frozen=True)
class ValidationResult:
    """`events` lack their final duplicates; `rejected` has the raw columns and `reasons`."""

    events: pl.DataFrame
    rejected: pl.DataFrame


def validate(
    parsed: pl.DataFrame, stream: Stream, landing_partition: str, known: Known | None = None
) -> ValidationResult:
    """Split parsed rows of one landing partition into events and rejected rows, each with all its reasons.

    `known` has the values that stand in the references; a stream without any needs none.
    """
    known = known or {}
    # Lazily, for only so is an expression that stands twice in a type, as a moment does, worked out once.
    typed = parsed.lazy().with_row_index(_ROW)
    typed = typed.with_columns(_typed(name, column).alias(_typed_name(name)) for name, column in stream.columns.items())
    typed = typed.collect()
    reasons = _gathered(typed, _type_faults(typed, stream), _broken_rules(typed, stream, landing_partition, known))
    if reasons.is_empty():
        nothing = typed.clear().select(*_RAW, reasons=pl.lit(None, REASONS))
        return ValidationResult(_as_events(typed, stream), nothing)
    is_rejected = typed[_ROW].is_in(reasons[_ROW].implode())
    rejected = typed.select(_ROW, *_RAW).filter(is_rejected).join(reasons, on=_ROW, how="left", maintain_order="left")
    # of the columns only those that an event is made of, for to filter all of them takes several times as long
    accepted = typed.select(_made_of(stream)).filter(~is_rejected)
    return ValidationResult(_as_events(accepted, stream), rejected.select(*_RAW, "reasons"))


def deduplicate(
    events: pl.DataFrame, stream: Stream, file_digests: Mapping[str, str], repairs: pl.DataFrame = _NO_REPAIRS
) -> tuple[pl.DataFrame, pl.DataFrame, int]:
    """Give derived ids, drop and count duplicates, find conflicts; over a whole landing partition.

    `file_digests` tells which files hold the same bytes, `mends` (as MENDS has it) which rows are mended ones:
    they are judged as if they stood where their root does, and count in its stead; the replaced row is a
    duplicate, unless it contradicts another event, as it may have done before. Returns the events in the
    order of time, the conflicts (source_uri, position, reasons), and how many duplicates were dropped.
    """
    events, replaced = _newest_of_each_place(events, repairs)
    if stream.derives_event_id:
        events = _with_derived_ids(events, file_digests)
    events, copies = _first_of_each(events, "event_id")
    conflicts = [_conflicts(events, copies, stream)]
    duplicates = copies.height - conflicts[0].height
    differing = copies.join(conflicts[0], on=PLACE, how="semi")
    for name in _unique_columns(stream):
        conflicts += [_repeats(_first_of_each(events, name)[1], name), _repeats(_held(differing, events, name), name)]
    of_replaced = _conflicts_elsewhere(replaced, events, stream)
    duplicates += replaced.height - of_replaced.select(PLACE).n_unique()
    conflicts.append(of_replaced)
    told = pl.concat(conflicts).group_by(PLACE, maintain_order=True)
    told = told.agg(pl.col("reasons").list.explode(keep_nulls=False, empty_as_null=False))
    events = events.join(told, on=PLACE, how="anti").select(*event_columns(stream))
    return in_time(events, stream), told, duplicates


def candidate_hashes(stream: Stream) -> dict[str, pl.Expr]:
    """Hashes of what no two accepted rows may share, or are counted by where they do; null where there is none."""
    own = _PAYLOAD_DIGEST if stream.derives_event_id else "event_id"
    return {f"_hash_of_{name}": _hash(pl.col(name)) for name in (own, *_unique_columns(stream))}


def unique_events(events: pl.DataFrame, stream: Stream, file_digests: Mapping[str, str]) -> pl.DataFrame:
    """Accepted rows that share no contested value with any other, and have no mend: what `settle` makes of them."""
    if stream.derives_event_id:
        placed, _ = _newest_of_each_place(events, _NO_REPAIRS)
        events = _with_derived_ids(placed, file_digests)
    return in_time(events.select(*event_columns(stream)), stream)


def accepted_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of a verdict's events."""
    own = {
        name: dtype for name, dtype in event_columns(stream).items() if name in (*ordered_columns(stream), *PROVENANCE)
    }
    digest = {_PAYLOAD_DIGEST: pl.String()} if stream.derives_event_id else {}
    return {**own, "properties": pl.String(), **digest}


def _hash(value: pl.Expr) -> pl.Expr:
    return pl.when(value.is_not_null()).then(value.hash())


def in_time(events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The order of events: time, then the stream's sequence, then event_id.

    Sorted by the time alone, which is one column of integers; only simultaneous events are looked at again.
    """
    time = events["event_timestamp"]
    order = time.arg_sort()
    ordered = time.gather(order)
    same = (ordered == ordered.shift()).fill_null(value=False)
    tied = same | same.shift(-1, fill_value=False)
    if tied.any():
        rows = order.filter(tied)
        ties = events.select(time_order(stream))[rows].with_columns(_row=rows)
        order = order.scatter(tied.arg_true(), ties.sort(*time_order(stream), "_row", nulls_last=True)["_row"])
    return events[order]


def time_order(stream: Stream) -> list[str]:
    return ["event_timestamp", *([stream.sequence] if stream.sequence else []), "event_id"]


def rejections(rejected: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The dead-letter rows of raw rows with reasons: payload as text, or base64 where text can't hold it."""
    shown = [_payload_shown(payload) for payload in rejected["payload"]]
    return rejected.with_columns(
        rejection_id=rejection_ids(rejected, stream),
        payload=pl.Series([text for text, _ in shown], dtype=pl.String),
        payload_encoding=pl.Series([encoding for _, encoding in shown], dtype=pl.String),
        contract_version=pl.lit(stream.contract_version),
    ).select(*REJECTED_EVENTS)


def _payload_shown(payload: bytes) -> tuple[str, str]:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = "\0"
    return (base64.b64encode(payload).decode(), "base64") if "\0" in text else (text, "utf-8")


def payload_bytes(payload: str, encoding: str) -> bytes:
    """The bytes that a rejected row came as."""
    return base64.b64decode(payload) if encoding == "base64" else payload.encode()


_RAW = [*PROVENANCE, "payload"]


def _typed_name(column: str) -> str:
    return f"_typed_{column}"


def as_typed(texts: pl.Series, column: Column) -> pl.Series:
    """Texts as values of the column's type; null where they are none."""
    return texts.to_frame().select(_typed(texts.name, column).alias(texts.name)).to_series()


def _typed(name: str, column: Column) -> pl.Expr:
    text = pl.col(name)
    match column.type:
        case ColumnType.string:
            return text
        case ColumnType.boolean:
            return text.str.to_lowercase().replace_strict({"true": True, "false": False}, default=None)
        case ColumnType.integer:
            return text.cast(pl.Int64, strict=False)
        case ColumnType.float:
            number = text.cast(pl.Float64, strict=False)
            return pl.when(number.is_finite()).then(number)
        case ColumnType.timestamp:
            return pl.coalesce(read_timestamp(text, fmt, column.timezone) for fmt in column.formats or [])


def _type_faults(typed: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Texts that are no value of their column's type: _row, column, reason."""
    found = [
        typed.filter(pl.col(name).is_not_null() & pl.col(_typed_name(name)).is_null()).select(
            _ROW, column=pl.lit(name), reason=_reason(*_type_rule(column), column=name, value=pl.col(name))
        )
        for name, column in stream.columns.items()
        if column.type is not ColumnType.string
    ]
    return pl.concat([_NO_REASONS, *found])


def _type_rule(column: Column) -> tuple[Code, str]:
    if column.type is ColumnType.timestamp:
        formats = ", ".join(column.formats or [])
        return Code.bad_timestamp, f"a timestamp of the formats {formats}; in {column.timezone} if it states no zone"
    return Code.wrong_type, f"{_VALUE_OF[column.type]} (type {column.type.value})"


_VALUE_OF = {
    ColumnType.integer: "a whole number of 64 bits",
    ColumnType.float: "a finite number",
    ColumnType.boolean: "true or false",
}


def _reason(code: Code, rule: str, *, column: str, value: pl.Expr) -> pl.Expr:
    return pl.struct(
        code=pl.lit(code.value),
        column=pl.lit(column),
        rule=pl.lit(rule),
        value=value.cast(pl.String).str.slice(0, VALUE_SHOWN),
    )


def _broken_rules(typed: pl.DataFrame, stream: Stream, landing_partition: str, known: Known) -> pl.DataFrame:
    """What pandera finds in the rows that could be read at all: _row, column, reason."""
    has_faults = typed["parse_errors"].list.len().max()
    readable = typed.filter(~_has_whole_row_fault()) if has_faults else typed
    frame = readable.select(pl.col(_typed_name(name)).alias(name) for name in ordered_columns(stream))
    try:
        row_schema(stream, landing_partition, known).validate(frame, lazy=True)
    except SchemaErrors as broken:
        latest = stream.latest_moment(landing_partition)
        rules = {name: column_rules(stream, name, latest, known) for name in stream.columns}
        return _explained(broken.failure_cases, readable, rules)
    return _NO_REASONS


def _has_whole_row_fault() -> pl.Expr:
    codes = pl.col("parse_errors").list.eval(pl.element().struct.field("code"))
    return codes.list.eval(pl.element().is_in([code.value for code in _WHOLE_ROW])).list.any()


def _explained(cases: pl.DataFrame, readable: pl.DataFrame, rules: Mapping[str, list[Rule]]) -> pl.DataFrame:
    """Turn pandera's failure cases into reasons. A case without a row concerns the frame: that is a defect."""
    if cases["index"].null_count():
        raise RuntimeError(f"the judged frame does not have the contract's types: {_without_values(cases)}")
    found = [_NO_REASONS]
    for (column, number), group in cases.group_by("column", "check_number", maintain_order=True):
        name = str(column)
        code, text = _missing(name) if number is None else _broken(rules[name], number)
        hit = readable[group["index"].cast(pl.UInt32)]
        value = pl.lit(None, pl.String) if number is None else pl.col(name)
        found.append(hit.select(_ROW, column=pl.lit(name), reason=_reason(code, text, column=name, value=value)))
    return pl.concat(found)


def _without_values(cases: pl.DataFrame) -> list[dict[str, str]]:
    return cases.head(3).select(pl.col("column", "check").cast(pl.String)).to_dicts()


def _missing(name: str) -> tuple[Code, str]:
    return (Code.missing_identity if name == "user_id" else Code.missing_value), "not null"


def _broken(rules: list[Rule], number: object) -> tuple[Code, str]:
    rule = rules[int(str(number))]
    return rule.code, rule.text


def _gathered(typed: pl.DataFrame, type_faults: pl.DataFrame, broken: pl.DataFrame) -> pl.DataFrame:
    """All reasons of each row: _row, reasons. A value of the wrong type is not missing too."""
    at_fault = typed.filter(pl.col("parse_errors").list.len() > 0)
    parse_faults = at_fault.select(_ROW, reason="parse_errors").explode("reason")
    parse_faults = parse_faults.select(_ROW, column=pl.col("reason").struct.field("column"), reason="reason")
    known = pl.concat([_NO_REASONS, parse_faults, type_faults])
    is_missing = pl.col("reason").struct.field("rule") == "not null"
    absent = broken.filter(is_missing).join(known, on=[_ROW, "column"], how="anti")
    every = pl.concat([known, absent, broken.filter(~is_missing)])
    return every.group_by(_ROW, maintain_order=True).agg(reasons="reason")


_NO_REASONS = pl.DataFrame(schema={_ROW: pl.UInt32, "column": pl.String, "reason": REASON})


def _made_of(stream: Stream) -> list[str]:
    return [*map(_typed_name, ordered_columns(stream)), "properties", *_RAW]


def _as_events(accepted: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    own = [pl.col(_typed_name(name)).alias(name) for name in ordered_columns(stream)]
    digest = [md5_of(accepted["payload"]).alias(_PAYLOAD_DIGEST)] if stream.derives_event_id else []
    return accepted.select(*own, "properties", *PROVENANCE, *digest)


def _newest_of_each_place(events: pl.DataFrame, repairs: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events in the order of their places, and those that a newer mend of the same row has replaced."""
    if repairs.is_empty():
        placed = events.with_columns(_uri="source_uri", _position="position")
        placed = placed if _stands_in_place(placed) else placed.sort(*_STEAD)
        return placed, placed.clear()
    placed = events.join(repairs, on=PLACE, how="left").with_columns(
        _uri=pl.coalesce("_root_uri", "source_uri"),
        _position=pl.coalesce("_root_position", "position"),
        _sequence=pl.col("_sequence").fill_null(0),
    )
    placed = placed.sort(*_STEAD, "_sequence", descending=[False, False, True])
    is_newest = pl.struct(_STEAD).is_first_distinct()
    return placed.filter(is_newest), placed.filter(~is_newest)


def _stands_in_place(placed: pl.DataFrame) -> bool:
    """Whether rows stand file by file and line by line: as they mostly come, and a look is cheaper than a sort."""
    uri, position = placed["_uri"], placed["_position"]
    rises = (uri > uri.shift()) | ((uri == uri.shift()) & (position > position.shift()))
    return bool(rises.fill_null(value=True).all())


def _conflicts_elsewhere(replaced: pl.DataFrame, events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Why rows that a mend has replaced contradict events that stand in other places."""
    found = [pl.DataFrame(schema={"source_uri": pl.String, "position": pl.Int64, "reasons": REASONS})]
    if not stream.derives_event_id:
        elsewhere = replaced.join(events, on=["event_id", *_STEAD], how="anti")
        found.append(_conflicts(events, elsewhere, stream))
    for name in _unique_columns(stream):
        first, _ = _first_of_each(events, name)
        elsewhere = replaced.join(first, on=[name, *_STEAD], how="anti")
        found.append(_repeats(elsewhere.join(first, on=name, how="semi"), name))
    return pl.concat(found)


def _unique_columns(stream: Stream) -> list[str]:
    return [name for name, column in stream.columns.items() if column.unique and name != "event_id"]


def _with_derived_ids(events: pl.DataFrame, file_digests: Mapping[str, str]) -> pl.DataFrame:
    """event_id from the payload and its occurrence number, so that identical lines stay separate events.

    A file of the same bytes counts once: its rows take the ids of its first copy's, and so become duplicates.
    """
    first_copy: dict[str, str] = {}
    original = {uri: first_copy.setdefault(file_digests[uri], uri) for uri in sorted(file_digests)}
    events = events.with_columns(_original=pl.col("_uri").replace_strict(original, return_dtype=pl.String))
    row = ["_original", "_position", _PAYLOAD_DIGEST]
    originals = events.select(row).unique().sort("_original", "_position")
    numbered = originals.with_columns(_occurrence=pl.int_range(pl.len()).over(_PAYLOAD_DIGEST))
    events = events.join(numbered, on=row, how="left", maintain_order="left")
    ids = uuids_of(events.select(_PAYLOAD_DIGEST, pl.col("_occurrence").cast(pl.String)))
    return events.with_columns(event_id=ids)


def _first_of_each(events: pl.DataFrame, column: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that hold a value of the column first, and those that repeat one. Nulls repeat nothing."""
    repeats = ~pl.col(column).is_first_distinct() & pl.col(column).is_not_null()
    return events.filter(~repeats), events.filter(repeats)


def _conflicts(events: pl.DataFrame, copies: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Copies whose content differs from that of the event that was kept under their id."""
    content = pl.struct(content_columns(stream)).struct.json_encode()
    kept = events.join(copies, on="event_id", how="semi").select("event_id", _kept=content)
    differ = copies.with_columns(_content=content).join(kept, on="event_id")
    return _repeats(differ.filter(pl.col("_content") != pl.col("_kept")), "event_id", "same id, same content")


def _held(copies: pl.DataFrame, events: pl.DataFrame, column: str) -> pl.DataFrame:
    """The copies that hold a value of the column which an event before them holds."""
    holders = _first_of_each(events, column)[0].select(column, _holder_uri="_uri", _holder_position="_position")
    pairs = copies.join(holders, on=column)
    is_before = (pl.col("_holder_uri") == pl.col("_uri")) & (pl.col("_holder_position") < pl.col("_position"))
    return pairs.filter((pl.col("_holder_uri") < pl.col("_uri")) | is_before)


def _repeats(repeated: pl.DataFrame, column: str, rule: str = "stands only once (unique)") -> pl.DataFrame:
    reason = _reason(Code.conflicting_duplicate, rule, column=column, value=pl.col(column))
    listed = pl.concat_list(reason).cast(REASONS)
    return repeated.select("source_uri", "position", reasons=listed)


def rejection_ids(rejected: pl.DataFrame, stream: Stream) -> pl.Series:
    """The name that each raw row has once it is rejected: of its stream, file, position and payload."""
    digest = sha256_of(rejected["payload"]).alias("digest")
    place = pl.col("source_uri"), pl.col("position").cast(pl.String)
    return uuids_of(rejected.select(pl.lit(stream.name).alias("stream"), *place, digest))
