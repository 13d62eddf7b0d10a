"""Anonymous ids get their users from all links, in any order in which events arrive, change and leave."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.errors import DependentObjectsStillExist
from psycopg.sql import SQL, Identifier

from sessions_platform.contracts.events import event_columns
from sessions_platform.operations import rebuild as rebuild_module
from sessions_platform.operations.erase import erase
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.operations.status import pending_landing_partitions, status
from sessions_platform.operations.verify import verify
from sessions_platform.pipeline import identity
from sessions_platform.pipeline import publish as publish_module
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.postgres.database import _lock_key
from sessions_platform.storage.postgres.errors import in_a_sentence
from sessions_platform.storage.postgres.roles import as_owner
from sessions_platform.transforms.identity_links import identity_links
from sessions_platform_tests.contexts import line
from sessions_platform_tests.identity_oracle import Link, Resolved, Seen, links_of, resolve
from sessions_platform_tests.pipeline.steps import put, run_pending, table
from sessions_platform_tests.streams import DAY_ONE, PLAIN, event, frame, stream

MINUTE = timedelta(minutes=1)
DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")
IDENTITY = {"anonymous_id": "device", "user_id": "account"}
COLUMNS = {**PLAIN["columns"], "device": {"nullable": True}, "account": {"nullable": True}}
KEYS: dict[str, Any] = {"columns": COLUMNS, "identity": IDENTITY}

Open = Callable[..., StreamContext]

seen = st.builds(
    Seen,
    st.sampled_from(DAYS),
    st.sampled_from([None, "d1", "d2", "d3", "Å"]),
    st.sampled_from([None, "ann", "bob", "Zoe", "Åsa", "d1"]),
    st.integers(0, 4).map(lambda minutes: DAY_ONE + minutes * MINUTE),
)


def as_frame(context: StreamContext, events: Iterable[Seen]) -> pl.DataFrame:
    rows = [
        event("ann", one.at, str(n), device=one.anonymous_id, account=one.user_id, landing_partition=one[0])
        for n, one in enumerate(events)
    ]
    return frame(rows, context.stream)


def stored_links(context: StreamContext) -> set[Link]:
    rows = [Link(**row) for row in table(context, "identity_links")]
    assert len(rows) == len(set(rows))
    return set(rows)


def identities(context: StreamContext) -> dict[str, Resolved]:
    return {row.pop("anonymous_id"): Resolved(**row) for row in table(context, "identities")}


def replace(context: StreamContext, day: str, events: Sequence[Seen]) -> int:
    """As a publication does it; in two frames, as a file of many row groups has them. How many rows it writes."""
    assert context.stream.identity
    parts = [as_frame(context, events[::2]), as_frame(context, events[1::2])]
    frames = [identity_links(part, context.stream.identity) for part in parts]
    with context.database.transaction() as connection:
        context.ledger.lock(connection)
        return context.warehouse.identity_links.replace(connection, frames, [day]).changed


@pytest.mark.slow
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(DAYS), st.lists(seen, max_size=8)), min_size=1, max_size=6), st.integers(1, 3)
)
def test_links_and_users_are_those_of_the_rows_that_are_current(
    open_context: Open, states: list[tuple[str, list[Seen]]], shared_above: int
) -> None:
    context = open_context(**{**KEYS, "identity": {**IDENTITY, "shared_above": shared_above}})
    context.prepare()
    current: dict[str, list[Seen]] = {}
    for day, rows in states:
        current[day] = [one._replace(landing_partition=day) for one in rows]
        replace(context, day, current[day])
        every = [one for rows in current.values() for one in rows]
        assert stored_links(context) == links_of(every)
        assert identities(context) == resolve(every, shared_above)
    for day, rows in current.items():
        assert replace(context, day, rows[::-1]) == 0


def test_a_user_column_that_falls_back_on_the_device_links_nobody_before_the_log_in() -> None:
    of = stream(columns={**PLAIN["columns"], "device": {}}, identity={"anonymous_id": "device", "user_id": "user_id"})
    assert of.identity
    rows = [event("d1", DAY_ONE, "a", device="d1"), event("ann", DAY_ONE, "b", device="d1")]
    links = identity_links(pl.DataFrame(rows, schema=event_columns(of), orient="row"), of.identity)
    assert links.select("anonymous_id", "user_id", "events").rows() == [("d1", "ann", 1)]


# Views of somebody else ------------------------------------------------------------------------------------


def view_on(context: StreamContext, view: str) -> None:
    parts = Identifier(context.stream.name, "mine"), Identifier(context.stream.name, view)
    with context.database.transaction() as connection, as_owner(connection):
        connection.execute(SQL("create view {} as table {}").format(*parts))


def test_a_view_of_somebody_else_on_identities_does_not_mind_another_column_of_sessions(open_context: Open) -> None:
    context = open_context(**KEYS)
    context.prepare()
    view_on(context, "identities")
    session = {"columns": {"last_page": {"last": "page_url"}}}
    wider = open_context(**KEYS, name=context.stream.name, session=session)
    put(wider, "a", lines(("phone", "ann", 0)), DAYS[0])
    run_pending(wider)
    assert table(wider, "sessions_of_people")[0].keys() >= {"last_page", "person_id"}


def test_a_view_of_somebody_else_on_what_has_to_change_is_named(open_context: Open) -> None:
    context = open_context(**KEYS)
    context.prepare()
    view_on(context, "identities")
    other = open_context(**{**KEYS, "identity": {**IDENTITY, "shared_above": 2}}, name=context.stream.name)
    with pytest.raises(DependentObjectsStillExist) as error:
        other.prepare()
    assert in_a_sentence(error.value).startswith(
        "PostgreSQL: a view of yours, or the like, depends on what has to be made anew: cannot drop view "
        f"{context.stream.name}.identities because other objects depend on it: view {context.stream.name}.mine depends "
        f"on view {context.stream.name}.identities. Nothing was published. Fix: drop it, run again"
    )


def test_a_stream_that_states_no_identity_any_more_has_no_views_of_it(open_context: Open) -> None:
    context = open_context(**KEYS)
    context.prepare()
    name = context.stream.name
    again = open_context(columns=COLUMNS, name=name)
    again.prepare()
    views = "select viewname from pg_views where schemaname = '{}' order by 1"
    left = ["dead_letters", "rejected_by_day", "sessions_now"]
    assert [row["viewname"] for row in again.database.query(views.format(name))] == left
    with again.database.transaction() as connection, as_owner(connection):
        connection.execute(SQL("create view {} as select 1").format(Identifier(name, "identities")))
    open_context(columns=COLUMNS, name=name).prepare()
    assert len(again.database.query(views.format(name))) == len(left) + 1


# Through the pipeline -------------------------------------------------------------------------------------


def lines(*rows: tuple[str, str | None, int]) -> list[bytes]:
    """Events of a device, with an account or without, at minutes; the device is whose sessions are cut."""
    return [
        line(device, DAY_ONE + minute * MINUTE, f"{device}-{account}-{minute}", device=device, account=account)
        for device, account, minute in rows
    ]


def people(context: StreamContext) -> dict[str, str]:
    """The person of each user of a session."""
    return {row["user_id"]: row["person_id"] for row in table(context, "sessions_of_people")}


def test_sessions_before_the_log_in_and_of_other_devices_are_of_the_person(open_context: Open) -> None:
    context = open_context(**KEYS)
    put(context, "a", lines(("phone", None, 0), ("phone", "ann", 100), ("kiosk", "ann", 5)), DAYS[0])
    put(context, "b", lines(("laptop", "ann", 200), ("kiosk", "bob", 400), ("tv", None, 7)), DAYS[1])
    run_pending(context)
    assert people(context) == {"phone": "ann", "laptop": "ann", "kiosk": "kiosk", "tv": "tv"}
    assert status(context)["identity"] == {"anonymous_ids": 3, "resolved": 2, "shared": 1, "users": 1}
    assert [row["person_id"] for row in table(context, "sessions_of_people")].count("ann") == 3


@pytest.mark.slow
def test_ids_are_merged_and_parted_as_rows_come_change_and_leave(open_context: Open) -> None:
    context = open_context(**KEYS)
    put(context, "a", lines(("phone", "ann", 0)), DAYS[0])
    run_pending(context)
    assert people(context) == {"phone": "ann"}
    put(context, "late", lines(("phone", "bob", 300)), DAYS[1])
    run_pending(context)
    assert people(context) == {"phone": "phone"}
    put(context, "late", [b"{broken", *lines(("tablet", "bob", 300))], DAYS[1])  # corrected: no link to the phone
    run_pending(context)
    assert people(context) == {"phone": "ann", "tablet": "bob"}
    put(context, "a", [b"{broken"], DAYS[0])
    run_pending(context)
    assert people(context) == {"tablet": "bob"}
    assert stored_links(context) == {Link(DAYS[1], "tablet", "bob", DAY_ONE + 300 * MINUTE, DAY_ONE + 300 * MINUTE, 1)}


@pytest.mark.slow
def test_a_link_whose_row_is_rejected_later_is_gone(open_context: Open) -> None:
    context = open_context(**KEYS)
    put(context, "a", lines(("phone", "ann", 0), ("phone", "tester", 5)), DAYS[0])
    run_pending(context)
    assert people(context) == {"phone": "phone"}
    stricter = {**COLUMNS, "account": {"nullable": True, "isin": ["ann", "bob"]}}
    changed = open_context(**{**KEYS, "name": context.stream.name, "columns": stricter})
    changed.source.files.update(context.source.files)  # type: ignore[attr-defined]
    run_pending(changed)
    assert people(changed) == {"phone": "ann"}


@pytest.mark.slow
def test_an_erased_user_has_no_link_left(open_context: Open) -> None:
    by_account = {**COLUMNS, "user_id": {"from": ["account", "device"]}}
    context = open_context(**{**KEYS, "columns": by_account})
    put(context, "a", lines(("phone", "ann", 0), ("phone", "bob", 5), ("phone", None, 9)), DAYS[0])
    run_pending(context)
    assert people(context) == {"ann": "ann", "bob": "bob", "phone": "phone"}
    erase(context, ["bob"])
    assert people(context) == {"ann": "ann", "phone": "ann"}
    assert {link.user_id for link in stored_links(context)} == {"ann"}


@pytest.fixture
def may_publish(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether others can take the stream's lock, at each time that links are read from events."""
    free: list[bool] = []
    read = identity.links_in

    def watched(context: StreamContext, paths: Sequence[str]) -> Iterator[pl.DataFrame]:
        key = _lock_key(f"sessions_platform/{context.stream.name}")
        free.append(context.database.query(f"select pg_try_advisory_xact_lock({key}) as free")[0]["free"])
        yield from read(context, paths)

    for module in (identity, publish_module, rebuild_module):
        monkeypatch.setattr(module, "links_in", watched)
    return free


