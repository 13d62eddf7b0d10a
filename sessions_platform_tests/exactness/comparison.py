"""Each step is done by the platform and predicted by a simple model, and the results are compared.

The platform works on a real lake and a real PostgreSQL. Here: the steps, the model's state (what each landing and
session partition should contain), and the comparisons. Not here: how the model computes that from the lines of landing
files (`expected`), and which steps are drawn (`machine`).
"""

import base64
import itertools
import random
import shutil
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
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
from sessions_platform_tests import identity_oracle
from sessions_platform_tests.exactness import expected
from sessions_platform_tests.exactness.expected import NOTHING, ExpectedLanding, Partition, Row
from sessions_platform_tests.exactness.stream_variant import StreamVariant
from sessions_platform_tests.identity_oracle import Link, Resolved, Seen
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.pipeline.steps import interrupted

_names = itertools.count()
_LEDGER = ("landing_files", "landing_versions", "session_versions", "stale_partitions", "repairs")


@dataclass(frozen=True)
class Environment:
    """The lake and warehouse that all examples of a test session share, and a connection for reading them."""

    settings: Settings
    connection: psycopg.Connection[DictRow]


@dataclass(frozen=True)
class Version:
    """A version of the stream's file; work that was begun under it keeps it."""

    variant: StreamVariant
    context: StreamContext


@dataclass(frozen=True)
class Draft:
    """A landing partition, validated and not yet published."""

    version: Version
    landing_partition: str
    validated: ValidatedPartition | None  # None where it is published already
    expected: ExpectedLanding
    reading: int  # the number of the reading of its files that it contains


@dataclass(frozen=True)
class Written:
    """A session partition as it was written to the lake."""

    version: Version
    expected: Partition
    snapshot: int  # how many publications preceded it


@dataclass(frozen=True)
class Work:
    """Sessionized partitions, not yet loaded."""

    version: Version
    dataset: Dataset | None  # None where it is loaded already
    written: dict[str, Written]


@dataclass(frozen=True)
class Loaded:
    """A session partition as the warehouse should contain it."""

    written: Written
    rows: dict[str, Row]


