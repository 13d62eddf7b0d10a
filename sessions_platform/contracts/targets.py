"""The `targets` key of a stream's file: the warehouses besides PostgreSQL to which its sessions are delivered.

To add a type of target, write its keys here, as a subclass of `TargetConfig`, add it to `TARGET_TYPES`, and write its
implementation in `storage.warehouses` (see `storage.warehouses.base`). A configuration names it by an import string,
which `storage.warehouses.registry` resolves when sessions are delivered. Not here: what is delivered, and when
(`pipeline.deliver`).
"""

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic_core import CoreSchema, InitErrorDetails, core_schema

from sessions_platform.contracts.formats import listed
from sessions_platform.contracts.model import Model
from sessions_platform.contracts.object_store import Objects, StoreOptions, objects_of
from sessions_platform.contracts.secrets import Secret, TextOrSecret, shown_text
from sessions_platform.contracts.values import PositiveDuration, invalid, shown

TargetTable = Literal["sessions", "sessionized_events"]


class TargetConfig(Model):
    """What every target states.

    A subclass adds `type`, a literal with a default, and keys of its own, and sets `implementation` to the import
    string of a class of `storage.warehouses.base.Target`.
    """

    implementation: ClassVar[str]

    tables: list[TargetTable] = Field(
        ["sessions"], min_length=1, description="What is delivered: sessions, and sessionized_events."
    )

    @property
    def kind(self) -> str:
        """Its type, as the UI shows it."""
        return getattr(self, "type", "")

    @property
    def place(self) -> str:
        """Where it is, for people; without secrets."""
        raise NotImplementedError


class DuckdbTarget(TargetConfig):
    """A DuckDB file, which each delivery replaces by a new one."""

    implementation: ClassVar[str] = "sessions_platform.storage.warehouses.duckdb_file:DuckdbFile"

    type: Literal["duckdb"] = Field("duckdb", description="A DuckDB file.")
    path: str = Field(min_length=1, description="Relative to the stream's file, or to ${SESSIONS_HOME}.")

    @property
    def place(self) -> str:
        """The path."""
        return self.path


class ParquetTarget(TargetConfig):
    """A folder of Parquet files in Hive's layout, with a manifest."""

    implementation: ClassVar[str] = "sessions_platform.storage.warehouses.parquet_folder:ParquetFolder"

    type: Literal["parquet"] = Field(
        "parquet", description="Parquet files in a local folder or an object store, one per partition."
    )
    path: str = Field(
        min_length=1,
        description="The folder: relative to the stream's file or to ${SESSIONS_HOME}, or a URL, as in s3://lake/shop.",
    )
    store: StoreOptions | None = Field(
        None, description="How the object store is reached; without it, as its usual environment variables say."
    )

    @model_validator(mode="after")
    def _store_fits_path(self) -> Self:
        objects = self.objects
        if objects is None and self.store is not None:
            raise invalid("store belongs to objects", "remove it, or write path: s3://BUCKET/shop")
        if objects and self.store and (key := self.store.foreign_key(objects.scheme)):
            raise invalid(f"store.{key} is no key of {objects.scheme}://", "remove it")
        return self

    @property
    def place(self) -> str:
        """The path."""
        return self.path

    @property
    def objects(self) -> Objects | None:
        """Where the objects are, if it is in an object store."""
        return objects_of(self.path.rstrip("/"), "shop")

    @property
    def store_options(self) -> StoreOptions:
        """How the object store is reached."""
        return self.store or StoreOptions.model_validate({})


class _LakeTables(TargetConfig):
    """Tables of a lake format below one path, which keep superseded versions for a while."""

    path: str = Field(
        min_length=1,
        description="The folder of the tables: relative to the stream's file or to ${SESSIONS_HOME}, or a URL, as in "
        "s3://lake/shop.",
    )
    options: dict[str, TextOrSecret] = Field(
        default_factory=dict, description="How the object store is reached, by the library's names for it."
    )
    keep_for: PositiveDuration = Field(
        timedelta(days=7),
        description="For how long files of superseded versions stay, for readers who have begun.",
        json_schema_extra={"default": "7d"},
    )

    @property
    def place(self) -> str:
        """The path."""
        return self.path

    @property
    def is_remote(self) -> bool:
        """Whether it is in an object store."""
        return "://" in self.path


class DeltaTarget(_LakeTables):
    """Delta tables below one path."""

    implementation: ClassVar[str] = "sessions_platform.storage.warehouses.delta_tables:DeltaTables"

    type: Literal["delta"] = Field("delta", description="Delta tables in a local folder or an object store.")


