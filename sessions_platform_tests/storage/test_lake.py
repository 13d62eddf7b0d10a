"""Files of the lake contain what was written, appear complete or not at all, and can be read by later contracts."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import sessions_platform
from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.storage.lake.lake import Dataset, Lake
from sessions_platform.storage.lake.parquet_writer import (
    ROW_GROUP_ROWS,
    _Attempt,
)
from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform_tests.lakes import folder_of, local_lake

REPOSITORY = Path(sessions_platform.__file__).parent.parent
UTC_MICROSECONDS = pl.Datetime("us", "UTC")
NUMBERS: dict[str, pl.DataType] = {"number": pl.Int64()}

text = st.text(max_size=6)
reason = st.fixed_dictionaries(
    {"code": st.none() | text, "column": st.none() | text, "rule": text, "value": st.none() | text}
)
VALUES: dict[pl.DataType, st.SearchStrategy[Any]] = {
    pl.String(): text,
    pl.Int64(): st.integers(-(2**63), 2**63 - 1),
    pl.Float64(): st.floats() | st.sampled_from([-0.0, 5e-324, 1e308]),
    pl.Boolean(): st.booleans(),
    UTC_MICROSECONDS: st.datetimes(timezones=st.just(UTC)),
    pl.Binary(): st.binary(max_size=6),
    REASONS: st.lists(reason, max_size=3),
}
schemas = st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=7).map(
    lambda dtypes: {f"column_{place}": dtype for place, dtype in enumerate(dtypes)}
)


@st.composite
def frames_of_a_schema(draw: st.DrawFn) -> tuple[dict[str, pl.DataType], list[pl.DataFrame]]:
    schema = draw(schemas)
    rows = st.lists(
        st.fixed_dictionaries({name: st.none() | VALUES[dtype] for name, dtype in schema.items()}), max_size=4
    )
    return schema, [pl.DataFrame(few, schema=schema) for few in draw(st.lists(rows, max_size=3))]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return local_lake(tmp_path / "a lake")


def files_in(lake: Lake) -> list[Path]:
    return sorted(path for path in folder_of(lake).rglob("*") if path.is_file())


def numbers(*rows: int) -> pl.DataFrame:
    return pl.DataFrame({"number": list(rows)}, schema=NUMBERS)


# What is written is what is read -------------------------------------------------------------------------

in_one_folder = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@in_one_folder
@given(frames_of_a_schema())
def test_rows_are_read_as_they_were_written(
    lake: Lake, written: tuple[dict[str, pl.DataType], list[pl.DataFrame]]
) -> None:
    schema, frames = written
    whole = pl.concat([pl.DataFrame(schema=schema), *frames])
    stored = lake.write("events/2026-01-01", frames, schema)
    assert stored.rows == lake.rows(stored.path) == whole.height
    assert stored.bytes == (folder_of(lake) / stored.path).stat().st_size
    assert_same(lake.scan([stored.path], schema).collect(), whole)
    assert_same(pl.concat([pl.DataFrame(schema=schema), *lake.blocks([stored.path], schema)]), whole)


def assert_same(found: pl.DataFrame, written: pl.DataFrame) -> None:
    assert found.schema == written.schema
    assert list(found.columns) == list(written.columns)
    assert found.equals(written, null_equal=True)
    for name, dtype in written.schema.items():
        if dtype == pl.Float64:  # to equals -0.0 is 0.0
            assert list(map(repr, found[name])) == list(map(repr, written[name]))


def test_files_are_read_in_the_order_in_which_they_are_named(lake: Lake) -> None:
    one, two = (lake.write("a", [numbers(number)], NUMBERS).path for number in (1, 2))
    for asked, expected in [([one, two], [1, 2]), ([two, one], [2, 1]), ([], [])]:
        assert lake.scan(asked, NUMBERS).collect()["number"].to_list() == expected
        assert [number for block in lake.blocks(asked, NUMBERS) for number in block["number"]] == expected


def test_names_of_folders_are_not_read_as_patterns(lake: Lake) -> None:
    stored = lake.write("odd [names]*?/é", [numbers(1)], NUMBERS)
    lake.write("odd names/é", [numbers(2)], NUMBERS)
    assert lake.scan([stored.path], NUMBERS).collect()["number"].to_list() == [1]


def test_a_row_group_has_no_more_bytes_than_fit_into_memory(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Except for the last frame in it, which may exceed them: here one of six rows."""
    monkeypatch.setattr("sessions_platform.storage.lake.parquet_writer.ROW_GROUP_BYTES", 10_000)
    monkeypatch.setattr("sessions_platform.storage.lake.parquet_writer.ROW_GROUP_ROWS", 16)
    short, long = (
        pl.DataFrame({"payload": [bytes([row]) * size for row in range(6)], "place": ["a"] * 6}) for size in (10, 2_500)
    )
    frames = [short, short, short, long, long, short]
    stored = lake.write("a", frames, dict(short.schema))
    footer = pq.read_metadata(folder_of(lake) / stored.path)
    sizes = [footer.row_group(group).total_byte_size for group in range(footer.num_row_groups)]
    assert max(sizes) < 10_000 + 6 * 2_600
    assert stored.rows == footer.num_rows == 36
    assert lake.scan([stored.path], dict(short.schema)).collect().equals(pl.concat(frames))
    assert [file.name for file in (folder_of(lake) / "a").iterdir()] == [Path(stored.path).name]  # nothing else is left


