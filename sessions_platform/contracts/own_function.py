"""The keys of the enrichment `python`: a function of the user's own, and what it reads and adds.

Not here: how it is called (``transforms.enrich.own_function``).
"""

import importlib.util
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.data_files import UnusableFileError
from sessions_platform.contracts.enrichment import EnrichmentConfig
from sessions_platform.contracts.values import Identifier, invalid, shown


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class OwnFunction(EnrichmentConfig):
    """Columns that a function of the user's own computes."""

    implementation: ClassVar[str] = "sessions_platform.transforms.enrich.own_function:called"
    code_version: ClassVar[int] = 2
    reads_types: ClassVar[tuple[ColumnType, ...]] = tuple(ColumnType)
    repeats: ClassVar[bool] = True

    function: str = Field(description="module:function, where Python finds the module.")
    columns: Annotated[list[Identifier], BeforeValidator(_as_list)] = Field(
        alias="from", min_length=1, description="The event's columns that it is given."
    )
    adds_columns: dict[Identifier, ColumnType] = Field(
        alias="columns", min_length=1, description="The columns that it returns, with their types."
    )
    stated_version: int | str = Field(
        alias="version", description="Of the function: another one whenever it could return something else."
    )
    on_error: Literal["leave_null", "fail"] = Field(
        "leave_null", description="What an input for which it raises an error does: null, counted and told; or fail."
    )

    @field_validator("function")
    @classmethod
    def _names_both(cls, function: str) -> str:
        module, _, name = function.partition(":")
        if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
            raise invalid(
                f"{shown(function)} names no function", "write module:function, as in my_package.my_module:brand"
            )
        return function

    @field_validator("columns")
    @classmethod
    def _names_each_once(cls, columns: list[str]) -> list[str]:
        for name in columns:
            if columns.count(name) > 1:
                raise invalid(f"it names {shown(name)} twice", "name each column once")
        return columns

    @property
    def added(self) -> Mapping[str, ColumnType]:
        return self.adds_columns

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(self.columns)

    @property
    def data_versions(self) -> Mapping[str, str]:
        return {"function": str(self.stated_version)}

    def check_files(self, kinds: Mapping[str, Any]) -> None:  # noqa: ARG002  any type may be read
        module = self.function.partition(":")[0]
        try:
            found = importlib.util.find_spec(module)
        except Exception as error:
            raise UnusableFileError(f"{module} can't be imported: {error}", "correct it, or name another") from None
        if found is None:
            reason = f"there is no module {module}"
            raise UnusableFileError(reason, "install it, or add its folder to PYTHONPATH of all that read streams")
