"""Grafana's dashboards and Prometheus' alert rules, made from one list of panels and one of rules.

Here belong which questions they ask, and their form: JSON that Grafana imports, and a file that Prometheus loads. Not
here: the metrics (`orchestration/metrics.py`), and alerts that need no Prometheus (`alerts.py`).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import yaml

from sessions_platform.settings import AlertSettings
from sessions_platform.storage.metric_query import PREFIX

_P = PREFIX
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_OF_STREAM = '{stream=~"$stream"}'
# The jobs that failed last, with when: those that never succeeded, too.
_FAILED_LAST = (
    f'{_P}run_ended_timestamp_seconds{{status="failure"}} > ignoring (status) '
    f'({_P}run_ended_timestamp_seconds{{status="success"}} or ignoring (status) '
    f'0 * {_P}run_ended_timestamp_seconds{{status="failure"}})'
)
_WIDTH, _HEIGHT = 12, 8  # of Grafana's 24 columns


@dataclass(frozen=True)
class Panel:
    """A picture: its title, what it shows, the expression, the legend of a series, and the unit as Grafana names it."""

    title: str
    description: str
    expression: str
    legend: str
    unit: str = "short"
    kind: str = "timeseries"


@dataclass(frozen=True)
class Rule:
    """An alert of Prometheus: when it fires, after which time, and what to do."""

    name: str
    expression: str
    after: str
    severity: str
    summary: str
    fix: str


STREAMS = (
    Panel(
        "How long readers miss a change",
        "Age of the oldest published change that is not loaded.",
        f"time() - {_P}stale_since_timestamp_seconds{_OF_STREAM}",
        "{{stream}}",
        "s",
    ),
    Panel(
        "Stale session partitions",
        "By changed events, or another session rule.",
        f"{_P}stale_session_partitions{_OF_STREAM}",
        "{{stream}}",
    ),
    Panel(
        "Since something was read",
        "Of the source, by any run.",
        f"time() - {_P}read_timestamp_seconds{_OF_STREAM}",
        "{{stream}}",
        "s",
    ),
    Panel(
        "Age of the newest event",
        "How far the accepted events lag behind now.",
        f"time() - {_P}newest_event_timestamp_seconds{_OF_STREAM}",
        "{{stream}}",
        "s",
    ),
    Panel(
        "Rows by outcome",
        "Of all published landing partitions.",
        f"sum by (stream, outcome) ({_P}rows{_OF_STREAM})",
        "{{stream}} {{outcome}}",
    ),
    Panel(
        "Share of rejected rows",
        "Of all raw rows.",
        f'sum by (stream) ({_P}rows{{stream=~"$stream", outcome="rejected"}}) / sum by (stream) ({_P}rows{_OF_STREAM})',
        "{{stream}}",
        "percentunit",
    ),
    Panel(
        "Rejected rows by reason",
        "A row with several reasons counts for each.",
        f"sum by (stream, reason) ({_P}rejected_rows{_OF_STREAM})",
        "{{stream}} {{reason}}",
    ),
    Panel(
        "Rows rejected within a day",
        "More than a day ago; what is repaired counts against it.",
        f'delta({_P}rows{{stream=~"$stream", outcome="rejected"}}[1d])',
        "{{stream}}",
    ),
    Panel("Events in sessions", "Of the loaded session partitions.", f"{_P}session_events{_OF_STREAM}", "{{stream}}"),
    Panel(
        "Size of the lake",
        "Of raw and sessionized events.",
        f"sum by (stream, asset) ({_P}lake_bytes{_OF_STREAM})",
        "{{stream}} {{asset}}",
        "bytes",
    ),
    Panel(
        "Partitions that other warehouses lack",
        "By target.",
        f"{_P}deliveries_behind{_OF_STREAM}",
        "{{stream}} {{target}}",
    ),
    Panel(
        "Waiting to be published or validated again",
        "Landing partitions that were read, or of another contract.",
        f"{_P}unpublished_landing_partitions{_OF_STREAM} + on (stream) "
        f"{_P}landing_partitions_of_other_contract{_OF_STREAM}",
        "{{stream}}",
    ),
)
PLATFORM = (
    Panel(
        "Can be read",
        "1 where ledger, Dagster's storage and streams' files answer.",
        f'{{__name__=~"{_P}(ledger|dagster|streams)_up"}}',
        "{{__name__}}",
    ),
    Panel(
        "Since a daemon was alive",
        "Of each kind.",
        f"time() - {_P}daemon_heartbeat_timestamp_seconds",
        "{{daemon}}",
        "s",
    ),
    Panel(
        "Since a sensor was evaluated",
        "Without an error; of those that are on.",
        f"time() - {_P}automation_ticked_timestamp_seconds and on (name, kind) {_P}automation_on == 1",
        "{{name}}",
        "s",
    ),
    Panel("Runs by status", "That Dagster's storage has.", f"sum by (status) ({_P}runs{_OF_STREAM})", "{{status}}"),
    Panel(
        "Jobs that failed last",
        "Seconds since the failure, where no success came after it.",
        f"time() - ({_FAILED_LAST})",
        "{{stream}} {{dagster_job}}",
        "s",
    ),
    Panel(
        "Checks that fail",
        "1 while the last evaluation has failed.",
        f"1 - ({_P}check_passed{_OF_STREAM} == 0)",
        "{{stream}} {{asset}} {{check}}",
    ),
    Panel(
        "How long steps take", "The last success.", f"{_P}step_duration_seconds{_OF_STREAM}", "{{stream}} {{step}}", "s"
    ),
    Panel(
        "Steps that failed or were tried again",
        "In the runs that Dagster's storage has.",
        f"sum by (stream) ({_P}step_failures{_OF_STREAM}) + sum by (stream) ({_P}step_retries{_OF_STREAM})",
        "{{stream}}",
    ),
    Panel("Runs at work", "Whose process is alive.", f"{_P}active_runs", "runs"),
    Panel("How long a scrape takes", "To read all metrics.", f"{_P}scrape_duration_seconds", "seconds", "s"),
)
DASHBOARDS = {"streams": ("Sessions: streams", STREAMS), "platform": ("Sessions: platform", PLATFORM)}


def _seconds(limit: timedelta) -> int:
    return round(limit.total_seconds())


def alert_rules(limits: AlertSettings) -> tuple[Rule, ...]:
    """The rules, which fire by the same limits as the platform's own alerts."""
    unread, stale, silent = map(_seconds, (limits.nothing_landed, limits.stale, limits.sensor_silent))
    return (
        Rule("SessionsMetricsDown", 'up{job="sessions-platform"} == 0', "5m", "error",
             "Nothing answers at the address of sessions-platform metrics.", "Start it, and see its standard error."),
        Rule("SessionsLedgerDown", f"{_P}ledger_up == 0", "5m", "error",
             "The warehouse's ledger does not answer.", "See the standard error of sessions-platform metrics."),
        Rule("SessionsDagsterDown", f"{_P}dagster_up == 0", "15m", "error",
             "Dagster's storage does not answer.", "See the standard error of sessions-platform metrics."),
        Rule("SessionsStreamBroken", f"{_P}stream_usable == 0", "5m", "error",
             "The file of the stream {{ $labels.stream }} has mistakes.",
             "sessions-platform check {{ $labels.stream }}"),
        Rule("SessionsNothingLanded", f"time() - {_P}read_timestamp_seconds > {unread}", "5m", "warning",
             "Nothing was read of {{ $labels.stream }} for {{ $value | humanizeDuration }}.",
             "See whether files arrive, and whether its sensor is on."),
        Rule("SessionsStale", f"time() - {_P}stale_since_timestamp_seconds > {stale}", "5m", "warning",
             "Sessions of {{ $labels.stream }} lack changes for {{ $value | humanizeDuration }}.",
             "sessions-platform run {{ $labels.stream }}"),
        Rule("SessionsQueueGrew", f'delta({_P}rows{{outcome="rejected"}}[1d]) >= {limits.rejected_rows}', "5m",
             "warning",
             "{{ $value | humanize }} rows of {{ $labels.stream }} more are rejected than a day ago.",
             "sessions-platform rejected list {{ $labels.stream }}"),
        Rule("SessionsRunFailed", _FAILED_LAST, "1m", "error",
             "The last run of {{ $labels.dagster_job }} of {{ $labels.stream }} failed.",
             "See its page in Dagster's UI."),
        Rule("SessionsCheckFailed", f"{_P}check_passed == 0", "1m", "error",
             "The check {{ $labels.check }} of {{ $labels.stream }} {{ $labels.asset }} failed.",
             "See its metadata in Dagster's UI."),
        Rule("SessionsSensorSilent",
             f'time() - {_P}automation_ticked_timestamp_seconds{{kind="sensor"}} > {silent} and '
             f"on (name, kind) {_P}automation_on == 1", "1m", "error",
             "The sensor {{ $labels.name }} was last evaluated {{ $value | humanizeDuration }} ago.",
             "See its last tick in Dagster's UI."),
        Rule("SessionsDaemonDead", f"time() - max({_P}daemon_heartbeat_timestamp_seconds) > 300", "1m", "error",
             "No daemon of Dagster is alive.", "Start dagster-daemon run."),
        Rule("SessionsDeliveriesBehind", f"{_P}deliveries_behind > 0", f"{stale}s", "warning",
             "{{ $labels.target }} lacks {{ $value }} session partitions of {{ $labels.stream }}.",
             "See the last delivery's run."),
    )  # fmt: skip


