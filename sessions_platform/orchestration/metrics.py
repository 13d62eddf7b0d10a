"""The platform's metrics, in Prometheus' text format: from the ledger, from Dagster's storage, and of streams' files.

Runs are short, so that nobody could scrape them: what they have left behind is asked for at each scrape. Here belong
which metrics there are, and that a server which is down makes a metric and no traceback. Run as `python -m
sessions_platform.orchestration.metrics docs/monitoring.md` it writes the table of them anew. Not here: the queries
(`storage/ledger/metrics.py`, `dagster_metrics.py`), and how metrics are served and written (`cli/metrics.py`).
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import TypeVar

import psycopg
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from sessions_platform.contracts.stream_folder import Streams, read_streams
from sessions_platform.errors import UserError
from sessions_platform.operations.page_tables import write_table
from sessions_platform.orchestration.dagster_metrics import DAGSTER_METRICS
from sessions_platform.orchestration.sensor_names import may_exist
from sessions_platform.settings import Settings
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform.storage.ledger.metrics import LEDGER_METRICS
from sessions_platform.storage.metric_query import Metric, MetricQuery, Sample
from sessions_platform.storage.postgres.database import Database, dagster_database
from sessions_platform.storage.postgres.errors import in_a_sentence
from sessions_platform.storage.postgres.migrations import ensure_current

_LEDGER_UP = Metric("ledger_up", "1 where the warehouse's ledger answers, else 0; then its metrics are absent.")
_DAGSTER_UP = Metric("dagster_up", "1 where Dagster's storage answers, else 0; then its metrics are absent.")
_STREAMS_UP = Metric("streams_up", "1 where the folders of the streams' files can be read, else 0.")
_USABLE = Metric("stream_usable", "1 where the stream's file can be used, 0 where it has mistakes.")
_STALE = Metric("stale_session_partitions", "Session partitions to refresh, by changed events or another session rule.")
_OTHER_CONTRACT = Metric("landing_partitions_of_other_contract", "Landing partitions that another contract validated.")
_SECONDS = Metric("scrape_duration_seconds", "How long it took to read these metrics.")
_OF_STREAMS = (_USABLE, _STALE, _OTHER_CONTRACT)

Report = Callable[[str], None]
T = TypeVar("T")


def described() -> Iterator[tuple[Metric, tuple[str, ...]]]:
    """Every metric that there is, with the names of its labels; in the order of the documentation."""
    yield from ((metric, ()) for metric in (_LEDGER_UP, _DAGSTER_UP, _STREAMS_UP))
    yield from ((metric, ("stream",)) for metric in _OF_STREAMS)
    for query in (*LEDGER_METRICS, *DAGSTER_METRICS):
        yield from ((metric, query.labels) for metric in query.metrics)
    yield _SECONDS, ()


def registry(settings: Settings, report: Report) -> CollectorRegistry:
    """A registry whose metrics are read anew at each scrape.

    Args:
        settings: where ledger, Dagster's storage and streams are.
        report: is told in a sentence, once each time, that one of them can't be read, or can again.
    """
    made = CollectorRegistry()
    made.register(_PlatformCollector(settings, report))
    return made


class _PlatformCollector(Collector):
    """Reads all metrics, one scrape at a time."""

    def __init__(self, settings: Settings, report: Report) -> None:
        self._settings = settings
        self._ledger, self._dagster = Database(settings), None
        self._streams = _StreamFiles(settings)
        self._health = _Health(report)
        self._scrape = Lock()

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The metrics without values, so that registering them reads nothing."""
        for metric, labels in described():
            yield GaugeMetricFamily(metric.full_name, metric.help, labels=labels)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """All metrics; those of a server that does not answer are left out."""
        with self._scrape:
            began = time.monotonic()
            found = list(self._samples())
            found.append(Sample(_SECONDS, {}, time.monotonic() - began))
        yield from _families(found)

    def _samples(self) -> Iterator[Sample]:
        streams = self._health.of(_STREAMS_UP, self._streams.read)
        yield self._health.sample(_STREAMS_UP)
        yield from self._health.of(_LEDGER_UP, lambda: self._from_ledger(streams)) or []
        yield self._health.sample(_LEDGER_UP)
        yield from self._health.of(_DAGSTER_UP, lambda: self._from_dagster(streams)) or []
        yield self._health.sample(_DAGSTER_UP)

    def _from_ledger(self, streams: Streams | None) -> list[Sample]:
        with self._ledger.kept_open():
            with self._ledger.transaction() as connection:
                ensure_current(connection)
            with self._ledger.transaction(read_only=True) as connection:
                found = _existing(_read(LEDGER_METRICS, connection), streams)
                return [*found, *_of_streams(streams, self._ledger, connection)] if streams else found

    def _from_dagster(self, streams: Streams | None) -> list[Sample]:
        self._dagster = self._dagster or dagster_database(self._settings)
        try:
            with self._dagster.transaction(read_only=True) as connection:
                return _existing(_read(DAGSTER_METRICS, connection), streams)
        except psycopg.errors.UndefinedTable:
            fix = "start the daemon or the webserver, or correct DAGSTER_POSTGRES_URL"
            raise UserError(f"Dagster has made no tables in {self._dagster.shown} yet. Fix: {fix}.") from None


