"""The picture of a model's calibration: how often what was predicted came true, beside how often it should have.

Not here: what is measured (`transforms/score_training.py`), and how a chart is drawn (`charts.py`).
"""

from collections.abc import Sequence

from sessions_platform.operations.report.charts import MARK, SECOND, Chart, Spec
from sessions_platform.transforms.score_training import CalibrationRange


def calibration(ranges: Sequence[CalibrationRange]) -> Chart:
    """A point for each range of scores, joined by a line, beside the dashed diagonal of a perfect calibration."""
    values = [{"predicted": each.predicted, "observed": each.observed} for each in ranges]
    most = max((max(each.predicted, each.observed) for each in ranges), default=1)

    def axis(field: str) -> Spec:
        return {"field": field, "type": "quantitative", "title": field, "scale": {"domain": [0, most], "nice": True}}

    def draw(_: int) -> Spec:
        place = {"x": axis("predicted"), "y": axis("observed")}
        dashed = {"type": "line", "color": SECOND, "strokeDash": [6, 3]}
        mark = {"type": "line", "color": MARK, "strokeWidth": 2, "point": {"color": MARK, "size": 50}}
        ends = {"values": [{"predicted": 0, "observed": 0}, {"predicted": most, "observed": most}]}
        return {
            "height": 320,
            "layer": [
                {"data": ends, "mark": dashed, "encoding": place},
                {"data": {"values": values}, "mark": mark, "encoding": place},
            ],
        }

    return Chart(draw)
