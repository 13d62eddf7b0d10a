"""A stream: what its events are, where they come from and what a session is.

One YAML file states all of it, once. From these models derive the pandera schemas,
the Dagster column schemas, the warehouse's tables and the JSON schema in `docs/`.
"""

import codecs
import hashlib
import json
import re
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, available_timezones

import polars as pl
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    field_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from sessions_platform.contracts.calendar import Cadence, Calendar

_MILLISECONDS = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
_DURATION = re.compile(r"^\s*(\d{1,9})\s*(ms|s|m|h|d)\s*$")
_IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]{0,47}$")
_OWNER = re.compile(r"^(team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+)$")
_EPOCHS = ("epoch_s", "epoch_ms", "epoch_us")

# Columns that the platform adds to an event or a session; a stream can't name its own so.
PROVENANCE = ("landing_partition", "source_uri", "position")
RESERVED = {
    *PROVENANCE, "properties", "session_id", "is_new_session", "time_diff_seconds", "boundary_reason",
    "session_partition", "session_start", "session_end", "duration_seconds", "event_count", "primary_action",
    "entry_page", "exit_page", "open_until", "policy_version", "loaded_at",
}  # fmt: skip


def _mistake(reason: str, mend: str) -> PydanticCustomError:
    return PydanticCustomError("mistake", "{reason}|{mend}", {"reason": reason, "mend": mend})


def _duration(text: Any) -> timedelta:
    if isinstance(text, timedelta):
        return text
    found = _DURATION.match(str(text))
    if not found:
        raise _mistake(f"{text!r} is no duration", "write a whole number and a unit (ms, s, m, h, d), as in 30m")
    return timedelta(milliseconds=int(found[1]) * dict(_MILLISECONDS)[found[2]])


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise _mistake("the duration is zero", "write one that is longer than nothing, as in 30m")
    return duration


def _timezone(name: str) -> str:
    if name not in available_timezones():
        raise _mistake(f"{name!r} is no timezone", "write an IANA name, as in Europe/Berlin or UTC")
    return name


def _identifier(name: str) -> str:
    if not _IDENTIFIER.match(name):
        raise _mistake(
            f"{name!r} can't name a table or column",
            "write lower-case letters, digits and underscores, beginning with a letter, 48 at most",
        )
    return name


def _pattern(pattern: str) -> str:
    try:
        pl.Series([""]).str.contains(pattern)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[-1]
        raise _mistake(f"{pattern!r} is no regular expression: {reason}", "mend it (Rust syntax)") from None
    return pattern


