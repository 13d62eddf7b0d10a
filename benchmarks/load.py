"""Loading: a partition of sessions into PostgreSQL, in one transaction, against psql's \\copy into an empty table.

The peer's table has the primary key, and neither the indexes nor the log of changes of ours. What counts is the
time of the load, from when all imports are done and the sessions are in memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import answers, measure
from benchmarks.bench import Bench, in_turn
from benchmarks.data import days
from benchmarks.end_to_end import SESSIONS
from benchmarks.results import Comparison, Result
from benchmarks.server import Server, running
from benchmarks.stream import NAME, stream

ROWS = 1_000_000
COLUMNS = {name: kind.removesuffix(" primary key") for name, kind in SESSIONS.items() if name != "open_until"}
COLUMNS["session_rule_version"] = "text"
PEER = "peer.sessions"
# What stands before, and what is loaded.
CASES = {
    "first": ([], "sessions"),
    "half changed": (["sessions"], "changed"),
    "identical": (["sessions"], "sessions"),
}


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    data = bench.cache.get("sessions", rows, columns=list(COLUMNS), session_rule_version="benchmark")
    with running() as server:
        for case, (standing, loaded) in CASES.items():
            bench.say(f"  {case}")
            programs = {
                "ours": partial(_ours, server, data, standing, loaded),
                "copy": partial(_copy, server, data / f"{loaded}.csv"),
            }
            taken = in_turn(bench, programs, lambda _, ours, peer, case=case: _compare(case, rows, ours, peer))
            about = f"{case}; against psql's \\copy of the same sessions into an empty table with its primary key"
            yield Comparison(f"load/{case}", about, rows, taken["ours"], taken["copy"], "work", also_compared=())


def _ours(server: Server, data: Path, standing: Sequence[str], loaded: str) -> tuple[measure.Run, Mapping[str, Any]]:
    server.execute(f"drop schema if exists {NAME} cascade")
    for name in standing:
        measure.run(measure.program("load", "ours", url=server.url, sessions=str(data / f"{name}.parquet")))
    server.deduplicate()
    taken = measure.run(measure.program("load", "ours", url=server.url, sessions=str(data / f"{loaded}.parquet")))
    return taken, {**taken.output, "sessions": server.digest(f"{NAME}.sessions", list(COLUMNS))}


def _copy(server: Server, csv: Path) -> tuple[measure.Run, Mapping[str, Any]]:
    columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    server.execute(f"drop schema if exists peer cascade; create schema peer; create table {PEER} ({columns})")
    server.execute(f"alter table {PEER} add primary key (session_id)")
    server.deduplicate()
    command = [server.psql, server.url, "-qX", "-v", "ON_ERROR_STOP=1", "-c", f"\\copy {PEER} from '{csv}' csv"]
    return measure.run(command), {"sessions": server.digest(PEER, list(COLUMNS))}


def _compare(case: str, rows: int, ours: Mapping[str, Any], peer: Mapping[str, Any]) -> None:
    answers.check_equal(ours, peer, f"load, {case}")
    changed = ours["changed"]
    if (case == "first" and changed != rows) or (case == "identical" and changed) or changed not in range(rows + 1):
        raise measure.Failed(f"load, {case}: {changed} of {rows} sessions are said to have changed.")


# The program ---------------------------------------------------------------------------------------------


def ours(url: str, sessions: str) -> dict[str, int]:
    """As pipeline.load does, without the ledger."""
    import polars as pl

    from sessions_platform.pipeline.context import StreamContext
    from sessions_platform.settings import Settings

    context = StreamContext.open(stream(), Settings(Path("/nowhere"), Path("/nowhere"), (), url))
    ledger, warehouse = context.ledger, context.warehouse
    frame = pl.read_parquet(sessions)
    context.prepare()
    measure.mark("ready")
    with warehouse.staged_sessions([frame]) as gathered, context.database.transaction() as connection:
        staged = warehouse.stage_sessions(connection, gathered)
        ledger.lock(connection)
        loaded = warehouse.load_sessions(connection, gathered, days(1), "benchmark", lambda _: {}, staged)
    measure.mark("done")
    return {"changed": loaded.changed}
