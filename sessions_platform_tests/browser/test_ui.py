"""A new user's first steps in the UI: pick a day, materialize it, look at the result."""

import gzip
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from sessions_platform.demo.events import land_week
from sessions_platform.demo.visits import DAYS
from sessions_platform_tests.browser.ui import (
    ASSETS,
    RUNNING_SECONDS,
    STREAM,
    NoChromiumError,
    chromium,
    chromium_program,
    open_asset,
    open_graph,
    served,
)

pytestmark = pytest.mark.browser

DAY = "2026-01-05"  # no event of it is late, so that no other day becomes stale, and some rows are rejected
CHECKS_OF_EVENTS = {"keeps_contract": "Every row keeps the contract", "row_counts_reconcile": "raw rows = accepted"}
SAMPLES = 5
ALL_PASSED = re.compile(r"\b([1-9]\d*) / \1 Passed")
ONE_OF_THE_WEEK = f"{100 // DAYS}% filled"

EVENTS_OF_RUNS = """{
  runsOrError(limit: 5) { ... on Runs { results { eventConnection { events {
    ... on ExecutionStepFailureEvent { stepKey error { message } }
    ... on RunFailureEvent { runId error { message } }
    ... on EngineEvent { runId error { message } }
  } } } } }
}"""


@pytest.fixture(autouse=True)
def _chromium_is_installed() -> None:
    try:
        chromium_program()
    except NoChromiumError as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))


def test_a_day_materialized_in_the_ui_turns_green_and_shows_its_metadata(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "dev.log"
    ingested = home / "landing" / STREAM
    land_week(ingested, events=3000)
    with served(home, log) as url, chromium() as page, told_on_failure(page, url, tmp_path):
        the_graph_shows_the_pipeline(page, url)
        materialize_all_assets_of_one_day(page)
        every_asset_turns_green(page, url)
        the_page_of_events_shows_columns_and_checks(page, url)
        what_the_pages_count_adds_up_to(page, url, lines=lines_in(ingested / DAY))


def the_graph_shows_the_pipeline(page: Page, url: str) -> None:
    open_graph(page, url)
    for asset in ASSETS:
        expect(link_of(page, asset, "partitions").first).to_have_text("0% filled")


def materialize_all_assets_of_one_day(page: Page) -> None:
    page.get_by_role("button", name="Materialize all").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(f"materialize {len(ASSETS) + 1} assets")  # and the report, which has no partitions
    partitions = dialog.get_by_placeholder("ex: 2026-01-05")
    partitions.fill(DAY)
    partitions.press("Enter")
    dialog.get_by_role("button", name="Launch 1 run").click()
    expect(dialog).to_be_hidden()


def every_asset_turns_green(page: Page, url: str) -> None:
    for asset in ASSETS:
        filled = link_of(page, asset, "partitions").first
        expect(filled).to_have_text(re.compile(f"^{ONE_OF_THE_WEEK}$|failed"), timeout=RUNNING_SECONDS * 1000)
        assert filled.inner_text() == ONE_OF_THE_WEEK
    for asset in ASSETS[1:]:  # on raw events nothing is checked
        expect(link_of(page, asset, "checks")).to_contain_text(ALL_PASSED)

    page.goto(f"{url}/runs")
    expect(page.get_by_text(f"partition: {DAY}").first).to_be_visible()
    expect(page.get_by_text("Success", exact=True)).to_have_count(1)

    for asset in ASSETS:
        open_asset(page, url, asset, view="partitions", partition=DAY)
        expect(page.get_by_text(f"Missing ({DAYS - 1})", exact=True)).to_be_visible()
        state = page.get_by_text("Materialized", exact=True)
        expect(state).to_be_visible()
        assert is_green(state)


def the_page_of_events_shows_columns_and_checks(page: Page, url: str) -> None:
    open_asset(page, url, "events")
    columns = page.get_by_role("table").filter(has_text="Column name")
    expect(columns.get_by_role("row", name=re.compile("^event_id .*String non-nullable unique"))).to_be_visible()
    expect(columns.get_by_role("row", name=re.compile("^event_timestamp .*UTC.* non-nullable"))).to_be_visible()
    expect(columns.get_by_role("row", name=re.compile("^amount .*>= 0"))).to_be_visible()

    for check, promise in CHECKS_OF_EVENTS.items():
        open_asset(page, url, "events", view="checks", checkDetail=check)
        expect(page.get_by_text(promise)).to_be_visible()
        expect(page.get_by_text("Passed", exact=True)).to_be_visible()
        expect(page.get_by_role("row", name=re.compile("^broken 0"))).to_be_visible()


def what_the_pages_count_adds_up_to(page: Page, url: str, lines: int) -> None:
    open_asset(page, url, "raw_events", view="partitions", partition=DAY)
    assert number(page, "dagster/row_count") == lines

    open_asset(page, url, "events", view="partitions", partition=DAY)
    accepted, duplicates = number(page, "dagster/row_count"), number(page, "duplicates")

    open_asset(page, url, "rejected_events", view="partitions", partition=DAY)
    rejected = number(page, "dagster/row_count")
    assert accepted + duplicates + rejected == lines
    heading = page.get_by_role("columnheader", name="reason", exact=True)
    reasons = page.get_by_role("table").filter(has=heading).last
    shown = dict(row.inner_text().split()[:2] for row in reasons.get_by_role("row").all())
    assert shown.pop("reason") == "rows"
    assert len(shown) > 1
    samples = page.get_by_role("table").filter(has=page.get_by_role("columnheader", name="payload", exact=True)).last
    assert samples.get_by_role("row").count() == 1 + min(SAMPLES, rejected)
    assert sum(int(rows) for rows in shown.values()) == rejected  # the demo breaks each row in one way


def link_of(page: Page, asset: str, view: str) -> Locator:
    """A link on the asset's node in the graph."""
    return page.locator(f'svg a[href="/assets/{STREAM}/{asset}?view={view}"]')


def number(page: Page, key: str) -> int:
    """What the metadata table of a partition's page says."""
    row = page.get_by_role("row").filter(has=page.get_by_role("cell", name=key, exact=True))
    return int(row.get_by_role("cell").nth(1).inner_text())


def is_green(locator: Locator) -> bool:
    color = locator.evaluate("element => getComputedStyle(element).color")
    red, green, blue = (int(part) for part in re.findall(r"\d+", color)[:3])
    return green > max(red, blue)


def lines_in(folder: Path) -> int:
    return sum(len(gzip.decompress(file.read_bytes()).splitlines()) for file in folder.iterdir())


@contextmanager
def told_on_failure(page: Page, url: str, folder: Path) -> Iterator[None]:
    """Keep what the page showed, and add what the runs said, for the database goes with the test."""
    try:
        yield
    except BaseException as error:
        picture = folder / "failure.png"
        page.screenshot(path=picture)
        error.add_note(f"What the page showed: {picture}; what the server said: {folder / 'dev.log'}")
        error.add_note(f"What the runs say of errors: {json.dumps(errors_of_runs(page, url), indent=1)}")
        raise


def errors_of_runs(page: Page, url: str) -> list[dict[str, Any]]:
    answer = page.request.post(f"{url}/graphql", data={"query": EVENTS_OF_RUNS}).json()
    runs = answer["data"]["runsOrError"]["results"]
    return [event for run in runs for event in run["eventConnection"]["events"] if event.get("error")]
