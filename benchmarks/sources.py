"""Sources: what it takes to read records from a server, against the plainest program that fetches the same ones.

Read is each row up to its block (payload, place, envelope), which is what a stream's ingestion begins with; `ingest` is
all of that, with the lake and the ledger. Its memory is compared with the budget, and for S3 its time with that of the
same files in a folder. What counts is the time of the work. Servers are installed and started as in the tests; where
one can't be, its case is left out with the reason.

    python -m benchmarks sources --rows 200000 --pairs 2

SESSIONS_BENCH_SOURCE=Kafka is for that source alone.
"""

import gc
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks import measure
from benchmarks.bench import Bench, in_turn
from benchmarks.results import Comparison, Figure, Result
from benchmarks.stream import definition

ROWS = 1_000_000
BUDGET = 256 * 2**20
_PAGE = 1000
_FILES = 4
_QUEUE = 50_000  # a producer has room for twice as many
_DAY = "2026-01-01"
Called = tuple[str, Mapping[str, Any]]  # one of the programs below, and its arguments


def run(bench: Bench) -> Iterator[Result]:
    import pytest

    rows = bench.rows(ROWS)
    file = bench.cache.get("texts", rows, form="ndjson", broken="none") / "events.ndjson"
    only = os.environ.get("SESSIONS_BENCH_SOURCE", "")  # as PostgreSQL, for that one alone
    for name, case in ((name, case) for name, case in CASES.items() if name.startswith(only)):
        bench.say(f"  {name}")
        with tempfile.TemporaryDirectory(prefix="server-", dir="/tmp") as folder:
            Path(folder).chmod(0o755)  # PostgreSQL runs as another user than root
            try:
                with case(Path(folder), file) as (source, peer, given):
                    yield _reading(bench, rows, name, ("ours", {"source": source}), (peer, given))
                    if peer == "ours":
                        both = ("ingested", {"source": source}), ("ingested", given)
                        yield _reading(bench, rows, f"{name}, ingested", *both)
                        fetched = "fetched", {"source": source}
                        yield _reading(bench, rows, "S3 against obstore's get", ("ours", {"source": source}), fetched)
                    yield _memory(bench, rows, name, source)
            except pytest.skip.Exception as skipped:
                bench.say(f"    left out: {skipped}")


def _reading(bench: Bench, rows: int, name: str, ours: Called, peer: Called) -> Result:
    programs = {side: partial(_program, called, **given) for side, (called, given) in (("ours", ours), ("peer", peer))}

    def compare(_: str, ours: Mapping[str, Any], peers: Mapping[str, Any]) -> None:
        if ours["rows"] != rows or peers["rows"] != rows:
            raise measure.Failed(f"{name}: {ours['rows']} and {peers['rows']} rows were read of {rows}")

    taken = in_turn(bench, programs, compare)
    return Comparison(f"sources/{name}", name, rows, taken["ours"], taken["peer"], "work", ("cpu",))


def _memory(bench: Bench, rows: int, name: str, source: dict[str, Any]) -> Result:
    taken = measure.run(measure.program("sources", "ingested", source=source))
    if taken.output["rows"] != rows:
        raise measure.Failed(f"{taken.output['rows']} rows were ingested of {rows}")
    bench.say(f"    ingest: {taken.wall:.2f} s, CPU {taken.cpu:.2f} s, {taken.peak / 1e9:.2f} GB")
    about = f"{name}: memory of an ingestion beyond its budget of {BUDGET // 2**20} MB"
    return Figure(f"sources/{name} memory", about, rows, [(taken.peak - BUDGET) / 1e6], "MB")


def _program(function: str, **given: Any) -> tuple[measure.Run, Mapping[str, Any]]:
    """A run whose CPU is that of its work, without start and imports."""
    taken = measure.run(measure.program("sources", function, **given))
    return replace(taken, cpu=taken.output["cpu"]), taken.output


# The servers: what a stream states of them, the peer, and its arguments ----------------------------------

Case = tuple[dict[str, Any], str, dict[str, Any]]


