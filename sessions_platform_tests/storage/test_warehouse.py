"""Tables derive from the contract; a load changes only what differs, atomically, and blocks no reader."""

import itertools
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg import errors
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

from sessions_platform.contracts.rejected_events import REJECTED_EVENTS
from sessions_platform.contracts.sessions import session_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.warehouses.postgres.loader import Loaded, Warehouse
from sessions_platform.storage.warehouses.postgres.merge import stage
from sessions_platform.storage.warehouses.postgres.queries import WarehouseQueries
from sessions_platform.storage.warehouses.postgres.tables import WarehouseError, WarehouseTables
from sessions_platform_tests.streams import DAY_ONE, PLAIN, stream

ONE, TWO = "2026-01-01", "2026-01-02"
MINUTE = timedelta(minutes=1)
GAP = timedelta(minutes=30)
COLUMNS: dict[str, Any] = {
    **PLAIN["columns"],
    "amount": {"type": "float", "nullable": True},
    "stars": {"type": "integer", "nullable": True},
    "new": {"type": "boolean", "nullable": True},
    "seen": {"type": "timestamp", "nullable": True, "formats": ["%+"]},
}
OWN = {name: {"last": name} for name in ("page_url", "amount", "stars", "new", "seen")}
Row = dict[str, Any]

_names = itertools.count()


class Shop:
    """One stream's tables in the database that all tests share."""

    def __init__(self, database: Database, of: Stream) -> None:
        self.database, self.stream, self.warehouse = database, of, Warehouse(WarehouseTables(of))

    def prepare(self) -> "Shop":
        with self.database.transaction() as connection:
            self.warehouse.tables.prepare(connection)
        return self

    def session(self, name: str, user: str = "ann", minute: float = 0, **more: Any) -> Row:
        """A session of five minutes from a minute on, in its day's partition; its own columns are null."""
        start = DAY_ONE + minute * MINUTE
        row = {
            "session_id": name,
            "user_id": user,
            "session_start": start,
            "session_end": start + 5 * MINUTE,
            "duration_seconds": 300.0,
            "event_count": 2,
            "primary_action": "view",
            "session_partition": f"{start:%Y-%m-%d}",
            "session_rule_version": self.stream.session_rule_version,
        }
        return {**dict.fromkeys(session_columns(self.stream)), **row, **more}

    def frame(self, *sessions: Row) -> pl.DataFrame:
        return pl.DataFrame(list(sessions), schema=session_columns(self.stream), orient="row")

    def load(self, *sessions: Row, into: Sequence[str] = (ONE,), run_id: str = "a run", **options: Any) -> Loaded:
        with self.database.transaction() as connection:
            return self.load_in(connection, self.frame(*sessions), into, run_id, **options)

    def load_in(
        self,
        connection: psycopg.Connection,
        sessions: pl.DataFrame,
        into: Sequence[str] = (ONE,),
        run_id: str = "a run",
        merged_into: Callable[[Sequence[str]], Mapping[str, str]] = lambda _vanished: {},
    ) -> Loaded:
        with self.warehouse.staged_sessions([sessions]) as staged_sessions:
            staged = self.warehouse.stage_sessions(connection, staged_sessions)
            return self.warehouse.load_sessions(connection, staged_sessions, into, run_id, merged_into, staged)

    def rejected(self, name: str, landing: str = ONE, **more: Any) -> Row:
        row = {
            "rejection_id": name,
            "landing_partition": landing,
            "source_uri": "a.ndjson",
            "position": 1,
            "payload": "{",
            "payload_encoding": "utf-8",
            "reasons": [{"code": "malformed", "column": "", "rule": "is no JSON", "value": None}],
            "contract_version": self.stream.contract_version,
        }
        return {**row, **more}

    def reject(self, *rows: Row, landing: str = ONE, run_id: str = "a run") -> Loaded:
        frame = pl.DataFrame(list(rows), schema=REJECTED_EVENTS, orient="row")
        with self.database.transaction() as connection:
            return self.warehouse.load_rejected(connection, [frame], [landing], run_id)

    def table(self, name: str = "sessions", columns: str = "*") -> list[Row]:
        return self.database.query(f"select {columns} from {self.stream.name}.{name} order by 1")

    def as_stored(self, name: str = "sessions") -> dict[str, Row]:
        """The table, with columns that change when a row is written again, even with the same values."""
        columns = "*, xmin::text, ctid::text"
        return {next(iter(row.values())): row for row in self.table(name, columns)}

    @property
    def changes(self) -> list[tuple[str, str, str | None]]:
        """Session, change and the session that it was merged into, in order."""
        rows = self.table("session_changes", "changed_at, session_id, change, merged_into")
        return [(row["session_id"], row["change"], row["merged_into"]) for row in rows]


