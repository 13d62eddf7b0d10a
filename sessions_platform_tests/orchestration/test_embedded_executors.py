"""Runs of embedded streams by the project's own executor, of which each step is a process of its own."""

import os
from pathlib import Path

import dagster as dg
import pytest

import sessions_platform
from sessions_platform.orchestration.heartbeats import end_lost_runs
from sessions_platform_tests.orchestration.conftest import Home

FOLDER = "EMBEDDED_EXECUTORS_FOLDER"  # tells the steps' processes where the streams are
# from a server that has imported what the steps need, since that takes seconds
START = {"forkserver": {"preload_modules": ["dagster", "sessions_platform.orchestration.embedding"]}}
TWO_AT_ONCE = {"execution": {"config": {"multiprocess": {"max_concurrent": 2, "start_method": START}}}}


def said(name: str) -> Path:
    """A pipe: whoever opens it waits for the other end."""
    return Path(os.environ[FOLDER]) / name


@dg.op(required_resource_keys={"platform"}, out=dg.Out(dg.Nothing))
def long() -> None:
    """Beside the others, until one has looked for lost runs."""
    said("long has begun").write_text("")
    said("looked").read_text()


@dg.op(out=dg.Out(dg.Nothing))
def wait() -> None:
    said("long has begun").read_text()


@dg.op(required_resource_keys={"platform"}, ins={"after": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def short() -> None:
    """Begins after `long`, so that the heartbeat is its own, and ends before."""


@dg.op(ins={"after": dg.In(dg.Nothing)}, out=dg.Out(dg.Nothing))
def look(context: dg.OpExecutionContext) -> None:
    """As a sensor's tick does. Fails if it ends a run."""
    ended = end_lost_runs(context.instance)
    said("looked").write_text("")
    assert ended == []


@dg.graph
def steps() -> None:
    long()
    look(short(wait()))


def of_their_project() -> dg.JobDefinition:
    streams = sessions_platform.definitions_for(Path(os.environ[FOLDER]) / "streams")
    return steps.to_job("steps", resource_defs={"platform": (streams.resources or {})["platform"]})


@pytest.mark.slow
def test_a_run_goes_on_between_steps_and_beside_a_step_whose_process_has_ended(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(FOLDER, str(home.folder))
    for name in ("long has begun", "looked"):
        os.mkfifo(said(name))
    with (
        dg.DagsterInstance.local_temp(str(tmp_path)) as instance,
        dg.execute_job(dg.reconstructable(of_their_project), instance, run_config=TWO_AT_ONCE) as result,
    ):
        failed = [event.message for event in result.all_events if event.is_failure]
        assert failed == []
        assert end_lost_runs(instance) == []
        run = instance.get_run_by_id(result.run_id)
        assert run
        assert run.status is dg.DagsterRunStatus.SUCCESS
