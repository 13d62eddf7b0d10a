"""End to end: gzipped NDJSON of one day to PostgreSQL, by the real `dagster asset materialize`.

The peer is a plain DuckDB script that reads as losslessly, keeps broken lines apart with their line and reason,
and leaves the same behind: raw lines, accepted events and sessionized events as Parquet, sessions and rejected
rows in PostgreSQL with their primary keys. The barest script leaves the Parquet files out. Neither has anything
that a second run, a late event or a crash would need.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks import answers, measure
from benchmarks.bench import Bench, in_turn
from benchmarks.core import (
    ENUMS,
    PARQUET,
    SESSIONIZED_SQL,
    SESSIONS_SQL,
    connected,
    make_enums,
    sessionize_in_duckdb,
)
from benchmarks.data import COLUMNS, DAY_ONE, days
from benchmarks.results import Comparison, Figure, Result
from benchmarks.server import Server, running
from benchmarks.stream import GAP_MICROSECONDS, TYPES_SQL, definition

ROWS = 10_000_000
SESSIONS = {
    "session_id": "text primary key",
    "user_id": "text",
    "session_start": "timestamptz",
    "session_end": "timestamptz",
    "duration_seconds": "double precision",
    "event_count": "bigint",
    "primary_action": "text",
    "entry_page": "text",
    "exit_page": "text",
    "session_partition": "text",
    "open_until": "timestamptz",
}
REJECTED = {"landing_partition": "text", "position": "bigint", "payload": "text", "code": "text"}
PEER = "peer"


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    data = bench.cache.get("days", rows, days=1, broken="spread")
    with running() as server, platform(bench, server) as home:
        programs = {
            "ours": partial(ours, home, data, 1),
            "duckdb": partial(script, bench, server, data, 1, copies=True),
            "barest": partial(script, bench, server, data, 1, copies=False),
        }
        taken = in_turn(bench, programs, lambda name, a, b: answers.check_equal(a, b, f"end to end, {name}"))
        shares = phases_of(home, data)
    about = "dagster asset materialize, its start included, against a DuckDB script that leaves the same behind"
    yield Comparison("end_to_end/duckdb", about, rows, taken["ours"], taken["duckdb"])
    about = "the same, against the barest script: no Parquet files, only the two tables"
    yield Comparison("end_to_end/barest", about, rows, taken["ours"], taken["barest"])
    about = "seconds of one more run, by phase"
    yield Figure("end_to_end/phases", about, rows, [sum(shares.values())], "s", {"phases": shares})


def assets(bench: Bench) -> Iterator[Result]:
    """Ten days in one run through the real assets: their peak of memory, and an answer that DuckDB has too."""
    rows = bench.rows(ROWS)
    data = bench.cache.get("days", rows, days=10, broken="spread")
    with running() as server, platform(bench, server) as any_home:
        home = replace(any_home, memory="1GB")
        taken, answer = ours(home, data, 10)
        bench.say(f"    ours: {taken.wall:.2f} s, CPU {taken.cpu:.2f} s, {taken.peak / 1e9:.2f} GB")
        peer, expected = script(bench, server, data, 10, copies=True)
        answers.check_equal(answer, expected, "assets")
    details = {"seconds": taken.wall, "cpu": taken.cpu, "peer_seconds": peer.wall, "peer_peak": peer.peak / 1e9}
    yield Figure("assets/peak", "ten days in one run through the assets", rows, [taken.peak / 1e9], "GB", details)


# Ours ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Home:
    """A home of the platform whose warehouse, and Dagster's storage, are on the server."""

    folder: Path
    server: Server
    memory: str = ""  # the default where there is none

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "SESSIONS_HOME": str(self.folder),
            "SESSIONS_MEMORY": self.memory,
            "SESSIONS_STREAMS": str(self.folder / "streams"),
            "SESSIONS_WAREHOUSE_URL": self.server.url,
            "DAGSTER_POSTGRES_URL": self.server.dagster_url,
            "DAGSTER_HOME": str(self.folder / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "PYTHONWARNINGS": "ignore",
        }
        return {**os.environ, **own}

    def make_dagster_home(self) -> None:
        """The folder of Dagster's instance, whose storage is on the server."""
        (self.folder / "dagster").mkdir()
        shutil.copyfile(measure.PROJECT / "dagster.yaml", self.folder / "dagster" / "dagster.yaml")

    def write_stream(self, name: str, files: Mapping[str, Path]) -> None:
        """The stream as the only one, and its landing files: by landing partition."""
        streams = self.folder / "streams"
        shutil.rmtree(streams, ignore_errors=True)
        shutil.rmtree(self.folder / "lake", ignore_errors=True)
        streams.mkdir()
        (streams / "shop.yaml").write_text(json.dumps(definition(name)))  # JSON is YAML
        for partition, file in files.items():
            place = streams / "landing" / partition / "events.ndjson.gz"
            place.parent.mkdir(parents=True)
            os.link(file, place)

    def materialize(
        self,
        name: str,
        partitions: list[str],
        module: str = "sessions_platform.definitions",
        program: tuple[str, ...] = ("-m", "dagster"),
    ) -> measure.Run:
        """The assets under the name, for a range of partitions in one run, as CI or cron would.

        Without the report, which is in no job, and of which no peer makes anything.
        """
        chosen = [
            "--select",
            f'key:"{name}/*" and not key:"{name}/report"',
            "--partition-range",
            f"{partitions[0]}...{partitions[-1]}",
        ]
        command = [sys.executable, *program, "asset", "materialize", *chosen, "-m", module]
        return measure.run(command, self.environment)


