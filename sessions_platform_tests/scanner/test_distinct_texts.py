"""Texts are found by the compiled library at the places that a dictionary gives."""

import secrets
from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sessions_platform.scanner import distinct_texts
from sessions_platform.scanner.distinct_texts import DistinctTexts
from sessions_platform.scanner.library import Scanner

# What hashes are made of, and what is inline in a view, are divided at 8, 12 and 16 bytes.
_LENGTHS = (0, 1, 7, 8, 11, 12, 15, 16, 17, 31, 32, 33, 200)
_TEXTS = st.builds(lambda length, end: "x" * (length - 1) + end, st.sampled_from(_LENGTHS), st.sampled_from("xy\0é"))
_RUNS = st.lists(st.lists(_TEXTS | st.none(), max_size=40), max_size=4)


def by_dictionary(runs: Sequence[Sequence[str | None]]) -> list[tuple[list[int], list[int]]]:
    """The place of each text, and the rows of those that are new."""
    known: dict[str | None, int] = {}
    found: list[tuple[list[int], list[int]]] = []
    for run in runs:
        places, new = [], []
        for row, text in enumerate(run):
            if text not in known:
                new.append(row)
            places.append(known.setdefault(text, len(known)))
        found.append((places, new))
    return found


def by_library(distinct: DistinctTexts, runs: Sequence[pl.Series]) -> list[tuple[list[int], list[int]] | None]:
    found = map(distinct.places, runs)
    return [None if each is None else (each[0].tolist(), each[1].tolist()) for each in found]


# With a key of 0 all texts of fewer than eight bytes have one hash, and many others as well.
@given(runs=_RUNS, slots=st.sampled_from([4, 64]), key=st.sampled_from([0, 1, 2**64 - 1]), skipped=st.integers(0, 3))
@example(runs=[["a", None, "b"], [None, "c", "b"]], slots=4, key=0, skipped=0)
def test_any_texts_are_at_the_places_that_a_dictionary_gives(
    scanner: Scanner, runs: list[list[str | None]], slots: int, key: int, skipped: int
) -> None:
    columns = [pl.Series(run, dtype=pl.String).slice(skipped) for run in runs]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distinct_texts, "_SLOTS", slots)
        patch.setattr(secrets, "randbits", lambda _: key)
        distinct = DistinctTexts(scanner)
    assert by_library(distinct, columns) == by_dictionary([column.to_list() for column in columns])


def test_texts_in_several_chunks_and_many_of_them_are_found(scanner: Scanner) -> None:
    texts = [f"{number % 30_000} of the agents that there are" for number in range(70_000)]
    column = pl.concat([pl.Series(texts[:100]), pl.Series(texts[100:])], rechunk=False)
    assert by_library(DistinctTexts(scanner), [column, column]) == by_dictionary([texts, texts])


def test_where_too_many_have_one_hash_none_are_found(scanner: Scanner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "randbits", lambda _: 0)
    assert by_library(DistinctTexts(scanner), [pl.Series(map(str, range(200)))]) == [None]
