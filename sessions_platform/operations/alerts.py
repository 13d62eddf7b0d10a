"""Alerts: what is wrong and needs somebody, told once to each channel when it begins, and once when it is over.

Here belong what an alert says, which the ledger makes fire, and that a channel is told neither twice nor never. Not
here: what Dagster's storage makes fire (`orchestration/dagster_alerts.py`), how a channel is reached
(`alert_channels.py`), and what is kept of them (`storage/ledger/alerts.py`).
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import psycopg

from sessions_platform.contracts.stream_folder import Streams
from sessions_platform.operations.alert_channels import Channel, ChannelError
from sessions_platform.settings import AlertSettings
from sessions_platform.storage.ledger.alerts import StoredAlert, StoredAlerts
from sessions_platform.storage.postgres.database import Database

_LONGEST_CAUSE = 500  # characters


class Kind(StrEnum):
    """The closed list of what alerts are about."""

    stream_broken = "stream_broken"
    nothing_landed = "nothing_landed"
    queue_grew = "queue_grew"
    sessions_stale = "sessions_stale"
    delivery_behind = "delivery_behind"
    run_failed = "run_failed"
    check_failed = "check_failed"
    sensor_silent = "sensor_silent"
    daemon_dead = "daemon_dead"
    dagster_unreachable = "dagster_unreachable"


OF_THE_LEDGER = (
    *(Kind.stream_broken, Kind.nothing_landed, Kind.queue_grew),
    *(Kind.sessions_stale, Kind.delivery_behind),
)


@dataclass(frozen=True)
class Alert:
    """What is wrong, for people and programs to read; without values of rows.

    Attributes:
        kind: what it is about.
        stream: whose; empty where it concerns all.
        subject: what of the stream, such as a job and its partitions; kind, stream and subject identify an alert.
        partition: the partitions that it concerns; empty where there are none.
        cause: why, in a sentence.
        fix: what to do about it.
        link: the page in the UI that shows more.
        severity: `error`, or `warning` where sessions are right, if late.
    """

    kind: Kind
    stream: str
    subject: str
    cause: str
    fix: str
    link: str
    partition: str = ""
    severity: str = "error"

    @property
    def key(self) -> str:
        """The same for the same alert at another time."""
        return "/".join((self.kind, self.stream, self.subject))

    @property
    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "key": self.key, "cause": in_short(self.cause)}


@dataclass(frozen=True)
class Told:
    """What became of a look: which alerts fire, how many messages each channel took, and why one took none."""

    firing: list[dict[str, Any]]
    sent: dict[str, int]
    failed: dict[str, str]


def in_short(text: str) -> str:
    """The first lines of a cause, as one line."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_CAUSE else f"{line[:_LONGEST_CAUSE]} …"


def tell(
    database: Database, firing: Sequence[Alert], looked_at: Collection[Kind], channels: Mapping[str, Channel]
) -> Told:
    """Record what fires now, and tell each channel what it was not told yet.

    A channel that does not answer is told the next time. One that took a message whose receipt could not be recorded is
    told again: at least once, and twice only then. No other process may look or tell meanwhile.

    Args:
        database: with the ledger.
        firing: all alerts of the kinds that were looked at.
        looked_at: kinds of which an alert that does not fire is over.
        channels: by name.
    """
    stored, sent, failed = StoredAlerts(database), dict.fromkeys(channels, 0), {}
    stored.record({alert.key: (alert.kind, alert.document) for alert in firing}, looked_at)
    for name, channel in channels.items():
        try:
            for alert in stored.untold(name):
                channel.send(message(alert))
                stored.record_told(alert, name)
                sent[name] += 1
        except ChannelError as error:
            failed[name] = str(error)
    return Told([alert.document for alert in firing], sent, failed)


def message(alert: StoredAlert) -> dict[str, Any]:
    """What a channel is sent: the alert, its `status` (firing or recovered), a `title`, and when it began and ended."""
    status = "recovered" if alert.ended_at else "firing"
    document = alert.document
    about = ": ".join(filter(None, [document["stream"], str(document["kind"]).replace("_", " "), document["subject"]]))
    return {
        "status": status,
        "title": f"[{status}] {about}",
        **document,
        "began_at": alert.began_at.isoformat(),
        "ended_at": alert.ended_at.isoformat() if alert.ended_at else None,
    }