class IcebergTarget(_LakeTables):
    """Iceberg tables below one path, in a catalog that is a database."""

    implementation: ClassVar[str] = "sessions_platform.storage.warehouses.iceberg_tables:IcebergTables"

    type: Literal["iceberg"] = Field("iceberg", description="Iceberg tables in a local folder or an object store.")
    catalog: Secret | None = Field(
        None,
        description="The variable that has the URL of the catalog's database, as in postgresql://user:…@host/name; by "
        "default catalog.db in the folder, a SQLite file.",
    )
    namespace: str = Field(
        "default", pattern=r"^[A-Za-z0-9_]{1,64}$", description="The namespace of the tables in the catalog."
    )

    @model_validator(mode="after")
    def _has_a_catalog(self) -> Self:
        if self.is_remote and self.catalog is None:
            raise invalid("tables in an object store need a catalog", "write catalog: {env: CATALOG_URL}")
        return self


class MysqlTarget(TargetConfig):
    """Tables of a MySQL or MariaDB database."""

    implementation: ClassVar[str] = "sessions_platform.storage.warehouses.mysql_tables:MysqlTables"

    type: Literal["mysql"] = Field("mysql", description="Tables of a MySQL or MariaDB database.")
    host: TextOrSecret = Field(description="The server, or the path of its socket.")
    port: int = Field(3306, ge=1, le=65535)
    database: str = Field(min_length=1, description="The database, which has to be there.")
    user: TextOrSecret = Field(description="Who may create and alter tables there, and write to them.")
    password: Secret | None = Field(None, description="The variable that has the password.")
    sslmode: Literal["disable", "prefer", "verify-full"] = Field(
        "prefer", description="Whether the connection is encrypted; verify-full to be sure of the server."
    )
    sslrootcert: str | None = Field(None, description="With verify-full: the file of the authority's certificate.")
    prefix: str = Field(
        "", pattern=r"^[a-z0-9_]{0,32}$", description="What the tables' names begin with, before sessions and so on."
    )

    @property
    def place(self) -> str:
        """Server, database and tables; without secrets."""
        return f"mysql://{shown_text(self.host)}:{self.port}/{self.database}/{self.prefix}*"


class RedisTarget(TargetConfig):
    """Hashes in Redis or Valkey."""

    implementation: ClassVar[str] = "sessions_platform.storage.warehouses.redis_hashes:RedisHashes"

    type: Literal["redis"] = Field("redis", description="Sessions in Redis or Valkey, the newest of a user at hand.")
    url: Secret = Field(description="The variable that has the URL, as in rediss://user:…@cache.example.com:6379/0.")
    prefix: str = Field(pattern=r"^[A-Za-z0-9_.{}-]{1,64}$", description="What all keys begin with, before a colon.")
    tables: list[Literal["sessions"]] = Field(  # pyright: ignore[reportIncompatibleVariableOverride]
        ["sessions"], min_length=1, description="Only sessions can be delivered."
    )

    @property
    def place(self) -> str:
        """Where, without secrets."""
        return f"redis ${self.url.env}, {self.prefix}:*"


class MongodbTarget(TargetConfig):
    """Documents in MongoDB."""

    implementation: ClassVar[str] = "sessions_platform.storage.warehouses.mongodb_documents:MongodbDocuments"

    type: Literal["mongodb"] = Field("mongodb", description="A document for each session in MongoDB.")
    url: Secret = Field(description="The variable that has the URL, as in mongodb+srv://user:…@db.example.com/.")
    database: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,63}$", description="The database, which is made where it is not there."
    )
    prefix: str = Field(
        "",
        pattern=r"^[a-z0-9_]{0,32}$",
        description="What the collections' names begin with, before sessions and so on.",
    )

    @property
    def place(self) -> str:
        """Where, without secrets."""
        return f"mongodb ${self.url.env}, {self.database}.{self.prefix}*"


