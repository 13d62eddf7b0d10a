"""Through a Connect server, Sail: the engine spark stores what polars and the reference store, whatever goes wrong."""

import os
import secrets
import select
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.engines import spark, spark_tasks
from sessions_platform.engines.registry import ENGINES
from sessions_platform.engines.spark_session import open_session
from sessions_platform.errors import UserError
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.operations.clean_up import clean_up
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.sessionize import sessionize_again, sessionize_partitions
from sessions_platform.settings import Settings
from sessions_platform.storage.lake.errors import DamagedFileError
from sessions_platform_tests.contexts import line
from sessions_platform_tests.engines.reference_engine import ReferenceEngine
from sessions_platform_tests.engines.test_engines import DAYS, stored
from sessions_platform_tests.exactness.comparison import Environment
from sessions_platform_tests.exactness.machine import ExactInterleavings, ExactSessionsOfPeople, run_machine
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, load, put, refresh, stale
from sessions_platform_tests.servers.running import free_port
from sessions_platform_tests.spark.planted import Twice, planted
from sessions_platform_tests.spark.samples import (
    AGGREGATES,
    COLUMNS,
    IDENTITY,
    RULES,
    by_polars,
    fill,
    parts_left,
    require_same,
)
from sessions_platform_tests.streams import DAY_ONE

pytestmark = pytest.mark.spark


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_rows_are_those_of_polars_and_of_the_reference_to_the_last_bit(
    open_context: Callable[..., StreamContext], sail: str, rule: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, "reference", ReferenceEngine)
    context = open_context(columns=COLUMNS, identity=IDENTITY, session={**rule, "columns": AGGREGATES})
    fill(context, seed=secrets.randbits(16))
    expected = by_polars(context)
    for engine in ("spark",) if context.stream.persons else ("reference", "spark"):  # the reference knows no persons
        other = replace(context, engine=engine, spark=sail)
        sessionize_partitions(other, DAYS, RUN)
        assert load(other, *DAYS).changed.changed == 0, engine
        assert stored(other) == expected, engine
        assert stale(other) == []
    assert parts_left(context) == []


@pytest.mark.parametrize("machine", [ExactInterleavings, ExactSessionsOfPeople])
def test_the_warehouse_equals_one_sort_of_all_events(
    environment: Environment, sail: str, machine: type[ExactInterleavings]
) -> None:
    """Any order of arrivals, changes, revalidations and overtaken writers, each refreshed by this engine."""
    on_spark = replace(environment, settings=replace(environment.settings, engine="spark", spark=sail))
    run_machine(on_spark, 1, 10, secrets.randbits(32), shrinks=False, machine=machine)


def test_a_task_that_runs_twice_doubles_nothing(
    open_context: Callable[..., StreamContext], sail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark, "Job", planted(Twice, tmp_path))
    context = open_context(columns=COLUMNS, session={"columns": AGGREGATES})
    fill(context)
    require_same(context, sail, by_polars(context))


def test_a_killed_driver_changes_nothing_and_the_next_run_does_all(
    open_context: Callable[..., StreamContext], settings: Settings, sail: str, tmp_path: Path
) -> None:
    context = open_context(columns=COLUMNS, session={"columns": AGGREGATES})
    fill(context)
    pipes = [tmp_path / name for name in ("written", "released")]
    for pipe in pipes:
        os.mkfifo(pipe)
    written, released = (os.open(pipe, os.O_RDWR) for pipe in pipes)
    arguments = [
        str(settings.home),
        context.stream.model_dump_json(by_alias=True, exclude_defaults=True),
        sail,
        str(tmp_path),
    ]
    driver = subprocess.Popen([sys.executable, "-m", "sessions_platform_tests.spark.driver", *arguments])
    while not select.select([written], [], [], 1)[0]:
        assert driver.poll() is None
    driver.kill()
    driver.wait()
    os.close(released)
    assert context.ledger.newest_sessions(DAYS) == []
    assert parts_left(context)
    refresh(replace(context, engine="spark", spark=sail))
    by_spark = stored(context)
    sessionize_partitions(context, DAYS, RUN)
    assert load(context, *DAYS).changed.changed == 0
    assert stored(context) == by_spark
    clean_up(context, now=datetime.now(UTC) + timedelta(days=365))
    assert parts_left(context) == []


def test_a_user_with_half_of_all_events_is_divided_by_partitions(
    open_context: Callable[..., StreamContext], sail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No executor has more of it than a partition and a silence on both sides; other users are in other groups."""
    context = open_context(columns=COLUMNS, session={"columns": AGGREGATES, "max_length": "12h"})
    for number, day in enumerate(DAYS):
        minutes = [DAY_ONE + timedelta(days=number, minutes=minute) for minute in range(1440)]
        heavy = [line("heavy", at, f"h{at}", amount=0.1) for at in minutes]
        others = [line(f"u{at.minute}", at, f"o{at}", amount=0.1) for at in minutes]
        put(context, f"{day}.ndjson", [*heavy, *others], day)
    ingest_and_publish(context, *DAYS)
    expected = by_polars(context)
    most = []
    taken = spark.SparkEngine._run

    def run(engine: spark.SparkEngine, job: spark_tasks.Job) -> list[Any]:
        rows = taken(engine, job)
        most.append(max(context.lake.rows(row.path) for row in rows))
        assert len(rows) > 4 * len(DAYS)
        return rows

    monkeypatch.setattr(spark.SparkEngine, "_run", run)
    small = replace(context, engine="spark", spark=sail, memory=MemoryBudget(1 << 20, 1 << 15))
    sessionize_partitions(small, DAYS, RUN)
    assert load(small, *DAYS).changed.changed == 0
    assert stored(small) == expected
    assert most[0] < 1440 * 1.5


def test_damage_that_an_executor_finds_is_told_as_it_is_here(context: StreamContext, sail: str) -> None:
    put(context, "1.ndjson", [line("ann", DAY_ONE, "a")], DAYS[0])
    ingest_and_publish(context, DAYS[0])
    snapshot = context.ledger.snapshot()
    (path,) = [landing.events_path for landing in snapshot.landings]
    file = Path(context.lake.filesystem.url(path))
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.chmod(0o600)
    file.write_bytes(content)
    with pytest.raises(DamagedFileError, match=path):
        sessionize_again(replace(context, engine="spark", spark=sail), DAYS[0], snapshot, RUN)


def test_a_server_that_does_not_answer_is_a_sentence() -> None:
    with pytest.raises(UserError, match=r"spark: nothing answers at sc://127\.0\.0\.1:\d+\. Fix: start the server"):
        open_session(f"sc://127.0.0.1:{free_port()}/;user_id=ann")


def test_a_missing_java_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(UserError, match=r"there is no Java, .* Fix: install a runtime of Java 17 or 21"):
        open_session("local[2]")
