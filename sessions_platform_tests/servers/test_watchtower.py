"""A running deployment in trouble: each alert, the platform's own and those of Prometheus' rules, fires once and
recovers once, and nothing that is logged, told or measured has a value of a row or a secret.

Hours pass by setting moments in the databases back; of the rules only `for` is shortened, to nothing. With
`SESSIONS_TEST_WATCH=panels.png` each state is held for half a minute, rules wait for ten seconds, and what each panel
shows of all that is drawn into that file: this takes ten minutes or more.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sessions_platform_tests.servers.panels import draw
from sessions_platform_tests.servers.watchtower import SECRET, Watchtower, watchtower

pytestmark = pytest.mark.servers

CANARY, TOKEN = "canary-user", "T0K3N"
PICTURE = os.environ.get("SESSIONS_TEST_WATCH", "")
STREAM: dict[str, Any] = {"targets": {"redis": {"url": {"env": "REDIS_URL"}, "prefix": "shop"}}}
GOOD = [("ann", minute, f"good-{minute}") for minute in range(150)]
BAD = [("", minute, f"{CANARY}-{minute}") for minute in range(150)]

_READ_LONG_AGO = "update sessions_platform.landing_files set read_at = read_at - interval '27 hours'"
_PUBLISHED_LONG_AGO = "update sessions_platform.landing_versions set published_at = published_at - interval '7 hours'"
_LOADED_LONG_AGO = "update sessions_platform.session_versions set loaded_at = loaded_at - interval '7 hours'"
_TICKED_LONG_AGO = """
update job_ticks set timestamp = timestamp - interval '1 hour' where status <> 'FAILURE';
update instigators set instigator_body = jsonb_set(instigator_body::jsonb,
    '{job_specific_data,last_sensor_start_timestamp}', '0.0')::text"""
_BEAT_LONG_AGO = "update daemon_heartbeats set timestamp = timestamp - interval '1 hour'"


def test_each_alert_fires_once_and_recovers_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with watchtower(tmp_path, monkeypatch, STREAM, held_seconds=30 if PICTURE else 0) as tower:
        tower.until(set(), set())
        a_run_and_a_check_fail(tower)
        the_queue_grows_and_readers_wait(tower)
        a_target_is_down(tower)
        a_sensor_raises(tower)
        the_daemon_dies(tower)
        metrics_and_databases_are_away(tower)
        tower.until(set(), set())
        for channel in tower.channels:
            told = tower.told(channel)
            assert set(told.values()) == {1}
            assert {key for key, status in told if status == "firing"} == {
                key for key, status in told if status != "firing"
            }
        assert set(tower.prometheus.alerts().values()) == {1}
        if PICTURE:
            seen = {"panels": draw(tower.prometheus, Path(PICTURE)), "rules": tower.prometheus.alerts()}
            Path(PICTURE).with_suffix(".json").write_text(json.dumps(seen, indent=1))
        everything = "".join([tower.everything(), *capfd.readouterr()])
        parts = ("SensorDaemon", "Metrics are served", "STEP_FAILURE", "channel hook", "automation_on", "SessionsStale")
        assert {word for word in parts if word not in everything} == set()
        assert {word for word in (CANARY, SECRET, TOKEN) if word in everything} == set()


def a_run_and_a_check_fail(tower: Watchtower) -> None:
    tower.home.write_stream(**STREAM, rejected={"fail_above": "1%"})
    tower.home.ingest(1, "b", *GOOD, *BAD)
    tower.command("run", tower.home.name)
    tower.until({"run_failed", "check_failed"}, {"SessionsRunFailed", "SessionsCheckFailed"})
    assert f"ingest_events of {tower.home.name} failed" in tower.prometheus.everything()


def the_queue_grows_and_readers_wait(tower: Watchtower) -> None:
    tower.home.write_stream(**STREAM, rejected={"warn_above": "99%"})
    tower.run("ingest_events")
    tower.until({"queue_grew"}, {"SessionsQueueGrew"})
    tower.set_back(_READ_LONG_AGO)
    tower.set_back(_PUBLISHED_LONG_AGO)
    tower.until(
        {"queue_grew", "nothing_landed", "sessions_stale"},
        {"SessionsQueueGrew", "SessionsNothingLanded", "SessionsStale"},
    )
    tower.home.ingest(1, "b", *GOOD)  # the file is corrected
    tower.run("ingest_events", "refresh_sessions")
    tower.until(set(), {"SessionsDeliveriesBehind"})


def a_target_is_down(tower: Watchtower) -> None:
    tower.redis.kill()
    tower.run("deliver_redis")
    tower.set_back(_LOADED_LONG_AGO)
    tower.until({"run_failed", "delivery_behind"}, {"SessionsDeliveriesBehind", "SessionsRunFailed"})
    tower.redis.start()
    tower.run("deliver_redis")
    tower.until(set(), set())


def a_sensor_raises(tower: Watchtower) -> None:
    tower.switch_on("new_files")
    tower.until_ticked("SKIPPED")
    file = tower.home.folder / "streams" / "web.yaml"
    text = file.read_text()
    file.write_text(f"name: {tower.home.name}\n")
    tower.until_ticked("FAILURE")
    tower.set_back(_TICKED_LONG_AGO)
    tower.until({"stream_broken", "sensor_silent"}, {"SessionsStreamBroken", "SessionsSensorSilent"})
    file.write_text(text)
    tower.until(set(), set())


def the_daemon_dies(tower: Watchtower) -> None:
    tower.daemon.kill()
    tower.set_back(_BEAT_LONG_AGO)
    tower.until({"daemon_dead"}, {"SessionsDaemonDead"})
    tower.daemon.start()
    tower.until(set(), set())


def metrics_and_databases_are_away(tower: Watchtower) -> None:
    tower.metrics.kill()
    tower.until(set(), {"SessionsMetricsDown"})
    tower.metrics.start()
    tower.until(set(), set())
    tower.dagster.kill()
    tower.until({"dagster_unreachable"}, {"SessionsDagsterDown"})
    tower.dagster.start()
    tower.until(set(), set())
    tower.warehouse.kill()
    tower.until(set(), {"SessionsLedgerDown"})
    assert tower.codes[-1] == 2  # without the ledger nobody can be told once
    tower.warehouse.start()
    tower.until(set(), set())
