"""The columns of sessions: of the asset `sessionized_events`, and of the table `sessions`.

Not here: what opens and ends a session (``session_rule``), the algorithm (``transforms.sessionize``,
``transforms.summarize``), the rules of values (``schemas.sessions``), and the SQL types of the columns
(``storage.warehouses``).
"""

from enum import StrEnum

import polars as pl

from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.polars_types import UTC_MICROSECONDS
from sessions_platform.contracts.session_rule import Aggregate
from sessions_platform.contracts.stream import Stream


class Boundary(StrEnum):
    """Why an event opens a session: the first of these that applies."""

    inactivity = "inactivity"  # no event of the user within the gap before it
    midnight = "midnight"
    campaign = "campaign"
    cut_on = "cut_on"
    max_length = "max_length"


SESSIONIZED: dict[str, pl.DataType] = {
    "session_id": pl.String(),
    "is_new_session": pl.Boolean(),
    "time_diff_seconds": pl.Float64(),
    "boundary_reason": pl.String(),
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
_TRAILING: dict[str, pl.DataType] = {"session_partition": pl.String(), "session_rule_version": pl.String()}
SESSIONS = {**_LEADING, **_TRAILING}  # without the stream's own columns, which come between the two

# Columns that the warehouse adds: a new value of these is not a change of the session.
ADDED_BY_WAREHOUSE = {"open_until": UTC_MICROSECONDS, "loaded_at": UTC_MICROSECONDS}


# The log of the changes of the table `sessions`; `change` is appeared, changed or vanished.
SESSION_CHANGES: dict[str, pl.DataType] = {
    "session_id": pl.String(),
    "change": pl.String(),
    "merged_into": pl.String(),  # of a vanished session: the session that its earliest remaining event is in now
    "session_partition": pl.String(),
    "run_id": pl.String(),
    "changed_at": UTC_MICROSECONDS,
}


def sessionized_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of the asset sessionized_events: those of an event, then `SESSIONIZED`."""
    return {**event_columns(stream), **SESSIONIZED}


def session_columns(stream: Stream) -> dict[str, pl.DataType]:
    """The columns of a session, in order: the general ones, with the stream's own aggregates before the last two."""
    own = {name: _aggregate_dtype(aggregate, stream) for name, aggregate in stream.session.columns.items()}
    return {**_LEADING, **own, **_TRAILING}


def _aggregate_dtype(aggregate: Aggregate, stream: Stream) -> pl.DataType:
    if aggregate.function.startswith("count"):
        return pl.Int64()
    return event_columns(stream)[aggregate.column]