@contextmanager
def platform(bench: Bench, server: Server) -> Iterator[Home]:
    """A home in which something has run before: what is made once for all stands."""
    with bench.folder() as folder:
        home = Home(folder, server)
        home.make_dagster_home()
        home.write_stream("before", {})
        home.materialize("before", days(1))
        yield home


_numbers = count()


def ours(home: Home, data: Path, of_days: int) -> tuple[measure.Run, dict[str, Any]]:
    name, partitions = f"shop{next(_numbers)}", days(of_days)
    home.write_stream(name, {partition: data / f"{partition}.ndjson.gz" for partition in partitions})
    home.server.deduplicate()
    taken = home.materialize(name, partitions)
    return taken, _answer(home.server, name, "rejected_events")


def phases_of(home: Home, data: Path) -> dict[str, float]:
    """Where the time of one run goes: the seconds of each phase."""
    name = f"shop{next(_numbers)}"
    home.write_stream(name, {days(1)[0]: data / f"{days(1)[0]}.ndjson.gz"})
    phases = home.folder / "phases.json"
    home.materialize(name, days(1), program=("-m", "benchmarks.phases", str(phases), str(time.monotonic())))
    return json.loads(phases.read_text())


def _answer(server: Server, schema: str, rejected: str) -> dict[str, Any]:
    return {
        "sessions": server.digest(f"{schema}.sessions", list(SESSIONS)),
        "rejected rows": server.digest(f"{schema}.{rejected}", ["landing_partition", "position", "payload"]),
    }


# The peer ------------------------------------------------------------------------------------------------


def script(
    bench: Bench, server: Server, data: Path, of_days: int, *, copies: bool
) -> tuple[measure.Run, dict[str, Any]]:
    server.execute(f"drop schema if exists {PEER} cascade; create schema {PEER}")
    columns = ", ".join(f"{name} {kind}" for name, kind in SESSIONS.items())
    server.execute(f"create table {PEER}.sessions ({columns})")
    columns = ", ".join(f"{name} {kind}" for name, kind in REJECTED.items())
    server.execute(f"create table {PEER}.rejected ({columns}, primary key (landing_partition, position))")
    server.deduplicate()
    with bench.folder() as folder:
        given = {"psql": server.psql, "url": server.url, "folder": str(folder), "copies": copies}
        files = {partition: str(data / f"{partition}.ndjson.gz") for partition in days(of_days)}
        taken = measure.run(measure.program("end_to_end", "in_duckdb", files=files, **given))
    return taken, _answer(server, PEER, "rejected")


def in_duckdb(files: dict[str, str], folder: str, psql: str, url: str, copies: bool) -> None:
    connection = connected(folder)
    execute = connection.execute
    lines = " union all ".join(_lines_of(partition, file) for partition, file in files.items())
    if copies:  # quicker than to keep the lines in memory too
        execute(f"copy ({lines}) to '{folder}/raw.parquet' {PARQUET}")
        execute(f"create temp view lines as from '{folder}/raw.parquet'")
    else:
        execute(f"create temp table lines as {lines}")
    execute(_VALIDATED)
    execute(_COPIES)
    execute(_REJECTED)
    _load(execute, f"{PEER}.rejected", "from rejected", folder, psql, url)
    make_enums(connection, "validated")
    execute(_ACCEPTED)
    if copies:
        execute(f"copy (from accepted order by event_timestamp, event_id) to '{folder}/events.parquet' {PARQUET}")
    sessionize_in_duckdb(connection, "from accepted")
    if copies:
        execute(f"copy ({SESSIONIZED_SQL}) to '{folder}/sessionized.parquet' {PARQUET}")
    _load(execute, f"{PEER}.sessions", _SESSIONS, folder, psql, url)


