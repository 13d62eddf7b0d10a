"""What is put aside comes back, in its order and in its bucket, whether it stayed in memory or not."""

import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.storage.lake.spill import Spill

SCHEMA: dict[str, pl.DataType] = {"key": pl.Int64(), "text": pl.String(), "bytes": pl.Binary(), "reasons": REASONS}
REASON = {"code": "malformed", "column": "", "rule": "is no object", "value": None}

frames = st.lists(
    st.lists(
        st.fixed_dictionaries(
            {
                "key": st.integers(0, 9),
                "text": st.none() | st.text(st.characters(codec="utf-8"), max_size=20),
                "bytes": st.none() | st.binary(max_size=20),
                "reasons": st.none() | st.lists(st.just(REASON), max_size=2),
            }
        ),
        max_size=8,
    ).map(lambda rows: pl.DataFrame(rows, schema=SCHEMA)),
    max_size=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames, st.integers(1, 4), st.sampled_from([1, 200, 1_000, 1 << 30]))
def test_every_row_comes_back_in_its_bucket(
    tmp_path: Path, added: list[pl.DataFrame], buckets: int, chunk_bytes: int
) -> None:
    spill = Spill(tmp_path, SCHEMA, chunk_bytes, buckets, pl.col("key"))
    every = pl.concat([pl.DataFrame(schema=SCHEMA), *added])
    for frame in added:
        spill.add(frame)
    assert spill.rows == every.height
    for number in range(buckets):
        assert spill.bucket(number).equals(every.filter(pl.col("key") % buckets == number))
    if buckets == 1:
        assert pl.concat([every.clear(), *spill.chunks()]).equals(every)


def test_nothing_of_it_can_be_found_on_the_disk(tmp_path: Path) -> None:
    spill = Spill(tmp_path, {"key": pl.Int64()}, chunk_bytes=1)
    spill.add(pl.DataFrame({"key": [1, 2]}))
    assert not spill.is_held
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    assert spill.bucket(0)["key"].to_list() == [1, 2]


def test_rows_of_other_columns_are_refused(tmp_path: Path) -> None:
    spill = Spill(tmp_path, {"key": pl.Int64()}, chunk_bytes=1)
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        spill.add(pl.DataFrame({"other": [1]}))


def test_rows_come_back_though_the_system_gives_less_than_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Linux does of more than two gigabytes; here of more than a hundred bytes."""
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda file, length, offset: pread(file, min(length, 100), offset))
    monkeypatch.setattr(os, "preadv", lambda file, free, offset: preadv(file, [part[:100] for part in free], offset))
    spill = Spill(tmp_path, {"key": pl.Int64()}, chunk_bytes=1)
    spill.add(pl.DataFrame({"key": range(1_000)}))
    assert spill.bucket(0)["key"].to_list() == list(range(1_000))