def ledger_alerts(
    connection: psycopg.Connection, streams: Streams, settings: AlertSettings, page: Callable[[str], str]
) -> Iterator[Alert]:
    """The alerts that the ledger and the streams' files make fire.

    Args:
        connection: in a transaction; the database has the tables.
        streams: those that there are; a stream without a file has no alerts, and neither has a target that its stream
            no longer has.
        settings: when they fire.
        page: the URL of a stream's page.
    """
    for name, broken in streams.broken.items():
        fix = "correct the file, and reload the definitions"
        yield Alert(Kind.stream_broken, name, "", str(broken.error), fix, page(name))
    names = [*streams.usable, *streams.broken]  # trouble goes on while a file is broken
    for stream, since in _rows(connection, _LANDED, names, settings.nothing_landed):
        cause = f"Nothing was read of its source since {since:%Y-%m-%d %H:%M} UTC."
        fix = "see whether files arrive, and whether the sensor or schedule that ingests them is on"
        yield Alert(Kind.nothing_landed, stream, "", cause, fix, page(stream), severity="warning")
    for stream, rows, partitions in _rows(connection, _GREW, names, settings.rejected_rows):
        cause = f"{rows:,} rows more are rejected than a day ago."
        fix = f"see why: sessions-platform rejected list {stream}; then repair and replay them"
        yield Alert(Kind.queue_grew, stream, "", cause, fix, page(stream), partitions, "warning")
    for stream, since, partitions in _rows(connection, _STALE, names, settings.stale):
        cause = f"Sessions lack changes that were published at {since:%Y-%m-%d %H:%M} UTC."
        fix = f"sessions-platform run {stream}, or switch the sensor {stream}__stale_sessions on"
        yield Alert(Kind.sessions_stale, stream, "", cause, fix, page(stream), partitions, "warning")
    for stream, target, since, partitions in _rows(connection, _BEHIND, names, settings.stale):
        if not streams.may_have_target(stream, target):
            continue
        cause = f"The target {target} lacks sessions that were loaded at {since:%Y-%m-%d %H:%M} UTC."
        fix = "see whether the target answers, and what its last delivery says; the next one brings what is missing"
        yield Alert(Kind.delivery_behind, stream, target, cause, fix, page(stream), partitions, "warning")


def _rows(connection: psycopg.Connection, sql: Any, names: list[str], limit: timedelta | int) -> list[tuple[Any, ...]]:
    return connection.execute(sql, {"names": names, "limit": limit}).fetchall()


_LANDED = """
select stream, max(read_at) at time zone 'UTC' from sessions_platform.landing_files
where stream = any(%(names)s) group by stream having max(read_at) < now() - %(limit)s::interval order by stream"""
# Of each landing partition that was published within a day, how many more rows are rejected than before that day. A
# rebuild leaves no version of before: what was read by then is compared with the first version since the rebuild.
_GREW = """
with read_before as (
    select distinct stream, landing_partition from sessions_platform.landing_files
    where read_at < now() - interval '1 day' and stream = any(%(names)s)),
grown as (
    select stream, landing_partition, rejected - coalesce(
            (select before.rejected from sessions_platform.landing_versions before
             where before.stream = current.stream and before.landing_partition = current.landing_partition
                and before.published_at < now() - interval '1 day' order by version desc limit 1),
            (select since.rejected from sessions_platform.landing_versions since
             where since.stream = current.stream and since.landing_partition = current.landing_partition
                and read_before.stream is not null order by version limit 1), 0) as rows
    from sessions_platform.landing_versions current left join read_before using (stream, landing_partition)
    where is_current and published_at >= now() - interval '1 day' and stream = any(%(names)s))
select stream, sum(rows), min(landing_partition) || case when count(*) > 1 then '..' || max(landing_partition) else ''
    end
from grown where rows > 0 group by stream having sum(rows) >= %(limit)s order by stream"""
_STALE = """
select stream, min(published_at) at time zone 'UTC', min(session_partition) ||
    case when count(distinct session_partition) > 1 then '..' || max(session_partition) else '' end
from sessions_platform.stale_partitions join sessions_platform.landing_versions using (stream, version)
where stream = any(%(names)s) group by stream having min(published_at) < now() - %(limit)s::interval order by stream"""
# A target is known from its first delivery on.
_BEHIND = """
select known.stream, known.target, min(loaded_at) at time zone 'UTC', min(loaded.session_partition) ||
    case when count(*) > 1 then '..' || max(loaded.session_partition) else '' end
from (select distinct stream, target from sessions_platform.deliveries where stream = any(%(names)s)) as known
join sessions_platform.session_versions loaded on loaded.stream = known.stream and loaded.is_current
left join sessions_platform.deliveries delivered on delivered.stream = known.stream
    and delivered.target = known.target and delivered.session_partition = loaded.session_partition
where delivered.version is null or delivered.version < loaded.snapshot
group by known.stream, known.target having min(loaded_at) < now() - %(limit)s::interval order by 1, 2"""