@pytest.fixture
def open_shop(database: Database) -> Callable[..., Shop]:
    """Makes a stream of a name of its own, with its tables."""

    def make(**changes: Any) -> Shop:
        named = {"name": f"shop{next(_names)}", "columns": COLUMNS, "session": {"columns": OWN}, **changes}
        Ledger(database, named["name"]).prepare({})
        return Shop(database, stream(**named)).prepare()

    return make


@pytest.fixture
def shop(open_shop: Callable[..., Shop]) -> Shop:
    return open_shop()


@pytest.fixture(scope="module")
def one_shop(database: Database) -> Shop:
    """For tests that leave nothing behind."""
    Ledger(database, "shop").prepare({})
    return Shop(database, stream(name="shop", columns=COLUMNS, session={"columns": OWN})).prepare()


# Values --------------------------------------------------------------------------------------------------

NASTY = [
    "",
    "\\N",
    '"',
    '""',
    '"\\N"',
    "\n",
    "\r\n",
    "\\",
    "\\.",
    "\\n",
    ",",
    "a,b",
    "null",
    "NULL",
    "é😀",
    " a ",
    "\t",
    "'",
    "\x7f\x01",
]
text = st.sampled_from(NASTY) | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
own_columns = st.fixed_dictionaries(
    {},
    optional={
        "page_url": st.none() | text,
        "primary_action": st.none() | text,
        "amount": st.none() | st.floats(allow_nan=False),
        "stars": st.none() | st.integers(-(2**63), 2**63 - 1),
        "new": st.none() | st.booleans(),
        "seen": st.none() | st.datetimes(timezones=st.just(UTC)),
    },
)


def read_back(shop: Shop, rows: Sequence[Row]) -> list[Row]:
    """What PostgreSQL understood of rows that were copied to it."""
    with shop.database.transaction() as connection, connection.cursor(row_factory=dict_row) as cursor:
        stage(connection, shop.warehouse.tables.sessions, [shop.frame(row) for row in rows])
        return cursor.execute("select * from staged order by session_id").fetchall()


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(own_columns, max_size=8))
@example([{"page_url": value} for value in NASTY])
@example(
    [{"amount": value} for value in [-0.0, 0.0, 5e-324, -5e-324, 1e308, 1.7976931348623157e308, 0.1, 1 / 3, 1e-7, 1e16]]
)
@example([{"amount": math.inf}, {"amount": -math.inf}])
@example([{"seen": datetime(1, 1, 1, tzinfo=UTC)}, {"seen": datetime.max.replace(tzinfo=UTC)}])
@example([{"seen": datetime(999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)}])
def test_values_are_loaded_unchanged(one_shop: Shop, values: list[Row]) -> None:
    rows = [one_shop.session(f"{place:03}", **own) for place, own in enumerate(values)]
    found = read_back(one_shop, rows)
    assert found == rows
    assert [repr(row["amount"]) for row in found] == [repr(row["amount"]) for row in rows]  # -0.0 equals 0.0


def test_reasons_are_stored_as_json(shop: Shop) -> None:
    reasons = [
        {"code": "not_allowed", "column": 'a"b', "rule": "isin ['\\N', ',']", "value": value}
        for value in [None, "", "\\N", '"', "é\n😀", "\\u0000", "\x01"]
    ]
    shop.reject(shop.rejected("a", reasons=reasons, payload='\\N"\n,', source_uri="a b/é,\n.csv"))
    (row,) = shop.table("rejected_events")
    assert row["reasons"] == reasons
    assert (row["payload"], row["source_uri"]) == ('\\N"\n,', "a b/é,\n.csv")


def test_rows_are_copied_in_parts_of_any_number(shop: Shop) -> None:
    many = [shop.session(f"{n:06}", minute=n % 1000) for n in range(3)]
    frames = [shop.frame(), shop.frame(*many[:1]), shop.frame(*many[1:]), shop.frame()]
    with shop.database.transaction() as connection, shop.warehouse.staged_sessions(iter(frames)) as staged_sessions:
        assert shop.warehouse.load_sessions(connection, staged_sessions, [ONE], "a run", lambda _: {}).inserted == 3


# Tables --------------------------------------------------------------------------------------------------


