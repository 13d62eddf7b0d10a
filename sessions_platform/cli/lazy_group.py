"""Commands that are imported when they run: a group knows of each its name, its summary and where it is.

So `--help`, `--version` and a mistyped name cost the import of click alone. Here belongs how a command is found and
loaded. Not here: which commands there are (``cli/__init__``), and what they are made of, which is typer's.
"""

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple

import click

from sessions_platform.cli import terminal
from sessions_platform.cli.examples import EXAMPLES
from sessions_platform.cli.exit_codes import INTERRUPTED, NOBODY_READS


class Entry(NamedTuple):
    """A line of the table of commands.

    Attributes:
        place: where the function of the command is, or the typer app of a group, as in `package.module:name`.
        summary: what `--help` of the whole says of it, in one line.
    """

    place: str
    summary: str


class LazyCommand(click.Command):
    """A command of which only the name and the summary are known until it is parsed or asked for its help."""

    def __init__(self, name: str, entry: Entry) -> None:
        super().__init__(name, short_help=entry.summary, add_help_option=False)
        self.place = entry.place

    @cached_property
    def loaded(self) -> click.Command:
        """The command itself; its module is imported."""
        import typer

        from sessions_platform.cli.completion import complete_arguments

        module, _, name = self.place.partition(":")
        found = getattr(importlib.import_module(module), name)
        app = found
        if not isinstance(found, typer.Typer):
            app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
            app.command(self.name)(found)
        command = typer.main.get_command(app)
        complete_arguments(command)
        _show_examples(command, self.name or "")
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments by the command itself, which the context then belongs to."""
        return self.loaded.make_context(info_name, args, parent, **extra)


class LazyGroup(click.Group):
    """A group of lazy commands, in the order of its table."""

    def __init__(self, table: Mapping[str, Entry], **attributes: Any) -> None:
        super().__init__(commands={name: LazyCommand(name, entry) for name, entry in table.items()}, **attributes)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click gives it
        """The names in the table's order, not sorted by the alphabet."""
        return list(self.commands)

    def make_context(self, *arguments: Any, **others: Any) -> click.Context:
        """Parse the arguments, which may print a help text."""
        with _ended_as_shells_expect():
            return super().make_context(*arguments, **others)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command."""
        with _ended_as_shells_expect():
            return super().invoke(ctx)


@contextmanager
def _ended_as_shells_expect() -> Iterator[None]:
    """Have Ctrl-C and a closed pipe end a command with the exit codes that shells give for them, where click has 1."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(file=sys.stderr)  # the terminal has just shown ^C
        raise click.exceptions.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        terminal.discard_output()
        raise click.exceptions.Exit(NOBODY_READS) from None


def _show_examples(command: click.Command, words: str) -> None:
    """Have the help of a command, or of those in a group, end with an example."""
    if example := EXAMPLES.get(words):
        command.epilog = f"\b\nExample:\n  {example}"  # \b keeps click from filling lines
    if isinstance(command, click.Group):
        for name, within in command.commands.items():
            _show_examples(within, f"{words} {name}")
