"""The eight ways by which the same events reach a stream: what each source states, and how events get to its server.

A record that is no JSON object is a line or a message where the server takes any bytes; in a page of JSON it is a
text, and in a table a row whose columns are null but for the one that has the text. `Way.record_of` undoes that.
"""

import contextlib
import io
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from sessions_platform_tests.servers import kafka, kinesis, mariadb, object_stores, postgres
from sessions_platform_tests.servers.comparison import DAY
from sessions_platform_tests.servers.object_stores import Bucket
from sessions_platform_tests.servers.proxy import Proxy
from sessions_platform_tests.servers.running import Server, free_port, listens

Visit = tuple[bytes, bytes]  # a user, and a record of theirs
_FILE = 1000  # records
# What the streams name in place of secrets.
SECRETS = {**object_stores.SECRETS, "MARIA_PASSWORD": mariadb.PASSWORD, "KINESIS_SECRET": "s3cr3t"}


@dataclass(frozen=True)
class Way:
    """A server that has no events yet.

    Attributes:
        source: the key `source` of a stream that reads there, through the proxy.
        deliver: add records; those of one user stay in their order.
        server: to be killed and started again; None for local files.
        proxy: what stands between.
        record_of: the record that a payload has.
        settle: return once what was delivered survives that the server is killed.
    """

    source: dict[str, Any]
    deliver: Callable[[Sequence[Visit]], None]
    server: Server | None = None
    proxy: Proxy | None = None
    record_of: Callable[[bytes], bytes] = bytes
    settle: Callable[[], None] = lambda: None


def divided(visits: Sequence[Visit], size: int) -> Iterator[Sequence[Visit]]:
    """Parts of this size, but for the last one."""
    return (visits[start : start + size] for start in range(0, len(visits), size))


@contextmanager
def local_files(folder: Path) -> Iterator[Way]:
    landing = folder / DAY
    landing.mkdir()
    source = {"files": f"{folder}/{{partition:%Y-%m-%d}}/*.ndjson", "format": "ndjson"}
    yield Way(source, _in_files(lambda name, content: (landing / name).write_bytes(content)))


@contextmanager
def s3(folder: Path) -> Iterator[Way]:
    with object_stores.s3(folder) as bucket, Proxy(bucket.port) as proxy:
        yield _bucket(bucket, proxy)


@contextmanager
def azure(folder: Path) -> Iterator[Way]:
    with object_stores.azure(folder) as bucket, Proxy(bucket.port) as proxy:
        # Azurite writes down what it has every few seconds, and forgets the rest if it is killed.
        names: list[str] = []

        def settle() -> None:
            while names and names[-1] not in (folder / "__azurite_db_blob__.json").read_text():
                continue

        yield _bucket(bucket, proxy, names, settle)


def _bucket(
    bucket: Bucket, proxy: Proxy, names: list[str] | None = None, settle: Callable[[], None] = lambda: None
) -> Way:
    def put(name: str, content: bytes) -> None:
        bucket.put(f"eight/{DAY}/{name}", content)
        if names is not None:
            names.append(name)

    uri = bucket.uri("eight/{partition:%Y-%m-%d}/*.ndjson")
    store = bucket.options(proxy.port, give_up_after="2m")
    source = {"files": uri, "format": "ndjson", "store": store}
    return Way(source, _in_files(put), bucket.server, proxy, settle=settle)


def _in_files(put: Callable[[str, bytes], Any]) -> Callable[[Sequence[Visit]], None]:
    numbers = count()

    def deliver(visits: Sequence[Visit]) -> None:
        for part in divided(visits, _FILE):
            put(f"{next(numbers):06}.ndjson", b"".join(record + b"\n" for _, record in part))

    return deliver


_COLUMNS = ("id", "user", "ts", "type")


def _row(record: bytes) -> list[str | None]:
    """The columns of a record, and its text where it has none."""
    with contextlib.suppress(ValueError):
        event = json.loads(record)
        return [*(event[name] for name in _COLUMNS), None]
    return [None, None, None, None, record.decode()]


def _record_of_row(payload: bytes) -> bytes:
    row = json.loads(payload)
    return json.dumps({name: row[name] for name in _COLUMNS}).encode() if row["text"] is None else row["text"].encode()


