"""What a command says besides its result, on standard error: a text for people, or a log line with `SESSIONS_LOG=json`.

Not here: the result itself, on standard output (`output.py`), and what runs say (`orchestration/loggers.py`).
"""

import os

import click

from sessions_platform.settings import logs_are_json

_LOGGER = "sessions_platform.cli"


def say(message: str, level: str = "info") -> None:
    """Say something on standard error.

    Args:
        message: for people; it may have lines.
        level: of a log line: info, warning or error.
    """
    if logs_are_json(os.environ):
        from sessions_platform.operations.log_lines import log_line

        message = log_line(level, _LOGGER, message)
    click.echo(message, err=True)
