"""What is read while the stream's lock is held, where sessions are cut by person."""

from collections.abc import Callable, Iterable
from typing import Any

import psycopg
import pytest

from sessions_platform.engines import accepted_events
from sessions_platform.engines.accepted_events import KnownPairs
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.publish import publish
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.ledger.stream_ledger import StreamLedger
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, put, refresh, stale, validated
from sessions_platform_tests.pipeline.test_by_person import DAY, DAYS, KEYS, Open, Row, lines, recomputed, sessions


class UnderLock:
    """Notes which lake files are read, and of which pairs are found, while the lock of any stream is held."""

    def __init__(self, patch: pytest.MonkeyPatch, before_lock: Callable[[], None] = lambda: None) -> None:
        self.files: list[str] = []
        self.pairs: list[str] = []
        self._held: list[psycopg.Connection] = []
        self._before = [before_lock]
        lock, pairs_in = StreamLedger.lock, accepted_events.pairs_in

        def locked(ledger: StreamLedger, connection: psycopg.Connection) -> None:
            if self._before:
                self._before.pop()()
                self.files.clear()
            lock(ledger, connection)
            self._held.append(connection)

        def noted_pairs(lake: Lake, stream: Any, paths: list[str]) -> Any:
            self._note(self.pairs, paths)
            return pairs_in(lake, stream, paths)

        patch.setattr(StreamLedger, "lock", locked)
        patch.setattr(accepted_events, "pairs_in", noted_pairs)
        for name in ("scan", "blocks"):
            self._patch(patch, name, getattr(Lake, name))

    def _patch(self, patch: pytest.MonkeyPatch, name: str, read: Callable[..., Any]) -> None:
        def noted(lake: Lake, paths: Iterable[str], *arguments: Any) -> Any:
            known = list(paths)
            self._note(self.files, [path for path in known if "/events/" in path])
            return read(lake, known, *arguments)

        patch.setattr(Lake, name, noted)

    def _note(self, read: list[str], paths: Iterable[str]) -> None:
        if any(not connection.closed for connection in self._held):
            read.extend(paths)


@pytest.mark.slow
def test_a_publication_reads_events_before_it_holds_the_lock_and_again_if_another_one_was_faster(
    open_context: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, list[Row]] = {
        DAYS[0]: [("phone", None, 0), ("pc", "ann", 5)],
        DAYS[1]: [("phone", "ann", DAY)],
        DAYS[2]: [("phone", None, 2 * DAY)],
    }
    context = open_context(**KEYS)
    for day, rows in files.items():
        put(context, day, lines(*rows), day)
    ingest_and_publish(context, DAYS[0])
    refresh(context)
    ingest(context, [DAYS[1]], RUN)
    draft = validated(context, DAYS[1])

    def faster() -> None:
        ingest_and_publish(context, DAYS[2])
        refresh(context)

    read = UnderLock(monkeypatch, faster)
    publish(context, draft, RUN)
    assert read.files == []
    assert stale(context) == list(DAYS)
    refresh(context)
    assert read.pairs == []
    assert sessions(context) == recomputed(files)


def test_pairs_of_a_file_are_read_once_unless_one_is_replaced(
    context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[str]] = []
    pairs_in = accepted_events.pairs_in

    def noted(lake: Lake, stream: Any, paths: list[str]) -> Any:
        read.append(paths)
        return pairs_in(lake, stream, paths)

    monkeypatch.setattr(accepted_events, "pairs_in", noted)
    known = KnownPairs(context.lake, context.stream)
    for paths in (["a", "b"], ["b", "a"], ["a", "b", "c"], ["b", "c"]):
        known.of(paths)
    assert read == [["a", "b"], ["c"], ["b", "c"]]