@contextmanager
def postgres_table(folder: Path) -> Iterator[Way]:  # noqa: ARG001 - its user could not enter
    with postgres.postgres() as server, Proxy(server.port) as proxy:
        with server.connect() as connection:
            connection.execute(
                'create table events (n bigint generated always as identity, id text, "user" text, ts text, type text,'
                " text text, row_xid xid8 default pg_current_xact_id())"
            )
            connection.execute("create index on events (row_xid)")

        def deliver(visits: Sequence[Visit]) -> None:
            with server.connect() as connection:
                for part in divided(visits, 500):
                    with connection.cursor().copy('copy events (id, "user", ts, type, text) from stdin') as copy:
                        for _, record in part:
                            copy.write_row(_row(record))

        source = {"type": "postgres", "host": "127.0.0.1", "port": proxy.port, "database": postgres.USER}
        more = {"user": postgres.USER, "table": "public.events", "incremental": {"xid": "row_xid"}}
        yield Way({**source, **more}, deliver, server, proxy, _record_of_row)


@contextmanager
def mariadb_table(folder: Path) -> Iterator[Way]:  # noqa: ARG001 - its user could not enter
    with mariadb.mariadb() as maria:
        maria.run(
            "create table events (n bigint auto_increment primary key, id text, user text, ts text, type text,"
            " text text)"
        )

        def deliver(visits: Sequence[Visit]) -> None:
            with contextlib.closing(maria.connect()) as connection, connection.cursor() as cursor:
                for part in divided(visits, _FILE):
                    rows = [_row(record) for _, record in part]
                    statement = "insert into events (id, user, ts, type, text) values (%s, %s, %s, %s, %s)"
                    cursor.executemany(statement, rows)

        source = {"type": "mysql", "host": "127.0.0.1", "port": maria.proxy.port, "database": mariadb.DATABASE}
        login = {"user": mariadb.USER, "password": {"env": "MARIA_PASSWORD"}}
        more = {"table": "events", "incremental": {"cursor": "n", "key": "n", "lag": 0}}
        yield Way({**source, **login, **more}, deliver, maria.server, maria.proxy, _record_of_row)


@contextmanager
def kafka_topic(folder: Path) -> Iterator[Way]:
    with kafka.kafka_in(folder) as broker:
        broker.create("eight", 3)
        source = {"type": "kafka", "bootstrap_servers": broker.proxied, "topic": "eight", "give_up_after": "2m"}
        yield Way(source, lambda visits: broker.send("eight", visits), broker.server, broker.proxy)


@contextmanager
def kinesis_stream(folder: Path) -> Iterator[Way]:
    """Its shard is split after the first delivery, and the two are merged after the second."""
    with kinesis.kinesis_in(folder) as server, Proxy(int(server.url.rpartition(":")[2])) as proxy:
        server.create("eight")
        changes = iter((server.split, server.merge))

        def deliver(visits: Sequence[Visit]) -> None:
            server.send("eight", [(user.decode(), record) for user, record in visits])
            if change := next(changes, None):
                change("eight")

        source = {"type": "kinesis", "stream": "eight", "region": "us-east-1", "give_up_after": "2m"}
        login = {"access_key_id": "test", "secret_access_key": {"env": "KINESIS_SECRET"}}
        endpoint = {"endpoint_url": f"http://127.0.0.1:{proxy.port}"}
        yield Way({**source, **login, **endpoint}, deliver, server.server, proxy)


@contextmanager
def http_api(folder: Path) -> Iterator[Way]:
    log, port = folder / "log.ndjson", free_port()
    log.touch()
    command = [sys.executable, "-m", "sessions_platform_tests.servers.log_api", log, str(port)]
    root = {"PYTHONPATH": str(Path(__file__).parents[2])}
    with Server(command, folder, lambda: listens(port), root) as server, Proxy(port) as proxy:

        def deliver(visits: Sequence[Visit]) -> None:
            lines = io.BytesIO()
            lines.writelines(_element(record) + b"\n" for _, record in visits)
            with log.open("ab") as file:
                file.write(lines.getvalue())

        pages = {"cursor": "next", "param": "after", "resume": True}
        source = {"type": "http", "url": f"http://127.0.0.1:{proxy.port}/events", "records": "data", "pages": pages}
        yield Way({**source, "give_up_after": "2m"}, deliver, server, proxy, _record_of_element)


def _element(record: bytes) -> bytes:
    """A record as an element of a page."""
    with contextlib.suppress(ValueError):
        json.loads(record)
        return record
    return json.dumps(record.decode()).encode()


def _record_of_element(payload: bytes) -> bytes:
    return json.loads(payload).encode() if payload.startswith(b'"') else payload


WAYS: dict[str, Callable[[Path], AbstractContextManager[Way]]] = {
    "local files": local_files,
    "S3": s3,
    "Azure": azure,
    "PostgreSQL": postgres_table,
    "MariaDB": mariadb_table,
    "Kafka": kafka_topic,
    "Kinesis": kinesis_stream,
    "HTTP": http_api,
}
