"""A channel is told of an alert once, and once that it is over, whatever is restarted or down meanwhile."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sessions_platform.errors import UserError
from sessions_platform.operations.alert_channels import ChannelError, Webhook, channel_of
from sessions_platform.operations.alerts import Alert, Kind, in_short, tell
from sessions_platform.settings import AlertSettings, Settings, SettingsError
from sessions_platform.storage.ledger.alerts import StoredAlerts
from sessions_platform.storage.postgres.database import Database
from sessions_platform_tests.receiver import Receiver, receiver
from sessions_platform_tests.servers.running import free_port


class Recorder:
    """A channel that keeps what it is sent, and takes nothing while it is down."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.is_down = False

    def send(self, message: Mapping[str, Any]) -> None:
        if self.is_down:
            raise ChannelError("it is down")
        self.taken.append((message["status"], message["kind"]))


@pytest.fixture(autouse=True)
def nothing_stored(database: Database) -> None:
    StoredAlerts(database).record({}, list(Kind))
    with database.transaction() as connection:
        connection.execute("delete from sessions_platform.alerts")


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as started:
        yield started


def failed(subject: str = "ingest", cause: str = "a reason", kind: Kind = Kind.run_failed) -> Alert:
    return Alert(kind, "web", subject, cause, "a fix", "http://ui/runs/1", "2026-01-01")


ALL = list(Kind)


def test_a_channel_is_told_once_that_it_fires_and_once_that_it_is_over(database: Database) -> None:
    channel = Recorder()
    for firing in ([failed()], [failed(cause="another run's reason")], [], []):
        tell(database, firing, ALL, {"ops": channel})
    assert channel.taken == [("firing", "run_failed"), ("recovered", "run_failed")]


def test_it_is_told_again_when_it_fires_again(database: Database) -> None:
    channel = Recorder()
    for firing in ([failed()], [], [failed()]):
        tell(database, firing, ALL, {"ops": channel})
    assert [status for status, _ in channel.taken] == ["firing", "recovered", "firing"]


def test_a_channel_that_was_down_is_told_later_and_no_other_one_twice(database: Database) -> None:
    down, up = Recorder(), Recorder()
    down.is_down = True
    told = tell(database, [failed()], ALL, {"down": down, "up": up})
    assert told.failed == {"down": "it is down"}
    down.is_down = False
    tell(database, [failed()], ALL, {"down": down, "up": up})
    assert down.taken == up.taken == [("firing", "run_failed")]


def test_what_a_channel_was_never_told_is_not_said_to_be_over(database: Database) -> None:
    channel = Recorder()
    channel.is_down = True
    tell(database, [failed()], ALL, {"ops": channel})
    channel.is_down = False
    tell(database, [], ALL, {"ops": channel})
    assert channel.taken == []


def test_an_alert_of_a_kind_that_could_not_be_looked_at_is_not_over(database: Database) -> None:
    channel = Recorder()
    tell(database, [failed()], ALL, {"ops": channel})
    tell(database, [], [Kind.nothing_landed], {"ops": channel})
    assert channel.taken == [("firing", "run_failed")]
    tell(database, [], ALL, {"ops": channel})
    assert channel.taken[1:] == [("recovered", "run_failed")]


@pytest.mark.parametrize("elsewhere", [{}, {"chat": Recorder()}], ids=["no channel", "another channel"])
def test_a_look_without_a_channel_neither_tells_it_again_nor_loses_its_recovery(
    database: Database, elsewhere: dict[str, Recorder]
) -> None:
    channel = Recorder()
    for firing in ([failed()], []):
        tell(database, firing, ALL, {"ops": channel} if firing else elsewhere)
        tell(database, firing, ALL, elsewhere)
        tell(database, firing, ALL, {"ops": channel})
    assert channel.taken == [("firing", "run_failed"), ("recovered", "run_failed")]


