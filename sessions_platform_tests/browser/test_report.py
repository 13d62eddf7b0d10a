"""The report in a real Chromium: as wide as a telephone, a tablet and a screen, in light and dark, and printed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from sessions_platform.operations.report.data import ReportData
from sessions_platform.operations.report.page import html
from sessions_platform.operations.report.sections import sections
from sessions_platform_tests.browser.ui import FLAGS, NoChromiumError, chromium_program
from sessions_platform_tests.operations.report.counted import counted, empty

pytestmark = pytest.mark.browser

WIDTHS = (375, 768, 1440)
REPORTS = {
    "a week": counted(),
    "two months of millions": counted(days=62, scale=12_345_678),
    "one day": counted(days=1),
    "nothing": empty(),
}

# Texts of the drawings that are not within their image; texts of the page that are wider than what they stand in.
CUT = """() => {
  const visible = element => element.getClientRects().length > 0;
  const inside = (inner, outer) => inner.left >= outer.left - 0.5 && inner.right <= outer.right + 0.5
    && inner.top >= outer.top - 0.5 && inner.bottom <= outer.bottom + 0.5;
  const drawn = [...document.querySelectorAll("svg text")].filter(visible).filter(text => text.textContent.trim())
    .filter(text => !inside(text.getBoundingClientRect(), text.ownerSVGElement.getBoundingClientRect()));
  const written = [...document.querySelectorAll("h1, h2, p, dt, dd, li, summary, caption, th, td")].filter(visible)
    .filter(element => !element.closest(".scroll") && element.scrollWidth > element.clientWidth + 1
      && getComputedStyle(element).display !== "inline");
  return [...drawn, ...written].map(element => element.textContent);
}"""
OVERLAPPING = """() => [...document.querySelectorAll("svg")].filter(svg => svg.getClientRects().length).flatMap(svg => {
  const texts = [...svg.querySelectorAll("text")].filter(text => text.textContent.trim());
  const boxes = texts.map(text => text.getBoundingClientRect());
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 3 && b.top < a.bottom - 3;
  return texts.flatMap((text, i) => texts.slice(i + 1)
    .filter((other, j) => meet(boxes[i], boxes[i + 1 + j])).map(other => text.textContent + " / " + other.textContent));
})"""
CONTRAST = """() => {
  const channels = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const luminance = colour => {
    const [r, g, b] = channels(colour).map(c => c / 255).map(c => c <= 0.04 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = luminance(getComputedStyle(document.querySelector("section")).backgroundColor);
  const of = element => {
    const style = getComputedStyle(element);
    const text = luminance(element.ownerSVGElement ? style.fill : style.color);
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  };
  return Math.min(...[...document.querySelectorAll("h2, p, li, summary, th, td, a, svg text")].map(of));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        program = chromium_program()
    except NoChromiumError as missing:
        if os.environ.get("CI"):
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS, headless=True)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page of each report."""
    folder = tmp_path_factory.mktemp("reports")
    written = {name: folder / f"{number}.html" for number, name in enumerate(REPORTS)}
    for name, data in REPORTS.items():
        written[name].write_text(html(data))
    return written


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_chart_is_drawn_and_no_text_is_cut(
    name: str, scheme: str, width: int, browser: Browser, files: dict[str, Path]
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # pyright: ignore[reportArgumentType]
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: told.append(request.url) if request.url.startswith("http") else None)
    page.goto(files[name].as_uri())
    assert told == []
    assert heights_of_charts(page) == len(charts_of(REPORTS[name]))
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CUT) == []
    assert page.evaluate(OVERLAPPING) == []
    assert page.evaluate(CONTRAST) >= 4.5  # WCAG 2.2, 1.4.3
    page.close()


def charts_of(data: ReportData) -> list[str]:
    return [section.name for section in sections(data) if section.chart]


def heights_of_charts(page: Page) -> int:
    """How many charts are seen, each of which has a height and marks."""
    boxes = [svg.bounding_box() for svg in page.locator("svg").all()]
    seen = [box for box in boxes if box is not None]
    assert [box for box in seen if box["height"] < 60 or box["width"] < 250] == []
    return len(seen)


def test_all_numbers_are_reached_by_the_keyboard_alone(browser: Browser, files: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 375, "height": 900})
    page.goto(files["a week"].as_uri())
    tables = page.locator("details table").count()
    for _ in range(3 * tables + 3):  # a link to skip, one to what is stale, and a summary and its table each
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('details:not([open]) > summary')"):
            page.keyboard.press("Enter")
    assert page.locator("details table:visible").count() == tables
    assert page.evaluate("document.documentElement.scrollWidth") == 375
    page.close()


def test_a_screen_reader_is_told_of_each_chart_once(browser: Browser, files: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 768, "height": 900})
    page.goto(files["a week"].as_uri())
    for section in sections(REPORTS["a week"]):
        region = page.get_by_role("region", name=section.title, exact=True)
        assert region.count() == 1
        assert region.get_by_role("img", name=section.title, exact=True).count() == (1 if section.chart else 0)
    page.close()


def test_on_paper_all_tables_are_open_and_the_ground_is_white(browser: Browser, files: dict[str, Path]) -> None:
    page = browser.new_page(viewport={"width": 768, "height": 900}, color_scheme="dark")
    page.goto(files["a week"].as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('section')).backgroundColor") == "rgb(255, 255, 255)"
    heights = [(table.bounding_box() or {"height": 0})["height"] for table in page.locator("details table").all()]
    assert len(heights) > 5
    assert min(heights) > 40
    page.close()
