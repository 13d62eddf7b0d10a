"""A shop's database with a table of events, which sources of tables read, and what is read of it."""

import json
import time
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sessions_platform.contracts.stream import Stream
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform_tests.streams import stream

DAY_ONE, DAY_TWO = "2026-01-01", "2026-01-02"
COLUMNS: dict[str, Any] = {
    "event_id": {"from": "id"},
    "user_id": {"from": "user"},
    "event_timestamp": {"from": "at", "formats": ["%+"]},
    "event_type": {"from": "type"},
}


class Shop:
    """The shop's own database, with a table of events."""

    def __init__(self, url: str, name: str) -> None:
        self.parts = {name: str(value) for name, value in conninfo_to_dict(url).items()}
        self.url = url
        self.connection = psycopg.connect(url, autocommit=True)
        self.name = name
        self.run(
            f'create table {name} (id text, "user" text, at timestamptz, type text, updated_at timestamptz not null,'
            " row_xid xid8 default pg_current_xact_id())"
        )

    def run(self, sql: str) -> None:
        self.connection.execute(sql.encode())

    def settle(self) -> None:
        """Wait until all that has been written is below the oldest open transaction, of other tests, too."""
        query = f"select pg_snapshot_xmin(pg_current_snapshot()) > max(row_xid) from {self.name}"
        while self.connection.execute(query.encode()).fetchone() != (True,):
            time.sleep(0.01)

    def another_connection(self) -> psycopg.Connection:
        return psycopg.connect(self.url)

    def sell(self, number: int, at: str = "2026-01-01T12:00Z", user: str = "ann") -> None:
        self.run(insert(self.name, number, at, user))

    def source(self, incremental: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        stated = {
            "type": "postgres",
            "host": self.parts["host"],
            "port": int(self.parts["port"]),
            "database": self.parts["dbname"],
            "user": self.parts["user"],
            "table": f"public.{self.name}",
            "incremental": incremental,
        }
        return {name: value for name, value in {**stated, **more}.items() if value is not None}

    def stream(self, incremental: dict[str, Any] | None, **more: Any) -> Stream:
        return stream(name=self.name, source=self.source(incremental, **more), columns=COLUMNS)


def insert(name: str, number: int, at: str, user: str = "ann") -> str:
    return f"insert into {name} values ('e{number:05}', '{user}', '{at}', 'view', '{at}')"


def context_of(shop: Shop, settings: Settings, incremental: dict[str, Any] | None) -> StreamContext:
    return StreamContext.open(shop.stream(incremental), settings)


def read(context: StreamContext, partition: str = DAY_ONE) -> list[dict[str, Any]]:
    """Ingest, and what the raw rows of all partitions are then, in the order in which they were read."""
    ingest(context, [partition], "run")
    files = sorted(context.ledger.files(), key=lambda file: file.sequence or 0)
    raw = context.raw_events([DAY_ONE, DAY_TWO]).scan().collect()
    rows = [row for file in files for row in raw.filter(source_uri=file.uri).sort("position").iter_rows(named=True)]
    return [json.loads(row["payload"]) for row in rows]


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]
