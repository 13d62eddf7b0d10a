"""Copying rows gives the same table as comparing them, and a partition is skipped only where it is unchanged."""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sessions_platform.storage.postgres.roles import as_owner
from sessions_platform.storage.warehouses.postgres.hash_set import HashSet
from sessions_platform.storage.warehouses.postgres.loaded_partitions import LoadedPartitions, TransactionHorizon
from sessions_platform.storage.warehouses.postgres.loader import Loaded, Warehouse
from sessions_platform.storage.warehouses.postgres.staged_sessions import StagedSessions
from sessions_platform_tests.storage.test_warehouse import DAY_ONE, GAP, MINUTE, ONE, TWO, Row, Shop, open_shop, shop

__all__ = ["open_shop", "shop"]

DAYS = [ONE, TWO, "2026-01-03"]
# Few users and few moments, so that sessions begin together, and end together too
sessions = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cid"]), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)),
    max_size=8,
)


@pytest.fixture(scope="module")
def pair(database: Any) -> tuple[Shop, Shop]:
    from sessions_platform.storage.ledger.ledger import Ledger
    from sessions_platform_tests.streams import stream

    made = []
    for name in ("fast", "plain"):
        Ledger(database, name).prepare({})
        made.append(Shop(database, stream(name=name)).prepare())
    return made[0], made[1]


def rows_of(one: Shop, drawn: Sequence[tuple[str, int, int, int]]) -> list[Row]:
    """A session each: user, day, start and length; alike ones differ by their names."""
    rows = []
    for place, (user, day, start, length) in enumerate(drawn):
        row = one.session(f"{user}{day}{start}{length}{place}", user, 24 * 60 * day + start)
        rows.append({**row, "session_end": row["session_start"] + length * MINUTE})
    return rows


def reference_open_until(rows: Sequence[Row]) -> dict[str, Any]:
    """What open_until should be: end + gap of the last session of each user, and of those that tie with it."""

    def place(row: Row) -> tuple[Any, Any]:
        return row["session_start"], row["session_end"]

    last = {row["user_id"]: max(place(other) for other in rows if other["user_id"] == row["user_id"]) for row in rows}
    return {r["session_id"]: r["session_end"] + GAP if place(r) == last[r["user_id"]] else None for r in rows}


def load(one: Shop, frames: Sequence[Sequence[Row]], into: Sequence[str], prefetch: bool = True) -> Loaded:
    with (
        one.warehouse.staged_sessions(one.frame(*rows) for rows in frames) as staged_sessions,
        one.database.transaction() as connection,
    ):
        staged = one.warehouse.stage_sessions(connection, staged_sessions) if prefetch else []
        return one.warehouse.load_sessions(connection, staged_sessions, into, "a run", lambda _: {}, staged)


def clear(*shops: Shop) -> None:
    for one in shops:
        with one.database.transaction() as connection:
            for table in ("sessions", "session_changes", "loaded_partitions"):
                connection.execute(f"truncate {one.stream.name}.{table}".encode())


def stored(one: Shop) -> tuple[list[Row], list[Row]]:
    """The tables, without the times of writing."""
    rows = [{**row, "loaded_at": None, "session_rule_version": None} for row in one.table()]
    columns = "session_id, change, merged_into, session_partition, run_id"
    return rows, sorted(one.table("session_changes", columns), key=str)


@pytest.mark.slow
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sessions, sessions, st.integers(1, 3), st.booleans())
@example([("ann", 0, 0, 0), ("ann", 0, 0, 1)], [("ann", 0, 0, 1), ("ann", 0, 0, 2)], 3, True)
@example([("ann", 0, 0, 0), ("ann", 0, 0, 1)], [("ann", 0, 0, 2), ("ann", 0, 0, 1)], 1, True)
def test_copied_and_compared_sessions_end_up_the_same(
    pair: tuple[Shop, Shop],
    first: list[tuple[str, int, int, int]],
    second: list[tuple[str, int, int, int]],
    cut: int,
    prefetch: bool,
) -> None:
    """Two loads, in frames cut anyhow; the other table neither copies nor recognises unchanged partitions."""
    fast, plain = pair
    clear(fast, plain)
    with pytest.MonkeyPatch.context() as patch:
        for drawn in (first, second, second):
            rows = rows_of(fast, drawn)
            done = load(fast, [rows[:cut], rows[cut:]], DAYS, prefetch)
            patch.setattr(Warehouse, "_append", lambda *_: 0)
            patch.setattr(LoadedPartitions, "with_same_digest", lambda *_: {})
            assert load(plain, [rows], DAYS) == done
            patch.undo()
            assert stored(fast) == stored(plain)
            assert {row["session_id"]: row["open_until"] for row in fast.table()} == reference_open_until(rows)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sessions, st.permutations(DAYS))