def _several(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _spelled(duration: timedelta) -> str:
    milliseconds = duration // timedelta(milliseconds=1)
    return next(f"{milliseconds // ms}{unit}" for unit, ms in _MILLISECONDS if milliseconds % ms == 0)


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(_spelled, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["30m"]}),
]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Timezone = Annotated[str, AfterValidator(_timezone), WithJsonSchema({"type": "string", "examples": ["UTC"]})]
Identifier = Annotated[str, AfterValidator(_identifier)]
Pattern = Annotated[str, AfterValidator(_pattern)]
SourcePaths = Annotated[
    list[str],
    BeforeValidator(_several),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class ColumnType(StrEnum):
    string = "string"
    integer = "integer"
    float = "float"
    boolean = "boolean"
    timestamp = "timestamp"

    @property
    def dtype(self) -> pl.DataType:
        return _DTYPES[self.value]


_DTYPES: dict[str, pl.DataType] = {
    "string": pl.String(),
    "integer": pl.Int64(),
    "float": pl.Float64(),
    "boolean": pl.Boolean(),
    "timestamp": pl.Datetime("us", "UTC"),
}


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
    formats: list[str] | None = Field(
        None,
        min_length=1,
        description="Timestamps: tried in turn; %+ is ISO 8601 with an offset; epoch_s, epoch_ms, epoch_us.",
    )
    timezone: Timezone = Field("UTC", description="Timestamps: of those that state none.")

    @field_validator("formats")
    @classmethod
    def _formats_are_known(cls, formats: list[str] | None) -> list[str] | None:
        for fmt in formats or []:
            if fmt not in _EPOCHS and "%" not in fmt:
                raise _mistake(
                    f"{fmt!r} is no timestamp format",
                    f"write a strftime pattern as in %Y-%m-%d %H:%M:%S, %+ (ISO 8601), or one of {', '.join(_EPOCHS)}",
                )
        return formats

    @property
    def bounds(self) -> dict[str, float]:
        named = {"ge": self.ge, "gt": self.gt, "le": self.le, "lt": self.lt}
        return {name: bound for name, bound in named.items() if bound is not None}

    def paths(self, name: str) -> list[str]:
        """The source fields that this column is read from."""
        return self.join or self.from_ or [name]


class Source(Model):
    """Landing files: where they are and how they are written."""

    files: str = Field(
        description="A path with wildcards. {partition:%Y-%m-%d} stands for the landing partition; without it "
        "a file belongs to the landing partition that first saw it. Relative to the stream's file."
    )
    format: Literal["ndjson", "csv", "parquet"]
    separator: str = Field(",", min_length=1, max_length=1)
    header: bool | list[str] = Field(True, description="CSV: whether the first record names the fields, or the names.")
    quote: Annotated[str, Field(min_length=1, max_length=1)] | None = Field('"', description="CSV: null for none.")
    encoding: str = Field("utf-8", description="NDJSON and CSV.")

    PLACEHOLDER: ClassVar[re.Pattern[str]] = re.compile(r"\{partition(?::([^}]*))?\}")

    @field_validator("files")
    @classmethod
    def _placeholder_is_whole(cls, files: str) -> str:
        rest = cls.PLACEHOLDER.sub("", files).replace("${SESSIONS_HOME}", "")
        if "{" in rest or "}" in rest:
            raise _mistake(f"{files!r} has a placeholder that is not known", "write {partition:%Y-%m-%d}")
        return files

    @field_validator("header")
    @classmethod
    def _header_names_fields(cls, header: bool | list[str]) -> bool | list[str]:
        if header is False:
            raise _mistake("without a header the fields have no names", "list them: header: [user_id, ts]")
        return header

    @field_validator("encoding")
    @classmethod
    def _encoding_keeps_lines(cls, encoding: str) -> str:
        try:
            if "\n,;\t\"'".encode(encoding) == b"\n,;\t\"'":
                return codecs.lookup(encoding).name
            reason = "cuts no lines at byte 10"
        except LookupError:
            reason = "is not known"
        raise _mistake(f"the encoding {encoding!r} {reason}", "write utf-8, latin-1, cp1252 or the like")

    @property
    def dated(self) -> bool:
        return bool(self.PLACEHOLDER.search(self.files))


class Landing(Model):
    partition: Cadence = Cadence.daily
    start: date | None = Field(None, description="First landing partition; the stream's start where absent.")


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
    primary_action: Literal["most_frequent"] | list[str] = Field(
        "most_frequent", description="Or a list of event types: the first that occurs in the session."
    )
    columns: dict[Identifier, Aggregate] = Field(default_factory=dict)
    max_future: Duration = Field(
        timedelta(minutes=5),
        description="How far an event may lie beyond the end of its landing partition.",
        json_schema_extra={"default": "5m"},
    )


class Stream(Model):
    """One stream of events."""

    name: Identifier = Field(description="Names the assets and the warehouse's schema.")
    description: str = ""
    owners: list[str] = Field(default_factory=list, description="E-mail addresses, or team:name.")
    start: date = Field(description="First session partition; earlier events are rejected as before_start.")
    end: date | None = Field(None, description="Of a stream that is over: the day after its last.")
    source: Source
    landing: Landing = Field(default_factory=lambda: Landing.model_validate({}))
    columns: dict[Identifier, Column]
    extra_columns: Literal["keep", "reject", "drop"] = Field(
        "keep", description="What becomes of source fields that no column names; kept ones go to `properties`."
    )
    sequence: str | None = Field(None, description="A column that orders simultaneous events.")
    session: Session = Field(default_factory=lambda: Session.model_validate({}))

    @field_validator("owners")
    @classmethod
    def _owners_are_known(cls, owners: list[str]) -> list[str]:
        for owner in owners:
            if not _OWNER.match(owner):
                raise _mistake(f"{owner!r} is no owner", "write an e-mail address, or team:name")
        return owners

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
        return Calendar(self.landing.partition, _midnight(start, "UTC"), "UTC", _midnight_or_none(self.end, "UTC"))

    @cached_property
    def session_calendar(self) -> Calendar:
        zone = self.session.timezone
        return Calendar(self.session.partition, _midnight(self.start, zone), zone, _midnight_or_none(self.end, zone))

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
        return self.session_calendar.window(self.session_calendar.key_of(self.session_calendar.start)).start

    def latest_moment(self, landing_partition: str) -> datetime:
        """Events after it are rejected as future_timestamp; no wall clock, so that judging again agrees."""
        latest = self.landing_calendar.window(landing_partition).end + self.session.max_future
        return (
            min(latest, self.session_calendar.end - timedelta(microseconds=1)) if self.session_calendar.end else latest
        )

    @property
    def derives_event_id(self) -> bool:
        return "event_id" not in self.columns

    @property
    def contract_version(self) -> str:
        """Changes when rows would be judged otherwise."""
        judged = self.model_dump(mode="json", include={"start", "end", "source", "landing", "columns", "extra_columns"})
        judged["source"].pop("files")
        for column in judged["columns"].values():
            column.pop("description")
        return _digest({**judged, "max_future": self.session.max_future.total_seconds()})

    @property
    def policy_version(self) -> str:
        """Changes when the same events would make other sessions."""
        rule = self.session.model_dump(mode="json", exclude={"max_future"})
        return _digest({"session": rule, "sequence": self.sequence})


def _midnight(day: date, zone: str) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))


def _midnight_or_none(day: date | None, zone: str) -> datetime | None:
    return None if day is None else _midnight(day, zone)


def _digest(what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:12]
