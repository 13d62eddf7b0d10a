"""What shells are offered for arguments, and the script by which a shell asks.

Names of streams are read from the streams' folders, a line of each file; no database is opened. Here belong values of
arguments. Not here: names of commands and options, which click finds by itself.
"""

import re
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import click
import typer
from click.shell_completion import CompletionItem, get_completion_class

PROGRAM = "sessions-platform"
VARIABLE = "_SESSIONS_PLATFORM_COMPLETE"
# As `operations/files.py` has them, which takes longer to import than a shell may wait.
ASSETS = ("raw_events", "events", "rejected_events", "sessionized_events")

_NAME = re.compile(r"""^["']?name["']?[ \t]*:[ \t]*["']?([a-z][a-z0-9_]{0,47})["']?[ \t]*(?:#.*)?$""", re.MULTILINE)
_NAME_IS_WITHIN = 1 << 16  # characters of a file


class Shell(StrEnum):
    """The shells that can complete."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(shell: Annotated[Shell, typer.Argument(help="Which shell.")]) -> None:
    """Print the script by which a shell completes commands, options, names of streams and assets.

    Put the line of the example into ~/.bashrc; for zsh, the same with zsh into ~/.zshrc; for fish,
    `sessions-platform completion fish | source` into ~/.config/fish/config.fish.
    """
    from sessions_platform.cli import app

    found = get_completion_class(shell.value)
    if found is not None:
        typer.echo(found(app, {}, PROGRAM, VARIABLE).source())


def complete_arguments(command: click.Command) -> None:
    """Have a command's arguments and options of known names completed, and those of the commands in a group."""
    for parameter in command.params:
        if complete := {"stream": complete_stream, "asset": complete_asset}.get(parameter.name or ""):
            setattr(parameter, "shell_complete", complete)  # noqa: B010  click has no other way after the fact
    if isinstance(command, click.Group):
        for within in command.commands.values():
            complete_arguments(within)


def complete_stream(_ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The names of streams that begin so; none where the settings can't be read."""
    from sessions_platform.errors import UserError
    from sessions_platform.settings import Settings

    try:
        folders = Settings.from_environment().streams
    except UserError:
        return []
    names = sorted({name for folder in folders for name in _names_in(folder)})
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def complete_asset(_ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The lake's assets that begin so."""
    return [CompletionItem(name) for name in ASSETS if name.startswith(incomplete)]


def _names_in(folder: Path) -> Iterator[str]:
    try:
        files = [file for file in folder.iterdir() if file.suffix in {".yaml", ".yml"}]
    except OSError:
        return
    for file in files:
        try:
            with file.open(encoding="utf-8", errors="replace") as text:
                stated = _NAME.search(text.read(_NAME_IS_WITHIN))
        except OSError:
            continue
        if stated:
            yield stated[1]
