"""Parts of large objects: few bytes are fetched, all are of one version, and each was compared with its checksum."""

import gc
import io
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.object_store import Objects
from sessions_platform.storage.lake import checksums, object_store, parquet_writer, parts
from sessions_platform.storage.lake.copies import Copies, read_at
from sessions_platform.storage.lake.errors import DamagedFileError, LakeUnavailableError, MissingFileError
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.lake.object_store import ObjectFilesystem
from sessions_platform_tests.lakes import Metered

if TYPE_CHECKING:
    from obstore.store import MemoryStore

SCHEMA: dict[str, pl.DataType] = {
    "position": pl.Int64(), "user": pl.String(), "noise": pl.Float64(), "fields": pl.Struct({"a": pl.Int64()}),
}  # fmt: skip
RANDOM = np.random.default_rng(1)
ROWS = pl.DataFrame(
    {
        "position": range(20_000),
        "user": [f"user {number % 97}" for number in range(20_000)],
        "noise": RANDOM.random(20_000),
        "fields": [{"a": number} for number in RANDOM.integers(0, 1 << 40, 20_000).tolist()],
    },
    SCHEMA,
)


@pytest.fixture
def bucket() -> "MemoryStore":
    return pytest.importorskip("obstore.store").MemoryStore()


@pytest.fixture
def opened(bucket: "MemoryStore", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Lake]:
    """Opens the lake as a new process does, in which all objects are large, and have 20 row groups."""
    monkeypatch.setattr(object_store, "PARTLY_FROM_BYTES", 1000)
    monkeypatch.setattr(checksums, "_END_BYTES", 1000)
    monkeypatch.setattr(parts, "_GAP_BYTES", 100)
    monkeypatch.setattr(parquet_writer, "ROW_GROUP_ROWS", 1000)
    monkeypatch.setattr(parquet_writer, "READ_BYTES", 50_000)

    def open_lake(store: Any = bucket) -> Lake:
        objects = Objects("s3", "bucket", "lake")
        filesystem = ObjectFilesystem(objects, tmp_path / "scratch", lambda _: store, timedelta(seconds=1))
        return Lake(filesystem, tmp_path / "scratch")

    return open_lake


@pytest.fixture
def path(opened: Callable[..., Lake]) -> str:
    return opened().write("web/events/day", [ROWS], SCHEMA, statistics=("position",)).path


def between(low: int, high: int) -> Callable[[int, int], bool]:
    return lambda least, greatest: least < high and greatest >= low


def read(lake: Lake, path: str, columns: list[str], low: int = 0, high: int = 20_000) -> pl.DataFrame:
    schema = {name: SCHEMA[name] for name in columns}
    return pl.concat([pl.DataFrame(schema=schema), *lake.blocks([path], schema, "position", between(low, high))])


