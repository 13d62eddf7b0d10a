"""What the platform adds to a run beyond Dagster's own start: a thousand events, against as many trivial assets.

Both by `dagster asset materialize`, on the same instance, whose storage is PostgreSQL.
"""

from collections.abc import Iterator

from benchmarks import answers
from benchmarks.bench import Bench, in_turn
from benchmarks.data import days
from benchmarks.end_to_end import ours, platform, script
from benchmarks.results import Comparison, Figure, Result
from benchmarks.server import running

ROWS = 1_000


def run(bench: Bench) -> Iterator[Result]:
    data = bench.cache.get("days", ROWS, days=1, broken="spread")
    with running() as server, platform(bench, server) as home:
        _, expected = script(bench, server, data, 1, copies=False)
        programs = {
            "ours": lambda: ours(home, data, 1),
            "trivial": lambda: (home.materialize("trivial", days(1), "benchmarks.trivial"), {}),
        }
        taken = in_turn(bench, programs, lambda _, answer, __: answers.check_equal(answer, expected, "start"))
    beyond = [mine.wall - trivial.wall for mine, trivial in zip(taken["ours"], taken["trivial"], strict=True)]
    yield Comparison(
        "start/trivial", "a thousand events, against trivial assets", ROWS, taken["ours"], taken["trivial"]
    )
    yield Figure("start/beyond Dagster's own", "seconds that the platform adds to a run", ROWS, beyond, "s")