RULES = alert_rules(AlertSettings())


def dashboard(name: str) -> dict[str, Any]:
    """A dashboard as Grafana imports it; the reader chooses data source and streams."""
    title, panels = DASHBOARDS[name]
    return {
        "uid": f"sessions-{name}",
        "title": title,
        "schemaVersion": 39,
        "editable": True,
        "time": {"from": "now-7d", "to": "now"},
        "refresh": "1m",
        "templating": {"list": list(_variables())},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}
    query = f"label_values({_P}rows, stream)"
    yield {
        "name": "stream",
        "type": "query",
        "label": "Stream",
        "datasource": _SOURCE,
        "query": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"value": "$__all"},
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    place = {"x": _WIDTH * (number % 2), "y": _HEIGHT * (number // 2), "w": _WIDTH, "h": _HEIGHT}
    target = {"refId": "A", "datasource": _SOURCE, "expr": panel.expression, "legendFormat": panel.legend}
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [target],
    }


def rules(stated: Sequence[Rule] = RULES) -> dict[str, Any]:
    """The rules as Prometheus loads them."""
    return {"groups": [{"name": "sessions-platform", "rules": [_rule(rule) for rule in stated]}]}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "alert": rule.name,
        "expr": rule.expression,
        "for": rule.after,
        "labels": {"severity": rule.severity},
        "annotations": {"summary": rule.summary, "fix": rule.fix},
    }


def files(limits: AlertSettings | None = None) -> dict[str, str]:
    """What is installed, by file name: two dashboards for Grafana, and `rules.yml` for Prometheus.

    Args:
        limits: when rules fire that a limit decides; the defaults where there are none.
    """
    made = {f"{name}.json": json.dumps(dashboard(name), indent=2) + "\n" for name in DASHBOARDS}
    stated = RULES if limits is None else alert_rules(limits)
    return {**made, "rules.yml": yaml.safe_dump(rules(stated), sort_keys=False, width=120)}
