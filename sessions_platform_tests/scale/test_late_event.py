"""The cost of an event that is three years late is that of the days that it affects."""

from collections.abc import Callable
from datetime import datetime, timedelta

import dagster as dg
import pytest

from sessions_platform.orchestration.jobs import session_ranges
from sessions_platform.orchestration.runs import Runner
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.storage.lake import parquet_writer
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform.transforms.reference_sessionizer import Event
from sessions_platform_tests.contexts import line
from sessions_platform_tests.lakes import folder_of
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.pipeline.steps import ingest_and_publish, put, refresh, stale, table
from sessions_platform_tests.scale.reach import bytes_read, only_readable
from sessions_platform_tests.scale.reading import events_in
from sessions_platform_tests.scale.tables import differing, known, stored
from sessions_platform_tests.scale.thousand_days import NAME, STREAM, ThousandDays, lines_by_landing_partition
from sessions_platform_tests.streams import stream

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("a thousand days")]

TODAY, THE_DAY_BEFORE = "2026-01-20", "2026-01-19"
THREE_YEARS = timedelta(days=3 * 365)
DAY = timedelta(days=1)
# Reading continues until the activity chains that cross a midnight have ended, which is soon after it.
MARGIN = timedelta(hours=2)


def test_an_event_three_years_late_is_processed_by_reading_only_its_days(
    days: ThousandDays, instance: dg.DagsterInstance, record_property: Callable[[str, object], None]
) -> None:
    context, runner = days.context, Runner(days.settings, instance)
    refresh(context)
    session = over_midnight(days.events(), datetime.fromisoformat(f"{TODAY}T00:00Z") - THREE_YEARS)
    user, end = session[-1]["user_id"], session[-1]["event_timestamp"]
    its_days = [f"{end - DAY:%Y-%m-%d}", f"{end:%Y-%m-%d}"]
    read_for_nothing(runner)  # a first run imports much
    in_any_case = read_for_nothing(runner)
    before = stored(context)
    days.ingest(TODAY, "late", [line(user, end + timedelta(minutes=10), "late")])

    with only_readable(folder_of(context.lake) / NAME, *around(session)) as reach:
        read = [bytes_read()]
        publication = runner.run(f"{NAME}__ingest_events", (TODAY, TODAY))
        read.append(bytes_read())
        assert stale(context) == its_days
        (refreshing,) = session_ranges(context)
        reloading = runner.run(f"{NAME}__refresh_sessions", refreshing)
        read.append(bytes_read())

    assert affected(instance, publication) == its_days
    for asset in ("sessionized_events", "sessions"):
        assert materialized(instance, asset, reloading) == its_days
    after = stored(context)
    assert differing(after, known(days.events())) == []
    assert {row[0] for row in differing(before, after)} == {reference.session_id(session)}
    changes = [row for row in table(context, "session_changes") if row["run_id"] == reloading]
    assert [(row["session_id"], row["change"]) for row in changes] == [(reference.session_id(session), "changed")]

    to_publish, to_refresh = read[1] - read[0] - in_any_case[0], read[2] - read[1] - in_any_case[1]
    figures = f"readable: {reach}; read to publish: {to_publish:,} bytes, to refresh: {to_refresh:,}"
    record_property("the lake", figures)
    assert reach.row_groups <= 20, figures
    assert max(reach.bytes, to_publish, to_refresh) < reach.all_bytes / 50, figures


def test_only_row_groups_of_the_affected_days_are_read_from_a_file_of_three_years(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_writer, "ROW_GROUP_ROWS", 500)
    context = StreamContext.open(stream(**{**STREAM, "name": "one_file"}), settings, MemorySource())
    lines = [text for of_day in lines_by_landing_partition().values() for text in of_day]
    put(context, "years", lines, THE_DAY_BEFORE)
    ingest_and_publish(context, THE_DAY_BEFORE)
    refresh(context)
    events = events_in(lines, THE_DAY_BEFORE, "years")
    session = over_midnight(events, datetime.fromisoformat(f"{TODAY}T00:00Z") - THREE_YEARS)
    late = [line(session[-1]["user_id"], session[-1]["event_timestamp"] + timedelta(minutes=10), "late")]
    put(context, "late", late, TODAY)

    with only_readable(folder_of(context.lake) / context.stream.name, *around(session)) as reach:
        ingest_and_publish(context, TODAY)
        assert len(stale(context)) == 2
        refresh(context)

    assert reach.row_groups < reach.all_row_groups / 100, str(reach)
    assert differing(stored(context), known([*events, *events_in(late, TODAY, "late")])) == []


def read_for_nothing(runner: Runner) -> tuple[int, int]:
    """The bytes that Dagster and Python read where there is nothing to ingest: to publish, and to refresh."""
    read = [bytes_read()]
    for job in ("ingest_events", "refresh_sessions"):
        runner.run(f"{NAME}__{job}", (THE_DAY_BEFORE, THE_DAY_BEFORE))
        read.append(bytes_read())
    return read[1] - read[0], read[2] - read[1]


def over_midnight(events: list[Event], since: datetime) -> list[Event]:
    """A session that ends on the day after it began."""
    sessions = [s for s in reference.sessions_of(events) if s[0]["event_timestamp"] > since]
    return next(s for s in sessions if s[0]["event_timestamp"].date() < s[-1]["event_timestamp"].date())


def around(session: list[Event]) -> tuple[datetime, datetime]:
    """The two days of a session over midnight, with a margin."""
    midnight = session[-1]["event_timestamp"].replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - DAY - MARGIN, midnight + DAY + MARGIN


def affected(instance: dg.DagsterInstance, run_id: str) -> object:
    """What a run says of the landing partition that it has published."""
    (materialization,) = materializations(instance, "events", run_id)
    return materialization.metadata["affected_session_partitions"].value


def materialized(instance: dg.DagsterInstance, asset: str, run_id: str) -> list[str]:
    return sorted(str(materialization.partition) for materialization in materializations(instance, asset, run_id))


def materializations(instance: dg.DagsterInstance, asset: str, run_id: str) -> list[dg.AssetMaterialization]:
    records = instance.fetch_materializations(dg.AssetKey([NAME, asset]), limit=10).records
    return [found for record in records if record.run_id == run_id and (found := record.asset_materialization)]
