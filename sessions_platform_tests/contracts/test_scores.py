"""The key `scores`: its short forms, and which features contain what is predicted."""

from typing import Any

import pytest

from sessions_platform.contracts.column_types import session_types
from sessions_platform.contracts.scores import features_of, label_of, score_definition
from sessions_platform.contracts.short_forms import written_out
from sessions_platform.contracts.stream_checks import cross_key_issues
from sessions_platform_tests.streams import PLAIN, stream

COLUMNS: dict[str, Any] = {
    **PLAIN["columns"],
    "channel": {"nullable": True},
    "amount": {"type": "float"},
    "is_bot": {"type": "boolean"},
    "bot_name": {"nullable": True},
}
SESSION: dict[str, Any] = {
    "columns": {
        "channel": {"first": "channel"},
        "revenue": {"sum": "amount"},
        "carts": {"count": "event_id", "where": {"event_type": ["cart"]}},
        "payments": {"count": "event_id", "where": {"event_type": ["buy", "view"]}},
        "last_type": {"last": "event_type"},
        "seen": {"max": "event_timestamp"},
        "is_bot": {"any": "is_bot"},
        "bot": {"first": "bot_name"},
        "robots": {"count": "event_id", "where": {"is_bot": True}},
        "named": {"count": "event_id", "where": {"bot_name": ["Bing"]}},
    },
    "views": ["view"],
    "conversions": {"purchase": {"event_type": "buy", "value": "amount"}, "signup": {}, "any": {"event_type": ["buy"]}},
    "engaged": {"like": "ga4"},
    "bounce": "one_event",
}
LEAKS = [
    *("purchase_count", "purchase_value", "any_count", "is_engaged", "is_bounce", "primary_action", "exit_page"),
    *("revenue", "payments", "last_type"),
]
PLAIN_FEATURES = [
    *("duration_seconds", "event_count", "entry_page", "channel", "carts", "is_bot", "bot", "robots", "named"),
    "signup_count",
]


def broken(stated: dict[str, Any]) -> list[str]:
    """The reasons of the issues of one score."""
    raw = {**PLAIN, "columns": COLUMNS, "session": SESSION, "scores": {"purchase": stated}}
    return [issue.reason for issue in cross_key_issues(raw) if issue.key_path[0] == "scores"]


@pytest.mark.parametrize("feature", LEAKS)
def test_a_feature_that_contains_the_label_is_refused_unless_the_next_session_is_predicted(feature: str) -> None:
    (reason,) = broken({"features": ["event_count", feature]})
    assert reason.startswith(f"{feature} contains what is predicted: ")
    assert broken({"features": [feature], "of": "next_session"}) == []


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"features": PLAIN_FEATURES}, None),
        ({"features": ["user_id"]}, "user_id says which session it is"),
        ({"features": ["seen"]}, "seen is timestamp, no number, text or boolean"),
        ({"features": ["colour"]}, "colour is no session column"),
        ({"predicts": "channel"}, "channel is neither a conversion of the session rule nor a boolean session column"),
        ({"predicts": "is_bot", "features": ["is_bot"]}, "is_bot contains what is predicted: it is made of the same"),
        ({"predicts": "is_bot", "features": ["bot"]}, "bot contains what is predicted: bot_name says the same as"),
        ({"predicts": "is_bot", "features": ["purchase_count", "carts"]}, None),
        ({"predicts": "is_bot", "features": ["robots"]}, "robots contains what is predicted: it is made of the same"),
        ({"predicts": "is_bot", "features": ["named"]}, "named contains what is predicted: bot_name says the same as"),
        ({"predicts": "is_engaged"}, "is_engaged follows from the number of events, their types and the duration of"),
        ({"predicts": "is_bounce", "features": ["channel"]}, "is_bounce follows from the number of events"),
        ({"predicts": "is_bounce", "of": "next_session"}, None),
    ],
)
def test_features_are_session_columns_that_do_not_say_it(stated: dict[str, Any], reason: str | None) -> None:
    found = broken(stated)
    assert len(found) == (reason is not None)
    assert not reason or found[0].startswith(reason)


def test_without_features_all_are_taken_that_contain_no_label() -> None:
    scores = {"purchase": {}, "again": {"predicts": "purchase", "of": "next_session"}, "bot": {"predicts": "is_bot"}}
    shop = stream(columns=COLUMNS, session=SESSION, scores=scores)
    assert list(features_of(shop, "purchase")) == PLAIN_FEATURES
    assert set(features_of(shop, "again")) == set(session_types(shop)) - {
        *("session_id", "user_id", "session_start", "session_end", "session_partition", "session_rule_version", "seen")
    }
    assert {"is_bot", "bot"}.isdisjoint(features_of(shop, "bot"))
    assert (label_of(shop, "again"), label_of(shop, "bot")) == ("purchase_count", "is_bot")


def test_short_forms_are_a_list_of_names_nothing_and_what_is_predicted() -> None:
    assert written_out({"scores": ["purchase"]}) == {"scores": {"purchase": {}}}
    assert written_out({"scores": {"a": None, "b": "is_bot"}}) == {"scores": {"a": {}, "b": {"predicts": "is_bot"}}}


def test_sessions_do_not_depend_on_scores_and_a_model_does_on_its_definition_alone() -> None:
    plain, shop = stream(session=SESSION, columns=COLUMNS), stream(columns=COLUMNS, session=SESSION, scores={"any": {}})
    assert shop.session_rule_version == plain.session_rule_version
    assert shop.contract_version == plain.contract_version
    described = stream(columns=COLUMNS, session=SESSION, scores={"any": {}}, description="A shop.")
    assert score_definition(described, "any") == score_definition(shop, "any")
    other = {**SESSION, "conversions": {**SESSION["conversions"], "any": {"event_type": ["signup"]}}}
    changed = stream(columns=COLUMNS, session=other, scores={"any": {}})
    assert score_definition(changed, "any") != score_definition(shop, "any")


@pytest.mark.parametrize(
    ("change", "is_another"),
    [
        ({"partition": "hourly"}, False),
        ({"columns": {**SESSION["columns"], "last": {"last": "channel"}}}, False),
        ({"columns": {**SESSION["columns"], "channel": {"last": "channel"}}}, True),
        ({"gap": "10m"}, True),
        ({"engaged": {"like": "ga4", "after": "20s"}}, True),
    ],
)
def test_a_model_is_of_another_definition_where_its_features_or_sessions_mean_something_else(
    change: dict[str, Any], is_another: bool
) -> None:
    scores = {"any": {"features": ["channel", "event_count"]}}
    before, after = (
        stream(columns=COLUMNS, session=session, scores=scores) for session in (SESSION, {**SESSION, **change})
    )
    assert (score_definition(after, "any") != score_definition(before, "any")) is is_another