class SnowflakeTarget(TargetConfig):
    """Tables of a Snowflake schema."""

    model_config = ConfigDict(serialize_by_alias=True)
    implementation: ClassVar[str] = "sessions_platform.storage.warehouses.snowflake_tables:SnowflakeTables"

    type: Literal["snowflake"] = Field("snowflake", description="Tables of a Snowflake schema.")
    account: TextOrSecret = Field(description="The account's identifier, as in myorg-myaccount.")
    user: TextOrSecret = Field(description="Who may create tables and stages in the schema.")
    password: Secret | None = Field(None, description="The variable that has the password or programmatic token.")
    key_file: str | None = Field(None, description="Instead of a password: the file of the user's private key.")
    key_password: Secret | None = Field(None, description="The variable that has the password of key_file.")
    role: str | None = Field(None, description="By default the user's own.")
    warehouse: str | None = Field(None, description="By default the user's own.")
    database: str = Field(min_length=1, description="The database, which has to be there.")
    in_schema: str = Field(alias="schema", min_length=1, description="The schema, which has to be there.")
    prefix: str = Field(
        "", pattern=r"^[a-z0-9_]{0,32}$", description="What the tables' names begin with, before sessions and so on."
    )
    options: dict[str, int | TextOrSecret] = Field(
        default_factory=dict, description="Further parameters of the connection, by the library's names for them."
    )

    @property
    def place(self) -> str:
        """Account, schema and tables; without secrets."""
        return f"snowflake://{shown_text(self.account)}/{self.database}.{self.in_schema}.{self.prefix}*"

    @model_validator(mode="after")
    def _has_one_credential(self) -> Self:
        if (self.password is None) == (self.key_file is None):
            raise invalid("a user needs a password or a key_file, and not both", "write password: {env: NAME}")
        return self


class ClickhouseTarget(TargetConfig):
    """Tables and views of a ClickHouse database."""

    implementation: ClassVar[str] = "sessions_platform.storage.warehouses.clickhouse_tables:ClickhouseTables"

    type: Literal["clickhouse"] = Field("clickhouse", description="Tables and views of a ClickHouse database.")
    host: TextOrSecret = Field(description="The server.")
    port: int | None = Field(None, ge=1, le=65535, description="Of its HTTP interface: 8443, or 8123 without tls.")
    tls: bool = Field(True, description="Whether the connection is encrypted and the server's certificate is checked.")
    sslrootcert: str | None = Field(None, description="The file of the authority's certificate, where it is your own.")
    database: str = Field(pattern=r"^[A-Za-z0-9_]{1,64}$", description="The database, which has to be there.")
    user: TextOrSecret = Field("default", description="Who may create and alter tables there, and write to them.")
    password: Secret | None = Field(None, description="The variable that has the password.")
    prefix: str = Field(
        "", pattern=r"^[a-z0-9_]{0,32}$", description="What the tables' names begin with, before sessions and so on."
    )

    @property
    def place(self) -> str:
        """Server, database and tables; without secrets."""
        return f"clickhouse://{shown_text(self.host)}/{self.database}.{self.prefix}*"


TARGET_TYPES: dict[str, type[TargetConfig]] = {
    "duckdb": DuckdbTarget,
    "parquet": ParquetTarget,
    "delta": DeltaTarget,
    "iceberg": IcebergTarget,
    "mysql": MysqlTarget,
    "redis": RedisTarget,
    "mongodb": MongodbTarget,
    "snowflake": SnowflakeTarget,
    "clickhouse": ClickhouseTarget,
}


def named_types(targets: Any) -> Any:
    """`targets` as a stream's file has them, with the type of each: its name, where it states none."""
    if not isinstance(targets, dict):
        return targets
    return {name: _with_type(name, target) for name, target in targets.items()}


def _with_type(name: str, target: Any) -> Any:
    return {"type": name, **target} if isinstance(target, dict) and "type" not in target else target


def target_type_of(raw: Any, name: str = "") -> type[TargetConfig] | None:
    """The model of a target of this name as a stream's file has it; None where its type is not in the table."""
    stated = raw.get("type", name) if isinstance(raw, dict) else name
    return TARGET_TYPES.get(stated) if isinstance(stated, str) else None


def _validated(raw: Any) -> TargetConfig:
    if isinstance(raw, TargetConfig):
        return raw
    if not isinstance(raw, dict):
        raise invalid(f"{shown(raw)} is not keys with values", "write {path: sessions.duckdb}")
    model = target_type_of(raw)
    if model is None:
        reason = f"there is no target of type {shown(raw.get('type'))}"
        error = invalid(reason, f"state type: {listed(list(TARGET_TYPES))}, or name the target so")
        raise ValidationError.from_exception_data("target", [InitErrorDetails(type=error, loc=("type",), input=raw)])
    return model.model_validate(raw)


class _TargetUnion:
    """The union of the models in `TARGET_TYPES`, told by `type`."""

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_validated)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        for model in TARGET_TYPES.values():
            model.model_rebuild()
        return handler(core_schema.union_schema([model.__pydantic_core_schema__ for model in TARGET_TYPES.values()]))


AnyTarget = Annotated[TargetConfig, _TargetUnion]