def test_an_end_of_long_ago_is_forgotten(database: Database) -> None:
    channel = Recorder()
    tell(database, [failed()], ALL, {"ops": channel})
    tell(database, [], ALL, {})
    with database.transaction() as connection:
        connection.execute("update sessions_platform.alerts set ended_at = now() - interval '8 days'")
    tell(database, [], ALL, {"ops": channel})
    assert channel.taken == [("firing", "run_failed")]


def test_a_webhook_gets_stream_partition_cause_fix_and_link(database: Database, hook: Receiver) -> None:
    tell(database, [failed()], ALL, {"hook": Webhook(hook.url)})
    (message,) = hook.take()
    assert {**message, "began_at": None} == {
        "status": "firing",
        "title": "[firing] web: run failed: ingest",
        "kind": "run_failed",
        "stream": "web",
        "subject": "ingest",
        "partition": "2026-01-01",
        "cause": "a reason",
        "fix": "a fix",
        "link": "http://ui/runs/1",
        "severity": "error",
        "key": "run_failed/web/ingest",
        "began_at": None,
        "ended_at": None,
    }


def test_apprise_gets_title_and_text_and_its_refusal_is_noticed(database: Database, hook: Receiver) -> None:
    channels = {"chat": channel_of("chat", hook.url.replace("http://", "json://"))}
    hook.refuses = True
    told = tell(database, [failed()], ALL, channels)
    assert told.failed == {"chat": "it did not take the message"}
    hook.refuses = False
    tell(database, [failed()], ALL, channels)
    (message,) = hook.take()
    assert message["title"] == "[firing] web: run failed: ingest"
    assert message["message"] == "a reason\nPartitions: 2026-01-01\nFix: a fix\nhttp://ui/runs/1"


@pytest.mark.parametrize("what", ["refuses", "is gone"])
def test_no_error_of_a_channel_has_its_url(database: Database, hook: Receiver, what: str) -> None:
    hook.refuses = True
    url = hook.url if what == "refuses" else hook.url.replace(str(hook.port), str(free_port()))
    told = tell(database, [failed()], ALL, {"hook": Webhook(url)})
    assert told.failed.keys() == {"hook"}
    assert "T0K3N" not in repr(told)


def test_a_url_that_apprise_does_not_know_is_told_without_it() -> None:
    with pytest.raises(UserError, match=r"^SESSIONS_ALERT_URL_OPS: apprise knows no such URL\. Fix: ") as refused:
        channel_of("ops", "nothing-of-the-kind://T0K3N")
    assert "T0K3N" not in str(refused.value)


def test_a_long_cause_is_one_line_and_cut() -> None:
    assert in_short("one\n  two") == "one two"
    assert len(in_short("x" * 10_000)) < 600


def test_channels_and_limits_come_from_the_environment_and_no_url_is_shown() -> None:
    names = {"SESSIONS_ALERT_URL_OPS": "https://hooks/T0K3N", "SESSIONS_ALERT_STALE": "90m"}
    settings = Settings.from_environment({**names, "SESSIONS_ALERT_REJECTED_ROWS": "7", "SESSIONS_ALERT_URL_OFF": " "})
    assert settings.alerts.channels == (("ops", "https://hooks/T0K3N"),)
    assert (settings.alerts.stale.total_seconds(), settings.alerts.rejected_rows) == (5400, 7)
    assert settings.alerts.nothing_landed == AlertSettings.nothing_landed
    assert "T0K3N" not in repr(settings)


@pytest.mark.parametrize("text", ["0h", "-1h", "1.5h", "an hour", "1w", "h"])
def test_a_limit_that_is_no_duration_is_reported_with_its_fix(text: str) -> None:
    with pytest.raises(SettingsError, match=r"SESSIONS_ALERT_NOTHING_LANDED: .* is no duration\. Fix: "):
        Settings.from_environment({"SESSIONS_ALERT_NOTHING_LANDED": text})
