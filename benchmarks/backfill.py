"""A backfill of sixty days by one, two and four worker processes at once, each with a share of the days.

First all landing partitions are ingested, then all session partitions refreshed; a worker has one run for its share of
each. The tables have to be equal, whatever the number of workers. Why more workers gain less is in the details: what
they cost in CPU beside one, what the busiest of them takes, and for which share of its time one worker alone holds the
stream's lock, which only one of several can hold.
"""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.bench import Bench
from benchmarks.data import days
from benchmarks.end_to_end import SESSIONS, Home, platform
from benchmarks.measure import Failed, Run
from benchmarks.results import Figure, Result
from benchmarks.server import running

ROWS = 3_000_000
DAYS = 60
WORKERS = (1, 2, 4)
_numbers = count()


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    data = bench.cache.get("days", rows, days=DAYS)
    taken: dict[int, list[tuple[float, list[Run]]]] = {workers: [] for workers in WORKERS}
    with running() as server, platform(bench, server) as home:
        for _ in range(bench.pairs):
            answers = set()
            for workers in WORKERS:
                name = f"backfill{next(_numbers)}"
                taken[workers].append(backfill(home, name, data, workers))
                answers.add(server.digest(f"{name}.sessions", list(SESSIONS)))
                wall, runs = taken[workers][-1]
                bench.say(f"    {workers} workers: {wall:.2f} s, CPU {sum(run.cpu for run in runs):.2f} s")
            if len(answers) > 1:
                raise Failed("backfill: the table depends on the number of workers.")
    alone = taken[1]
    for workers in WORKERS[1:]:
        pairs = list(zip(alone, taken[workers], strict=True))
        faster = [one[0] / several[0] for one, several in pairs]
        dearer = [_cpu(several[1]) / _cpu(one[1]) for one, several in pairs]
        bound = [_cpu(one[1]) / _busiest(several[1], workers) for one, several in pairs]
        details = {"cpu_ratio": dearer, "cpu_of_one_by_that_of_the_busiest": bound}
        about = f"{DAYS} days by {workers} workers in place of one: how many times faster"
        yield Figure(f"backfill/{workers} workers", about, rows, faster, "", details)
        about = f"CPU of {workers} workers together, against that of one"
        yield Figure(f"backfill/{workers} workers, CPU", about, rows, dearer, "")
        about = f"CPU of one worker, against that of the busiest of {workers}: the most that so many cores could gain"
        yield Figure(f"backfill/{workers} workers, at most", about, rows, bound, "")
    about = "share of its time for which one worker holds the stream's lock"
    yield Figure("backfill/lock", about, rows, [_share_of_lock(runs) for _, runs in alone], "")


def backfill(home: Home, name: str, data: Path, workers: int) -> tuple[float, list[Run]]:
    """Do all of it; the seconds that it takes, and the runs of the workers: of ingesting, then of refreshing."""
    partitions = days(DAYS)
    home.write_stream(name, {partition: data / f"{partition}.ndjson.gz" for partition in partitions})
    home.server.deduplicate()
    share = -(-DAYS // workers)
    shares = [partitions[first : first + share] for first in range(0, DAYS, share)]
    runs: list[Run] = []
    started = time.monotonic()
    for job in ("ingest_events", "refresh_sessions"):
        commands = [
            measure.program("backfill", "work", job=f"{name}__{job}", first=own[0], last=own[-1]) for own in shares
        ]
        with ThreadPoolExecutor(workers) as pool:
            runs += pool.map(lambda command: measure.run(command, home.environment), commands)
    return time.monotonic() - started, runs


def _cpu(runs: list[Run]) -> float:
    return sum(run.cpu for run in runs)


def _busiest(runs: list[Run], workers: int) -> float:
    """The CPU of the busiest worker of each of the two steps, which come one after the other."""
    return max(run.cpu for run in runs[:workers]) + max(run.cpu for run in runs[workers:])


def _share_of_lock(runs: list[Run]) -> float:
    return sum(run.output["held"] for run in runs) / sum(run.wall for run in runs)


# A worker ------------------------------------------------------------------------------------------------


def work(job: str, first: str, last: str) -> dict[str, Any]:
    """A run of the job for a range of partitions; for how many seconds it held the stream's lock."""
    from sessions_platform.orchestration.runs import runner
    from sessions_platform.settings import Settings

    held = _watch_lock()
    with runner(Settings.from_environment()) as started:
        started.run(job, (first, last))
    return {"held": sum(held)}


def _watch_lock() -> list[float]:
    """The seconds between getting the stream's lock and the end of the transaction, of each one from now on."""
    import psycopg

    from sessions_platform.storage.ledger.stream_ledger import StreamLedger

    held: list[float] = []
    since: dict[int, float] = {}
    lock, commit = StreamLedger.lock, psycopg.Connection.commit

    def locked(self: StreamLedger, connection: psycopg.Connection) -> None:
        lock(self, connection)
        since.setdefault(id(connection), time.monotonic())

    def committed(self: psycopg.Connection) -> None:
        commit(self)
        if (began := since.pop(id(self), None)) is not None:
            held.append(time.monotonic() - began)

    StreamLedger.lock, psycopg.Connection.commit = locked, committed
    return held