def test_open_until_is_right_whichever_partition_comes_first(
    pair: tuple[Shop, Shop], drawn: list[tuple[str, int, int, int]], days: list[str]
) -> None:
    fast, _ = pair
    clear(fast)
    rows = rows_of(fast, drawn)
    for day in days:
        load(fast, [[row for row in rows if row["session_partition"] == day]], [day])
    assert {row["session_id"]: row["open_until"] for row in fast.table()} == reference_open_until(rows)


@pytest.mark.parametrize("all_alike", [False, True], ids=["hashes", "all hashes alike"])
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sessions, st.permutations(DAYS))
def test_open_until_is_right_in_whatever_order_one_load_has_the_partitions(
    pair: tuple[Shop, Shop], all_alike: bool, drawn: list[tuple[str, int, int, int]], days: list[str]
) -> None:
    fast, _ = pair
    clear(fast)
    rows = rows_of(fast, drawn)
    with pytest.MonkeyPatch.context() as patch:
        if all_alike:  # the plant: whoever comes later seems to have newer sessions
            patch.setattr(HashSet, "contain", lambda self, users: pl.repeat(bool(self._sorted), len(users), eager=True))
        load(fast, [[row for row in rows if row["session_partition"] == day] for day in days], DAYS)
    assert {row["session_id"]: row["open_until"] for row in fast.table()} == reference_open_until(rows)


