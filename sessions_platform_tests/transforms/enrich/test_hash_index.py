"""Hashes are found where they are, whichever of their bits are alike."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.transforms.enrich.hash_index import HashIndex

# Few values of the upper bits, so that many share a slot, and few of the lower ones.
_HASHES = st.builds(lambda upper, lower: (upper << 61) + lower, st.integers(0, 7), st.integers(0, 5))


@given(known=st.lists(_HASHES, unique=True), asked=st.lists(_HASHES))
def test_each_hash_is_found_at_its_place_and_no_other_is(known: list[int], asked: list[int]) -> None:
    index = HashIndex(np.array(known, np.uint64))
    places = {each: place for place, each in enumerate(known)}
    assert index.places(np.array(asked, np.uint64)).tolist() == [places.get(each, -1) for each in asked]
