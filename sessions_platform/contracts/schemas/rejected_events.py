"""The contract of rejected rows as a schema."""

from collections.abc import Mapping, Sequence

import polars as pl

from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.schemas.schema import ColumnSchema, Schema, ValueCheck
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


def rejected_schema(stream: Stream) -> Schema:
    """The contract of the asset rejected_events: nothing null, and at least one reason, each of a known code."""
    checks: Mapping[str, Sequence[ValueCheck]] = {
        "payload_encoding": [ValueCheck.isin(["utf-8", "base64"])],
        "reasons": [ValueCheck("at least one reason, each of a known code", _is_explained)],
        "rows": [ValueCheck.compares("ge", 1)],
        "contract_version": [ValueCheck.compares("eq", stream.contract_version)],
    }
    columns = {
        name: ColumnSchema(dtype, checks.get(name, ()), unique=name == "rejection_id", description=_DESCRIPTIONS[name])
        for name, dtype in REJECTED_EVENTS.items()
    }
    return Schema(f"{stream.name}.rejected_events", columns)


def _is_explained(reasons: pl.Expr) -> pl.Expr:
    known = pl.element().struct.field("code").is_in([code.value for code in Code]).fill_null(value=False)
    return (reasons.list.len() > 0) & reasons.list.eval(known).list.all()
