"""A stream: what its events are, where they come from and what a session is.

One YAML file states all of it, once. From these models derive the pandera schemas,
the Dagster column schemas, the warehouse's tables and the JSON schema in `docs/`.
"""

import hashlib
import json
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic.json_schema import SkipJsonSchema

from sessions_platform.contracts.calendar import Cadence, Calendar, midnight
from sessions_platform.contracts.formats import FormatOptions, format_of_name, suffixes
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.contracts.sources import AnySource
from sessions_platform.contracts.values import (
    Day,
    Duration,
    Identifier,
    Owner,
    Pattern,
    PositiveDuration,
    Retention,
    Share,
    SourcePaths,
    Table,
    TimestampFormat,
    Timezone,
    invalid,
    shown,
)


class ColumnType(StrEnum):
    string = "string"
    integer = "integer"
    float = "float"
    boolean = "boolean"
    timestamp = "timestamp"


class Reference(Model):
    """Where the values stand that a column may hold: a column of a file, or of a table in the warehouse database."""

    file: str | None = Field(
        None,
        description="CSV, NDJSON or Parquet, by its suffix; plain, gzip or zstd. Relative to the stream's file.",
    )
    table: Table | None = Field(None, description="A table or view of the warehouse database: schema.table.")
    column: str = Field(min_length=1, description="The column or field that holds the values.")

    @field_validator("file")
    @classmethod
    def _format_is_known(cls, file: str | None) -> str | None:
        if file is not None and format_of_name(file) is None:
            raise invalid(f"{shown(file)} tells no format", f"let it end in {', '.join(suffixes())}, or these and .gz")
        return file

    @property
    def format(self) -> str | None:
        return format_of_name(self.file) if self.file else None

    def __str__(self) -> str:
        return f"{self.file or self.table}, column {self.column}"


class Column(Model):
    """One column of an event: where it is found in the source, its type and its rules."""

    from_: SourcePaths | None = Field(
        None, alias="from", description="Where it is found; of several, the first that is not null. Dots go down."
    )
    join: list[str] | None = Field(
        None, min_length=2, description="Source fields to join with a space, as in a date and a time."
    )
    description: str = Field("", description="Shown in the UI.")
    type: ColumnType = ColumnType.string
    nullable: bool = Field(False, description="Whether an event may lack it.")
    unique: bool = Field(False, description="Whether a value may stand only once in a landing partition.")
    isin: list[str | int | float] | None = Field(None, min_length=1, description="The values that are allowed.")
    ge: float | None = Field(None, description="At least.")
    gt: float | None = Field(None, description="More than.")
    le: float | None = Field(None, description="At most.")
    lt: float | None = Field(None, description="Less than.")
    pattern: Pattern | None = Field(None, description="A regular expression (Rust syntax) found in the text.")
    references: Reference | None = Field(None, description="Where its values have to stand. Null needs none.")
    formats: list[TimestampFormat] | None = Field(
        None,
        min_length=1,
        description="Timestamps: tried in turn; %+ is ISO 8601 with an offset; epoch_s, epoch_ms, epoch_us.",
    )
    timezone: Timezone = Field("UTC", description="Timestamps: of those that state none.")

    @property
    def bounds(self) -> dict[str, float]:
        named = {"ge": self.ge, "gt": self.gt, "le": self.le, "lt": self.lt}
        return {name: bound for name, bound in named.items() if bound is not None}

    def paths(self, name: str) -> list[str]:
        """The source fields that this column is read from."""
        return self.join or self.from_ or [name]


class Landing(Model):
    partition: Cadence = Cadence.daily
    start: Day | None = Field(None, description="First landing partition; the stream's start where absent.")


class Aggregate(Model):
    """One column of the sessions table, made from a column of its events."""

    first: str | None = None
    last: str | None = None
    sum: str | None = None
    min: str | None = None
    max: str | None = None
    count: str | None = None
    count_distinct: str | None = None

    @property
    def spelled(self) -> dict[str, str]:
        return {name: column for name, column in self.model_dump().items() if column is not None}

    @property
    def function(self) -> str:
        return next(iter(self.spelled))

    @property
    def column(self) -> str:
        return self.spelled[self.function]


class Session(Model):
    """What a session is. Part of the stream: two runs must not disagree about it."""

    gap: PositiveDuration = Field(
        timedelta(minutes=30), description="A longer silence ends the session.", json_schema_extra={"default": "30m"}
    )
    gap_inclusive: bool = Field(False, description="Whether a silence of exactly the gap ends it too.")
    partition: Cadence = Cadence.daily
    timezone: Timezone = Field("UTC", description="Of the session partitions and of midnight.")
    split_at_midnight: bool = Field(False, description="Whether the first event of a new day opens a session.")
    campaign: str | None = Field(
        None, description="A column; a value that differs from the last one since the last silence opens a session."
    )
    max_length: PositiveDuration | None = Field(
        None, description="The first event that is later than this after its session's start opens a session."
    )
    primary_action: Literal["most_frequent"] | Annotated[list[str], Field(min_length=1)] = Field(
        "most_frequent", description="Or a list of event types: the first that occurs in the session."
    )
    columns: dict[Identifier, Aggregate] = Field(default_factory=dict)
    max_future: Duration = Field(
        timedelta(minutes=5),
        description="How far an event may lie beyond the end of its landing partition.",
        json_schema_extra={"default": "5m"},
    )

    @field_validator("primary_action", mode="before")
    @classmethod
    def _primary_action_can_be_found(cls, action: Any) -> Any:
        is_list = isinstance(action, list) and action and all(isinstance(name, str) for name in action)
        if not is_list and action != "most_frequent":
            fix = "write most_frequent, or list event types, as in [purchase, add_to_cart]"
            raise invalid(f"{shown(action)} tells no action", fix)
        return action


