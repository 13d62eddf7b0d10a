"""A pipeline whose lake is in an object store: the same sessions, and nothing is published of what was removed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.contracts.object_store import Objects
from sessions_platform.operations.clean_up import clean_up
from sessions_platform.operations.erase import may_remain
from sessions_platform.operations.files import current_files
from sessions_platform.operations.verify import verify
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.publish import publish
from sessions_platform.storage.lake.errors import MissingFileError
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.lake.object_store import ObjectFilesystem
from sessions_platform.storage.ledger.ledger import StaleWriteError
from sessions_platform_tests.contexts import line
from sessions_platform_tests.lakes import Counting, lakes_in_memory, local_lake, object_filesystem
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, put, run_pending, table, validated
from sessions_platform_tests.streams import DAY_ONE

__all__ = ["lakes_in_memory"]
DAY = "2026-01-01"
LINES = [*(line(f"u{n % 7}", DAY_ONE + timedelta(minutes=5 * n), f"e{n}") for n in range(100)), b"{broken"]


@pytest.mark.slow
def test_sessions_are_those_of_a_lake_in_a_folder(
    open_context: Callable[..., StreamContext], request: pytest.FixtureRequest
) -> None:
    in_folder = open_context()
    request.getfixturevalue("lakes_in_memory")
    in_bucket = open_context()
    assert isinstance(in_bucket.lake.filesystem, ObjectFilesystem)
    for context in (in_folder, in_bucket):
        put(context, "a", LINES[:60], DAY)
        run_pending(context)
        put(context, "b", LINES[40:], DAY)
        run_pending(context)
    unlike = ("loaded_at", "session_rule_version")
    one, other = (
        [{k: v for k, v in row.items() if k not in unlike} for row in table(c)] for c in (in_folder, in_bucket)
    )
    assert one == other
    assert sum(row["event_count"] for row in one) == 100


def test_a_quick_verification_fetches_no_object(
    open_context: Callable[..., StreamContext],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    bucket = request.getfixturevalue("lakes_in_memory")
    context = open_context()
    put(context, "a", LINES, DAY)
    run_pending(context)
    filesystem = ObjectFilesystem(Objects("s3", "bucket", "lake"), tmp_path, lambda _: bucket)
    another_process = replace(context, lake=Lake(filesystem, tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(ObjectFilesystem, "_fetched", None)
        found = verify(another_process, RUN)
    assert (found.files, found.problems) == (4, [])
    assert verify(another_process, RUN, deep=True).problems == []


def test_files_and_clean_up_ask_for_no_object_by_itself(
    open_context: Callable[..., StreamContext], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    counting: Any = Counting(request.getfixturevalue("lakes_in_memory"))
    context = open_context()
    put(context, "a", LINES, DAY)
    run_pending(context)
    left = context.lake.write(context.folder("events", DAY), [], context.event_columns)  # by a run that was killed
    filesystem = ObjectFilesystem(Objects("s3", "bucket", "lake"), tmp_path, lambda _: counting)
    another_process = replace(context, lake=Lake(filesystem, tmp_path))
    (events,) = current_files(another_process, "events")
    assert (events.rows, events.bytes) == (100, context.lake.size(events.path.removeprefix("s3://bucket/lake/")))
    removed = clean_up(another_process, now=datetime.now(UTC) + timedelta(days=365))
    assert (removed.files, removed.bytes) == (1, left.bytes)
    assert Counter(counting.asked) == {"list": 2, "delete": 1}
    assert not context.lake.exists(left.path)
    context.lake.remove(events.path.removeprefix("s3://bucket/lake/"))
    with pytest.raises(MissingFileError):
        current_files(another_process, "events")


def test_the_receipt_of_an_erasure_names_what_only_an_object_store_keeps(tmp_path: Path) -> None:
    of_objects = set(may_remain(Lake(object_filesystem(tmp_path), tmp_path))) - set(may_remain(local_lake(tmp_path)))
    assert {sentence.partition(":")[0] for sentence in of_objects} == {
        "The lake's bucket",
        "Drafts of killed processes on other machines",
        "Drafts of killed executors, where the engine spark was used",
    }


def test_events_that_another_process_has_removed_are_not_published_from_a_copy(
    open_context: Callable[..., StreamContext], request: pytest.FixtureRequest
) -> None:
    bucket = request.getfixturevalue("lakes_in_memory")
    context = open_context()
    put(context, "a", LINES, DAY)
    ingest_and_publish(context, DAY)
    put(context, "a", LINES[:50], DAY)
    ingest(context, [DAY], RUN, current=DAY)
    draft = validated(context, DAY)
    bucket.delete(f"lake/{draft.events.path}")
    with pytest.raises(StaleWriteError):
        publish(context, draft, RUN)
    assert context.events([DAY]).rows == 100
