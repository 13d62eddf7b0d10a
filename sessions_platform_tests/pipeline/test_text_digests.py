"""Files with the same text count once where ids are derived, however each of them is packed."""

import gzip
from pathlib import Path

import pytest
import zstandard

from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform_tests.ingested import DAY, ingest_and_publish, open_folder
from sessions_platform_tests.pipeline.test_ingest import lines, put
from sessions_platform_tests.streams import PLAIN

pytestmark = pytest.mark.slow

WITHOUT_IDS = {name: column for name, column in PLAIN["columns"].items() if name != "event_id"}
TEXT = lines(1, 1, 2)
PACKED = gzip.compress(TEXT, mtime=0)


def open_derived(folder: Path, settings: Settings, **changes: object) -> StreamContext:
    return open_folder(folder, settings, columns=WITHOUT_IDS, **changes)


def forget_text_digests(context: StreamContext) -> None:
    """Make a home of it whose files were read before there were such digests."""
    with context.database.transaction() as connection:
        connection.execute(
            "update sessions_platform.landing_files set text_digest = null where stream = %s", [context.stream.name]
        )


def test_a_text_counts_once_whatever_it_is_packed_with(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, "a.ndjson", TEXT)
    put(tmp_path, "b.ndjson.gz", PACKED)
    put(tmp_path, "c.ndjson.gz", gzip.compress(TEXT, mtime=1))
    put(tmp_path, "d.ndjson.zst", zstandard.compress(TEXT))
    taken = ingest_and_publish(open_derived(tmp_path, settings))
    assert (taken.events.height, taken.duplicates) == (3, 9)
    assert taken.events["event_id"].n_unique() == 3


def test_ids_are_those_of_the_unpacked_file(tmp_path: Path, settings: Settings) -> None:
    ids: list[list[str]] = []
    for name, content in (("plain", TEXT), ("packed", PACKED)):
        (tmp_path / name).mkdir()
        put(tmp_path / name, "a", content)
        ids.append(ingest_and_publish(open_derived(tmp_path / name, settings)).events["event_id"].to_list())
    assert ids[0] == ids[1]


def test_a_text_that_can_not_be_read_to_its_end_is_no_copy_of_another(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, "a", TEXT)
    put(tmp_path, "b", PACKED[:-8])  # all of the text, without its checksum
    taken = ingest_and_publish(open_derived(tmp_path, settings))
    assert (taken.events.height, taken.duplicates, taken.codes()) == (6, 0, ["unreadable_file"])


@pytest.mark.parametrize("is_older_packed", [True, False])
def test_a_partition_that_was_read_before_texts_were_hashed_does_not_double(
    tmp_path: Path, settings: Settings, *, is_older_packed: bool
) -> None:
    put(tmp_path, "a", PACKED if is_older_packed else TEXT)
    put(tmp_path, "b", lines(3))
    context = open_derived(tmp_path, settings)
    before = ingest_and_publish(context)
    forget_text_digests(context)
    put(tmp_path, "c", gzip.compress(TEXT, mtime=7))
    assert pending_landing_partitions(context) == [DAY]
    taken = ingest_and_publish(context)
    assert taken.duplicates == 3
    assert taken.events["event_id"].to_list() == before.events["event_id"].to_list()


def test_a_partition_in_which_a_text_was_doubled_is_validated_once_more(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, "a", TEXT)
    put(tmp_path, "b", PACKED)
    context = open_derived(tmp_path, settings)
    ingest_and_publish(context)
    forget_text_digests(context)
    with context.database.transaction() as connection:
        connection.execute(
            "update sessions_platform.landing_versions set contract_version = 'before' where stream = %s",
            [context.stream.name],
        )
    assert pending_landing_partitions(context) == [DAY]
    taken = ingest_and_publish(context)
    assert (taken.events.height, taken.duplicates) == (3, 3)
    assert pending_landing_partitions(context) == []


def test_an_older_file_that_broke_off_is_no_copy_of_another(tmp_path: Path, settings: Settings) -> None:
    put(tmp_path, "a", TEXT)
    put(tmp_path, "b", PACKED[:-8])
    context = open_derived(tmp_path, settings)
    ingest_and_publish(context)
    forget_text_digests(context)
    assert ingest_and_publish(context).events.height == 6