@dataclass
class Comparison:
    environment: Environment
    variant: StreamVariant
    name: str = field(default_factory=lambda: f"exact{next(_names)}")
    source: MemorySource = field(default_factory=MemorySource)

    def __post_init__(self) -> None:
        self.lines_read: dict[str, dict[str, list[bytes]]] = {}  # the lines of each landing partition, as last read
        self.readings: dict[str, int] = {}
        self.published: dict[str, Draft] = {}
        self.publications = 0
        self.written: dict[str, Written] = {}
        self.loaded: dict[str, Loaded] = {}
        self._partitions: dict[str, Partition] = {}
        self._rejected_at: dict[str, dict[str, datetime]] = {}
        self._counter = itertools.count(1)
        self._kept_open = ExitStack()  # a connection of each context: a thousand would be opened otherwise
        self.last_stale: list[str] = []  # session partitions, at the last comparison
        self.change(self.variant)

    def close(self) -> None:
        self._kept_open.close()
        self.environment.connection.execute(SQL("drop schema if exists {} cascade").format(Identifier(self.name)))
        for table in _LEDGER:
            sql = SQL("delete from {} where stream = %s").format(Identifier("sessions_platform", table))
            self.environment.connection.execute(sql, [self.name])
        shutil.rmtree(self.environment.settings.lake / self.name, ignore_errors=True)

    # Steps ------------------------------------------------------------------------------------------------

    def change(self, variant: StreamVariant) -> None:
        """Change the stream's file to another contract or session rule."""
        self._state(variant)
        self.version.context.prepare()
        self._expect()

    def _state(self, variant: StreamVariant) -> None:
        self.variant = variant
        self.version = Version(variant, self._open(variant))

    def _open(self, variant: StreamVariant) -> StreamContext:
        settings = replace(self.environment.settings, memory=variant.memory)
        context = StreamContext.open(variant.stream(self.name), settings, self.source)
        self._kept_open.enter_context(context.database.kept_open())
        return context

    def uri(self, landing_partition: str, name: str) -> str:
        """Of a file of this landing partition."""
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
                lines_read = self.lines_read.setdefault(partition, {})
                if not expected.same_bytes(lines, lines_read.get(uri)):
                    lines_read[uri] = lines
                    self.readings[partition] = next(self._counter)

    def validate(self, landing_partition: str) -> Draft:
        context = self.version.context
        validated = validate_partition(context, landing_partition, context.raw_events([landing_partition]))
        return self._draft(landing_partition, validated)

    def _draft(self, landing_partition: str, validated: ValidatedPartition | None) -> Draft:
        validation = expected.validate(
            dict(self.lines_read.get(landing_partition, {})), landing_partition, self.variant
        )
        return Draft(self.version, landing_partition, validated, validation, self.readings.get(landing_partition, 0))

    def publish(self, draft: Draft) -> None:
        current = self.published.get(draft.landing_partition)
        assert draft.validated
        try:
            publish(draft.version.context, draft.validated, "a-run")
        except StaleWriteError:
            assert current, "a first publication is never refused"
            assert current.reading > draft.reading
            return
        assert current is None or current.reading <= draft.reading, "a stale writer is refused"
        self._expect_published(draft)

    def _expect_published(self, *drafts: Draft) -> None:
        self.published.update({draft.landing_partition: draft for draft in drafts})
        self.publications += 1
        self._expect()
        for draft in drafts:
            self._compare_rejected(draft)

    def ingest_and_publish(self, *landing_partitions: str) -> None:
        """Ingest, validate and publish."""
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
            reported = versions[partition]
            assert (reported.duplicates_across, reported.conflicts_across) == (should.duplicates, should.conflicts)
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
        replaced = {p: version for p, version in self.loaded.items() if p in loaded}
        done = replace(work, written={p: work.written[p] for p in loaded})
        self._expect_loaded(run, done, replaced, before)

    def _load(self, work: Work) -> tuple[str, set[str]]:
        run = f"load-{next(self._counter)}"
        assert work.dataset
        return run, set(load_sessions(work.version.context, work.dataset, run).sessions)

    def _expect_loaded(self, run: str, work: Work, replaced: dict[str, Loaded], before: dict[str, Row]) -> None:
        old = [session for version in replaced.values() for session in version.written.expected.sessions]
        events = {reference.session_id(session): session for session in old}
        for partition in work.written:
            rows = expected.session_rows(partition, work.written[partition].expected, work.version.variant)
            rule_version = {"session_rule_version": work.version.context.stream.session_rule_version}
            rows = {session_id: {**row, **rule_version} for session_id, row in rows.items()}
            self.loaded[partition] = Loaded(work.written[partition], rows)
        after = self.table()
        _compare(
            {session_id: row for version in self.loaded.values() for session_id, row in version.rows.items()}, after
        )
        self._compare_changes(run, work, before, after, events)

    def load_interrupted(self, work: Work) -> None:
        """A load that is interrupted changes nothing, and what was stale stays so."""
        before, stale = self.table(), self.stale()
        assert work.dataset

        def fail() -> None:
            raise InterruptedError

        with pytest.raises(InterruptedError):
            load_sessions(interrupted(work.version.context, fail), work.dataset, "in-vain")
        assert (self.table(), self.stale()) == (before, stale)

    def load_again(self, *session_partitions: str) -> None:
        """Load what was written last. Partitions made by another rule are refused."""
        dataset = self.version.context.sessionized_events(session_partitions)
        work = Work(self.version, dataset, {partition: self.written[partition] for partition in session_partitions})
        rule_versions = {written.version.context.stream.session_rule_version for written in work.written.values()}
        if rule_versions == {self.version.context.stream.session_rule_version}:
            self.load(work)
            return
        before = self.table()
        with pytest.raises(UserError, match="another session rule"):
            self._load(work)
        assert self.table() == before

    def refresh(self, *session_partitions: str) -> None:
        self.load(self.sessionize(*session_partitions))

    def rebuild(self, variant: StreamVariant) -> None:
        """Change anything in the stream's file, cadence and timezone too, and rebuild."""
        before, run = self.table(), f"rebuild-{next(self._counter)}"
        self._state(variant)
        rebuild(self.version.context, run, lambda _: None)
        self._expect_rebuilt(run, before)

    def _expect_rebuilt(self, run: str, before: dict[str, Row]) -> None:
        """Every landing partition with files is validated again, and every session partition recomputed."""
        self.published.clear()
        self._expect_published(
            *[self._draft(partition, None) for partition in self.lines_read if self.lines_read[partition]]
        )
        work = self.expected_work(list(self._partitions))
        replaced, self.loaded, self.written = self.loaded, {}, work.written
        self._expect_loaded(run, work, replaced, before)

    def catch_up(self) -> None:
        """Bring everything that is pending or stale up to date."""
        if stale := self.pending_landings():
            self.ingest_and_publish(*stale)
        if stale := self.stale():
            self.refresh(*stale)

    # What is stale ----------------------------------------------------------------------------------------

    def stale(self) -> list[str]:
        return self.version.context.stale_session_partitions()

    def pending_landings(self) -> list[str]:
        """Landing partitions of which files are not read or not published, or another contract validated them."""
        unread = {
            str(partition)
            for uri, (partition, lines) in self.source.files.items()
            if not expected.same_bytes(lines, self.lines_read.get(str(partition), {}).get(uri))
        }
        unpublished = {
            partition
            for partition, reading in self.readings.items()
            if partition not in self.published or self.published[partition].reading < reading
        }
        contract, data = self.version.context.stream.contract_version, self.variant.data
        otherwise = {p for p, d in self.published.items() if d.version.context.stream.contract_version != contract}
        by_other_data = {p for p, draft in self.published.items() if draft.version.variant.data != data}
        return sorted(unread | unpublished | otherwise | by_other_data)

    # Comparisons ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What is true after every step, and what is true whenever nothing is stale."""
        landings = self.version.context.ledger.landings()
        assert {landing.landing_partition for landing in landings} == self.published.keys()
        for landing in landings:
            reported = (landing.raw_rows, landing.accepted, landing.rejected, landing.duplicates)
            validation = self.published[landing.landing_partition].expected
            assert reported == (
                validation.raw,
                len(validation.accepted),
                len(validation.rejected),
                validation.duplicates,
            )
            assert landing.raw_rows == landing.accepted + landing.rejected + landing.duplicates
        assert pending_landing_partitions(self.version.context) == self.pending_landings()
        self._compare_links()
        audit = audit_sample(self.version.context, 6, random.Random(self.publications))
        assert audit.mismatches == []
        self.last_stale = self.stale()
        stale = {key for key in self._partitions.keys() | self.loaded.keys() if self._is_stale(key)}
        forgotten = sorted(stale - set(self.last_stale))
        assert not forgotten, f"they differ from what they should be, and are not stale: {forgotten}"
        if not self.last_stale:
            self._compare_all()

    def _compare_links(self) -> None:
        """Links are those of the published events, each as of the contract that they were published by."""
        links = self._links_of(draft for draft in self.published.values() if draft.version.variant.shared_above)
        stored = self._rows_if_there("identity_links")
        assert sorted(Link(**row) for row in stored) == sorted(identity_oracle.links_of(links))
        if most := self.variant.shared_above:
            resolved = {row.pop("anonymous_id"): Resolved(**row) for row in self._rows_if_there("identities")}
            assert resolved == identity_oracle.resolve(links, most)

    def _links_of(self, drafts: Iterable[Draft]) -> list[Seen]:
        return [
            Seen(draft.landing_partition, event["campaign"], event["user_id"], event["event_timestamp"])
            for draft in drafts
            for event in draft.expected.accepted
        ]

    def _rows_if_there(self, table: str) -> list[Row]:
        name = Identifier(self.name, table)
        there = self.environment.connection.execute("select to_regclass(%s) as oid", [name.as_string()]).fetchone()
        if there is None or there["oid"] is None:
            return []
        return self.environment.connection.execute(SQL("select * from {}").format(name)).fetchall()

    def table(self) -> dict[str, Row]:
        rows = self.environment.connection.execute(
            SQL("select * from {}").format(Identifier(self.name, "sessions"))
        ).fetchall()
        assert len({row["session_id"] for row in rows}) == len(rows)
        return {row["session_id"]: row for row in rows}

    @property
    def accepted(self) -> list[Event]:
        """All accepted events, with their person where sessions are cut by it."""
        return expected.with_people(self._as_accepted, self._as_accepted, self.variant)

    @property
    def _as_accepted(self) -> list[Event]:
        return [event for draft in self.published.values() for event in draft.expected.accepted]

    def _expect(self) -> None:
        self._partitions = expected.partitions(self.accepted, self.variant)

    def _loaded_snapshot(self, session_partition: str) -> int:
        loaded = self.loaded.get(session_partition)
        return loaded.written.snapshot if loaded else -1

    def _is_stale(self, session_partition: str) -> bool:
        should = self._partitions.get(session_partition, NOTHING)
        loaded = self.loaded.get(session_partition)
        if loaded is None:
            return should != NOTHING
        rule_versions = {v.context.stream.session_rule_version for v in (self.version, loaded.written.version)}
        return len(rule_versions) > 1 or loaded.written.expected != should

    def _compare_all(self) -> None:
        """Nothing is stale: the table equals one sort of all accepted events."""
        accepted, rule_version = self.accepted, self.version.context.stream.session_rule_version
        newest = max((event["event_timestamp"] for event in accepted), default=None)
        rows = {
            session_id: {**row, "session_rule_version": rule_version}
            for key, partition in self._partitions.items()
            for session_id, row in expected.session_rows(key, partition, self.variant).items()
        }
        sessions = [session for partition in self._partitions.values() for session in partition.sessions]
        for session in sessions:
            rows[reference.session_id(session)]["is_first"] = expected.is_first(session, sessions)
        for session_id, until in expected.open_until(accepted, self.variant).items():
            rows[session_id] |= {"open_until": until, "is_open": expected.is_open(until, newest, self.variant)}
        view = self.environment.connection.execute(
            SQL("select * from {}").format(Identifier(self.name, "sessions_now"))
        ).fetchall()
        _compare(rows, {row["session_id"]: row for row in view})
        if self.variant.pasts:
            pasts = SQL("select * from {}").format(Identifier(self.name, "user_sessions"))
            view = self.environment.connection.execute(pasts).fetchall()
            should = expected.user_sessions(rows.values(), self.variant)
            assert {row["session_id"]: row for row in view} == should

    def compare_totals(self) -> None:
        """Nothing is stale: `status` reports the model's counts."""
        reported = status(self.version.context)
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
            "events_outside_sessions": sum(len(partition.outside) for partition in self._partitions.values()),
            "events_without_tool_id": self._without_tool_id(),
            "pending": {"landing": [], "session": []},
        }
        assert {name: reported[name] for name in should} == should

    def _without_tool_id(self) -> int:
        """Events of which the rule decides the session, though the stream takes sessions from a tool."""
        kept = [copies[0] for copies in reference.copies_of(self.accepted, self.variant.rule)]
        return sum(event["campaign"] is None for event in kept) if self.variant.by_tool else 0

    def _compare_rejected(self, draft: Draft) -> None:
        sql = SQL("select * from {} where landing_partition = %s").format(Identifier(self.name, "rejected_events"))
        rows = self.environment.connection.execute(sql, [draft.landing_partition]).fetchall()
        reported = {
            (row["source_uri"], row["position"] + number): (_payload(row), _codes(row))
            for row in rows
            for number in range(row["rows"])
        }
        assert len(reported) == sum(row["rows"] for row in rows)
        assert reported == draft.expected.rejected
        since = {row["rejection_id"]: row["rejected_at"] for row in rows}
        known = self._rejected_at.get(draft.landing_partition, {})
        assert all(since[name] == known[name] for name in since.keys() & known.keys())
        self._rejected_at[draft.landing_partition] = since

    def _compare_changes(
        self, run: str, work: Work, before: dict[str, Row], after: dict[str, Row], events: dict[str, list[Event]]
    ) -> None:
        """The log explains the difference of the table; unchanged rows were not written."""
        columns = list(session_columns(work.version.context.stream))
        differs = {s for s in before.keys() & after.keys() if any(before[s].get(c) != after[s][c] for c in columns)}
        should = dict.fromkeys(after.keys() - before.keys(), "appeared")
        should |= dict.fromkeys(differs, "changed") | dict.fromkeys(before.keys() - after.keys(), "vanished")
        changes = SQL("select * from {} where run_id = %s").format(Identifier(self.name, "session_changes"))
        log = self.environment.connection.execute(changes, [run]).fetchall()
        assert sorted((row["session_id"], row["change"]) for row in log) == sorted(should.items())
        for session_id in before.keys() & after.keys():
            stayed = before[session_id]["loaded_at"] == after[session_id]["loaded_at"]
            assert stayed == (session_id not in differs)
        merged_into = {row["session_id"]: row["merged_into"] for row in log}
        assert {row["session_id"] for row in log if row["merged_into"]} <= before.keys() - after.keys()
        if self._is_fresh(work):
            for session_id in before.keys() - after.keys():
                variant, accepted = work.version.variant, self._as_accepted
                lost, left = (expected.with_people(e, accepted, variant) for e in (events[session_id], accepted))
                follows = expected.merged_into(lost, left, variant)
                assert merged_into[session_id] == follows
                assert follows is None or follows in after or self.stale()

    def _is_fresh(self, work: Work) -> bool:
        """Whether it contains all that is published, under one rule: only then is merged_into final."""
        return all(w.snapshot == self.publications and w.version is work.version for w in work.written.values())


def _compare(should: dict[str, Row], current: dict[str, Row]) -> None:
    """Each row is as it should be, in all columns that the model predicts."""
    lacking, surplus = should.keys() - current.keys(), current.keys() - should.keys()
    assert not lacking, f"sessions that are missing: {[should[session_id] for session_id in lacking]}"
    assert not surplus, f"sessions that should not be: {[current[session_id] for session_id in surplus]}"
    differ = {
        session_id: {name: (value, current[session_id][name]) for name, value in row.items()}
        for session_id, row in should.items()
        if any(current[session_id][name] != value for name, value in row.items())
    }
    assert not differ, f"sessions that should be otherwise, as (should, is): {differ}"


def _identity(row: Row) -> tuple[Any, ...]:
    return reference.identity(row)


def _payload(row: Row) -> bytes:
    return base64.b64decode(row["payload"]) if row["payload_encoding"] == "base64" else row["payload"].encode()


def _codes(row: Row) -> set[str]:
    return {reason["code"] for reason in row["reasons"]}
