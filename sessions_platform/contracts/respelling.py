"""How a column's text is made of a field's: decoded, one part of it, what an expression extracts, words for booleans.

Here: the keys `decode`, `split`, `extract` and `words`, as a stream's file states them. Not here: how they are applied,
and in which order (``transforms.parse.cleaning``).
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sessions_platform.contracts.model import Model
from sessions_platform.contracts.polars_syntax import group_count
from sessions_platform.contracts.values import Pattern, invalid, shown

# What YAML 1.1 reads as true or false when it is not quoted.
_YAML_WORDS = {True: ("true", "yes", "on"), False: ("false", "no", "off")}

Decode = Literal[
    "percent", "percent_twice", "plus", "nginx", "backslash", "haproxy", "quotes", "latin_1", "morgan", "gunicorn"
]  # fmt: skip


class Split(Model):
    """Which part of a text is taken."""

    separator: str = Field(min_length=1, description="What is between the parts.")
    part: int = Field(description="0 is the first part, -1 the last. Null where there are not so many.")


def _one_group(pattern: str) -> str:
    groups = group_count(pattern)
    if groups > 1:
        fix = "write (?:…) for those that are not extracted"
        raise invalid(f"{shown(pattern)} has {groups} groups, and one is extracted", fix)
    return pattern


Extract = Annotated[Pattern, AfterValidator(_one_group)]


def _word_list(value: Any) -> list[str]:
    words = [word for each in (value if isinstance(value, list) else [value]) for word in _words_of(each)]
    return list(dict.fromkeys(words))


def _words_of(value: Any) -> Iterator[str]:
    if isinstance(value, bool):
        yield from _YAML_WORDS[value]
    elif isinstance(value, str | int) and str(value).strip():
        yield str(value).lower()
    else:
        raise invalid(f"{shown(value)} is no word, as YAML reads it", 'quote it, as in words: {true: ["1", "yes"]}')


_Words = Annotated[
    list[str],
    BeforeValidator(_word_list),
    Field(json_schema_extra={"items": {"type": ["string", "number", "boolean"]}}),
]


class Words(Model):
    """Further texts of a boolean, in upper or lower case; `true` and `false` always are."""

    true: _Words = Field(default_factory=list, description="Texts that mean true.")
    false: _Words = Field(default_factory=list, description="Texts that mean false.")

    @model_validator(mode="after")
    def _mean_one_value(self) -> "Words":
        both = {*self.true, "true"} & {*self.false, "false"}
        if both:
            raise invalid(f"{min(both)!r} would mean both true and false", "remove it from one of the lists")
        return self

    @property
    def values(self) -> dict[str, bool]:
        """Each word in lower case, and what it means."""
        return {**dict.fromkeys(self.true, True), **dict.fromkeys(self.false, False)}
