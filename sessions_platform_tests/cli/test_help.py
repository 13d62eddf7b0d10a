"""The table of commands, and the help of each."""

import re
import shlex
from collections.abc import Iterator
from importlib.metadata import version

import click
import pytest
import typer
from click.testing import CliRunner

from sessions_platform.cli import app
from sessions_platform.cli.examples import EXAMPLES
from sessions_platform.cli.exit_codes import INTERRUPTED
from sessions_platform.cli.lazy_group import Entry, LazyCommand, LazyGroup


def commands(group: click.Group = app, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands, those of groups included, by the words that call them."""
    for name, command in group.commands.items():
        real = command.loaded if isinstance(command, LazyCommand) else command
        if isinstance(real, click.Group):
            yield from commands(real, f"{path}{name} ")
        else:
            yield f"{path}{name}", real


every_command = pytest.mark.parametrize("command", [pytest.param(it, id=name) for name, it in commands()])


@every_command
def test_every_command_and_all_of_its_arguments_are_explained(command: click.Command) -> None:
    shown = CliRunner().invoke(command, ["--help"]).output
    assert command.help
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    assert [one.name for one in arguments if not getattr(one, "help", None)] == []
    assert all(getattr(one, "help", "").split()[0] in shown for one in arguments)


@pytest.mark.parametrize(("words", "command"), [pytest.param(*it, id=it[0]) for it in commands()])
def test_the_help_of_every_command_ends_with_an_example_that_it_understands(words: str, command: click.Command) -> None:
    shown = CliRunner().invoke(command, ["--help"], terminal_width=80).output
    assert shown.rstrip().endswith(f"Example:\n    {EXAMPLES[words]}")
    (written,) = re.findall(r"sessions-platform ([^)]+)", EXAMPLES[words])
    arguments = shlex.split(written)
    within: click.Command = app
    while isinstance(within, click.Group):
        name, found, arguments = within.resolve_command(click.Context(within), arguments)
        assert name is not None
        assert found is not None
        within = found.loaded if isinstance(found, LazyCommand) else found
    assert within.make_context(words, arguments).command.name == command.name


def test_no_summary_is_cut_in_eighty_columns() -> None:
    shown = CliRunner().invoke(app, ["--help"], terminal_width=80).output
    assert [name for name, command in app.commands.items() if f"{command.short_help}\n" not in shown] == []


def test_the_version_is_that_of_the_installed_package() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.output) == (0, f"sessions-platform {version('sessions-platform')}\n")


def test_a_mistyped_name_is_answered_with_the_right_one() -> None:
    answer = CliRunner().invoke(app, ["statsu"])
    assert answer.exit_code == 2
    assert "Did you mean 'status'?" in answer.output


def interrupted() -> None:
    """A command that Ctrl-C ends."""
    raise KeyboardInterrupt


def exits() -> None:
    """A command that ends with a code of its own."""
    raise typer.Exit(3)


def test_a_lazy_command_ends_with_the_code_that_it_gives_and_130_when_interrupted() -> None:
    group = LazyGroup({name: Entry(f"{__name__}:{name}", "") for name in ("interrupted", "exits")})
    assert CliRunner().invoke(group, ["interrupted"]).exit_code == INTERRUPTED == 130
    assert CliRunner().invoke(group, ["exits"]).exit_code == 3
