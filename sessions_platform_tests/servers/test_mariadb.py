"""MySQL tables as a source, on MariaDB itself: what is read, whatever happens to rows, connections and server."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
import yaml

from sessions_platform.contracts.stream import Stream
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest, ingest_past
from sessions_platform.settings import Settings
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.mysql.source import MysqlTable
from sessions_platform.sources.tables import increments
from sessions_platform_tests.pipeline.steps import ingest_and_publish, refresh, table
from sessions_platform_tests.servers.mariadb import DATABASE, PASSWORD, USER, MariaDb, mariadb
from sessions_platform_tests.sources.shop import DAY_ONE, ids, read
from sessions_platform_tests.streams import stream

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("on_day_one", "password")]
CURSOR: dict[str, Any] = {"cursor": "updated_at", "key": "id", "lag": "10m"}
COLUMNS: dict[str, Any] = {
    "event_id": {"from": "id"},
    "user_id": {"from": "user"},
    "event_timestamp": {"from": "at", "formats": ["iso8601"]},
    "event_type": {"from": "type"},
}
KILLED_AT = [0, 3, 4, 7, 11]


@pytest.fixture(scope="module")
def maria() -> Iterator[MariaDb]:
    with mariadb() as server:
        yield server


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", PASSWORD)


class Shop:
    """A table of events."""

    def __init__(self, maria: MariaDb, name: str) -> None:
        self.maria, self.name = maria, name
        maria.run(
            f"create table {name} (id varchar(40), user text, at datetime(6), type text,"
            " updated_at datetime(6) not null, index (updated_at, id))"
        )

    def sell(self, *numbers: int, at: str = "2026-01-01 12:00") -> None:
        rows = ", ".join(f"('e{number:05}', 'ann', '{at}', 'view', '{at}')" for number in numbers)
        self.maria.run(f"insert into {self.name} values {rows}")

    def source(self, incremental: dict[str, Any] | None, **changes: Any) -> dict[str, Any]:
        stated = {
            "type": "mysql",
            "host": "127.0.0.1",
            "port": self.maria.port,
            "database": DATABASE,
            "user": USER,
            "password": {"env": "SHOP_PASSWORD"},
            "table": self.name,
            "incremental": incremental,
        }
        return {name: value for name, value in {**stated, **changes}.items() if value is not None}

    def stream(self, incremental: dict[str, Any] | None, **changes: Any) -> Stream:
        return stream(name=self.name, source=self.source(incremental, **changes), columns=COLUMNS)


@pytest.fixture
def shop(maria: MariaDb, request: pytest.FixtureRequest) -> Iterator[Shop]:
    shop = Shop(maria, f"shop_{abs(hash(request.node.nodeid)):x}")
    yield shop
    maria.run(f"drop table {shop.name}")


def payloads(shop: Shop, incremental: dict[str, Any] | None = None, **changes: Any) -> list[bytes]:
    """All that is read of the table."""
    source = MysqlTable(shop.stream(incremental, **changes))
    return [row for slice_ in source.find() for block in source.read(slice_, str) for row in block["payload"]]


@pytest.mark.parametrize("incremental", [CURSOR, None], ids=["cursor", "whole"])
def test_rows_become_sessions_and_are_read_once(
    shop: Shop, settings: Settings, incremental: dict[str, Any] | None
) -> None:
    context = StreamContext.open(shop.stream(incremental), settings)
    for number, minute in enumerate((0, 5, 50)):
        shop.sell(number, at=f"2026-01-01 12:{minute:02}")
    ingest_and_publish(context, DAY_ONE)
    refresh(context)
    assert sorted(row["event_count"] for row in table(context)) == [1, 2]
    assert ingest(context, [DAY_ONE], "again")[DAY_ONE].read == 0


TYPES = {
    "bool": ("bool", "true", "1"),
    "bigint unsigned": ("bigint unsigned", "18446744073709551615", "18446744073709551615"),
    "decimal": ("decimal(65,30)", "12345678901234567890123456789012345.10", None),
    "double": ("double", "1e308", "1e308"),
    "float": ("float", "16777217.0", "16777216"),
    "zero date": ("date", "'0000-00-00'", '"0000-00-00"'),
    "no day": ("date", "'2026-00-15'", None),
    "datetime": ("datetime(6)", "'2026-01-01 00:00:00.123456'", '"2026-01-01 00:00:00.123456"'),
    "time": ("time(3)", "'-838:59:59.999'", '"-838:59:59.999"'),
    "year": ("year", "2026", "2026"),
    "bit": ("bit(12)", "b'101010101010'", '"AAA"'),
    "blob": ("blob", "x'00ff22'", '"00FF22"'),
    "binary": ("binary(4)", "x'01'", '"01000000"'),
    "text": ("text", "'a\"\\\\ é\U0001f600\\n'", '"a\\"\\\\ é\U0001f600\\n"'),
    "latin1": ("varchar(9) character set latin1", "'é'", '"é"'),
    "char": ("char(3)", "'x'", '"x"'),
    "enum": ("enum('a','b')", "'b'", '"b"'),
    "set": ("set('a','b')", "'a,b'", '"a,b"'),
    "null": ("int", "null", "null"),
    "uuid": ("uuid", "'123e4567-e89b-12d3-a456-426655440000'", '"123e4567-e89b-12d3-a456-426655440000"'),
    "point": ("point", "st_geomfromtext('POINT(1 2)')", None),
}


def test_values_are_as_the_server_says_them(shop: Shop, maria: MariaDb) -> None:
    columns = [f"c{number}" for number in range(len(TYPES))]
    kinds = ", ".join(f"add {name} {kind}" for name, (kind, _, _) in zip(columns, TYPES.values(), strict=True))
    maria.run(f"alter table {shop.name} {kinds}")
    values = ", ".join(value for _, value, _ in TYPES.values())
    with contextlib.closing(maria.connect(sql_mode="ALLOW_INVALID_DATES", charset="utf8mb4")) as connection:
        statement = f"insert into {shop.name} (updated_at, {', '.join(columns)}) values ('2026-01-01', {values})"
        connection.cursor().execute(statement)
    (payload,) = payloads(shop)
    for name, (kind, _, expected) in zip(columns, TYPES.values(), strict=True):
        if expected is not None:
            assert f'"{name}": {expected}'.encode() in payload, (kind, payload.decode())
    row = json.loads(payload, parse_float=str)
    assert row["c2"] == "12345678901234567890123456789012345.100000000000000000000000000000"
    assert row["c6"] == "2026-00-15"
    assert row["c20"].endswith("000000000000F03F0000000000000040")


def test_times_with_a_zone_are_in_utc(shop: Shop, maria: MariaDb) -> None:
    maria.run(
        f"alter table {shop.name} add seen timestamp(3) null",
        "set global time_zone = '+05:00'",
    )
    maria.run(f"insert into {shop.name} (updated_at, seen) values ('2026-01-01', '2026-01-01 05:30:00')")
    maria.run("set global time_zone = '+00:00'")
    assert json.loads(payloads(shop)[0])["seen"] == "2026-01-01 00:30:00.000"


def test_rows_of_one_cursor_value_are_divided_and_none_is_lost(
    shop: Shop, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(increments, "SLICE_ROWS", 10)
    shop.sell(*range(25))
    for number in range(25, 40):
        shop.sell(number, at=f"2026-01-01 12:{number:02}")
    context = StreamContext.open(shop.stream(CURSOR), settings)
    assert sorted(ids(read(context))) == [f"e{number:05}" for number in range(40)]
    assert len(context.ledger.files()) == 4


@pytest.mark.parametrize(
    ("kind", "values", "lag"),
    [
        ("bigint unsigned", ["18446744073709551613", "18446744073709551614", "18446744073709551615"], 1),
        ("decimal(30,10)", ["99999999999999999999.1", "99999999999999999999.2", "99999999999999999999.3"], 0),
        ("timestamp(6)", ["'2026-01-01 12:00:00.000001'", "'2026-01-01 12:00:00.000002'", "'2026-01-02'"], "1ms"),
        ("date", ["'2026-01-01'", "'2026-01-02'", "'2026-01-03'"], "1d"),
        ("varbinary(16)", ["x'00'", "x'00ff'", "x'ff'"], None),
        ("uuid", ["'00000000-0000-0000-0000-000000000001'", "uuid()", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"], None),
        ("varchar(20)", ["'a\\\\'", "'b''\"'", "'é'"], None),
    ],
)
def test_each_type_orders_rows_and_finds_them_again(
    shop: Shop, maria: MariaDb, monkeypatch: pytest.MonkeyPatch, kind: str, values: list[str], lag: str | int | None
) -> None:
    monkeypatch.setattr(increments, "SLICE_ROWS", 1)
    maria.run(f"alter table {shop.name} add n {kind}")
    for number, value in enumerate(values):
        at = "'2026-01-01'" if lag is None else "now()"
        maria.run(f"insert into {shop.name} (id, updated_at, n) values ('e{number}', {at}, {value})")
    way = {**CURSOR, "key": "n"} if lag is None else {"cursor": "n", "key": "id", "lag": lag}
    source = MysqlTable(shop.stream(way))
    slices = source.find()
    rows = [[row["id"] for row in map(json.loads, block["payload"])] for s in slices for block in source.read(s, str)]
    assert rows == [["e0"], ["e1"], ["e2"]]
    assert slices[-1].cursor is not None
    assert source.find(cursors={slices[-1].cursor.name: slices[-1].cursor.position}) == []


@pytest.mark.parametrize("kind", ["float", "enum('e0')", "bit(8)"])
def test_a_column_that_orders_nothing_is_refused(shop: Shop, maria: MariaDb, kind: str) -> None:
    maria.run(
        f"alter table {shop.name} add n {kind}", f"insert into {shop.name} values ('e', 'a', now(), 'v', now(), 1)"
    )
    with pytest.raises(SourceRefusedError, match=r"rows have no certain order\. Fix: name one of numbers"):
        MysqlTable(shop.stream({**CURSOR, "key": "n"})).find()


def test_a_row_that_is_committed_late_is_read_within_the_lag(shop: Shop, settings: Settings) -> None:
    context = StreamContext.open(shop.stream(CURSOR), settings)
    shop.sell(0, at="2026-01-01 11:00")
    with contextlib.closing(shop.maria.connect(autocommit=False)) as slow:
        slow.cursor().execute(
            f"insert into {shop.name} values ('e00001', 'ann', '2026-01-01 12:00', 'view', '2026-01-01 12:00')"
        )
        shop.sell(2, at="2026-01-01 12:05")
        assert ids(read(context)) == ["e00000", "e00002"]
        slow.commit()
    assert ids(read(context)) == ["e00000", "e00002", "e00001", "e00002"]
    shop.sell(3, at="2026-01-01 11:54")  # before the lag: the documented loss
    assert ids(read(context)) == ["e00000", "e00002", "e00001", "e00002"]


def test_a_cut_amid_the_rows_is_a_failure_that_passes(shop: Shop, maria: MariaDb, settings: Settings) -> None:
    fill(shop, 3000)
    context = StreamContext.open(shop.stream(CURSOR, port=maria.proxy.port), settings)
    for fault in ("cut", "half-close"):
        maria.proxy.disturb(fault, after=100_000)
        with pytest.raises(ConnectionError, match="broke off: Lost connection"):
            ingest(context, [DAY_ONE], "run")
        assert maria.proxy.met.is_set()
    assert len(ids(read(context))) == 3000


def test_a_server_that_is_killed_amid_the_rows_and_started_again_loses_none(
    shop: Shop, maria: MariaDb, settings: Settings
) -> None:
    fill(shop, 3000)
    context = StreamContext.open(shop.stream(CURSOR, port=maria.proxy.port, give_up_after="1s"), settings)
    source = MysqlTable(context.stream, block_bytes=1)
    (slice_,) = source.find()
    maria.proxy.disturb("stall", after=100_000)
    blocks = iter(source.read(slice_, str))
    next(blocks)
    assert maria.proxy.met.wait(30)
    maria.server.kill()
    maria.proxy.refuse()  # with what the server had sent before
    maria.proxy.release()
    try:
        with pytest.raises(ConnectionError, match="broke off: Lost connection"):
            list(blocks)
        with pytest.raises(SourceRefusedError, match=r"it was tried for 1s\. Fix: start the server"):
            ingest(context, [DAY_ONE], "run")
    finally:
        maria.server.start()
    assert sorted(ids(read(context))) == [f"e{number:05}" for number in range(3000)]


def test_killed_again_and_again_no_row_is_lost_or_doubled(shop: Shop, settings: Settings, tmp_path: Path) -> None:
    fill(shop, 5000)
    file = tmp_path / f"{shop.name}.yaml"
    lines = {"name": shop.name, "start": "2026-01-01", "source": shop.source(CURSOR), "columns": COLUMNS}
    file.write_text(yaml.safe_dump(lines))
    command = [sys.executable, "-m", "sessions_platform_tests.servers.killed", file, settings.home, DAY_ONE]
    for point in KILLED_AT:
        done = subprocess.run([*command, str(point)], check=False, capture_output=True, timeout=120)
        assert done.returncode in (-signal.SIGKILL, 0), done.stderr.decode()
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    context = StreamContext.open(shop.stream(CURSOR), settings)
    ingest_and_publish(context, DAY_ONE)
    assert set(ids(read(context))) == {f"e{number:05}" for number in range(5000)}
    (landing,) = context.ledger.landings()
    assert landing.accepted == 5000  # rows of the lag that were read again are duplicates


def fill(shop: Shop, count: int) -> None:
    """That many rows, a second apart."""
    at = "timestamp('2026-01-01') + interval seq second"
    shop.maria.run(
        f"insert into {shop.name} select concat('e', lpad(seq, 5, '0')), repeat('u', 100), {at}, 'view', {at}"
        f" from seq_0_to_{count - 1}"
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"table": "no_such"}, "there is no such table; the database has"),
        ({"database": "no_such"}, "Access denied for user 'reader'@'127.0.0.1' to database 'no_such'. Fix: correct"),
        (
            {"user": "root", "password": None, "database": "no_such"},
            "Unknown database 'no_such'. Fix: correct source.dat",
        ),
        (
            {"user": "nobody"},
            "Access denied for user 'nobody'@'127.0.0.1' (using password: YES). Fix: correct source.user",
        ),
        ({"incremental": {**CURSOR, "key": "ids"}}, "has no column 'ids'; it has id, user, at, type, updated_at. Fix:"),
        ({"incremental": {**CURSOR, "lag": 5}}, "lag does not fit. Fix: write a duration, as in 15m"),
        ({"host": "host.invalid"}, "can't be reached"),
        ({"port": 1}, "Connection refused"),
        ({"sslmode": "verify-full"}, "Fix: correct source.sslrootcert, or the server's certificate"),
    ],
)
def test_what_is_wrong_is_said_with_place_and_fix(shop: Shop, change: dict[str, Any], says: str) -> None:
    shop.sell(1)
    source = MysqlTable(shop.stream(**{"incremental": CURSOR, "give_up_after": "1s", **change}))
    cursors = {f"{shop.name}/updated_at,id": {"at": ["2026-01-01 12:00:00", "e0"], "window": ""}}
    with pytest.raises(SourceRefusedError) as caught:
        source.find(cursors=cursors)
    assert says in str(caught.value)
    assert "mysql://" in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_user_who_may_not_select_is_told(shop: Shop, maria: MariaDb) -> None:
    maria.run("create user partly", f"grant select (id) on {DATABASE}.{shop.name} to partly")
    shop.sell(1)
    try:
        partly = shop.stream(None, user="partly", password=None)
        assert [json.loads(row) for row in _rows(partly)] == [{"id": "e00001"}]  # the columns that it sees
    finally:
        maria.run("drop user partly")


def _rows(stream_: Stream) -> list[bytes]:
    source = MysqlTable(stream_)
    return [row for slice_ in source.find() for block in source.read(slice_, str) for row in block["payload"]]


def test_a_row_that_is_longer_than_a_packet_is_told(shop: Shop, maria: MariaDb) -> None:
    maria.run(f"alter table {shop.name} add long_one longtext")
    maria.run("set global max_allowed_packet = 1048576")
    maria.run(f"insert into {shop.name} (updated_at, long_one) values ('2026-01-01', repeat('\"', 700000))")
    with pytest.raises(UserError, match=r"a row is longer than the server's max_allowed_packet\. Fix: raise it"):
        payloads(shop)
    maria.run("set global max_allowed_packet = 16777216")


def test_rows_that_are_not_taken_are_left(shop: Shop, maria: MariaDb) -> None:
    fill(shop, 5000)
    source = MysqlTable(shop.stream(None), block_bytes=1)
    (slice_,) = source.find()
    blocks = iter(source.read(slice_, str))
    next(blocks)
    blocks.close()  # type: ignore[attr-defined]
    assert len(payloads(shop)) == 5000
    with contextlib.closing(maria.connect()) as connection:
        assert isinstance(connection, pymysql.Connection)


def test_a_day_of_a_table_is_asked_for_and_its_rows_are_in_their_days(maria: MariaDb, settings: Settings) -> None:
    shop = Shop(maria, "past")
    described = stream(name="past", source=shop.source(CURSOR), columns=COLUMNS, landing={"by": "source_time"})
    context = StreamContext.open(described, settings)
    shop.sell(0, at="2026-01-03 12:00")
    ingest(context, ["2026-01-05"], "run")
    regular = context.ledger.cursors()
    shop.sell(1, at="2026-01-01 23:59:59.999999")  # after the lag
    shop.sell(2, at="2026-01-02 00:00")
    shop.sell(3, at="2026-01-02 23:59:59.999999")
    assert ingest_past(context, "2026-01-02", "run", newest="2026-01-05").rows == 2
    assert ingest_past(context, "2026-01-02", "run", newest="2026-01-05").read == 0
    assert {name: at for name, at in context.ledger.cursors().items() if "@" not in name} == regular
    days = {file.landing_partition: file.rows for file in context.ledger.files() if file.rows}
    assert days == {"2026-01-02": 2, "2026-01-03": 1}
