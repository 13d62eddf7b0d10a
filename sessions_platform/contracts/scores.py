"""Scores of sessions, as the key `scores` of a stream's file states them: what is predicted, and by which columns.

Here: the keys, which columns of sessions may be features, and which of them contain what is predicted. Training and
scoring have the features from here alone. Not here: how a model is fitted (``transforms.score_training``), what it
gives a session (``transforms.scorecard``), and when sessions are scored (``pipeline.scores``).
"""

import hashlib
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sessions_platform.contracts.column_types import (
    SESSION_TYPES,
    TOOL_SESSION_ID,
    StoredType,
    session_types,
)
from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.issues import Issue, Raw, mapping
from sessions_platform.contracts.model import Model, no_keys
from sessions_platform.contracts.session_outcomes import (
    IS_BOUNCE,
    IS_ENGAGED,
    conversion_columns,
    listed,
    outcome_types,
)
from sessions_platform.contracts.values import Day, Share, invalid

if TYPE_CHECKING:
    from sessions_platform.contracts.stream import Stream

_NO_FEATURES = ("session_id", "user_id", "session_partition", "session_rule_version", TOOL_SESSION_ID)
_FEATURE_TYPES = (ColumnType.string, ColumnType.integer, ColumnType.float, ColumnType.boolean)
# What is predicted of a session, in frames; no session column, whose names have no brackets.
LABEL = "(label)"
# What of a session rule sessions and their columns do not depend on; columns are looked at one by one.
_NO_RULE = {"like", "max_future", "partition", "columns"}
# Columns of one enrichment that say the same fact.
_SAME_FACT = ({"is_bot", "bot_name"},)


def _is_part(share: Decimal) -> Decimal:
    if not 0 < share < 1:
        raise invalid("a model is fitted to a part of the sessions and measured on the rest", "write 25%, or the like")
    return share


class Training(Model):
    """The labelled history that a model is made of."""

    from_: Day | None = Field(None, alias="from", description="Sessions that began earlier are left out.")
    until: Day | None = Field(
        None,
        description="Sessions that began on this day or later are left out; where not stated, the newest partition.",
    )
    held_back: Annotated[Share, AfterValidator(_is_part)] = Field(
        Decimal("0.25"),
        description="Which share of them, the latest ones, the model is measured on; it is fitted to the others.",
        json_schema_extra={"default": "25%"},
    )

    @model_validator(mode="after")
    def _is_a_time(self) -> Self:
        if self.from_ and self.until and self.until <= self.from_:
            raise invalid("there is no time from `from` to `until`", "write a later day for until")
        return self


class Score(Model):
    """One score: how likely a session is to have what is predicted, from 0 to 1."""

    predicts: str | None = Field(
        None,
        description="A conversion of the session rule, or a boolean session column as is_bot; the score's own name.",
    )
    of: Literal["session", "next_session"] = Field(
        "session",
        description="Whether it is predicted of the session itself, or of the next one of its user, if there is one.",
    )
    features: Annotated[list[str], Field(min_length=1)] | None = Field(
        None, description="Session columns that it is predicted by; all that may be, where not stated."
    )
    train: Training = Field(default_factory=no_keys, validate_default=True)


def features_of(stream: "Stream", name: str) -> dict[str, StoredType]:
    """The features of a score with their types, in the order in which sessions have them."""
    score, session = stream.scores[name], stream.session.model_dump(mode="json", exclude_none=True)
    usable = {
        column: kind
        for column, kind in session_types(stream).items()
        if _is_usable(column, kind) and not _leak(column, score.predicts or name, score.of, session)
    }
    return {column: kind for column, kind in usable.items() if score.features is None or column in score.features}


def label_of(stream: "Stream", name: str) -> str:
    """The session column that says whether a session has what a score predicts: a count, or a boolean."""
    predicted = stream.scores[name].predicts or name
    return conversion_columns([predicted])[predicted][0] if predicted in stream.session.conversions else predicted


def score_definition(stream: "Stream", name: str) -> str:
    """A digest that changes when a model of the score would mean something else: then one has to be trained anew."""
    stated = stream.scores[name].model_dump(mode="json", by_alias=True, exclude_defaults=True)
    rule = stream.session.model_dump(mode="json", exclude=_NO_RULE, exclude_defaults=True)
    aggregates, label = stream.session.aggregates, label_of(stream, name)
    columns = {
        column: aggregates[column].model_dump(mode="json", exclude_none=True) if column in aggregates else None
        for column in (*features_of(stream, name), label)
    }
    meaning = [name, stated, label, columns, rule]
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()[:12]


