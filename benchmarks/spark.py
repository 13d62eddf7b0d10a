"""Sessionized events from accepted events of a lake: by polars, and by the same code on Spark and on Sail.

Peers are what one writes without us: Spark SQL's session_window and its windows over users, and DuckDB's windows. A
program is measured with all processes that come of it, from their start: the JVM's, its Python workers' and a server's.

The data has no silence within a millisecond of the gap, since Spark's session_window cuts where ours does not if it is
just the gap. session_window gives sessions alone, without events, so only their numbers are compared; of all others
every sessionized event is. Needs the environment that `make spark` makes: `build/spark/bin/python -m benchmarks spark`.
"""

import importlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from benchmarks import answers, core, measure, process_tree
from benchmarks.bench import Bench, in_turn
from benchmarks.data import COLUMNS, days
from benchmarks.measure import Run
from benchmarks.results import Comparison, Result
from benchmarks.stream import GAP_MICROSECONDS, stream_ruled_by

if TYPE_CHECKING:
    from sessions_platform.contracts.stream import Stream
    from sessions_platform.storage.lake.lake import Lake

ROWS = 1_000_000
DAYS = 10
_NEAR_THE_GAP = 1000  # microseconds; Spark's session_window may count in milliseconds
_LOCAL, _CLUSTER, _SAIL = "local[2]", "local-cluster[2,1,4096]", "sail"
_CONFIGURED = """
spark.driver.memory 4g
spark.sql.session.timeZone UTC
spark.sql.parquet.outputTimestampType TIMESTAMP_MICROS
"""


@dataclass(frozen=True)
class Way:
    """A program below, with its arguments; `events` is whether it gives each event with its session."""

    function: str
    about: str
    options: Mapping[str, Any]
    events: bool = True


OURS = {
    "polars": Way("ours", "polars", {"engine": "polars", "master": ""}),
    **{
        f"ours, {master}": Way("ours", f"ours on {about}", {"engine": "spark", "master": master})
        for master, about in ((_LOCAL, "Spark local[2]"), (_CLUSTER, "two executors of Spark"), (_SAIL, "Sail"))
    },
}
PEERS = {
    "session_window": Way("in_spark", "Spark's session_window", {"form": "session_window"}, events=False),
    "windows": Way("in_spark", "Spark's windows over users", {"form": "windows"}),
    "duckdb": Way("in_duckdb", "DuckDB's windows", {}),
}


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    events = bench.cache.get("parquet", rows, days=DAYS) / "events.parquet"
    with bench.folder() as lake:
        measure.run(measure.program("spark", "make_lake", events=str(events), lake=str(lake)))
        ways = {"ours": OURS[f"ours, {_LOCAL}"], **OURS, **PEERS}
        ways.pop(f"ours, {_LOCAL}")
        taken = in_turn(bench, {name: partial(program, bench, lake, way) for name, way in ways.items()}, _compare)
    for name, way in ways.items():
        if name != "ours":
            yield Comparison(f"spark/{name}", f"{way.about}; ours on Spark {_LOCAL}", rows, taken["ours"], taken[name])


def program(bench: Bench, lake: Path, way: Way) -> tuple[Run, Mapping[str, Any]]:
    """Run one of the programs below; its answer is taken from the files that it wrote."""
    with bench.folder() as folder:
        given = {"lake": str(lake), "folder": str(folder), **way.options}
        taken = process_tree.run(measure.program("spark", way.function, **given))
        written = f"{folder}/written/**/*.parquet"
        if way.events:
            found = answers.of_parquet({"sessionized events": (Path(written), answers.SESSIONIZED)})
            return taken, {**found, **_counted(written, "sum(is_new_session::int)::bigint", "count(*)")}
        return taken, _counted(written, "count(*)", "sum(event_count)::bigint")


def _counted(written: str, sessions: str, events: str) -> dict[str, Any]:
    command = measure.program("spark", "counted", written=written, sessions=sessions, events=events)
    return {name: value for name, value in measure.run(command).output.items() if name in ("sessions", "events")}


