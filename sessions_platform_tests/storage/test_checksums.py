"""A lake file's checksums: any byte that is not the one that was written is noticed by whoever reads it."""

import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from sessions_platform.storage.lake import parquet_writer
from sessions_platform.storage.lake.checksums import column_chunks
from sessions_platform.storage.lake.errors import DamagedFileError, MissingFileError
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.lake.stored_file import StoredFile, checksum_in
from sessions_platform_tests.lakes import folder_of, local_lake

SCHEMA = {
    "number": pl.Int64(),
    "text": pl.String(),
    "reasons": pl.List(pl.Struct({"code": pl.String(), "rule": pl.String()})),
    "dotted.name": pl.String(),
}
ROWS = 200


@pytest.fixture
def lake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    monkeypatch.setattr(parquet_writer, "ROW_GROUP_ROWS", 50)
    return local_lake(tmp_path / "lake")


def frame() -> pl.DataFrame:
    columns = {
        "number": range(ROWS),
        "text": [f"text {number}" for number in range(ROWS)],
        "reasons": [[{"code": "a", "rule": str(number)}] for number in range(ROWS)],
        "dotted.name": [f"dots {number}" for number in range(ROWS)],
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def written(lake: Lake) -> tuple[StoredFile, Path]:
    stored = lake.write("web/events/2026-01-01", [frame()], SCHEMA, statistics=("number",))
    return stored, folder_of(lake) / stored.path


def anew(lake: Lake) -> Lake:
    """The same lake as another process opens it."""
    return local_lake(folder_of(lake))


def flipped(path: Path, byte: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)


def test_any_reader_of_parquet_reads_a_file_with_checksums(lake: Lake) -> None:
    stored, path = written(lake)
    assert stored.checksum == checksum_in(stored.path) is not None
    assert pl.read_parquet(path).equals(frame())
    assert pl.DataFrame(pl.from_arrow(pq.read_table(path))).equals(frame())
    assert pq.read_metadata(path).num_row_groups == 4


def test_every_flipped_bit_is_noticed(lake: Lake) -> None:
    stored, path = written(lake)
    original, generator = path.read_bytes(), random.Random(1)
    lake.check(stored.path)
    for byte in {0, 1, len(original) - 1, *generator.sample(range(len(original)), 300)}:
        flipped(path, byte, generator.randrange(8))
        with pytest.raises(DamagedFileError):
            lake.check(stored.path)
        with pytest.raises(DamagedFileError):
            anew(lake).scan([stored.path], SCHEMA)
        path.write_bytes(original)
    lake.check(stored.path)


@pytest.mark.parametrize("length", [0, 3, 8, 100, -1, -9, -3000])
def test_a_file_that_was_cut_off_or_has_grown_is_noticed(lake: Lake, length: int) -> None:
    stored, path = written(lake)
    content = path.read_bytes()
    for changed in (content[:length], content + content[: length or 1]):
        path.write_bytes(changed)
        with pytest.raises(DamagedFileError, match="its end is not the one that was written"):
            anew(lake).check_end(stored.path)
        with pytest.raises(DamagedFileError):
            list(anew(lake).blocks([stored.path], SCHEMA))


def test_a_file_in_the_place_of_another_is_noticed(lake: Lake) -> None:
    stored, path = written(lake)
    other = lake.write("web/events/2026-01-02", [frame().reverse()], SCHEMA)
    path.write_bytes((folder_of(lake) / other.path).read_bytes())
    with pytest.raises(DamagedFileError):
        anew(lake).scan([stored.path], SCHEMA)


@pytest.mark.parametrize("column", list(SCHEMA))
def test_only_what_a_query_needs_is_compared(lake: Lake, column: str) -> None:
    """Damage in a row group or a column is noticed by those who read it, and by no others."""
    stored, path = written(lake)
    ((start, _), *_) = column_chunks(pq.read_metadata(path), [2], [column])
    flipped(path, start + 20)
    others = {name: dtype for name, dtype in SCHEMA.items() if name != column}
    assert anew(lake).scan([stored.path], others).collect().equals(frame().select(*others))
    early: Callable[[int, int], bool] = lambda least, _: least < 100  # noqa: E731
    assert sum(block.height for block in anew(lake).blocks([stored.path], SCHEMA, "number", early)) == 100
    rows = anew(lake).scan([stored.path], SCHEMA, "number", early).filter(pl.col("number") < 100)
    assert rows.collect().height == 100
    with pytest.raises(DamagedFileError, match=r"bytes \d+ to \d+ are not those that were written"):
        anew(lake).scan([stored.path], SCHEMA)


def test_what_changes_after_it_was_compared_is_compared_again(lake: Lake) -> None:
    stored, path = written(lake)
    lake.scan([stored.path], SCHEMA).collect()
    flipped(path, 50)
    with pytest.raises(DamagedFileError):
        lake.scan([stored.path], SCHEMA)


def test_a_file_without_rows_has_a_checksum_too(lake: Lake) -> None:
    stored = lake.write("web/events/2026-01-01", [], SCHEMA)
    assert anew(lake).check(stored.path)
    assert anew(lake).scan([stored.path], SCHEMA).collect().is_empty()
    flipped(folder_of(lake) / stored.path, 6)
    with pytest.raises(DamagedFileError):
        anew(lake).scan([stored.path], SCHEMA)


def test_a_missing_file_is_named_with_its_partition_and_the_fix(lake: Lake) -> None:
    stored, path = written(lake)
    path.unlink()
    sentence = r"lake file web/events/2026-01-01/\S+, of events 2026-01-01: it is missing. Fix: run `sessions-platform"
    for read in (lake.size, lake.rows, lake.check, lake.check_end, lambda path: lake.scan([path], SCHEMA)):
        with pytest.raises(MissingFileError, match=sentence):
            read(stored.path)
    assert not lake.exists(stored.path)


def test_an_older_file_without_checksums_is_read_and_said_to_have_none(lake: Lake) -> None:
    _, path = written(lake)
    older = path.with_name("0" * 32 + ".parquet")
    path.rename(older)
    name = older.relative_to(folder_of(lake)).as_posix()
    assert checksum_in(name) is None
    assert lake.scan([name], SCHEMA).collect().equals(frame())
    assert not lake.check(name)
    assert not lake.check_end(name)
    older.write_bytes(older.read_bytes()[:-5])
    uses: list[Callable[[], object]] = [lambda: anew(lake).check(name), lambda: list(anew(lake).blocks([name], SCHEMA))]
    for use in uses:
        with pytest.raises(DamagedFileError, match="it can't be read"):
            use()
