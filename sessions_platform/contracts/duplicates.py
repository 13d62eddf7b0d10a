"""What makes rows of one event id duplicates, as the key `duplicates` of a stream's file states it.

Here: which columns are compared, and which row is kept. Not here: the comparison (``transforms.same_content``),
and what happens to the other rows (``transforms.deduplicate``, ``transforms.sort_events``).
"""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import invalid, shown

_Names = Annotated[list[str], Field(min_length=1)]


class Duplicates(Model):
    """Rows of one event id: duplicates if they agree in what is compared, else conflicts."""

    compare: Literal["content", "id"] | _Names = Field(
        "content", description="content: all columns; id: none, the id is enough; or the columns that have to agree."
    )
    ignore: _Names | None = Field(
        None, description="Columns, or fields in `properties`, that may differ, as a time of sending does."
    )
    keep: Literal["first", "last"] = Field("first", description="Which of them is kept, by file and position.")

    @field_validator("compare", mode="before")
    @classmethod
    def _compares_something(cls, compare: object) -> object:
        is_list = isinstance(compare, list) and compare and all(isinstance(name, str) for name in compare)
        if not is_list and compare not in ("content", "id"):
            raise invalid(f"{shown(compare)} names nothing to compare", "write content, id, or a list of columns")
        return compare

    @property
    def ignored(self) -> list[str]:
        """What `ignore` lists; nothing without it."""
        return self.ignore or []