def test_a_first_load_of_many_partitions_writes_no_row_twice(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    updates = []
    update = Warehouse._update_open_until

    def counted(self: Warehouse, connection: Any, *more: Any) -> None:
        update(self, connection, *more)
        updates.append(_open_until_updates(connection))

    monkeypatch.setattr(Warehouse, "_update_open_until", counted)
    rows = [shop.session(f"{user}{day}", user, 24 * 60 * day) for day in (2, 1, 0) for user in ("ann", "bob")]
    assert shop.load(*rows, into=DAYS) == Loaded(6, 0, 0)
    assert updates == [0]
    assert {row["session_id"]: row["open_until"] for row in shop.table()} == reference_open_until(rows)


def _open_until_updates(connection: Any) -> int:
    """How many rows got another open_until."""
    (table,) = connection.execute("select to_regclass('pg_temp.open_until_updates')").fetchone()
    return connection.execute("select count(*) from open_until_updates").fetchone()[0] if table else 0


def comparisons(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The partitions that each load compares from now on."""
    compared: list[list[str]] = []
    compare = Warehouse._compare

    def spy(self: Warehouse, connection: Any, of: StagedSessions, partitions: list[str], *more: Any) -> Loaded:
        compared.append(sorted(partitions))
        return compare(self, connection, of, partitions, *more)

    monkeypatch.setattr(Warehouse, "_compare", spy)
    return compared


def test_the_last_loaded_state_is_recognised_and_not_compared(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = comparisons(monkeypatch)
    rows = [shop.session("a"), shop.session("b", "bob", 1500)]
    shop.load(*rows, into=[ONE, TWO])
    before = shop.as_stored()
    assert shop.load(*reversed(rows), into=[ONE, TWO], run_id="another") == Loaded(0, 0, 0)
    assert compared == []
    rows[1] = {**rows[1], "event_count": 9}
    assert shop.load(*rows, into=[ONE, TWO]) == Loaded(0, 1, 0)
    assert compared == [[TWO]]
    assert shop.load(*rows, into=[ONE, TWO]) == Loaded(0, 0, 0)
    assert compared == [[TWO]]
    assert shop.as_stored()["a"] == before["a"]


@pytest.mark.parametrize(
    "edit",
    [
        "update {table} set event_count = 99 where session_id = 'a'",
        "update {table} set session_partition = '2026-01-02' where session_id = 'a'",
        "update {table} set session_partition = '2026-01-02'",
        "update {table} set session_id = 'x' where session_id = 'a'",
        "delete from {table} where session_id = 'a'",
        "delete from {table}",
        "insert into {table} select 'x', user_id, session_start, session_end, 1, 1, null, null, null, null, null, null,"
        " null, null, session_partition, session_rule_version from {table} where session_id = 'a'",
        "truncate {table}",
        "alter table {table} drop column amount cascade; alter table {table} add amount double precision",
        "alter table {table} rename stars to x; alter table {table} add stars bigint",
    ],
)
def test_a_reload_repairs_what_somebody_edited(shop: Shop, edit: str) -> None:
    rows = [shop.session("a", amount=1.5, stars=3), shop.session("b", "bob", 10, amount=2.5, stars=4)]
    shop.load(*rows)
    right = shop.table("sessions", ", ".join(rows[0]))
    with shop.database.transaction() as connection, as_owner(connection):
        connection.execute(edit.format(table=f"{shop.stream.name}.sessions").encode())
        assert connection.execute(f"select count(*) from {shop.stream.name}.loaded_partitions".encode()).fetchone()
    shop.prepare()
    shop.load(*rows)
    assert shop.table("sessions", ", ".join(rows[0])) == right


def test_an_edit_during_a_load_is_repaired_by_the_next(shop: Shop) -> None:
    """The edit is made after the rows were compared, and before the partition is recorded."""
    rows = [shop.session("a"), shop.session("b", "bob"), shop.session("c", "cid")]
    shop.load(*rows[:2])
    edit = f"update {shop.stream.name}.sessions set event_count = 99 where session_id = 'a'"

    def meanwhile(vanished: Sequence[str]) -> dict[str, str]:
        with shop.database.transaction() as connection:
            connection.execute(edit.encode())
        return dict.fromkeys(vanished, "c")

    shop.load(rows[0], rows[2], merged_into=meanwhile)  # b vanishes
    assert shop.load(rows[0], rows[2]).updated == 1
    assert [row["event_count"] for row in shop.table()] == [2, 2]


@pytest.mark.parametrize("oldest", [1_000, 2**32 - 5, 2**32, 7 * 2**32 + 3])
def test_a_transaction_id_is_older_or_newer_also_where_32_bits_overflow(oldest: int) -> None:
    horizon = TransactionHorizon(oldest, own=oldest + 10)
    assert horizon.covers([(oldest - 1) % 2**32, (oldest - 900) % 2**32, (oldest + 10) % 2**32])
    for running in (oldest, oldest + 9, oldest + 11):
        assert not horizon.covers([(oldest - 1) % 2**32, running % 2**32])


def test_sessions_that_exist_under_another_partition_move(shop: Shop) -> None:
    """As in a rebuild under another calendar."""
    shop.load(shop.session("a"), shop.session("b", "bob"))
    moved = [shop.session("a", session_partition=TWO), shop.session("c", session_partition=TWO)]
    assert shop.load(*moved, into=[ONE, TWO]) == Loaded(1, 1, 1)
    assert [(row["session_id"], row["session_partition"]) for row in shop.table()] == [("a", TWO), ("c", TWO)]
    changes = [("a", "appeared"), ("a", "changed"), ("b", "appeared"), ("b", "vanished"), ("c", "appeared")]
    assert sorted((session_id, change) for session_id, change, _ in shop.changes) == changes


def test_many_sessions_are_staged_and_loaded_whole(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than are kept in memory, in any order, and read back in chunks that end within rows."""
    from sessions_platform.storage.warehouses.postgres import copy_encoder, staged_sessions

    monkeypatch.setattr(staged_sessions, "_BYTES_IN_MEMORY", 1000)
    monkeypatch.setattr(staged_sessions, "_BYTES_AT_ONCE", 99)
    monkeypatch.setattr(copy_encoder, "_ROWS_AT_ONCE", 7)
    dice = random.Random(5)
    rows = [
        shop.session(
            f"{dice.getrandbits(128):032x}", f"user{dice.randrange(50)}", dice.randrange(4000), page_url="é" * n
        )
        for n in range(200)
    ]
    days = sorted({row["session_partition"] for row in rows})
    assert load(shop, [rows[:90], rows[90:]], days) == Loaded(200, 0, 0)
    assert shop.table("sessions", ", ".join(rows[0])) == sorted(rows, key=lambda row: row["session_id"])
    assert load(shop, [rows], days) == Loaded(0, 0, 0)


def test_partitions_that_were_not_requested_are_not_loaded(shop: Shop) -> None:
    """Another load has overtaken it."""
    shop.load(shop.session("a"), shop.session("b", "bob", 1500), into=[ONE, TWO])
    rows = [shop.session("a", event_count=9), shop.session("b", "bob", 1500, event_count=9)]
    assert load(shop, [rows], [TWO]) == Loaded(0, 1, 0)
    assert [row["event_count"] for row in shop.table()] == [2, 9]
    late = shop.session("l", "eve", (DAY_ONE + timedelta(days=3) - DAY_ONE) / MINUTE)
    assert load(shop, [[late]], [ONE]) == Loaded(0, 0, 1)


def test_the_indexes_exist_once_there_are_rows(open_shop: Callable[..., Shop]) -> None:
    one = open_shop()
    one.load(one.session("a"))
    named = f"select indexname from pg_indexes where schemaname = '{one.stream.name}' order by 1"
    found = {row["indexname"] for row in one.database.query(named)}
    assert {
        "sessions_session_partition_idx",
        "sessions_user_id_session_start_idx",
        "session_changes_session_id_idx",
        "session_changes_changed_at_idx",
    } <= found


def test_rows_that_change_stay_in_their_pages(open_shop: Callable[..., Shop]) -> None:
    """So that half of them can change without an entry in any index."""
    one = open_shop()
    rows = [one.session(f"{number:08x}", f"user{number}") for number in range(1000)]
    load(one, [rows], [ONE])
    before = pages(one)
    load(one, [[{**row, "event_count": 2 + place % 2} for place, row in enumerate(rows)]], [ONE])
    moved = [name for name, page in pages(one).items() if page != before[name]]
    assert len(moved) < 50


def pages(one: Shop) -> dict[str, str]:
    return {name: row["ctid"].split(",")[0] for name, row in one.as_stored().items()}


def test_tables_of_another_form_stay_so_and_are_loaded(open_shop: Callable[..., Shop]) -> None:
    """Made by an older version, or by somebody who would rather have them dense."""
    one = open_shop()
    name = one.stream.name
    with one.database.transaction() as connection, as_owner(connection):
        connection.execute(f"alter table {name}.sessions set (fillfactor = 100)".encode())
        by_id = f"create index session_changes_session_id_idx on {name}.session_changes (session_id)"
        connection.execute(by_id.encode())
    one.prepare()
    assert one.load(one.session("a")) == Loaded(1, 0, 0)
    assert one.load(one.session("a", event_count=9)) == Loaded(0, 1, 0)
    made = f"""select indexdef ilike '%using btree%' as is_btree, reloptions from pg_indexes, pg_class
        where schemaname = '{name}' and indexname = 'session_changes_session_id_idx'
        and pg_class.oid = '{name}.sessions'::regclass"""
    assert one.database.query(made) == [{"is_btree": True, "reloptions": ["fillfactor=100"]}]


def test_the_log_finds_a_session_by_its_id(open_shop: Callable[..., Shop]) -> None:
    """Through the index, which has only Bloom filters of the ids."""
    one = open_shop()
    rows = [one.session(f"{number:08x}", f"user{number}") for number in range(1000)]
    load(one, [rows], [ONE])
    load(one, [[*rows[:-1], {**rows[-1], "event_count": 9}]], [ONE])
    with one.database.transaction() as connection:
        connection.execute("set local enable_seqscan = off")
        query = f"select session_id, change from {one.stream.name}.session_changes where session_id = %s order by 2"
        plan = connection.execute(f"explain {query}".encode(), [rows[-1]["session_id"]]).fetchall()
        found = connection.execute(query.encode(), [rows[-1]["session_id"]]).fetchall()
    assert "session_changes_session_id_idx" in str(plan)
    assert found == [(rows[-1]["session_id"], "appeared"), (rows[-1]["session_id"], "changed")]
