"""Deliveries: a month of sessions to each target, against the target's own bulk load of the same rows.

`apply` is the target's part alone: the rows are read of a Parquet file, as the peer reads them. The whole delivery also
makes the sessions of the lake's events, computes digests, reads everything back and records it, of which no peer does
anything. Then one event comes late, and what the next delivery writes anew is measured. Servers are installed and
started as in the tests; where one can't be, its target is left out with the reason.

    python -m benchmarks deliveries --rows 1100000 --pairs 1

SESSIONS_BENCH_TARGET=mysql is for that target alone.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import late_event, measure
from benchmarks.bench import Bench, in_turn
from benchmarks.data import days
from benchmarks.results import Comparison, Figure, Result
from benchmarks.server import running
from benchmarks.stream import definition

if TYPE_CHECKING:
    import polars as pl

ROWS = 5_500_000  # a million sessions
DAYS = 30
_PEERS = {
    "duckdb": "DuckDB's create table of the file",
    "parquet": "pyarrow's dataset, divided alike",
    "delta": "deltalake's overwrite, divided alike",
    "iceberg": "pyiceberg's append, divided alike",
    "mysql": "load data of a CSV file, which is made of the rows, with the same index",
    "redis": "a hash for each day in pipelines of a thousand, without the users' sets",
    "mongodb": "documents in batches of a thousand, with the same indexes",
    "clickhouse": "clickhouse-connect's insert_arrow of batches, divided and sorted alike",
}
_AT_ONCE = 64 * 1024


def run(bench: Bench) -> Iterator[Result]:
    import pytest

    rows = bench.rows(ROWS)
    data = bench.cache.get("days", rows, days=DAYS)
    with running() as server, bench.folder() as folder, ExitStack() as targets:
        given = {"data": str(data), "folder": str(folder), "url": server.url}
        bench.say("  loading the sessions into PostgreSQL")
        measure.run(measure.program("late_event", "take_in", **given, count=DAYS))
        exported = measure.run(measure.program("deliveries", "export", **given)).output["rows"]
        kept = {}
        only = os.environ.get("SESSIONS_BENCH_TARGET", "")
        for kind, about in ((kind, about) for kind, about in _PEERS.items() if kind.startswith(only)):
            bench.say(f"  {kind}")
            try:
                places = targets.enter_context(_places(kind, folder))
            except pytest.skip.Exception as skipped:
                bench.say(f"    left out: {skipped}")
                continue
            yield _applied(bench, given, kind, about, exported, places)
            kept[kind] = places("kept")
            whole = measure.run(measure.program("deliveries", "ours", **given, config=kept[kind]))
            yield _whole(kind, exported, whole)
        measure.run(measure.program("late_event", "add", **given, count=DAYS, number=0))
        measure.run(measure.program("late_event", "take_in_late", **given, count=DAYS))
        for kind, config in kept.items():
            yield _changed(kind, exported, config, given)


def _applied(
    bench: Bench, given: dict[str, Any], kind: str, about: str, rows: int, places: Callable[[str], dict[str, Any]]
) -> Result:
    numbers = iter(range(2 * bench.pairs))

    def program(function: str) -> tuple[measure.Run, Mapping[str, Any]]:
        config = places(f"{function}{next(numbers)}")
        taken = measure.run(measure.program("deliveries", function, **given, config=config))
        return replace(taken, cpu=taken.output["cpu"]), taken.output

    def compare(_: str, ours: Mapping[str, Any], peer: Mapping[str, Any]) -> None:
        if ours["rows"] != rows or peer["rows"] != rows:
            raise measure.Failed(f"{kind}: {ours['rows']} and {peer['rows']} rows of {rows} were written")

    taken = in_turn(bench, {"ours": partial(program, "apply"), "peer": partial(program, f"in_{kind}")}, compare)
    return Comparison(f"deliveries/{kind}", f"against {about}", rows, taken["ours"], taken["peer"], "work")


def _whole(kind: str, rows: int, taken: measure.Run) -> Result:
    about = f"{kind}: CPU seconds of the whole delivery, made of events, read back and recorded"
    details = {"seconds": taken.work, "peak": taken.peak / 1e9}
    return Figure(f"deliveries/{kind} whole", about, rows, [taken.output["cpu"]], "s", details)


def _changed(kind: str, rows: int, config: dict[str, Any], given: dict[str, Any]) -> Result:
    before = _files(config)
    taken = measure.run(measure.program("deliveries", "ours", **given, config=config))
    after = _files(config)
    written = sum(size for file, size in after.items() if file not in before)
    files = f", {written / 1e6:.1f} of {sum(size for _, size in after.items()) / 1e6:.1f} MB of files" if after else ""
    about = f"{kind}: CPU seconds of the next one, of {taken.output['partitions']} of {DAYS} days changed{files}"
    return Figure(f"deliveries/{kind} one day", about, rows, [taken.output["cpu"]], "s", {"peak": taken.peak / 1e9})


def _files(config: Mapping[str, Any]) -> dict[tuple[str, int], int]:
    """The sizes of the files of a target on the disk, by path and the time of their last change."""
    root = Path(config.get("path", "/nowhere"))
    paths = [root] if root.is_file() else [path for path in root.rglob("*") if path.is_file()]
    return {(str(path), path.stat().st_mtime_ns): path.stat().st_size for path in paths}


@contextmanager
def _places(kind: str, folder: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    """The keys of targets of a type by name; each is empty."""
    from sessions_platform_tests.servers import clickhouse, ferretdb, mariadb, redis_server

    if kind == "mysql":
        with mariadb.mariadb() as maria:
            maria.run("set global local_infile = 1")
            where = {"host": "127.0.0.1", "port": maria.port, "database": mariadb.DATABASE, "user": "root"}
            yield lambda name: {"type": kind, **where, "prefix": f"{name}_"}
    elif kind == "redis":
        with redis_server.redis_server() as redis:
            os.environ["BENCHMARK_REDIS"] = redis.url
            yield lambda name: _emptied(redis, {"type": kind, "url": {"env": "BENCHMARK_REDIS"}, "prefix": name})
    elif kind == "mongodb":
        with ferretdb.ferretdb() as ferret:
            os.environ["BENCHMARK_MONGODB"] = ferret.url
            yield lambda name: {"type": kind, "url": {"env": "BENCHMARK_MONGODB"}, "database": name}
    elif kind == "clickhouse":
        with clickhouse.clickhouse() as house:
            os.environ["BENCHMARK_CLICKHOUSE"] = clickhouse.PASSWORD
            where = {"host": "127.0.0.1", "port": house.port, "tls": False, "database": clickhouse.DATABASE}
            who = {"user": clickhouse.USER, "password": {"env": "BENCHMARK_CLICKHOUSE"}}
            yield lambda name: {"type": kind, **where, **who, "prefix": f"{name}_"}
    else:
        suffix = ".duckdb" if kind == "duckdb" else ""
        yield lambda name: {"type": kind, "path": str(folder / f"{kind}-{name}{suffix}")}


def _emptied(redis: Any, config: dict[str, Any]) -> dict[str, Any]:
    with redis.client() as client:
        client.flushall()
    return config


# Ours ----------------------------------------------------------------------------------------------------


def _context(given: Mapping[str, str], config: Mapping[str, Any] | None = None) -> Any:
    """The context of late_event's stream, with one target more."""
    from sessions_platform.contracts.stream import Stream
    from sessions_platform.pipeline.context import StreamContext
    from sessions_platform.settings import Settings

    plain = late_event.context_of(**given)
    if config is None:
        return plain
    home = Path(given["folder"]) / "home"
    stream = Stream.model_validate({**definition(), "targets": {config["type"]: config}})
    return StreamContext.open(stream, Settings(home, home / "lake", (), given["url"]))


