"""All disturbances at random, for hours: `make soak`.

Each episode has a stream of its own. Some files land, a command is disturbed, again and again; at the end the command
is run undisturbed, and what is stored is compared with what the landing files say. Every step is a line of JSON in the
log, which is summed up at the end. Not here: what an episode draws (`episode.py`) and its disturbances.
"""

import argparse
import itertools
import json
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from sessions_platform.allocator import configure_allocator
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres import embedded
from sessions_platform_tests.faults.disturbances import DISTURBANCES
from sessions_platform_tests.faults.episode import Episode
from sessions_platform_tests.faults.report import table
from sessions_platform_tests.faults.trial import Outcome, Trials

ROUNDS = 8


@contextmanager
def soak_trials() -> Iterator[Trials]:
    """Trials on a server of their own, which may be killed."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # the server's user has to enter
        home = folder / "server"
        server = embedded.attach(home)
        yield Trials(folder, Settings(home=home, lake=home / "lake", streams=()))
        server.close()


def run_episode(trials: Trials, random: Random, rounds: int = ROUNDS) -> tuple[list[dict[str, Any]], Outcome]:
    """Disturb the commands of one stream, and compare at the end; the steps, and what differs."""
    steps: list[dict[str, Any]] = []
    with trials.empty() as trial:
        episode = Episode(trial, random)
        for _ in range(rounds):
            for _ in range(random.randint(1, 2)):
                episode.land()
            disturbance = random.choice(DISTURBANCES)
            steps.append({"disturbance": disturbance.__name__, "end": disturbance(trials, trial, random)})
        trial.run("first")
        return steps, episode.check()


def soak(minutes: float, log: Path, seed: int) -> bool:
    """Run episodes until the time is over; whether every one ended as it should."""
    log.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * minutes
    is_right = True
    with soak_trials() as trials, log.open("a") as file:
        for number in itertools.count():
            if time.monotonic() > end:
                return is_right
            drawn = seed + number
            steps, outcome = _ended(trials, Random(drawn))
            is_right &= (outcome.lost, outcome.doubled) == (0, 0)
            file.write(json.dumps({"seed": drawn, "steps": steps, **vars(outcome)}) + "\n")
            file.flush()
    return is_right


def _ended(trials: Trials, random: Random) -> tuple[list[dict[str, Any]], Outcome]:
    """An episode's end; one that can't go on counts as a lost one, and does not end the soak."""
    try:
        return run_episode(trials, random)
    except Exception as error:
        return [], Outcome(1, 0, f"{type(error).__name__}: {error}")


def summary(log: Path) -> list[str]:
    """The sums of a log as a table: episodes, and steps by disturbance; a traceback is not a report."""
    episodes = [json.loads(line) for line in log.read_text().splitlines()]
    rows = [("episodes, compared with one sort of all events", 1, e["lost"], e["doubled"], 1) for e in episodes]
    steps = [step for episode in episodes for step in episode["steps"]]
    rows += [(f"step: {step['disturbance']}", 1, 0, 0, 1) for step in steps]
    return table(rows)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Disturb the platform at random, and compare at the end.")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--log", type=Path, default=Path("build/soak.log"))
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    arguments = parser.parse_args()
    is_right = soak(arguments.minutes, arguments.log, arguments.seed)
    sys.stdout.write("\n".join(summary(arguments.log)) + "\n")
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    configure_allocator()
    main()
