"""The asset's `properties` in many rows at once: the JSON of the fields that no column names.

Here: how the text is put together of the texts of a template's slots. Not here: which fields these are
(``row_parser.unnamed``), and the slots' own texts (``scalars``).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import polars as pl

from sessions_platform.transforms.parse.row_parser import Tree
from sessions_platform.transforms.parse.scalars import Values
from sessions_platform.transforms.parse.templates import Fields, Slot

_NULL = pl.lit(None, pl.String)


def properties_of(values: Values, extras: Fields, named: Tree) -> pl.Expr:
    """The fields of each row as a JSON object; null in rows in which all of them are null.

    Args:
        values: the texts of the template's slots.
        extras: the template's fields that no path names.
        named: the tree of the paths that name the others.
    """
    return _object(_members(values, extras, named))


@dataclass(frozen=True)
class _Member:
    """A member of a JSON object as text, ``"key":value``; null in the rows that do not have it."""

    text: pl.Expr
    always: bool


def _members(values: Values, extras: Fields, named: Tree) -> list[_Member]:
    """The fields as JSON. Those that are null are left out, as by ``row_parser.unnamed``."""
    return [member for key, value in extras.items() if (member := _member(values, key, value, named.get(key)))]


def _member(values: Values, key: str, value: Any, below: Tree | None) -> _Member | None:
    name = f"{msgspec.json.encode(key).decode()}:"
    if below and isinstance(value, dict):
        inner = _members(values, value, below)
        return _Member(_concat([name, _object(inner)]), any(member.always for member in inner)) if inner else None
    if isinstance(value, Slot) and values.may_be_null(value):
        text = _concat([name, *_json_text(values, value)])
        return _Member(pl.when(values.text_or_null(value).is_not_null()).then(text), always=False)
    return _Member(_concat([name, *_json_text(values, value)]), always=True)


def _object(members: list[_Member]) -> pl.Expr:
    """The members as a JSON object; null in rows that have none of them."""
    if not members:
        return _NULL
    text = pl.concat_str([member.text for member in members], separator=",", ignore_nulls=True)
    text = _concat(["{", text, "}"])
    if any(member.always for member in members):
        return text
    return pl.when(pl.any_horizontal(member.text.is_not_null() for member in members)).then(text)


def _json_text(values: Values, value: Any) -> Iterator[pl.Expr | str]:
    if isinstance(value, Slot):
        quote = "" if value.null == "null" else '"'
        yield from (quote, pl.col(values.text(value).name), quote)
    elif isinstance(value, dict):
        for number, (key, inner) in enumerate(value.items()):
            yield f"{',' if number else '{'}{msgspec.json.encode(key).decode()}:"
            yield from _json_text(values, inner)
        yield "}" if value else "{}"
    else:
        for number, inner in enumerate(value):
            yield "," if number else "["
            yield from _json_text(values, inner)
        yield "]" if value else "[]"


def _concat(parts: Iterable[pl.Expr | str]) -> pl.Expr:
    return pl.concat_str([pl.lit(part) if isinstance(part, str) else part for part in parts])
