"""What the ledger says fires for trouble that goes on, and not for what only looks like it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sessions_platform.contracts.stream_file import ConfigProblem
from sessions_platform.contracts.stream_folder import BrokenStream, Streams
from sessions_platform.operations.alerts import Kind, ledger_alerts
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import AlertSettings
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, put, refresh
from sessions_platform_tests.streams import DAY_ONE

DAY = "2026-01-01"
BROKEN = b"{broken"
MOMENT = timedelta(microseconds=1)
LIMITS = replace(AlertSettings(ui_url=""), rejected_rows=1, stale=MOMENT, nothing_landed=MOMENT)
TARGETS: dict[str, Any] = {"copy": {"type": "parquet", "path": "/nowhere"}}

_READ_TWO_DAYS_AGO = (
    "update sessions_platform.landing_files set read_at = read_at - interval '2 days' where stream = %s"
)
_PUBLISHED_TWO_DAYS_AGO = """
update sessions_platform.landing_versions set published_at = published_at - interval '2 days' where stream = %s"""
_DELIVERED_BEFORE = """
insert into sessions_platform.deliveries (stream, target, session_partition, version, digest, run_id)
select stream, 'copy', session_partition, snapshot - 1, 'a digest', 'a run'
from sessions_platform.session_versions where stream = %s and is_current"""


def broken(context: StreamContext) -> Streams:
    problem = ConfigProblem(Path("web.yaml"), None, "columns", "a reason", "a fix")
    return Streams({}, {context.stream.name: BrokenStream(context.stream.name, (problem,))})


def with_a_target(context: StreamContext) -> Streams:
    return Streams({context.stream.name: context.stream.model_copy(update={"targets": TARGETS})}, {})


def subjects(context: StreamContext, streams: Streams | None = None) -> Mapping[Kind, str]:
    """The kinds that fire, with what each is about."""
    streams = streams or Streams({context.stream.name: context.stream}, {})
    with context.database.transaction() as connection:
        return {alert.kind: alert.subject for alert in ledger_alerts(connection, streams, LIMITS, lambda _: "")}


def execute(context: StreamContext, *statements: Any) -> None:
    with context.database.transaction() as connection:
        for statement in statements:
            connection.execute(statement, [context.stream.name])


def ingest(context: StreamContext, *files: tuple[str, list[bytes]], partition: str = DAY) -> None:
    for uri, lines in files:
        put(context, uri, lines, partition)
    ingest_and_publish(context, partition)


GOOD = line("ann", DAY_ONE, "e1")


def test_trouble_of_a_stream_goes_on_while_its_file_is_broken(context: StreamContext) -> None:
    ingest(context, ("a", [GOOD, BROKEN]))
    refresh(context)
    execute(context, _DELIVERED_BEFORE)
    ingest(context, ("b", [line("bob", DAY_ONE, "e2")]))
    trouble = {Kind.nothing_landed, Kind.queue_grew, Kind.sessions_stale, Kind.delivery_behind}
    assert subjects(context, with_a_target(context)).keys() == trouble
    assert subjects(context, broken(context)).keys() == {Kind.stream_broken, *trouble}


def test_a_target_that_the_file_no_longer_has_is_not_behind(context: StreamContext) -> None:
    ingest(context, ("a", [GOOD]))
    refresh(context)
    execute(context, _DELIVERED_BEFORE)
    assert subjects(context, with_a_target(context))[Kind.delivery_behind] == "copy"
    assert Kind.delivery_behind not in subjects(context)


def test_rows_that_a_rebuild_rejects_again_are_no_growth_and_those_after_it_are(context: StreamContext) -> None:
    ingest(context, ("a", [GOOD, BROKEN]))
    refresh(context)
    assert Kind.queue_grew in subjects(context)
    execute(context, _READ_TWO_DAYS_AGO, _PUBLISHED_TWO_DAYS_AGO)
    assert Kind.queue_grew not in subjects(context)
    rebuild(context, RUN, lambda _: None)
    assert Kind.queue_grew not in subjects(context)
    ingest(context, ("b", [BROKEN]))
    assert Kind.queue_grew in subjects(context)


def test_rows_of_a_new_landing_partition_are_growth_also_after_a_rebuild(context: StreamContext) -> None:
    ingest(context, ("a", [GOOD]))
    execute(context, _READ_TWO_DAYS_AGO, _PUBLISHED_TWO_DAYS_AGO)
    ingest(context, ("b", [BROKEN]), partition="2026-01-02")
    rebuild(context, RUN, lambda _: None)
    assert Kind.queue_grew in subjects(context)
