"""How the records of a CSV file are written, as the keys of a stream's `source` state it.

Here: the keys and the values that each may have. Not here: rules that relate two of them (``csv_checks``), the names
that a file of names has (``header_file``), and how records are cut and decoded (``sources.formats.csv``).
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator

from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import Character, invalid, shown

# The value of `separator` for runs of spaces and tabs, and the characters that these consist of.
WHITESPACE = "whitespace"
BLANKS = " \t"
_TAB_AS_LETTERS = "\\t"


def _separator(value: Any) -> Any:
    """One character, or `whitespace`. In single quotes YAML reads \\t as two letters, which can only mean a tab."""
    if value == _TAB_AS_LETTERS:
        return "\t"
    if not isinstance(value, str) or (len(value) != 1 and value != WHITESPACE):
        fix = 'write 1 character, as in ";" or "\\t", or whitespace for runs of spaces and tabs'
        raise invalid(f"{shown(value)} is no separator", fix)
    return value


Separator = Annotated[
    str,
    BeforeValidator(_separator),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1, "maxLength": 1}, {"enum": ["\\t", WHITESPACE]}]}),
]


class CsvOptions(Model):
    """The keys of CSV. Other formats ignore those that have a default, and are refused the others (``csv_checks``)."""

    separator: Separator = Field(",", description="CSV: one character; whitespace for runs of spaces and tabs.")
    header: bool | Annotated[list[str], Field(min_length=1)] = Field(
        True, description="CSV: whether the first record names the fields, or the names."
    )
    header_file: str | None = Field(
        None,
        min_length=1,
        description="CSV: instead of header: a file whose first record names the fields. Relative to the stream's "
        "file.",
    )
    quote: Character | None = Field('"', description="CSV: null for none.")
    escape: Character | None = Field(
        None, description="CSV: the character that makes a separator, a quote, a line end or itself a part of a value."
    )
    comment: Character | None = Field(None, description="CSV: lines that begin with this character are skipped.")
    line_end: Literal["lf", "auto"] = Field(
        "lf", description="CSV: lf, with or without CR before it; auto: also CR alone, if a file's first line ends so."
    )
    extra_fields: Literal["refuse", "keep"] = Field(
        "refuse", description="CSV: a row of more fields than are named. keep: they are named by their numbers, from 1."
    )
    missing_fields: Literal["refuse", "null"] = Field(
        "refuse", description="CSV: a row of fewer fields than are named. null: those that lack are null."
    )

    @field_validator("missing_fields", mode="before")
    @classmethod
    def _bare_null_is_meant(cls, value: Any) -> Any:
        return "null" if value is None else value

    @field_validator("line_end", mode="before")
    @classmethod
    def _line_end_is_known(cls, value: Any) -> Any:
        if value in ("crlf", "cr"):
            fix = "write lf, which ends lines at CR LF, too" if value == "crlf" else "write auto, which reads CR"
            raise invalid(f"{value!r} is not allowed", fix)
        return value

    @field_validator("header", mode="before")
    @classmethod
    def _header_names_fields(cls, header: Any) -> Any:
        if header is True:
            return header
        if isinstance(header, list) and (bare := [name for name in header if not isinstance(name, str)]):
            raise invalid(*_not_text(bare, header))
        if not isinstance(header, list) or not header or not all(header):
            raise invalid(f"{shown(header)} gives the fields no names", "list them: header: [user_id, ts]")
        if repeated := next((name for name in header if header.count(name) > 1), None):
            raise invalid(f"{repeated!r} occurs twice", "give each field a name of its own")
        return header


def _not_text(bare: list[Any], header: list[Any]) -> tuple[str, str]:
    """Reason and fix for names that YAML does not read as text."""
    numbers = ", ".join(str(number) for number, name in enumerate(header, 1) if not isinstance(name, str))
    as_read = ", ".join("true" if name is True else "false" if name is False else shown(name) for name in bare)
    names = "the name of field" if len(bare) == 1 else "the names of fields"
    reason = f"YAML reads {names} {numbers} as {as_read}, and not as text"
    return reason, 'quote them, as in header: ["on", "no", "1"]; on, off, yes, no and y are booleans in YAML'
