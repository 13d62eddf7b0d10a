"""Landing files in a real folder: which files are found, and their partitions, URIs and fingerprints."""

from pathlib import Path
from typing import Any

import pytest

from sessions_platform.contracts.path_template import TemplateError
from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.base import Slice
from sessions_platform.sources.files.paths import SourceError
from sessions_platform.sources.files.source import FileSource

COLUMNS = {"user_id": {}, "event_timestamp": {"formats": ["%+"]}, "event_type": {}}
DAILY = "landing/{partition:%Y-%m-%d}/*.ndjson"


def source(folder: Path, files: str, cadence: str = "daily", *, follow: bool = False, **more: Any) -> FileSource:
    described = {
        "name": "web",
        "start": "2026-01-01",
        "source": {"files": files, "format": "ndjson", "follow_outside_links": follow},
        "landing": {"partition": cadence},
        "columns": COLUMNS,
        "path": folder / "web.yaml",
        "home": folder / "home",
    }
    return FileSource(Stream.model_validate({**described, **more}))


def ingest(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}\n")


def uris(found: list[Slice]) -> list[str]:
    return [file.uri for file in found]


# What is found


def test_a_dated_file_belongs_to_the_partition_that_its_path_names(tmp_path: Path) -> None:
    ingest(tmp_path, "landing/2026-01-01/b.ndjson", "landing/2026-01-01/a.ndjson", "landing/2026-01-02/a.ndjson")
    found = source(tmp_path, DAILY).find()
    assert [(file.uri, file.landing_partition) for file in found] == [
        ("landing/2026-01-01/a.ndjson", "2026-01-01"),
        ("landing/2026-01-01/b.ndjson", "2026-01-01"),
        ("landing/2026-01-02/a.ndjson", "2026-01-02"),
    ]


def test_only_folders_of_the_requested_partitions_are_searched(tmp_path: Path) -> None:
    ingest(tmp_path, *(f"landing/2026-01-0{day}/a.ndjson" for day in range(1, 5)))
    asked = source(tmp_path, DAILY).find(iter(["2026-01-04", "2026-01-02", "2026-01-09"]))
    assert uris(asked) == ["landing/2026-01-02/a.ndjson", "landing/2026-01-04/a.ndjson"]


def test_a_path_with_two_dates_belongs_to_one_partition(tmp_path: Path) -> None:
    ingest(tmp_path, "in/2026-01-01-2026-01-02.csv")
    landing = source(tmp_path, "in/*{partition}*")
    (file,) = landing.find()
    asked = [landing.find([key]) for key in ("2026-01-01", "2026-01-02")]
    assert sorted(asked, key=len) == [[], [file]]


@pytest.mark.parametrize(
    ("cadence", "folder"),
    [
        pytest.param("daily", "2025-12-31", id="before the stream's start"),
        pytest.param("daily", "2026-02-01", id="after its end"),
        pytest.param("daily", "2026-1-5", id="not as the format writes it"),
        pytest.param("daily", "2026-02-30", id="no day of any calendar"),
        pytest.param("daily", "9999-12-31", id="the last day of the calendar"),
        pytest.param("daily", "latest", id="no date"),
        pytest.param("weekly", "2026-01-07", id="a day on which no week begins"),
        pytest.param("monthly", "2026-01-02", id="a day on which no month begins"),
    ],
)
def test_a_path_that_names_no_partition_is_skipped(tmp_path: Path, cadence: str, folder: str) -> None:
    ingest(tmp_path, f"landing/{folder}/a.ndjson", f"landing/{folder}/b.ndjson.tmp", f"landing/{folder}/c.csv")
    found = source(tmp_path, DAILY, cadence, end="2026-02-01").search()
    assert found.slices == []
    reported = [] if folder == "latest" else [f"landing/{folder}/a.ndjson"]
    assert [skip.place for skip in found.skipped] == reported


@pytest.mark.parametrize(
    ("cadence", "template", "key", "path"),
    [
        ("daily", "in/{partition}/*.csv", "2026-03-04", "in/2026-03-04/a.csv"),
        ("daily", "in/{partition:%Y/%m/%d}/*.csv", "2026-03-04", "in/2026/03/04/a.csv"),
        (
            "daily",
            "in/y={partition:%Y}/m={partition:%m}/d={partition:%d}/*",
            "2026-03-04",
            "in/y=2026/m=03/d=04/a",
        ),
        ("daily", "in/events-{partition:%Y%m%d}-*.gz", "2026-03-04", "in/events-20260304-7.gz"),
        ("daily", "in/**/{partition:%Y-%j}/[ab]?.csv", "2026-03-04", "in/x/y/2026-063/a1.csv"),
        ("daily", "in/**/{partition}/*.csv", "2026-03-04", "in/2026-03-04/a.csv"),
        ("daily", "in/{partition:%d%b%Y 100%%}.csv", "2026-03-04", "in/04Mar2026 100%.csv"),
        ("hourly", "in/{partition:%Y-%m-%d}/{partition:%H}.csv", "2026-03-04T05", "in/2026-03-04/05.csv"),
        ("hourly", "./in//{partition}.csv", "2026-03-04T05", "in/2026-03-04T05.csv"),
        ("weekly", "in/{partition:%G-W%V}/*", "2026-03-02", "in/2026-W10/a"),
        ("monthly", "in/{partition:%Y-%m}/*", "2026-03-01", "in/2026-03/a"),
    ],
)
def test_a_template_parses_and_formats_paths(tmp_path: Path, cadence: str, template: str, key: str, path: str) -> None:
    ingest(tmp_path, path)
    landing = source(tmp_path, template, cadence)
    assert [(file.uri, file.landing_partition) for file in landing.find()] == [(path, key)]
    assert landing.find([key]) == landing.find()


