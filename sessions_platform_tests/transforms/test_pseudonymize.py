"""Sessions of pseudonymized users are those of the users, and what is stored of an event has nothing in clear."""

from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.pseudonyms import keyed_pseudonym
from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.transforms.deduplicate import deduplicate
from sessions_platform.transforms.pseudonymize import pseudonymize
from sessions_platform.transforms.sessionize import sessionize
from sessions_platform_tests.contexts import line
from sessions_platform_tests.streams import DAY_ONE, PLAIN, event, frame, stream
from sessions_platform_tests.transforms.rows import reasons, validated

KEY = "a key that is long enough"
COLUMNS = {**PLAIN["columns"], "ip": {"nullable": True}}
CLEAR = stream(columns=COLUMNS)
HIDDEN = stream(columns=COLUMNS, pseudonymize={"user_id": "hmac", "ip": "truncate_ip"}, pseudonym_key=KEY)


@given(st.lists(st.tuples(st.sampled_from(["ann", "bob", "Ann", "ä", "192.0.2.1"]), st.integers(0, 300)), max_size=30))
def test_sessions_of_pseudonyms_are_those_of_the_users(visits: list[tuple[str, int]]) -> None:
    rows = [
        event(user, DAY_ONE + timedelta(minutes=minute), f"{place:03}", position=place + 1, ip=None)
        for place, (user, minute) in enumerate(visits)
    ]
    events = frame(rows, CLEAR)
    of_users = sessionize(events, CLEAR).with_columns(
        pl.col("user_id").map_elements(lambda user: keyed_pseudonym(KEY, user), return_dtype=pl.String)
    )
    compared = ["event_id", "user_id", "_opened_at", "is_new_session", "boundary_reason", "time_diff_seconds"]
    hidden = sessionize(pseudonymize(events, HIDDEN), HIDDEN)
    assert hidden.select(compared).sort("event_id").equals(of_users.select(compared).sort("event_id"))


def test_accepted_rows_have_pseudonyms_and_keep_the_stored_contract() -> None:
    result = validated(HIDDEN, line("ann", DAY_ONE, "a", ip="203.0.113.77"), line("bob", DAY_ONE, "b", ip=None))
    assert result.events["user_id"].to_list() == [keyed_pseudonym(KEY, "ann"), keyed_pseudonym(KEY, "bob")]
    assert result.events["ip"].to_list() == ["203.0.113.0", None]
    stored = deduplicate(result.events, HIDDEN, {}).events
    events_schema(HIDDEN, "2026-01-01").validate(stored, lazy=True)


def test_rules_are_about_the_value_as_it_came() -> None:
    columns = {**COLUMNS, "user_id": {"from": "user", "pattern": "^u[0-9]+$"}}
    of = stream(columns=columns, pseudonymize={"user_id": "hmac"}, pseudonym_key=KEY)
    result = validated(of, line("u1", DAY_ONE, "a"), line("ann", DAY_ONE, "b"))
    assert result.events["user_id"].to_list() == [keyed_pseudonym(KEY, "u1")]
    assert reasons(result) == [{("pattern_mismatch", "user_id")}]


def test_what_is_no_address_is_rejected_and_kept_as_it_came() -> None:
    came = line("ann", DAY_ONE, "a", ip="203.0.113.77:8080")
    result = validated(HIDDEN, came)
    assert reasons(result) == [{("wrong_type", "ip")}]
    assert result.rejected["payload"].to_list() == [came]