class Thresholds(Model):
    """Shares of the raw rows of a landing partition."""

    warn_above: Share | None = Field(None, description="A greater share of rejected rows is warned of.")
    fail_above: Share | None = Field(None, description="A greater share fails the partition: nothing is published.")


class Rejected(Thresholds):
    """How many rejected rows are too many, and how long they are kept."""

    by_reason: dict[Code, Thresholds] = Field(default_factory=dict, description="The same, for single reasons.")
    keep_for: Retention | None = Field(None, description="How long rejected rows are kept; for ever where absent.")


class Stream(Model):
    """One stream of events."""

    name: Identifier = Field(description="Names the assets and the warehouse's schema.")
    description: str = ""
    owners: list[Owner] = Field(default_factory=list, description="E-mail addresses, or team:name.")
    start: Day = Field(description="First session partition; earlier events are rejected as before_start.")
    end: Day | None = Field(None, description="Of a stream that is over: the day after its last.")
    source: AnySource
    landing: Landing = Field(default_factory=lambda: Landing.model_validate({}))
    columns: dict[Identifier, Column]
    extra_columns: Literal["keep", "reject", "drop"] = Field(
        "keep", description="What becomes of source fields that no column names; kept ones go to `properties`."
    )
    sequence: str | None = Field(None, description="A column that orders simultaneous events.")
    session: Session = Field(default_factory=lambda: Session.model_validate({}))
    rejected: Rejected = Field(default_factory=lambda: Rejected.model_validate({}))

    @field_validator("columns", mode="before")
    @classmethod
    def _event_timestamp_is_one(cls, columns: Any) -> Any:
        if isinstance(columns, dict) and isinstance(columns.get("event_timestamp"), dict):
            return {**columns, "event_timestamp": {"type": "timestamp", **columns["event_timestamp"]}}
        return columns

    # Where the stream was read from; source paths are relative to its folder.
    path: SkipJsonSchema[Path] = Field(Path("stream.yaml"), exclude=True)
    home: SkipJsonSchema[Path] = Field(Path(), exclude=True)

    @cached_property
    def landing_calendar(self) -> Calendar:
        start = self.landing.start or self.start
        end = midnight(self.end, "UTC") if self.end else None
        return Calendar(self.landing.partition, midnight(start, "UTC"), "UTC", end)

    @cached_property
    def session_calendar(self) -> Calendar:
        zone = self.session.timezone
        end = midnight(self.end, zone) if self.end else None
        return Calendar(self.session.partition, midnight(self.start, zone), zone, end)

    @property
    def calendars(self) -> dict[str, str]:
        """What gives partition keys their meaning; it can't change while there are partitions."""
        session = self.session
        return {
            "landing.partition": self.landing.partition.value,
            "session.partition": session.partition.value,
            "session.timezone": session.timezone,
        }

    @property
    def first_moment(self) -> datetime:
        """Events before it are rejected as before_start."""
        return self.session_calendar.window(self.session_calendar.first_key).start

    def latest_moment(self, landing_partition: str) -> datetime:
        """Events after it are rejected as future_timestamp; no wall clock, so that judging again agrees."""
        latest = self.landing_calendar.window(landing_partition).end + self.session.max_future
        return (
            min(latest, self.session_calendar.end - timedelta(microseconds=1)) if self.session_calendar.end else latest
        )

    @property
    def references(self) -> dict[str, Reference]:
        """By column."""
        return {name: column.references for name, column in self.columns.items() if column.references}

    @property
    def derives_event_id(self) -> bool:
        return "event_id" not in self.columns

    @property
    def contract_version(self) -> str:
        """Changes when rows would be judged otherwise."""
        validated = self.model_dump(mode="json", include={"start", "end", "landing", "columns", "extra_columns"})
        validated["source"] = self.source.model_dump(mode="json", include=set(FormatOptions.model_fields))
        for column in validated["columns"].values():
            column.pop("description")
        return _digest({**validated, "max_future": self.session.max_future.total_seconds()})

    @property
    def session_rule_version(self) -> str:
        """Changes when the same events would make other sessions."""
        rule = self.session.model_dump(mode="json", exclude={"max_future"})
        return _digest({"session": rule, "sequence": self.sequence})


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
