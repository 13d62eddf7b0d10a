"""The ledger's alerts: which fire, and which channels were told of it, so that a restart tells none twice.

Here: their rows. Not here: what makes an alert fire, and how it is told (`operations/alerts.py`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.postgres.migrations import ensure_current

# One that fires again before its end was told begins anew.
_FIRE = """
insert into sessions_platform.alerts as stored (key, kind, document) values (%s, %s, %s)
on conflict (key) do update set document = excluded.document, ended_at = null,
    began_at = case when stored.ended_at is null then stored.began_at else now() end,
    told = case when stored.ended_at is null then stored.told else '{}' end"""
_END = """
update sessions_platform.alerts set ended_at = now()
where ended_at is null and kind = any(%s) and not key = any(%s)"""
# A channel that was told, and that this process does not have, may be another one's. It is waited for, but not forever.
_FORGET = """
delete from sessions_platform.alerts
where ended_at is not null and (told = '{}' or ended_at < now() - interval '7 days')"""
_UNTOLD = """
select key, document, began_at, ended_at from sessions_platform.alerts
where (ended_at is null) <> (%s = any(told)) order by began_at, key"""
_TOLD = "update sessions_platform.alerts set told = told || %s::text where key = %s and ended_at is null"
_TOLD_END = "update sessions_platform.alerts set told = array_remove(told, %s) where key = %s and ended_at is not null"


@dataclass(frozen=True)
class StoredAlert:
    """An alert that fires, or has ended at `ended_at`."""

    key: str
    document: dict[str, Any]
    began_at: datetime
    ended_at: datetime | None


class StoredAlerts:
    """The table `alerts`. Each method is a transaction of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, firing: Mapping[str, tuple[str, dict[str, Any]]], looked_at: Collection[str]) -> None:
        """Record which alerts fire now; those of a kind that was looked at, and that do not fire, have ended.

        Args:
            firing: kind and document, by key.
            looked_at: the kinds of which `firing` has all alerts; others stay as they are.
        """
        with self._database.transaction() as connection:
            ensure_current(connection)
            for key, (kind, document) in sorted(firing.items()):
                connection.execute(_FIRE, [key, kind, Jsonb(document)])
            connection.execute(_END, [list(looked_at), list(firing)])
            connection.execute(_FORGET)

    def untold(self, channel: str) -> list[StoredAlert]:
        """What a channel has to be told: alerts that fire, and ends of those that it was told to fire."""
        with (
            self._database.transaction(read_only=True) as connection,
            connection.cursor(row_factory=class_row(StoredAlert)) as cursor,
        ):
            return cursor.execute(_UNTOLD, [channel]).fetchall()

    def record_told(self, alert: StoredAlert, channel: str) -> None:
        """Record that a channel was told; once all that were told of an alert know its end, it is gone."""
        with self._database.transaction() as connection:
            connection.execute(_TOLD_END if alert.ended_at else _TOLD, [channel, alert.key])
            connection.execute(_FORGET)
