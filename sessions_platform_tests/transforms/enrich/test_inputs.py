"""Each way to find inputs gives the places that a dictionary gives, whatever their hashes."""

from collections.abc import Callable, Hashable, Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.transforms.enrich import inputs
from sessions_platform.transforms.enrich.inputs import ByHash, ByValue, Inputs

Runs = Sequence[Sequence[Hashable]]

# What hashes are made of, and what is inline in a view, are divided at 8, 12 and 16 bytes.
_TEXTS = st.sampled_from(["", "\0", *("ab" * 9)[:8], *(f"{'x' * n}{end}" for n in (7, 11, 15, 40) for end in "\0ayé")])
_RUNS = st.lists(st.lists(_TEXTS | st.none(), max_size=12), max_size=4)


def by_dictionary(runs: Runs) -> list[tuple[list[int], list[int]]]:
    known: dict[Hashable, int] = {}
    found = []
    for run in runs:
        first = [at for at, row in enumerate(run) if row not in known and row not in run[:at]]
        places = [known.setdefault(row, len(known)) for row in run]
        found.append((places, first))
    return found


def by(way: Inputs, runs: Runs, schema: dict[str, type[pl.DataType]]) -> list[tuple[list[int], list[int]]]:
    """The places, and the new rows."""
    found = []
    for run in runs:
        places = way.places(pl.DataFrame(list(run), schema, orient="row"))
        assert places is not None
        found.append((places[0].tolist(), places[1].tolist()))
    return found


@pytest.mark.parametrize("way", [ByHash, ByValue])
@given(runs=st.lists(st.lists(st.tuples(_TEXTS | st.none(), st.integers(0, 1) | st.none()), max_size=8), max_size=4))
def test_inputs_of_several_columns_are_at_the_places_that_a_dictionary_gives(
    way: Callable[[], Inputs], runs: Runs
) -> None:
    assert by(way(), runs, {"text": pl.String, "number": pl.Int64}) == by_dictionary(runs)


@given(runs=_RUNS)
def test_inputs_of_one_hash_are_not_taken_for_one_another(runs: Runs) -> None:
    hashes, way = inputs._hashes, ByHash()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inputs, "_hashes", lambda frame: hashes(frame) * 0)
        for run in runs:
            found = way.places(pl.DataFrame({"text": list(run)}, {"text": pl.String}))
            if found is None:
                break
            assert len(set(run)) <= 1
