"""A stream: what its events are, where they come from and what a session is.

One YAML file states all of it, once. The schemas of rows, the Dagster column schemas, the warehouse's tables
and the JSON schema in `docs/` derive from this model and those of its keys: ``sources``, ``formats``,
``columns``, ``skip``, ``duplicates``, ``session_rule``, ``rejection_limits``, ``retention``, ``targets`` and
``scores``. Not here: reading the file (``stream_file``), and rules that relate two of its keys (``stream_checks``).
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic.json_schema import SkipJsonSchema

from sessions_platform.contracts.calendar import Cadence, Calendar, midnight
from sessions_platform.contracts.columns import Column, ColumnType, Reference
from sessions_platform.contracts.duplicates import Duplicates
from sessions_platform.contracts.enrichments import Enrichments, enrichment_versions
from sessions_platform.contracts.formats import FORMATS, LATER_OPTIONS, VERSIONED_OPTIONS, FormatOptions
from sessions_platform.contracts.identity import Identity
from sessions_platform.contracts.model import Model, no_keys
from sessions_platform.contracts.pseudonyms import Pseudonym, key_fingerprint
from sessions_platform.contracts.rejection_limits import Rejected
from sessions_platform.contracts.retention import Retained
from sessions_platform.contracts.scores import Score
from sessions_platform.contracts.session_rule import SessionRule
from sessions_platform.contracts.skip import SkipRule
from sessions_platform.contracts.sources import AnySource
from sessions_platform.contracts.targets import AnyTarget, named_types
from sessions_platform.contracts.user_sessions import UserSessions
from sessions_platform.contracts.values import (
    KEY_PREFIX,
    PREFIX_FIX,
    AssetKeyText,
    Day,
    Identifier,
    KeyPrefix,
    Owner,
    invalid,
)
from sessions_platform.errors import UserError

# The value of `sequence` for the order in the file. A column can't have this name, which is one of the platform's.
BY_POSITION = "position"

# How a record spells the times that its file has a type for: an instant, a local time and a date.
TYPED_FORMATS = ("%+", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d")
# Keys of columns that came after the first versions were stored: where they are not stated, versions stay the same.
_LATER_KEYS = (
    "bytes", "number", "minus", "from_file_name", "decode", "split", "extract", "words", "floor", "default",
)  # fmt: skip
_LATER_RULES = (
    "by", "precision", "gap_from", "cut_on", "passive", "id", "id_within", "views", "conversions", "engaged", "bounce",
)  # fmt: skip
_LATER_OF_AGGREGATES = ("most_frequent", "any", "where")
_IDENTIFYING = ("event_id", "user_id", "event_type")
# The last parts of the keys of a stream's assets; those of its targets and models begin as the other says.
_ASSETS = (
    "raw_events", "events", "rejected_events", "identity_links", "sessionized_events", "sessions", "user_sessions",
    "session_scores", "report",
)  # fmt: skip
_MANY = ("sessions__", "score_model__")


class Landing(Model):
    """How raw events are divided into landing partitions; those are in UTC."""

    partition: Cadence = Cadence.daily
    start: Day | None = Field(None, description="First landing partition; the stream's start where absent.")
    by: Literal["read", "source_time"] = Field(
        "read",
        description="Of a server's records: whether they are in the partition of the run that reads them, or in that "
        "of the time that the server has of each.",
    )


class Stream(Model):
    """One stream of events."""

    name: Identifier = Field(description="Names the assets and the warehouse's schema.")
    description: str = ""
    owners: list[Owner] = Field(default_factory=list, description="E-mail addresses, or team:name.")
    key_prefix: KeyPrefix = Field("", description="What the keys of its Dagster assets begin with, as a/b.")
    upstream: list[AssetKeyText] = Field(
        default_factory=list, description="Keys of other Dagster assets, as a/b, that land the files of the source."
    )
    start: Day = Field(description="First session partition; earlier events are rejected as before_start.")
    end: Day | None = Field(None, description="Of a stream that is over: the day after its last.")
    source: AnySource
    landing: Landing = Field(default_factory=no_keys, validate_default=True)
    columns: dict[Identifier, Column]
    extra_columns: Literal["keep", "reject", "drop"] = Field(
        "keep", description="What becomes of source fields that no column names; kept ones go to `properties`."
    )
    sequence: str | None = Field(
        None, description="A column that orders simultaneous events; or position, for their order in the file."
    )
    skip: list[SkipRule] = Field(default_factory=list, description="Rows that are left out on purpose, and counted.")
    pseudonymize: dict[Identifier, Pseudonym] = Field(
        default_factory=dict, description="Columns whose values are replaced before they are stored, and how."
    )
    duplicates: Duplicates = Field(default_factory=no_keys, validate_default=True)
    session: SessionRule = Field(default_factory=no_keys, validate_default=True)
    rejected: Rejected = Field(default_factory=no_keys, validate_default=True)
    retention: Retained = Field(default_factory=no_keys, validate_default=True)
    targets: dict[Identifier, AnyTarget] = Field(
        default_factory=dict,
        description="Warehouses besides PostgreSQL to which sessions are delivered, by a name; their type where it is "
        "one.",
    )
    enrich: Enrichments = Field(
        default_factory=dict, description="What is computed of each accepted event: further columns, by enrichment."
    )
    identity: Identity | None = Field(None, description="By which columns events say whose an anonymous id is.")

    user_sessions: UserSessions | None = Field(
        None,
        description="Adds the view user_sessions: new or returning, a session's number, first and last touch.",
    )
    engine: Literal["polars", "spark"] | None = Field(
        None, description="What computes its sessions; SESSIONS_ENGINE where absent. All engines give the same ones."
    )
    scores: dict[Identifier, Score] = Field(
        default_factory=dict,
        description="By name: how likely a session is to have a conversion, or to be a robot's, in session_scores.",
    )

    # Where the stream was read from; source paths are relative to its folder. Not keys of the file.
    path: SkipJsonSchema[Path] = Field(Path("stream.yaml"), exclude=True)
    home: SkipJsonSchema[Path] = Field(Path(), exclude=True)
    pseudonym_key: SkipJsonSchema[str | None] = Field(None, exclude=True, repr=False)

    @field_validator("columns", mode="before")
    @classmethod
    def _event_timestamp_is_a_timestamp(cls, columns: Any) -> Any:
        if isinstance(columns, dict) and isinstance(columns.get("event_timestamp"), dict):
            return {**columns, "event_timestamp": {"type": "timestamp", **columns["event_timestamp"]}}
        return columns

    @field_validator("upstream")
    @classmethod
    def _upstream_is_of_others(cls, upstream: list[str], info: ValidationInfo) -> list[str]:
        name, prefix = info.data.get("name"), info.data.get("key_prefix")
        source = f"{prefix}/{name}" if prefix else name
        for stated in upstream:
            above, _, last = stated.rpartition("/")
            is_ours = last in _ASSETS or last.startswith(_MANY)
            if stated == source or (is_ours and above.split("/")[-1] == name):
                raise invalid(f"{stated} is an asset of this stream", "name the asset that lands the files")
        return upstream

    @field_validator("landing")
    @classmethod
    def _source_says_times(cls, landing: Landing, info: ValidationInfo) -> Landing:
        source = info.data.get("source")
        if landing.by == "source_time" and source is not None and not source.says_times:
            raise invalid(
                "this source says no time of its records",
                "remove by; Kafka and Kinesis say one, an API with since, and a table with a cursor and a lag of time",
            )
        return landing

    @field_validator("columns")
    @classmethod
    def _read_twice_is_one_event(cls, columns: dict[str, Column], info: ValidationInfo) -> dict[str, Column]:
        landing, source = info.data.get("landing"), info.data.get("source")
        if landing is None or landing.by == "read" or source is None or source.has_envelope:
            return columns
        if "event_id" not in columns or columns["event_id"].nullable:
            reason = "with landing.by: source_time what this source gives twice comes into one partition"
            raise invalid(reason, "add event_id, not nullable, by which it is one event")
        return columns

    @field_validator("targets", mode="before")
    @classmethod
    def _targets_have_types(cls, targets: Any) -> Any:
        return named_types(targets)

    @model_validator(mode="before")
    @classmethod
    def _columns_read_typed_values(cls, raw: Any) -> Any:
        """Where files have types, read times, whole numbers and bytes of these types as `_typed_column` says."""
        source = raw.get("source") if isinstance(raw, dict) else None
        if not is_typed(source) or not isinstance(raw.get("columns"), dict):
            return raw
        columns = {name: _typed_column(name, column) for name, column in raw["columns"].items()}
        return {**raw, "columns": columns}

    @cached_property
    def landing_calendar(self) -> Calendar:
        """The landing partitions, in UTC."""
        start = self.landing.start or self.start
        end = midnight(self.end, "UTC") if self.end else None
        return Calendar(self.landing.partition, midnight(start, "UTC"), "UTC", end)

    @cached_property
    def session_calendar(self) -> Calendar:
        """The session partitions, in the timezone of the session rule."""
        zone = self.session.timezone
        end = midnight(self.end, zone) if self.end else None
        return Calendar(self.session.partition, midnight(self.start, zone), zone, end)

    @property
    def calendars(self) -> dict[str, str]:
        """The keys of the file that give partition keys their meaning, with their values.

        They can't change while there are partitions, so the ledger records them when a stream is first used.
        """
        session = self.session
        return {
            "landing.partition": self.landing.partition.value,
            "session.partition": session.partition.value,
            "session.timezone": session.timezone,
        }

    @property
    def first_moment(self) -> datetime:
        """The earliest moment of an event, in UTC; earlier ones are rejected as before_start."""
        return self.session_calendar.window(self.session_calendar.first_key).start

    def latest_moment(self, landing_partition: str) -> datetime:
        """The latest moment of an event, in UTC; later ones are rejected as future_timestamp.

        It is derived from the partition key and never from the clock, so that a second validation agrees with
        the first.

        Args:
            landing_partition: the key of the landing partition that the event is in.

        Returns:
            The end of the landing partition plus `session.max_future`, or the last microsecond before the stream's
            end where that is earlier. The moment itself is still accepted.
        """
        latest = self.landing_calendar.window(landing_partition).end + self.session.max_future
        end = self.session_calendar.end
        return min(latest, end.astimezone(UTC) - timedelta(microseconds=1)) if end else latest

    @property
    def references(self) -> dict[str, Reference]:
        """The references of the columns that have one, by column."""
        return {name: column.references for name, column in self.columns.items() if column.references}

    @property
    def required_fields(self) -> dict[str, list[str]]:
        """The source fields that each column may be read from which can't be null."""
        return {name: column.fields(name) for name, column in self.columns.items() if not column.is_optional}

    @property
    def derives_event_id(self) -> bool:
        """Whether event ids are made from the rows, because the source has none, or may have none in a row."""
        return "event_id" not in self.columns or self.columns["event_id"].nullable

    @property
    def no_past(self) -> str:
        """Why a backfill is not possible, with the fix, as clauses; empty where it is."""
        if self.source.no_past:
            return f"{self.source.no_past}. Fix: none; a run reads all that the source gives"
        if self.landing.by == "read":
            return "its records are in the partition of their reading. Fix: state landing: {by: source_time}"
        if self.derives_event_id:
            made = "without an event_id it is made of the payload and its number among equal ones"
            fix = "give the stream a column event_id, not nullable"
            named = ", ".join(self.source.place_of_record)
            where = f", as in event_id: {{join: [{named}]}}" if named else ""
            return f"{made}, so that what was read before would be counted twice. Fix: {fix}{where}"
        return ""

    @property
    def persons(self) -> Identity | None:
        """By what persons are found whose sessions are cut; None where sessions are of what user_id says."""
        return self.identity if self.session.by == "person" else None

    @property
    def orders_by_position(self) -> bool:
        """Whether simultaneous events are in the order of file and position, where `sequence` names no column."""
        return self.sequence == BY_POSITION

    @property
    def needs_pseudonym_key(self) -> bool:
        """Whether values are replaced by keyed hashes."""
        return Pseudonym.hmac in self.pseudonymize.values()

    @property
    def required_pseudonym_key(self) -> str:
        """The key of the hashes. A stream that needs one can't be read without it."""
        if self.pseudonym_key is None:
            raise RuntimeError(f"{self.name} was read without the key of its pseudonyms")
        return self.pseudonym_key

    def with_key_prefix(self, prefix: str) -> Self:
        """The stream with a prefix before its own. Raises UserError if it is none."""
        if prefix and not KEY_PREFIX.fullmatch(prefix):
            raise UserError(f"key_prefix: {prefix!r} is no prefix of keys. Fix: {PREFIX_FIX}.")
        return self.model_copy(update={"key_prefix": "/".join(filter(None, (prefix, self.key_prefix)))})

    @property
    def _stated_pseudonyms(self) -> dict[str, Any]:
        """What the versions have of pseudonyms: columns, methods, and the key's fingerprint; nothing without any."""
        if not self.pseudonymize:
            return {}
        key = key_fingerprint(self.required_pseudonym_key) if self.needs_pseudonym_key else None
        return {"pseudonymize": {name: how.value for name, how in sorted(self.pseudonymize.items())}, "key": key}

    @property
    def definition_version(self) -> str:
        """A digest that changes with anything by which a run could do something else, and not with descriptions.

        The prefix of keys is not part of it, because another project may give it.

        By it a sensor and a run notice that they have read different states of the file.
        """
        definition = self.model_dump(mode="json", exclude={"description", "owners", "key_prefix"})
        for column in definition["columns"].values():
            column.pop("description")
        definition |= self._stated_pseudonyms
        return _digest(definition)

    @property
    def contract_version(self) -> str:
        """A digest that changes when rows could be validated with another result.

        Descriptions, owners and the location of the files are not part of it. It is stored in the ledger and with each
        rejected row: if it changes, every landing partition is pending.
        """
        contract = self.model_dump(mode="json", include={"start", "end", "landing", "columns", "extra_columns"})
        del contract["landing"]["by"]  # rows are validated alike, in whichever partition they are
        contract["source"] = self.source.model_dump(mode="json", include=VERSIONED_OPTIONS)
        for name in LATER_OPTIONS:  # so that no stored row is of another contract only because there is an option more
            if contract["source"][name] == FormatOptions.model_fields[name].default:
                del contract["source"][name]
        contract["columns"] = {name: _column_contract(column) for name, column in contract["columns"].items()}
        if self.derives_event_id and FORMATS[self.source.format].is_text:
            contract["files_count_once_by"] = "text"  # and not by their bytes, as in partitions validated before
        if self.enrich:
            contract["enrich"] = enrichment_versions(self.enrich)
        if self.identity:  # links are stored with the events that show them
            contract["identity"] = self.identity.model_dump(include={"anonymous_id", "user_id"})
        if self.orders_by_position:  # repaired rows are then stored at the place of their original row
            contract["sequence"] = self.sequence
        if self.skip:
            contract["skip"] = [rule.model_dump(mode="json", exclude_none=True) for rule in self.skip]
        contract |= self._stated_duplicates
        contract |= self._stated_pseudonyms
        return _digest({**contract, "max_future": self.session.max_future.total_seconds()})

    @property
    def session_rule_version(self) -> str:
        """A digest that changes when the same events could make other sessions.

        It is stored in the ledger and with each session: if it changes, every session partition is stale.
        """
        rule = self.session.model_dump(mode="json", exclude={"like", "max_future", *_LATER_RULES})
        rule |= self.session.model_dump(mode="json", include=set(_LATER_RULES), exclude_defaults=True)
        for aggregate in rule["columns"].values():
            for key in (key for key in _LATER_OF_AGGREGATES if aggregate[key] is None):
                del aggregate[key]
        if self.persons:  # whose an id is decides whose sessions its events are in
            rule["identity"] = self.persons.model_dump()
        return _digest({"session": rule, "sequence": self.sequence, **self._stated_duplicates})

    @property
    def _stated_duplicates(self) -> dict[str, Any]:
        """`duplicates` where it is not the default, with which versions are as they were before there was the key."""
        stated = self.duplicates.model_dump(mode="json", exclude_defaults=True)
        return {"duplicates": stated} if stated else {}


