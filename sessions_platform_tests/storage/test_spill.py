"""Spilled rows are read back in their order and bucket, whether they stayed in memory or were written."""

import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.spill import Spill
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.streams import stream

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


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames, st.integers(1, 4), st.sampled_from([1, 200, 1_000, 1 << 30]), st.sampled_from([None, 500, 1 << 30]))
def test_every_row_is_read_back_in_its_bucket(
    tmp_path: Path, added: list[pl.DataFrame], buckets: int, chunk_bytes: int, most_in_memory: int | None
) -> None:
    spill = Spill(tmp_path, SCHEMA, chunk_bytes, buckets, pl.col("key"), most_in_memory=most_in_memory)
    every = pl.concat([pl.DataFrame(schema=SCHEMA), *added])
    for frame in added:
        spill.add(frame)
    assert spill.rows == every.height
    for number in range(buckets):
        assert spill.bucket(number).equals(every.filter(pl.col("key") % buckets == number))
    if buckets == 1:
        assert pl.concat([every.clear(), *spill.chunks()]).equals(every)
        assert spill.take().equals(every)
        assert spill.take().is_empty()


def test_the_temporary_file_has_no_name_on_the_disk(tmp_path: Path) -> None:
    spill = Spill(tmp_path, {"key": pl.Int64()}, chunk_bytes=1)
    spill.add(pl.DataFrame({"key": [1, 2]}))
    assert not spill.is_in_memory
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    assert spill.bucket(0)["key"].to_list() == [1, 2]


def test_rows_of_other_columns_are_an_error(tmp_path: Path) -> None:
    spill = Spill(tmp_path, {"key": pl.Int64()}, chunk_bytes=1)
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        spill.add(pl.DataFrame({"other": [1]}))


def test_rows_are_read_back_though_a_system_call_returns_less_than_was_requested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Linux does where more than two gigabytes are requested; here for more than a hundred bytes."""
    pread, preadv = os.pread, os.preadv
    monkeypatch.setattr(os, "pread", lambda file, length, offset: pread(file, min(length, 100), offset))
    monkeypatch.setattr(os, "preadv", lambda file, free, offset: preadv(file, [part[:100] for part in free], offset))
    spill = Spill(tmp_path, {"key": pl.Int64()}, chunk_bytes=1)
    spill.add(pl.DataFrame({"key": range(1_000)}))
    assert spill.bucket(0)["key"].to_list() == list(range(1_000))


def test_the_scratch_folder_is_not_the_lakes(tmp_path: Path) -> None:
    home, elsewhere = {"SESSIONS_HOME": str(tmp_path)}, {"SESSIONS_SCRATCH": str(tmp_path / "elsewhere")}
    assert Settings.from_environment(home).scratch == tmp_path / "scratch"
    settings = Settings.from_environment({**home, **elsewhere})
    context = StreamContext.open(stream(), replace(settings, memory=MemoryBudget(1, 1)), MemorySource())
    spill = context.spill({"key": pl.Int64()})
    spill.add(pl.DataFrame({"key": [1, 2]}))
    assert (spill.is_in_memory, spill.bucket(0).height) == (False, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["elsewhere"]