def standing_columns(shop: Shop, table: str) -> dict[str, str]:
    rows = shop.database.query(
        f"""select column_name, data_type from information_schema.columns
            where table_schema = '{shop.stream.name}' and table_name = '{table}' order by ordinal_position"""
    )
    return {row["column_name"]: row["data_type"] for row in rows}


def test_the_tables_are_those_of_the_contract(shop: Shop) -> None:
    moment, text_, number = "timestamp with time zone", "text", "double precision"
    assert standing_columns(shop, "sessions") == {
        "session_id": text_,
        "user_id": text_,
        "session_start": moment,
        "session_end": moment,
        "duration_seconds": number,
        "event_count": "bigint",
        "primary_action": text_,
        "entry_page": text_,
        "exit_page": text_,
        "page_url": text_,
        "amount": number,
        "stars": "bigint",
        "new": "boolean",
        "seen": moment,
        "session_partition": text_,
        "session_rule_version": text_,
        "open_until": moment,
        "loaded_at": moment,
    }
    assert standing_columns(shop, "rejected_events") == {
        "rejection_id": text_,
        "landing_partition": text_,
        "source_uri": text_,
        "position": "bigint",
        "payload": text_,
        "payload_encoding": text_,
        "reasons": "jsonb",
        "contract_version": text_,
        "rows": "bigint",
        "rejected_at": moment,
        "run_id": text_,
    }


@pytest.mark.parametrize(("table", "key"), [("sessions", "session_id"), ("rejected_events", "rejection_id")])
def test_each_row_has_a_key(shop: Shop, table: str, key: str) -> None:
    (found,) = shop.database.query(
        f"""select pg_get_constraintdef(oid) as key from pg_constraint
            where conrelid = '{shop.stream.name}.{table}'::regclass and contype = 'p'"""
    )
    assert found["key"] == f"PRIMARY KEY ({key})"


def test_a_name_that_is_an_sql_keyword_is_quoted(open_shop: Callable[..., Shop]) -> None:
    odd = open_shop(name="select", session={"columns": {"order": {"first": "page_url"}, "group": {"max": "stars"}}})
    odd.load(odd.session("a", order="x", group=3))
    (row,) = odd.database.query('select "order", "group" from "select".sessions')
    assert row == {"order": "x", "group": 3}


def test_existing_tables_are_left_alone(shop: Shop) -> None:
    with shop.database.transaction(read_only=True) as connection:
        shop.warehouse.tables.prepare(connection)


def test_concurrent_processes_may_prepare_the_tables(database: Database) -> None:
    """As the assets of a new stream do that start together."""
    named = stream(name=f"shop{next(_names)}")
    Ledger(database, named.name).prepare({})
    failures: list[BaseException] = []

    def prepare() -> None:
        try:
            Shop(database, named).prepare()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_new_column_is_added_to_an_existing_table(open_shop: Callable[..., Shop]) -> None:
    old = open_shop(session={"columns": {"stars": {"sum": "stars"}}})
    old.load(old.session("a", stars=1), old.session("b", stars=2))
    before = old.as_stored()
    new = open_shop(name=old.stream.name, session={"columns": {"total": {"sum": "amount"}, "stars": {"sum": "stars"}}})
    rows = {row["session_id"]: row for row in new.table()}
    assert [row["total"] for row in rows.values()] == [None, None]
    assert {name: row["loaded_at"] for name, row in rows.items()} == {
        name: row["loaded_at"] for name, row in before.items()
    }
    loaded = new.load(new.session("a", stars=1, total=0.5), new.session("b", stars=2))
    assert loaded.updated == 2  # the policy is another
    assert {row["session_id"]: row["total"] for row in new.table("sessions_now", "session_id, total")} == {
        "a": 0.5,
        "b": None,
    }


def test_a_column_that_left_the_contract_stays_and_is_null_for_new_rows(
    open_shop: Callable[..., Shop],
) -> None:
    old = open_shop(session={"columns": {"stars": {"sum": "stars"}}})
    old.load(old.session("a", stars=1))
    new = open_shop(name=old.stream.name, session={})
    new.load(new.session("a"), new.session("b"))
    assert [(row["session_id"], row["stars"]) for row in new.table()] == [("a", 1), ("b", None)]


