"""Changes of a PostgreSQL table from the server's log, on a real server of its own: nothing lost, nothing doubled."""

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.errors import UserError
from sessions_platform.operations.status import pending_landing_partitions, status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.postgres import slot as slots
from sessions_platform.sources.postgres.changes import PostgresChanges
from sessions_platform.sources.postgres.slot import as_lsn, lsn_of
from sessions_platform.storage.postgres import embedded
from sessions_platform.storage.postgres.embedded import EmbeddedPostgres
from sessions_platform_tests.pipeline.steps import ingest_and_publish
from sessions_platform_tests.sources.shop import DAY_ONE, DAY_TWO, Shop, context_of, ids, insert, read

pytestmark = pytest.mark.usefixtures("on_day_one")


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[EmbeddedPostgres]:
    """A server whose log has the changes of rows."""
    with tempfile.TemporaryDirectory(prefix="log-", dir=settings.home.parent) as name:
        home = Path(name)
        home.chmod(0o755)
        first = embedded.attach(home)
        with psycopg.connect(first.url(), autocommit=True) as connection:
            connection.execute("alter system set wal_level = 'logical'")
        first.close()
        server = embedded.attach(home)
        yield server
        server.close()


class Logged(Shop):
    """A shop whose table is in a publication, and behind it a slot."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(url, name)
        self.run(f"alter table {name} replica identity full")
        self.run(f"create publication {name} for table {name}")
        self.create_slot(name)

    @property
    def way(self) -> dict[str, Any]:
        return {"slot": self.name, "publication": self.name}

    def create_slot(self, name: str) -> None:
        self.run(f"select pg_create_logical_replication_slot('{name}', 'pgoutput')")

    def drop_slot(self, name: str) -> None:
        self.run(f"select pg_drop_replication_slot('{name}')")

    def lsn(self, column: str) -> int:
        query = f"select {column}::text from pg_replication_slots where slot_name = '{self.name}'"
        found = self.connection.execute(query.encode()).fetchone()
        assert found is not None
        return lsn_of(found[0])


@pytest.fixture
def shop(server: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[Logged]:
    name = f"log_{abs(hash(request.node.nodeid)):x}"
    shop = Logged(server.url(), name)
    yield shop
    with psycopg.connect(server.url(), autocommit=True) as connection:
        for slot in connection.execute("select slot_name from pg_replication_slots").fetchall():
            connection.execute("select pg_drop_replication_slot(%s)", slot)
        connection.execute(f"drop table if exists {name} cascade".encode())
        connection.execute(f"drop publication if exists {name}".encode())
    shop.connection.close()


def begun(shop: Logged, settings: Settings) -> StreamContext:
    """A stream that has read the table's only row, e00000, which is older than the slot."""
    shop.drop_slot(shop.name)
    shop.sell(0)
    shop.create_slot(shop.name)
    context = context_of(shop, settings, shop.way)
    assert ids(read(context)) == ["e00000"]
    return context


def test_rows_from_before_the_slot_and_from_behind_it_are_read_once(shop: Logged, settings: Settings) -> None:
    context = begun(shop, settings)
    assert context.found().slices == []
    shop.sell(1)
    assert DAY_TWO in pending_landing_partitions(context, DAY_TWO)
    assert ids(read(context, DAY_TWO)) == ["e00000", "e00001"]
    assert ingest(context, [DAY_TWO], "again")[DAY_TWO].read == 0


def test_uris_have_the_order_of_the_log_and_the_snapshot_is_the_first(shop: Logged, settings: Settings) -> None:
    context = begun(shop, settings)
    shop.sell(1)
    read(context)
    uris = [file.uri for file in sorted(context.ledger.files(), key=lambda file: file.sequence or 0)]
    assert len(uris) == 2
    assert uris == sorted(uris)


@given(st.lists(st.integers(0, 2**64 - 1)))
def test_texts_of_positions_have_their_order(positions: list[int]) -> None:
    assert sorted(map(as_lsn, positions)) == list(map(as_lsn, sorted(positions)))
    assert [lsn_of(as_lsn(position)) for position in positions] == positions


