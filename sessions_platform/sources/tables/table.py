"""What is asked of a table of any database, and the words of SQL that databases spell each in their own way."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

# Of a condition that every row fulfils, and of an order that none asks for.
ALL, ANY_ORDER = "true", ""


class ServerTable(Protocol):
    """A table or view, as one connection sees it, in one state. All parts of statements are texts.

    Statements name the table `FROM {name} t`, and columns without it.

    Attributes:
        place: for messages, without secrets.
        name: quoted.
        types: of its columns, by their names.
    """

    place: str
    name: str
    types: Mapping[str, str]

    def column(self, name: str, key: str) -> str:
        """A column that a key of the stream's file names, quoted. Raises SourceRefusedError where there is none."""
        ...

    def is_time(self, column: str) -> bool:
        """Whether a column has times or dates."""
        ...

    def as_text(self, column: str) -> str:
        """An expression: the value of a column as a text that `value` reads."""
        ...

    def value(self, column: str, text: str) -> str:
        """An expression: a value of a column's type. Raises SourceRefusedError where rows can't be ordered by it."""
        ...

    def earlier(self, column: str, text: str, lag: timedelta | int) -> str:
        """An expression: the text of the value that lies the lag before one."""
        ...

    def compared(self, columns: Sequence[str], operator: str, values: Sequence[str]) -> str:
        """A condition on two columns, as of pairs: `operator` is > or <=."""
        ...

    def digest(self, where: str) -> str:
        """A text that changes whenever rows do that fulfil a condition; each is read. `0-0` for no rows."""
        ...

    def one(self, select: str) -> tuple[str, ...] | None:
        """The first row of a query, as texts."""
        ...

    def rows(self, where: str, order: str) -> Iterator[bytes]:
        """The JSON of each row that fulfils a condition; none is kept."""
        ...


def no_such_column(table: ServerTable, name: str, key: str) -> str:
    """The sentence about a column that a key of the stream's file names, and the table does not have."""
    return f"{table.place} has no column {name!r}; it has {', '.join(table.types)}. Fix: correct {key}."
