"""The table of source types, and the `source` key of a stream's file for each of them.

To add a source, write its configuration here, add it to `SOURCE_TYPES`, and write its implementation in one file of
`sources` (see the protocol in `sources.base`). Nothing here imports an implementation: a configuration names it by an
import string, which `sources.registry` resolves when a stream is opened. Not here: how records are written (`formats`).
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, field_validator
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from sessions_platform.contracts.formats import FormatOptions, listed
from sessions_platform.contracts.path_template import PLACEHOLDER
from sessions_platform.contracts.values import Size, invalid, shown

# The type of a source that states none.
DEFAULT_TYPE = "files"


class SourceConfig(FormatOptions):
    """What every source states: how its records are written.

    A subclass adds `type`, the literal that its stream files write, and keys of its own, and sets
    `implementation` to the import string of a callable that takes the stream and the settings and
    returns a `sources.base.Source`.
    """

    implementation: ClassVar[str]


class FilesSource(SourceConfig):
    """Landing files: where they are and how they are written."""

    implementation: ClassVar[str] = "sessions_platform.sources.files.source:FileSource.open"

    type: Literal["files"] = Field("files", description="Where records come from: files is the default.")
    files: str = Field(
        description="A path with wildcards. {partition:%Y-%m-%d} stands for the landing partition; without it "
        "a file belongs to the landing partition that first saw it. Relative to the stream's file."
    )
    max_unpacked: Size = Field(
        16 * 10**9,
        description="How much of a compressed or Parquet file is read; the rest is unreadable.",
        json_schema_extra={"default": "16GB"},
    )

    archive: str | None = Field(
        None,
        description="Which members of zip and tar archives among the files are landing files of their own: a path with "
        'wildcards, as in "**/*.json.gz".',
    )
    max_members: int = Field(100_000, ge=1, description="How many members an archive may have.")
    max_ratio: int = Field(
        1000, ge=1, description="How many times its packed size a member, or a compressed tar, may be; above 64 MB."
    )

    rewrite_on_erasure: Literal["placed", "all", "none"] = Field(
        "placed",
        description="Which landing files `erase` rewrites without a user's rows: those that `ingest` has placed, all, "
        "or none.",
    )

    follow_outside_links: bool = Field(
        False, description="Whether links below the landing folder may lead to files outside of it."
    )

    @field_validator("files")
    @classmethod
    def _placeholder_is_whole(cls, files: str) -> str:
        rest = PLACEHOLDER.sub("", files).replace("${SESSIONS_HOME}", "")
        if "{" in rest or "}" in rest:
            raise invalid(f"{files!r} has a placeholder that is not known", "write {partition:%Y-%m-%d}")
        if not files.strip():
            raise invalid("it names no files", "write a path, as in landing/{partition:%Y-%m-%d}/*.csv")
        return files

    @field_validator("archive")
    @classmethod
    def _names_members(cls, archive: str | None) -> str | None:
        if archive is not None and (not archive.strip("/") or archive.startswith("/") or ".." in archive.split("/")):
            raise invalid(f"{shown(archive)} names no member", 'write a path within the archive, as in "**/*.json.gz"')
        return archive

    @property
    def dated(self) -> bool:
        """Whether a file's path states its landing partition."""
        return bool(PLACEHOLDER.search(self.files))


SOURCE_TYPES: dict[str, type[SourceConfig]] = {"files": FilesSource}


def source_type_of(raw: Any) -> type[SourceConfig] | None:
    """The model for a `source` as a stream's file has it; None where its type is not in the table."""
    name = raw.get("type", DEFAULT_TYPE) if isinstance(raw, dict) else DEFAULT_TYPE
    return SOURCE_TYPES.get(name) if isinstance(name, str) else None


def _validated(raw: Any) -> SourceConfig:
    if isinstance(raw, SourceConfig):
        return raw
    model = source_type_of(raw)
    if model is None:
        reason = f"there is no source of type {shown(raw['type'])}"
        error = invalid(reason, f"write {listed(list(SOURCE_TYPES))}")
        problem = InitErrorDetails(type=error, loc=("type",), input=raw["type"])
        raise ValidationError.from_exception_data("source", [problem])
    return model.model_validate(raw)


class _SourceUnion:
    """The union of the models in `SOURCE_TYPES`, discriminated by `type`, as the table is when a stream is read.

    Pydantic's own tagged union would fix its members when the class `Stream` is made.
    """

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_validated)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return handler(core_schema.union_schema([model.__pydantic_core_schema__ for model in SOURCE_TYPES.values()]))


AnySource = Annotated[SourceConfig, _SourceUnion]