def test_a_row_that_is_committed_late_is_read_once(shop: Logged, settings: Settings) -> None:
    context = begun(shop, settings)
    with shop.another_connection() as slow:
        slow.execute(insert(shop.name, 1, "2026-01-01T12:00Z").encode())
        shop.sell(2)
        assert ids(read(context)) == ["e00000", "e00002"]
        slow.commit()
    assert ids(read(context)) == ["e00000", "e00002", "e00001"]
    with shop.another_connection() as undone:
        undone.execute(insert(shop.name, 3, "2026-01-01T12:00Z").encode())
        undone.rollback()
    assert ids(read(context)) == ["e00000", "e00002", "e00001"]


def test_a_row_of_the_snapshot_and_the_change_that_made_it_are_one_event(shop: Logged, settings: Settings) -> None:
    context = context_of(shop, settings, shop.way)
    shop.run(
        f"alter table {shop.name} add b bool, add c char(5), add j jsonb, add f float8, add a text[], add n numeric"
    )
    shop.run(f"alter table {shop.name} add i interval, add y bytea, add p point, add d date, add t timestamp")
    shop.run(
        f"insert into {shop.name} values ('e\"\\\t', 'ann', '2026-01-01T12:00:00.5Z', 'view', 'infinity', default,"
        " true, 'x', '{\"a\": 1.10}', 'NaN', '{a,\"b c\"}', 1234567890123456789012345.10, '1 mon', '\\x00ff', '(1,2)',"
        " '2026-01-01', '0044-03-15 BC')"
    )
    shop.run(f"insert into {shop.name} (id, updated_at) values ('é\U0001f600\x01', now())")
    ingest_and_publish(context, DAY_ONE)
    raw = context.raw_events([DAY_ONE]).scan().collect()
    assert raw.height == 4
    assert raw["payload"].n_unique() == 2
    values = json.loads(raw["payload"][0])
    assert values["b"] == "t"
    assert values["c"] == "x    "
    assert values["at"] == "2026-01-01 12:00:00.5+00"
    assert values["n"] == "1234567890123456789012345.10"
    assert values["i"] == "P1M"


def test_an_update_is_another_row_and_long_values_that_it_leaves_are_in_it(shop: Logged, settings: Settings) -> None:
    shop.run(f"alter table {shop.name} alter type set storage external")
    shop.sell(1)
    shop.run(f"update {shop.name} set type = repeat('long', 10000)")
    context = context_of(shop, settings, shop.way)
    read(context)
    shop.run(f"update {shop.name} set \"user\" = 'bob'")
    row = read(context)[-1]
    assert row["user"] == "bob"
    assert row["type"] == "long" * 10000


def test_updates_that_would_leave_out_long_values_are_refused(shop: Logged, settings: Settings) -> None:
    shop.run(f"alter table {shop.name} add primary key (id)")
    shop.run(f"alter table {shop.name} replica identity default")
    context = context_of(shop, settings, shop.way)
    shop.sell(1)
    with pytest.raises(SourceRefusedError, match=f"Fix: alter table public.{shop.name} replica identity full; or"):
        read(context)
    shop.run(f"alter publication {shop.name} set (publish = 'insert')")
    shop.drop_slot(shop.name)
    shop.create_slot(shop.name)
    assert ids(read(context)) == ["e00001"]


def test_an_update_from_before_the_replica_identity_was_full_is_refused(shop: Logged, settings: Settings) -> None:
    context = begun(shop, settings)
    shop.run(f"alter table {shop.name} add primary key (id), alter type set storage external")
    shop.run(f"insert into {shop.name} values ('e1', 'ann', now(), repeat('long', 10000), now())")
    read(context)
    shop.run(f"alter table {shop.name} replica identity default")
    shop.run(f"update {shop.name} set \"user\" = 'bob'")
    shop.run(f"alter table {shop.name} replica identity full")
    with pytest.raises(SourceRefusedError, match=r"did not send a long value .* Fix: .* create a slot of another name"):
        read(context)


def test_deleted_rows_stay_and_are_counted(shop: Logged, settings: Settings) -> None:
    context = begun(shop, settings)
    for number in range(1, 3):
        shop.sell(number)
    read(context)
    shop.run(f"delete from {shop.name} where id <> 'e00000'")
    shop.run(f"truncate {shop.name}")
    shop.sell(4)
    report = ingest(context, [DAY_ONE], "run")[DAY_ONE]
    told = [warning.text for warning in report.warnings]
    assert told == ["2 rows were deleted; as events they stay", "1 times all rows were removed; as events they stay"]
    assert len(set(ids(read(context)))) == 4


