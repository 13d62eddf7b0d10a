"""Pictures of the dashboards' panels: what Prometheus answers to each panel's query, by vl-convert.

Grafana draws them otherwise; what is seen here is whether the queries give the lines that a panel promises.
"""

import math
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vl_convert

from sessions_platform.operations.dashboards import DASHBOARDS, Panel
from sessions_platform_tests.servers.prometheus import Prometheus

_VERSION, _COLUMNS, _MOST_SERIES = "5.21", 4, 8
_AXIS = {"labelFontSize": 9, "titleFontSize": 9, "grid": True, "gridOpacity": 0.4, "tickCount": 4}


def draw(prometheus: Prometheus, to: Path) -> dict[str, int]:
    """Draw all panels into one PNG; by title, how many series each has had."""
    answers = {panel: _series(prometheus, panel) for _, panels in DASHBOARDS.values() for panel in panels}
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": "white",
        "columns": _COLUMNS,
        "spacing": 18,
        "concat": [_chart(panel, series) for panel, series in answers.items()],
        "resolve": {"scale": {"color": "independent"}},
        "config": {"view": {"stroke": "#ddd"}, "title": {"fontSize": 11, "anchor": "start"}},
    }
    to.write_bytes(vl_convert.vegalite_to_png(spec, _VERSION, scale=1))
    return {panel.title: len(series) for panel, series in answers.items()}


def _series(prometheus: Prometheus, panel: Panel) -> dict[str, list[tuple[float, float]]]:
    """The points of each series, by its legend."""
    found = prometheus.history(panel.expression.replace("$stream", ".*"))
    return {
        re.sub(r"\{\{(\w+)\}\}", lambda name, of=each["metric"]: of.get(name[1], ""), panel.legend): [
            (float(at), float(value)) for at, value in each["values"]
        ]
        for each in found
    }


def _chart(panel: Panel, series: dict[str, list[tuple[float, float]]]) -> dict[str, Any]:
    points = [
        {"at": datetime.fromtimestamp(at, UTC).isoformat(), "value": value, "series": legend[-40:]}
        for legend, values in series.items()
        for at, value in values
        if math.isfinite(value)
    ]
    unit = {"s": "seconds", "percentunit": "share"}.get(panel.unit, panel.unit.replace("short", ""))
    legend = {
        "title": None,
        "orient": "bottom",
        "columns": 2,
        "labelFontSize": 8,
        "labelLimit": 200,
        "symbolLimit": _MOST_SERIES,
    }
    return {
        "title": panel.title,
        "width": 250,
        "height": 110,
        "data": {"values": points},
        "mark": {"type": "line", "strokeWidth": 1.5},
        "encoding": {
            "x": {"field": "at", "type": "temporal", "title": None, "axis": {**_AXIS, "format": "%H:%M:%S"}},
            "y": {"field": "value", "type": "quantitative", "title": unit or None, "axis": _AXIS},
            "color": {"field": "series", "type": "nominal", "legend": legend},
        },
    }
