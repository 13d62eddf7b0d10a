"""The page of commands is what the command line says of itself."""

import re
from pathlib import Path

from sessions_platform.cli import COMMANDS
from sessions_platform.cli.reference import command_reference
from sessions_platform.operations.page_tables import with_table

PAGE = Path(__file__).parents[2] / "docs" / "commands.md"


def test_the_page_has_every_command_as_its_help_describes_it() -> None:
    page, reference = PAGE.read_text(encoding="utf-8"), command_reference()
    assert with_table(page, "commands", reference) == page, (
        "run python -m sessions_platform.cli.reference docs/commands.md"
    )
    assert set(re.findall(r"^## (\S+)$", reference, re.MULTILINE)) == set(COMMANDS)
