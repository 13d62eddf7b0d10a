"""The page of a report: HTML that contains all of its pictures and needs no network and no script.

Texts come from events, so the template escapes them. Not here: what stands in the page (`sections.py`).
"""

from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from sessions_platform.operations.report import charts, words
from sessions_platform.operations.report.data import ReportData
from sessions_platform.operations.report.row_sections import staleness
from sessions_platform.operations.report.section import Section
from sessions_platform.operations.report.sections import sections


def html(data: ReportData) -> str:
    """The page, in UTF-8."""
    return _template().render(
        data=data,
        title=f"Sessions of {data.stream.name}",
        period=_period(data),
        stale=staleness(data).title,
        figures=_figures(data),
        sections=sections(data),
        light=charts.LIGHT,
        dark=charts.DARK,
        svg=_svg,
    )


@cache
def _template() -> Template:
    loader = PackageLoader("sessions_platform.operations.report", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.jinja")


def _svg(section: Section, size: str) -> Markup:
    """The drawing for one size, narrow or wide, which screen readers take for one image with title and description."""
    assert section.chart is not None
    svg = section.chart.svg(charts.NARROW if size == "narrow" else charts.WIDE)
    place = f"{section.name}-{size}"
    of_image = Markup('<svg class="{}" role="img" aria-labelledby="{}-title" aria-describedby="{}-desc"')
    of_image = of_image.format(size, place, place)
    texts = Markup('><title id="{}-title">{}</title><desc id="{}-desc">{} {}</desc>').format(
        place, section.title, place, section.text, "All numbers are in the table below."
    )
    return of_image + Markup(svg.removeprefix("<svg").replace(">", texts, 1))


def _period(data: ReportData) -> str:
    first, last = data.totals.first_start, data.totals.last_start
    since = f", since {data.since}" if data.since else ""
    if first is None or last is None:
        return f"no sessions{since}"
    return f"sessions that started from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC{since}"


def _figures(data: ReportData) -> Sequence[tuple[str, str]]:
    """The figures at the top of the page, with what they count."""
    raw, rejected = (sum(getattr(each, name) for each in data.arrivals) for name in ("raw_rows", "rejected"))
    return [
        ("sessions", words.number(data.totals.sessions)),
        ("users", words.number(data.totals.users)),
        ("events in sessions", words.number(data.totals.events)),
        ("raw rows", words.number(raw)),
        (f"rejected rows ({words.percent(rejected, raw)})", words.number(rejected)),
    ]
