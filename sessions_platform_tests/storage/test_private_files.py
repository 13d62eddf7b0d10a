"""Folders and files that the platform makes are for their owner alone, whatever the umask."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from sessions_platform.demo.events import land_week
from sessions_platform.operations.landing_files import place_files
from sessions_platform.orchestration.dagster_home import dagster_home
from sessions_platform.settings import PASSABLE_FOLDER, Settings, make_home, make_private_folder
from sessions_platform.storage.lake.spill import Spill
from sessions_platform_tests.ingested import ingest_and_publish, open_folder
from sessions_platform_tests.lakes import folder_of, local_lake
from sessions_platform_tests.streams import PLAIN

DAY = "2026-01-01"
HOME_MODE = PASSABLE_FOLDER if os.geteuid() == 0 else 0o700


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)  # noqa: TID251  the test has one thread
    yield request.param
    os.umask(before)  # noqa: TID251


def modes(folder: Path) -> set[tuple[bool, int]]:
    """Of everything in a folder, and of the folder: whether it is a folder, and its permissions."""
    return {(path.is_dir(), stat.S_IMODE(path.stat().st_mode)) for path in [folder, *folder.rglob("*")]}


PRIVATE = {(True, 0o700), (False, 0o600)}


@pytest.mark.usefixtures("umask")
def test_what_the_platform_makes_is_for_its_owner_alone(tmp_path: Path) -> None:
    lake = local_lake(tmp_path / "lake")
    lake.write(f"web/events/{DAY}", [pl.DataFrame({"a": [1]})], {"a": pl.Int64()})
    lake.quarantine("web/quarantined_files", [b"bytes"])
    assert modes(folder_of(lake)) == PRIVATE

    scratch = tmp_path / "deep" / "scratch"
    spill = Spill(scratch, {"a": pl.Int64()}, 1)
    spill.add(pl.DataFrame({"a": [1, 2]}))
    assert not spill.is_in_memory
    assert modes(tmp_path / "deep") == {(True, 0o700)}

    home = tmp_path / "home"
    assert dagster_home(Settings(home, home / "lake", ()), {}).is_dir()
    assert stat.S_IMODE(home.stat().st_mode) == HOME_MODE
    assert stat.S_IMODE((home / "dagster").stat().st_mode) == 0o700

    land_week(tmp_path / "week", 500)
    assert modes(tmp_path / "week") == PRIVATE


def test_landing_copies_and_the_whole_lake_of_a_stream_are_private(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / "a.ndjson").write_bytes(
        b'{"id": "1", "user": "ann", "ts": "2026-01-01T10:00:00Z", "type": "view"}\nno\n'
    )
    source = {**PLAIN["source"], "files": "{partition:%Y-%m-%d}/*.ndjson"}
    context = open_folder(tmp_path / "landing", settings, source=source)
    (placed,) = place_files(context, [tmp_path / "a.ndjson"], DAY)
    assert modes(placed.parent) == PRIVATE
    ingest_and_publish(context)
    assert modes(folder_of(context.lake) / context.stream.name) == PRIVATE


def test_existing_folders_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    make_private_folder(tmp_path / "open" / "a" / "b")
    make_private_folder(tmp_path / "open")
    make_home(tmp_path / "open")
    assert stat.S_IMODE((tmp_path / "open").stat().st_mode) == 0o755
    assert modes(tmp_path / "open" / "a") == {(True, 0o700)}
