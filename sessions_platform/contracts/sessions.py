"""What a session is once it rests: the columns of `sessionized_events` and of the table `sessions`."""

import pandera.polars as pa
import polars as pl

from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.stream import Aggregate, Stream

UTC_MICROSECONDS = pl.Datetime("us", "UTC")

SESSIONIZED: dict[str, pl.DataType] = {
    "session_id": pl.String(),
    "is_new_session": pl.Boolean(),
    "time_diff_seconds": pl.Float64(),
    "session_partition": pl.String(),
}

_LEADING: dict[str, pl.DataType] = {
    "session_id": pl.String(),
    "user_id": pl.String(),
    "session_start": UTC_MICROSECONDS,
    "session_end": UTC_MICROSECONDS,
    "duration_seconds": pl.Float64(),
    "event_count": pl.Int64(),
    "primary_action": pl.String(),
    "entry_page": pl.String(),
    "exit_page": pl.String(),
}
_TRAILING: dict[str, pl.DataType] = {"session_partition": pl.String(), "policy_version": pl.String()}

# What the warehouse keeps beside them, by itself: neither counts as a change of the session.
KEPT_BY_WAREHOUSE = {"open_until": UTC_MICROSECONDS, "loaded_at": UTC_MICROSECONDS}


def sessionized_columns(stream: Stream) -> dict[str, pl.DataType]:
    return {**event_columns(stream), **SESSIONIZED}


def session_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of a session, the stream's own in the middle."""
    own = {name: _aggregate_dtype(aggregate, stream) for name, aggregate in stream.session.columns.items()}
    return {**_LEADING, **own, **_TRAILING}


def sessionized_schema(stream: Stream) -> pa.DataFrameSchema:
    nullable = {"properties", "time_diff_seconds"} | {n for n, c in stream.columns.items() if c.nullable}
    columns = {n: pa.Column(dtype, nullable=n in nullable) for n, dtype in sessionized_columns(stream).items()}
    columns["time_diff_seconds"] = pa.Column(pl.Float64, pa.Check.ge(0), nullable=True)
    return pa.DataFrameSchema(columns, strict=True, name=f"{stream.name}.sessionized_events")


def sessions_schema(stream: Stream) -> pa.DataFrameSchema:
    required = {"session_id", "user_id", "session_start", "session_end", *_TRAILING}
    columns = {n: pa.Column(dtype, nullable=n not in required) for n, dtype in session_columns(stream).items()}
    columns["session_id"] = pa.Column(pl.String, unique=True)
    columns["duration_seconds"] = pa.Column(pl.Float64, pa.Check.ge(0))
    columns["event_count"] = pa.Column(pl.Int64, pa.Check.ge(1))
    ends_after_it_starts = pa.Check(
        lambda data: data.lazyframe.select(pl.col("session_end") >= pl.col("session_start")),
        name="session_end is not before session_start",
    )
    return pa.DataFrameSchema(columns, checks=ends_after_it_starts, strict=True, name=f"{stream.name}.sessions")


def _aggregate_dtype(aggregate: Aggregate, stream: Stream) -> pl.DataType:
    if aggregate.function.startswith("count"):
        return pl.Int64()
    return event_columns(stream)[aggregate.column]