def scores_issues(scores: Any, session: Raw, columns: Raw) -> Iterator[Issue]:
    """Issues between scores and the columns of sessions.

    Args:
        scores: the key, as YAML has read it, with short forms written out.
        session: the key `session`.
        columns: the columns of events by name, enriched ones too, each as YAML has read it.
    """
    if not isinstance(scores, dict):
        return
    kinds = _kinds(session, columns)
    for name in (name for name in scores if isinstance(scores[name], dict)):
        score = scores[name]
        predicted = score.get("predicts") or name
        if not isinstance(predicted, str):
            continue
        if predicted not in mapping(session, "conversions") and kinds.get(predicted) != ColumnType.boolean:
            named = ", ".join(map(str, _predictable(session, kinds))) or "none; add session: {conversions: [purchase]}"
            reason = f"{predicted} is neither a conversion of the session rule nor a boolean session column"
            yield Issue(("scores", str(name), "predicts"), reason, f"name one of those there are: {named}")
            continue
        is_outcome = predicted in (IS_ENGAGED, IS_BOUNCE) and predicted not in mapping(session, "columns")
        if is_outcome and score.get("of") != "next_session":
            reason = f"{predicted} follows from the number of events, their types and the duration of the same session"
            yield Issue(("scores", str(name), "predicts"), reason, "predict it of: next_session")
            continue
        stated = score.get("features")
        for feature in stated if isinstance(stated, list) else []:
            yield from _feature_issues(str(name), feature, predicted, score.get("of", "session"), session, kinds)


def _feature_issues(
    name: str, feature: Any, predicted: str, of: Any, session: Raw, kinds: dict[str, StoredType]
) -> Iterator[Issue]:
    key_path = ("scores", name, "features")
    usable = [column for column, kind in kinds.items() if _is_usable(column, kind)]
    if feature not in usable:
        of_kind = f" is {kinds[feature]}, no number, text or boolean" if feature in kinds else " is no session column"
        reason = f"{feature} says which session it is" if feature in _NO_FEATURES else f"{feature}{of_kind}"
        yield Issue(key_path, reason, f"name some of {', '.join(usable)}")
    elif leak := _leak(feature, predicted, of, session):
        fix = "leave it out, or predict it of: next_session"
        yield Issue(key_path, f"{feature} contains what is predicted: {leak}", fix)


def _predictable(session: Raw, kinds: dict[str, StoredType]) -> list[str]:
    return [*mapping(session, "conversions"), *(name for name, kind in kinds.items() if kind == ColumnType.boolean)]


def _is_usable(column: str, kind: StoredType) -> bool:
    return kind in _FEATURE_TYPES and column not in _NO_FEATURES


def _kinds(session: Raw, columns: Raw) -> dict[str, StoredType]:
    """The columns of sessions with their types, of a file that may have other issues."""
    kinds = dict(SESSION_TYPES)
    for name, aggregate in mapping(session, "columns").items():
        function, column = _aggregated(aggregate)
        kinds[str(name)] = ColumnType.integer if function.startswith("count") else _kind_of(column, columns)
    for name, (count, value) in conversion_columns(map(str, mapping(session, "conversions"))).items():
        kinds[count] = ColumnType.integer
        if isinstance(of := mapping(mapping(session, "conversions"), name).get("value"), str):
            kinds[value] = _kind_of(of, columns)
    return kinds | outcome_types(engaged=session.get("engaged") is not None, bounce=session.get("bounce") is not None)


def _kind_of(column: str, columns: Raw) -> ColumnType:
    kind = "timestamp" if column == "event_timestamp" else mapping(columns, column).get("type", "string")
    return ColumnType(kind) if kind in list(ColumnType) else ColumnType.string


def _aggregated(aggregate: Any) -> tuple[str, str]:
    """Function and column of a session column; of a broken one nothing, for that is reported by itself."""
    stated = aggregate.items() if isinstance(aggregate, dict) else ()
    return next(((str(key), of) for key, of in stated if key != "where" and isinstance(of, str)), ("", ""))


def _leak(feature: str, predicted: str, of: Any, session: Raw) -> str | None:
    """Why a column of a session contains what is predicted of the same session, as a clause; None where it doesn't."""
    if of == "next_session":
        return None
    if predicted in mapping(session, "conversions"):
        return _leak_of_conversion(feature, predicted, session)
    own = mapping(session, "columns")
    label = _aggregated(own.get(predicted))[1]
    made_of = [_aggregated(own.get(feature))[1], *map(str, mapping(mapping(own, feature), "where"))]
    if feature == predicted or (label and label in made_of):
        return "it is made of the same column"
    same = (column for column in made_of if any({column, label} <= facts for facts in _SAME_FACT))
    return next((f"{column} says the same as {label}" for column in same), None)


def _leak_of_conversion(feature: str, predicted: str, session: Raw) -> str | None:
    conversions = mapping(session, "conversions")
    types = _types_of(conversions, predicted)
    for other, added in conversion_columns(map(str, conversions)).items():
        if feature in added and types & _types_of(conversions, other):
            return f"it is made of the events that are the conversion {other}"
    if feature in (IS_ENGAGED, IS_BOUNCE, "primary_action", "exit_page"):
        return "the conversion decides it, or may"
    aggregate = mapping(mapping(session, "columns"), feature)
    _, column = _aggregated(aggregate)
    where = mapping(aggregate, "where").get("event_type")
    if column == "event_type" or (where is not None and types & set(map(str, listed(where)))):
        return "it is made of the types of events"
    if column and column == mapping(conversions, predicted).get("value"):
        return f"it is made of {column}, the conversion's value"
    return None


def _types_of(conversions: Raw, name: str) -> set[str]:
    return set(map(str, listed(mapping(conversions, name).get("event_type") or name)))
