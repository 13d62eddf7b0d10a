"""`sessions-platform doctor`: each finding is a line with ok, warn or fail, and what to do about it."""

import os

import typer

from sessions_platform.cli.exit_codes import FAILED
from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document, printable


def doctor(as_json: AsJson = False) -> None:
    """Look at the environment, folders, disk, database, streams and Dagster, and say what to do about each problem.

    Nothing is made and no server is started. The exit code is 1 where something fails; a warning does not count.
    Example: sessions-platform doctor --json
    """
    from sessions_platform.operations.doctor import Outcome, examine
    from sessions_platform.orchestration.doctor import examine_dagster

    findings = []
    for finding in examine(os.environ, examine_dagster):
        findings.append(finding)
        if not as_json:
            typer.echo(printable(f"{finding.outcome:<4}  {finding.what}: {finding.found}"))
            if finding.fix:
                typer.echo(printable(f"      Fix: {finding.fix.rstrip('.')}."))
    if as_json:
        print_document([finding.document for finding in findings], as_json)
    if any(finding.outcome is Outcome.fail for finding in findings):
        raise typer.Exit(FAILED)
