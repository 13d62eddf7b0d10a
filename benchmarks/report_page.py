"""The report: the page of a million sessions by the command, from its start to the written file.

The sessions are those of five and a half times as many events, which the real assets have ingested; the report reads
these, too.
"""

from collections.abc import Iterator

from benchmarks.bench import Bench
from benchmarks.commands import outcome
from benchmarks.data import days
from benchmarks.end_to_end import platform
from benchmarks.measure import Failed
from benchmarks.results import Figure, Result
from benchmarks.server import running

ROWS = 5_500_000


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    data = bench.cache.get("days", rows, days=10, broken="spread")
    with running() as server, platform(bench, server) as home:
        home.write_stream("reported", {day: data / f"{day}.ndjson.gz" for day in days(10)})
        home.materialize("reported", days(10))
        server.deduplicate()
        sessions = int(server.execute("select count(*) from reported.sessions"))
        runs = []
        for _ in range(bench.pairs):
            run, _ = outcome(home, "-m", "sessions_platform", "report", "reported", "--json")
            if run.output["sessions"] != sessions:
                raise Failed(f"the report is of {run.output['sessions']} sessions, and the table has {sessions}")
            bench.say(f"    report: {run.wall:.2f} s, CPU {run.cpu:.2f} s, {run.peak / 1e9:.2f} GB")
            runs.append(run)
    about = f"seconds of the command `report`, of {sessions:,} sessions"
    details = {"cpu": [run.cpu for run in runs], "peak": max(run.peak for run in runs) / 1e9}
    yield Figure("report/page", about, rows, [run.wall for run in runs], "s", details)