def test_a_changed_type_is_an_error_with_file_column_and_fix(open_shop: Callable[..., Shop]) -> None:
    old = open_shop(session={"columns": {"best": {"max": "stars"}}})
    old.load(old.session("a", best=5))
    with pytest.raises(WarehouseError) as caught:
        open_shop(name=old.stream.name, session={"columns": {"best": {"max": "amount"}}})
    message = str(caught.value)
    assert message.startswith(f"{old.stream.path}: column best: ")
    assert f"{old.stream.name}.sessions has it as bigint, the contract says double precision" in message
    assert f"Fix: run `sessions-platform rebuild {old.stream.name}`, give the column another name, or change" in message
    assert "\n" not in message
    assert [row["best"] for row in old.table()] == [5]


# Loads ---------------------------------------------------------------------------------------------------


def test_loading_twice_changes_nothing(shop: Shop) -> None:
    rows = [
        shop.session("a", amount=-0.0, page_url=""),
        shop.session("b", "bob", 10, stars=2**62),
        shop.session("c", "eve"),
    ]
    assert shop.load(*rows) == Loaded(3, 0, 0)
    before, logged = shop.as_stored(), shop.changes
    for _ in range(2):
        assert shop.load(*reversed(rows), run_id="another") == Loaded(0, 0, 0)
    assert shop.as_stored() == before
    assert shop.changes == logged


def test_only_what_differs_is_written(shop: Shop) -> None:
    stays, grows, goes = shop.session("a"), shop.session("b", "bob"), shop.session("c", "cid")
    elsewhere = shop.session("d", "dan", 1500)
    shop.load(stays, grows, goes, elsewhere, into=[ONE, TWO])
    before = shop.as_stored()
    come = shop.session("e", "eve")
    assert shop.load(stays, {**grows, "event_count": 3}, come) == Loaded(inserted=1, updated=1, deleted=1)
    after = shop.as_stored()
    assert after.keys() == {"a", "b", "d", "e"}
    assert (after["a"], after["d"]) == (before["a"], before["d"])
    assert after["b"]["event_count"] == 3
    assert after["b"]["loaded_at"] > before["b"]["loaded_at"]


@pytest.mark.parametrize(
    ("column", "old", "new"),
    [
        ("page_url", None, ""),
        ("page_url", "", None),
        ("page_url", "\\N", None),
        ("page_url", "a", "a "),
        ("amount", 1.0, 1.0000000000000002),
        ("stars", None, 0),
        ("new", None, False),
        ("seen", DAY_ONE, DAY_ONE + timedelta(microseconds=1)),
        ("session_rule_version", "old", "new"),
    ],
)
def test_the_smallest_difference_is_a_change(shop: Shop, column: str, old: Any, new: Any) -> None:
    shop.load(shop.session("a", **{column: old}))
    assert shop.load(shop.session("a", **{column: new})).updated == 1
    assert [row[column] for row in shop.table()] == [new]


def test_a_partition_that_has_become_empty_is_emptied_and_no_other(shop: Shop) -> None:
    shop.load(shop.session("a"), shop.session("b", "bob", 1500), into=[ONE, TWO])
    assert shop.load(into=[ONE]) == Loaded(0, 0, 1)
    assert [row["session_id"] for row in shop.table()] == ["b"]


def test_a_load_changes_no_other_stream(open_shop: Callable[..., Shop]) -> None:
    one, two = open_shop(), open_shop()
    one.load(one.session("a"))
    two.load(two.session("a"))
    two.load(into=[ONE])
    assert len(one.table()) == 1


def test_loads_log_the_change_of_each_session(shop: Shop) -> None:
    shop.load(shop.session("a"), shop.session("b", "bob"), shop.session("c", "cid"))
    shop.load(
        shop.session("a", event_count=3),
        shop.session("d", "bob"),
        run_id="second",
        merged_into=lambda vanished: {name: "d" for name in vanished if name == "b"},
    )
    assert sorted(shop.changes[:3]) == [("a", "appeared", None), ("b", "appeared", None), ("c", "appeared", None)]
    assert sorted(shop.changes[3:]) == [
        ("a", "changed", None),
        ("b", "vanished", "d"),
        ("c", "vanished", None),
        ("d", "appeared", None),
    ]
    rows = shop.table("session_changes", "changed_at, run_id, session_partition")
    assert [(row["run_id"], row["session_partition"]) for row in rows] == [("a run", ONE)] * 3 + [("second", ONE)] * 4


def test_the_lineage_is_not_looked_up_where_nothing_vanishes(shop: Shop) -> None:
    def must_not_ask(vanished: Sequence[str]) -> Mapping[str, str]:
        raise AssertionError(vanished)

    assert shop.load(shop.session("a"), merged_into=must_not_ask).inserted == 1


