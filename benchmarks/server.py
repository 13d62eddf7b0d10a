"""One real PostgreSQL for ours and the peers: the embedded one, kept running by a separate process.

The server's CPU and memory count on neither side; its time is part of each side's elapsed time.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import PROJECT, Failed, program


@dataclass(frozen=True)
class Server:
    psql: str
    url: str  # of the database `sessions`
    dagster_url: str

    def execute(self, sql: str) -> str:
        """What statements print, by psql. Raises Failed."""
        command = [self.psql, self.url, "-AtqX", "-v", "ON_ERROR_STOP=1", "-c", sql]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"PostgreSQL: {done.stderr.strip()}\n{sql[:300]}")
        return done.stdout.strip()

    def deduplicate(self) -> None:
        """Write everything to disk, so that earlier work does not slow down the next program."""
        self.execute("checkpoint")

    def digest(self, table: str, columns: Sequence[str]) -> str:
        """A digest of a table that the order of its rows doesn't change."""
        texts = ", ".join(f"coalesce(({column})::text, chr(30))" for column in columns)
        md5 = f"md5(concat_ws(chr(31), {texts}))"
        halves = ", ".join(f"sum(('x' || substr({md5}, {at}, 16))::bit(64)::bigint::numeric)" for at in (1, 17))
        return self.execute(f"select count(*), {halves} from {table}")


@contextmanager
def running() -> Iterator[Server]:
    """Its folder is never inside a home folder: the server's user has to enter it."""
    with tempfile.TemporaryDirectory(prefix="sessions-benchmarks-") as folder:
        Path(folder).chmod(0o755)
        command = program("server", "hold", folder=folder)
        with subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            line = holder.stdout.readline()
            if not line:
                raise Failed("The embedded PostgreSQL does not start; its output is above.")
            try:
                yield Server(**json.loads(line))
            finally:
                holder.stdin.close()


def hold(folder: str) -> None:
    """Keep the server until standard input ends."""
    import importlib.util

    from sessions_platform.storage.postgres.embedded import attach
    from sessions_platform.storage.postgres.embedded.programs import PACKAGE, PROGRAMS

    wheel = importlib.util.find_spec(PACKAGE)
    assert wheel is not None
    assert wheel.origin is not None
    psql = Path(wheel.origin).parents[1] / PROGRAMS / "psql"
    server = attach(Path(folder))
    print(json.dumps({"psql": str(psql), "url": server.url("sessions"), "dagster_url": server.url("dagster")}))
    sys.stdout.flush()
    while os.read(0, 1024):
        pass
    server.close()
    raise SystemExit