def test_columns_that_are_added_and_dropped_lose_nothing(shop: Logged, settings: Settings) -> None:
    context = begun(shop, settings)
    shop.run(f"alter table {shop.name} add note text")
    shop.run(f"insert into {shop.name} (id, updated_at, note) values ('e2', now(), 'new')")
    shop.run(f"alter table {shop.name} drop note")
    shop.sell(3)
    rows = read(context)
    assert [row.get("note", "-") for row in rows if row["id"] in ("e2", "e00003")] == ["new", "-"]


def test_only_rows_of_the_table_that_the_publication_has_are_read(shop: Logged, settings: Settings) -> None:
    shop.run(f"create table {shop.name}_other (id text)")
    shop.run(f"alter publication {shop.name} set table {shop.name} where (id <> 'e00002'), {shop.name}_other")
    shop.run(f"alter table {shop.name}_other replica identity full")
    for number in range(1, 4):
        shop.sell(number)
    shop.drop_slot(shop.name)
    shop.create_slot(shop.name)
    context = context_of(shop, settings, shop.way)
    assert ids(read(context)) == ["e00001", "e00003"]
    shop.run(f"insert into {shop.name}_other values ('other')")
    shop.sell(4)
    assert ids(read(context)) == ["e00001", "e00003", "e00004"]
    shop.run(f"drop table {shop.name}_other")


def test_many_changes_are_slices_of_whole_transactions(
    shop: Logged, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "SLICE_CHANGES", 10)
    context = begun(shop, settings)
    values = ", ".join(f"('e{n:05}', 'ann', '2026-01-01T12:00Z', 'view', '2026-01-01T12:00Z')" for n in range(1, 25))
    shop.run(f"insert into {shop.name} values {values}")
    for number in range(25, 45):
        shop.sell(number)
    assert ids(read(context)) == [f"e{n:05}" for n in range(45)]
    assert len({file.uri for file in context.ledger.files()}) > 4


@pytest.mark.slow
def test_whatever_is_killed_between_peek_record_and_advance_each_change_is_read_once(
    shop: Logged, settings: Settings, server: EmbeddedPostgres
) -> None:
    context = begun(shop, settings)
    broken_at = [(PostgresChanges, "read"), (slots.Slot, "advance"), None, (slots.Slot, "following"), None]
    for number, place in enumerate(broken_at, start=1):
        shop.sell(number)
        if place is None:
            kill_server(server, shop)
            assert len(read(context)) == number + 1
            kill_server(server, shop)  # to where it had advanced is forgotten
        else:
            with pytest.MonkeyPatch.context() as broken:
                broken.setattr(place[0], place[1], gone)
                with pytest.raises(ConnectionError):
                    ingest(context, [DAY_ONE], "run")
    assert ids(read(context)) == [f"e{number:05}" for number in range(6)]


def gone(*_: object) -> NoReturn:
    raise ConnectionError("the machine is gone")


