"""The platform and the plain expectation side by side: each step is taken by both, and both are compared.

The platform works on a real lake and a real PostgreSQL. Beside it stands what each landing partition
holds and each session partition should hold, as `expected` has it from the lines alone.
"""

import base64
import itertools
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow
from psycopg.sql import SQL, Identifier

from sessions_platform.contracts.sessions import session_columns
from sessions_platform.errors import UserError
from sessions_platform.operations.audit import audit_sample
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.operations.status import pending_landing_partitions, status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.pipeline.load import load_sessions
from sessions_platform.pipeline.publish import publish
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform.pipeline.validate import ValidatedPartition, validate_partition
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.ledger.ledger import StaleWriteError
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform.transforms.reference_sessionizer import Event
from sessions_platform_tests.exactness import expected
from sessions_platform_tests.exactness.expected import NOTHING, Judgement, Partition, Row
from sessions_platform_tests.exactness.terms import Terms
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.pipeline.steps import interrupted

_names = itertools.count()
_LEDGER = ("landing_files", "landing_versions", "session_versions", "stale_partitions", "repairs")


@dataclass(frozen=True)
class Site:
    """Where the examples of a test session rest, and a connection that only looks."""

    settings: Settings
    eyes: psycopg.Connection[DictRow]


@dataclass(frozen=True)
class Version:
    """What a workspace says a stream is; it stays with the work that was begun under it."""

    terms: Terms
    context: StreamContext


@dataclass(frozen=True)
class Draft:
    """A landing partition, judged and not yet published."""

    version: Version
    landing_partition: str
    validated: ValidatedPartition | None  # None where it is published already
    expected: Judgement
    reading: int  # which reading of its files it has seen


@dataclass(frozen=True)
class Written:
    """A session partition as it was written to the lake."""

    version: Version
    expected: Partition
    snapshot: int  # how many publications it has seen


@dataclass(frozen=True)
class Work:
    """Sessionized partitions, not yet loaded."""

    version: Version
    dataset: Dataset | None  # None where it is loaded already
    written: dict[str, Written]


@dataclass(frozen=True)
class Loaded:
    """A session partition as the warehouse should hold it."""

    written: Written
    rows: dict[str, Row]


