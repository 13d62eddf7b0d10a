"""Archives through the pipeline: what is recorded of them, read again, verified, erased, and placed by `ingest`."""

import io
import zipfile
from pathlib import Path

import pytest

from sessions_platform.operations.erase import erase
from sessions_platform.operations.landing_files import place_files
from sessions_platform.operations.quarantined_files import copy_again, missing_copies
from sessions_platform.operations.status import status
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform_tests.ingested import DAY, ingest_and_publish, open_folder
from sessions_platform_tests.operations.erasure import ANN, holding, lake_of
from sessions_platform_tests.pipeline.test_ingest import ids, lines, put
from sessions_platform_tests.sources.test_archives import tarred, zipped

ARCHIVE = {"archive": "*.json"}


def test_an_archive_is_read_once_and_its_members_are_replaced_with_it(tmp_path: Path, settings: Settings) -> None:
    context = open_folder(tmp_path, settings, source=ARCHIVE)
    whole = tarred([("a.json", lines(1, 2)), ("b.json", lines(3)), ("c.json", lines(4)), ("note", b"")])
    path = put(tmp_path, "x.tar", whole[: whole.index(lines(4)) + 20])
    taken = ingest_and_publish(context)
    assert ids(taken) == ["001", "002", "003"]
    assert sorted(taken.rejected["source_uri"]) == [f"{DAY}/x.tar", f"{DAY}/x.tar!/c.json"]
    assert ingest(context, [DAY], "a-run")[DAY].read == 0
    assert missing_copies(context) == []
    for row in taken.rejected["payload"]:
        context.lake.remove(row)
        assert copy_again(context, row) in taken.rejected["source_uri"].to_list()
    assert missing_copies(context) == []
    path.write_bytes(tarred([("a.json", lines(5)), ("c.json", lines(4))]))
    taken = ingest_and_publish(context)
    assert ids(taken) == ["003", "004", "005"]  # b.json vanished, and keeps its rows
    assert taken.rejected.height == 0
    counts = status(context)
    assert counts["pending"]["landing"] == []
    report = ingest(context, [DAY], "a-run")[DAY]
    assert (report.files, report.read, report.vanished) == (4, 0, 1)


def test_ingest_places_an_archive_with_its_members_in_one_partition(tmp_path: Path, settings: Settings) -> None:
    context = open_folder(tmp_path, settings, source={"files": "landing/*", **ARCHIVE})
    delivered = tmp_path / "x.zip"
    delivered.write_bytes(zipped([("a.json", lines(1)), ("b.json", b"")]))
    (placed,) = place_files(context, [delivered], DAY)
    assert place_files(context, [delivered], DAY) == [placed]
    assert [file.landing_partition for file in context.ledger.files()] == [DAY] * 3
    assert ids(ingest_and_publish(context)) == ["001"]


@pytest.mark.slow
def test_an_erased_user_stays_in_the_archive_alone_and_the_receipt_says_so(tmp_path: Path, settings: Settings) -> None:
    landing = {"files": "landing/{partition:%Y-%m-%d}/*", "rewrite_on_erasure": "all", **ARCHIVE}
    context = open_folder(tmp_path, settings, source=landing)
    of_ann = lines(1).replace(b'"ann"', f'"{ANN}"'.encode())
    path = tmp_path / "landing" / DAY / "x.zip"
    path.parent.mkdir(parents=True)
    content = zipped(
        [("a.json", lines(2) + of_ann), ("b.json", lines(3)), ("c.json", of_ann * 2)], zipfile.ZIP_DEFLATED
    )
    path.write_bytes(content)
    ingest_and_publish(context)
    receipt = erase(context, [ANN])
    assert [sentence.partition(":")[0] for sentence in receipt["left"]] == [
        f"landing/{DAY}/x.zip!/a.json",
        f"landing/{DAY}/x.zip!/c.json",
    ]
    assert "this copy remains. Fix: delete the archive" in receipt["left"][0]
    assert path.read_bytes() == content
    assert holding(lake_of(context)) == []
    path.touch()
    assert ids(ingest_and_publish(context)) == ["002", "003"]
    assert holding(lake_of(context)) == []


@pytest.mark.slow
def test_the_copy_of_a_damaged_archive_is_erased_by_what_its_members_contain(
    tmp_path: Path, settings: Settings
) -> None:
    """Compressed, the archive does not contain the user's name byte by byte."""
    context = open_folder(tmp_path, settings, source={"max_members": 2, **ARCHIVE})
    of_ann = lines(*range(50)).replace(b'"ann"', f'"{ANN}"'.encode())
    path = put(tmp_path, "x.zip", zipped([("a.json", of_ann), ("b.json", lines(200)), ("c.json", of_ann)]))
    taken = ingest_and_publish(context)
    (copy,) = taken.rejected["payload"]
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        assert ANN.encode() in archive.read("c.json")
    assert context.lake.exists(copy)
    receipt = erase(context, [ANN])
    assert not context.lake.exists(copy)
    assert any(sentence.startswith(f"{DAY}/x.zip: it is in an archive") for sentence in receipt["left"])
    assert path.exists()
