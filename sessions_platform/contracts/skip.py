"""Which rows a stream leaves out on purpose, as the key `skip` of its file states it.

Such rows are neither events nor rejected: they are counted as skipped. Not here: which rows these are
(``transforms.skip``).
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from sessions_platform.contracts.model import Model
from sessions_platform.contracts.values import Pattern, invalid


def _texts(values: Any) -> Any:
    """Listed values as the text of a field: 0 is "0", and true is "true" as in JSON."""
    if not isinstance(values, list):
        return values
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


_Texts = Annotated[
    list[str], BeforeValidator(_texts), Field(min_length=1, json_schema_extra={"items": {"type": ["string", "number"]}})
]


class SkipRule(Model):
    """One rule: a row is skipped if all of its conditions hold. The value of a column is its text, ahead of its type.

    A null value fulfills `missing` alone.
    """

    column: str | None = Field(None, description="A column of the stream whose text decides.")
    payload: Pattern | None = Field(
        None, description="Instead of a column: a regular expression that the record contains, as ^# for comments."
    )
    isin: _Texts | None = Field(None, description="The column's text is one of these.")
    not_in: _Texts | None = Field(None, description="The column's text is none of these.")
    pattern: Pattern | None = Field(None, description="A regular expression (Rust syntax) that the text contains.")
    missing: Literal[True] | None = Field(None, description="The column is null, as in lines of another kind.")

    @model_validator(mode="after")
    def _has_conditions(self) -> "SkipRule":
        conditions = [stated for stated in (self.isin, self.not_in, self.pattern, self.missing) if stated is not None]
        if (self.column is None) == (self.payload is None):
            raise invalid("it takes a column or a payload", "name one of the two, as in {column: status, isin: [404]}")
        if self.column is not None and not conditions:
            raise invalid(f"nothing says which {self.column} is skipped", "add isin, not_in, pattern or missing")
        if self.payload is not None and conditions:
            raise invalid("isin, not_in, pattern and missing are for a column", "remove them")
        if self.missing and len(conditions) > 1:
            raise invalid(f"{self.column} can't be null and fulfill another condition", "make two rules of it")
        return self
