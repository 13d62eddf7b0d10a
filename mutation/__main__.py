"""Run the mutants: `python -m mutation [--count 200] [--jobs 2] [--slow] [--only ID …]`; it goes on where it was."""

import argparse
import json
import queue
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any

from mutation import report
from mutation.record import PACKAGE, Record, record
from mutation.sites import ROOMS, Mutant, mutants
from mutation.trial import Outcome, copied, failing, planted, tried

ROOT = Path(__file__).parents[1]
EQUIVALENT = Path(__file__).with_name("equivalent.json")


def main() -> int:
    asked = _arguments()
    folder = Path(asked.folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    drawn = mutants(ROOT, PACKAGE, asked.seed, asked.rooms)
    chosen = [mutant for mutant in drawn if mutant.id in asked.only] if asked.only else drawn[: asked.count]
    if asked.list:
        print(*(f"{m.id} {m.path}:{m.line}: {m.old!r} → {m.new!r}" for m in chosen), sep="\n")
        return 0
    kept = folder / "results.json"
    results: dict[str, dict[str, Any]] = json.loads(kept.read_text()) if kept.exists() else {}
    with tempfile.TemporaryDirectory(prefix="mutation-") as temporary:
        copies = [copied(ROOT, Path(temporary) / str(number)) for number in range(asked.jobs)]
        for suite in ("quick", "slow") if asked.slow else ("quick",):
            pending = [mutant for mutant in chosen if _is_pending(mutant, results, suite, asked)]
            if not pending:
                continue
            known = record(copies[0], folder, asked.jobs, slow=suite == "slow")
            seconds = asked.slow_seconds if suite == "slow" else asked.seconds
            test = partial(trial, known=known, seconds=seconds)
            for mutant, outcome in _in_turn(pending, copies, test):
                results.setdefault(mutant.id, {})[suite] = outcome
                kept.write_text(json.dumps(results, indent=1))
                print(f"{mutant.id} {mutant.path}:{mutant.line}: {outcome['state']} {outcome['test']}", flush=True)
            killers = {results[mutant.id][suite]["test"] for mutant in pending} & known.tests.keys()
            for name in failing(copies[0], sorted(killers)):
                print(f"This test fails without any mutant too, so what it has killed does not count: {name}")
    why = json.loads(EQUIVALENT.read_text()) if EQUIVALENT.exists() else {}
    print(report.write(folder, drawn, results, why))
    return 0


def trial(mutant: Mutant, copy: Path, known: Record, seconds: float) -> dict[str, Any]:
    """Plant a mutant in a copy and run the tests that reach it."""
    tests = known.covering(mutant, copy)
    outcome = Outcome("survived")
    if tests:
        with planted(mutant, copy):
            outcome = tried(copy, tests, known.tests[tests[-1]]["seconds"], seconds)
    return {**vars(outcome), "tests": len(tests)}


def _in_turn(
    pending: Sequence[Mutant], copies: Sequence[Path], test: Callable[[Mutant, Path], dict[str, Any]]
) -> Iterator[tuple[Mutant, dict[str, Any]]]:
    """Test as many at once as there are copies; gives each outcome when it is there."""
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


def _is_pending(mutant: Mutant, results: dict[str, dict[str, Any]], suite: str, asked: argparse.Namespace) -> bool:
    known = results.get(mutant.id, {})
    killed = report.is_killed({"quick": known.get("quick", {})})
    if suite == "slow" and killed:
        return False
    return suite not in known or bool(asked.only) or (asked.survivors and not report.is_killed(known))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mutation", description="Plant defects, and see the tests fail.")
    parser.add_argument("--count", type=int, default=200, help="how many mutants (200)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (1)")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once (1)")
    parser.add_argument("--rooms", nargs="+", default=ROOMS, help=f"folders of the package ({' '.join(ROOMS)})")
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