@pytest.mark.parametrize("asked", [0, 1], ids=["before the first frame", "after it"])
def test_a_file_that_fails_while_it_is_written_anew_leaves_nothing(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    monkeypatch.setattr("sessions_platform.storage.lake.parquet_writer.ROW_GROUP_BYTES", 10_000)
    monkeypatch.setattr("sessions_platform.storage.lake.parquet_writer.ROW_GROUP_ROWS", 16)
    short, long = (pl.DataFrame({"payload": [b"x" * size] * 6}) for size in (10, 2_500))
    begun: list[object] = []

    def full(attempt: _Attempt, path: Path, mode: int) -> None:
        begun.append(path)
        if len(begun) == 1:
            return write(attempt, path, mode)
        for _ in range(asked):
            next(attempt._frames)
        raise OSError(28, "No space left on device")

    write = _Attempt.write
    monkeypatch.setattr(_Attempt, "write", full)
    with pytest.raises(OSError, match="No space"):
        lake.write("a", [short, long, long, short], dict(short.schema))
    assert len(begun) == 2
    assert files_in(lake) == []


def test_a_frame_of_many_long_rows_is_cut_into_row_groups_that_fit(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sessions_platform.storage.lake.parquet_writer.ROW_GROUP_BYTES", 10_000)
    monkeypatch.setattr("sessions_platform.storage.lake.parquet_writer.ROW_GROUP_ROWS", 24)
    frame = pl.DataFrame({"payload": [b"x" * 984] * 30})
    stored = lake.write("a", [frame], dict(frame.schema))
    footer = pq.read_metadata(folder_of(lake) / stored.path)
    assert [footer.row_group(group).num_rows for group in range(footer.num_row_groups)] == [10, 10, 10]
    monkeypatch.setattr("sessions_platform.storage.lake.parquet_writer.READ_BYTES", 10_000)
    blocks = [block.height for block in lake.blocks([stored.path], dict(frame.schema))]
    assert sum(blocks) == 30


def test_a_large_frame_is_cut_into_blocks_with_statistics(lake: Lake) -> None:
    stored = lake.write("a", [numbers(*range(ROW_GROUP_ROWS + 5))], NUMBERS, statistics=NUMBERS)
    assert sum(block.height for block in lake.blocks([stored.path], NUMBERS)) == ROW_GROUP_ROWS + 5
    footer = pq.read_metadata(folder_of(lake) / stored.path)
    ranges = [footer.row_group(group).column(0).statistics for group in range(footer.num_row_groups)]
    assert [(column.min, column.max) for column in ranges] == [
        (0, ROW_GROUP_ROWS - 1),
        (ROW_GROUP_ROWS, ROW_GROUP_ROWS + 4),
    ]


def test_a_frame_of_other_columns_is_an_error_and_leaves_nothing(lake: Lake) -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        lake.write("a", [numbers(1), pl.DataFrame({"other": [2]})], NUMBERS)
    for _ in range(20):  # a thread of polars opened the file now and then after it was deleted
        with pytest.raises(pl.exceptions.InvalidOperationError):
            lake.write("a", [pl.DataFrame({"number": ["one"]})], NUMBERS)
        assert files_in(lake) == []


def test_a_removed_file_may_be_removed_again(lake: Lake) -> None:
    stored = lake.write("a", [numbers(1)], NUMBERS)
    lake.remove(stored.path)
    lake.remove(stored.path)
    assert files_in(lake) == []


def test_a_file_that_is_gone_is_an_error_and_not_an_empty_one(lake: Lake) -> None:
    stored = lake.write("a", [numbers(1)], NUMBERS)
    lake.remove(stored.path)
    with pytest.raises(FileNotFoundError):
        lake.scan([stored.path], NUMBERS).collect()
    with pytest.raises(FileNotFoundError):
        list(lake.blocks([stored.path], NUMBERS))


# Whole or not at all -------------------------------------------------------------------------------------


def test_no_file_appears_before_it_is_complete(lake: Lake) -> None:
    seen: list[list[str]] = []

    def frames() -> Iterator[pl.DataFrame]:
        for number in range(3):
            yield numbers(number)
            seen.append([path.suffix for path in files_in(lake)])

    stored = lake.write("a", frames(), NUMBERS)
    assert len(seen) == 3
    assert {suffix for suffixes in seen for suffix in suffixes} <= {".tmp"}  # it is opened while frames are made
    assert files_in(lake) == [folder_of(lake) / stored.path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_writer_that_fails_leaves_nothing(lake: Lake, error: type[BaseException]) -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield numbers(1)
        raise error

    with pytest.raises(error):
        lake.write("a", frames(), NUMBERS)
    assert files_in(lake) == []


def test_a_file_is_durable_before_it_has_its_name_and_the_name_before_it_is_returned(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, link = os.fsync, Path.hardlink_to

    def noted_fsync(descriptor: int) -> None:
        steps.append(f"fsync {Path(f'/proc/self/fd/{descriptor}').readlink().suffix or 'folder'}")
        fsync(descriptor)

    def noted_link(path: Path, target: Path) -> None:
        steps.append(f"link {target.suffix} {path.suffix}, {pq.read_metadata(target).num_rows} rows")
        link(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "hardlink_to", noted_link)
    lake.write("a", [numbers(1), numbers(2)], NUMBERS)
    assert steps == ["fsync .tmp", "link .tmp .parquet, 2 rows", "fsync folder"]


WRITE_SLOWLY = """
import sys, time
from pathlib import Path
import polars as pl
from sessions_platform.storage.lake.filesystem import LocalFilesystem
from sessions_platform.storage.lake.lake import Lake

def frames():
    for number in range(1000):
        yield pl.DataFrame({"number": [number] * 100_000})
        print(number, flush=True)
        time.sleep(0.01)

Lake(LocalFilesystem(Path(sys.argv[1])), Path("/nowhere")).write("a", frames(), {"number": pl.Int64()})
"""
WRITE_ON_AND_ON = """
import sys
from pathlib import Path
import polars as pl
from sessions_platform.storage.lake.filesystem import LocalFilesystem
from sessions_platform.storage.lake.lake import Lake

lake = Lake(LocalFilesystem(Path(sys.argv[1])), Path("/nowhere"))
while True:
    lake.write("a", [pl.DataFrame({"number": list(range(1000))})] * 3, {"number": pl.Int64()})
    print("written", flush=True)
"""


def writer(script: str, lake: Lake) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script, str(folder_of(lake))]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str]) -> None:
    with process:
        process.send_signal(signal.SIGKILL)


def test_a_writer_that_is_killed_leaves_no_more_than_an_unfinished_file(lake: Lake) -> None:
    process = writer(WRITE_SLOWLY, lake)
    assert process.stdout is not None
    for _ in range(3):
        assert process.stdout.readline()
    kill(process)
    (left,) = files_in(lake)
    assert left.suffix == ".tmp"
    lake.write("a", [numbers(1)], NUMBERS)  # the next writer is not affected
    assert sorted(path.suffix for path in files_in(lake)) == [".parquet", ".tmp"]


def test_whenever_a_writer_is_killed_every_file_with_its_final_name_is_complete(lake: Lake) -> None:
    for _ in range(3):
        process = writer(WRITE_ON_AND_ON, lake)
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(random.uniform(0, 0.02))
        kill(process)
    finished = [path for path in files_in(lake) if path.suffix == ".parquet"]
    assert finished
    assert {pq.read_metadata(path).num_rows for path in finished} == {3000}
    assert len(files_in(lake)) - len(finished) <= 3


# Files of an older contract ------------------------------------------------------------------------------

OLD: dict[str, pl.DataType] = {"event_id": pl.String(), "amount": pl.Float64()}
OLD_ROWS = pl.DataFrame({"event_id": ["a", "b"], "amount": [1.5, None]}, schema=OLD)


def read_both_ways(lake: Lake, paths: list[str], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    scanned = lake.scan(paths, schema).collect()
    in_blocks = pl.concat(lake.blocks(paths, schema))
    assert list(scanned.schema.items()) == list(in_blocks.schema.items()) == list(schema.items())
    assert scanned.sort("event_id").equals(in_blocks.sort("event_id"))
    return in_blocks


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({**OLD, "page_url": pl.String()}, id="a column was added"),
        pytest.param({"page_url": pl.String(), **OLD}, id="in front"),
        pytest.param({**OLD, "reasons": REASONS, "new": pl.Boolean(), "seen": UTC_MICROSECONDS}, id="of any type"),
        pytest.param({"event_id": pl.String()}, id="a column was removed"),
        pytest.param({"event_id": pl.String(), "page_url": pl.String()}, id="a column was exchanged"),
    ],
)
def test_older_files_are_read_as_the_newer_contract_has_it(lake: Lake, schema: dict[str, pl.DataType]) -> None:
    old = lake.write("a", [OLD_ROWS], OLD)
    new_rows = pl.DataFrame([{"event_id": "c"}], schema={"event_id": pl.String()}).select(
        (pl.col(name) if name == "event_id" else pl.lit(None)).cast(dtype).alias(name) for name, dtype in schema.items()
    )
    new = lake.write("a", [new_rows], schema)
    together = read_both_ways(lake, [old.path, new.path], schema).sort("event_id")
    assert together["event_id"].to_list() == ["a", "b", "c"]
    for name in schema:
        expected = OLD_ROWS[name].to_list() if name in OLD else [None, None]
        assert together[name].head(2).to_list() == expected


