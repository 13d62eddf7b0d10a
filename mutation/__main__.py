"""Run the mutants: `python -m mutation [--count 200] [--jobs 2] [--slow] [--only ID …]`.

Results are kept in a folder; a further run tries what is not in it yet.
"""

import argparse
import json
import queue
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from mutation import report
from mutation.record import PACKAGE, ROOT, Record, record_suite
from mutation.sites import ROOMS, Mutant, mutants
from mutation.trial import Outcome, copy_checkout, failing, plant, run_tests

# By id, why a mutant changes nothing that a test could notice. The file is optional.
EQUIVALENT = Path(__file__).with_name("equivalent.json")


def main() -> int:
    """Run what the arguments ask for, and print the summary."""
    options = _arguments()
    folder = Path(options.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    drawn = mutants(ROOT, PACKAGE, options.seed, options.rooms)
    chosen = [mutant for mutant in drawn if mutant.id in options.only] if options.only else drawn[: options.count]
    if options.list:
        print(*(f"{m.id} {m.path}:{m.line}: {m.old!r} → {m.new!r}" for m in chosen), sep="\n")
        return 0
    results_file = folder / "results.json"
    results: dict[str, dict[str, Any]] = json.loads(results_file.read_text()) if results_file.exists() else {}
    with tempfile.TemporaryDirectory(prefix="mutation-") as temporary:
        copies = [copy_checkout(ROOT, Path(temporary) / str(number)) for number in range(options.jobs)]
        for suite in ("quick", "slow") if options.slow else ("quick",):
            pending = [mutant for mutant in chosen if _is_pending(mutant, results, suite, options)]
            if not pending:
                continue
            known = record_suite(copies[0], folder, options.jobs, slow=suite == "slow")
            seconds = options.slow_seconds if suite == "slow" else options.seconds
            test = partial(trial, known=known, seconds=seconds)
            for mutant, outcome in _in_turn(pending, copies, test):
                results.setdefault(mutant.id, {})[suite] = outcome
                results_file.write_text(json.dumps(results, indent=1))
                result = f"{outcome['state']} {outcome['test']}, {outcome['seconds']} s"
                print(f"{mutant.id} {mutant.path}:{mutant.line}: {result}", flush=True)
            killers = {results[mutant.id][suite]["test"] for mutant in pending} & known.tests.keys()
            for name in failing(copies[0], sorted(killers)):
                print(f"This test fails without any mutant too, so what it has killed does not count: {name}")
    equivalent = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else {}
    print(report.write(folder, drawn, results, equivalent))
    return 0


def trial(mutant: Mutant, copy: Path, known: Record, seconds: float) -> dict[str, Any]:
    """Plant a mutant in a copy and run the tests that reach it."""
    tests = known.covering(mutant, copy)
    outcome, began = Outcome("survived"), time.monotonic()
    if tests:
        with plant(mutant, copy):
            outcome = run_tests(copy, tests, known.tests[tests[-1]]["seconds"], seconds)
    return {**vars(outcome), "tests": len(tests), "seconds": round(time.monotonic() - began, 1)}


def _in_turn(
    pending: Sequence[Mutant], copies: Sequence[Path], test: Callable[[Mutant, Path], dict[str, Any]]
) -> Iterator[tuple[Mutant, dict[str, Any]]]:
    """Test as many mutants at once as there are copies, and yield each outcome when it is known."""
    free: queue.Queue[Path] = queue.Queue()
    for copy in copies:
        free.put(copy)

    def run(mutant: Mutant) -> tuple[Mutant, dict[str, Any]]:
        copy = free.get()
        try:
            return mutant, test(mutant, copy)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as pool:
        for done in as_completed([pool.submit(run, mutant) for mutant in pending]):
            yield done.result()


def _is_pending(mutant: Mutant, results: dict[str, dict[str, Any]], suite: str, options: argparse.Namespace) -> bool:
    known = results.get(mutant.id, {})
    if suite == "slow" and report.is_killed({"quick": known.get("quick", {})}):
        return False
    return suite not in known or bool(options.only) or (options.survivors and not report.is_killed(known))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m mutation", description="Plant defects, one at a time, and run the tests."
    )
    parser.add_argument("--count", type=int, default=200, help="how many mutants (200)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (1)")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once (1)")
    parser.add_argument("--rooms", nargs="+", default=ROOMS, help=f"packages to mutate ({' '.join(ROOMS)})")
    parser.add_argument(
        "--slow", action="store_true", help="run the slow suite too, on what the quick one lets through"
    )
    parser.add_argument(
        "--only", nargs="+", default=(), metavar="ID", help="these mutants, whether tried before or not"
    )
    parser.add_argument("--survivors", action="store_true", help="try again those that have survived")
    parser.add_argument("--seconds", type=float, default=300, help="for the quick tests of a mutant, at most (300)")
    parser.add_argument("--slow-seconds", type=float, default=900, help="for the slow ones (900)")
    parser.add_argument("--folder", default=".mutation", help="where records and results are kept (.mutation)")
    parser.add_argument("--list", action="store_true", help="list the mutants and end")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
