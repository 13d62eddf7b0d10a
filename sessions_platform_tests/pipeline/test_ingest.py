"""Landing files that are empty, have only invalid rows, are corrupt, or change while they are read."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sessions_platform.operations.skipped import skipped_files, skipped_sentence
from sessions_platform.operations.status import pending_landing_partitions, status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.raw_files import QUARANTINED_FILES
from sessions_platform.settings import Settings
from sessions_platform.sources.base import Found, Quarantine, Reading, Slice, search
from sessions_platform.sources.files.source import FileSource
from sessions_platform_tests.ingested import DAY, PartitionContents, assert_is_text, ingest_and_publish, open_folder
from sessions_platform_tests.lakes import folder_of

NOON = "2026-01-01T12:00:00Z"


def lines(*numbers: int) -> bytes:
    return b"".join(
        b'{"id":"%03d","user":"ann","ts":"2026-01-01T12:00:00Z","type":"view"}\n' % number for number in numbers
    )


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / DAY / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def ids(taken: PartitionContents) -> list[str]:
    return sorted(taken.events["event_id"])


def quarantined(context: StreamContext) -> list[bytes]:
    folder = folder_of(context.lake) / context.stream.name / QUARANTINED_FILES
    return [path.read_bytes() for path in folder.iterdir()] if folder.exists() else []


def test_a_partition_without_files_is_published_empty(tmp_path: Path, settings: Settings) -> None:
    taken = ingest_and_publish(open_folder(tmp_path, settings))
    assert (taken.raw.height, taken.events.height, taken.rejected.height) == (0, 0, 0)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(b"", "ndjson", id="nothing at all"),
        pytest.param(b"\xef\xbb\xbf", "ndjson", id="a BOM"),
        pytest.param(gzip.compress(b""), "ndjson", id="nothing, compressed"),
        pytest.param(b"\xef\xbb\xbfid,user,ts,type\r\n", "csv", id="a header"),
    ],
)
def test_an_empty_file_has_no_rows_and_is_not_read_again(
    tmp_path: Path, settings: Settings, content: bytes, kind: str
) -> None:
    put(tmp_path, "file", content)
    context = open_folder(tmp_path, settings, source={"format": kind})
    assert ingest_and_publish(context).raw.height == 0
    ingested = ingest(context, [DAY], "a-run")[DAY]
    assert (ingested.files, ingested.rows, ingested.read) == (1, 0, 0)
    (known,) = context.ledger.files([DAY])
    copied = folder_of(context.lake) / context.stream.name / QUARANTINED_FILES / str(known.digest)
    assert (copied.read_bytes() if content else b"") == content


def test_an_empty_parquet_file_is_corrupt(tmp_path: Path, settings: Settings) -> None:
    """Without a footer nothing says that it has no rows: an upload may have broken off."""
    put(tmp_path, "file", b"")
    assert ingest_and_publish(open_folder(tmp_path, settings, source={"format": "parquet"})).codes() == [
        "unreadable_file"
    ]


def test_all_rows_of_a_file_with_only_invalid_rows_are_rejected(tmp_path: Path, settings: Settings) -> None:
    content = b"\n\r\nnull\n{}\n{\xff}\n" + lines(1).replace(b"ann", b"") + b"{" * 100_000
    put(tmp_path, "file", content)
    taken = ingest_and_publish(open_folder(tmp_path, settings))
    assert taken.events.height == 0
    assert taken.rejected["rows"].sum() == taken.raw.height == 7
    assert_is_text(taken.raw, content)


def test_a_corrupt_file_is_one_row_and_the_rest_of_the_partition_is_ingested(
    tmp_path: Path, settings: Settings
) -> None:
    put(tmp_path, "a", lines(1))
    put(tmp_path, "b", b"\x1f\x8b is not gzip")
    put(tmp_path, "c", gzip.compress(lines(2, 3), mtime=0)[:-6])
    put(tmp_path, "d", lines(4))
    context = open_folder(tmp_path, settings)
    taken = ingest_and_publish(context)
    assert ids(taken) == ["001", "002", "003", "004"]
    assert taken.codes() == ["unreadable_file"] * 2
    assert taken.rejected.select("source_uri", "position").rows() == [(f"{DAY}/b", 1), (f"{DAY}/c", 3)]
    found = [(folder_of(context.lake) / place).read_bytes() for place in taken.rejected["payload"]]
    assert found == [(tmp_path / DAY / name).read_bytes() for name in "bc"]


def test_reading_a_corrupt_file_again_adds_nothing(tmp_path: Path, settings: Settings) -> None:
    context = open_folder(tmp_path, settings)
    put(tmp_path, "a", b"\x1f\x8b is not gzip")
    first = ingest_and_publish(context)
    put(tmp_path, "a", b"\x1f\x8b is not gzip")
    put(tmp_path, "b", b"\x1f\x8b is not gzip")
    again = ingest_and_publish(context)
    assert again.rejected.filter(pl.col("source_uri") == f"{DAY}/a").equals(first.rejected)
    assert len(quarantined(context)) == 1


def test_a_compression_bomb_is_read_up_to_its_limit_and_quarantined_compressed(
    tmp_path: Path, settings: Settings
) -> None:
    bomb = gzip.compress(lines(*range(900)) + bytes(2_000_000), mtime=0)
    put(tmp_path, "bomb", bomb)
    context = open_folder(tmp_path, settings, source={"max_unpacked": "1MB"})
    taken = ingest_and_publish(context)
    assert taken.events.height == 900
    assert taken.codes() == ["unreadable_file"]
    assert quarantined(context) == [bomb]


def test_what_can_not_be_read_as_a_file_is_reported_and_the_rest_is_ingested(
    tmp_path: Path, settings: Settings
) -> None:
    put(tmp_path, "good", lines(1))
    put(tmp_path, "caf\udce9", lines(2))
    (tmp_path / DAY / "loop").symlink_to("loop")
    (tmp_path / DAY / "passwords").symlink_to("/etc/passwd")
    context = open_folder(tmp_path, settings)
    expected = [
        rf"{DAY}/caf\udce9: its name is not UTF-8",
        f"{DAY}/loop: a link that leads to itself",
        f"{DAY}/passwords: a link that leads out of the landing folder",
    ]
    skipped = status(context)["skipped_files"]
    assert (skipped["count"], skipped["first"]) == (3, expected)
    assert set(skipped["by_reason"].values()) == {1}
    assert pending_landing_partitions(context) == [DAY]
    ingested = ingest(context, [DAY], "a-run")[DAY]
    assert [f"{skip.place}: {skip.reason}" for skip in ingested.skipped] == expected
    taken = ingest_and_publish(context)
    assert (ids(taken), taken.raw.height) == (["001"], 1)


def test_files_whose_names_state_no_partition_are_counted_and_named(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, "good", lines(1))
    for folder in ("2026-13-45", *(f"2025-12-{day}" for day in range(10, 30))):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_bytes(lines(2))
    found = search(open_folder(tmp_path, settings).source)
    skipped = skipped_files(found)
    early = "it is dated before the first landing partition, 2026-01-01. Fix: an earlier start, or remove it"
    nowhere = "its name states no start of a landing partition (daily). Fix: write it as in 2026-01-01/**/*"
    assert skipped["by_reason"] == {early: 20, nowhere: 1}
    assert len(skipped["first"]) == 10
    assert f"2026-13-45/a: {nowhere}" in skipped["first"]
    assert skipped_sentence(found, "file").startswith(
        "21 files were skipped, which `status` lists: 2025-12-10/a: it is dated"
    )
    assert skipped_sentence(Found(found.slices), "file") == ""


# CSV and Parquet whose columns are not those of yesterday


def test_rows_under_a_changed_header_are_parsed_by_their_own(tmp_path: Path, settings: Settings) -> None:
    row = b"1,ann,2026-01-01T12:00:00Z,view\n"
    put(tmp_path, "a", b"id,user,ts,type\n" + row)
    put(tmp_path, "b", b"type,ts,user,id\nview,2026-01-01T12:00:00Z,ann,2\n")
    put(tmp_path, "c", b"id,customer,ts,type\n" + row)
    put(tmp_path, "d", b"id,user,ts,type\n" + row + b"2,ann\n2,ann,,view,more\n")
    put(tmp_path, "e", b'id,"user,ts,type\n' + row)
    taken = ingest_and_publish(open_folder(tmp_path, settings, source={"format": "csv"}))
    assert ids(taken) == ["1", "2"]
    assert taken.duplicates == 1
    assert taken.codes() == ["missing_identity", "malformed", "malformed", "unreadable_file"]


def test_missing_and_retyped_columns_of_parquet_are_validated_by_the_contract(
    tmp_path: Path, settings: Settings
) -> None:
    good: dict[str, Any] = {"id": ["1"], "user": ["ann"], "ts": [NOON], "type": ["view"]}
    tables = {
        "a": good,
        "b": {name: values for name, values in good.items() if name != "ts"},
        "c": {**good, "id": ["2"], "user": [7]},
        "d": {**good, "id": ["3"], "user": [["ann"]]},
    }
    (tmp_path / DAY).mkdir()
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), tmp_path / DAY / name)
    taken = ingest_and_publish(open_folder(tmp_path, settings, source={"format": "parquet"}))
    assert taken.events.sort("event_id")["user_id"].to_list() == ["ann", "7"]
    assert taken.codes() == ["missing_value", "wrong_type"]


# Files that change while they are read


class MeddledSource(FileSource):
    """Something happens to each file once its first block has been read."""

    meddle: Callable[[Path], object] = staticmethod(lambda _: None)

    def read(self, slice_: Slice, quarantine: Quarantine) -> Reading:  # type: ignore[override]
        return MeddledReading(super().read(slice_, quarantine), lambda: self.meddle(self.path_of(slice_.uri)))


class MeddledReading:
    digest: str
    text_bytes: int | None

    def __init__(self, reading: Reading, meddle: Callable[[], object]) -> None:
        self._reading, self._meddle = reading, meddle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reading, name)

    def __iter__(self) -> Iterator[pl.DataFrame]:
        for place, block in enumerate(self._reading):
            if place == 0:
                self._meddle()
            yield block


def replace(path: Path) -> None:
    other = path.parent / ".other"
    other.write_bytes(lines(*range(50, 60)))
    other.rename(path)


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(lines(*range(50, 60)))


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(len(lines(1)) * 2)


OLD, NEW = [f"{n:03}" for n in range(50)], [f"{n:03}" for n in range(50, 60)]


@pytest.mark.parametrize(
    ("meddle", "now", "then"),
    [
        pytest.param(grow, OLD, OLD + NEW, id="what is appended is for the next reading"),
        pytest.param(replace, OLD, NEW, id="a file that was replaced is read to its old end"),
        pytest.param(Path.unlink, OLD, OLD, id="so is one that was removed, and it keeps its rows"),
        pytest.param(cut, None, OLD[:2], id="of one that was cut short, the rows that were read are kept"),
    ],
)
def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, settings: Settings, meddle: Callable[[Path], object], now: list[str] | None, then: list[str]
) -> None:
    put(tmp_path, "file", lines(*range(50)))
    opened = open_folder(tmp_path, settings)
    source = MeddledSource(opened.stream, block_bytes=256)
    context = StreamContext.open(opened.stream, settings, source)
    source.meddle = meddle
    first = ids(ingest_and_publish(context))
    assert first == now if now else (set(then) <= set(first) < set(OLD))
    source.meddle = lambda _: None
    ingested = ingest(context, [DAY], "a-run")[DAY]
    assert ingested.read == (meddle is not Path.unlink)
    assert ids(ingest_and_publish(context)) == then