def test_totals_are_those_of_the_table(shop: Shop) -> None:
    queries = WarehouseQueries(shop.warehouse.tables)
    with shop.database.transaction() as connection:
        assert set(queries.totals(connection).values()) == {0}
    microsecond = shop.session("c", session_end=DAY_ONE + timedelta(microseconds=1), duration_seconds=1e-6)
    shop.load(shop.session("a"), shop.session("b", minute=60, event_count=5), {**microsecond, "user_id": "bob"})
    with shop.database.transaction() as connection:
        totals = queries.totals(connection)
    assert totals == {"sessions": 3, "users": 2, "events_in_sessions": 9, "total_duration_seconds": 600.000001}


# Open sessions -------------------------------------------------------------------------------------------


def open_until(shop: Shop) -> dict[str, datetime | None]:
    return {row["session_id"]: row["open_until"] for row in shop.table()}


def test_a_users_last_session_is_open_until_the_gap_has_passed(shop: Shop) -> None:
    shop.load(shop.session("a"), shop.session("b", minute=60), shop.session("c", "bob", 10))
    assert open_until(shop) == {"a": None, "b": DAY_ONE + 65 * MINUTE + GAP, "c": DAY_ONE + 15 * MINUTE + GAP}


def test_a_session_is_ended_from_another_partition_and_opened_again(shop: Shop) -> None:
    shop.load(shop.session("a"), shop.session("z", "zoe"))
    before = shop.as_stored()
    last = DAY_ONE + 5 * MINUTE + GAP
    assert open_until(shop) == {"a": last, "z": last}
    shop.load(shop.session("b", minute=1500), into=[TWO])
    assert open_until(shop) == {"a": None, "z": last, "b": DAY_ONE + 1505 * MINUTE + GAP}
    assert shop.as_stored()["a"]["loaded_at"] == before["a"]["loaded_at"]
    assert shop.as_stored()["z"] == before["z"]
    shop.load(into=[TWO])
    assert open_until(shop) == {"a": last, "z": last}
    assert [(name, change) for name, change, _ in shop.changes][2:] == [("b", "appeared"), ("b", "vanished")]


def test_a_session_that_moves_to_another_user_reopens_the_former_users_last_one(shop: Shop) -> None:
    shop.load(shop.session("a"), shop.session("b", minute=60))
    shop.load(shop.session("a"), shop.session("b", "bob", 60))
    assert open_until(shop) == {"a": DAY_ONE + 5 * MINUTE + GAP, "b": DAY_ONE + 65 * MINUTE + GAP}


def test_the_end_of_a_session_that_grew_moves_its_open_until(shop: Shop) -> None:
    shop.load(shop.session("a"))
    shop.load(shop.session("a", session_end=DAY_ONE + 9 * MINUTE))
    assert open_until(shop) == {"a": DAY_ONE + 9 * MINUTE + GAP}


# Rejected rows -------------------------------------------------------------------------------------------


def test_rejected_rows_keep_the_time_and_run_of_their_first_rejection(shop: Shop) -> None:
    assert shop.reject(shop.rejected("a"), shop.rejected("b"), run_id="first") == Loaded(2, 0, 0)
    before = shop.as_stored("rejected_events")
    assert {row["run_id"] for row in before.values()} == {"first"}
    assert shop.reject(shop.rejected("a"), shop.rejected("b"), run_id="second") == Loaded(0, 0, 0)
    assert shop.as_stored("rejected_events") == before

    judged_otherwise = shop.rejected("a", reasons=[], contract_version="newer")
    assert shop.reject(judged_otherwise, shop.rejected("c"), run_id="third") == Loaded(1, 1, 1)
    after = shop.as_stored("rejected_events")
    assert after["a"]["contract_version"] == "newer"
    assert (after["a"]["rejected_at"], after["a"]["run_id"]) == (before["a"]["rejected_at"], "first")
    assert after["c"]["run_id"] == "third"
    assert after["c"]["rejected_at"] > before["a"]["rejected_at"]


def test_rejected_rows_of_another_landing_partition_stay(shop: Shop) -> None:
    shop.reject(shop.rejected("a"), landing=ONE)
    shop.reject(shop.rejected("b", TWO), landing=TWO)
    shop.reject(landing=ONE)
    assert [row["rejection_id"] for row in shop.table("rejected_events")] == ["b"]


# Readers and failures ------------------------------------------------------------------------------------


