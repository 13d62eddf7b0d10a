"""Ended runs as events of OpenLineage: which assets each step has read and written, for catalogues such as Marquez.

Two events a step, START and how it ended, with the times at which they were. Datasets have the names of their assets,
as in `shop.raw_events`, in the namespace of the platform; the tables of the warehouse have those by which the
specification names tables of PostgreSQL, so that a catalogue knows them as what dbt and others read. Not here: how runs
are read (`ended_runs.py`), and when they are told (`run_exports.py`).
"""

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import dagster as dg
from openlineage.client import OpenLineageClient
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.facet_v2 import error_message_run, job_type_job, output_statistics_output_dataset, parent_run
from psycopg.conninfo import conninfo_to_dict

from sessions_platform.orchestration.ended_runs import EndedRun, EndedStep, Written

_PRODUCER = "https://github.com/sessions-platform/sessions-platform"
_NAMESPACE = os.environ.get("OPENLINEAGE_NAMESPACE") or "sessions_platform"
_ENDS = {dg.DagsterRunStatus.CANCELED: RunState.ABORT}


class Place(NamedTuple):
    """A dataset's namespace and name."""

    namespace: str
    name: str


class OpenLineage:
    """Sends events to where the variables OPENLINEAGE_… or a file openlineage.yml say.

    Args:
        upstream: the assets that an asset is made from.
        warehouse: the libpq URL of the warehouse.
    """

    def __init__(self, upstream: Callable[[dg.AssetKey], Sequence[dg.AssetKey]], warehouse: str) -> None:
        self._client = OpenLineageClient()
        self._upstream = upstream
        parts = conninfo_to_dict(warehouse)
        host = str(parts.get("host") or "")
        server = f"{host}:{parts.get('port') or 5432}" if host and not host.startswith("/") else "localhost"
        self._warehouse = Place(f"postgres://{server}", str(parts.get("dbname") or "postgres"))

    def tell(self, run: EndedRun) -> None:
        """Send the events of a run. Raises what the transport raises where they are not taken."""
        for step in run.steps:
            for event in self.events(run, step):
                self._client.emit(event)

    def events(self, run: EndedRun, step: EndedStep) -> Iterator[RunEvent]:
        """The start and the end of a step."""
        job = Job(_NAMESPACE, step.name.replace("__", "."), {"jobType": _JOB_TYPE})
        parent = parent_run.ParentRunFacet(parent_run.Run(run.run_id), parent_run.Job(_NAMESPACE, run.job))
        inputs = [InputDataset(*self._place(each)) for each in self._read(step)]
        outputs = [self._output(each) for each in step.written]
        of_step = str(uuid.uuid5(uuid.UUID(run.run_id), step.name))
        end = _end(run, step)
        failure = {} if step.failure is None else {"errorMessage": _error(step.failure)}
        for state, at, facets in ((RunState.START, step.began, {}), (end, step.ended, failure)):
            yield RunEvent(
                eventType=state,
                eventTime=datetime.fromtimestamp(at, UTC).isoformat(),
                run=Run(of_step, {"parent": parent, **facets}),
                job=job,
                inputs=inputs,
                outputs=outputs,
                producer=_PRODUCER,
            )

    def _read(self, step: EndedStep) -> list[dg.AssetKey]:
        """What a step was made from, in order, without what it has made itself."""
        written = [each.asset for each in step.written]
        return list(dict.fromkeys(each for asset in written for each in self._upstream(asset) if each not in written))

    def _place(self, asset: dg.AssetKey) -> Place:
        if asset.path[-1] == "sessions":
            return Place(self._warehouse.namespace, f"{self._warehouse.name}.{'.'.join(asset.path)}")
        return Place(_NAMESPACE, ".".join(asset.path))

    def _output(self, written: Written) -> OutputDataset:
        rows = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=written.rows)
        return OutputDataset(*self._place(written.asset), outputFacets={"outputStatistics": rows})


def _end(run: EndedRun, step: EndedStep) -> RunState:
    """How a step ended: as it says itself, or else as its run did, which took it along."""
    if step.failure is not None:
        return RunState.FAIL
    return RunState.COMPLETE if step.succeeded else _ENDS.get(run.status, RunState.FAIL)


_JOB_TYPE = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="DAGSTER", jobType="STEP")


def _error(message: str) -> error_message_run.ErrorMessageRunFacet:
    return error_message_run.ErrorMessageRunFacet(message=message, programmingLanguage="python")
