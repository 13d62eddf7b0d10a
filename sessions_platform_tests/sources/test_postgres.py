"""PostgreSQL tables as a source, on a real server: what is read, when, and what is said where it can't be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.contracts.duplicates import Duplicates
from sessions_platform.errors import UserError
from sessions_platform.operations.status import pending_landing_partitions, status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.postgres.source import PostgresTable
from sessions_platform.sources.tables import increments
from sessions_platform.storage.postgres import embedded
from sessions_platform_tests.pipeline.steps import ingest_and_publish, refresh, table
from sessions_platform_tests.sources.shop import (
    COLUMNS,
    DAY_ONE,
    DAY_TWO,
    Shop,
    context_of,
    ids,
    insert,
    read,
)
from sessions_platform_tests.sources.stream_files import mistake
from sessions_platform_tests.streams import stream

pytestmark = pytest.mark.usefixtures("on_day_one")
XID: dict[str, Any] = {"xid": "row_xid"}
CURSOR: dict[str, Any] = {"cursor": "updated_at", "key": "id", "lag": "10m"}


@pytest.fixture
def shop(settings: Settings, request: pytest.FixtureRequest) -> Iterator[Shop]:
    name = f"shop_{abs(hash(request.node.nodeid)):x}"
    shop = Shop(embedded.attach(settings.home).url(), name)
    yield shop
    shop.run(f"drop table {name} cascade")
    shop.connection.close()


@pytest.mark.parametrize("incremental", [XID, CURSOR, None], ids=["xid", "cursor", "whole"])
def test_rows_become_sessions_and_are_read_once(
    shop: Shop, settings: Settings, incremental: dict[str, Any] | None
) -> None:
    context = context_of(shop, settings, incremental)
    assert pending_landing_partitions(context, DAY_ONE) == []
    for number, minute in enumerate((0, 5, 50)):
        shop.sell(number, f"2026-01-01T12:{minute:02}Z")
    shop.settle()
    assert pending_landing_partitions(context, DAY_ONE) == [DAY_ONE]
    ingest_and_publish(context, DAY_ONE)
    refresh(context)
    assert sorted(row["event_count"] for row in table(context)) == [1, 2]
    assert pending_landing_partitions(context, DAY_TWO) == []
    assert ingest(context, [DAY_TWO], "again")[DAY_TWO].read == 0


@pytest.mark.parametrize("incremental", [XID, CURSOR], ids=["xid", "cursor"])
def test_a_row_that_is_committed_late_is_read(shop: Shop, settings: Settings, incremental: dict[str, Any]) -> None:
    context = context_of(shop, settings, incremental)
    with shop.another_connection() as slow:
        slow.execute(insert(shop.name, 1, "2026-01-01T12:00Z").encode())
        shop.sell(2, "2026-01-01T12:01Z")
        before = ids(read(context))
        slow.commit()
    shop.settle()
    after = ids(read(context))
    assert "e00001" not in before
    assert set(after) == {"e00001", "e00002"}


def test_a_row_of_a_savepoint_that_is_committed_late_is_read(shop: Shop, settings: Settings) -> None:
    context = context_of(shop, settings, XID)
    with shop.another_connection() as slow:
        slow.execute("savepoint inner_one")
        slow.execute(insert(shop.name, 1, "2026-01-01T12:00Z").encode())
        slow.execute("release savepoint inner_one")
        shop.sell(2)
        assert "e00001" not in ids(read(context))
        slow.commit()
    shop.settle()
    assert sorted(ids(read(context))) == ["e00001", "e00002"]


@pytest.mark.parametrize("incremental", [XID, CURSOR], ids=["xid", "cursor"])
def test_rows_that_change_while_slices_are_read_are_read_in_both_states(
    shop: Shop, settings: Settings, incremental: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(increments, "SLICE_ROWS", 1)
    context = context_of(shop, settings, incremental)
    for number in range(4):
        shop.sell(number, f"2026-01-01T12:{number:02}Z")
    shop.settle()
    rows, changes = PostgresTable.read, iter([True])

    def changing(self: Any, *arguments: Any) -> Any:
        if next(changes, False):
            shop.run(
                f"update {shop.name} set type = 'changed', updated_at = '2026-01-02', row_xid = pg_current_xact_id()"
                " where id = 'e00002'"
            )
        return rows(self, *arguments)

    monkeypatch.setattr(PostgresTable, "read", changing)
    read(context)
    shop.settle()
    assert {(row["id"], row["type"]) for row in read(context)} >= {
        ("e00000", "view"),
        ("e00001", "view"),
        ("e00002", "changed"),
        ("e00003", "view"),
    }


@pytest.mark.parametrize("incremental", [XID, CURSOR, None], ids=["xid", "cursor", "whole"])
def test_a_cursor_stays_small_however_many_rows_tie_and_where_a_run_finds_nothing(
    shop: Shop, settings: Settings, incremental: dict[str, Any] | None
) -> None:
    context = context_of(shop, settings, incremental)
    shop.run(
        f"insert into {shop.name} select 'e' || n, 'ann', '2026-01-01', 'view', '2026-01-01'"
        " from generate_series(1, 2000) n"
    )
    shop.settle()
    assert len(read(context)) == 2000
    stored = context.ledger.cursors()
    assert len(str(stored)) < 250
    assert len(read(context)) == 2000
    assert context.ledger.cursors() == stored


def test_by_transaction_no_row_is_read_twice(shop: Shop, settings: Settings) -> None:
    context = context_of(shop, settings, XID)
    with shop.another_connection() as slow:
        slow.execute(insert(shop.name, 1, "2026-01-01T12:00Z").encode())
        shop.sell(2)
        assert read(context) == []  # the open transaction holds everything back
        slow.commit()
    shop.sell(3)
    shop.settle()
    assert sorted(ids(read(context))) == ["e00001", "e00002", "e00003"]
    shop.sell(4)
    shop.settle()
    assert sorted(ids(read(context))) == ["e00001", "e00002", "e00003", "e00004"]


def test_by_cursor_the_lag_is_read_again_only_where_it_has_changed(shop: Shop, settings: Settings) -> None:
    context = context_of(shop, settings, CURSOR)
    shop.sell(1, "2026-01-01T12:00Z")
    shop.sell(2, "2026-01-01T12:30Z")
    assert ids(read(context)) == ["e00001", "e00002"]
    assert ids(read(context)) == ["e00001", "e00002"]
    shop.sell(3, "2026-01-01T12:25Z")  # committed late, within the lag
    assert ids(read(context)) == ["e00001", "e00002", "e00003", "e00002"]
    shop.sell(4, "2026-01-01T12:10Z")  # before the lag: the documented loss
    assert ids(read(context)) == ["e00001", "e00002", "e00003", "e00002"]


@pytest.mark.parametrize("incremental", [XID, CURSOR], ids=["xid", "cursor"])
def test_rows_of_one_cursor_value_are_divided_and_none_is_lost(
    shop: Shop, settings: Settings, incremental: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(increments, "SLICE_ROWS", 10)
    context = context_of(shop, settings, incremental)
    values = ", ".join(f"('e{n:05}', 'ann', '2026-01-01T12:00Z', 'view', '2026-01-01T12:00Z')" for n in range(25))
    shop.run(f"insert into {shop.name} values {values}")
    for number in range(25, 60):
        shop.sell(number, f"2026-01-01T12:{number - 24:02}Z")
    shop.settle()
    slices = PostgresTable(context.stream).find()
    assert len(slices) > 3
    assert sorted(ids(read(context))) == [f"e{n:05}" for n in range(60)]


def test_a_slice_that_fails_leaves_the_cursor_before_it(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(increments, "SLICE_ROWS", 10)
    context = context_of(shop, settings, XID)
    for number in range(25):
        shop.sell(number)
    whole = PostgresTable.read

    def failing(self: PostgresTable, slice_: Any, quarantine: Any) -> Any:
        if slice_.uri == slices[1].uri:
            raise ConnectionError("the server is gone")
        return whole(self, slice_, quarantine)

    shop.settle()
    slices = PostgresTable(context.stream).find()
    with monkeypatch.context() as broken:
        broken.setattr(PostgresTable, "read", failing)
        with pytest.raises(ConnectionError):
            ingest(context, [DAY_ONE], "run")
    assert len(ids(read(context))) == 25


def test_the_whole_table_is_read_again_once_it_has_changed(shop: Shop, settings: Settings) -> None:
    context = context_of(shop, settings, None)
    shop.sell(1)
    shop.sell(2)
    assert len(read(context)) == 2
    assert len(read(context)) == 2
    shop.run(f"update {shop.name} set type = 'buy' where id = 'e00002'")
    assert [row["type"] for row in read(context, DAY_TWO)] == ["view", "view", "view", "buy"]


@pytest.mark.parametrize(
    "incremental", [XID, {"cursor": "xid_number", "key": "id", "lag": 0}, None], ids=["xid", "cursor", "whole"]
)
def test_uris_have_the_order_in_which_slices_were_read(
    shop: Shop, settings: Settings, incremental: dict[str, Any] | None
) -> None:
    shop.run(f"alter table {shop.name} add xid_number int")
    context = context_of(shop, settings, incremental)
    for number in range(12):
        shop.sell(number)
        shop.run(f"update {shop.name} set xid_number = {number} where xid_number is null")
        shop.settle()
        read(context)
    uris = [file.uri for file in sorted(context.ledger.files(), key=lambda file: file.sequence or 0)]
    assert len(uris) == 12
    assert uris == sorted(uris)


def test_a_cursor_of_numbers_is_read_in_their_order(shop: Shop, settings: Settings) -> None:
    shop.run(f"alter table {shop.name} add number bigint generated always as identity")
    context = context_of(shop, settings, {"cursor": "number", "key": "number", "lag": 0})
    for count in (5, 12, 105):
        shop.run(
            f"insert into {shop.name} select 'e' || n, 'ann', '2026-01-01', 'view', '2026-01-01'"
            f" from generate_series((select count(*) from {shop.name}) + 1, {count}) n"
        )
        assert [row["number"] for row in read(context)] == list(range(1, count + 1))


def test_the_last_state_of_a_row_is_kept_where_the_stream_says_so(shop: Shop, settings: Settings) -> None:
    keeps_last = shop.stream(None).model_copy(
        update={"duplicates": Duplicates.model_validate({"compare": "id", "keep": "last"})}
    )
    context = StreamContext.open(keeps_last, settings)
    shop.sell(1)
    for number in range(6):
        shop.run(f"update {shop.name} set type = 'state {number}'")
        ingest_and_publish(context, DAY_ONE)
    refresh(context)
    assert [event["event_type"] for event in context.events([DAY_ONE]).scan().collect().to_dicts()] == ["state 5"]


def test_values_are_as_the_server_says_them(shop: Shop, settings: Settings) -> None:
    shop.run(
        f"alter table {shop.name} add n numeric, add f float8, add j json, add b bytea, add t timestamp, add i interval"
    )
    document = '{"a": 1.10, "a": 2,\n "big": 12345678901234567890.123456789}'
    shop.run(
        f"insert into {shop.name} values ('e1', 'ann', '2026-01-01T12:00:00.123456Z', 'view', now(), default,"
        f" 123456789012345678901234567890.1234567890, 'NaN', '{document}', '\\x00ff', 'infinity', '1 mon')"
    )
    shop.settle()
    context = context_of(shop, settings, XID)
    ingest(context, [DAY_ONE], "run")
    (payload,) = context.raw_events([DAY_ONE]).scan().collect()["payload"].to_list()
    assert document.encode() in payload
    for text in (b'"n":123456789012345678901234567890.1234567890', b'"f":"NaN"', b'"t":"infinity"', b'"i":"P1M"'):
        assert text in payload
    assert b'"at":"2026-01-01T12:00:00.123456+00:00"' in payload


def test_rows_without_a_cursor_value_are_told(shop: Shop, settings: Settings) -> None:
    shop.sell(1)
    shop.run(f"insert into {shop.name} values (null, 'ann', '2026-01-01T12:00Z', 'view', '2026-01-01T12:00Z')")
    context = context_of(shop, settings, CURSOR)
    report = ingest(context, [DAY_ONE], "run")[DAY_ONE]
    assert report.rows == 1
    assert [skipped.reason for skipped in report.skipped] == [
        "1 rows have no id, by which new rows are found, and are not read"
    ]


def test_a_server_that_was_restored_is_told(shop: Shop) -> None:
    source = PostgresTable(shop.stream(XID))
    with pytest.raises(SourceRefusedError, match="restored from a backup"):
        source.find(cursors={f"public.{shop.name}/row_xid": {"xid": str(2**40)}})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"table": "public.nothing_like_it"}, "there is no such table; it has public"),
        ({"database": "no_such"}, 'database "no_such" does not exist. Fix: correct source.database'),
        ({"user": "nobody_here"}, 'role "nobody_here" does not exist. Fix: correct source.user'),
        ({"incremental": {"xid": "id"}}, "id is of type text. Fix: give the table a column of type xid8"),
        ({"incremental": {"xid": "row_xids"}}, "has no column 'row_xids'; it has id, user,"),
        ({"incremental": {**CURSOR, "lag": 5}}, "lag does not fit. Fix: write a duration, as in 15m"),
        ({"host": "host.invalid"}, "can't be reached"),
    ],
)
def test_what_is_wrong_is_said_with_place_and_fix(shop: Shop, change: dict[str, Any], says: str) -> None:
    shop.sell(1)
    source = PostgresTable(shop.stream(**{"incremental": XID, "give_up_after": "1s", **change}))
    cursors = {f"public.{shop.name}/updated_at,id": {"at": ["2026-01-01 12:00:00+00", "e0"], "window": ""}}
    with pytest.raises(SourceRefusedError) as caught:
        source.find(cursors=cursors)
    assert says in str(caught.value)
    assert "postgres://" in str(caught.value)


def test_the_status_of_a_stream_whose_server_refuses_has_its_numbers_and_says_so(
    shop: Shop, settings: Settings
) -> None:
    shop.sell(1)
    shop.settle()
    ingest_and_publish(context_of(shop, settings, XID), DAY_ONE)
    refused = StreamContext.open(shop.stream(XID, database="no_such"), settings)
    document = status(refused)
    assert document["accepted"] == 1
    (told,) = document["skipped_files"]["first"]
    assert 'database "no_such" does not exist. Fix: correct source.database' in told
    assert any("no_such" in hint for hint in document["hints"])


def test_the_status_of_a_stream_whose_secret_is_missing_has_its_numbers_and_says_so(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.sell(1)
    shop.settle()
    ingest_and_publish(context_of(shop, settings, XID), DAY_ONE)
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    missing = StreamContext.open(shop.stream(XID, password={"env": "SHOP_PASSWORD"}), settings)
    document = status(missing)
    assert document["accepted"] == 1
    (told,) = document["skipped_files"]["first"]
    assert "the environment variable SHOP_PASSWORD is not set. Fix: set it where runs happen." in told


def test_a_role_that_may_not_select_is_told(shop: Shop) -> None:
    role = f"{shop.name}_reader"
    shop.run(f"create role {role} login")
    try:
        with pytest.raises(SourceRefusedError, match=f"permission denied .* Fix: grant select on public.{shop.name}"):
            PostgresTable(shop.stream(XID, user=role)).find()
    finally:
        shop.run(f"drop role {role}")


def test_a_password_is_read_from_the_environment_and_is_in_no_message(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = PostgresTable(shop.stream(XID, password={"env": "SHOP_PASSWORD"}, database="no_such"))
    monkeypatch.delenv("SHOP_PASSWORD", raising=False)
    with pytest.raises(UserError, match=r"source\.password: the environment variable SHOP_PASSWORD is not set"):
        source.find()
    monkeypatch.setenv("SHOP_PASSWORD", "s3cr3t")
    with pytest.raises(SourceRefusedError) as caught:
        source.find()
    assert "s3cr3t" not in str(caught.value)


HEAD = "  type: postgres\n  host: h\n  database: d\n  user: u\n  table: public.e\n"


@pytest.mark.parametrize(
    ("keys", "key", "says"),
    [
        ("  password: hunter2\n", "source.password", "a secret can't stand in the file"),
        ("  incremental: {}\n", "source.incremental", "it needs either xid, cursor or slot"),
        ("  incremental: {xid: a, lag: 5m}\n", "source.incremental", "key and lag belong to cursor"),
        ("  incremental: {cursor: a, key: b}\n", "source.incremental", "cursor needs lag"),
        ("  incremental: {cursor: a, lag: 5m}\n", "source.incremental", "cursor needs key"),
        ("  incremental: {slot: a}\n", "source.incremental", "slot and publication belong together"),
        ("  incremental: {slot: A b, publication: p}\n", "source.incremental.slot", "slot"),
        ("  format: csv\n", "source.format", "ndjson"),
    ],
)
def test_a_mistake_in_the_file_is_reported(tmp_path: Path, keys: str, key: str, says: str) -> None:
    problem = mistake(tmp_path, HEAD + keys)
    assert problem.key == key
    assert says in str(problem)


@pytest.mark.parametrize("cursor", ["updated_at", "meta.updated"])
def test_rows_are_in_the_landing_partition_of_a_cursor_of_time(shop: Shop, settings: Settings, cursor: str) -> None:
    if cursor != "updated_at":
        shop.run(f'alter table {shop.name} rename column updated_at to "{cursor}"')
    source = shop.source({"cursor": cursor, "key": "id", "lag": "1m"})
    described = stream(name=shop.name, source=source, columns=COLUMNS, landing={"by": "source_time"})
    shop.sell(0, "2026-01-01T23:59:59.9Z")
    shop.sell(1, "2026-01-02T01:00+01:00")
    context = StreamContext.open(described, settings)
    ingest(context, [DAY_TWO], "run")
    files = {file.landing_partition: file.rows for file in context.ledger.files()}
    assert files == {DAY_ONE: 1, DAY_TWO: 1}
