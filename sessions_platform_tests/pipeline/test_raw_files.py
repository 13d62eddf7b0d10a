"""Many small landing files share a raw file: each keeps its rows, digest and partition, whatever is read again."""

import itertools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.pipeline import raw_files
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.storage.ledger.ledger import Ledger, StaleWriteError
from sessions_platform_tests.ingested import DAY, ingest_and_publish, open_folder
from sessions_platform_tests.lakes import folder_of
from sessions_platform_tests.pipeline.test_ingest import lines, put


def names(count: int) -> list[str]:
    return [f"{number:03}" for number in range(count)]


def assert_consistent(context: StreamContext) -> None:
    """Each raw file has the rows of just those landing files that name it, and no row is in two of them."""
    files = [file for file in context.ledger.files() if file.path is not None]
    for path in {str(file.path) for file in files}:
        rows = context.lake.scan([path], RAW_EVENTS).group_by("source_uri").len().collect()
        recorded = {file.uri: file.rows for file in files if file.path == path and file.rows}
        assert dict(rows.iter_rows()) == recorded
        assert {context.lake.size(path)} == {file.bytes for file in files if file.path == path}


def paths(context: StreamContext) -> set[str | None]:
    return {file.path for file in context.ledger.files()}


@pytest.fixture
def small(tmp_path: Path, settings: Settings) -> StreamContext:
    """Forty files of one line, and an empty one, ingested."""
    for name in names(40):
        put(tmp_path, name, lines(int(name)))
    put(tmp_path, "empty", b"")
    context = open_folder(tmp_path, settings)
    ingest(context, [DAY], "a-run")
    return context


def test_small_files_share_a_raw_file(small: StreamContext) -> None:
    assert len(paths(small)) == 1
    assert_consistent(small)
    taken = ingest_and_publish(small)
    assert taken.raw.height == taken.events.height == 40
    assert taken.events.select("source_uri", "position").sort("source_uri").rows()[:2] == [
        (f"{DAY}/000", 1),
        (f"{DAY}/001", 1),
    ]


def test_a_file_that_grows_leaves_the_raw_file_and_the_others_keep_their_rows(
    small: StreamContext, tmp_path: Path
) -> None:
    ingest_and_publish(small)
    before = {file.uri: file for file in small.ledger.files()}
    for name in ("003", "017"):
        put(tmp_path, name, lines(int(name), 100 + int(name)))
    assert ingest(small, [DAY], "again")[DAY].read == 2
    assert_consistent(small)
    assert len(paths(small)) == 2
    after = {file.uri: file for file in small.ledger.files()}
    read_again = {f"{DAY}/003", f"{DAY}/017"}
    assert {uri for uri in after if after[uri].sequence != before[uri].sequence} == read_again
    assert all(after[uri].digest == before[uri].digest for uri in after.keys() - read_again)
    taken = ingest_and_publish(small)
    assert sorted(taken.events["event_id"]) == [*names(40), "103", "117"]


def test_a_file_that_was_only_touched_is_not_written_again(small: StreamContext, tmp_path: Path) -> None:
    before = paths(small)
    for name in names(40):
        os.utime(tmp_path / DAY / name, ns=(1, 1))
    assert ingest(small, [DAY], "again")[DAY].read == 0
    assert paths(small) == before
    found = {slice_.uri: slice_.fingerprint for slice_ in small.source.find()}
    assert {file.uri: file.fingerprint for file in small.ledger.files()} == found


def test_large_and_small_files_are_recorded_in_their_order(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_files, "_SMALL_BYTES", 1000)
    monkeypatch.setattr(raw_files, "_SHARED_SLICES", 3)
    for name in names(9):
        put(tmp_path, name, lines(*range(1000 * int(name), 1000 * int(name) + (50 if name == "004" else 1))))
    context = open_folder(tmp_path, settings)
    assert ingest(context, [DAY], "a-run")[DAY].read == 9
    assert_consistent(context)
    files = context.ledger.files()
    together = [list(group) for _, group in itertools.groupby(files, lambda file: file.path)]
    assert [[file.uri[-1] for file in group] for group in together] == [list("012"), ["3"], ["4"], list("567"), ["8"]]
    assert [file.rows for file in files] == [1, 1, 1, 1, 50, 1, 1, 1, 1]


def test_the_files_before_one_that_fails_are_recorded(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in names(4):
        put(tmp_path, name, lines(int(name)))
    context = open_folder(tmp_path, settings)
    opened = context.source.read

    def failing(slice_: Any, quarantine: Any) -> Any:
        if slice_.uri.endswith("002"):
            raise PermissionError(13, "Permission denied")
        return opened(slice_, quarantine)

    monkeypatch.setattr(context.source, "read", failing)
    with pytest.raises(PermissionError):
        ingest(context, [DAY], "a-run")
    assert [file.path is not None for file in context.ledger.files()] == [True, True, False, False]
    assert_consistent(context)


def test_two_runs_that_read_the_same_files_end_in_the_state_of_one(
    small: StreamContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have read different changes of files of one raw file before either records any of them."""
    both = threading.Barrier(2, timeout=60)
    record = Ledger.record_batch
    met: set[int] = set()

    def together(ledger: Ledger, batch: Any, run_id: str) -> None:
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            both.wait()
        record(ledger, batch, run_id)

    monkeypatch.setattr(Ledger, "record_batch", together)
    put(tmp_path, "003", lines(3, 103))
    first = threading.Thread(target=ingest, args=(small, [DAY], "first"))
    first.start()
    put(tmp_path, "017", lines(17, 117))
    ingest(small, [DAY], "second")
    first.join(60)
    assert_consistent(small)
    monkeypatch.undo()
    taken = ingest_and_publish(small)
    assert set(names(40)) | {"103", "117"} == set(taken.events["event_id"])


def test_a_batch_of_files_that_another_run_has_read_is_refused_and_leaves_no_file(
    small: StreamContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overtaken(*_: object) -> None:
        raise StaleWriteError("read by another run")

    monkeypatch.setattr(Ledger, "record_batch", overtaken)
    put(tmp_path, "003", lines(3, 103))
    before = set(folder_of(small.lake).rglob("*.parquet"))
    with pytest.raises(StaleWriteError):
        ingest(small, [DAY], "a-run")
    assert set(folder_of(small.lake).rglob("*.parquet")) == before


def test_ten_times_the_files_take_the_same_transactions(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recorded(count: int) -> int:
        folder = tmp_path / str(count)
        folder.mkdir()
        for name in names(count):
            put(folder, name, lines(int(name)))
        context = open_folder(folder, settings)
        calls = counted(monkeypatch, context)
        ingest(context, [DAY], "a-run")
        return len(calls)

    assert recorded(30) == recorded(300)


def counted(monkeypatch: pytest.MonkeyPatch, context: StreamContext) -> list[str]:
    """The waits for the disk and the transactions from here on."""
    calls: list[str] = []
    fsync, transaction = os.fsync, type(context.database).transaction

    def watched(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **more: Any) -> Any:
            calls.append(name)
            return call(*args, **more)

        return counting

    monkeypatch.setattr(os, "fsync", watched("fsync", fsync))
    monkeypatch.setattr(type(context.database), "transaction", watched("transaction", transaction))
    return calls


def test_rows_of_one_landing_file_are_found_among_those_of_others(small: StreamContext) -> None:
    (path,) = paths(small)
    assert path is not None
    rows = pl.concat(raw_files.rows_of(small.lake, path, [f"{DAY}/007", f"{DAY}/empty"]))
    assert rows["source_uri"].to_list() == [f"{DAY}/007"]
