"""What small commands cost beside the imports that they can't do without: the server is up, and everything is warm.

Commands of which a person waits for a line. What they print is not compared, since the peers print nothing; each has
to end without an error.
"""

import sys
from collections.abc import Iterator, Sequence

from benchmarks import measure
from benchmarks.bench import Bench, in_turn
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
        _taken(home, "-m", "sessions_platform", "status")  # makes the tables
        for name, (arguments, peer) in COMMANDS.items():
            programs = {
                "ours": lambda arguments=arguments: _taken(home, "-m", "sessions_platform", *arguments),
                "imports": lambda peer=peer: _taken(home, "-c", peer),
            }
            taken = in_turn(bench, programs, lambda *_: None)
            yield Comparison(f"commands/{name}", f"`{name}` against `{peer}`", 0, taken["ours"], taken["imports"])


def _taken(home: Home, *arguments: str) -> tuple[measure.Run, dict[str, Sequence[str]]]:
    return measure.run([sys.executable, *arguments], home.environment), {}