@dataclass
class Pair:
    site: Site
    terms: Terms
    name: str = field(default_factory=lambda: f"exact{next(_names)}")
    source: MemorySource = field(default_factory=MemorySource)

    def __post_init__(self) -> None:
        self.held: dict[str, dict[str, list[bytes]]] = {}  # the lines of each landing partition, as last read
        self.readings: dict[str, int] = {}
        self.published: dict[str, Draft] = {}
        self.publications = 0
        self.written: dict[str, Written] = {}
        self.loaded: dict[str, Loaded] = {}
        self._partitions: dict[str, Partition] = {}
        self._rejected_at: dict[str, dict[str, datetime]] = {}
        self._counter = itertools.count(1)
        self.waits: list[str] = []  # as it was when the two were last compared
        self.change(self.terms)

    def close(self) -> None:
        self.site.eyes.execute(SQL("drop schema if exists {} cascade").format(Identifier(self.name)))
        for table in _LEDGER:
            sql = SQL("delete from {} where stream = %s").format(Identifier("sessions_platform", table))
            self.site.eyes.execute(sql, [self.name])
        shutil.rmtree(self.site.settings.lake / self.name, ignore_errors=True)

    # Steps ------------------------------------------------------------------------------------------------

    def change(self, terms: Terms) -> None:
        """State another contract or session rule."""
        self._state(terms)
        self.version.context.prepare()
        self._expect()

    def _state(self, terms: Terms) -> None:
        self.terms = terms
        self.version = Version(terms, self._open(terms))

    def _open(self, terms: Terms) -> StreamContext:
        settings = replace(self.site.settings, bucket_bytes=terms.bucket_bytes)
        return StreamContext.open(terms.stream(self.name), settings, self.source)

    def uri(self, landing_partition: str, name: str) -> str:
        """Of a file that lands there."""
        return f"{landing_partition}/{name}"

    def put(self, uri: str, lines: Sequence[bytes], landing_partition: str) -> None:
        self.source.put(uri, lines, landing_partition)

    def remove(self, uri: str) -> None:
        self.source.remove(uri)

    def ingest(self, *landing_partitions: str) -> None:
        self._expect_landing(landing_partitions)
        ingest(self.version.context, landing_partitions, "a-run")

    def _expect_landing(self, landing_partitions: Sequence[str]) -> None:
        for uri, (partition, lines) in self.source.files.items():
            if partition and partition in landing_partitions:
                held = self.held.setdefault(partition, {})
                if not expected.same_bytes(lines, held.get(uri)):
                    held[uri] = lines
                    self.readings[partition] = next(self._counter)

    def validate(self, landing_partition: str) -> Draft:
        context = self.version.context
        validated = validate_partition(context, landing_partition, context.raw_events([landing_partition]))
        return self._draft(landing_partition, validated)

    def _draft(self, landing_partition: str, validated: ValidatedPartition | None) -> Draft:
        validation = expected.validate(dict(self.held.get(landing_partition, {})), landing_partition, self.terms)
        return Draft(self.version, landing_partition, validated, validation, self.readings.get(landing_partition, 0))

    def publish(self, draft: Draft) -> None:
        standing = self.published.get(draft.landing_partition)
        assert draft.validated
        try:
            publish(draft.version.context, draft.validated, "a-run")
        except StaleWriteError:
            assert standing, "a first publication is never refused"
            assert standing.reading > draft.reading
            return
        assert standing is None or standing.reading <= draft.reading, "an overtaken writer is refused"
        self._expect_published(draft)

    def _expect_published(self, *drafts: Draft) -> None:
        self.published.update({draft.landing_partition: draft for draft in drafts})
        self.publications += 1
        self._expect()
        for draft in drafts:
            self._compare_rejected(draft)

    def take_in(self, *landing_partitions: str) -> None:
        """Landing files to published events."""
        self.ingest(*landing_partitions)
        for partition in landing_partitions:
            self.publish(self.validate(partition))

    def sessionize(self, *session_partitions: str) -> Work:
        context = self.version.context
        versions = sessionize_partitions(context, session_partitions, "a-run")
        dataset = context.sessionized_events(session_partitions)
        work = replace(self.expected_work(session_partitions), dataset=dataset)
        for partition, written in work.written.items():
            should = written.expected
            events = dataset.scan(partition).collect().to_dicts()
            assert sorted(events, key=_identity) == sorted(expected.sessionized_rows(partition, should), key=_identity)
            told = versions[partition]
            assert (told.duplicates_across, told.conflicts_across) == (should.duplicates, should.conflicts)
        self.written.update(work.written)
        return work

    def expected_work(self, session_partitions: Sequence[str]) -> Work:
        """These partitions as they should be by all that is published."""
        should = {p: self._partitions.get(p, NOTHING) for p in session_partitions}
        written = {p: Written(self.version, partition, self.publications) for p, partition in should.items()}
        return Work(self.version, None, written)

    def load(self, work: Work) -> None:
        before = self.table()
        run, loaded = self._load(work)
        overtaken = {p for p, w in work.written.items() if self._loaded_snapshot(p) > w.snapshot}
        assert loaded == set(work.written) - overtaken
        replaced = {p: held for p, held in self.loaded.items() if p in loaded}
        done = replace(work, written={p: work.written[p] for p in loaded})
        self._expect_loaded(run, done, replaced, before)

    def _load(self, work: Work) -> tuple[str, set[str]]:
        run = f"load-{next(self._counter)}"
        assert work.dataset
        return run, set(load_sessions(work.version.context, work.dataset, run).sessions)

    def _expect_loaded(self, run: str, work: Work, replaced: dict[str, Loaded], before: dict[str, Row]) -> None:
        old = [session for held in replaced.values() for session in held.written.expected.sessions]
        events = {reference.session_id(session): session for session in old}
        for partition in work.written:
            rows = expected.session_rows(partition, work.written[partition].expected, work.version.terms)
            policy = {"session_rule_version": work.version.context.stream.session_rule_version}
            rows = {session_id: {**row, **policy} for session_id, row in rows.items()}
            self.loaded[partition] = Loaded(work.written[partition], rows)
        after = self.table()
        _compare({session_id: row for held in self.loaded.values() for session_id, row in held.rows.items()}, after)
        self._compare_changes(run, work, before, after, events)

    def load_in_vain(self, work: Work) -> None:
        """A load that is interrupted changes nothing, and what was stale stays so."""
        before, stale = self.table(), self.stale()
        assert work.dataset

        def fail() -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            load_sessions(interrupted(work.version.context, fail), work.dataset, "in-vain")
        assert (self.table(), self.stale()) == (before, stale)

    def load_again(self, *session_partitions: str) -> None:
        """Load what was written last. What another rule has made is refused."""
        dataset = self.version.context.sessionized_events(session_partitions)
        work = Work(self.version, dataset, {partition: self.written[partition] for partition in session_partitions})
        policies = {written.version.context.stream.session_rule_version for written in work.written.values()}
        if policies == {self.version.context.stream.session_rule_version}:
            self.load(work)
            return
        before = self.table()
        with pytest.raises(UserError, match="another session rule"):
            self._load(work)
        assert self.table() == before

    def refresh(self, *session_partitions: str) -> None:
        self.load(self.sessionize(*session_partitions))

    def rebuild(self, terms: Terms) -> None:
        """State other terms, cadence and timezone too, and make everything anew."""
        before, run = self.table(), f"rebuild-{next(self._counter)}"
        self._state(terms)
        rebuild(self.version.context, run, lambda _: None)
        self._expect_rebuilt(run, before)

    def _expect_rebuilt(self, run: str, before: dict[str, Row]) -> None:
        """Every landing partition with files is judged anew, and every session partition made."""
        self.published.clear()
        self._expect_published(*[self._draft(partition, None) for partition in self.held if self.held[partition]])
        work = self.expected_work(list(self._partitions))
        replaced, self.loaded, self.written = self.loaded, {}, work.written
        self._expect_loaded(run, work, replaced, before)

    def catch_up(self) -> None:
        """Take in and refresh all that waits."""
        if stale := self.landing_waiting():
            self.take_in(*stale)
        if stale := self.stale():
            self.refresh(*stale)

    # What waits -------------------------------------------------------------------------------------------

    def stale(self) -> list[str]:
        return self.version.context.stale_session_partitions()

    def landing_waiting(self) -> list[str]:
        """Landing partitions with files that were not read or not published as they are, or judged otherwise."""
        unread = {
            str(partition)
            for uri, (partition, lines) in self.source.files.items()
            if not expected.same_bytes(lines, self.held.get(str(partition), {}).get(uri))
        }
        unpublished = {
            partition
            for partition, reading in self.readings.items()
            if partition not in self.published or self.published[partition].reading < reading
        }
        contract = self.version.context.stream.contract_version
        otherwise = {p for p, d in self.published.items() if d.version.context.stream.contract_version != contract}
        return sorted(unread | unpublished | otherwise)

    # What is held against what ----------------------------------------------------------------------------

    def check(self) -> None:
        """Promises that hold at every moment, and more of them whenever nothing waits."""
        landings = self.version.context.ledger.landings()
        assert {landing.landing_partition for landing in landings} == self.published.keys()
        for landing in landings:
            told = (landing.raw_rows, landing.accepted, landing.rejected, landing.duplicates)
            validation = self.published[landing.landing_partition].expected
            assert told == (validation.raw, len(validation.accepted), len(validation.rejected), validation.duplicates)
            assert landing.raw_rows == landing.accepted + landing.rejected + landing.duplicates
        assert pending_landing_partitions(self.version.context) == self.landing_waiting()
        audit = audit_sample(self.version.context, 6, random.Random(self.publications))
        assert audit.mismatches == []
        self.waits = self.stale()
        stale = {key for key in self._partitions.keys() | self.loaded.keys() if self._is_stale(key)}
        forgotten = sorted(stale - set(self.waits))
        assert not forgotten, f"not what they should be, and not waiting: {forgotten}"
        if not self.waits:
            self._compare_all()

    def table(self) -> dict[str, Row]:
        rows = self.site.eyes.execute(SQL("select * from {}").format(Identifier(self.name, "sessions"))).fetchall()
        assert len({row["session_id"] for row in rows}) == len(rows)
        return {row["session_id"]: row for row in rows}

    @property
    def accepted(self) -> list[Event]:
        return [event for draft in self.published.values() for event in draft.expected.accepted]

    def _expect(self) -> None:
        self._partitions = expected.partitions(self.accepted, self.terms)

    def _loaded_snapshot(self, session_partition: str) -> int:
        loaded = self.loaded.get(session_partition)
        return loaded.written.snapshot if loaded else -1

    def _is_stale(self, session_partition: str) -> bool:
        should = self._partitions.get(session_partition, NOTHING)
        loaded = self.loaded.get(session_partition)
        if loaded is None:
            return should != NOTHING
        policies = {v.context.stream.session_rule_version for v in (self.version, loaded.written.version)}
        return len(policies) > 1 or loaded.written.expected != should

    def _compare_all(self) -> None:
        """Nothing waits: the table is what one sort of all accepted events makes."""
        accepted, policy = self.accepted, self.version.context.stream.session_rule_version
        newest = max((event["event_timestamp"] for event in accepted), default=None)
        rows = {
            session_id: {**row, "session_rule_version": policy}
            for key, partition in self._partitions.items()
            for session_id, row in expected.session_rows(key, partition, self.terms).items()
        }
        for session in (session for partition in self._partitions.values() for session in partition.sessions):
            rows[reference.session_id(session)]["is_first"] = expected.is_first(session, accepted)
        for session_id, until in expected.open_until(accepted, self.terms).items():
            rows[session_id] |= {"open_until": until, "is_open": expected.is_open(until, newest, self.terms)}
        view = self.site.eyes.execute(SQL("select * from {}").format(Identifier(self.name, "sessions_now"))).fetchall()
        _compare(rows, {row["session_id"]: row for row in view})

    def compare_totals(self) -> None:
        """Nothing waits: `status` tells what the oracle does."""
        told = status(self.version.context)
        drafts = [draft.expected for draft in self.published.values()]
        sessions = [session for partition in self._partitions.values() for session in partition.sessions]
        should = {
            "raw_rows": sum(draft.raw for draft in drafts),
            "accepted": len(self.accepted),
            "rejected": sum(len(draft.rejected) for draft in drafts),
            "duplicates": sum(draft.duplicates for draft in drafts),
            "duplicates_across": sum(partition.duplicates for partition in self._partitions.values()),
            "conflicts_across": sum(partition.conflicts for partition in self._partitions.values()),
            "sessions": len(sessions),
            "users": len({session[0]["user_id"] for session in sessions}),
            "events_in_sessions": sum(map(len, sessions)),
            "pending": {"landing": [], "session": []},
        }
        assert {name: told[name] for name in should} == should

    def _compare_rejected(self, draft: Draft) -> None:
        sql = SQL("select * from {} where landing_partition = %s").format(Identifier(self.name, "rejected_events"))
        rows = self.site.eyes.execute(sql, [draft.landing_partition]).fetchall()
        told = {(row["source_uri"], row["position"]): (_payload(row), _codes(row)) for row in rows}
        assert len(told) == len(rows)
        assert told == draft.expected.rejected
        since = {row["rejection_id"]: row["rejected_at"] for row in rows}
        known = self._rejected_at.get(draft.landing_partition, {})
        assert all(since[name] == known[name] for name in since.keys() & known.keys())
        self._rejected_at[draft.landing_partition] = since

    def _compare_changes(
        self, run: str, work: Work, before: dict[str, Row], after: dict[str, Row], events: dict[str, list[Event]]
    ) -> None:
        """The log explains the difference of the table; what is unchanged was not touched."""
        columns = list(session_columns(work.version.context.stream))
        differs = {s for s in before.keys() & after.keys() if any(before[s].get(c) != after[s][c] for c in columns)}
        should = dict.fromkeys(after.keys() - before.keys(), "appeared")
        should |= dict.fromkeys(differs, "changed") | dict.fromkeys(before.keys() - after.keys(), "vanished")
        changes = SQL("select * from {} where run_id = %s").format(Identifier(self.name, "session_changes"))
        log = self.site.eyes.execute(changes, [run]).fetchall()
        assert sorted((row["session_id"], row["change"]) for row in log) == sorted(should.items())
        for session_id in before.keys() & after.keys():
            stayed = before[session_id]["loaded_at"] == after[session_id]["loaded_at"]
            assert stayed == (session_id not in differs)
        merged_into = {row["session_id"]: row["merged_into"] for row in log}
        assert {row["session_id"] for row in log if row["merged_into"]} <= before.keys() - after.keys()
        if self._is_fresh(work):
            for session_id in before.keys() - after.keys():
                follows = expected.successor(events[session_id], self.accepted, work.version.terms)
                assert merged_into[session_id] == follows
                assert follows is None or follows in after or self.stale()

    def _is_fresh(self, work: Work) -> bool:
        """Whether it has seen all that is published, under one rule: only then are successors final."""
        return all(w.snapshot == self.publications and w.version is work.version for w in work.written.values())


def _compare(should: dict[str, Row], standing: dict[str, Row]) -> None:
    """Each row is as it should be, in all columns of which something is known."""
    lacking, surplus = should.keys() - standing.keys(), standing.keys() - should.keys()
    assert not lacking, f"sessions that are missing: {[should[session_id] for session_id in lacking]}"
    assert not surplus, f"sessions that should not be: {[standing[session_id] for session_id in surplus]}"
    differ = {
        session_id: {name: (value, standing[session_id][name]) for name, value in row.items()}
        for session_id, row in should.items()
        if any(standing[session_id][name] != value for name, value in row.items())
    }
    assert not differ, f"sessions that should be otherwise, as (should, is): {differ}"


def _identity(row: Row) -> tuple[Any, ...]:
    return reference.identity(row)


def _payload(row: Row) -> bytes:
    return base64.b64decode(row["payload"]) if row["payload_encoding"] == "base64" else row["payload"].encode()


def _codes(row: Row) -> set[str]:
    return {reason["code"] for reason in row["reasons"]}
