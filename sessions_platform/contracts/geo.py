"""The keys of the enrichment `geo`: the country of an IP address, by a database of the user's own.

Not here: how addresses are read and looked up (``transforms.enrich.geo``).
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.data_files import UnusableFileError, digest_of
from sessions_platform.contracts.enrichment import EnrichmentConfig, package_versions
from sessions_platform.contracts.issues import Issue, Raw, mapping
from sessions_platform.contracts.pseudonym_checks import issues_in_clear
from sessions_platform.contracts.values import Identifier, invalid, shown

_NEEDED = ("event_id", "user_id", "event_type")


class Geo(EnrichmentConfig):
    """The country of an IP address."""

    implementation: ClassVar[str] = "sessions_platform.transforms.enrich.geo:countries"
    adds: ClassVar[Mapping[str, ColumnType]] = {"country": ColumnType.string}
    copies_files: ClassVar[bool] = True

    column: Identifier = Field("ip", alias="from", description="The column with the address.")
    database: str = Field(description="A MaxMind DB file (.mmdb) with countries, relative to the stream's file.")
    keep_ip: bool = Field(False, description="Whether the address stays in events; else its column is null there.")

    @field_validator("database")
    @classmethod
    def _is_mmdb(cls, database: str) -> str:
        if not database.endswith(".mmdb"):
            raise invalid(f"{shown(database)} is no MaxMind DB", "name a file that ends in .mmdb")
        return database

    @model_validator(mode="after")
    def _reader_is_installed(self) -> Self:
        package_versions("maxminddb", extra="enrichment")
        return self

    @property
    def path(self) -> Path:
        """Where the database is."""
        return self.located(self.database)

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def drops(self) -> tuple[str, ...]:
        return () if self.keep_ip else (self.column,)

    @cached_property
    def digest(self) -> str:
        """Of the database's bytes, as they were when it was first asked for. Raises UnusableFileError."""
        return digest_of(self.path)

    @property
    def data_versions(self) -> Mapping[str, str]:
        return {"database": self.digest}

    def check_files(self, kinds: Mapping[str, Any]) -> None:  # noqa: ARG002  the type of the address is checked
        import maxminddb

        digest_of(self.path)
        try:
            maxminddb.open_database(self.path).close()
        except (maxminddb.InvalidDatabaseError, OSError, ValueError) as error:
            reason = f"{self.path} is no MaxMind DB: {str(error).splitlines()[0]}"
            raise UnusableFileError(reason, "name a database of countries in this format") from None

    def issues(self, raw: Raw) -> Iterator[Issue]:
        """Where the address can't be left out of events, or would be stored all the same."""
        place, columns = ("enrich", "geo"), mapping(raw, "columns")
        column = mapping(columns, self.column)
        if self.column in mapping(raw, "pseudonymize") and raw["pseudonymize"][self.column] != "truncate_ip":
            reason = f"{self.column} is pseudonymized, and a pseudonym has no country"
            yield Issue(place, reason, f"remove it from pseudonymize: without keep_ip {self.column} is not stored")
        if self.keep_ip or self.column not in columns:
            return
        if self.column in _NEEDED or not column.get("nullable"):
            reason = f"{self.column} can't be left out of events, for it is not nullable"
            yield Issue(place, reason, f"state {self.column}: {{nullable: true}}, or geo: {{keep_ip: true}}")
        compare = mapping(raw, "duplicates").get("compare")
        if isinstance(compare, list) and self.column in compare:
            yield Issue(place, f"duplicates compares {self.column}, which is not stored", "compare other columns")
        if raw.get("sequence") == self.column:
            yield Issue(place, f"sequence is {self.column}, which is not stored", "state keep_ip: true")
        if self.column in mapping(raw, "identity").values():
            yield Issue(place, f"identity goes by {self.column}, which is not stored", "state keep_ip: true")
        for key in (key for key, named in _named_by(mapping(raw, "session")) if named == self.column):
            yield Issue(place, f"session.{key} goes by {self.column}, which is not stored", "state keep_ip: true")
        yield from issues_in_clear(place, self.column, raw, {self.column, *mapping(raw, "pseudonymize")})


def _named_by(session: Raw) -> Iterator[tuple[str, Any]]:
    """The keys of a session rule that name a column of events, each with what it names."""
    yield from ((key, session.get(key)) for key in ("id", "campaign"))
    yield "cut_on.column", mapping(session, "cut_on").get("column")
    own, conversions = mapping(session, "columns"), mapping(session, "conversions")
    for name in own:
        aggregate = mapping(own, name)
        yield from ((f"columns.{name}.{key}", column) for key, column in aggregate.items() if key != "where")
        yield from ((f"columns.{name}.where", column) for column in mapping(aggregate, "where"))
    yield from ((f"conversions.{name}.value", mapping(conversions, name).get("value")) for name in conversions)
