"""Tables in pages of the documentation that are made from code, each between two marks that readers do not see."""

import sys
from pathlib import Path


def marked(name: str, table: str) -> str:
    """A table in Markdown between the marks of its beginning and its end."""
    begin, end = _marks(name)
    return f"{begin}\n\n{table}\n\n{end}"


def with_table(page: str, name: str, table: str) -> str:
    """A page with what is between a table's marks made anew.

    Raises:
        ValueError: the page lacks a mark.
    """
    begin, end = _marks(name)
    before, rest = _divided(page, begin)
    return before + marked(name, table) + _divided(rest, end)[1]


def write_table(name: str, table: str) -> None:
    """Make a table anew in the page that the command line names."""
    page = Path(sys.argv[1])
    page.write_text(with_table(page.read_text(encoding="utf-8"), name, table), encoding="utf-8")


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _divided(text: str, mark: str) -> tuple[str, str]:
    before, found, after = text.partition(mark)
    if not found:
        raise ValueError(f"the page lacks {mark}")
    return before, after
