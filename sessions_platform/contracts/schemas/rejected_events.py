"""The contract of rejected rows as a pandera schema."""

import pandera.polars as pa
import polars as pl

from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.stream import Stream

_DESCRIPTIONS = {
    "rejection_id": "Identifies the rejected row: a hash of stream, source_uri, position, payload and rows.",
    "landing_partition": "The landing partition of the row.",
    "source_uri": "The file that the row was read from.",
    "position": "Its line, record or row in the file, from 1; the first of them if it stands for several.",
    "payload": "The row as it was delivered, byte for byte.",
    "payload_encoding": "utf-8, or base64 where the bytes are not UTF-8 or contain U+0000.",
    "reasons": "All reasons, each with code, column, rule and value.",
    "contract_version": "The version of the contract that rejected it.",
    "rows": "How many consecutive raw rows it stands for, which are alike in bytes and reasons: 1, or more.",
}


def rejected_schema(stream: Stream) -> pa.DataFrameSchema:
    """The contract of the asset rejected_events: nothing null, and at least one reason, each of a known code."""
    columns = {name: pa.Column(dtype) for name, dtype in REJECTED_EVENTS.items()}
    columns["rejection_id"] = pa.Column(pl.String, unique=True)
    columns["payload_encoding"] = pa.Column(pl.String, pa.Check.isin(["utf-8", "base64"]))
    columns["reasons"] = pa.Column(REASONS, [_is_explained()])
    columns["rows"] = pa.Column(pl.Int64, pa.Check.ge(1))
    columns["contract_version"] = pa.Column(pl.String, pa.Check.eq(stream.contract_version))
    for name, column in columns.items():
        column.description = _DESCRIPTIONS[name]
    return pa.DataFrameSchema(columns, strict=True, name=f"{stream.name}.rejected_events")


def _is_explained() -> pa.Check:
    known = pl.element().struct.field("code").is_in([code.value for code in Code]).fill_null(value=False)

    def has_known_codes(data: pa.PolarsData) -> pl.LazyFrame:
        reasons = pl.col(data.key)
        return data.lazyframe.select((reasons.list.len() > 0) & reasons.list.eval(known).list.all())

    return pa.Check(has_known_codes, name="at least one reason, each of a known code")