def test_of_a_narrow_read_few_bytes_are_fetched_and_no_copy_of_all(
    opened: Callable[..., Lake], bucket: "MemoryStore", path: str
) -> None:
    size = len(bucket.get(f"lake/{path}").bytes())
    lake = opened(metered := Metered(bucket))
    assert lake.rows(path) == 20_000
    of_the_end = metered.given
    rows = read(lake, path, ["position", "noise"], 5100, 5200)
    assert rows.equals(ROWS[5000:6000].select("position", "noise"))
    assert metered.given < of_the_end + size / 20
    assert of_the_end < size / 10
    answers, given = metered.answers, metered.given
    assert read(lake, path, ["noise"], 5100, 5200).equals(rows.select("noise"))
    assert (metered.answers, metered.given) == (answers, given)
    wanted = lake.scan([path], SCHEMA).select("position").filter(pl.col("position") > 19_990)
    assert wanted.collect()["position"].to_list() == list(range(19_991, 20_000))
    assert metered.given < size / 2
    assert read(lake, path, list(SCHEMA)).equals(ROWS)
    assert metered.given > size, "more than half of it is needed, so it is copied whole"
    answers = metered.answers
    assert read(lake, path, ["user"]).equals(ROWS.select("user"))
    assert metered.answers == answers


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reads=st.lists(
        st.tuples(
            st.lists(st.sampled_from(list(SCHEMA)), min_size=1, unique=True),
            st.integers(0, 20_000),
            st.sampled_from([0, 1, 300, 1000, 5000, 20_000]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_any_reads_one_after_the_other_have_the_rows_of_a_folder(
    opened: Callable[..., Lake], path: str, reads: list[tuple[list[str], int, int]]
) -> None:
    lake = opened()
    for columns, low, length in reads:
        groups = [n for n in range(20) if n * 1000 < low + length and n * 1000 + 999 >= low]
        expected = pl.concat([ROWS[:0], *(ROWS[n * 1000 : n * 1000 + 1000] for n in groups)]).select(columns)
        assert read(lake, path, columns, low, low + length).equals(expected)


def overwriting(bucket: "MemoryStore", path: str, content: bytes, at: Callable[[int], bool]) -> Metered:
    def overwrite(answers: int) -> None:
        if at(answers):
            bucket.put(f"lake/{path}", content)

    return Metered(bucket, overwrite)


@pytest.mark.parametrize("at", range(1, 6))
def test_an_object_that_is_overwritten_while_it_is_read_gives_rows_of_no_other(
    opened: Callable[..., Lake], bucket: "MemoryStore", path: str, at: int
) -> None:
    mine = bucket.get(f"lake/{path}").bytes().to_bytes()
    others = opened().write("web/events/day", [ROWS.reverse()], SCHEMA, statistics=("position",)).path
    other = bucket.get(f"lake/{others}").bytes().to_bytes()
    for content, is_same in ((mine, True), (other, False)):
        bucket.put(f"lake/{path}", mine)
        lake = opened(metered := overwriting(bucket, path, content, lambda answers: answers == at))
        try:
            for low in (500, 2500, 8500):
                rows = read(lake, path, ["noise", "user"], low, low + 1)
                assert rows.equals(ROWS[low - 500 : low + 500].select("noise", "user"))
        except DamagedFileError:
            assert not is_same
        else:
            assert is_same
        assert metered.answers > at


def test_a_store_that_ignores_the_version_and_conceals_it_is_noticed_by_the_checksums(
    opened: Callable[..., Lake], bucket: "MemoryStore", path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Ignoring(Metered):
        def get(self, path: str, **named: Any) -> Any:
            return super().get(path, options={"range": named["options"]["range"]} if named else None)

    monkeypatch.setattr("sessions_platform.sources.objects.copying.version_of", lambda _: "the same")
    monkeypatch.setattr(object_store, "version_of", lambda _: "the same")
    lake = opened(Ignoring(bucket))
    assert read(lake, path, ["noise"], 500, 501).equals(ROWS[:1000].select("noise"))
    content = bytearray(bucket.get(f"lake/{path}").bytes())
    middle = slice(len(content) // 10, -len(content) // 10)
    content[middle] = bytes(byte ^ 1 for byte in content[middle])
    bucket.put(f"lake/{path}", bytes(content))
    assert read(lake, path, ["noise"], 500, 501).equals(ROWS[:1000].select("noise")), "which was fetched before"
    with pytest.raises(DamagedFileError, match=rf"lake file {path}, of events day: bytes \d+ to \d+ are not those"):
        read(lake, path, ["noise"], 9500, 9501)
    with pytest.raises(DamagedFileError):
        lake.check(path)


def test_parts_of_an_object_that_was_overwritten_since_are_not_read(
    opened: Callable[..., Lake], bucket: "MemoryStore", path: str
) -> None:
    lake = opened()
    read(lake, path, ["noise"], 500, 501)
    other = opened().write("web/events/day", [ROWS.reverse()], SCHEMA, statistics=("position",)).path
    bucket.put(f"lake/{path}", bucket.get(f"lake/{other}").bytes().to_bytes())
    with pytest.raises(DamagedFileError, match="its end is not the one that was written"):
        read(lake, path, ["noise"], 500, 501)


def test_an_object_that_is_overwritten_whenever_it_is_read_is_given_up(
    opened: Callable[..., Lake], bucket: "MemoryStore", path: str
) -> None:
    mine = bucket.get(f"lake/{path}").bytes().to_bytes()
    lake = opened(overwriting(bucket, path, mine, lambda _: True))
    with pytest.raises(LakeUnavailableError, match="was overwritten whenever it was read, 5 times"):
        read(lake, path, ["noise"], 500, 501)


def test_an_object_that_is_removed_is_not_read_from_the_parts_that_are_there(
    opened: Callable[..., Lake], bucket: "MemoryStore", path: str
) -> None:
    lake = opened()
    blocks = lake.blocks([path], {"noise": pl.Float64()}, "position", between(0, 9000))
    first = next(blocks)
    bucket.delete(f"lake/{path}")
    rest: Iterator[pl.DataFrame] = blocks
    assert pl.concat([first, *rest]).equals(ROWS[:9000].select("noise")), "which is read from what was there as a whole"
    for use in (lambda: read(lake, path, ["noise"], 0, 9000), lambda: lake.rows(path), lambda: lake.columns(path)):
        with pytest.raises(MissingFileError):
            use()


def test_parts_are_bounded_by_the_bytes_that_were_fetched_and_leave_no_file(
    opened: Callable[..., Lake], bucket: "MemoryStore", path: str, tmp_path: Path
) -> None:
    filesystem: Any = opened(Metered(bucket)).filesystem
    lake, another = Lake(filesystem, tmp_path), opened().write("web/events/day", [ROWS], SCHEMA).path
    filesystem._parts = Copies(30_000, 200)
    for each in (path, another):
        read(lake, each, ["noise"], 500, 1501)
    assert [filesystem._parts.kept(each) is None for each in (path, another)] == [True, False]
    kept: Any = filesystem._parts.kept(another)
    assert kept.bytes_held < 40_000
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


class Stored:
    """A sealed file of three columns, whose middle one is damaged on the way from its second request on."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "draft.parquet"
        ROWS.head(1000).select("position", "user", "noise").write_parquet(self.path)
        self.checksum, self.content = checksums.seal(self.path), self.path.read_bytes()
        footer = pq.read_metadata(self.path)
        columns = [checksums.column_chunks(footer, [0], [name]) for name in ("position", "user", "noise")]
        (self.first,), (self.middle,), (self.last,) = columns
        self.asked: list[checksums.Range] = []

    def fetch(self, file: io.FileIO, ranges: Sequence[checksums.Range]) -> None:
        for start, end in ranges:
            content = bytearray(self.content)
            if any(began <= self.middle[0] < ended for began, ended in self.asked):
                content[self.middle[0]] ^= 1
            os.pwrite(file.fileno(), content[start:end], start)
            self.asked.append((start, end))

    def parts(self, folder: Path) -> parts.Parts:
        with io.FileIO(os.open(folder, os.O_TMPFILE | os.O_RDWR), "r+b") as file:
            return parts.Parts(file, "1", len(self.content), self.checksum, self.fetch)


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stored:
    monkeypatch.setattr(checksums, "_END_BYTES", 100)
    return Stored(tmp_path)


def test_what_was_compared_is_not_written_over_by_what_is_fetched_around_it(stored: Stored, tmp_path: Path) -> None:
    held = stored.parts(tmp_path)
    held.need([stored.middle])
    held.need([stored.first, stored.last])
    begin, end = stored.first[0], stored.last[1]
    assert read_at(held, begin, end - begin) == stored.content[begin:end]


def test_what_is_fetched_between_parts_is_compared_too(stored: Stored, tmp_path: Path) -> None:
    held = stored.parts(tmp_path)
    held.need([stored.first, stored.last])
    requests = len(stored.asked)
    held.need([stored.middle])
    assert len(stored.asked) == requests
    assert read_at(held, 0, stored.last[1]) == stored.content[: stored.last[1]]


def test_parts_are_closed_with_the_last_reference_to_them(stored: Stored, tmp_path: Path) -> None:
    gc.disable()
    try:
        held = stored.parts(tmp_path)
        held.need([stored.middle])
        left = weakref.ref(held)
        del held
        assert left() is None
    finally:
        gc.enable()
