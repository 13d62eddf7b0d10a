"""Random streams, and random sequences of what may happen to them.

Examples are small and dense on purpose: few users, few moments, silences of exactly the gap and of a
microsecond more or less, midnights and hours that clock changes repeat or skip.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from sessions_platform.contracts.calendar import Calendar
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform_tests.exactness import web_visits
from sessions_platform_tests.exactness.comparison import Comparison, Draft, Environment, Work
from sessions_platform_tests.exactness.stream_variant import (
    AGGREGATES,
    AMPLE,
    SHELVES,
    StreamVariant,
    partition_of,
    turn_before,
)
from sessions_platform_tests.exactness.through_assets import AssetComparison

MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1)

# Events are drawn near these: on the stream's first days, at turns of weeks, months and years, and where the clocks
# change in the zones below; in Havana that is at midnight.
ANCHORS = [
    datetime(2026, 1, 5, tzinfo=UTC),
    datetime(2026, 2, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 5, tzinfo=UTC),
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 0, tzinfo=UTC),
    datetime(2026, 11, 1, 5, tzinfo=UTC),
    datetime(2028, 12, 31, 22, tzinfo=UTC),
]
ZONES = ["UTC", "Europe/Berlin", "America/Havana", "Asia/Kathmandu"]
CADENCES = ["daily", "hourly", "weekly", "monthly"]

# type, url, amount, campaign, seq, note; amounts are such that their sums are exact
FLAVOURS: list[tuple[Any, ...]] = [
    ("view", None, None, None, None, None),
    ("view", "/a", None, None, None, None),
    ("view", "/b", 1, "mail", None, None),
    ("buy", "/b", 2.5, None, 1, None),
    ("buy", None, -0.25, "ads", 2, None),
    ("login", "/c", None, "ads", 1, "x"),
    ("login", "", None, "", 0, None),
]
JUNK = [
    b"{broken",
    b"[1]",
    b"",
    b'{"id": "j1", "ts": "2026-01-01T00:00:00+00:00", "type": "view"}',
    b'{"id": "j2", "user": "ann", "ts": "yesterday", "type": "view"}',
    b'{"id": "j3", "user": "ann", "type": "view"}',
    b'{"user": "ann", "ts": "2026-01-01T00:00:00+00:00"}',
    b'{"id": "j5", "user": "bob", "ts": "2025-06-01T00:00:00+00:00", "type": "view"}',
    b'{"id": "j6", "user": "bob", "ts": "2061-06-01T00:00:00+00:00", "type": "view", "amount": "much"}',
]

Fields = dict[str, Any]


@dataclass(frozen=True)
class Train:
    """Events of one user, at intervals of `spacing`: a number of gaps plus a number of microseconds."""

    user: str
    anchor: int
    offset: tuple[timedelta, float]  # from the anchor, and how many gaps more
    shift: int  # microseconds
    spacing: tuple[float, int]
    name_prefix: str  # of their ids
    flavours: list[int]

    def rows(self, anchors: Sequence[datetime], gap: timedelta) -> list[Fields]:
        start = anchors[self.anchor % len(anchors)] + self.offset[0] + self.offset[1] * gap + self.shift * MICROSECOND
        step = self.spacing[0] * gap + self.spacing[1] * MICROSECOND
        return [self._row(place, start + place * step, flavour) for place, flavour in enumerate(self.flavours)]

    def _row(self, place: int, moment: datetime, flavour: int) -> Fields:
        kind, url, amount, campaign, seq, note = FLAVOURS[flavour]
        name = f"{self.name_prefix}{place if self.spacing == (0, 0) else ''}@{moment:%m%dT%H%M%S.%f}"
        return {
            "id": name,
            "user" if place % 2 == 0 else "anon": self.user,
            "ts": moment.isoformat(),
            "type": kind,
            "url": url,
            "amount": amount,
            "campaign": campaign,
            "seq": seq,
            "note": note,
            "visit": flavour + place,
        }


@dataclass(frozen=True)
class Echo:
    """A row that was delivered before: unchanged, with something changed, or another one close to it."""

    which: int
    change: str | None
    moved: tuple[float, int]  # by gaps and microseconds

    def of(self, row: Fields, gap: timedelta) -> Fields:
        moment = datetime.fromisoformat(row["ts"]) + self.moved[0] * gap + self.moved[1] * MICROSECOND
        row = {**row, "ts": moment.isoformat()}
        if self.moved != (0, 0) and self.change != "ts":
            row["id"] = f"{row['id']}{self.moved[0]:+}"
        if self.change == "user":
            return {**row, "user": "eve"}
        if self.change == "no id":
            return {**row, "id": None}
        if self.change == "id":
            return {**row, "id": f"0{row['id']}"}
        return {**row, self.change: "other"} if self.change in {"type", "note"} else row


@dataclass(frozen=True)
class Batch:
    trains: list[Train]
    echoes: list[Echo]
    junk: list[int]


trains = st.builds(
    Train,
    user=st.sampled_from(["ann", "bob", "eve", "mail"]),  # the last is a campaign, too: an anonymous id
    anchor=st.integers(0, 5),
    offset=st.sampled_from(
        [(0 * HOUR, gaps) for gaps in (0, -1, -0.5, -2, 1, -1.5)]
        + [(HOUR, 0), (-HOUR, 0), (24 * HOUR, -1), (23 * HOUR, 0), (744 * HOUR, 0)]
    ),
    shift=st.sampled_from([0, 0, -1, 1]),
    spacing=st.sampled_from([(1, 0), (0, 0), (0.5, 0), (1, 1), (1, -1), (0, 1), (0.75, 0), (0.75, 1)]),
    name_prefix=st.sampled_from("ab"),
    flavours=st.lists(st.integers(0, len(FLAVOURS) - 1), min_size=1, max_size=5),
)
echoes = st.builds(
    Echo,
    st.integers(0, 40),
    st.sampled_from([None, None, "type", "user", "ts", "id", "no id", "note"]),
    st.sampled_from([(0, 0), (0, 0), (0.5, 0), (-0.5, 0), (1, 0), (-1, 0), (1, 1), (-1, -1), (0.25, 0)]),
)
batches = st.builds(
    Batch,
    st.lists(trains, min_size=1, max_size=3),
    st.lists(echoes, max_size=4),
    st.lists(st.integers(0, len(JUNK) - 1), max_size=2),
)
contracts: st.SearchStrategy[Fields] = st.fixed_dictionaries(
    {
        "allowed": st.sampled_from([None, None, ("view", "buy"), ("view", "login", "buy", "other")]),
        "at_least": st.sampled_from([None, None, 0.0, 2.0]),
        "keeps_last": st.booleans(),
        "shelves": st.sampled_from(sorted(SHELVES)),
        "payment_ignored": st.booleans(),
        "ids_nullable": st.booleans(),
        "compared": st.sampled_from(["content", "content", "id", ("event_type", "amount")]),
        "shared_above": st.sampled_from([None, 1, 1, 2]),
    }
)
rules: st.SearchStrategy[Fields] = st.fixed_dictionaries(
    {
        "by_person": st.booleans(),
        "gap": st.sampled_from([timedelta(minutes=30), timedelta(hours=5), timedelta(hours=30)]),
        "gap_inclusive": st.booleans(),
        "precision": st.sampled_from(["us", "us", "ms", "s"]),
        "gap_from": st.sampled_from(["event", "event", "second"]),
        "split_at_midnight": st.booleans(),
        "by_campaign": st.booleans(),
        "cut_on": st.sampled_from([(), (), ("leaves",), ("changes",), ("changes", "leaves")]),
        "max_length": st.sampled_from([None, timedelta(minutes=30), timedelta(hours=7), timedelta(hours=26)]),
        "passive": st.sampled_from([(), (), ("login",), ("login", "buy")]),
        "by_tool": st.sampled_from([False, False, True]),
        "id_within": st.sampled_from([timedelta(minutes=30), timedelta(hours=5), timedelta(hours=30)]),
        "sequence": st.sampled_from([None, "seq", "position"]),
        "priorities": st.sampled_from([(), ("buy", "view")]),
        "columns": st.sampled_from([(), tuple(AGGREGATES), ("total", "kinds")]),
        "engaged": st.sampled_from([None, "ga4", "snowplow"]),
        "bounce": st.sampled_from([None, "one_event", "one_view", "not_engaged"]),
        "converts": st.booleans(),
    }
)


@st.composite
def variant(draw: st.DrawFn) -> StreamVariant:
    cadence = draw(st.sampled_from(CADENCES))
    return StreamVariant(
        start=draw(st.sampled_from([date(2025, 12, 1), date(2026, 1, 4)])),
        landing=draw(st.sampled_from(CADENCES)),
        partition=cadence,
        timezone="UTC" if cadence == "hourly" else draw(st.sampled_from(ZONES)),
        looks_up=draw(st.booleans()),
        has_ids=draw(st.sampled_from([True, True, False])),
        pasts=draw(st.booleans()),
        lookback=draw(st.sampled_from([None, timedelta(hours=7), timedelta(days=3)])),
        memory=draw(st.sampled_from([AMPLE, MemoryBudget(1 << 30, 1500), MemoryBudget(1500, 1500)])),
        max_future=draw(st.sampled_from([timedelta(days=days) for days in (366, 366, 366, 0)])),
        **draw(contracts),
        **draw(rules),
    )


picks = st.lists(st.integers(0, 9), min_size=1, max_size=4)
name_prefixes = st.sampled_from("mza")


def chosen(among: Sequence[str], places: Sequence[int]) -> list[str]:
    """Some of them, in the order of the places."""
    return list(dict.fromkeys(among[place % len(among)] for place in places))


class ExactSessions(RuleBasedStateMachine):
    """Whatever is drawn, the warehouse ends up equal to one sort of all accepted events."""

    comparison_class: type[Comparison] = Comparison
    latest = datetime(2030, 1, 1, tzinfo=UTC)  # of the moments that are drawn

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self.environment = environment
        self.comparison: Comparison | None = None
        self.rows: list[Fields] = []
        self.files = 0
        self.drafts: list[Draft] = []
        self.works: list[Work] = []

    @property
    def at(self) -> Comparison:
        assert self.comparison
        return self.comparison

    @initialize(
        variant=variant(),
        anchors=st.lists(st.sampled_from(ANCHORS), min_size=1, max_size=2, unique=True),
        first=st.lists(st.tuples(st.integers(0, 9), name_prefixes, batches), min_size=2, max_size=4),
    )
    def begin(self, variant: StreamVariant, anchors: list[datetime], first: list[tuple[int, str, Batch]]) -> None:
        variant = self.possible(variant)
        self.comparison = self.comparison_class(self.environment, variant)
        anchors = [anchor for anchor in anchors if anchor < self.latest] or ANCHORS[:1]
        self.anchors = [turn_before(moment, variant) for moment in anchors] + anchors
        moments = {moment + days * 24 * HOUR for moment in anchors for days in (0, 31)}
        moments |= {datetime(2029, 2, 1, tzinfo=UTC), datetime(2029, 7, 1, tzinfo=UTC)}
        near = [moment for moment in moments if moment < self.latest]
        self.places = sorted({partition_of(moment, variant.landing) for moment in near}, reverse=True)
        for where, name_prefix, batch in first:
            self.at.ingest_and_publish(self._put(where, name_prefix, batch))

    def possible(self, variant: StreamVariant) -> StreamVariant:
        return variant

    # Landing ----------------------------------------------------------------------------------------------

    @rule(where=st.integers(0, 9), name_prefix=name_prefixes, batch=batches)
    def land_a_file(self, where: int, name_prefix: str, batch: Batch) -> None:
        self._put(where, name_prefix, batch)

    @rule(where=st.integers(0, 9), name_prefix=name_prefixes, batch=batches)
    def run_pipeline_for_a_file(self, where: int, name_prefix: str, batch: Batch) -> None:
        self.at.ingest_and_publish(self._put(where, name_prefix, batch))

    @rule(where=st.integers(0, 9), name_prefix=name_prefixes, batch=batches)
    def run_pipeline_for_a_file_and_refresh(self, where: int, name_prefix: str, batch: Batch) -> None:
        self.at.ingest_and_publish(self._put(where, name_prefix, batch))
        self.at.refresh(*(self.at.stale() or self._range(0, 0, 0)))

    @precondition(lambda self: self.at.source.files)
    @rule(which=st.integers(0, 9), batch=batches)
    def change_a_file(self, which: int, batch: Batch) -> None:
        uri = self._file(which)
        self.at.put(uri, self._lines(batch), str(self.at.source.files[uri][0]))

    @precondition(lambda self: self.at.source.files)
    @rule(which=st.integers(0, 9), where=st.integers(0, 9), name_prefix=name_prefixes)
    def land_the_same_file_again(self, which: int, where: int, name_prefix: str) -> None:
        lines = self.at.source.files[self._file(which)][1]
        self.at.put(self._new_file(where, name_prefix), lines, self.places[where % len(self.places)])

    @precondition(lambda self: self.at.source.files)
    @rule(which=st.integers(0, 9))
    def remove_a_file(self, which: int) -> None:
        self.at.remove(self._file(which))

    @precondition(lambda self: self.at.pending_landings())
    @rule(places=picks)
    def run_pipeline_for_some(self, places: list[int]) -> None:
        self.at.ingest_and_publish(*chosen(self.at.pending_landings(), places))

    @rule(place=st.integers(0, 9))
    def materialize_again(self, place: int) -> None:
        self.at.ingest_and_publish(self.places[place % len(self.places)])

    # Changing the stream's file ---------------------------------------------------------------------------

    @rule(contract=contracts)
    def change_the_contract(self, contract: Fields) -> None:
        self.at.change(self.possible(replace(self.at.variant, **contract)))

    @rule(session=rules)
    def change_the_session_rule(self, session: Fields) -> None:
        self.at.change(self.possible(replace(self.at.variant, **session)))

    @rule(other=variant())
    def rebuild(self, other: StreamVariant) -> None:
        kept = ("start", "landing", "has_ids")
        self.at.rebuild(self.possible(replace(other, **{name: getattr(self.at.variant, name) for name in kept})))
        self.drafts.clear()
        self.works.clear()

    # Refreshing -------------------------------------------------------------------------------------------

    @precondition(lambda self: self.at.last_stale)
    @rule()
    def refresh_all(self) -> None:
        self.at.refresh(*self.at.last_stale)

    @rule()
    def catch_up(self) -> None:
        self.at.catch_up()

    @precondition(lambda self: self.at.last_stale)
    @rule(places=picks, at_once=st.booleans())
    def refresh_some(self, places: list[int], at_once: bool) -> None:
        partitions = chosen(self.at.last_stale, places)
        for together in [partitions] if at_once else [[partition] for partition in partitions]:
            self.at.refresh(*together)

    @rule(place=st.integers(0, 9), before=st.integers(0, 2), behind=st.integers(0, 2))
    def refresh_a_range(self, place: int, before: int, behind: int) -> None:
        self.at.refresh(*self._range(place, before, behind))

    # ------------------------------------------------------------------------------------------------------

    @invariant()
    def is_as_expected(self) -> None:
        if self.comparison:
            self.comparison.check()  # which also updates what is stale

    def teardown(self) -> None:
        if not self.comparison:
            return
        try:
            if sys.exc_info()[0] is None:
                self.comparison.catch_up()
                self.comparison.check()
                self.comparison.compare_totals()
                assert not self.comparison.last_stale
        finally:
            self.comparison.close()

    def _put(self, where: int, name_prefix: str, batch: Batch) -> str:
        key = self.places[where % len(self.places)]
        self.at.put(self._new_file(where, name_prefix), self._lines(batch), key)
        return key

    def _new_file(self, where: int, name_prefix: str) -> str:
        self.files += 1
        return self.at.uri(self.places[where % len(self.places)], f"{name_prefix}{self.files}")

    def _file(self, which: int) -> str:
        files = sorted(self.at.source.files)
        return files[which % len(files)]

    def _lines(self, batch: Batch) -> list[bytes]:
        rows = [row for train in batch.trains for row in train.rows(self.anchors, self.at.variant.gap)]
        for echo in batch.echoes:
            if known := self.rows + rows:
                rows.append(echo.of(known[-1 - echo.which % len(known)], self.at.variant.gap))
        self.rows += rows
        return [_line(row, self.at.variant) for row in rows] + [JUNK[place] for place in batch.junk]

    def _range(self, place: int, before: int, behind: int) -> list[str]:
        """A stale session partition, if there is one, and some of its neighbours."""
        calendar = self.at.version.context.stream.session_calendar
        first = calendar.key_of(calendar.start)
        known = self.at.last_stale or sorted(self.at.written) or [first]
        key = known[place % len(known)]
        keys = [key]
        for _ in range(before):
            keys = [max(_before(keys[0], calendar), first), *keys]
        for _ in range(behind):
            keys = [*keys, calendar.key_of(calendar.window(keys[-1]).end)]
        return list(dict.fromkeys(keys))


class ExactInterleavings(ExactSessions):
    """Also slow writers: what one stage computed is published or loaded after others have made progress."""

    @rule(place=st.integers(0, 9))
    def ingest_and_publish_later(self, place: int) -> None:
        key = self.places[place % len(self.places)]
        self.at.ingest(key)
        self.drafts.append(self.at.validate(key))

    @precondition(lambda self: self.drafts)
    @rule(which=st.integers(0, 9))
    def publish_late(self, which: int) -> None:
        self.at.publish(self.drafts.pop(which % len(self.drafts)))

    @rule(place=st.integers(0, 9), behind=st.integers(0, 2))
    def sessionize_and_load_later(self, place: int, behind: int) -> None:
        self.works.append(self.at.sessionize(*self._range(place, 0, behind)))

    @precondition(lambda self: self.works)
    @rule(which=st.integers(0, 9), keep=st.booleans())
    def load_late(self, which: int, keep: bool) -> None:
        work = self.works[which % len(self.works)]
        if not keep:
            self.works.remove(work)
        self.at.load(work)

    @precondition(lambda self: self.at.written)
    @rule(places=picks)
    def load_again(self, places: list[int]) -> None:
        self.at.load_again(*chosen(sorted(self.at.written), places))

    @rule(place=st.integers(0, 9), behind=st.integers(0, 2))
    def load_interrupted(self, place: int, behind: int) -> None:
        self.at.load_interrupted(self.at.sessionize(*self._range(place, 0, behind)))


class ExactSessionsOfTools(ExactInterleavings):
    """All by a tool's ids, which are followed much further than the gap."""

    def possible(self, variant: StreamVariant) -> StreamVariant:
        return replace(variant, by_tool=True, gap=timedelta(minutes=30), id_within=timedelta(hours=30))