def export(**given: str) -> dict[str, Any]:
    """Write the loaded sessions to FOLDER/sessions.parquet, which is what `apply` and the peers write to targets."""
    import polars as pl

    from sessions_platform.contracts.sessions import session_columns

    context = _context(given)
    columns = session_columns(context.stream)
    sql = f"select {', '.join(columns)} from {context.stream.name}.sessions order by session_partition"
    frame = pl.DataFrame(context.database.query(sql), schema=pl.Schema(columns), infer_schema_length=None)
    frame.write_parquet(Path(given["folder"]) / "sessions.parquet", row_group_size=_AT_ONCE)
    return {"rows": frame.height}


def ours(config: dict[str, Any], **given: str) -> dict[str, Any]:
    """A delivery as a run makes it."""
    from sessions_platform.pipeline.deliver import deliver
    from sessions_platform.storage.warehouses.registry import open_target

    context = _context(given, config)
    context.prepare()
    target = open_target(context.stream, config["type"])
    measure.mark("ready")
    delivered = deliver(context, target, "a run")
    measure.mark("done")
    return {"partitions": len(delivered.applied), "cpu": _cpu()}


def apply(config: dict[str, Any], **given: str) -> dict[str, Any]:
    """The target's part of a delivery."""
    import polars as pl

    from sessions_platform.allocator import configure_allocator
    from sessions_platform.storage.warehouses.base import Changes
    from sessions_platform.storage.warehouses.registry import open_target

    configure_allocator()
    context = _context(given, config)
    target = open_target(context.stream, config["type"])
    source = pl.scan_parquet(Path(given["folder"]) / "sessions.parquet")

    def rows(_: str, partition: str) -> Iterator["pl.DataFrame"]:
        of_day = source.filter(pl.col("session_partition") == partition)
        yield from of_day.collect_batches(chunk_size=_AT_ONCE)

    target.token()  # its library is imported
    measure.mark("ready")
    target.apply(Changes(1, days(DAYS), rows))
    measure.mark("done")
    return {"rows": sum(frame.height for frame in target.read("sessions", None)), "cpu": _cpu()}


