"""Metrics: what a scrape of ten streams costs whose ledger and runs are of a year.

One day of one stream is ingested by the real assets; what it has left in the ledger and in Dagster's storage is then
multiplied. CPU is that of the process which serves the metrics and of PostgreSQL's.
"""

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.bench import Bench
from benchmarks.data import days
from benchmarks.end_to_end import platform
from benchmarks.results import Figure, Result
from benchmarks.server import Server, running
from benchmarks.stream import definition

ROWS = 10_000
STREAMS, DAYS, SCRAPES = 10, 365, 20
_TICKS = os.sysconf("SC_CLK_TCK")

# Copies of all rows of a table, in which some values are others; `number` is that of the copy, from 1 on.
_COPY = """insert into {table}
           select (jsonb_populate_record(null::{table}, to_jsonb(t) || jsonb_build_object({values}))).*
           from {table} t, generate_series(1, {copies}) as number where {of}"""
_DAY = "to_char(date '2026-01-01' + number, 'YYYY-MM-DD')"
_OURS = "t.stream = 'shop0'"
_VERSION = "'version', nextval('sessions_platform.version')"
_LEDGER = {
    "landing_files": f"'landing_partition', {_DAY}, 'uri', uri || number, 'path', path || number",
    "landing_versions": f"'landing_partition', {_DAY}, {_VERSION}",
    "session_versions": f"'session_partition', {_DAY}, {_VERSION}",
}
_RUN = "'run_id', t.run_id || '-' || number"
_DAGSTER = {
    "runs": f"'id', nextval(pg_get_serial_sequence('runs', 'id')), {_RUN}",
    "run_tags": f"'id', nextval(pg_get_serial_sequence('run_tags', 'id')), {_RUN}",
    "event_logs": f"'id', nextval(pg_get_serial_sequence('event_logs', 'id')), {_RUN}",
    "asset_check_executions": f"'id', nextval(pg_get_serial_sequence('asset_check_executions', 'id')), {_RUN}",
}


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    data = bench.cache.get("days", rows, days=1, broken="spread")
    with running() as server, platform(bench, server) as home:
        home.write_stream("shop0", {days(1)[0]: data / f"{days(1)[0]}.ndjson.gz"})
        home.materialize("shop0", days(1))
        _multiply(server)
        for number in range(1, STREAMS):
            file = home.folder / "streams" / f"shop{number}.yaml"
            file.write_text(json.dumps(definition(f"shop{number}")))
        runs = [measure.run(measure.program("metrics", "scraped"), home.environment) for _ in range(bench.pairs)]
    seconds = [run.output["cpu"] + run.output["server_cpu"] for run in runs]
    details = {**runs[0].output, "peak": max(run.peak for run in runs) / 1e9}
    about = f"CPU seconds of a scrape of {STREAMS} streams with {DAYS} days, PostgreSQL's included"
    yield Figure("metrics/scrape", about, rows, seconds, "s", details)


def _multiply(server: Server) -> None:
    """Days of one stream, then streams; and as many runs as there are days and streams, without their own names.

    Of the runs' events those of steps, which are what is counted; others are behind the same index.
    """
    for table, values in _LEDGER.items():
        named = f"sessions_platform.{table}"
        server.execute(_COPY.format(table=named, values=values, copies=DAYS - 1, of=_OURS))
        streams = "'stream', 'shop' || number" + (f", {_VERSION}" if _VERSION in values else "")
        server.execute(_COPY.format(table=named, values=streams, copies=STREAMS - 1, of=_OURS))
    server.execute("analyze")
    dagster = Server(server.psql, server.dagster_url, server.dagster_url)
    for table, values in _DAGSTER.items():
        of = "t.dagster_event_type like 'STEP%'" if table == "event_logs" else "true"
        dagster.execute(_COPY.format(table=table, values=values, copies=STREAMS * DAYS, of=of))
    dagster.execute("analyze")


# The program ---------------------------------------------------------------------------------------------


def scraped() -> dict[str, Any]:
    """Scrape again and again, as Prometheus does; the first time, which opens everything, does not count."""
    from prometheus_client import generate_latest

    from sessions_platform.orchestration.metrics import registry
    from sessions_platform.settings import Settings
    from sessions_platform.storage.postgres.database import Database

    settings = Settings.from_environment()
    found = registry(settings, print)
    text = generate_latest(found)
    gc.collect()
    with Database(settings).transaction() as connection:
        row = connection.execute("select pg_backend_pid()").fetchone() or (0,)
        postmaster = int(_stat(row[0])[1])
        before = _cpu_below(postmaster)
        measure.mark("ready")
        for _ in range(SCRAPES):
            text = generate_latest(found)
        measure.mark("done")
        server_cpu = _cpu_below(postmaster) - before
    marks = measure.marks()
    cpu = marks["done"]["cpu"] - marks["ready"]["cpu"]
    series = sum(not line.startswith(b"#") for line in text.splitlines())
    return {"cpu": cpu / SCRAPES, "server_cpu": server_cpu / SCRAPES, "series": series}


def _stat(process: int) -> list[str]:
    """Of a process, what /proc/…/stat has from `state` on."""
    return Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()


def _cpu_below(process: int) -> float:
    """Seconds of the children of a process, those that have ended, too."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    own = sum(sum(map(int, _stat(int(child))[11:13])) for child in children)
    return (own + sum(map(int, _stat(process)[13:15]))) / _TICKS
