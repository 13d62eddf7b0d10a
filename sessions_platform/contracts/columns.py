"""The columns of an event, as the key `columns` of a stream's file states them.

Here: what one column is, where its values come from and which rules apply to them. Not here: rules that relate
two keys of the file (``stream_checks``), the columns' polars types (``polars_types``), and the checks of the
rules (``events``).
"""

from enum import StrEnum
from typing import Literal

from pydantic import Field, field_validator

from sessions_platform.contracts.field_paths import alternatives
from sessions_platform.contracts.formats import format_of_name, suffixes
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.respelling import Decode, Extract, Split, Words
from sessions_platform.contracts.values import (
    FieldPath,
    Identifier,
    NullTexts,
    Pattern,
    SourcePaths,
    Table,
    TimestampFormat,
    Timezone,
    invalid,
    shown,
)

# Begins the path to a field of a row's envelope: the object around the array that the row is an element of.
ENVELOPE = "^"


class ColumnType(StrEnum):
    """Integers have 64 bits, floats are doubles, timestamps are UTC microseconds."""

    string = "string"
    integer = "integer"
    float = "float"
    boolean = "boolean"
    timestamp = "timestamp"


class Reference(Model):
    """Where the values that a column may have are listed: a column of a file, or of a table in the warehouse."""

    file: str | None = Field(
        None,
        description="CSV, NDJSON or Parquet, by its suffix; uncompressed, gzip or zstd. Relative to the stream's file.",
    )
    table: Table | None = Field(None, description="A table or view of the warehouse database: schema.table.")
    column: str = Field(min_length=1, description="The column or field that lists the values.")

    @field_validator("file")
    @classmethod
    def _format_is_known(cls, file: str | None) -> str | None:
        if file is not None and format_of_name(file) is None:
            fix = f"let it end in {', '.join(suffixes())}, or these and .gz"
            raise invalid(f"the suffix of {shown(file)} names no format", fix)
        return file

    @property
    def format(self) -> str | None:
        """The format of `file`; None for a table."""
        return format_of_name(self.file) if self.file else None

    def __str__(self) -> str:
        return f"{self.file or self.table}, column {self.column}"


class Duration(Model):
    """How long something took, as another column states it: a number of a unit of time."""

    column: Identifier = Field(description="A column of type string, integer or float.")
    unit: Literal["s", "ms", "us", "ns"]


class Column(Model):
    """One column of an event: where it is read from, its type and its rules."""

    from_: SourcePaths | None = Field(
        None,
        alias="from",
        description="The source field; of several, the first that is not null. A dot leads into a nested field, "
        "^ into the envelope of a batch.",
    )
    join: list[FieldPath] | None = Field(
        None, min_length=2, description="Source fields to join with a space, as in a date and a time."
    )
    description: str = Field("", description="Shown in the UI.")
    type: ColumnType = ColumnType.string
    nullable: bool = Field(False, description="Whether an event may lack it.")
    unique: bool = Field(False, description="Whether a value may occur only once in a landing partition.")
    isin: list[str | int | float] | None = Field(None, min_length=1, description="The values that are allowed.")
    ge: float | None = Field(None, description="At least.")
    gt: float | None = Field(None, description="More than.")
    le: float | None = Field(None, description="At most.")
    lt: float | None = Field(None, description="Less than.")
    pattern: Pattern | None = Field(None, description="A regular expression (Rust syntax) that the text contains.")
    references: Reference | None = Field(None, description="Where its values have to be listed. Null needs no entry.")
    nulls: NullTexts | None = Field(
        None, description="Texts that mean null, ahead of fallbacks and types; instead of the source's."
    )
    decode: Decode | None = Field(None, description="The escapes that the text has, after `nulls` was compared.")
    split: Split | None = Field(None, description="The part of the decoded text that is taken.")
    extract: Extract | None = Field(
        None,
        description="A regular expression (Rust syntax): its group, or all that it matches. Null without a match.",
    )
    words: Words | None = Field(None, description="Booleans: further texts that mean true and false.")
    default: str | None = Field(
        None, min_length=1, description="The text where every field is null, as of requests that can't be read."
    )
    trim: bool = Field(False, description="Whether white space around the text is removed.")
    case: Literal["lower"] | None = Field(None, description="Strings: lower makes all letters lower-case.")
    unicode: Literal["NFC"] | None = Field(None, description="Strings: the normal form that text is put into.")
    formats: list[TimestampFormat] | None = Field(
        None,
        min_length=1,
        description="Timestamps: tried in turn; strftime patterns, iso8601, %+ (with an offset), epoch_s, epoch_ms, "
        "epoch_us, epoch_ns, epoch_s_local.",
    )
    bytes: Literal["refuse", "text", "hex", "uuid", "base64"] | None = Field(
        None,
        description="Strings: how bytes without a text type become text. As a data URI where absent; in user_id, "
        "event_id and event_type they are refused.",
    )
    number: Literal["exact"] | None = Field(
        None, description="Strings and integers: 42.0 and 42.00 are 42. Integers of Parquet files are read so always."
    )
    timezone: Timezone = Field("UTC", description="Timestamps: the zone of those that state none.")
    from_file_name: Pattern | None = Field(
        None,
        description="Timestamps: a regular expression whose groups are a date in the file's path. A space and the text "
        "of the column's field follow, if it has one.",
    )
    minus: Duration | None = Field(
        None, description="Timestamps: what is subtracted, as the duration of a request whose end is logged."
    )
    floor: Literal["1ms", "1s", "1m"] | None = Field(
        None, description="Timestamps: the unit to whose last whole number the moment is set back, before all else."
    )

    @property
    def bounds(self) -> dict[str, float]:
        """The bounds that are stated, by the name of their key: ge, gt, le, lt."""
        named = {"ge": self.ge, "gt": self.gt, "le": self.le, "lt": self.lt}
        return {name: bound for name, bound in named.items() if bound is not None}

    @property
    def is_optional(self) -> bool:
        """Whether a row may lack all of its fields."""
        return self.nullable or self.default is not None

    def paths(self, name: str) -> list[str]:
        """The source fields that the column is read from; its own `name` where it states none.

        There are none where it is read from the file's name alone.
        """
        if self.from_file_name and not (self.from_ or self.join):
            return []
        return self.join or [path for stated in self.from_ or [name] for path in alternatives(stated)]

    def fields(self, name: str) -> list[str]:
        """Those of the paths that lead into the row itself, not into its envelope."""
        return [path for path in self.paths(name) if not path.startswith(ENVELOPE)]