class _Health:
    """Which servers answered last, so that each change is reported once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._reasons: dict[str, str | None] = {}

    def of(self, metric: Metric, read: Callable[[], T]) -> T | None:
        """What `read` gives; None, and the metric is 0, where a server or a file can't be read."""
        try:
            found = read()
        except (UserError, OSError) as error:
            self._note(metric, str(error))
        except psycopg.Error as error:
            self._note(metric, in_a_sentence(error))
        else:
            self._note(metric, None)
            return found
        return None

    def sample(self, metric: Metric) -> Sample:
        """1 where it could be read last."""
        return Sample(metric, {}, float(self._reasons.get(metric.name) is None))

    def _note(self, metric: Metric, reason: str | None) -> None:
        before = self._reasons.get(metric.name)
        if (before is None) != (reason is None):
            self._report(f"{metric.full_name} 0: {reason}" if reason else f"{metric.full_name} 1: it can be read again")
        self._reasons[metric.name] = reason


class _StreamFiles:
    """The streams' files, read again only where one of them has changed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read: Streams | None = None
        self._state: list[tuple[Path, int, int]] = []

    def read(self) -> Streams:
        """The streams as their files are now."""
        settings, state = self._settings, list(self._files())
        if self._read is None or state != self._state:
            self._read = read_streams(settings.streams, settings.home, settings.pseudonym_key)
            self._state = state
        return self._read

    def _files(self) -> Iterator[tuple[Path, int, int]]:
        for folder in self._settings.streams:
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                about = path.stat()
                yield path, about.st_mtime_ns, about.st_size


def _read(queries: tuple[MetricQuery, ...], connection: psycopg.Connection) -> list[Sample]:
    return [sample for query in queries for sample in query.read(connection)]


def _existing(found: list[Sample], streams: Streams | None) -> list[Sample]:
    """The samples without those of targets and sensors that the streams' files no longer have; nobody brings them on.

    Where the files can't be read, all.
    """
    return [sample for sample in found if streams is None or _exists(sample.labels, streams)]


def _exists(labels: dict[str, str], streams: Streams) -> bool:
    if "target" in labels:
        return streams.may_have_target(labels["stream"], labels["target"])
    return labels.get("kind") != "sensor" or may_exist(labels["name"], streams)


def _of_streams(streams: Streams, ledger: Database, connection: psycopg.Connection) -> Iterator[Sample]:
    """What depends on the streams' files: which can't be used, and what was made by another state of them."""
    for name in streams.broken:
        yield Sample(_USABLE, {"stream": name}, 0.0)
    for name, stream in streams.usable.items():
        labels = {"stream": name}
        stale = Ledger(ledger, name).stale_partitions_in(connection, stream.session_rule_version)
        yield Sample(_USABLE, labels, 1.0)
        yield Sample(_STALE, labels, float(len(stale)))
        yield Sample(_OTHER_CONTRACT, labels, float(_of_other_contract(connection, name, stream.contract_version)))


def _of_other_contract(connection: psycopg.Connection, stream: str, contract_version: str) -> int:
    row = connection.execute(
        """select count(*) from sessions_platform.landing_versions
           where stream = %s and is_current and contract_version <> %s""",
        [stream, contract_version],
    ).fetchone()
    return row[0] if row else 0


def _families(found: list[Sample]) -> Iterator[GaugeMetricFamily]:
    """The samples by metric, as Prometheus' format wants them together."""
    families: dict[str, GaugeMetricFamily] = {}
    for sample in found:
        name = sample.metric.full_name
        if name not in families:
            families[name] = GaugeMetricFamily(name, sample.metric.help, labels=tuple(sample.labels))
        families[name].add_metric(list(sample.labels.values()), sample.value)
    yield from families.values()


def metric_table() -> str:
    """The table of docs/monitoring.md in Markdown."""
    rows = [
        f"| `{metric.full_name}` | {', '.join(f'`{label}`' for label in labels)} | {metric.help} |"
        for metric, labels in described()
    ]
    return "\n".join(["| metric | labels | meaning |", "| --- | --- | --- |", *rows])


if __name__ == "__main__":
    write_table("metrics", metric_table())
