"""What a session is, as the key `session` of a stream's file states it.

Here: the boundaries of sessions and the columns that are aggregated for each. Not here: how events are
divided by the rule (``transforms.sessionize``), and the columns that every session has (``sessions``).
"""

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from sessions_platform.contracts.calendar import Cadence
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.session_likes import Like, expanded
from sessions_platform.contracts.session_outcomes import (
    Bounce,
    Conversion,
    Engaged,
    EventTypes,
    conversion_columns,
    conversion_types,
    listed,
)
from sessions_platform.contracts.values import Duration, Identifier, PositiveDuration, Timezone, invalid, shown

# JSON's own scalars; a truth is told from a number, and a number from its text.
Wanted = StrictStr | StrictBool | StrictInt | StrictFloat


class Aggregate(Model):
    """One column of the sessions table, made from a column of its events by exactly one function."""

    first: str | None = None
    last: str | None = None
    sum: str | None = None
    min: str | None = None
    max: str | None = None
    count: str | None = None
    count_distinct: str | None = None
    any: str | None = Field(None, description="Of a boolean: whether it is true of an event.")
    most_frequent: str | None = Field(
        None, description="The value that occurs most often; of equally frequent ones that which occurs first."
    )
    where: dict[str, Annotated[list[Wanted], BeforeValidator(listed), Field(min_length=1)]] | None = Field(
        None, description="Of which events: by column a value, or several of which it is to be one. All have to hold."
    )

    @property
    def function(self) -> str:
        """The name of the function."""
        return self._stated[0]

    @property
    def column(self) -> str:
        """The column of the events that the function is applied to."""
        return self._stated[1]

    @property
    def in_words(self) -> str:
        """The function, its column and of which events, for people."""
        where = [f"{name} in {wanted}" for name, wanted in (self.where or {}).items()]
        return f"{self.function} of {self.column}" + (f" where {' and '.join(where)}" if where else "")

    @property
    def _stated(self) -> tuple[str, str]:
        functions = self.model_dump(exclude={"where"})
        return next((name, column) for name, column in functions.items() if column is not None)


TimeUnit = Literal["us", "ms", "s"]
TIME_UNITS: dict[TimeUnit, timedelta] = {
    "us": timedelta(microseconds=1),
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
}
_UNIT_NAMES = {TIME_UNITS["us"]: "microseconds", TIME_UNITS["ms"]: "milliseconds", TIME_UNITS["s"]: "seconds"}


Turn = Literal["changes", "leaves"]


class CutOn(Model):
    """A column whose turns open sessions: the tool's user, where sessions are those of devices."""

    column: str
    when: Annotated[
        list[Turn],
        BeforeValidator(listed, json_schema_input_type=Turn | list[Turn]),
        Field(
            min_length=1,
            description="changes: from a value to another one; leaves: from a value to null.",
        ),
    ]