def test_readers_see_the_old_state_and_then_the_new_one_and_are_not_blocked(shop: Shop) -> None:
    shop.load(shop.session("a"), shop.session("b", "bob", 1500), into=[ONE, TWO])
    shop.reject(shop.rejected("a"))
    query = SQL("select session_id from {} order by 1").format(Identifier(shop.stream.name, "sessions_now"))
    rejected = SQL("select count(*) from {}").format(Identifier(shop.stream.name, "rejected_events"))
    with psycopg.connect(shop.database.url, autocommit=True) as reader:
        reader.execute("set lock_timeout = 1")
        reader.execute("set statement_timeout = '2s'")

        def seen() -> list[str]:
            assert reader.execute(rejected).fetchone() == (1,)
            return [name for (name,) in reader.execute(query).fetchall()]

        with shop.database.transaction() as connection:
            shop.load_in(connection, shop.frame(shop.session("a", event_count=9), shop.session("c")), [ONE, TWO])
            assert seen() == ["a", "b"]
            empty = pl.DataFrame(schema=REJECTED_EVENTS)
            shop.warehouse.load_rejected(connection, [empty, rejected_rows(shop, "b")], [ONE], "a run")
            assert seen() == ["a", "b"]
        assert seen() == ["a", "c"]


def rejected_rows(shop: Shop, *names: str) -> pl.DataFrame:
    return pl.DataFrame([shop.rejected(name) for name in names], schema=REJECTED_EVENTS)


def test_a_reader_that_polls_sees_two_states_and_no_third(shop: Shop) -> None:
    old = [shop.session(f"old {n}", minute=n, event_count=1) for n in range(300)]
    new = [shop.session(f"new {n}", minute=n, event_count=2) for n in range(200)]
    shop.load(*old)
    seen: set[tuple[int, int]] = set()
    failures: list[BaseException] = []
    done = threading.Event()

    def poll() -> None:
        query = SQL("select count(*), sum(event_count)::int from {}").format(Identifier(shop.stream.name, "sessions"))
        try:
            with psycopg.connect(shop.database.url, autocommit=True) as reader:
                reader.execute("set statement_timeout = '2s'")
                while not done.is_set():
                    seen.update(reader.execute(query).fetchall())
        except BaseException as error:
            failures.append(error)

    reader = threading.Thread(target=poll)
    reader.start()
    try:
        for rows in (new, old, new):
            shop.load(*rows)
    finally:
        done.set()
        reader.join()
    assert failures == []
    assert seen <= {(300, 300), (200, 400)}


def test_staging_blocks_no_other_writer(shop: Shop) -> None:
    """Copying may take minutes; only what comes after it is done one at a time."""
    ledger = Ledger(shop.database, shop.stream.name)
    with shop.database.transaction() as copying:
        stage(copying, shop.warehouse.tables.sessions, [shop.frame(shop.session("a"))])
        with shop.database.transaction() as other:
            other.execute("set lock_timeout = 1")
            ledger.lock(other)
            assert shop.load_in(other, shop.frame(shop.session("b"))).inserted == 1


def test_an_error_in_the_rows_is_raised_and_leaves_the_old_table(shop: Shop) -> None:
    shop.load(shop.session("a"))
    before = shop.as_stored()

    def frames() -> Iterable[pl.DataFrame]:
        yield shop.frame(shop.session("b"))
        raise KeyError("a defect")

    with pytest.raises(KeyError, match="a defect"), shop.database.transaction() as connection:
        stage(connection, shop.warehouse.tables.sessions, frames())
    assert shop.as_stored() == before


def test_two_rows_of_one_key_are_an_error_and_leave_the_old_table(shop: Shop) -> None:
    shop.load(shop.session("a"))
    before = shop.as_stored()
    with pytest.raises(errors.UniqueViolation):
        shop.load(shop.session("b"), shop.session("b", "bob"))
    assert shop.as_stored() == before
    assert len(shop.changes) == 1


def test_a_backend_that_dies_in_the_middle_of_a_load_leaves_the_old_table(shop: Shop) -> None:
    shop.load(shop.session("a"))
    before = shop.as_stored()

    def die(connection: psycopg.Connection) -> None:
        shop.load_in(connection, shop.frame(shop.session("a", event_count=9), shop.session("b")))
        with shop.database.transaction() as other:
            other.execute("select pg_terminate_backend(%s)", [connection.info.backend_pid])

    with pytest.raises(psycopg.OperationalError), shop.database.transaction() as connection:
        die(connection)
    assert shop.as_stored() == before
    assert shop.load(shop.session("a", event_count=9), shop.session("b")) == Loaded(1, 1, 0)
