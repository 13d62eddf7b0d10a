"""Digests of rows are the same for the same rows in any order and frames, and others for any other rows."""

import struct
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.row_digest import RowDigest
from sessions_platform.transforms.row_digests import row_digests

COLUMNS: dict[str, pl.DataType] = {
    "key": pl.String(),
    "text": pl.String(),
    "whole": pl.Int64(),
    "number": pl.Float64(),
    "truth": pl.Boolean(),
    "moment": pl.Datetime("us", "UTC"),
}
texts = st.text(st.sampled_from("ab:|1\x00é"), max_size=3)
moments = st.integers(-(2**40), 2**40).map(lambda us: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=us))
rows = st.tuples(
    st.sampled_from(["p", "q"]),
    st.none() | texts,
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False),
    st.none() | st.booleans(),
    st.none() | moments,
)
Row = tuple[Any, ...]


def digests(*frames: list[Row]) -> dict[str, RowDigest]:
    made = (pl.DataFrame(frame, schema=COLUMNS, orient="row") for frame in frames)
    return row_digests(made, COLUMNS, "key")


def comparable(row: Row) -> Row:
    """The row with its values as they are compared: bits of numbers, where zero has no sign."""
    return tuple(struct.pack("d", value + 0.0) if isinstance(value, float) else value for value in row)


@given(st.lists(rows, max_size=8), st.randoms(use_true_random=False), st.integers(0, 8))
def test_order_and_frames_do_not_matter(some: list[Row], shuffle: Any, cut: int) -> None:
    shuffled = some[:]
    shuffle.shuffle(shuffled)
    assert digests(shuffled[:cut], shuffled[cut:]) == digests(some)


@given(st.lists(rows, max_size=4), st.lists(rows, max_size=4))
def test_digests_are_equal_only_for_equal_rows(some: list[Row], others: list[Row]) -> None:
    are_equal = sorted(map(repr, map(comparable, some))) == sorted(map(repr, map(comparable, others)))
    assert (digests(some) == digests(others)) == are_equal


def test_names_of_columns_are_part_of_the_digest() -> None:
    frame = pl.DataFrame({"key": ["p"], "a": [1]})
    renamed = frame.rename({"a": "b"})
    assert row_digests([frame], {"key": pl.String(), "a": pl.Int64()}, "key") != row_digests(
        [renamed], {"key": pl.String(), "b": pl.Int64()}, "key"
    )


def test_the_digest_of_known_rows_is_what_it_ever_was() -> None:
    """Else everything would be delivered again after an upgrade."""
    row = ("p", "é", -1, 0.5, True, datetime(2026, 1, 1, tzinfo=UTC))
    assert str(digests([row, ("p", None, None, None, None, None)])["p"]) == "2:6072d343a9b58caac08fbcdbe48e12a2"


@given(st.lists(rows, min_size=1, max_size=4))
def test_a_digest_is_read_from_its_text(some: list[Row]) -> None:
    for digest in digests(some).values():
        assert RowDigest.of(str(digest)) == digest


@pytest.mark.parametrize("text", ["", "3", "a:b", "3:xy"])
def test_another_text_is_no_digest(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|not enough values"):
        RowDigest.of(text)