class SessionRule(Model):
    """What a session is. It belongs to the stream: two runs must not disagree about it."""

    like: Like | None = Field(
        None, description="A program whose sessions these shall be: other keys have its values where none are stated."
    )
    by: Literal["user", "person"] = Field(
        "user",
        description="Whose sessions they are: of what user_id says, or of the person whom all links of `identity` "
        "make of it.",
    )
    gap: PositiveDuration = Field(
        timedelta(minutes=30), description="A longer silence ends the session.", json_schema_extra={"default": "30m"}
    )
    gap_inclusive: bool = Field(False, description="Whether a silence of exactly the gap ends it too.")
    precision: TimeUnit = Field(
        "us",
        description="The unit in which silences are measured: times are floored to it first, and stored as they are.",
    )
    gap_from: Literal["event", "second"] = Field(
        "event", description="Whether a silence begins at the last event, or at the whole second of it."
    )
    partition: Cadence = Cadence.daily
    timezone: Timezone = Field("UTC", description="The zone of the session partitions and of midnight.")
    split_at_midnight: bool = Field(False, description="Whether the first event of a new day opens a session.")
    campaign: str | None = Field(
        None, description="A column; a value that differs from the last one since the last silence opens a session."
    )
    cut_on: CutOn | None = Field(None, description="A column, and which of its turns within an activity chain cut.")
    max_length: PositiveDuration | None = Field(
        None, description="The first event that is later than this after its session's start opens a session."
    )
    passive: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="Event types that neither open nor extend a session, and belong to the one that goes on then."
    )
    id: str | None = Field(
        None, description="A column with the tool's own session id: a session is what has one of it. Null: by the rule."
    )
    id_within: PositiveDuration = Field(
        timedelta(days=1),
        description="An id that comes back after a longer silence is another session.",
        json_schema_extra={"default": "1d"},
    )
    primary_action: Literal["most_frequent"] | Annotated[list[str], Field(min_length=1)] = Field(
        "most_frequent", description="Or a list of event types: the first that occurs in the session."
    )
    columns: dict[Identifier, Aggregate] = Field(default_factory=dict)
    views: EventTypes | None = Field(None, description="Event types that are views, for `engaged` and `bounce`.")
    conversions: dict[Identifier, Conversion] = Field(
        default_factory=dict, description="By name: what a session is wanted for. Adds NAME_count and NAME_value."
    )
    engaged: Engaged | None = Field(None, description="Adds is_engaged, by the rule of the tool that is named.")
    bounce: Bounce | None = Field(
        None,
        description="Adds is_bounce: of sessions with one active event, with at most one view and no conversion, or "
        "that are not engaged.",
    )
    max_future: Duration = Field(
        timedelta(minutes=5),
        description="How far an event may lie beyond the end of its landing partition.",
        json_schema_extra={"default": "5m"},
    )

    @model_validator(mode="before")
    @classmethod
    def _is_like(cls, session: Any) -> Any:
        return expanded(session)

    @property
    def aggregates(self) -> dict[str, Aggregate]:
        """The columns that are aggregates of events: the stream's own, then those of its conversions."""
        found = dict(self.columns)
        for name, (count, value) in conversion_columns(self.conversions).items():
            conversion = self.conversions[name]
            where = {"event_type": conversion_types({name: conversion})}
            found[count] = Aggregate.model_validate({"count": "event_type", "where": where})
            if conversion.value is not None:
                found[value] = Aggregate.model_validate({"sum": conversion.value, "where": where})
        return found

    @property
    def silence_begins(self) -> TimeUnit:
        """To what the time of the event before a silence is floored."""
        return "s" if self.gap_from == "second" else self.precision

    @property
    def longest_silence_by_rule(self) -> timedelta:
        """No longer silence, in microseconds, is within a session without a tool's id.

        The gap, and what flooring may hide of it.
        """
        return self.gap + TIME_UNITS[self.precision] - TIME_UNITS["us"]

    @property
    def longest_silence(self) -> timedelta:
        """No longer silence, in microseconds, is within any session."""
        return max(self.longest_silence_by_rule, self.id_within) if self.id else self.longest_silence_by_rule

    @property
    def open_for(self) -> timedelta:
        """How long after its last event, floored as `silence_begins` says, a session may be continued by the rule.

        Including that moment; with `gap_inclusive` excluding it. With a tool's id it is `id_within`, and not floored.
        """
        return self.gap if self.gap_inclusive else self.longest_silence_by_rule

    @model_validator(mode="after")
    def _outcomes_have_what_they_count(self) -> Self:
        if self.bounce == "not_engaged" and self.engaged is None:
            raise invalid("a bounce is what is not engaged, and nothing says what that is", "add engaged: ga4")
        if self.views is None and (self.engaged is not None or self.bounce == "one_view"):
            key = "engaged" if self.engaged is not None else "bounce"
            raise invalid(f"{key} counts views, and no event type is one", "add views, as in views: [page_view]")
        return self

    @model_validator(mode="after")
    def _gap_is_measurable(self) -> Self:
        unit = TIME_UNITS[self.silence_begins]
        if self.gap % unit:
            reason = f"silences are measured in {_UNIT_NAMES[unit]}, and the gap is no whole number of them"
            raise invalid(reason, "correct gap, or remove precision and gap_from")
        return self

    @field_validator("primary_action", mode="before")
    @classmethod
    def _primary_action_names_event_types(cls, action: Any) -> Any:
        is_list = isinstance(action, list) and action and all(isinstance(name, str) for name in action)
        if not is_list and action != "most_frequent":
            fix = "write most_frequent, or list event types, as in [purchase, add_to_cart]"
            raise invalid(f"{shown(action)} names no action", fix)
        return action
