"""A table of models by name, of which each is imported when it is first asked for.

A stream costs the models of its own source and enrichments alone.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from pkgutil import resolve_name
from typing import Generic, TypeVar

from pydantic import BaseModel

Kind = TypeVar("Kind", bound=BaseModel)


class ModelTable(MutableMapping[str, type[Kind]], Generic[Kind]):
    """Models by name. Names are looked at without an import; a test may put a model of its own into it."""

    def __init__(self, places: Mapping[str, str]) -> None:
        """The import string of each model, as in package.module:Model, by its name."""
        self._entries: dict[str, str | type[Kind]] = dict(places)

    def __getitem__(self, name: str) -> type[Kind]:
        """The model of this name."""
        entry = self._entries[name]
        if isinstance(entry, str):
            return resolve_name(entry)
        return entry

    def __contains__(self, name: object) -> bool:
        """Whether there is a model of this name."""
        return name in self._entries

    def __setitem__(self, name: str, model: type[Kind]) -> None:
        """Give the name to a model that is imported already."""
        self._entries[name] = model

    def __delitem__(self, name: str) -> None:
        """Take the name away."""
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        """The names, in the order in which they were written."""
        return iter(self._entries)

    def __len__(self) -> int:
        """How many there are."""
        return len(self._entries)
