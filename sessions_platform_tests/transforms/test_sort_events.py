"""The packed sort gives what the reference sort gives, to the last bit, also where it has to fall back."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.duplicates import Duplicates
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform.transforms import sessionize as sessionizing
from sessions_platform.transforms import sort_events as module
from sessions_platform.transforms.sessionize import sessionize
from sessions_platform.transforms.sort_events import by_user_hash, sort_events, sort_events_reference, sort_rows
from sessions_platform.transforms.summarize import summarize
from sessions_platform_tests.streams import DAY_ONE, PLAIN, event, frame, stream

BY_POSITION = stream(columns={**PLAIN["columns"], "seq": {"type": "integer", "nullable": True}}, sequence="position")
WEB = stream(columns={**PLAIN["columns"], "seq": {"type": "integer", "nullable": True}}, sequence="seq")

# Many are simultaneous, and some occur twice.
events = st.lists(
    st.builds(
        lambda user, minute, name, seq, position, place: event(
            user, DAY_ONE + timedelta(minutes=minute), name, seq=seq, position=position, **place
        ),
        st.sampled_from(["ann", "bob", "cid", "dora", "é", "ann ", ""]),
        st.sampled_from([0, 0, 1, 40, 10**6]),
        st.sampled_from("abc"),
        st.sampled_from([None, 1, 2]),
        st.integers(1, 10**6),
        st.fixed_dictionaries(
            {
                "landing_partition": st.sampled_from(["2026-01-01", "2026-01-02"]),
                "source_uri": st.sampled_from(["a.ndjson", "b.ndjson"]),
            }
        ),
    ),
    max_size=40,
    unique_by=lambda row: row["position"],
)


def by_user(ordered: pl.DataFrame) -> pl.DataFrame:
    """Users in the order of their ids; within a user the order is kept."""
    return ordered.sort("user_id", maintain_order=True)


def of_length(users: pl.Series) -> pl.Series:
    return users.str.len_bytes().cast(pl.UInt64)


def all_equal(users: pl.Series) -> pl.Series:
    return pl.repeat(7, len(users), dtype=pl.UInt64, eager=True)


hashes = st.sampled_from([module.hashed, of_length, all_equal])


@pytest.mark.parametrize("keep", ["first", "last"])
@pytest.mark.parametrize("web", [WEB, BY_POSITION], ids=["seq", "position"])
@given(hashed=hashes, ingested=events)
def test_the_packed_sort_equals_the_reference_sort(
    hashed: Callable[..., pl.Series], web: Stream, keep: str, ingested: list[dict[str, Any]]
) -> None:
    web = web.model_copy(update={"duplicates": Duplicates.model_validate({"keep": keep})})
    rows = frame(ingested, web)
    kept, duplicates = sort_events_reference(rows, web)
    copies = reference.copies_of(ingested, reference.Rule(sequence=web.sequence, keeps_last=keep == "last"))
    assert sorted(kept["position"]) == sorted(of_event[0]["position"] for of_event in copies)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "hashed", hashed)
        packed, others = sort_events(rows, web)
    assert by_user(packed).equals(kept)
    assert others.sort("position").equals(duplicates.sort("position"))


@given(hashed=hashes, ingested=events)
def test_two_users_never_share_a_session(hashed: Callable[..., pl.Series], ingested: list[dict[str, Any]]) -> None:
    rows = frame(ingested, WEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessionizing, "sort_events", sort_events_reference)
        expected = summarize(sessionize(rows, WEB), WEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "hashed", hashed)
        packed = summarize(sessionize(rows, WEB), WEB)
    assert packed.sort("session_id").equals(expected.sort("session_id"))


@given(ingested=events)
def test_what_does_not_fit_into_one_integer_is_sorted_by_the_reference(ingested: list[dict[str, Any]]) -> None:
    rows = frame(ingested, WEB)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PACKED_BITS", 30)
        packed, _ = sort_events(rows, WEB)
    assert by_user(packed).equals(sort_events_reference(rows, WEB)[0])


def test_each_user_has_a_code_of_its_own() -> None:
    users = pl.Series(["ann", "bob", "ann", "cid", "bob", "ann"])
    order, codes = by_user_hash(users)
    assert pl.DataFrame({"user": users.gather(order), "code": codes}).unique().height == 3
    assert codes.unique(maintain_order=True).to_list() == [0, 1, 2]


@given(hashed=hashes, ingested=events, length=st.integers(1, 12))
def test_parts_of_sorted_events_are_whole_users_and_together_all(
    hashed: Callable[..., pl.Series], ingested: list[dict[str, Any]], length: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "hashed", hashed)
        ordered = sort_rows(frame(ingested, WEB), WEB)
    parts = [ordered.frame(*part) for part in ordered.parts(length)]
    assert pl.concat(parts).equals(ordered.frame())
    users = [user for part in parts for user in part["user_id"].unique()]
    assert len(users) == len(set(users))
    assert all(length <= part.height for part in parts[:-1])
    most = ordered.users.unique_counts().max() if len(ordered.users) else 0
    assert all(part.height < length + int(str(most)) for part in parts if part.height)


def test_users_of_one_hash_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted collision: if only codes were compared, ann and bob would be one user."""
    monkeypatch.setattr(module, "hashed", of_length)
    rows = frame([event(user, DAY_ONE, user) for user in ("ann", "bob")], stream())
    assert by_user_hash(rows["user_id"])[1].to_list() == [0, 0]
    assert sessionize(rows, stream())["session_id"].n_unique() == 2


@given(ingested=events, landed=st.lists(st.sampled_from(["2026-01-01", "2026-01-02"]), min_size=2, max_size=2))
def test_by_position_the_sessions_do_not_depend_on_when_files_landed(
    ingested: list[dict[str, Any]], landed: list[str]
) -> None:
    partitions = dict(zip(["a.ndjson", "b.ndjson"], landed, strict=True))
    moved = [{**row, "landing_partition": partitions[row["source_uri"]]} for row in ingested]
    first, second = (
        summarize(sessionize(frame(rows, BY_POSITION), BY_POSITION), BY_POSITION).sort("session_id")
        for rows in (ingested, moved)
    )
    assert first.equals(second)
