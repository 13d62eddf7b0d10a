"""The table of record formats, and the keys of a source that describe how its records are written.

A format splits a byte stream into records and decodes a record into fields. To add one, write
its implementation (one file in `sources.formats`, see the protocol in `sources.formats.base`)
and add its line to `FORMATS`. Which columns are made of a record's fields is in `contracts.columns`;
where records come from is in `contracts.sources`. Nothing here imports an implementation: the table names it
by an import string, which `sources.formats.registry` resolves when the format is first used.
"""

import re
from enum import Enum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
)

from sessions_platform.contracts.csv_options import CsvOptions
from sessions_platform.contracts.field_paths import enters_value
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import Encoding, FieldPath, NullTexts, Pattern, invalid, shown

# Suffixes of compressed files. They help to find the format in a name. Decompression depends on the first
# bytes, but for brotli, which has no signature.
COMPRESSED = (".gz", ".zst", ".bz2", ".xz", ".lz4", ".br")


class Layout(Enum):
    """What a format's records look like, if `transforms.parse.vectorized` can parse many of them at once."""

    json_object = "a JSON object, in UTF-8"
    named_groups = "text that a regular expression cuts into named groups"
    directed = "fields between tabs or spaces, named by a directive above them"
    delimited = "fields between separators, quoted as in CSV, named by a header"


class FormatEntry(NamedTuple):
    """One line of the table of formats.

    `implementation` is the import string of a class that keeps `sources.formats.base.Format`. `suffixes` end the
    names of its files. `is_text`: records are text in the encoding that the source states (else payloads are UTF-8
    whatever it states). `is_untyped`: every value is text, so that there is no drift of types. `is_typed`: its files
    have types for times and dates, which are ISO 8601 in a record, so that columns need no formats for them.
    `is_rewritable`: an erasure can write a file of it anew without a user's rows.
    `comment` begins the lines of its files that are no records of events; they are skipped, and counted.
    `layout` is None where records are always parsed one by one.
    """

    implementation: str
    suffixes: tuple[str, ...]
    is_text: bool = True
    is_untyped: bool = False
    is_typed: bool = False
    is_rewritable: bool = True
    comment: str | None = None
    layout: Layout | None = None


def _columnar(implementation: str, *suffixes: str, is_rewritable: bool = False) -> FormatEntry:
    """A binary format with types, whose rows are canonical JSON."""
    return FormatEntry(
        f"{_IN}.typed.format:{implementation}",
        suffixes,
        is_text=False,
        is_typed=True,
        is_rewritable=is_rewritable,
        layout=Layout.json_object,
    )


_IN = "sessions_platform.sources.formats"
FORMATS: dict[str, FormatEntry] = {
    "ndjson": FormatEntry(f"{_IN}.ndjson:NdjsonFormat", (".ndjson", ".jsonl"), layout=Layout.json_object),
    "json": FormatEntry(f"{_IN}.json_documents:JsonFormat", (".json",), layout=Layout.json_object),
    "csv": FormatEntry(f"{_IN}.csv:CsvFormat", (".csv",), is_untyped=True, layout=Layout.delimited),
    "regex": FormatEntry(f"{_IN}.regex:RegexFormat", (), is_untyped=True, layout=Layout.named_groups),
    "w3c": FormatEntry(f"{_IN}.w3c:W3cFormat", (), is_untyped=True, comment="#", layout=Layout.directed),
    "logfmt": FormatEntry(f"{_IN}.logfmt:LogfmtFormat", (), is_untyped=True),
    "query": FormatEntry(f"{_IN}.query:QueryFormat", (), is_untyped=True),
    "parquet": _columnar("ParquetFormat", ".parquet", is_rewritable=True),
    "arrow": _columnar("ArrowFormat", ".arrow", ".arrows", ".feather"),
    "orc": _columnar("OrcFormat", ".orc"),
    "avro": _columnar("AvroFormat", ".avro"),
}


def suffixes() -> list[str]:
    """The suffixes of all formats, in alphabetical order."""
    return sorted(suffix for entry in FORMATS.values() for suffix in entry.suffixes)


def format_of_name(file: str) -> str | None:
    """The format that a file's name states by its suffix, or by the one before .gz, .zst and so on; else None."""
    endings = [suffix.lower() for suffix in PurePosixPath(file).suffixes]
    if endings and endings[-1] in COMPRESSED:
        endings.pop()
    return next((name for name, entry in FORMATS.items() if endings and endings[-1] in entry.suffixes), None)


def listed(names: list[str]) -> str:
    """Names as a message lists them: 'a', 'b' or 'c'."""
    *first, last = map(repr, names)
    return f"{', '.join(first)} or {last}" if first else last


# In the path to the events: each item of the array so far.
EACH_ITEM = "[]"
# In the path to the events: the value of this key is text, and the path goes on in the JSON that it means.
WITHIN_TEXT = "json:"
_EVENTS_PATH = re.compile(r"(?:\[\]\.)?(?:[^.\[\]]+(?:\[\])?\.)*[^.\[\]]+")


