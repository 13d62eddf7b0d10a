"""What is left of users once the current state is without them: which files are removed, and which stay."""

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo

import pytest

from sessions_platform.operations import clean_up, erase_leftovers
from sessions_platform.operations.erase_leftovers import partitions_holding, remove_superseded_files
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.transforms.erasure import UserPattern
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import put, run_pending
from sessions_platform_tests.streams import DAY_ONE, PLAIN


def test_a_host_whose_clock_is_ahead_removes_no_draft_that_is_being_written(
    context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.prepare()

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(days=400)

    for module in (clean_up, erase_leftovers):
        monkeypatch.setattr(module, "datetime", Ahead, raising=False)
    with context.lake.filesystem.draft(context.folder("events", "2026-01-01")) as draft:
        draft.write_bytes(b"not finished")
        removed = remove_superseded_files(context, UserPattern(["ann"], context.stream))
        assert (removed.unfinished, removed.being_written) == (0, 1)
        assert draft.exists()


@pytest.mark.slow
def test_a_streams_own_column_of_the_name_own_user_id_names_no_user(
    open_context: Callable[..., StreamContext],
) -> None:
    context = open_context(columns={**PLAIN["columns"], "own_user_id": {"nullable": True}})
    put(context, "a", [line("bob", DAY_ONE, "b", own_user_id="ann")], "2026-01-01")
    run_pending(context)
    assert partitions_holding(context, UserPattern(["ann"], context.stream)) == ([], 1)
    assert partitions_holding(context, UserPattern(["bob"], context.stream)) == (["2026-01-01"], 1)
