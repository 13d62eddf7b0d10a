"""Files that another tool's preset has refused are read again once the stream names the right one."""

import itertools
import shutil
from collections import defaultdict
from pathlib import Path

import polars as pl

from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform_tests.ingested import DAY
from sessions_platform_tests.presets.samples import file_of

_numbers = itertools.count()
_names: defaultdict[Path, int] = defaultdict(lambda: next(_numbers))


def opened(folder: Path, settings: Settings, preset: str) -> StreamContext:
    path = folder / "corrected.yaml"
    files = "{partition:%Y-%m-%d}/*.ndjson"
    path.write_text(
        f"name: corrected_{_names[folder]}\nstart: 2026-01-01\nsource: {{preset: {preset}, files: '{files}'}}\n"
    )
    return StreamContext.open(load_stream(path, folder), settings)


def raw_rows(context: StreamContext) -> pl.DataFrame:
    ingest(context, [DAY], "a-run")
    return context.raw_events([DAY]).scan().collect()


def test_what_was_refused_is_read_again_and_what_was_read_is_refused(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / DAY).mkdir()
    shutil.copy(file_of("segment_http"), tmp_path / DAY)
    refused = raw_rows(opened(tmp_path, settings, "rudderstack_http"))
    assert refused["corrupt_reason"].to_list()[0].startswith("is no file of RudderStack")
    read = raw_rows(opened(tmp_path, settings, "segment_http"))
    assert read.height == 24
    assert read["corrupt_reason"].null_count() == 24
    again = raw_rows(opened(tmp_path, settings, "posthog_batch"))
    assert again["corrupt_reason"].to_list()[0].startswith("is no file of PostHog")
    assert again.height == 1


def test_a_file_that_stays_the_same_is_not_read_again(tmp_path: Path, settings: Settings) -> None:
    (tmp_path / DAY).mkdir()
    shutil.copy(file_of("segment_http"), tmp_path / DAY)
    (before,) = ingest(opened(tmp_path, settings, "segment_http"), [DAY], "a-run").values()
    context = opened(tmp_path, settings, "segment_http")
    (after,) = ingest(context, [DAY], "another").values()
    assert (before.rows, after.rows, after.read) == (24, 24, 0)
