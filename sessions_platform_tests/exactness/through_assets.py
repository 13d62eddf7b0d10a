"""The same comparison, with landing files in a folder and the pipeline run by Dagster's jobs.

Here: the steps of `comparison` that are runs of Dagster, and the comparison of their metadata. Not here: what the
tables should contain (`expected`).
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import dagster as dg
import pytest
import yaml

from sessions_platform.contracts.calendar import contiguous_runs
from sessions_platform.orchestration import resources
from sessions_platform.orchestration.build import build
from sessions_platform.orchestration.jobs import range_tags
from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.settings import Settings
from sessions_platform_tests import identity_oracle
from sessions_platform_tests.exactness.comparison import Comparison, Work
from sessions_platform_tests.exactness.stream_variant import StreamVariant


@dataclass
class AssetComparison(Comparison):
    """Steps of the pipeline are runs; their metadata in Dagster is compared too."""

    instance: dg.DagsterInstance = field(default_factory=dg.DagsterInstance.ephemeral)

    @cached_property
    def folder(self) -> Path:
        return self.environment.settings.home / "streams" / self.name

    @property
    def variables(self) -> dict[str, str]:
        settings = self.environment.settings
        return {
            "SESSIONS_HOME": str(settings.home),
            "SESSIONS_LAKE": str(settings.lake),
            "SESSIONS_STREAMS": str(self.folder),
            "SESSIONS_WAREHOUSE_URL": str(settings.warehouse_url),
        }

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.instance.dispose()

    def _open(self, variant: StreamVariant) -> StreamContext:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "stream.yaml").write_text(yaml.safe_dump(variant.as_file(self.name), sort_keys=False))
        (context,) = open_contexts(Settings.from_environment(self.variables), [self.name])
        return context

    def uri(self, landing_partition: str, name: str) -> str:
        return f"landing/{landing_partition}/{name}.ndjson"

    def put(self, uri: str, lines: Sequence[bytes], landing_partition: str) -> None:
        super().put(uri, lines, landing_partition)
        file = self.folder / uri
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"".join(line + b"\n" for line in lines))

    def remove(self, uri: str) -> None:
        super().remove(uri)
        (self.folder / uri).unlink()

    def ingest_and_publish(self, *landing_partitions: str) -> None:
        self._expect_landing(landing_partitions)
        for partition in landing_partitions:
            run = self._run("ingest_events", (partition, partition))
            draft = self._draft(partition, None)
            self._expect_published(draft)
            should = draft.expected
            counts = {
                "raw_events": should.raw,
                "events": len(should.accepted),
                "rejected_events": len(should.rejected),
            }
            if draft.version.variant.shared_above:
                counts["identity_links"] = len(identity_oracle.links_of(self._links_of([draft])))
            assert reported_rows(run) == {(asset, partition): count for asset, count in counts.items()}

    def refresh(self, *session_partitions: str) -> None:
        """One run for each range of neighbours."""
        calendar = self.version.context.stream.session_calendar
        for run in contiguous_runs(list(session_partitions), calendar):
            self.load(self.expected_work(run))

    def _load(self, work: Work) -> tuple[str, set[str]]:
        run = self._run("refresh_sessions", (min(work.written), max(work.written)))
        should = {p: written.expected.sessions for p, written in work.written.items()}
        counts = {("sessions", p): len(sessions) for p, sessions in should.items()}
        outside = {p: len(written.expected.outside) for p, written in work.written.items()}
        counts |= {("sessionized_events", p): sum(map(len, should[p])) + outside[p] for p in should}
        assert reported_rows(run) == counts
        return run.run_id, set(should)

    def rebuild(self, variant: StreamVariant) -> None:
        before = self.table()
        self._state(variant)
        self._expect_rebuilt(self._run("rebuild").run_id, before)

    def _run(self, job: str, partitions: tuple[str, str] | None = None) -> dg.ExecuteInProcessResult:
        tags = range_tags(*partitions) if partitions else {}
        with self._with_variables():
            definition = build(Settings.from_environment()).resolve_job_def(f"{self.name}__{job}")
            return definition.execute_in_process(instance=self.instance, tags=tags)

    @contextmanager
    def _with_variables(self) -> Iterator[None]:
        """The environment variables that Dagster's resources read."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables.items():
                patch.setenv(name, value)
            resources._contexts.cache_clear()  # the stream's file may have changed
            yield


def reported_rows(run: dg.ExecuteInProcessResult) -> dict[tuple[str, str | None], object]:
    """The row counts in the run's metadata, by asset and partition."""
    return {
        (event.asset_key.path[-1], event.partition): event.materialization.metadata["dagster/row_count"].value
        for event in run.all_events
        if event.is_step_materialization and event.asset_key
    }