def test_the_order_of_columns_may_have_changed(lake: Lake) -> None:
    reordered = dict(reversed(OLD.items()))
    old, new = lake.write("a", [OLD_ROWS], OLD), lake.write("a", [OLD_ROWS], reordered)
    for paths in ([old.path], [new.path], [old.path, new.path], [new.path, old.path]):
        assert lake.scan(paths, reordered).collect_schema().names() == list(reordered)
        assert read_both_ways(lake, paths, reordered).height == 2 * len(paths)


@example(({"column_0": UTC_MICROSECONDS}, []), list(range(9)), {"column_0": pl.String()})
@in_one_folder
@given(frames_of_a_schema(), st.permutations(range(9)), schemas)
@example(({"column_0": pl.String()}, [pl.DataFrame({"column_0": ["a"]})]), list(range(9)), {"column_0": pl.Boolean()})
@example(({"column_0": pl.String()}, [pl.DataFrame({"column_0": ["a"]})]), list(range(9)), {"column_0": REASONS})
def test_any_contract_can_read_any_file(
    lake: Lake,
    written: tuple[dict[str, pl.DataType], list[pl.DataFrame]],
    order: list[int],
    wanted: dict[str, pl.DataType],
) -> None:
    """Until a landing partition is validated again its file is of the old contract, and must not stop the new one."""
    schema, frames = written
    stored = lake.write("a", frames, schema)
    wanted = {name: wanted[name] for name in sorted(wanted, key=lambda name: order[int(name[-1])])}
    found = lake.scan([stored.path], wanted).collect()
    assert list(found.schema.items()) == list(wanted.items())
    assert found.height == stored.rows
    whole = pl.concat([pl.DataFrame(schema=schema), *frames])
    for name, dtype in wanted.items():
        if schema.get(name) == dtype:
            assert found[name].equals(whole[name])
        elif name not in schema:
            assert found[name].is_null().all()


