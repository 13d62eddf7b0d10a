"""Run benchmarks: `python -m benchmarks [NAME …] [--rows N] [--pairs 3] [--json]`."""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks import (
    backfill,
    commands,
    core,
    deliveries,
    dev,
    end_to_end,
    enrichment,
    growth,
    ingest,
    late_event,
    load,
    metrics,
    read,
    report,
    report_page,
    rules,
    sources,
    spark,
    start,
)
from benchmarks.bench import Bench
from benchmarks.data import SEED, Cache
from benchmarks.measure import Failed
from benchmarks.results import Result

BENCHMARKS: Mapping[str, Callable[[Bench], Iterator[Result]]] = {
    "core": core.run,
    "rules": rules.run,
    "ingest": ingest.run,
    "enrichment": enrichment.run,
    "load": load.run,
    "read": read.run,
    "end_to_end": end_to_end.run,
    "start": start.run,
    "commands": commands.run,
    "dev": dev.run,
    "report": report_page.run,
    "metrics": metrics.run,
    "late_event": late_event.run,
    "growth": growth.run,
}
# Only where they are named: they install servers.
OF_SERVERS: Mapping[str, Callable[[Bench], Iterator[Result]]] = {"sources": sources.run, "deliveries": deliveries.run}
# Only where they are named: ten days of fifty million events take as long as all others together, and sixty days are
# done three times.
LONG: Mapping[str, Callable[[Bench], Iterator[Result]]] = {
    "assets": end_to_end.assets,
    "backfill": backfill.run,
}
# Only where it is named: it needs what `make spark` installs.
OF_SPARK: Mapping[str, Callable[[Bench], Iterator[Result]]] = {"spark": spark.run}
ALL = {**BENCHMARKS, **OF_SERVERS, **LONG, **OF_SPARK}


def main() -> int:
    asked = _arguments()
    try:
        results = _measured(asked)
    except Failed as failed:
        print(failed, file=sys.stderr)
        return 1
    if asked.json:
        print(json.dumps(report.document(results), indent=1))
    return 0


def _measured(asked: argparse.Namespace) -> list[Result]:
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as temporary:
        folder = Path(asked.folder or temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        for name in asked.names or BENCHMARKS:
            data = folder / "data"
            data.mkdir(exist_ok=True)
            bench = Bench(Cache(data, asked.seed), asked.pairs, asked.rows)
            bench.say(name)
            measured: list[Result] = []
            for result in ALL[name](bench):
                measured.append(result)
                if not asked.json:
                    print(report.line(result), flush=True)
            if asked.docs:  # at once, for the next may take long
                report.write(report.document(measured))
            results += measured
            if not (asked.keep and asked.folder):
                bench.cache.clear()
    return results


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure how fast the platform is, compared with peers that give the same answer.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"some of {', '.join(BENCHMARKS)}; all where none. Or {', '.join(OF_SERVERS)}, which installs servers, "
        f"or {', '.join(LONG)}, which take long, or spark, which needs the environment of `make spark`",
    )
    parser.add_argument("--rows", type=int, help="events, or sessions, instead of each benchmark's own number")
    parser.add_argument("--pairs", type=int, default=3, help="how often ours and the peers run in turn (3)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the data")
    parser.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    parser.add_argument("--folder", help="where data is made (a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="keep the data in --folder for the next time")
    parser.add_argument("--docs", action="store_true", help="write docs/benchmarks.md and its picture")
    asked = parser.parse_args()
    if unknown := [name for name in asked.names if name not in ALL]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(ALL)}")
    if asked.pairs < 1 or (asked.rows is not None and asked.rows < 1000):
        parser.error("--pairs is at least 1, --rows at least 1000")
    return asked


if __name__ == "__main__":
    sys.exit(main())