def kill_server(server: EmbeddedPostgres, shop: Logged) -> None:
    """End it as a machine does that loses its power, and start it again."""
    found = shop.connection.execute("select setting from pg_settings where name = 'data_directory'").fetchone()
    assert found is not None
    pid = int((Path(found[0]) / "postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGQUIT)
    server.ensure_running()
    shop.connection.close()
    shop.connection = psycopg.connect(server.url(), autocommit=True)


def test_a_log_of_other_tables_is_let_go(shop: Logged, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    context = begun(shop, settings)
    shop.sell(1)
    read(context)
    monkeypatch.setattr(slots, "IDLE_BYTES", 0)
    shop.run("create table if not exists busy (n int)")
    shop.run("insert into busy values (1)")
    began = shop.lsn("confirmed_flush_lsn")
    assert ids(read(context)) == ["e00000", "e00001"]
    context.found()
    assert shop.lsn("confirmed_flush_lsn") > began
    shop.sell(2)
    assert ids(read(context)) == ["e00000", "e00001", "e00002"]


def test_a_log_that_grows_is_told_in_status_and_a_lost_slot_stops_the_run(shop: Logged, settings: Settings) -> None:
    context = context_of(shop, settings, shop.way)
    for setting in ("max_wal_size = '32MB'", "min_wal_size = '32MB'", "max_slot_wal_keep_size = '-1'"):
        shop.run(f"alter system set {setting}")
    shop.run("select pg_reload_conf()")
    grow(shop, 5)
    (told,) = status(context)["skipped_files"]["first"]
    assert f"the slot {shop.name} holds" in told
    assert "MB of the server's log (WAL) back. Fix: read the stream more often" in told
    shop.run("alter system set max_slot_wal_keep_size = '16MB'")
    shop.run("select pg_reload_conf()")
    grow(shop, 3)
    shop.run("checkpoint")
    with pytest.raises(SourceRefusedError, match=r"slot .* is lost: .* Fix: create a slot of another name"):
        read(context)
    for setting in ("max_wal_size", "min_wal_size", "max_slot_wal_keep_size"):
        shop.run(f"alter system reset {setting}")
    shop.run("select pg_reload_conf()")


def grow(shop: Logged, segments: int) -> None:
    for _ in range(segments):
        shop.run("select pg_logical_emit_message(false, 'test', 'x'), pg_switch_wal()")


def test_a_slot_that_somebody_else_advances_is_told_and_another_one_reads_all(shop: Logged, settings: Settings) -> None:
    context = begun(shop, settings)
    shop.sell(1)
    read(context)
    shop.sell(2)
    shop.run(f"select pg_replication_slot_advance('{shop.name}', pg_current_wal_lsn())")
    with pytest.raises(
        SourceRefusedError, match="somebody else reads it, or it was created again, and rows are missing"
    ):
        read(context)
    other = f"{shop.name}_two"
    shop.create_slot(other)
    again = context_of(shop, settings, {"slot": other, "publication": shop.name})
    assert set(ids(read(again))) == {"e00000", "e00001", "e00002"}


def test_a_server_that_was_restored_is_told(shop: Logged) -> None:
    source = PostgresChanges(shop.stream(shop.way))
    with pytest.raises(SourceRefusedError, match="as after it was restored from a backup"):
        source.find(cursors={source.name: {"lsn": as_lsn(2**60)}})


def test_a_run_that_finds_its_changes_gone_is_to_be_repeated(shop: Logged) -> None:
    source = PostgresChanges(shop.stream(shop.way))
    shop.sell(1)
    (snapshot,) = source.find()
    assert snapshot.cursor is not None
    (changes,) = source.find(cursors={source.name: snapshot.cursor.position})
    assert changes.cursor is not None
    source.find(cursors={source.name: changes.cursor.position})  # another run, that has recorded them
    with pytest.raises(ConnectionError, match=r"another run has read this\. Fix: run again"):
        list(source.read(changes, gone))


@pytest.mark.parametrize(
    ("statement", "change", "says"),
    [
        (
            "",
            {"slot": "no_such"},
            "no replication slot no_such. Fix: select pg_create_logical_replication_slot('no_such'",
        ),
        ("", {"publication": "no_such"}, "there is no publication no_such. Fix: create publication no_such for table"),
        ("alter publication {0} drop table {0}", {}, "does not have this table. Fix: alter publication {0} add table"),
        (
            "drop publication {0}; create publication {0} for table {0}",
            {},
            "was made or changed after the slot, which misses what was under way. Fix: select pg_drop_replication_slot",
        ),
    ],
)
def test_what_is_wrong_is_said_with_place_and_fix(
    shop: Logged, statement: str, change: dict[str, str], says: str
) -> None:
    if statement:
        shop.run(statement.format(shop.name))
    with pytest.raises(SourceRefusedError) as caught:
        PostgresChanges(shop.stream({**shop.way, **change})).find()
    assert says.format(shop.name) in str(caught.value)
    assert "postgres://" in str(caught.value)


def test_a_role_that_may_not_use_slots_is_told(shop: Logged) -> None:
    role = f"{shop.name}_reader"
    shop.run(f"create role {role} login")
    shop.run(f"grant select on {shop.name} to {role}")
    with pytest.raises(UserError, match=r"permission denied to use replication slots\. Fix: alter the role"):
        PostgresChanges(shop.stream(shop.way, user=role)).find()
    shop.run(f"revoke all on {shop.name} from {role}")
    shop.run(f"drop role {role}")


def test_a_slot_that_is_in_use_is_waited_for_and_then_told(shop: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slots, "_STATE", slots._STATE.replace("active_pid", "4711"))
    with pytest.raises(SourceRefusedError, match="is in use by the server's process 4711"):
        PostgresChanges(shop.stream(shop.way, give_up_after="1s")).find()