# Datasets ------------------------------------------------------------------------------------------------


def test_a_dataset_is_read_whole_or_by_partition(lake: Lake) -> None:
    one = lake.write("a", [numbers(1, 2)], NUMBERS)
    two = lake.write("a", [numbers(3)], NUMBERS)
    three = lake.write("a", [numbers()], NUMBERS)
    days: dict[str, tuple[StoredFile, ...]] = {"day 1": (one, two), "day 2": (three,), "day 3": ()}
    dataset = Dataset(lake, NUMBERS, days)
    assert (dataset.rows, [dataset.rows_of(day) for day in days]) == (3, [3, 0, 0])
    assert dataset.scan().collect()["number"].to_list() == [1, 2, 3]
    assert [dataset.scan(day).collect().height for day in days] == [3, 0, 0]
    assert sum(block.height for block in dataset.blocks("day 1")) == 3
    assert sum(block.height for block in dataset.blocks()) == 3
    assert dataset.scan("day 3").collect_schema() == NUMBERS


def test_the_platforms_own_columns_are_kept(lake: Lake) -> None:
    place = {"landing_partition": "2026-01-01", "source_uri": "a b/é.csv", "position": 2**40}
    raw = {
        **place,
        "preamble": None,
        "payload": b"\xff\0",
        "line_terminator": b"",
        "header": b"a,b",
        "corrupt_reason": None,
    }
    reason = {"code": "malformed", "column": "", "rule": "is an empty line", "value": None}
    stamps = {"rejection_id": "a", "payload": "", "payload_encoding": "utf-8", "contract_version": "b"}
    rejected = {**place, **stamps, "reasons": [reason, {**reason, "value": "\n"}]}
    for row, schema in [(raw, RAW_EVENTS), (rejected, REJECTED_EVENTS)]:
        rows = pl.DataFrame([row], schema=schema)
        stored = lake.write("a", [rows], schema)
        assert lake.scan([stored.path], schema).collect().equals(rows)
        assert pl.concat(lake.blocks([stored.path], schema)).equals(rows)