def _cpu() -> float:
    marks = measure.marks()
    return marks["done"]["cpu"] - marks["ready"]["cpu"]


# The peers -----------------------------------------------------------------------------------------------


def in_duckdb(config: dict[str, Any], folder: str, **_: str) -> dict[str, Any]:
    """One statement."""
    import duckdb

    with duckdb.connect(config["path"]) as connection:
        measure.mark("ready")
        connection.execute(f"create table sessions as from '{folder}/sessions.parquet'")
        connection.execute("checkpoint")
        measure.mark("done")
        (rows,) = connection.execute("select count(*) from sessions").fetchone() or (0,)
    return {"rows": rows, "cpu": _cpu()}


def in_parquet(config: dict[str, Any], folder: str, **_: str) -> dict[str, Any]:
    """A file for each day."""
    import pyarrow.dataset as ds

    source = ds.dataset(f"{folder}/sessions.parquet")
    measure.mark("ready")
    written = ds.ParquetFileFormat().make_write_options(compression="zstd")
    ds.write_dataset(
        source, config["path"], format="parquet", file_options=written,
        partitioning=["session_partition"], partitioning_flavor="hive",
    )  # fmt: skip
    measure.mark("done")
    return {"rows": ds.dataset(config["path"], partitioning="hive").count_rows(), "cpu": _cpu()}


def in_delta(config: dict[str, Any], folder: str, **_: str) -> dict[str, Any]:
    """One commit, of batches as they are read."""
    import pyarrow as pa
    import pyarrow.dataset as ds
    from deltalake import DeltaTable, write_deltalake

    source = ds.dataset(f"{folder}/sessions.parquet")
    measure.mark("ready")
    batches = pa.RecordBatchReader.from_batches(source.schema, source.to_batches(batch_size=_AT_ONCE))
    write_deltalake(config["path"], batches, mode="overwrite", partition_by=["session_partition"])
    measure.mark("done")
    return {"rows": DeltaTable(config["path"]).to_pyarrow_dataset().count_rows(), "cpu": _cpu()}


