"""Runs of the command line are in the UI's timeline and on the pages of their jobs, asked of a real webserver."""

from pathlib import Path

import pytest

from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.dev import LOCATION, watched_dev

# The timeline leaves out runs without a repository origin; the page of a job asks for the tag.
TIMELINE = """query ($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results {
  pipelineName status startTime repositoryOrigin { repositoryName repositoryLocationName } } } } }"""
JOBS = """query ($selector: RepositorySelector!) { repositoryOrError(repositorySelector: $selector) {
  ... on Repository { jobs { name } } } }"""


@pytest.mark.slow
def test_the_runs_of_ingest_are_in_the_timeline_of_the_loaded_location(home: Home, tmp_path: Path) -> None:
    home.ingest(1, "a", ("ann", 0, "a"))
    ingested = home.shell("sessions_platform", "run", home.name)
    assert ingested.returncode == 0, ingested.stderr
    repository = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}
    with watched_dev(home, tmp_path / "dev.log", {}) as dev:
        label = {"key": ".dagster/repository", "value": f"__repository__@{LOCATION}"}
        found = dev.ask(TIMELINE, filter={"tags": [label]})["runsOrError"]["results"]
        jobs = {job["name"] for job in dev.ask(JOBS, selector=repository)["repositoryOrError"]["jobs"]}
    runs = [run for run in found if run["pipelineName"].startswith(f"{home.name}__")]  # others use the storage, too
    expected = {f"{home.name}__ingest_events", f"{home.name}__refresh_sessions"}
    assert {run["pipelineName"] for run in runs} == expected
    assert expected <= jobs
    assert all(run["status"] == "SUCCESS" and run["startTime"] for run in runs)
    assert all(run["repositoryOrigin"] == repository for run in runs)
