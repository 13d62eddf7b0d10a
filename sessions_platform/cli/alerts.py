"""The command `alerts`: look what is wrong, and tell the channels; for cron, a timer, or somebody who wants to know.

Not here: what an alert is (`operations/alerts.py`), and what is looked at (`orchestration/alerts.py`).
"""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from sessions_platform.cli.exit_codes import FAILED, NEEDS_ATTENTION
from sessions_platform.cli.messages import say
from sessions_platform.cli.options import AsJson, DryRun
from sessions_platform.cli.output import print_document, printable
from sessions_platform.settings import Settings


def alerts(
    dry_run: DryRun = False,
    test: Annotated[bool, typer.Option("--test", help="Send each channel a message that is a test, and end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell the channels of SESSIONS_ALERT_URL_… what is wrong, and when it is over.

    The exit code is 3 where alerts fire, and 1 where a channel took no message.
    """
    from sessions_platform.orchestration.alerts import look, send_test

    settings = Settings.from_environment()
    told = send_test(settings) if test else look(settings, dry_run=dry_run)
    if told is None:
        say("another process is looking, and tells what it finds")
        return
    if as_json:
        print_document(asdict(told), as_json)
    else:
        _print(told.firing, told.sent)
    for name, reason in told.failed.items():
        say(f"channel {name}: {reason}. Fix: see SESSIONS_ALERT_URL_{name.upper()}.", "error")
    if told.failed or told.firing:
        raise typer.Exit(FAILED if told.failed else NEEDS_ATTENTION)


def _print(firing: list[dict[str, Any]], sent: dict[str, int]) -> None:
    for alert in firing:
        about = " ".join(filter(None, [alert["stream"], alert["kind"], alert["subject"]]))
        typer.echo(printable(f"{alert['severity']}: {about}: {alert['cause']} Fix: {alert['fix']}"))
    if not firing:
        typer.echo("nothing fires")
    for name, messages in sent.items():
        typer.echo(f"channel {name}: {messages} messages were sent")
