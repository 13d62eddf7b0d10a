"""Make one row of each session."""

import polars as pl

from sessions_platform.contracts.sessions import session_columns
from sessions_platform.contracts.stream import Aggregate, Stream
from sessions_platform.transforms.sessionize import in_seconds
from sessions_platform.transforms.validate import time_order


def summarize(sessionized: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """One row a session, from all of its events. Entry and exit page come from the column page_url, if there is one."""
    ordered = sessionized.sort("session_id", *time_order(stream), nulls_last=True)
    page = pl.col("page_url").drop_nulls() if "page_url" in stream.columns else pl.lit(None, pl.String)
    sessions = ordered.group_by("session_id", maintain_order=True).agg(
        pl.col("user_id", "session_partition").first(),
        session_start=pl.col("event_timestamp").first(),
        session_end=pl.col("event_timestamp").last(),
        event_count=pl.len().cast(pl.Int64),
        entry_page=page.first(),
        exit_page=page.last(),
        **{name: _aggregate(aggregate) for name, aggregate in stream.session.columns.items()},
    )
    length = in_seconds(pl.col("session_end") - pl.col("session_start"))
    return (
        sessions.join(_primary_actions(ordered, stream), on="session_id", how="left", maintain_order="left")
        .with_columns(duration_seconds=length, policy_version=pl.lit(stream.policy_version))
        .select(*session_columns(stream))
    )


def _primary_actions(ordered: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The most frequent event type, ties to the earliest; or the first of the stream's list that occurs."""
    priorities = stream.session.primary_action
    counted = ordered.group_by("session_id", "event_type", maintain_order=True).agg(_count=pl.len())
    if priorities == "most_frequent":
        best = counted.sort("_count", descending=True, maintain_order=True)
    else:
        rank = {action: place for place, action in enumerate(priorities)}
        place = pl.col("event_type").replace_strict(rank, default=None, return_dtype=pl.Int64)
        best = counted.filter(pl.col("event_type").is_in(priorities)).sort(place, maintain_order=True)
    first = best.unique("session_id", keep="first", maintain_order=True)
    return first.select("session_id", primary_action="event_type")


def _aggregate(aggregate: Aggregate) -> pl.Expr:
    """As SQL has it: nulls are passed over, and a sum of nothing is null."""
    values = pl.col(aggregate.column).drop_nulls()
    functions = {
        "first": values.first(),
        "last": values.last(),
        "sum": pl.when(values.len() > 0).then(values.sum()),
        "min": values.min(),
        "max": values.max(),
        "count": values.len().cast(pl.Int64),
        "count_distinct": values.n_unique().cast(pl.Int64),
    }
    return functions[aggregate.function]
