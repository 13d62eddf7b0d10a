"""A link that moves an id to another person survives a kill: run again, the sessions are those of all links."""

import json
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from sessions_platform.settings import Settings
from sessions_platform_tests.faults.report import Scenario
from sessions_platform_tests.faults.test_killed_at_commit_points import distinct, kill_at
from sessions_platform_tests.faults.trial import Trial, Trials, write_lines
from sessions_platform_tests.faults.workload import STREAM
from sessions_platform_tests.streams import DAY_ONE, PLAIN

pytestmark = pytest.mark.slow

DAY = 24 * 60
# What commits what depends on links: the others do as without them (`test_killed_at_commit_points.py`).
WHERE_PEOPLE_MATTER = ("pipeline/publish.py", "storage/ledger/sessions.py", "pipeline/load.py")
COLUMNS = {
    **PLAIN["columns"],
    "user_id": {"from": ["account", "device"]},
    "device": {"nullable": True},
    "account": {"nullable": True},
}
# On the third day the phone comes to be ann's and the tv is shared: one joins sessions of both days, the other parts.
FIRST = [("phone", None, 60), ("pc", "ann", 70), ("tv", "eve", 80), ("tv", None, 85), ("phone", None, DAY - 10)]
SECOND = [("pc", "ann", DAY + 10), ("tv", None, DAY + 500), ("kiosk", "ann", DAY + 510)]
THIRD = [("phone", "ann", 2 * DAY + 5), ("tv", "bob", 2 * DAY + 5)]


def write_stream_of_people(folder: Path) -> None:
    """A stream whose sessions are cut by person: two days have landed, and a third one is new."""
    streams = folder / "streams"
    for day, rows in (("2026-01-01", FIRST), ("2026-01-02", SECOND)):
        write_lines(streams / "landing" / day / "a.ndjson", [*map(_event, rows), "{broken"])
    write_lines(folder / "new" / "third.ndjson", list(map(_event, THIRD)))
    identity = {"anonymous_id": "device", "user_id": "account"}
    keys = {"name": STREAM, "end": "2026-01-06", "columns": COLUMNS, "identity": identity, "session": {"by": "person"}}
    (streams / f"{STREAM}.yaml").write_text(yaml.safe_dump({**PLAIN, **keys}, sort_keys=False))


def _event(row: tuple[str, str | None, int]) -> str:
    device, account, minute = row
    moment, name = DAY_ONE + timedelta(minutes=minute), f"{device}-{account}-{minute}"
    return json.dumps({"id": name, "device": device, "account": account, "ts": moment.isoformat(), "type": "view"})


@pytest.fixture(scope="module")
def trials_of_people(settings: Settings) -> Iterator[Trials]:
    with tempfile.TemporaryDirectory(prefix="people-", dir=settings.home.parent) as folder:
        Path(folder).chmod(0o755)
        yield Trials(Path(folder), settings, write=write_stream_of_people)


def test_an_ingest_that_moves_ids_is_killed_at_its_commits_and_run_again(
    trials_of_people: Trials, scenario: Scenario
) -> None:
    """Killed (-9) as links change whose events are."""
    names = trials_of_people.points("ingest")
    commits = {names[point - 1]: point for point in distinct(names) if " commit in " in names[point - 1]}
    for module in WHERE_PEOPLE_MATTER:
        of_module = {name: point for name, point in commits.items() if module in name}
        assert of_module
        for name, point in of_module.items():
            kill_at(trials_of_people, scenario, "ingest", point, name)
    scenario.check()


def test_the_ingest_that_is_killed_joins_one_visit_and_parts_another(trials_of_people: Trials) -> None:
    with trials_of_people.trial("ingest") as trial:
        before = _sessions(trial)
        trial.run("ingest")
        after = _sessions(trial)
    assert before == {
        *(("ann", 70, 1), ("ann", DAY + 10, 1), ("ann", DAY + 510, 1), ("eve", 80, 2), ("eve", DAY + 500, 1)),
        *(("phone", 60, 1), ("phone", DAY - 10, 1)),
    }
    assert after == {
        *(("ann", 60, 2), ("ann", DAY - 10, 2), ("ann", DAY + 510, 1), ("ann", 2 * DAY + 5, 1)),
        *(("bob", 2 * DAY + 5, 1), ("eve", 80, 1), ("tv", 85, 1), ("tv", DAY + 500, 1)),
    }


def _sessions(trial: Trial) -> set[tuple[str, int, int]]:
    """Whose each session is, at which minute it begins, and how many events it has."""
    rows = trial.open().database.query(f"select user_id, session_start, event_count from {STREAM}.sessions")
    minute = timedelta(minutes=1)
    return {(row["user_id"], (row["session_start"] - DAY_ONE) // minute, row["event_count"]) for row in rows}
