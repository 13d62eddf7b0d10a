"""A stream with very many landing files: what `status` does does not grow with them, but for one look at each."""

import os
import tracemalloc
from pathlib import Path

import pytest

from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform_tests.ingested import open_folder
from sessions_platform_tests.pipeline.test_raw_files import counted

FEW, MANY = 200, 20_000
DAYS = [f"2026-01-{day:02}" for day in range(1, 11)]
_INSERT = """
insert into sessions_platform.landing_files
    (stream, uri, landing_partition, fingerprint, digest, path, rows, bytes, sequence, run_id, read_at)
select %s, uri, partition, fingerprint, md5(uri) || md5(uri), 'raw/' || partition, 1, 1, 1, 'a-run', now()
from unnest(%s::text[], %s::text[], %s::text[]) as f (uri, partition, fingerprint)"""


def landed(folder: Path, settings: Settings, count: int) -> StreamContext:
    """A stream of so many landing files over ten days, all of them recorded as read."""
    folder.mkdir()
    (folder / "content").write_bytes(b"{}\n")
    for day in DAYS:
        (folder / day).mkdir()
    for number in range(count):
        os.link(folder / "content", folder / DAYS[number % len(DAYS)] / f"{number:06}.ndjson")
    context = open_folder(folder, settings)
    context.prepare()
    slices = context.source.find()
    columns = ([s.uri for s in slices], [s.landing_partition for s in slices], [s.fingerprint for s in slices])
    with context.database.transaction() as connection:
        connection.execute(_INSERT, [context.stream.name, *columns])
    return context


@pytest.mark.slow
def test_status_of_many_files_takes_no_more_statements_and_little_memory_for_each(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    few, many = landed(tmp_path / "few", settings, FEW), landed(tmp_path / "many", settings, MANY)
    status(few)
    with monkeypatch.context() as patched:
        calls = counted(patched, few)
        status(few)
        of_few = len(calls)
        status(many)
        assert len(calls) == 2 * of_few
    looked_at: list[str] = []
    lstat = os.lstat
    with monkeypatch.context() as patched:
        patched.setattr(os, "lstat", lambda path: looked_at.append(str(path)) or lstat(path))
        tracemalloc.start()
        document = status(many)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert document["pending"]["landing"] == DAYS  # read, and published by none
    of_files = [path for path in looked_at if path.endswith(".ndjson")]
    assert len(of_files) == len(set(of_files)) == MANY
    assert peak < MANY * 2500