class ExactSessionsOfPeople(ExactInterleavings):
    """All by person, whom links that come and go make of campaigns."""

    def possible(self, variant: StreamVariant) -> StreamVariant:
        return replace(variant, by_person=True, shared_above=variant.shared_above or 1)


# What enrichments depend on besides the event, each in one of two states.
DATA: dict[str, list[Any]] = {
    "shelves": list(SHELVES),
    "countries": list(web_visits.COUNTRIES),
    "sections": list(web_visits.SECTIONS),
    "payment_ignored": [True, False],
}


class ExactMeaning(ExactInterleavings):
    """Enrichments, attributes and identity, all of them at once; sessions of users or of people."""

    def possible(self, variant: StreamVariant) -> StreamVariant:
        shared_above = variant.shared_above or 1
        stated = {"looks_up": True, "visits": True, "pasts": True, "converts": True, "shared_above": shared_above}
        engaged, bounce = variant.engaged or "ga4", variant.bounce or "one_view"
        return replace(variant, **stated, columns=tuple(AGGREGATES), engaged=engaged, bounce=bounce)

    @rule(which=st.sampled_from(list(DATA)))
    def change_the_data(self, which: str) -> None:
        """Of one enrichment, and nothing else, which would make all partitions pending by itself."""
        first, second = DATA[which]
        is_first = getattr(self.at.variant, which) == first
        self.at.change(replace(self.at.variant, **{which: second if is_first else first}))


