"""Dashboards and rules ask for metrics that there are, and by labels that these have."""

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from sessions_platform.cli import app
from sessions_platform.operations.dashboards import DASHBOARDS, RULES
from sessions_platform.orchestration.metrics import described

LABELS = {metric.full_name: set(labels) for metric, labels in described()}
EXPRESSIONS = [
    *((panel.title, panel.expression) for _, panels in DASHBOARDS.values() for panel in panels),
    *((rule.name, rule.expression) for rule in RULES),
]


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS, ids=[title for title, _ in EXPRESSIONS])
def test_an_expression_asks_for_metrics_and_labels_that_there_are(title: str, expression: str) -> None:
    asked = re.findall(r"(sessions_platform_[a-z_]+)(?:\{([^}]*)\})?", expression)
    assert [name for name, _ in asked if name not in LABELS] == []
    for name, matchers in asked:
        assert set(re.findall(r"(\w+)=", matchers)) <= LABELS[name], title


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_text_of_a_rule_has_labels_that_its_metrics_have(rule: object) -> None:
    text = repr(rule)
    named = set(re.findall(r"\$labels\.(\w+)", text))
    assert named <= set().union(*(LABELS.get(name, set()) for name in re.findall(r"sessions_platform_[a-z_]+", text)))


def test_the_command_writes_what_grafana_and_prometheus_load(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["dashboards", str(tmp_path / "new")]).exit_code == 0
    for name, (title, panels) in DASHBOARDS.items():
        written = json.loads((tmp_path / "new" / f"{name}.json").read_text())
        assert (written["title"], len(written["panels"])) == (title, len(panels))
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in written["panels"]]
        assert len(set(places)) == len(panels)
    rules = yaml.safe_load((tmp_path / "new" / "rules.yml").read_text())
    assert len(rules["groups"][0]["rules"]) == len(RULES)
