"""The packed sort gives what the plain one does, to the last bit, also where it can't be taken."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.transforms import sessionize as sessionizing
from sessions_platform.transforms import sort_events as module
from sessions_platform.transforms.sessionize import sessionize
from sessions_platform.transforms.sort_events import sort_events, sort_events_reference, user_codes
from sessions_platform.transforms.summarize import summarize
from sessions_platform_tests.streams import DAY_ONE, PLAIN, event, frame, stream

WEB = stream(columns={**PLAIN["columns"], "seq": {"type": "integer", "nullable": True}}, sequence="seq")

# Many stand at one moment, and some twice.
events = st.lists(
    st.builds(
        lambda user, minute, name, seq, place: event(
            user, DAY_ONE + timedelta(minutes=minute), name, seq=seq, position=place, page_url=None
        ),
        st.sampled_from(["ann", "bob", "cid", "dora", "é", "ann ", ""]),
        st.sampled_from([0, 0, 1, 40, 10**6]),
        st.sampled_from("abc"),
        st.sampled_from([None, 1, 2]),
        st.integers(1, 10**6),
    ),
    max_size=40,
    unique_by=lambda row: row["position"],
)


def by_user(ordered: pl.DataFrame) -> pl.DataFrame:
    """Users in the order of their names, and nothing else moved."""
    return ordered.sort("user_id", maintain_order=True)


def of_length(users: pl.Series) -> pl.Series:
    return users.str.len_bytes().cast(pl.UInt64)


def all_alike(users: pl.Series) -> pl.Series:
    return pl.repeat(7, len(users), dtype=pl.UInt64, eager=True)


HASHES = [pytest.param(module.hashed, id="apart"), of_length, all_alike]


@pytest.mark.parametrize("hashed", HASHES)
@given(ingested=events)
def test_the_fast_order_is_the_plain_one(hashed: Callable[..., pl.Series], ingested: list[dict[str, Any]]) -> None:
    rows = frame(ingested, WEB)
    kept, copies = sort_events_reference(rows, WEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "hashed", hashed)
        fast, others = sort_events(rows, WEB)
    assert by_user(fast).equals(kept)
    assert others.sort("position").equals(copies.sort("position"))


@pytest.mark.parametrize("hashed", HASHES)
@given(ingested=events)
def test_two_users_never_share_a_session(hashed: Callable[..., pl.Series], ingested: list[dict[str, Any]]) -> None:
    rows = frame(ingested, WEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessionizing, "sort_events", sort_events_reference)
        expected = summarize(sessionize(rows, WEB), WEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "hashed", hashed)
        fast = summarize(sessionize(rows, WEB), WEB)
    assert fast.sort("session_id").equals(expected.sort("session_id"))


@given(ingested=events)
def test_what_has_no_room_in_one_integer_is_sorted_plainly(ingested: list[dict[str, Any]]) -> None:
    rows = frame(ingested, WEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PACKED_BITS", 30)
        fast, _ = sort_events(rows, WEB)
    assert by_user(fast).equals(sort_events_reference(rows, WEB)[0])


def test_codes_tell_users_apart() -> None:
    users = pl.Series(["ann", "bob", "ann", "cid", "bob", "ann"])
    codes = user_codes(users)
    assert pl.DataFrame({"user": users, "code": codes}).unique().height == 3
    assert sorted(codes.unique()) == [0, 1, 2]


def test_users_of_one_hash_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plant is one: without a look at the users themselves, ann and bob would be one."""
    monkeypatch.setattr(module, "hashed", of_length)
    rows = frame([event(user, DAY_ONE, user) for user in ("ann", "bob")], stream())
    assert user_codes(rows["user_id"]).to_list() == [0, 0]
    assert sessionize(rows, stream())["session_id"].n_unique() == 2