class ExactSessionsThroughAssets(ExactSessions):
    """Each step is a run of Dagster's, which knows partitions up to today's.

    No hours: a range of some months would be thousands of partitions in one run.
    """

    comparison_class = AssetComparison
    latest = datetime(2026, 9, 1, tzinfo=UTC)

    def possible(self, variant: StreamVariant) -> StreamVariant:
        changes = {name: "daily" for name in ("landing", "partition") if getattr(variant, name) == "hourly"}
        return replace(variant, **changes)


def _line(row: Fields, variant: StreamVariant) -> bytes:
    visit = web_visits.fields_of(row["visit"]) if variant.visits else {}
    fields = {**row, "visit": None, **visit}
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


def _before(key: str, calendar: Calendar) -> str:
    return calendar.key_of(calendar.window(key).start - MICROSECOND)


def run_machine(
    environment: Environment,
    examples: int,
    steps: int,
    seed: int,
    *,
    shrinks: bool = True,
    machine: type[ExactSessions] = ExactInterleavings,
) -> None:
    """Run the machine. The same seed gives the same examples; a failing one is shrunk."""

    @hypothesis.seed(seed)
    class Machine(machine):
        def __init__(self) -> None:
            super().__init__(environment)

    settings = hypothesis.settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        phases=[Phase.generate, Phase.shrink] if shrinks else [Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
    )
    try:
        run_state_machine_as_test(Machine, settings=settings)
    except Exception as error:
        error.add_note(f"{examples} examples of {steps} steps, seed {seed}")
        raise
