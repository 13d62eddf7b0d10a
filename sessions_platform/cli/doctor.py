"""`sessions-platform doctor`: each finding is a line with ok, warn or fail, and what to do about it."""

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from sessions_platform.cli import terminal
from sessions_platform.cli.exit_codes import FAILED
from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document, wrapped

if TYPE_CHECKING:
    from sessions_platform.operations.doctor import Finding

_MARK = 6  # columns of "warn" and two spaces


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
            for line in finding_lines(finding, terminal.width()):
                typer.echo(line)
    if as_json:
        print_document([finding.document for finding in findings], as_json)
    if any(finding.outcome is Outcome.fail for finding in findings):
        raise typer.Exit(FAILED)


def finding_lines(finding: "Finding", columns: int | None) -> Iterator[str]:
    """A finding and its fix, wrapped as the terminal is wide; the lines after the first are indented."""
    first, *others = wrapped(f"{finding.what}: {finding.found}", columns, _MARK)
    yield f"{finding.outcome:<4}  {first}"
    if finding.fix:
        others += wrapped(f"Fix: {finding.fix.rstrip('.')}.", columns, _MARK)
    yield from (" " * _MARK + other for other in others)
