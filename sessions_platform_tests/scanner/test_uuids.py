"""UUIDs by the compiled library are those of md5, of texts of any length and number."""

import hashlib
import uuid

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.scanner import library
from sessions_platform.scanner.library import Scanner
from sessions_platform.transforms import identifiers

# Around what is inline in a view (12 bytes), and what fills blocks of 64 with the padding of 9.
LENGTHS = [*range(15), *range(52, 68), 119, 120, 128, 200]
texts = st.lists(st.sampled_from(["a", "é", "€", "\x1f", "\x00", "😀"]), max_size=90).map("".join)


def plain(parts: pl.DataFrame) -> list[str]:
    joined = ("\x1f".join(row).encode() for row in parts.iter_rows())
    return [str(uuid.UUID(hashlib.md5(each, usedforsecurity=False).hexdigest())) for each in joined]


@given(
    st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[texts] * width), min_size=1, max_size=40)),
    st.integers(0, 20),
)
def test_any_texts_have_the_uuids_of_their_md5(scanner: Scanner, rows: list[tuple[str, ...]], skipped: int) -> None:
    parts = pl.DataFrame(rows, {str(at): pl.String for at in range(len(rows[0]))}, orient="row").slice(skipped)
    assert scanner.uuids(parts.get_columns(), "\x1f").to_list() == plain(parts)
    assert identifiers.uuids_by_polars(parts).to_list() == plain(parts)


def test_texts_of_any_length_are_digested_next_to_each_other(scanner: Scanner) -> None:
    parts = pl.DataFrame({"text": ["x" * length for length in LENGTHS], "other": ["y" * 30] * len(LENGTHS)})
    assert scanner.uuids([parts["text"]], "\x1f").to_list() == plain(parts.select("text"))
    assert scanner.uuids(parts.get_columns(), "\x1f").to_list() == plain(parts)


def test_many_rows_are_given_to_the_library_and_few_are_not(scanner: Scanner, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted() -> Scanner:
        asked.append(1)
        return scanner

    monkeypatch.setattr(identifiers, "scanner", counted)
    numbers = pl.select(user=pl.int_range(identifiers.MIN_ROWS).cast(pl.String))
    assert identifiers.uuids_of(numbers).to_list() == plain(numbers)
    assert asked == [1]
    assert identifiers.uuids_of(numbers[1:]).to_list() == plain(numbers[1:])
    assert asked == [1]


def test_without_the_library_the_uuids_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_loaded", lambda: None)
    numbers = pl.select(user=pl.int_range(identifiers.MIN_ROWS).cast(pl.String))
    assert identifiers.uuids_of(numbers).to_list() == plain(numbers)
