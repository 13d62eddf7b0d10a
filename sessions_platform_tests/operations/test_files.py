"""The current files of an asset have each row once, however outside readers read them; failed runs leave none."""

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.dataset
import pytest

from sessions_platform.errors import UserError
from sessions_platform.operations.files import ASSETS, current_files
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.pipeline import run as pipeline_run
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.quality import CheckFailedError
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform_tests.contexts import line
from sessions_platform_tests.lakes import folder_of
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, put, run_pending
from sessions_platform_tests.streams import DAY_ONE

pytestmark = pytest.mark.slow

DAY = "2026-01-01"


def land(context: StreamContext, events: int) -> None:
    put(context, "file", [*(line("ann", DAY_ONE, f"e{n}") for n in range(events)), b"{broken", b"{broken"], DAY)
    run_pending(context)


@pytest.fixture
def superseded(context: StreamContext) -> StreamContext:
    """A landing file of ten events, which had nine before."""
    land(context, 9)
    land(context, 10)
    return context


def paths(context: StreamContext, asset: str = "events") -> list[str]:
    return [file.path for file in current_files(context, asset)]


def stored(context: StreamContext) -> list[str]:
    """Whatever lies in the folders of what runs publish."""
    root = folder_of(context.lake) / context.stream.name
    return sorted(str(path) for path in root.rglob("*.parquet") if "raw_events" not in path.parts)


def test_current_files_have_each_row_once_and_folders_do_not(superseded: StreamContext) -> None:
    folder = folder_of(superseded.lake) / superseded.stream.name / "events"
    assert pl.scan_parquet(folder).collect().height == 19
    listed = paths(superseded)
    assert pl.scan_parquet(listed).collect().height == 10
    assert len(duckdb.read_parquet(listed, union_by_name=True).fetchall()) == 10
    assert pyarrow.dataset.dataset(listed).count_rows() == 10
    assert [(file.partition, file.rows) for file in current_files(superseded, "events")] == [(DAY, 10)]


@pytest.mark.slow
def test_each_file_is_listed_with_its_rows_bytes_and_checksum(superseded: StreamContext) -> None:
    for asset in ASSETS:
        (file,) = current_files(superseded, asset)
        assert file.rows == pl.read_parquet(file.path).height
        assert file.bytes == Path(file.path).stat().st_size
        assert file.checksum
        assert file.checksum in file.path


@pytest.mark.slow
def test_sessionized_events_that_are_not_loaded_are_not_listed(superseded: StreamContext) -> None:
    before = paths(superseded, "sessionized_events")
    put(superseded, "file", [line("ann", DAY_ONE, "other")], DAY)
    ingest_and_publish(superseded, DAY)
    sessionize_partitions(superseded, [DAY], RUN)
    assert paths(superseded, "sessionized_events") == before
    assert len(superseded.ledger.paths_in_use()) == len(before) + 4


def test_an_asset_that_is_not_in_the_lake_is_refused(context: StreamContext) -> None:
    with pytest.raises(UserError, match="'sessions' is no asset of the lake"):
        current_files(context, "sessions")


def test_a_run_that_fails_a_check_removes_what_it_wrote(
    superseded: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored(superseded)

    def fails(*_: object) -> None:
        raise CheckFailedError([])

    monkeypatch.setattr(pipeline_run, "stop_if_failed", fails)
    with pytest.raises(CheckFailedError):
        land(superseded, 11)
    assert stored(superseded) == before
    monkeypatch.undo()
    run_pending(superseded)
    assert [file.rows for file in current_files(superseded, "events")] == [11]


@pytest.mark.slow
def test_a_run_that_fails_after_a_publication_keeps_what_is_published(
    superseded: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(pipeline_run, "load_sessions", fails)
    with pytest.raises(OSError, match="no space"):
        land(superseded, 11)
    assert [file.rows for file in current_files(superseded, "events")] == [11]
    assert len(superseded.ledger.newest_sessions()) == 1
    monkeypatch.undo()
    run_pending(superseded)
    assert [file.rows for file in current_files(superseded, "sessionized_events")] == [11]


@pytest.mark.slow
def test_a_rebuild_that_fails_removes_its_shadow_and_what_it_wrote(
    superseded: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sessions_platform.operations import rebuild as module

    before = stored(superseded)

    def fails(*_: object) -> None:
        raise CheckFailedError([])

    monkeypatch.setattr(module, "check_sessionized", fails)
    with pytest.raises(CheckFailedError):
        rebuild(superseded, RUN, lambda _: None)
    assert stored(superseded) == before
    assert superseded.ledger.shadow.files() == []


EXAMPLES = Path(__file__).parents[2] / "docs" / "reading-the-lake.md"


@pytest.mark.slow
def test_the_lines_of_the_page_read_each_row_once(superseded: StreamContext, tmp_path: Path) -> None:
    """Its Python lines, with the libraries that are there; pandas and Spark were tried by hand."""
    listed = [file.document for file in current_files(superseded, "events")]
    (tmp_path / "events.json").write_text(json.dumps(listed))
    blocks = EXAMPLES.read_text().split("```python\n")[1:]
    (block,) = (block.split("```")[0] for block in blocks if "scan_parquet" in block)
    wanted = [text for text in block.splitlines() if not any(name in text for name in ("pandas", "pd.", "spark"))]
    program = "\n".join(wanted) + "\nprint(events.collect().height, len(table.fetchall()))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["10", "10"]