def test_links_are_read_while_others_may_publish(open_context: Open, may_publish: list[bool]) -> None:
    context = open_context(**KEYS)
    put(context, "a", lines(("phone", "ann", 0)), DAYS[0])
    run_pending(context)
    assert verify(context, "a-run", deep=True).problems == []
    rebuild(context, "a-run", lambda _: None)
    assert may_publish == [True, True, True]
    assert len(stored_links(context)) == 1


def test_a_partition_that_is_published_while_links_are_read_is_not_compared(
    open_context: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_context(**KEYS)
    put(context, "a", lines(("phone", "ann", 0)), DAYS[0])
    run_pending(context)
    read = identity.links_in

    def overtaken(*args: Any) -> Iterator[pl.DataFrame]:
        yield from list(read(*args))
        monkeypatch.setattr(identity, "links_in", read)
        put(context, "a", lines(("phone", "bob", 0)), DAYS[0])
        run_pending(context)

    monkeypatch.setattr(identity, "links_in", overtaken)
    assert identity.differing_partitions(context) == []
    assert {link.user_id for link in stored_links(context)} == {"bob"}


Row = tuple[str, str | None, int]
rows_of_a_file = st.lists(
    st.tuples(st.sampled_from(["phone", "pc"]), st.sampled_from([None, "ann", "bob"]), st.integers(0, 3)),
    min_size=1,
    max_size=4,
    unique=True,
)


@pytest.mark.slow
@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(rows_of_a_file, min_size=2, max_size=3),
    st.permutations([0, 1, 2]),
    st.tuples(st.integers(0, 1), rows_of_a_file),
    st.sampled_from([None, "ann", "phone"]),
)
def test_files_in_any_order_corrected_and_erased_leave_the_links_of_what_is_left(
    open_context: Open, files: list[list[Row]], order: list[int], correction: tuple[int, list[Row]], erased: str | None
) -> None:
    by_account = {**COLUMNS, "user_id": {"from": ["account", "device"]}}
    context = open_context(**{**KEYS, "columns": by_account})
    for file in (number for number in order if number < len(files)):
        put(context, f"file{file}", lines(*files[file]), DAYS[file])
        run_pending(context)
    corrected, files[correction[0]] = correction
    put(context, f"file{corrected}", lines(*files[corrected]), DAYS[corrected])
    run_pending(context)
    if erased and any(erased == (account or device) for rows in files for device, account, _ in rows):
        erase(context, [erased])
    left = [
        Seen(DAYS[file], device, account, DAY_ONE + minute * MINUTE)
        for file, rows in enumerate(files)
        for device, account, minute in rows
        if erased != (account or device)
    ]
    assert stored_links(context) == links_of(left)
    assert identities(context) == resolve(left, 1)


