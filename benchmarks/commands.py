"""What small commands cost beside the imports that they can't do without: the server is up, and everything is warm.

Commands of which a person waits for a line. What they print is not compared, since the peers print nothing; each has
to end without an error. `ingest` is compared with the run of one asset in which nothing happens, on a Dagster instance
with SQLite.
"""

import sys
from collections.abc import Iterator, Sequence

from benchmarks import measure
from benchmarks.bench import Bench, in_turn
from benchmarks.data import days
from benchmarks.dev import bare_environment, ten_lines
from benchmarks.end_to_end import Home
from benchmarks.results import Comparison, Result
from benchmarks.server import running

LIBRARIES = "import polars, psycopg"
CLICK = "import click"

# By name: the arguments, and what the peer imports.
COMMANDS = {
    "status": (["status"], LIBRARIES),
    "rejected list": (["rejected", "list"], LIBRARIES),
    "check": (["check"], LIBRARIES),
    "version": (["--version"], CLICK),
    "help": (["--help"], CLICK),
}


def run(bench: Bench) -> Iterator[Result]:
    with running() as server, bench.folder() as folder:
        home = Home(folder, server)
        home.write_stream("shop", {})
        outcome(home, "-m", "sessions_platform", "status")  # makes the tables
        for name, (arguments, peer) in COMMANDS.items():
            programs = {
                "ours": lambda arguments=arguments: outcome(home, "-m", "sessions_platform", *arguments),
                "imports": lambda peer=peer: outcome(home, "-c", peer),
            }
            taken = in_turn(bench, programs, lambda *_: None)
            yield Comparison(f"commands/{name}", f"`{name}` against `{peer}`", 0, taken["ours"], taken["imports"])
        yield _ingest(bench, home)


def _ingest(bench: Bench, home: Home) -> Result:
    """Ten lines that are new each time, from the file to the session in the table."""
    bare = home.folder / "bare"
    bare.mkdir()
    home.make_dagster_home()
    file = home.folder / "ten.ndjson.gz"

    def ours() -> tuple[measure.Run, dict[str, Sequence[str]]]:
        ten_lines(file)
        return outcome(home, "-m", "sessions_platform", "ingest", "shop", str(file), "--partition", days(1)[0])

    def peer() -> tuple[measure.Run, dict[str, Sequence[str]]]:
        command = ["-m", "dagster", "asset", "materialize", "--select", "one", "-m", "benchmarks.one_asset"]
        return measure.run([sys.executable, *command], bare_environment(bare)), {}

    ours()  # makes the tables of Dagster's storage
    taken = in_turn(bench, {"ours": ours, "one asset": peer}, lambda *_: None)
    about = "`ingest` of ten lines against `dagster asset materialize` of one asset in a bare location"
    return Comparison("commands/ingest of ten lines", about, 10, taken["ours"], taken["one asset"])


def outcome(home: Home, *arguments: str) -> tuple[measure.Run, dict[str, Sequence[str]]]:
    """A run of Python with these arguments; nothing that it prints is compared."""
    return measure.run([sys.executable, *arguments], home.environment), {}
