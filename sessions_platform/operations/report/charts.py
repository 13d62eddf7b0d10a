"""Charts as SVG, drawn by vl-convert from Vega-Lite specifications without a browser.

A chart is drawn twice, for narrow and for wide screens, because an image that is only scaled has text that is too small
on a telephone. Colours are CSS variables, which the page sets for light and dark; a picture (PNG), which has no page,
gets those of the light one. No meaning depends on colours alone. Not here: what is drawn (`sections.py`), and where it
stands (`page.py`).
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil
from typing import Any

import vl_convert

Spec = dict[str, Any]

_VERSION = "5.21"  # of Vega-Lite, of those that vl-convert contains
NARROW, WIDE = 320, 640
_FONT = "Arial, 'Liberation Sans', Helvetica, sans-serif"  # of equal widths, so that text is as wide as was measured
_CHARACTER = 7.6  # pixels that a character of 12 may take where the browser has none of these fonts
_TEXT, _FAINT, _GRID = "var(--text)", "var(--faint)", "var(--grid)"
MARK, SECOND = "var(--mark)", "var(--second)"
SHADES = tuple(f"var(--shade{n})" for n in range(6))
SERIES = tuple(f"var(--series{n})" for n in range(8))


def _numbered(name: str, colours: str) -> dict[str, str]:
    return {f"{name}{n}": colour for n, colour in enumerate(colours.split())}


# Okabe and Ito's colours, which people with any kind of colour blindness tell apart (jfly.uni-koeln.de/color).
LIGHT: Mapping[str, str] = {
    "background": "#f4f6f9",
    "card": "#ffffff",
    "text": "#1d2430",
    "faint": "#566072",
    "grid": "#dde2ea",
    "link": "#00639b",
    "mark": "#0072b2",
    "second": "#d55e00",
    **_numbered("shade", "#eef3f8 #c6dbec #92c0de #5b9fcb #2676ae #0b4a7d"),
    **_numbered("series", "#0072b2 #e69f00 #009e73 #cc79a7 #56b4e9 #d55e00 #f0e442 #8a8f99"),
}
DARK: Mapping[str, str] = {
    **LIGHT,
    "background": "#12161d",
    "card": "#1a2029",
    "text": "#e7ebf1",
    "faint": "#a5afbf",
    "grid": "#323b48",
    "link": "#7cc4f0",
    "mark": "#56b4e9",
    "second": "#e69f00",
    "series0": "#3d9bd6",
    "series4": "#a3dbff",
    **_numbered("shade", "#222b37 #23415c #27618d #3a86bb #6fb2de #c3e2f7"),
}
_VARIABLE = re.compile(r"var\(--(\w+)\)")
_ROOT = re.compile(r"<svg [^>]*?(width=\"[\d.]+\" height=\"[\d.]+\" viewBox=\"[^\"]*\")[^>]*>")


@dataclass(frozen=True)
class Bar:
    """One bar: its label, its length and what is written at its end.

    `stands_out` gives it the second colour; `is_line` makes it a line across the chart, with a label only.
    """

    label: str
    value: float = 0
    text: str = ""
    stands_out: bool = False
    is_line: bool = False


@dataclass(frozen=True)
class Chart:
    """A chart for each width."""

    draw: Callable[[int], Spec]

    def svg(self, width: int) -> str:
        """The SVG as an element for a page: without text for screen readers, which the page adds."""
        svg = vl_convert.vegalite_to_svg(_complete(self.draw(width), width), _VERSION)
        return _ROOT.sub(r'<svg xmlns="http://www.w3.org/2000/svg" \1>', svg, count=1)

    def png(self, width: int = WIDE) -> bytes:
        """A picture on a white ground, in the light colours."""
        svg = _VARIABLE.sub(lambda name: LIGHT[name[1]], self.svg(width))
        ground = f'<rect width="100%" height="100%" fill="{LIGHT["card"]}"/>'
        return vl_convert.svg_to_png(svg.replace(">", f">{ground}", 1), scale=1)


def start() -> None:
    """Start what draws, which takes as long as all drawings of a report; else the first drawing does it.

    No other thread of Python runs meanwhile.
    """
    Chart(lambda _: {"data": {"values": [{}]}, "mark": "point"}).svg(NARROW)


def bars(data: Sequence[Bar]) -> Chart:
    """Horizontal bars from top to bottom, each with its label before it and its number behind it; labels are unique."""
    rows = [{"n": n, "label": bar.label, "value": bar.value, "text": bar.text} for n, bar in enumerate(data)]
    labels = [bar.label for bar in data]
    colours = [SECOND if bar.stands_out else MARK for bar in data]
    before = max(map(len, labels), default=0) * _CHARACTER
    behind = max((len(bar.text) for bar in data), default=0) * _CHARACTER + 8

    def draw(width: int) -> Spec:
        room = 1 + behind / (width - before - behind - 20)
        most = max((bar.value for bar in data), default=0) or 1
        x: Spec = {"field": "value", "type": "quantitative", "axis": None, "scale": {"domain": [0, most * room]}}
        y: Spec = {"field": "label", "type": "nominal", "sort": labels, "title": None}
        y["scale"] = {"paddingInner": 0.28, "paddingOuter": 0.3}
        y["axis"] = {"ticks": False, "domain": False, "labelPadding": 6, "minExtent": before, "labelLimit": 0}
        of_lines = json.dumps([bar.label for bar in data if bar.is_line])
        is_line = {"test": f"indexof({of_lines}, datum.value) >= 0", "value": "bold"}
        y["axis"]["labelFontWeight"] = {"condition": is_line, "value": "normal"}
        colour: Spec = {"field": "label", "type": "nominal", "legend": None}
        colour["scale"] = {"domain": labels, "range": colours}
        layers: list[Spec] = [
            {"mark": {"type": "bar", "cornerRadiusEnd": 2}, "encoding": {"x": x, "y": y, "color": colour}},
            {
                "mark": {"type": "text", "align": "left", "dx": 5, "color": _TEXT, "fontSize": 12},
                "encoding": {"x": x, "y": y, "text": {"field": "text"}},
            },
        ]
        line = {"type": "rule", "color": SECOND, "strokeWidth": 2, "strokeDash": [6, 3]}
        for bar in data:
            if bar.is_line:
                y_of_line = {"datum": bar.label, "type": "nominal"}
                layers.append({"data": {"values": [{}]}, "mark": line, "encoding": {"y": y_of_line}})
        return {"data": {"values": rows}, "height": 23 * len(data), "layer": layers}

    return Chart(draw)


def lines(days: Sequence[date], series: Mapping[str, Sequence[int]]) -> Chart:
    """One line with points for each of two series over time; the second is dashed and has square points."""
    values = [
        {"day": day.isoformat(), "series": name, "value": value}
        for name, numbers in series.items()
        for day, value in zip(days, numbers, strict=True)
    ]
    names = list(series)

    def draw(width: int) -> Spec:
        def scale(*of_series: Any) -> Spec:
            return {"domain": names, "range": list(of_series)}

        of: Spec = {"field": "series", "type": "nominal", "legend": None}
        place = {
            "x": _time(width, days),
            "y": _count(),
            "color": {**of, "scale": scale(MARK, SECOND)},
        }
        dash = {**of, "scale": scale([1, 0], [6, 3])}
        shape = {**of, "scale": scale("circle", "square")}
        layers: list[Spec] = [
            {"mark": {"type": "line", "strokeWidth": 2}, "encoding": {**place, "strokeDash": dash}},
            {
                "mark": {"type": "point", "filled": True, "size": 34, "opacity": 1},
                "encoding": {**place, "shape": shape},
            },
        ]
        return {"data": {"values": values}, "height": 240, "layer": layers if len(days) <= 92 else layers[:1]}

    return Chart(draw)


def stacks(days: Sequence[date], series: Mapping[str, Sequence[int]]) -> Chart:
    """A column for each period, stacked of the series, of which there are as many as `SERIES` at most."""
    columns = [day.isoformat() for day in days]
    values = [
        {"day": column, "series": name, "n": n, "value": value}
        for n, (name, numbers) in enumerate(series.items())
        for column, value in zip(columns, numbers, strict=True)
    ]
    form, room = _date_format(days)

    def draw(width: int) -> Spec:
        step = ceil(len(columns) * room / width)
        x: Spec = {"field": "day", "type": "nominal", "sort": columns, "title": None}
        x["axis"] = {"values": columns[::step], "labelAngle": 0, "labelPadding": 9, "labelOverlap": False}
        x["axis"]["ticks"] = False
        x["axis"]["labelExpr"] = f"utcFormat(toDate(datum.value), '{form}')"
        x["scale"] = {"paddingInner": 0.15}
        colour = {"field": "series", "type": "nominal", "legend": None}
        colour["scale"] = {"domain": list(series), "range": list(SERIES[: len(series)])}
        encoding = {"x": x, "y": {**_count(), "stack": True}, "color": colour, "order": {"field": "n"}}
        mark = {"type": "bar", "stroke": "var(--card)", "strokeWidth": 1}
        return {"data": {"values": values}, "height": 240, "mark": mark, "encoding": encoding}

    return Chart(draw)


def heat_map(rows: Sequence[str], columns: Sequence[str], shades: Mapping[tuple[str, str], int]) -> Chart:
    """A field for each row and column, in one of the six `SHADES`."""
    values = [{"row": row, "column": column, "shade": shade} for (row, column), shade in shades.items()]

    def draw(width: int) -> Spec:
        shown = columns[:: 3 if width == NARROW else 2]
        x: Spec = {"field": "column", "type": "nominal", "sort": list(columns), "title": None}
        x["axis"] = {"values": list(shown), "labelAngle": 0, "ticks": False, "domain": False, "labelOverlap": False}
        y: Spec = {"field": "row", "type": "nominal", "sort": list(rows), "title": None}
        y["axis"] = {"ticks": False, "domain": False, "minExtent": 34}
        colour = {"field": "shade", "type": "nominal", "legend": None}
        colour["scale"] = {"domain": list(range(len(SHADES))), "range": list(SHADES)}
        mark = {"type": "rect", "stroke": "var(--card)", "strokeWidth": 1}
        encoding = {"x": x, "y": y, "color": colour}
        return {"data": {"values": values}, "height": 27 * len(rows), "mark": mark, "encoding": encoding}

    return Chart(draw)


def _time(width: int, days: Sequence[date]) -> Spec:
    """The axis of time: as many dates as can be read beside each other."""
    axis: Spec = {"grid": False, "labelAngle": 0, "labelOverlap": True, "labelPadding": 6}
    axis["format"], room = _date_format(days)
    axis["tickCount"] = width // room
    if len(days) <= axis["tickCount"]:
        axis["values"] = [day.isoformat() for day in days]
    return {"field": "day", "type": "temporal", "title": None, "scale": {"type": "utc"}, "axis": axis}


def _date_format(days: Sequence[date]) -> tuple[str, int]:
    """How dates are written at an axis, and how many pixels one takes."""
    return ("%d %b %Y", 110) if days and days[0].year != days[-1].year else ("%d %b", 75)


def _count() -> Spec:
    axis: Spec = {"tickCount": 5, "tickMinStep": 1, "domain": False, "ticks": False, "labelPadding": 6, "minExtent": 34}
    axis["labelExpr"] = "datum.value < 1000 ? format(datum.value, ',') : format(datum.value, '~s')"
    return {"field": "value", "type": "quantitative", "title": None, "axis": axis, "scale": {"zero": True}}


def _complete(spec: Spec, width: int) -> Spec:
    """The specification with its width, which includes the labels, and what all charts share."""
    text = {"labelColor": _FAINT, "labelFontSize": 12, "gridColor": _GRID, "domainColor": _GRID, "tickColor": _GRID}
    config = {"font": _FONT, "background": None, "aria": False, "view": {"stroke": None}, "axis": text}
    fit = {"type": "fit-x", "contains": "padding"}
    return {**spec, "width": width, "autosize": fit, "padding": 4, "config": config}