def in_iceberg(config: dict[str, Any], folder: str, **_: str) -> dict[str, Any]:
    """One append, whose rows have to be in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.transforms import IdentityTransform

    place = Path(config["path"])
    place.mkdir(parents=True)
    catalog = SqlCatalog("peer", uri=f"sqlite:///{place}/catalog.db", warehouse=str(place))
    catalog.create_namespace("default")
    measure.mark("ready")
    rows = pq.read_table(f"{folder}/sessions.parquet")
    rows = rows.cast(pa.schema([field.with_type(_short(field.type)) for field in rows.schema]))
    table = catalog.create_table("default.sessions", rows.schema)
    with table.update_spec() as change:
        change.add_field("session_partition", IdentityTransform())
    table.append(rows)
    measure.mark("done")
    return {"rows": table.scan().count(), "cpu": _cpu()}


def _short(dtype: Any) -> Any:
    import pyarrow as pa

    return pa.string() if pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype) else dtype


def in_mysql(config: dict[str, Any], folder: str, **_: str) -> dict[str, Any]:
    """A file of tab-separated values for the server, which has it loaded."""
    import polars as pl
    import pymysql

    types = {pl.String: "longtext", pl.Int64: "bigint", pl.Float64: "double"}
    given = {key: config[key] for key in ("host", "port", "user", "database")}
    with pymysql.connect(**given, local_infile=True, autocommit=True, charset="utf8mb4") as connection:
        cursor, name, file = connection.cursor(), f"{config['prefix']}sessions", f"{folder}/sessions.tsv"
        measure.mark("ready")
        rows = pl.scan_parquet(f"{folder}/sessions.parquet")
        stated = {
            column: "varchar(32) character set ascii" if column == "session_partition" else
            next((sql for kind, sql in types.items() if dtype == kind), "datetime(6)")
            for column, dtype in rows.collect_schema().items()
        }  # fmt: skip
        cursor.execute(
            f"create table {name} ({', '.join(f'{a} {b}' for a, b in stated.items())}, index (session_partition))"
        )
        rows.sink_csv(file, separator="\t", include_header=False, null_value="\\N", datetime_format="%F %T%.6f")
        cursor.execute(f"load data local infile '{file}' into table {name} character set utf8mb4")
        measure.mark("done")
        cursor.execute(f"select count(*) from {name}")
        ((count,),) = cursor.fetchall()
    return {"rows": count, "cpu": _cpu()}


def in_redis(config: dict[str, Any], folder: str, **_: str) -> dict[str, Any]:
    """Each session as JSON, in pipelines."""
    import json

    import polars as pl
    from redis import Redis

    with Redis.from_url(os.environ["BENCHMARK_REDIS"], decode_responses=True) as redis:
        measure.mark("ready")
        rows = pl.scan_parquet(f"{folder}/sessions.parquet").with_columns(
            pl.col("session_start", "session_end").dt.strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        )
        count = 0
        for frame in rows.collect_batches(chunk_size=_AT_ONCE):
            for part in frame.iter_slices(1000):
                pipeline = redis.pipeline(transaction=False)
                for row in part.iter_rows(named=True):
                    key = f"{config['prefix']}:{row['session_partition']}"
                    pipeline.hset(key, row["session_id"], json.dumps(row, ensure_ascii=False))
                count += sum(pipeline.execute())
        measure.mark("done")
    return {"rows": count, "cpu": _cpu()}


def in_mongodb(config: dict[str, Any], folder: str, **_: str) -> dict[str, Any]:
    """Each session as a document; times lose what is below a millisecond."""
    import polars as pl
    from pymongo import MongoClient

    with MongoClient(os.environ["BENCHMARK_MONGODB"]) as client:
        sessions = client[config["database"]]["sessions"]
        measure.mark("ready")
        sessions.create_index([("session_partition", 1), ("_version", 1)])
        sessions.create_index("user_id")
        source, count = pl.scan_parquet(f"{folder}/sessions.parquet"), 0
        for frame in source.collect_batches(chunk_size=_AT_ONCE):
            for part in frame.with_columns(_version=pl.lit(1)).iter_slices(1000):
                count += len(sessions.insert_many(part.to_dicts(), ordered=False).inserted_ids)
        measure.mark("done")
    return {"rows": count, "cpu": _cpu()}


def in_clickhouse(config: dict[str, Any], folder: str, **_: str) -> dict[str, Any]:
    """Batches as they are read."""
    import clickhouse_connect
    import pyarrow as pa
    import pyarrow.dataset as ds

    where = {key: config[key] for key in ("host", "port", "database")}
    who = {"username": config["user"], "password": os.environ["BENCHMARK_CLICKHOUSE"]}
    file, name = f"{folder}/sessions.parquet", f"{config['prefix']}sessions"
    with clickhouse_connect.get_client(**where, **who, autogenerate_session_id=False) as client:
        measure.mark("ready")
        client.command(
            f"create table {name} ({', '.join(_clickhouse_columns(file))}) engine = MergeTree "
            "partition by session_partition order by user_id settings allow_nullable_key = 1"
        )
        for batch in ds.dataset(file).to_batches(batch_size=_AT_ONCE):
            client.insert_arrow(name, pa.Table.from_batches([batch]))
        measure.mark("done")
        ((rows,),) = client.query(f"select count() from {name}").result_rows
    return {"rows": rows, "cpu": _cpu()}


def _clickhouse_columns(file: str) -> Iterator[str]:
    import polars as pl

    types = {pl.String: "String", pl.Int64: "Int64", pl.Float64: "Float64"}
    for column, dtype in pl.scan_parquet(file).collect_schema().items():
        stated = next((sql for kind, sql in types.items() if dtype == kind), "DateTime64(6, 'UTC')")
        yield f"{column} {stated}" if column == "session_partition" else f"{column} Nullable({stated})"
