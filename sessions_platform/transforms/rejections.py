"""Rejected rows: their reasons, their ids, and their payloads as text.

Here: how one reason is built, and how raw rows with reasons become rows of `rejected_events`. Which
rows are rejected is decided in ``transforms.parse``, ``transforms.validate`` and
``transforms.deduplicate``; the codes are in ``contracts.rejection_reasons``, the columns in
``contracts.rejected_events``.
"""

import base64

import polars as pl

from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.rejection_reasons import VALUE_SHOWN, Code
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.identifiers import sha256_of, uuids_of
from sessions_platform.transforms.stretches import ROWS


def reason_expr(code: Code, rule: str, *, column: str, value: pl.Expr) -> pl.Expr:
    """One reason (the struct ``REASON``) for each row; `value` is shown as text, cut to ``VALUE_SHOWN`` characters."""
    return pl.struct(
        code=pl.lit(code.value),
        column=pl.lit(column),
        rule=pl.lit(rule),
        value=value.cast(pl.String).str.slice(0, VALUE_SHOWN),
    )


def rejections(rejected: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Rows of `rejected_events` for raw rows with reasons, in the same order.

    Args:
        rejected: landing_partition, source_uri (String), position (Int64), payload (Binary) and
            reasons (``REASONS``), and ``ROWS``, how many raw rows each stands for.
        stream: names the rows' ids and gives the contract version.

    Returns:
        The columns of ``REJECTED_EVENTS``. The payload is text, or base64 where it is not UTF-8 or
        contains U+0000, which PostgreSQL's text can't store.
    """
    encoded = [_encoded(payload) for payload in rejected["payload"]]
    return rejected.with_columns(
        rejection_id=rejection_ids(rejected, stream),
        payload=pl.Series([text for text, _ in encoded], dtype=pl.String),
        payload_encoding=pl.Series([encoding for _, encoding in encoded], dtype=pl.String),
        contract_version=pl.lit(stream.contract_version),
        rows=ROWS,
    ).select(*REJECTED_EVENTS)


def _encoded(payload: bytes) -> tuple[str, str]:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = "\0"
    return (base64.b64encode(payload).decode(), "base64") if "\0" in text else (text, "utf-8")


def payload_bytes(payload: str, encoding: str) -> bytes:
    """The bytes of a rejected row as they were in the landing file; `encoding` is "utf-8" or "base64"."""
    return base64.b64decode(payload) if encoding == "base64" else payload.encode()


def rejection_ids(rejected: pl.DataFrame, stream: Stream) -> pl.Series:
    """A UUID for each row, made of stream, file, position and payload, so that a rerun gives the same one.

    A row that stands for several has another id than one of the same place that stands for itself, and so has one that
    stands for more: what was decided about some rows is not decided about others.

    Args:
        rejected: source_uri (String), position (Int64) and payload (Binary), none null; ``ROWS`` (Int64) where rows
            may stand for several.
        stream: whose rows they are.
    """
    digest = sha256_of(rejected["payload"]).alias("digest")
    row = pl.col("source_uri"), pl.col("position").cast(pl.String)
    return uuids_of(rejected.select(pl.lit(stream.name).alias("stream"), *row, _with_rows(rejected, digest)))


def _with_rows(rejected: pl.DataFrame, digest: pl.Series) -> pl.Series:
    if ROWS not in rejected.columns or not (rejected[ROWS] > 1).any():
        return digest
    several = rejected.select(pl.when(pl.col(ROWS) > 1).then(pl.format(" {}", ROWS)).otherwise(pl.lit("")))
    return digest + several.to_series()