def _events_path(events: Any) -> Any:
    """A path of keys and of arrays that are passed through, or "[]", which YAML reads as an empty list."""
    if events in ([], EACH_ITEM):
        return EACH_ITEM
    if not isinstance(events, str) or not _EVENTS_PATH.fullmatch(events):
        fix = "write its keys, as in batch or data.events, with [] for each item of an array, as in visits[].actions"
        raise invalid(f"{shown(events)} is no path to an array", fix)
    return events


def _steps(path: str) -> list[str]:
    return re.findall(r"\[\]|[^.\[\]]+", path)


EventsPath = Annotated[
    str,
    BeforeValidator(_events_path),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1}, {"type": "array", "maxItems": 0}]}),
]


def _known_format(name: str) -> str:
    if name not in FORMATS:
        raise invalid(f"{shown(name)} is not allowed", f"write {listed(list(FORMATS))}")
    return name


Format = Annotated[
    str, AfterValidator(_known_format), Field(json_schema_extra=lambda schema: schema.update(enum=list(FORMATS)))
]


# Options that came later are part of a contract version only where they differ from their default.
LATER_OPTIONS = (
    "events",
    "non_finite",
    "invalid_utf8",
    "pattern",
    "parse",
    "parts",
    "escape",
    "comment",
    "line_end",
    "extra_fields",
    "missing_fields",
)


class NestedText(Model):
    """Text within a field of each record, in a format of its own."""

    field: FieldPath = Field(description="The field that has the text: text, a list of bytes, or null.")
    format: Literal["json", "logfmt", "query", "regex"]
    pattern: Pattern | None = Field(
        None, description="Regex: what matches the whole text, with a group for each field."
    )

    encoding: Literal["base64"] | None = Field(None, description="base64: the text is the base64 of its bytes.")

    @model_serializer(mode="wrap")
    def _without_default(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without the encoding where there is none, as before there was the key: it is part of contract versions."""
        content: dict[str, Any] = serialize(self)
        return {key: value for key, value in content.items() if key != "encoding" or value is not None}

    @field_validator("field")
    @classmethod
    def _field_is_in_objects(cls, field: str) -> str:
        if enters_value(field) or field.startswith("^"):
            raise invalid(
                f"{shown(field)} leads out of the record's objects", "write its keys, as in log or event.text"
            )
        return field


class FormatOptions(CsvOptions):
    """How records are written. Each format uses the options that apply to it, and ignores the others.

    They decide what a payload means, so they are part of a stream's contract version.
    """

    format: Format
    encoding: Encoding = Field("utf-8", description="Of formats that are text.")
    events: EventsPath | None = Field(
        None,
        description="NDJSON, JSON and query: the array that has the events, in each line or document, as in batch or "
        "data.events; [] for a line or document that is the array itself; visits[].actions for the arrays of each item "
        "of an array. NDJSON: json:body.batch for an array in JSON that is text. Query: the name whose value is "
        "a JSON array of events, as in events.",
    )
    nulls: NullTexts = Field(
        default_factory=list, description="Texts that mean null in every column that states no nulls of its own."
    )
    non_finite: Literal["reject", "null"] = Field(
        "reject", description="NDJSON and JSON: what NaN, Infinity and -Infinity mean, which JSON does not have."
    )
    invalid_utf8: Literal["reject", "latin-1"] = Field(
        "reject",
        description="NDJSON, JSON, regex, W3C, logfmt and query in UTF-8: what bytes mean that are none. latin-1: "
        "each is the character of its number.",
    )
    parse: NestedText | None = Field(
        None, description="Text within a field, as an access line in a journal's JSON; its fields replace the text."
    )
    parts: Literal["docker", "cri"] | None = Field(
        None,
        description="With parse: whose records are parts of a line above 16 KiB, which are one row: Docker's, or those "
        "of the container runtimes of Kubernetes.",
    )
    pattern: Pattern | None = Field(
        None,
        description="Regex: a regular expression (Rust syntax) that matches a whole line. Its named groups are the "
        "fields.",
    )

    @field_validator("non_finite", mode="before")
    @classmethod
    def _yaml_null_is_meant(cls, value: Any) -> Any:
        return "null" if value is None else value

    @property
    def event_keys(self) -> list[str]:
        """The steps to the array of events: keys, and `EACH_ITEM` behind an array whose items are entered.

        There are none for a bare array, or where no array is stated.
        """
        if self.events in (None, EACH_ITEM):
            return []
        _, is_within, behind = str(self.events).partition(WITHIN_TEXT)
        return _steps(behind.partition(".")[2] if is_within else str(self.events))

    @property
    def text_keys(self) -> list[str]:
        """The keys to the text whose JSON has the array of events; none where the record itself has it."""
        before, is_within, behind = str(self.events or "").partition(WITHIN_TEXT)
        return [*_steps(before), behind.partition(".")[0]] if is_within else []

    @property
    def has_nested_text(self) -> bool:
        """Whether values are read from text within a field, so that a payload spells them otherwise than they are."""
        return self.parse is not None or bool(self.text_keys)


# The options that decide what a payload means. Of `header_file` that are its names, which `header` has.
VERSIONED_OPTIONS = set(FormatOptions.model_fields) - {"header_file"}
