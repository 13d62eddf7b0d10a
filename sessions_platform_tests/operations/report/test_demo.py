"""The demo's week: the sessions that other gaps would give, and the page."""

import pytest
import yaml

from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.demo.events import land_week
from sessions_platform.operations.report.data import report_data
from sessions_platform.operations.report.page import html
from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform.settings import DEMO_STREAMS, Settings
from sessions_platform_tests.operations.report.recomputed import sessions_by_gap

pytestmark = pytest.mark.slow

MOST_BYTES = 3_000_000


@pytest.fixture(scope="module")
def demo(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> StreamContext:
    """The demo's stream, under another name, once its week is in the warehouse."""
    folder = tmp_path_factory.mktemp("demo")
    land_week(folder / "landing")
    document = yaml.safe_load((DEMO_STREAMS / "web_shop.yaml").read_text())
    document["name"] = "reported_week"
    document["source"]["files"] = "landing/{partition:%Y-%m-%d}/*.ndjson.gz"
    file = folder / "reported_week.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    context = StreamContext.open(load_stream(file, settings.home), settings)
    run_pipeline(context, pending_landing_partitions(context), "a-run")
    return context


def test_sessions_at_each_gap_equal_a_full_recomputation(demo: StreamContext) -> None:
    data = report_data(demo)
    events = demo.events([landing.landing_partition for landing in demo.ledger.landings()]).scan().collect()
    counted = dict(data.silences.sessions.iter_rows())
    assert len(counted) == 8
    assert counted == sessions_by_gap(events.to_dicts(), counted, demo.stream)
    assert counted[demo.stream.session.gap] == data.totals.sessions


def test_the_page_is_small_and_says_what_the_demo_prints(demo: StreamContext) -> None:
    page = html(report_data(demo))
    assert len(page.encode()) < MOST_BYTES
    assert "12,780 sessions of 2,850 users" in page
    assert "0.9% of 60,270 rows were rejected" in page
    assert "Nothing is stale" in page
