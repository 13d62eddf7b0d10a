"""Hosts that share the lake, the database and Dagster's storage, and nothing else: the same sessions as from one."""

from collections.abc import Iterator

import pytest

from sessions_platform_tests.pipeline.steps import run_pending
from sessions_platform_tests.servers.site import DAYS, LAST, HostedTrial, Site, ended, site

pytestmark = pytest.mark.servers
ALL = f"{DAYS[0]}...{LAST}"


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture(scope="module")
def alone(hosted: Site) -> HostedTrial:
    """All of it done by one process, without runs of Dagster."""
    trial = hosted.trial()
    run_pending(trial.trial.open(), DAYS[-1])
    return trial


def require_same(trial: HostedTrial, expected: HostedTrial) -> None:
    """What is stale is refreshed; then no row is lost or doubled."""
    run_pending(trial.trial.open(), DAYS[-1])
    assert not any(trial.trial.pending().values())
    outcome = trial.compare(expected)
    assert (outcome.lost, outcome.doubled) == (0, 0), outcome.difference


@pytest.mark.parametrize("workers", [2, 4])
def test_workers_on_several_hosts_make_the_sessions_of_one(hosted: Site, alone: HostedTrial, workers: int) -> None:
    trial = hosted.trial()
    share = len(DAYS) // workers
    started = []
    for number in range(workers):
        first, last = DAYS[number * share], DAYS[(number + 1) * share - 1]
        own = f"{first}...{last if number < workers - 1 else LAST}"
        works = (f"ingest_events={first}...{last}", f"refresh_sessions={own}")
        started.append(trial.work(hosted.network.host(), *works))
    for process in started:
        code, said = ended(process)
        assert code == 0, said
    require_same(trial, alone)
