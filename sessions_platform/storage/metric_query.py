"""A query whose rows are metrics: which columns are labels, and what each other column measures.

Here belong the form of such queries and what becomes of their rows. Not here: the queries, which are beside the tables
that they read (`storage/ledger/metrics.py`, `orchestration/dagster_metrics.py`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

PREFIX = "sessions_platform_"


@dataclass(frozen=True)
class Metric:
    """A gauge: its name without the prefix, and what it says.

    Names follow Prometheus: base units (`_seconds`, `_bytes`), moments as `_timestamp_seconds` since 1970. All are
    gauges, also counts, since a partition that is validated again may have fewer rows than before.
    """

    name: str
    help: str

    @property
    def full_name(self) -> str:
        """With the prefix that all names of the platform have."""
        return f"{PREFIX}{self.name}"


@dataclass(frozen=True)
class MetricQuery:
    """A statement whose rows begin with the values of the labels, followed by a number for each metric."""

    sql: LiteralString
    labels: tuple[str, ...]
    metrics: tuple[Metric, ...]

    def read(self, connection: psycopg.Connection) -> "Iterator[Sample]":
        """A sample for each number of each row; none where it is null."""
        for row in connection.execute(self.sql).fetchall():
            labels, values = row[: len(self.labels)], row[len(self.labels) :]
            yield from samples(self.metrics, self.labels, labels, values)


@dataclass(frozen=True)
class Sample:
    """The value of a metric, for these values of its labels."""

    metric: Metric
    labels: dict[str, str]
    value: float


def samples(
    metrics: tuple[Metric, ...], labels: tuple[str, ...], label_values: tuple[Any, ...], values: tuple[Any, ...]
) -> Iterator[Sample]:
    """The samples of one row; none where a value is None."""
    named = {name: str(value) for name, value in zip(labels, label_values, strict=True)}
    for metric, value in zip(metrics, values, strict=True):
        if value is not None:
            yield Sample(metric, named, float(value))
