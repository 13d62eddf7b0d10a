"""A large partition is loaded in parts, and no part divides a session."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.pipeline.load import whole_sessions

lengths = st.lists(st.integers(1, 6), max_size=12)


@given(lengths, st.integers(1, 9))
def test_blocks_are_cut_between_sessions_and_no_event_is_lost(sessions: list[int], rows: int) -> None:
    ids = [f"{number:02}" for number, length in enumerate(sessions) for _ in range(length)]
    events = pl.DataFrame({"session_id": ids, "event": range(len(ids))}, schema={"session_id": str, "event": int})
    parts = list(whole_sessions(events.iter_slices(rows) if ids else []))
    assert pl.concat([events.clear(), *parts]).equals(events)
    assert sum(part["session_id"].n_unique() for part in parts) == len(sessions)
