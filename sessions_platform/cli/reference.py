"""The page of commands, made from their help texts.

Run as `python -m sessions_platform.cli.reference docs/commands.md` it writes them into that page anew.
"""

from collections.abc import Iterator

import click

from sessions_platform.cli import app
from sessions_platform.cli.lazy_group import LazyCommand
from sessions_platform.operations.page_tables import write_table

_WIDTH = 100


def command_reference() -> str:
    """A heading and the help text of each command, in Markdown, in the order in which the command line lists them."""
    return "\n\n".join(_described(app, click.Context(app, info_name="sessions-platform"), "##"))


def _described(group: click.Group, parent: click.Context, heading: str) -> Iterator[str]:
    for name in group.list_commands(parent):
        command = group.commands[name]
        if isinstance(command, LazyCommand):
            command = command.loaded
        context = click.Context(command, parent, name, terminal_width=_WIDTH, max_content_width=_WIDTH)
        yield f"{heading} {context.command_path.partition(' ')[2]}"
        yield f"```text\n{command.get_help(context)}\n```"
        if isinstance(command, click.Group):
            yield from _described(command, context, f"{heading}#")


if __name__ == "__main__":
    write_table("commands", command_reference())