# A file of lines as a table of one column: what separates fields occurs in none.
def _lines_of(partition: str, file: str) -> str:
    as_lines = "delim = '\x01', quote = '', escape = '', header = false, auto_detect = false"
    return f"""
        select '{partition}' as landing_partition, row_number() over () as position, line
        from read_csv('{file}', columns = {{'line': 'varchar'}}, {as_lines})"""


_FIELDS = json.dumps(dict.fromkeys(COLUMNS, "VARCHAR"))
_VALIDATED = f"""
create temp table validated as
select landing_partition, position, {", ".join(COLUMNS)},
       case when is_malformed then 'malformed'
            when user_id is null then 'missing_identity'
            when event_id is null or text_timestamp is null or event_type is null
                 or page_url is null or device is null then 'missing_value'
            when event_timestamp is null then 'bad_timestamp'
            when event_timestamp < timestamptz '{DAY_ONE.isoformat()}' then 'before_start'
            when event_timestamp > landing_partition::timestamptz + interval '1 day 5 minutes' then 'future_timestamp'
            when event_type not in ({TYPES_SQL}) then 'not_allowed'
            when text_amount is not null and (amount is null or not isfinite(amount)) then 'wrong_type'
            when amount < 0 then 'out_of_range' end as code
from (select landing_partition, position, fields is null as is_malformed,
             fields.event_id as event_id, nullif(fields.user_id, '') as user_id,
             fields.event_timestamp as text_timestamp, try_cast(text_timestamp as timestamptz) as event_timestamp,
             fields.event_type as event_type, fields.page_url as page_url, fields.referrer as referrer,
             fields.device as device, fields.amount as text_amount, try_cast(text_amount as double) as amount
      from (select landing_partition, position,
                   case when json_valid(line) and json_type(line) = 'OBJECT'
                        then json_transform(line, '{_FIELDS}') end as fields
            from lines))"""
_CONTENT = ", ".join(COLUMNS)
_COPIES = f"""
create temp table copies as
with repeated as (
    select landing_partition, event_id, min(position) as first
    from validated where code is null group by all having count(*) > 1
), among as (
    select landing_partition, position, first, event_id, row({_CONTENT}) as content
    from validated join repeated using (landing_partition, event_id) where code is null
)
select later.landing_partition, later.position, later.content is distinct from opening.content as is_conflict
from among later join among opening using (landing_partition, event_id)
where opening.position = opening.first and later.position > later.first"""
_REJECTED = """
create temp table rejected as
select landing_partition, position, line as payload, code
from lines join (
    select landing_partition, position, code from validated where code is not null union all
    select landing_partition, position, 'conflicting_duplicate' from copies where is_conflict
) using (landing_partition, position)"""
_ACCEPTED = f"""
create temp table accepted as
select {ENUMS}, landing_partition, position
from validated anti join copies using (landing_partition, position) where code is null"""
_SESSIONS = f"""
select session_id, user_id, session_start, session_end, duration_seconds, event_count, primary_action, entry_page,
       exit_page, strftime(session_start, '%Y-%m-%d') as session_partition,
       case when row_number() over (partition by user_id order by session_start desc) = 1
            then session_end + interval {GAP_MICROSECONDS} microseconds end as open_until
from ({SESSIONS_SQL})"""


def _load(execute: Callable[[str], Any], table: str, rows: str, folder: str, psql: str, url: str) -> None:
    """By psql's \\copy from a pipe, while DuckDB still writes into it."""
    pipe = Path(folder) / f"{table}.csv"
    os.mkfifo(pipe)
    command = [psql, url, "-qX", "-v", "ON_ERROR_STOP=1", "-c", f"\\copy {table} from '{pipe}' csv"]
    with subprocess.Popen(command) as loading:
        execute(f"copy ({rows}) to '{pipe}' (format csv, header false, use_tmp_file false)")
    if loading.returncode:
        raise measure.Failed(f"psql ended with code {loading.returncode}")
