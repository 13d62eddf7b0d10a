"""Take the pictures of the README: `python -m sessions_platform_tests.browser.pictures FOLDER`."""

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from sessions_platform_tests.browser.ui import (
    ASSETS,
    GROUPS,
    chromium,
    environment,
    graph_text,
    open_asset,
    open_graph,
    program,
    served,
)

WIDTH, HEIGHT = 1400, 1300
MARGIN = 24
BUSIEST_DAY = "2026-01-11"


def take_pictures(folder: Path) -> None:
    """Write asset-graph.png, events.png and rejected-events.png, of the demo's whole week."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sessions-pictures-") as name:
        home = Path(name) / "home"
        subprocess.run(program("demo"), env=environment(home), check=True)
        with served(home, Path(name) / "dev.log") as url, chromium(WIDTH, HEIGHT) as page:
            page.goto(url)
            page.get_by_role("button", name="Hide navigation").click()
            picture_asset_graph(page, url, folder / "asset-graph.png")
            picture_events(page, url, folder / "events.png")
            picture_rejected_events(page, url, folder / "rejected-events.png")


def picture_asset_graph(page: Page, url: str, path: Path) -> None:
    page.set_viewport_size({"width": 2000, "height": HEIGHT})
    open_graph(page, url)
    page.reload()  # fits the opened groups into the window
    for asset in ASSETS:
        expect(graph_text(page, asset)).to_be_visible()
    expect(page.locator("svg").get_by_text("100% filled")).to_have_count(len(ASSETS))
    groups = page.locator("svg foreignObject")
    take(page, path, groups.all())
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})


def picture_events(page: Page, url: str, path: Path) -> None:
    open_asset(page, url, "events")
    page.get_by_role("button", name="Plots").click()
    page.get_by_role("button", name="materialization Events").click()
    expect(page.locator("canvas").first).to_be_visible()
    page.screenshot(path=path)


def picture_rejected_events(page: Page, url: str, path: Path) -> None:
    open_asset(page, url, "rejected_events", view="partitions", partition=BUSIEST_DAY)
    reasons = page.get_by_role("row").filter(has=page.get_by_role("cell", name="reasons", exact=True))
    expect(reasons).to_be_visible()
    page.screenshot(path=path)


def take(page: Page, path: Path, shown: list[Locator]) -> None:
    """A picture of these and a margin around them."""
    boxes = [box for box in (locator.bounding_box() for locator in shown) if box]
    left, top = min(box["x"] for box in boxes) - MARGIN, min(box["y"] for box in boxes) - MARGIN
    right = max(box["x"] + box["width"] for box in boxes) + MARGIN
    bottom = max(box["y"] + box["height"] for box in boxes) + MARGIN
    page.screenshot(path=path, clip={"x": left, "y": top, "width": right - left, "height": bottom - top})


if __name__ == "__main__":
    take_pictures(Path(sys.argv[1]))
