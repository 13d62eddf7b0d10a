"""What a sensor asks for and what a run does come from one state of the stream's file, or nothing is done.

Within one process; `test_edited_streams.py` does the same with a code server, a daemon and its runs.
"""

from dataclasses import replace

import dagster as dg
import pytest

from sessions_platform.contracts.stream_file import StreamError
from sessions_platform.orchestration import resources, sensors
from sessions_platform.orchestration.background import Unfinished
from sessions_platform.settings import Settings
from sessions_platform_tests.orchestration.conftest import Home

DAY = "2026-01-02"


def tick(home: Home, definitions: dg.Definitions, name: str, instance: dg.DagsterInstance):
    sensor = definitions.resolve_sensor_def(f"{home.name}__{name}")
    with dg.build_sensor_context(
        instance=instance, repository_def=definitions.get_repository_def(), resources=definitions.resources or {}
    ) as context:
        return sensor.evaluate_tick(context)


def write(home: Home, text: str) -> None:
    """Edit the stream's file, while the process keeps what it has read."""
    (home.folder / "streams" / "web.yaml").write_text(text)


def stated(home: Home) -> str:
    return (home.folder / "streams" / "web.yaml").read_text()


@pytest.mark.parametrize("sensor", ["new_files", "stale_sessions"])
def test_a_sensor_of_an_edited_stream_requests_nothing_and_says_so(
    home: Home, instance: dg.DagsterInstance, sensor: str
) -> None:
    definitions, loaded = home.definitions, stated(home)
    home.ingest(2, "a", ("ann", 0, "a"))
    write(home, f"{loaded}\nsequence: event_type\n")
    edited = tick(home, definitions, sensor, instance)
    assert not edited.run_requests
    assert "web.yaml: it has changed since these definitions were loaded" in (edited.skip_message or "")
    assert "Fix: reload the definitions" in (edited.skip_message or "")
    write(home, f"# a remark\n{loaded}\ndescription: and what is not of the contract\n")
    assert "has changed" not in (tick(home, definitions, sensor, instance).skip_message or "")


def test_a_sensor_of_a_stream_that_was_broken_since_fails_with_the_mistakes(
    home: Home, instance: dg.DagsterInstance
) -> None:
    definitions = home.definitions
    write(home, f"{stated(home)}\nsesion: {{}}\n")
    with pytest.raises(StreamError, match=r"web\.yaml:\d+: sesion: the key is not known\. Fix: "):
        tick(home, definitions, "new_files", instance)
    (home.folder / "streams" / "web.yaml").unlink()
    assert "it is gone" in (tick(home, definitions, "new_files", instance).skip_message or "")


def test_a_run_that_was_requested_for_another_state_of_the_file_changes_nothing(
    home: Home, instance: dg.DagsterInstance
) -> None:
    home.ingest(2, "a", ("ann", 0, "a"))
    (request,) = tick(home, home.definitions, "new_files", instance).run_requests or []
    write(home, f"{stated(home)}\nsequence: event_type\n")
    resources._contexts.cache_clear()  # as a process of the run's own would read it
    job = home.definitions.resolve_job_def(f"{home.name}__ingest_events")
    refused = job.execute_in_process(instance=instance, tags=dict(request.tags), raise_on_error=False)
    assert not refused.success
    assert home.stream_context.ledger.landings() == []
    (requested,) = tick(home, home.definitions, "new_files", instance).run_requests or []
    assert requested.tags["sessions/stream_version"] != request.tags["sessions/stream_version"]
    done = job.execute_in_process(instance=instance, tags=dict(requested.tags), raise_on_error=False)
    assert done.success
    assert not tick(home, home.definitions, "new_files", instance).run_requests


def test_a_run_that_is_started_by_hand_is_for_the_file_as_it_is(home: Home, instance: dg.DagsterInstance) -> None:
    home.ingest(2, "a", ("ann", 0, "a"))
    definitions = home.definitions
    write(home, f"{stated(home)}\nsequence: event_type\n")
    resources._contexts.cache_clear()
    tags = {"dagster/asset_partition_range_start": DAY, "dagster/asset_partition_range_end": DAY}
    job = definitions.resolve_job_def(f"{home.name}__ingest_events")
    assert job.execute_in_process(instance=instance, tags=tags).success


def test_a_sensor_whose_evaluation_does_not_end_says_so_and_fails_after_ten_minutes(home: Home) -> None:
    stream = home.stream_context.stream
    assert "is being read, for 25 s so far" in (sensors._not_yet(stream, Unfinished(25.2).seconds).skip_message or "")
    with pytest.raises(sensors.NoAnswerError, match=r"has taken 601 s and has not ended\. Fix: "):
        sensors._not_yet(stream, 601)


def test_a_sensor_reads_the_file_of_a_stream_with_pseudonyms_with_their_key(
    home: Home, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SESSIONS_PSEUDONYM_KEY", "k" * 40)
    home = replace(home, settings=Settings.from_environment())
    home.write_stream(pseudonymize={"user_id": "hmac"})
    assert "has changed" not in (tick(home, home.definitions, "new_files", instance).skip_message or "")
