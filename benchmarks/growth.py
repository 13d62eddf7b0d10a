"""How time and memory grow with the events: the core job at a tenth, once and five times the usual size."""

import math
from collections.abc import Iterator

from benchmarks import answers
from benchmarks.bench import Bench
from benchmarks.core import ROWS, program
from benchmarks.results import Figure, Result

SHARES = (0.1, 1, 5)
MEMORY = 10**9  # that of the machine would differ from one to the next


def run(bench: Bench) -> Iterator[Result]:
    taken = {}
    for share in SHARES:
        rows = int(bench.rows(ROWS) * share)
        events = bench.cache.get("parquet", rows) / "events.parquet"
        run, answer = program(bench, events, "ours", {"memory": MEMORY})
        bench.say(f"    {rows:,} events: {run.wall:.2f} s, CPU {run.cpu:.2f} s, {run.peak / 1e9:.2f} GB")
        _, expected = program(bench, events, "in_duckdb", {})
        answers.check_equal(answer, expected, f"growth, {rows} events")
        taken[rows] = run
    sizes, runs = list(taken), list(taken.values())
    details = {
        "events": sizes,
        "seconds": [run.wall for run in runs],
        "cpu": [run.cpu for run in runs],
        "peak": [run.peak / 1e9 for run in runs],
    }
    exponent = fitted([run.work or run.wall for run in runs], sizes)
    most, fold = runs[-1].peak / 1e9, runs[-1].peak / runs[-2].peak
    yield Figure(
        "growth/exponent",
        "time, but for the start, grows with events to the power of",
        sizes[-1],
        [exponent],
        "",
        details,
    )
    yield Figure("growth/peak", "memory at the largest size", sizes[-1], [most], "GB")
    yield Figure("growth/peak, fivefold events", "memory at the largest size, against a fifth", sizes[-1], [fold], "")


def fitted(values: list[float], sizes: list[int]) -> float:
    """The exponent of the power law that fits best: the slope of a line through the logarithms."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    middle_x, middle_y = sum(x) / len(x), sum(y) / len(y)
    over = sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True))
    return over / sum((a - middle_x) ** 2 for a in x)