def _column_contract(column: dict[str, Any]) -> dict[str, Any]:
    """The keys of a column that are part of the contract's version."""
    not_stated = {key for key in _LATER_KEYS if column[key] is None}
    return {key: value for key, value in column.items() if key != "description" and key not in not_stated}


def is_typed(source: Any) -> bool:
    """Whether a `source`, as a stream's file has it, is of a format with types for times."""
    name = source.get("format") if isinstance(source, dict) else getattr(source, "format", None)
    return isinstance(name, str) and name in FORMATS and FORMATS[name].is_typed


def _typed_column(name: str, column: Any) -> Any:
    """A column that reads typed values, too.

    Timestamps are read by their own formats, then by `TYPED_FORMATS`; whole floats and decimals are integers; bytes
    are no identity, unless the column says which text they are.
    """
    if not isinstance(column, dict):
        return column
    kind, stated = column.get("type"), column.get("formats") or []
    if (name == "event_timestamp" or kind == ColumnType.timestamp) and isinstance(stated, list):
        return {**column, "formats": [*stated, *(fmt for fmt in TYPED_FORMATS if fmt not in stated)]}
    if kind == ColumnType.integer:
        return {"number": "exact", **column}
    return {"bytes": "refuse", **column} if name in _IDENTIFYING else column


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