def counted(written: str, sessions: str, events: str) -> dict[str, int]:
    """How many sessions and events the files have, by two expressions over their rows."""
    import duckdb

    with duckdb.connect() as connection:
        query = f"select {sessions}, {events} from read_parquet('{written}')"
        found = connection.execute(query).fetchone() or (0, 0)
    return {"sessions": found[0], "events": found[1]}


def _compare(name: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    answers.check_equal(ours, theirs, f"spark, {name}")


# The programs --------------------------------------------------------------------------------------------


def make_lake(events: str, lake: str) -> None:
    """Write accepted events to a lake, a file a day; without users who have a silence of about the gap."""
    import polars as pl

    from sessions_platform.contracts.events import event_columns

    shop, opened, landings = stream_ruled_by({}, ()), _lake(lake), []
    columns = event_columns(shop)
    time, silence = pl.col("event_timestamp"), pl.col("event_timestamp").diff().dt.total_microseconds()
    valid = [core.valid_rows(block, shop) for block in core.positioned(opened, events, columns, ())]
    accepted = pl.concat(valid).unique("event_id", keep="first", maintain_order=True)
    near = (silence.over("user_id", order_by="event_timestamp") - GAP_MICROSECONDS).abs() <= _NEAR_THE_GAP
    accepted = accepted.join(accepted.filter(near).select("user_id").unique(), on="user_id", how="anti")
    for day in days(DAYS):
        of_day = accepted.filter(time.dt.strftime("%Y-%m-%d") == day).with_columns(landing_partition=pl.lit(day))
        first, last = of_day.select(first=time.min(), last=time.max()).row(0)
        path = opened.write("events", [of_day], columns).path
        landings.append({"day": day, "path": path, "rows": of_day.height, "first": str(first), "last": str(last)})
    (Path(lake) / "landings.json").write_text(json.dumps(landings))


def ours(lake: str, folder: str, engine: str, master: str) -> None:
    """All session partitions of the lake, by an engine of the platform; as the pipeline does it, but for the ledger."""
    from sessions_platform.contracts.sessions import sessionized_columns
    from sessions_platform.engines.registry import open_engine

    shop, opened, written = stream_ruled_by({}, ()), _lake(lake), _lake(folder)
    with _server(master) as address:
        computing = open_engine(engine, _Context(shop, opened, address))
        landings = _landings(lake)
        for batch in computing.batches([landing.landing_partition for landing in landings], landings):
            parts = (part.events for part in computing.sessionize(batch, landings))
            written.write("written", parts, sessionized_columns(shop))


def in_spark(lake: str, folder: str, form: str) -> None:
    """Spark SQL's own forms, from the same files."""
    from sessions_platform.engines.spark_session import open_session

    # Not where `make setup` installs, whose types are checked.
    window, f = importlib.import_module("pyspark.sql").Window, importlib.import_module("pyspark.sql.functions")
    with _server(_LOCAL) as address:
        spark = open_session(address)
        events = spark.read.parquet(*_paths(lake))
        if form == "session_window":
            sessions = events.groupBy("user_id", f.session_window("event_timestamp", "30 minutes"))
            first, last = f.min("event_timestamp"), f.max("event_timestamp")
            found = sessions.agg(
                f.count("*").alias("event_count"), first.alias("session_start"), last.alias("session_end")
            ).drop("session_window")
        else:
            by_user = window.partitionBy("user_id").orderBy("event_timestamp", "event_id")
            micros = f.unix_micros("event_timestamp")
            silence = micros - f.lag(micros).over(by_user)
            opens = silence.isNull() | (silence > GAP_MICROSECONDS)
            found = (
                events.select(*COLUMNS)
                .withColumn("is_new_session", opens)
                .withColumn("time_diff_seconds", f.when(~f.col("is_new_session"), silence / 1e6))
                .withColumn("opening", f.when(f.col("is_new_session"), f.col("event_id")))
                .withColumn("session_id", f.last("opening", ignorenulls=True).over(by_user))
                .drop("opening")
            )
        found.write.parquet(f"{folder}/written", compression="zstd")
        spark.stop()


def in_duckdb(lake: str, folder: str) -> None:
    """The windows of the benchmark `core`, for events that are accepted already."""
    files = f"read_parquet({_paths(lake)})"
    connection = core.connected(folder)
    core.make_enums(connection, files)
    core.sessionize_in_duckdb(connection, f"select {core.ENUMS} from {files}")
    (Path(folder) / "written").mkdir()
    target = f"{folder}/written/{core.SESSIONIZED}"
    connection.execute(f"copy ({core.SESSIONIZED_SQL}) to '{target}' {core.PARQUET}")


# What they share -----------------------------------------------------------------------------------------


class _Context:
    """What an engine may use, as ``engines.base.EngineContext`` says."""

    def __init__(self, stream: "Stream", lake: "Lake", spark: str) -> None:
        from sessions_platform.memory_budget import MemoryBudget

        self.stream, self.lake, self.spark = stream, lake, spark
        self.memory = MemoryBudget.default()

    def spill(self, schema: Mapping[str, Any], buckets: int = 1, by: Any = None) -> Any:
        from sessions_platform.storage.lake.spill import Spill

        return Spill(self.lake.scratch, schema, self.memory.bucket, buckets, by)

    def buckets_for(self, size: int) -> int:
        return 1 + size // self.memory.bucket


def _lake(folder: str) -> "Lake":
    from sessions_platform.storage.lake.filesystem import LocalFilesystem
    from sessions_platform.storage.lake.lake import Lake

    return Lake(LocalFilesystem(Path(folder)), Path(folder) / "scratch")


def _landings(lake: str) -> Sequence[Any]:
    from datetime import datetime

    from sessions_platform.storage.ledger.ledger import LandingVersion

    return [
        LandingVersion(
            landing_partition=each["day"],
            version=number,
            raw_sequence=number,
            events_path=each["path"],
            rejected_path="",
            raw_rows=each["rows"],
            accepted=each["rows"],
            rejected=0,
            duplicates=0,
            skipped=0,
            repeated_lines=0,
            rejected_by_reason={},
            first_event=datetime.fromisoformat(each["first"]),
            last_event=datetime.fromisoformat(each["last"]),
            contract_version="",
            reference_digests={},
            rejected_stretches=0,
        )
        for number, each in enumerate(_read_landings(lake), start=1)
    ]


def _read_landings(lake: str) -> list[dict[str, Any]]:
    return json.loads((Path(lake) / "landings.json").read_text())


def _paths(lake: str) -> list[str]:
    return [f"{lake}/{each['path']}" for each in _read_landings(lake)]


@contextmanager
def _server(master: str) -> Iterator[str]:
    """What `SESSIONS_SPARK` says for a master. Sail is started, and a driver of Spark has room for its work."""
    from sessions_platform.engines.spark_session import open_session
    from sessions_platform_tests.servers.running import Server, free_port, listens
    from sessions_platform_tests.spark.java import provide_java

    with TemporaryDirectory() as folder:
        if master == _SAIL:
            port = free_port()
            command = [sys.executable, "-m", "pysail", "spark", "server", "--ip", "127.0.0.1", "--port", str(port)]
            named = {"PYTHONPATH": str(measure.PROJECT), "POLARS_MAX_THREADS": "1"}
            with Server(command, Path(folder), lambda: listens(port), named):
                yield f"sc://127.0.0.1:{port}"
                open_session(f"sc://127.0.0.1:{port}").stop()  # which asks the server, for minutes if there is none
            return
        if master:
            (Path(folder) / "java").mkdir()
            provide_java(Path(folder) / "java")
            (Path(folder) / "spark-defaults.conf").write_text(_CONFIGURED)
            os.environ["SPARK_CONF_DIR"] = folder
        yield master