def test_times_before_1970_and_to_the_microsecond_are_read_back(lake: Lake) -> None:
    times = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime.max.replace(tzinfo=UTC),
    ]
    schema: dict[str, pl.DataType] = {"at": UTC_MICROSECONDS}
    stored = lake.write("a", [pl.DataFrame({"at": times}, schema=schema)], schema)
    assert lake.scan([stored.path], schema).collect()["at"].to_list() == times


_BY_TIME = """
import sys
import pyarrow.parquet as pq
from sessions_platform.storage.lake.parquet_files import row_groups
bounds = []
groups = list(row_groups(pq.read_metadata({file!r}), "at", lambda least, greatest: bounds.append([least, greatest])))
print(groups, [[str(time) for time in both] for both in bounds], "pandas" in sys.modules)
"""


def test_times_in_statistics_are_compared_as_they_are_and_without_pandas(lake: Lake) -> None:
    times = [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(2026, 3, 1, 9, 30, 15, 123456, UTC),
        datetime.max.replace(tzinfo=UTC),
    ]
    frame = pl.DataFrame({"at": times}, {"at": UTC_MICROSECONDS})
    stored = lake.write("a", [frame], dict(frame.schema), statistics=["at"])
    code = _BY_TIME.format(file=str(folder_of(lake) / stored.path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"[] {[[str(min(times)), str(max(times))]]} False\n"