@contextmanager
def _s3(folder: Path, file: Path) -> Iterator[Case]:
    from sessions_platform_tests.servers import object_stores

    os.environ.update(object_stores.SECRETS)
    local = folder / "local"
    local.mkdir()
    with object_stores.s3(folder) as bucket:
        for number, part in enumerate(_parts(file)):
            bucket.put(f"bench/{number}.ndjson", part)
            (local / f"{number}.ndjson").write_bytes(part)
        store = bucket.options()
        source = {"files": bucket.uri("bench/*.ndjson"), "format": "ndjson", "store": store}
        yield source, "ours", {"source": {"files": f"{local}/*.ndjson", "format": "ndjson"}}


def _parts(file: Path) -> Iterator[bytes]:
    """The file in so many parts of whole lines. One at a time: a program's memory counts from that of this process."""
    size = -(-file.stat().st_size // _FILES)
    with file.open("rb") as opened:
        while part := opened.read(size):
            yield part + opened.readline()


@contextmanager
def _postgres(folder: Path, file: Path) -> Iterator[Case]:
    from sessions_platform_tests.servers import postgres

    columns = ("event_id", "user_id", "event_timestamp", "event_type", "page_url", "referrer", "device", "amount")
    types = ("text", "text", "timestamptz", "text", "text", "text", "text", "numeric")
    with postgres.postgres() as server:
        with server.connect() as connection:
            described = ", ".join(f"{name} {kind}" for name, kind in zip(columns, types, strict=True))
            connection.execute(f"create table events (id bigserial primary key, {described})")
            with connection.cursor().copy(f"copy events ({', '.join(columns)}) from stdin") as copy:
                for line in file.open("rb"):
                    event = json.loads(line)
                    copy.write_row([event.get(name) for name in columns])
            connection.execute("vacuum analyze events")
        place = {"host": "127.0.0.1", "port": server.port, "user": postgres.USER}
        source = {
            "type": "postgres", **place, "database": postgres.USER, "table": "public.events",
            "incremental": {"cursor": "id", "key": "id", "lag": 0},
        }  # fmt: skip
        yield source, "copied", {**place, "dbname": postgres.USER, "to": str(folder / "copied.csv")}


@contextmanager
def _kafka(folder: Path, file: Path) -> Iterator[Case]:
    from sessions_platform_tests.servers import kafka

    with kafka.kafka_in(folder) as broker:
        broker.create("bench", 3)
        messages = [(b"%d" % (number % 1000), line) for number, line in enumerate(file.read_bytes().splitlines())]
        for start in range(0, len(messages), _QUEUE):
            broker.send("bench", messages[start : start + _QUEUE])
        source = {"type": "kafka", "bootstrap_servers": broker.plain, "topic": "bench"}
        yield source, "consumed", {"at": broker.plain, "topic": "bench"}


@contextmanager
def _http(folder: Path, file: Path) -> Iterator[Case]:  # noqa: ARG001  it is in memory
    lines = file.read_bytes().splitlines()
    pages = []
    for start in range(0, len(lines) + 1, _PAGE):
        following = str(start + _PAGE) if start + _PAGE < len(lines) else None
        pages.append(b'{"data": [%b], "next": %b}' % (b",".join(lines[start : start + _PAGE]), _json(following)))
        if following is None:
            break

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            (after,) = parse_qs(urlsplit(self.path).query).get("after", ["0"])
            body = pages[int(after) // _PAGE]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/events"
    try:
        source = {"type": "http", "url": url, "records": "data", "pages": {"cursor": "next", "param": "after"}}
        yield source, "asked", {"url": url}
    finally:
        server.shutdown()
        server.server_close()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


CASES: Mapping[str, Callable[[Path, Path], AbstractContextManager[Case]]] = {
    "S3 against the local file": _s3,
    "PostgreSQL against copy": _postgres,
    "Kafka against consume": _kafka,
    "HTTP against httpx": _http,
}


# The programs --------------------------------------------------------------------------------------------


def _context(source: dict[str, Any], home: str) -> Any:
    gc.set_threshold(200_000)  # as the command line does
    from sessions_platform.contracts.stream import Stream
    from sessions_platform.memory_budget import MemoryBudget
    from sessions_platform.pipeline.context import StreamContext
    from sessions_platform.settings import Settings

    described = Stream.model_validate({**definition(files="*.ndjson"), "source": source})
    place = Path(home)
    settings = Settings(home=place, lake=place / "lake", streams=(), memory=MemoryBudget.of(BUDGET))
    return StreamContext.open(described, settings)


def ours(source: dict[str, Any]) -> dict[str, Any]:
    """Read all slices, round by round, to their blocks."""
    import polars as pl  # noqa: F401  imports are no part of the work
    import pyarrow as pa  # noqa: F401

    from sessions_platform.sources.base import InRounds, search, will_read

    with tempfile.TemporaryDirectory() as home:
        context = _context(source, home)
        reader: Any = context.source
        is_in_rounds = isinstance(reader, InRounds)
        measure.mark("ready")
        rows, cursors = 0, {}
        while True:
            found = search(reader, [_DAY], cursors)
            will_read(reader, found.slices)
            for slice_ in found.slices:
                for block in reader.read(slice_, _keep_nothing):
                    rows += block.height
                if slice_.cursor:
                    cursors[slice_.cursor.name] = slice_.cursor.position
            if not (is_in_rounds and reader.has_more()):
                break
        measure.mark("done")
    return _worked(rows)


def ingested(source: dict[str, Any]) -> dict[str, Any]:
    """Ingest all, with an embedded PostgreSQL as ledger."""
    from sessions_platform.pipeline.ingest import ingest

    with tempfile.TemporaryDirectory(prefix="bench-home-", dir="/tmp") as home:
        Path(home).chmod(0o755)  # as above
        context = _context(source, home)
        context.prepare()
        measure.mark("ready")
        read = ingest(context, [_DAY], "run", current=_DAY)[_DAY].rows
        measure.mark("done")
    return _worked(read)


def fetched(source: dict[str, Any]) -> dict[str, Any]:
    """Get the bytes of each object by one request, and forget them: what the client and the server take alone."""
    from obstore.store import S3Store

    gc.set_threshold(200_000)
    at = source["store"]
    config: Any = {
        "access_key_id": at["access_key"],
        "secret_access_key": os.environ[at["secret_key"]["env"]],
        "endpoint": at["endpoint"],
        "region": at["region"],
    }
    bucket, _, pattern = source["files"].removeprefix("s3://").partition("/")
    store = S3Store(bucket, config=config, client_options={"allow_http": True})
    measure.mark("ready")
    keys = [each["path"] for page in store.list(pattern.rpartition("/")[0]) for each in page]
    rows = sum(bytes(chunk).count(b"\n") for key in keys for chunk in store.get(key).stream())
    measure.mark("done")
    return _worked(rows)


def copied(to: str, **place: Any) -> dict[str, Any]:
    """What psql's `\\copy events to FILE` does."""
    import psycopg

    gc.set_threshold(200_000)
    connection = psycopg.connect(**place)
    measure.mark("ready")
    with Path(to).open("wb") as file, connection.cursor().copy("copy events to stdout") as copy:
        rows = sum(_written(file, block) for block in copy)
    measure.mark("done")
    return _worked(rows)


def _written(file: Any, block: Any) -> int:
    file.write(block)
    return bytes(block).count(b"\n")


def consumed(at: str, topic: str) -> dict[str, Any]:
    """Take each message of all partitions, up to their ends."""
    from confluent_kafka import Consumer, TopicPartition

    gc.set_threshold(200_000)
    consumer = Consumer({"bootstrap.servers": at, "group.id": "bench", "enable.auto.commit": False})
    measure.mark("ready")
    partitions = list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    ends = {number: consumer.get_watermark_offsets(TopicPartition(topic, number))[1] for number in partitions}
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    rows, size, wanted = 0, 0, sum(ends.values())
    while rows < wanted:
        messages = consumer.consume(1000, timeout=10)
        rows += len(messages)
        size += sum(len(message.value() or b"") for message in messages)
    measure.mark("done")
    consumer.close()
    return _worked(rows)


def asked(url: str) -> dict[str, Any]:
    """Ask for page after page, and parse each."""
    import httpx

    gc.set_threshold(200_000)
    measure.mark("ready")
    rows, after = 0, None
    with httpx.Client() as client:
        while True:
            page = client.get(url, params={"after": after} if after else {}).json()
            rows += len(page["data"])
            after = page["next"]
            if after is None:
                break
    measure.mark("done")
    return _worked(rows)


def _worked(rows: int) -> dict[str, Any]:
    marks = measure.marks()
    return {"rows": rows, "cpu": marks["done"]["cpu"] - marks["ready"]["cpu"]}


def _keep_nothing(_: Any) -> str:
    raise RuntimeError("no slice is unreadable")
