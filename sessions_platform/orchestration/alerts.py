"""One look for alerts, by cron or by Dagster's sensor: what the ledger and Dagster's storage say, told to all channels.

Here belongs that each of them is looked at, and what it means where one does not answer. Not here: the alerts
(`operations/alerts.py`, `dagster_alerts.py`), and the sensor (`alert_sensor.py`).
"""

from collections.abc import Collection
from datetime import UTC, datetime

import psycopg

from sessions_platform.contracts.stream_folder import Streams, read_streams
from sessions_platform.errors import UserError
from sessions_platform.operations.alert_channels import Channel, ChannelError, channel_of
from sessions_platform.operations.alerts import OF_THE_LEDGER, Alert, Kind, Told, ledger_alerts, message, tell
from sessions_platform.orchestration.dagster_alerts import OF_DAGSTER, Pages, dagster_alerts
from sessions_platform.settings import Settings
from sessions_platform.storage.ledger.alerts import StoredAlert
from sessions_platform.storage.postgres.database import Database, dagster_database
from sessions_platform.storage.postgres.errors import in_a_sentence
from sessions_platform.storage.postgres.migrations import ensure_current

_LOCK = "sessions_platform/alerts"


def look(settings: Settings, *, dry_run: bool = False) -> Told | None:
    """Look what fires now, and tell each channel what it was not told yet; one process at a time.

    Else a process that looked before another one, and records after it, would make an alert fire anew that is over.

    Args:
        settings: the platform's.
        dry_run: only look; nothing is told or recorded.

    Returns:
        None where another process is looking or telling at this moment.

    Raises:
        UserError: the ledger can't be read, without which nobody knows what was told; or a channel's URL is wrong.
    """
    channels, database = channels_of(settings), Database(settings)
    if dry_run:
        return Told([alert.document for alert in _seen(settings, database)[0]], {}, {})
    with database.alone(_LOCK) as is_alone:
        return tell(database, *_seen(settings, database), channels) if is_alone else None


def channels_of(settings: Settings) -> dict[str, Channel]:
    """The channels that the settings name. Raises UserError where a URL is of no known kind."""
    return {name: channel_of(name, url) for name, url in settings.alerts.channels}


def send_test(settings: Settings) -> Told:
    """Send each channel a message that says that it is a test."""
    text = "This is a test: nothing is wrong."
    alert = Alert(Kind.run_failed, "", "a test", text, "nothing has to be done", settings.alerts.ui_url)
    channels = channels_of(settings)
    sent, failed = dict.fromkeys(channels, 0), {}
    for name, channel in channels.items():
        try:
            channel.send(message(StoredAlert(alert.key, alert.document, datetime.now(UTC), None)))
            sent[name] = 1
        except ChannelError as error:
            failed[name] = str(error)
    return Told([], sent, failed)


def _seen(settings: Settings, database: Database) -> tuple[list[Alert], Collection[Kind]]:
    """The alerts that fire, and the kinds that were looked at."""
    streams = read_streams(settings.streams, settings.home, settings.pseudonym_key)
    pages = Pages(settings.alerts.ui_url)
    with database.transaction() as connection:
        ensure_current(connection)
        firing = list(ledger_alerts(connection, streams, settings.alerts, pages.of_stream))
    of_dagster, looked_at = _of_dagster(settings, streams, pages)
    return [*firing, *of_dagster], (*OF_THE_LEDGER, *looked_at)


def _of_dagster(settings: Settings, streams: Streams, pages: Pages) -> tuple[list[Alert], Collection[Kind]]:
    """Dagster's alerts, and which kinds were looked at: where its storage does not answer, nobody knows of the others.

    A storage without tables is one in which nothing ran yet.
    """
    try:
        with dagster_database(settings).transaction(read_only=True) as connection:
            found = list(dagster_alerts(connection, streams, settings.alerts, pages))
    except psycopg.errors.UndefinedTable:
        return [], (*OF_DAGSTER, Kind.dagster_unreachable)
    except (UserError, psycopg.Error) as error:
        said = in_a_sentence(error) if isinstance(error, psycopg.Error) else str(error)
        cause, _, fix = said.partition(" Fix: ")
        alert = Alert(Kind.dagster_unreachable, "", "", cause, fix or "start it", pages.of_health)
        return [alert], (Kind.dagster_unreachable,)
    return found, (*OF_DAGSTER, Kind.dagster_unreachable)