@pytest.mark.slow
def test_a_stream_gets_links_of_what_it_has_and_a_rebuild_keeps_them(open_context: Open) -> None:
    without = open_context(columns=COLUMNS)
    put(without, "a", lines(("phone", None, 0), ("phone", "ann", 5), ("pc", "ann", 5)), DAYS[0])
    put(without, "b", lines(("phone", "ann", 900), ("pc", "bob", 5)), DAYS[1])
    run_pending(without)
    context = open_context(**{**KEYS, "name": without.stream.name})
    context.source.files.update(without.source.files)  # type: ignore[attr-defined]
    assert pending_landing_partitions(context) == [DAYS[0], DAYS[1]]
    run_pending(context)
    links = stored_links(context)
    assert people(context) == {"phone": "ann", "pc": "pc"}
    rebuild(context, "a-run", lambda _: None)
    assert stored_links(context) == links
    wider = open_context(**{**KEYS, "name": without.stream.name, "identity": {**IDENTITY, "shared_above": 2}})
    assert people(wider) == {"phone": "ann", "pc": "ann"}
    assert stored_links(wider) == links
    again = open_context(columns=COLUMNS, name=without.stream.name)
    again.source.files.update(without.source.files)  # type: ignore[attr-defined]
    run_pending(again)
    assert stored_links(again) == set()


@pytest.mark.slow
def test_links_that_were_changed_by_hand_are_found_and_made_right(open_context: Open) -> None:
    context = open_context(**KEYS)
    put(context, "a", lines(("phone", "ann", 0), ("pc", "bob", 5)), DAYS[0])
    put(context, "b", lines(("tv", "ann", 0)), DAYS[1])
    run_pending(context)
    links = stored_links(context)
    assert verify(context, "a-run", deep=True).problems == []
    table_of_links = Identifier(context.stream.name, "identity_links")
    with context.database.transaction() as connection:
        connection.execute(SQL("delete from {} where anonymous_id = 'pc'").format(table_of_links))
        connection.execute(SQL("update {} set events = 2 where anonymous_id = 'tv'").format(table_of_links))
    found = verify(context, "a-run", deep=True).problems
    assert [(problem["asset"], problem["partition"]) for problem in found] == [
        ("identity_links", DAYS[0]),
        ("identity_links", DAYS[1]),
    ]
    verify(context, "a-run", deep=True, repairing=True)
    assert stored_links(context) == links
