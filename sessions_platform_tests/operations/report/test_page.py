"""The page of a report: safe whatever texts events have, whole without network, and legible without its pictures."""

from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest

from sessions_platform.contracts.session_rule import CutOn
from sessions_platform.operations.report import charts, words
from sessions_platform.operations.report.page import html
from sessions_platform.operations.report.section import Section
from sessions_platform.operations.report.sections import previews, sections
from sessions_platform_tests.operations.report.counted import HOSTILE, REASONS, counted, empty

LOADING = ("src", "srcset", "href", "xlink:href", "action", "data", "poster")


class Page(HTMLParser):
    """What a page consists of: its tags with their attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]][-1] += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(html(counted()))


def test_no_text_of_an_event_becomes_a_part_of_the_page(page: Page) -> None:
    assert page.of("script") == page.of("img") == []
    assert [name for _, attributes in page.tags for name in attributes if name.startswith("on")] == []
    assert HOSTILE[0] in page.texts["p"]
    shown = page.texts["th"]
    assert [text for text in HOSTILE if words.text(text) not in shown] == []
    assert r"\x00\x1b[31m\u202e" in "".join(shown)
    assert max(map(len, page.texts["h2"])) < 200


def test_the_page_loads_nothing(page: Page) -> None:
    loaded = [value for _, attributes in page.tags for name, value in attributes.items() if name in LOADING]
    assert [value for value in loaded if value and not value.startswith(("#", "data:"))] == []
    (style,) = page.texts["style"]
    assert "url(" not in style
    assert "@import" not in style


def test_each_chart_has_a_title_a_description_and_all_of_its_numbers(page: Page) -> None:
    drawn = [section for section in sections(counted()) if section.chart]
    assert len(drawn) == 8
    images = page.of("svg")
    assert [image["class"] for image in images] == ["wide", "narrow"] * len(drawn)
    assert {image["role"] for image in images} == {"img"}
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    named = {name for image in images for name in (image["aria-labelledby"] or "").split()}
    assert named - ids == set()
    captions = page.texts["caption"]
    assert [section.name for section in drawn if not section.table or section.table.caption not in captions] == []


def test_no_id_occurs_twice(page: Page) -> None:
    ids = Counter(attributes["id"] for _, attributes in page.tags if "id" in attributes)
    assert [name for name, count in ids.items() if count > 1] == []


def test_the_table_of_rejections_has_the_reasons_that_the_chart_sums_up() -> None:
    (section,) = [section for section in sections(counted()) if section.name == "rejected"]
    assert section.table is not None
    assert section.table.columns == ("day", *sorted(REASONS), "rejected rows", "raw rows")
    assert len(section.legend) == len(charts.SERIES)
    assert section.legend[-1][1].startswith("all others (")


def test_a_stream_without_events_has_a_report_of_sentences() -> None:
    page = Page(html(empty()))
    assert page.of("svg") == []
    assert "There are no sessions" in page.texts["h2"]
    assert "Nothing is stale: all that has arrived is in the sessions" in page.texts["h2"]


def by_name(**rule: Any) -> dict[str, Section]:
    """The sections of a stream with another session rule."""
    session = counted().stream.session.model_copy(update=rule)
    ruled = counted().stream.model_copy(update={"session": session})
    return {section.name: section for section in sections(counted(stream=ruled))}


def test_rules_that_are_not_applied_to_other_gaps_are_named() -> None:
    text = by_name(campaign="x", cut_on=CutOn(column="x", when=["changes"]))["gaps"].text
    assert "The stream's other rules (campaign, cut_on) are not applied here" in text


def test_that_passive_events_are_left_out_is_said_where_gaps_are_counted() -> None:
    shown = by_name(passive=["ping", "leave"])
    for name in ("silences", "gaps"):
        assert "Passive events (ping, leave) are left out." in shown[name].text
    assert "Passive" not in "".join(section.text for section in by_name().values())


def test_where_a_tools_id_makes_the_sessions_other_gaps_do_not_apply() -> None:
    shown = by_name(id="visit_id")
    assert shown["gaps"].title.startswith("Other gaps do not apply, because sessions are made by the tool's own id")
    assert shown["gaps"].chart is shown["gaps"].table is None
    assert "ends sessions only of events without the tool's own id, visit_id" in shown["silences"].text


def test_previews_show_no_text_of_an_event() -> None:
    shown = previews(counted())
    assert [section.name for section in shown] == ["time", "gaps"]
    for section in shown:
        assert section.chart is not None
        assert section.chart.png().startswith(b"\x89PNG")
        assert [text for text in HOSTILE if text and text in section.title] == []


def test_a_picture_has_no_variable_that_only_a_page_knows() -> None:
    used = {name for section in sections(counted()) if section.chart for name in variables(section.chart)}
    assert used
    assert used <= charts.LIGHT.keys()
    assert charts.LIGHT.keys() == charts.DARK.keys()


def variables(chart: charts.Chart) -> list[str]:
    return [part.partition(")")[0] for part in chart.svg(charts.NARROW).split("var(--")[1:]]


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 5, "0%"),
        (5, 5, "100.0%"),
        (1, 100_000, "under 0.1%"),
        (99_999, 100_000, "over 99.9%"),
        (1, 3, "33.3%"),
        (0, 0, "0%"),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(part: int, whole: int, text: str) -> None:
    assert words.percent(part, whole) == text


def test_classes_are_named_with_their_unit_once() -> None:
    names = [name.replace("\N{NO-BREAK SPACE}", " ") for name in words.classes_of_durations((1, 10, 90, 3600, 7200))]
    assert names == ["under 1 s", "1 – 10 s", "10 s – 1 min 30 s", "1 min 30 s – 1 h", "1 – 2 h", "2 h and more"]  # noqa: RUF001
    assert words.classes_of_counts((2, 3, 6)) == ["1", "2", "3 – 5", "6 and more"]  # noqa: RUF001
