"""The sessions that a report says other gaps would give, of recorded data: as many as a full recomputation finds."""

from pathlib import Path

import pytest

from sessions_platform.operations.report.data import report_data
from sessions_platform_tests.data.deployment import Deployed
from sessions_platform_tests.operations.report.recomputed import sessions_by_gap

pytestmark = [pytest.mark.data, pytest.mark.slow]


@pytest.mark.parametrize(
    ("stream", "file"),
    [
        ("retentioneering_ecom", "retentioneering_ecom/ecom.csv.gz"),
        ("apache_access", "apache_access/apache_events.csv.gz"),
        ("github_events", "github_events/events.ndjson"),
    ],
)
@pytest.mark.parametrize("gap_inclusive", [False, True], ids=["longer than the gap ends", "the gap itself ends"])
def test_sessions_at_each_gap_equal_a_full_recomputation(
    stream: str, file: str, gap_inclusive: bool, data: Path, home: Path
) -> None:
    name = f"{stream}_gaps_{'at' if gap_inclusive else 'beyond'}"
    deployed = Deployed.copy(home, stream, name, gap_inclusive=gap_inclusive)
    status = deployed.ingest(data / file)
    context = deployed.context
    counted = report_data(context).silences
    events = context.events([landing.landing_partition for landing in context.ledger.landings()]).scan().collect()
    assert counted.events == events.height == status["accepted"]
    sessions = dict(counted.sessions.iter_rows())
    assert len(sessions) == 8
    assert sessions == sessions_by_gap(events.to_dicts(), sessions, context.stream)
    assert sessions[context.stream.session.gap] == status["sessions"]
