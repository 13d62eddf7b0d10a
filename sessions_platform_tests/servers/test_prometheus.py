"""Prometheus itself, from Debian: it accepts the names and the form of the metrics, and scrapes them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest, start_http_server

from sessions_platform.operations.dashboards import DASHBOARDS, RULES, files
from sessions_platform.orchestration.metrics import registry
from sessions_platform.orchestration.runs import runner
from sessions_platform_tests.orchestration.conftest import Home, home
from sessions_platform_tests.orchestration.dev_process import eventually
from sessions_platform_tests.servers.installs import from_debian
from sessions_platform_tests.servers.prometheus import Prometheus
from sessions_platform_tests.servers.running import free_port

pytestmark = pytest.mark.servers
__all__ = ["home"]

PATIENCE_SECONDS = 60


@pytest.fixture
def loaded(home: Home) -> Home:
    home.ingest(1, "a", ("ann", 0, "e1"), ("", 1, "e2"))
    with runner(home.settings) as runs:
        runs.run(f"{home.name}__materialize_all", ("2026-01-01", "2026-01-01"))
    return home


@pytest.fixture
def prometheus(loaded: Home, tmp_path: Path) -> Iterator[Prometheus]:
    port, folder = free_port(), tmp_path / "prometheus"
    folder.mkdir()
    server, thread = start_http_server(port, "127.0.0.1", registry(loaded.settings, pytest.fail))
    started = Prometheus(folder, port)
    with started.server:
        yield started
    server.shutdown()
    server.server_close()
    thread.join()


def test_promtool_has_nothing_to_say_about_the_metrics(loaded: Home) -> None:
    promtool = from_debian("prometheus", "promtool")
    text = generate_latest(registry(loaded.settings, pytest.fail))
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_prometheus_scrapes_what_the_ledger_says(prometheus: Prometheus, loaded: Home) -> None:
    expression = f'sessions_platform_rows{{stream="{loaded.name}"}}'
    found = eventually(lambda: prometheus.query(expression), "a scrape", PATIENCE_SECONDS)
    rows = {series["metric"]["outcome"]: series["value"][1] for series in found}
    assert rows == {"accepted": "1", "rejected": "1", "duplicate": "0", "skipped": "0"}
    assert prometheus.query("up")[0]["value"][1] == "1"
    # Prometheus calls a label `exported_…` that is the name of one of its own
    assert (
        prometheus.query('count by (exported_job, exported_instance) ({exported_job!=""} or {exported_instance!=""})')
        == []
    )


def series(name: str, labels: str, values: str) -> dict[str, str]:
    return {"series": f"sessions_platform_{name}{{{labels}}}", "values": values}


WEB, DOWN = 'stream="web"', "0+0x20 1+0x30"
# By rule: its series, one sample a minute from the time 0 on, a minute at which it fires, and one at which it is over.
TROUBLE: dict[str, tuple[list[dict[str, str]], int, int]] = {
    "SessionsMetricsDown": ([{"series": 'up{job="sessions-platform"}', "values": DOWN}], 10, 30),
    "SessionsLedgerDown": ([series("ledger_up", "", DOWN)], 10, 30),
    "SessionsDagsterDown": ([series("dagster_up", "", DOWN)], 18, 30),
    "SessionsStreamBroken": ([series("stream_usable", WEB, DOWN)], 10, 30),
    "SessionsNothingLanded": ([series("read_timestamp_seconds", WEB, "0+0x1700 102000+0x300")], 1600, 1800),
    "SessionsStale": ([series("stale_since_timestamp_seconds", WEB, "0+0x500 _x200")], 400, 600),
    "SessionsQueueGrew": ([series("rows", f'{WEB}, outcome="rejected"', "0+0x10 500+0x3000")], 30, 1600),
    "SessionsRunFailed": (
        [
            series("run_ended_timestamp_seconds", f'{WEB}, dagster_job="ingest", status="failure"', "600+0x60"),
            series("run_ended_timestamp_seconds", f'{WEB}, dagster_job="ingest", status="success"', "_x20 1200+0x40"),
        ],
        10,
        30,
    ),
    "SessionsCheckFailed": ([series("check_passed", f'{WEB}, asset="events", check="a"', DOWN)], 10, 30),
    "SessionsSensorSilent": (
        [
            series("automation_ticked_timestamp_seconds", 'kind="sensor", name="a"', "0+0x20 1200+0x30"),
            series("automation_on", 'kind="sensor", name="a"', "1+0x60"),
        ],
        19,
        25,
    ),
    "SessionsDaemonDead": ([series("daemon_heartbeat_timestamp_seconds", 'daemon="a"', "0+0x20 1200+0x30")], 10, 23),
    "SessionsDeliveriesBehind": ([series("deliveries_behind", f'{WEB}, target="b"', "3+0x400 0+0x100")], 370, 450),
}


def test_each_rule_fires_while_there_is_trouble_and_is_over_after_it(tmp_path: Path) -> None:
    assert TROUBLE.keys() == {rule.name for rule in RULES}
    (tmp_path / "rules.yml").write_text(files()["rules.yml"])
    tests = []
    for name, (given, fires, is_over) in TROUBLE.items():
        firing = f'count(ALERTS{{alertname="{name}", alertstate="firing"}})'
        expected = [
            {"expr": firing, "eval_time": f"{fires}m", "exp_samples": [{"labels": "{}", "value": 1}]},
            {"expr": firing, "eval_time": f"{is_over}m", "exp_samples": []},
        ]
        tests.append({"interval": "1m", "input_series": given, "promql_expr_test": expected})
    (tmp_path / "tests.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": tests}))
    promtool = from_debian("prometheus", "promtool")
    for command in (["check", "rules", "rules.yml"], ["test", "rules", "tests.yml"]):
        done = subprocess.run([promtool, *command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_answers_the_query_of_every_panel(prometheus: Prometheus, loaded: Home) -> None:
    panels = [panel for _, shown in DASHBOARDS.values() for panel in shown]
    eventually(lambda: prometheus.query("sessions_platform_rows"), "a scrape", PATIENCE_SECONDS)
    answers = {panel.title: prometheus.query(panel.expression.replace("$stream", loaded.name)) for panel in panels}
    # no target, nothing that is stale, failed or switched on, and less than a day of samples
    assert {title for title, found in answers.items() if not found} <= {
        "How long readers miss a change",
        "Partitions that other warehouses lack",
        "Rows rejected within a day",
        "Since a daemon was alive",
        "Since a sensor was evaluated",
        "Jobs that failed last",
        "Checks that fail",
        "Steps that failed or were tried again",
    }