@pytest.mark.parametrize("files", ["in/{partition:%Y-%m}/*", "in/{partition:%d}/*", "in/{partition:%c}/*"])
def test_a_template_that_does_not_determine_one_partition_is_refused(tmp_path: Path, files: str) -> None:
    with pytest.raises(TemplateError, match=r"%c can't|does not distinguish daily partitions"):
        source(tmp_path, files)


def test_a_file_of_a_flat_folder_has_no_partition_and_is_always_found(tmp_path: Path) -> None:
    ingest(tmp_path, "landing/a.ndjson", "landing/deep/b.ndjson")
    flat = source(tmp_path, "landing/*.ndjson")
    assert [(file.uri, file.landing_partition) for file in flat.find([])] == [("landing/a.ndjson", None)]
    assert uris(source(tmp_path, "landing/**/*.ndjson").find()) == [
        "landing/a.ndjson",
        "landing/deep/b.ndjson",
    ]


def test_unfinished_uploads_and_what_is_not_a_file_are_ignored(tmp_path: Path) -> None:
    ingest(tmp_path, "landing/a.csv", *(f"landing/{name}" for name in (".b", "c.tmp", "d.csv.PART", "e.csv~")))
    ingest(tmp_path, "landing/.hidden/f.csv", "landing/folder.csv/g.csv")
    (tmp_path / "landing/broken.csv").symlink_to(tmp_path / "nowhere")
    (tmp_path / "landing/link.csv").symlink_to(tmp_path / "landing/.b")
    found = source(tmp_path, "landing/**/*").find()
    assert uris(found) == ["landing/a.csv", "landing/folder.csv/g.csv", "landing/link.csv"]


def test_a_uri_is_relative_to_the_stream_then_to_the_home_then_absolute(tmp_path: Path) -> None:
    ingest(tmp_path, "streams/in/a", "data/in/a", "in/a")
    folders: dict[str, Any] = {"path": tmp_path / "streams/web.yaml", "home": tmp_path / "data"}
    for files, uri, place in [
        ("in/*", "in/a", "streams/in/a"),
        ("${SESSIONS_HOME}/in/*", "${SESSIONS_HOME}/in/a", "data/in/a"),
        ("../data/in/*", "${SESSIONS_HOME}/in/a", "data/in/a"),
        ("../in/*", f"{tmp_path}/in/a", "in/a"),
        (f"{tmp_path}/streams/in/*", "in/a", "streams/in/a"),
    ]:
        landing = source(tmp_path, files, **folders)
        assert uris(landing.find()) == [uri]
        assert landing.path_of(uri) == tmp_path / place


def test_folders_may_have_names_that_look_like_wildcards(tmp_path: Path) -> None:
    ingest(tmp_path, "my [x] *?/landing/2026-01-01/a.ndjson")
    assert uris(source(tmp_path / "my [x] *?", DAILY).find()) == ["landing/2026-01-01/a.ndjson"]


def test_a_fingerprint_changes_when_a_file_is_written_or_replaced(tmp_path: Path) -> None:
    ingest(tmp_path, "landing/a", "b")
    landing = source(tmp_path, "landing/*")
    seen = [landing.find()[0].fingerprint]
    (tmp_path / "landing/a").write_bytes(b"[]\n")
    seen.append(landing.find()[0].fingerprint)
    (tmp_path / "b").rename(tmp_path / "landing/a")
    seen.append(landing.find()[0].fingerprint)
    assert len(set(seen)) == 3
    assert landing.find()[0].fingerprint == seen[-1]


# Where a file can be placed


@pytest.mark.parametrize(
    ("files", "name", "partition", "place"),
    [
        (DAILY, "a.ndjson", "2026-01-02", "landing/2026-01-02/a.ndjson"),
        ("${SESSIONS_HOME}/in/*.csv.gz", "a.csv.gz", None, "home/in/a.csv.gz"),
        ("in/events-{partition:%Y%m%d}-*", "events-20260102-a", "2026-01-02", "in/events-20260102-a"),
    ],
)
def test_a_placed_file_is_found(tmp_path: Path, files: str, name: str, partition: str | None, place: str) -> None:
    landing = source(tmp_path, files)
    assert landing.landing_path(name, partition) == tmp_path / place
    ingest(tmp_path, place)
    assert [file.landing_partition for file in landing.find()] == [partition]


@pytest.mark.parametrize(
    ("files", "name", "partition", "said"),
    [
        (DAILY, "a.csv", "2026-01-02", r"name it like \*\.ndjson"),
        (DAILY, ".a.ndjson", "2026-01-02", "would not be found"),
        (DAILY, "b/a.ndjson", "2026-01-02", "would not be found"),
        ("in/*", "a.tmp", None, "would not be found"),
        (
            "in/events-{partition}-*",
            "events-2026-01-03-a",
            "2026-01-02",
            r"name it like events-2026-01-02-\*",
        ),
        ("in/{partition:%Y-%m-%-d}*", "2026-01-12", "2026-01-01", "does not state 2026-01-01"),
        ("in/*/{partition}/*", "a", "2026-01-02", "leaves open in which folder"),
        (DAILY, "a.ndjson", None, "needs a landing partition"),
    ],
)
def test_a_file_that_would_never_be_found_is_not_placed(
    tmp_path: Path, files: str, name: str, partition: str | None, said: str
) -> None:
    with pytest.raises(SourceError, match=said):
        source(tmp_path, files).landing_path(name, partition)
