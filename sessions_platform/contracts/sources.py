"""The table of source types, and the `source` key of a stream's file for landing files.

To add a source, write its configuration, as a subclass of `source_config.SourceConfig`, add it to `SOURCE_TYPES`, and
write its implementation in `sources` (see the protocol in `sources.base`). Nothing here imports an implementation: a
configuration names it by an import string, which `sources.registry` resolves when a stream is opened. Not here: the
keys of servers (`server_source`, and a module for each), and how records are written (`formats`).
"""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from sessions_platform.contracts.formats import listed
from sessions_platform.contracts.model_table import ModelTable
from sessions_platform.contracts.object_store import Objects, StoreOptions, objects_of
from sessions_platform.contracts.path_template import PLACEHOLDER
from sessions_platform.contracts.source_config import SourceConfig
from sessions_platform.contracts.values import Size, invalid, shown

# The type of a source that states none.
DEFAULT_TYPE = "files"


class FilesSource(SourceConfig):
    """Landing files, local ones or objects of a store: where they are and how they are written."""

    implementation: ClassVar[str] = "sessions_platform.sources.files.source:FileSource.open"
    implementation_of_objects: ClassVar[str] = "sessions_platform.sources.objects.source:ObjectSource.open"

    type: Literal["files"] = Field("files", description="Where records come from: files is the default.")
    files: str = Field(
        description="A path with wildcards. {partition:%Y-%m-%d} stands for the landing partition; without it "
        "a file belongs to the landing partition that first saw it. Relative to the stream's file; or of objects, "
        "as in s3://bucket/landing/*.ndjson, gs:// or az://."
    )
    store: StoreOptions | None = Field(
        None, description="How the object store is reached; without it, as its usual environment variables say."
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
        objects_of(files)
        return files

    @field_validator("archive")
    @classmethod
    def _names_members(cls, archive: str | None) -> str | None:
        if archive is not None and (not archive.strip("/") or archive.startswith("/") or ".." in archive.split("/")):
            raise invalid(f"{shown(archive)} names no member", 'write a path within the archive, as in "**/*.json.gz"')
        return archive

    @model_validator(mode="after")
    def _store_fits_files(self) -> Self:
        objects = self.objects
        if objects is None and self.store is not None:
            raise invalid("store belongs to objects", "remove it, or write files: s3://BUCKET/landing/*.ndjson")
        if objects and self.store and (key := self.store.foreign_key(objects.scheme)):
            raise invalid(f"store.{key} is no key of {objects.scheme}://", "remove it")
        if objects and self.rewrite_on_erasure == "all":
            raise invalid("objects are not rewritten", "remove rewrite_on_erasure")
        return self

    @property
    def objects(self) -> Objects | None:
        """Where the objects are, if the files are objects of a store."""
        return objects_of(self.files)

    @property
    def store_options(self) -> StoreOptions:
        """How the object store is reached."""
        return self.store or StoreOptions.model_validate({})

    @property
    def opened_by(self) -> str:
        """The import string of what opens it."""
        return self.implementation_of_objects if self.objects else self.implementation

    @property
    def about(self) -> dict[str, str]:
        """The files, and the bucket of objects."""
        return {"files": self.files, **({"bucket": self.objects.root} if self.objects else {})}

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self.files

    @property
    def noun(self) -> str:
        """What people call one of the things that it has."""
        return "object" if self.objects else "file"

    @property
    def dated(self) -> bool:
        """Whether a file's path states its landing partition."""
        return bool(PLACEHOLDER.search(self.files))


# By these keys files are divided into rows, or refused as a whole: where one of them changes, files are read again.
# (`archive` changes the fingerprints of archives alone.)
DIVIDING_KEYS = {
    "format", "preset", "encoding", "events", "max_unpacked",
    "separator", "quote", "escape", "comment", "line_end", "header", "parts",
}  # fmt: skip
# Keys that came later count only where they are stated, so that nothing is read again for there being one more.
LATER_DIVIDING_KEYS = {"parts"}


_IN = "sessions_platform.contracts"
SOURCE_TYPES: ModelTable[SourceConfig] = ModelTable(
    {
        "files": f"{_IN}.sources:FilesSource",
        "postgres": f"{_IN}.postgres_source:PostgresSource",
        "mysql": f"{_IN}.mysql_source:MysqlSource",
        "http": f"{_IN}.http_source:HttpSource",
        "kafka": f"{_IN}.kafka_source:KafkaSource",
        "kinesis": f"{_IN}.kinesis_source:KinesisSource",
    }
)


def source_type_of(raw: Any) -> type[SourceConfig] | None:
    """The model for a `source` as a stream's file has it; None where its type is not in the table."""
    name = raw.get("type", DEFAULT_TYPE) if isinstance(raw, dict) else DEFAULT_TYPE
    return SOURCE_TYPES[name] if isinstance(name, str) and name in SOURCE_TYPES else None


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
        models = list(SOURCE_TYPES.values())
        for model in models:
            model.model_rebuild()
        return handler(core_schema.union_schema([model.__pydantic_core_schema__ for model in models]))


AnySource = Annotated[SourceConfig, _SourceUnion]
