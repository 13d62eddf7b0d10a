"""Reading: a million sessions as a frame, by the API for notebooks, against a bare ADBC read of the same table.

What counts is the time of the read, from when all imports are done; ours ends with a polars frame, the peer with the
Arrow table that ADBC returns.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import answers, measure
from benchmarks.bench import Bench, in_turn
from benchmarks.load import COLUMNS
from benchmarks.results import Comparison, Result
from benchmarks.server import Server, running
from benchmarks.stream import NAME, stream

ROWS = 1_000_000


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    data = bench.cache.get("sessions", rows, columns=list(COLUMNS), session_rule_version="benchmark")
    with running() as server:
        server.execute(f"drop schema if exists {NAME} cascade")
        measure.run(measure.program("load", "ours", url=server.url, sessions=str(data / "sessions.parquet")))
        server.deduplicate()
        programs = {name: partial(_taken, server, name) for name in ("ours", "adbc")}
        taken = in_turn(bench, programs, lambda _, ours, peer: answers.check_equal(ours, peer, "read"))
        about = "sessions() as a polars frame, against a bare ADBC read into an Arrow table"
        yield Comparison("read/sessions", about, rows, taken["ours"], taken["adbc"], "work", ("peak",))


def _taken(server: Server, name: str) -> tuple[measure.Run, Mapping[str, Any]]:
    taken = measure.run(measure.program("read", name, url=server.url))
    return taken, taken.output


# The programs --------------------------------------------------------------------------------------------


def ours(url: str) -> dict[str, Any]:
    import adbc_driver_postgresql.dbapi  # noqa: F401
    import polars as pl

    from sessions_platform.api import OpenStream
    from sessions_platform.operations import rows  # noqa: F401
    from sessions_platform.settings import Settings

    shop = OpenStream(stream(), Settings(Path("/nowhere"), Path("/nowhere"), (), url))
    measure.mark("ready")
    read = shop.sessions()
    measure.mark("done")
    return _answer(read.select(pl.exclude("loaded_at")))


def adbc(url: str) -> dict[str, Any]:
    import polars as pl
    from adbc_driver_postgresql import dbapi

    from sessions_platform.api import OpenStream  # noqa: F401  so that the peaks differ by the read alone

    measure.mark("ready")
    with dbapi.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"select * from {NAME}.sessions")
        read = cursor.fetch_arrow_table()
    measure.mark("done")
    return _answer(pl.DataFrame(read).drop("loaded_at"))


def _answer(frame: Any) -> dict[str, Any]:
    """Sums that tell two results apart, whatever the order of their rows."""
    hashes = frame.select(sorted(frame.columns)).hash_rows(seed=1)
    total = int(hashes.cast(int, wrap_numerical=True).sum())
    return {"rows": frame.height, "hashes": total, "columns": sorted(frame.columns)}
