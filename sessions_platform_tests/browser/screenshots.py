"""Take the screenshots of the README: `python -m sessions_platform_tests.browser.screenshots FOLDER`."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from sessions_platform_tests.browser.ui import (
    ASSETS,
    STREAM,
    chromium,
    environment,
    open_asset,
    open_graph,
    program,
    served,
)

WIDTH, HEIGHT = 1400, 1600
WIDTH_OF_GRAPH = 2400
MARGIN = 24
NARROW_MARGIN = 8
LINE = 2
BUSIEST_DAY = "2026-01-11"


def take_screenshots(folder: Path) -> None:
    """Write asset-graph.png, events.png, rejected-events.png and report.png, of the demo's whole week."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sessions-screenshots-") as name:
        home = Path(name) / "home"
        subprocess.run(program("demo"), env=environment(home), check=True)
        with served(home, Path(name) / "dev.log") as url, chromium(WIDTH, HEIGHT) as page:
            page.goto(url)
            page.get_by_role("button", name="Hide navigation").click()
            capture_asset_graph(page, url, folder / "asset-graph.png")
            capture_events(page, url, folder / "events.png")
            capture_rejected_events(page, url, folder / "rejected-events.png")
        report = Path(name) / "report.html"
        subprocess.run(program("report", STREAM, "--html", str(report)), env=environment(home), check=True)
        with chromium(WIDTH, HEIGHT) as page:
            capture_report(page, report.as_uri(), folder / "report.png")


def capture_report(page: Page, url: str, path: Path) -> None:
    """The silences and the other gaps, which stand beside each other."""
    page.goto(url)
    left, top, _, bottom = edges(page.locator("#silences"))
    _, _, right, _ = edges(page.locator("#gaps"))
    take(page, path, left - NARROW_MARGIN, top - NARROW_MARGIN, right + NARROW_MARGIN, bottom + NARROW_MARGIN)


def capture_asset_graph(page: Page, url: str, path: Path) -> None:
    page.set_viewport_size({"width": WIDTH_OF_GRAPH, "height": HEIGHT})
    open_graph(page, url)
    expect(page.locator("svg").get_by_text("100% filled")).to_have_count(len(ASSETS))
    lefts, tops, rights, bottoms = zip(*(edges(node) for node in page.locator("svg foreignObject").all()), strict=True)
    take(page, path, min(lefts) - MARGIN, min(tops) - MARGIN, max(rights) + MARGIN, max(bottoms) + MARGIN)
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})


def capture_events(page: Page, url: str, path: Path) -> None:
    open_asset(page, url, "events")
    page.get_by_role("button", name="Plots").click()
    # By event: Dagster plots by partition only what lies among the 120 newest days of the calendar.
    by_event = page.get_by_role("button").filter(has_text=re.compile("^Events$"))
    by_event.click()
    by_event.blur()
    take_down_to(page, path, page.locator("canvas").first)


def capture_rejected_events(page: Page, url: str, path: Path) -> None:
    open_asset(page, url, "rejected_events", view="partitions", partition=BUSIEST_DAY)
    reasons = page.get_by_role("cell", name="reasons", exact=True)
    take_down_to(page, path, page.get_by_role("row").filter(has=reasons))


def take_down_to(page: Page, path: Path, last: Locator) -> None:
    """A screenshot of the page without its navigation, as far down as this."""
    expect(last).to_be_visible()
    _, _, beside_navigation, _ = edges(page.get_by_role("navigation"))
    _, _, _, bottom = edges(last)
    take(page, path, beside_navigation + LINE, 0, WIDTH, bottom + LINE)


def edges(locator: Locator) -> tuple[float, float, float, float]:
    """Left, top, right, bottom."""
    box = locator.bounding_box()
    assert box, f"{locator} is not to be seen"
    return box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]


def take(page: Page, path: Path, left: float, top: float, right: float, bottom: float) -> None:
    page.screenshot(path=path, clip={"x": left, "y": top, "width": right - left, "height": bottom - top})


if __name__ == "__main__":
    take_screenshots(Path(sys.argv[1]))
