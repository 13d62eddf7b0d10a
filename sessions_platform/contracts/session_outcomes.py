"""What a session led to, as keys of a session rule state it: conversions, whether it was engaged, or a bounce.

Tools mean different things by the last two, so a stream says whose meaning it wants. Here: what the keys mean, and
the columns that they add to sessions. Not here: how these are computed (``transforms.outcomes``), and rules that
relate the keys to columns of the stream (``session_checks``).
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import PositiveDuration, invalid


def listed(stated: Any) -> Any:
    """A list, also where one value is written without one."""
    return stated if isinstance(stated, list) else [stated]


EventTypes = Annotated[list[str], BeforeValidator(listed, json_schema_input_type=str | list[str]), Field(min_length=1)]
IS_ENGAGED, IS_BOUNCE = "is_engaged", "is_bounce"
# Snowplow counts as engaged what lasts two heartbeats, where the first and the last of n pings are n - 1 apart, and
# what comes before the first ping is shorter than a heartbeat.
PINGS_OF_ENGAGED = 3
VIEWS_OF_ENGAGED = 2


class Conversion(Model):
    """Events that a session is wanted for: it gets their number, and the sum of their values."""

    event_type: EventTypes | None = Field(None, description="Of which types they are; the conversion's own name.")
    value: str | None = Field(None, description="A column whose sum the session gets, too.")


class Engaged(Model):
    """Which sessions are engaged. Two views or a conversion are enough by either; silence is judged differently."""

    like: Literal["ga4", "snowplow"] = Field(description="Whose rule it is.")
    after: PositiveDuration = Field(
        timedelta(seconds=10),
        description="ga4: a session of this duration is engaged.",
        json_schema_extra={"default": "10s"},
    )
    pings: EventTypes | None = Field(None, description="snowplow: event types that a page sends while it is looked at.")
    heartbeat: PositiveDuration = Field(
        timedelta(seconds=10),
        description="snowplow: how often it sends them; pings in three heartbeats are engaged.",
        json_schema_extra={"default": "10s"},
    )

    @model_validator(mode="after")
    def _has_its_keys(self) -> Self:
        if self.like == "snowplow" and not self.pings:
            raise invalid("snowplow's rule counts pings, and none are named", "add pings: page_ping")
        foreign = {"ga4": ("pings", "heartbeat"), "snowplow": ("after",)}[self.like]
        stated = [name for name in foreign if name in self.model_fields_set]
        if stated:
            raise invalid(f"{self.like}'s rule has no {stated[0]}", "remove it")
        return self


Bounce = Literal["one_event", "one_view", "not_engaged"]


def conversion_types(conversions: Mapping[str, Conversion]) -> list[str]:
    """The event types of all conversions."""
    return [kind for name, conversion in conversions.items() for kind in conversion.event_type or [name]]


def conversion_columns(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The columns of conversions: by name those of their number and of their value, which not each has."""
    return {name: (f"{name}_count", f"{name}_value") for name in names}


def outcome_types(*, engaged: bool, bounce: bool) -> dict[str, ColumnType]:
    """The columns that say whether a session was engaged, and a bounce, of those which a rule asks for."""
    asked = {IS_ENGAGED: engaged, IS_BOUNCE: bounce}
    return {name: ColumnType.boolean for name, is_asked in asked.items() if is_asked}
