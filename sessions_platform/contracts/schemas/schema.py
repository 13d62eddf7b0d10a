"""What the contract of an asset's rows is made of: columns with types and checks, and checks of whole rows.

A schema says in two ways whether a frame keeps it. `is_kept_by` and `broken_rows` evaluate all of its checks as one
polars expression, and `broken_values` one by one, where rows are to be rejected. `pandera` is the same schema for
pandera, which reports whatever breaks it, and takes longer to import than all else that a run needs; so it is asked
where an asset breaks its contract. Property tests hold the two equal. Not here: which checks there are (the other
modules of this package).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    import pandera.polars as pa

_OPERATORS: Mapping[str, tuple[str, Callable[[pl.Expr, Any], pl.Expr]]] = {
    "eq": ("==", pl.Expr.eq),
    "ge": (">=", pl.Expr.ge),
    "gt": (">", pl.Expr.gt),
    "le": ("<=", pl.Expr.le),
    "lt": ("<", pl.Expr.lt),
}


@dataclass(frozen=True)
class ValueCheck:
    """A check of each value of a column, which null always passes; or of each row of a frame.

    Attributes:
        text: what it demands, for people.
        holds: from the column's expression to whether it is so (Boolean); for rows, from an expression without meaning.
        builtin: the name and the argument of pandera's own check of the same meaning, where there is one.
    """

    text: str
    holds: Callable[[pl.Expr], pl.Expr]
    builtin: tuple[str, Any] | None = None

    @classmethod
    def compares(cls, operator: str, value: Any) -> "ValueCheck":
        """Values are eq, ge, gt, le or lt to one of the column's type."""
        sign, compare = _OPERATORS[operator]
        return cls(f"{sign} {value}", lambda column: compare(column, value), (operator, value))

    @classmethod
    def isin(cls, allowed: Sequence[Any]) -> "ValueCheck":
        """Values are among those allowed, which are of the column's type."""
        return cls(f"isin({list(allowed)})", lambda column: column.is_in(list(allowed)), ("isin", list(allowed)))


@dataclass(frozen=True)
class ColumnSchema:
    """A column: its type, whether it may be null and has to be unique, the checks of its values in order."""

    dtype: pl.DataType
    checks: Sequence[ValueCheck] = ()
    nullable: bool = False
    unique: bool = False
    description: str | None = None

    def holds(self, name: str) -> Iterator[pl.Expr]:
        """Whether each row keeps what can be told from it alone (Boolean, null where a check has nothing to say)."""
        yield from (holds for _, holds in self.numbered(name))

    def numbered(self, name: str) -> Iterator[tuple[int | None, pl.Expr]]:
        """The same, each with the number of the check; None for not being null."""
        column = pl.col(name)
        if not self.nullable:
            yield None, column.is_not_null()
        yield from ((number, check.holds(column)) for number, check in enumerate(self.checks))


@dataclass(frozen=True)
class Schema:
    """The contract of an asset's rows.

    Attributes:
        name: stream and asset, as in `web_shop.events`.
        columns: by name.
        checks: of rows, over several columns.
        strict: whether there may be no further column. Their order is not checked.
    """

    name: str
    columns: Mapping[str, ColumnSchema]
    checks: Sequence[ValueCheck] = field(default_factory=tuple)
    strict: bool = True

    def is_kept_by(self, frame: pl.DataFrame) -> bool:
        """Whether the frame has the columns and types, and every row keeps every check."""
        if not self.has_types(frame):
            return False
        unique = [pl.col(name).n_unique() == pl.len() for name, column in self.columns.items() if column.unique]
        all_hold = pl.all_horizontal(each.all() for each in (*self._row_checks(), *unique, pl.lit(value=True)))
        return bool(frame.lazy().select(all_hold).collect().item())

    def broken_rows(self, frame: pl.DataFrame) -> pl.Series:
        """Which rows break a check of a value or of a row (Boolean, never null); the types have to be right."""
        checks = [each.fill_null(value=True) for each in self._row_checks()]
        every_row = pl.repeat(value=True, n=pl.len())
        return frame.lazy().select(pl.all_horizontal(every_row, *checks).not_()).collect().to_series()

    def broken_values(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The values that break a check of their column; the types have to be right.

        Returns:
            A row for each value and check, in the order of columns and checks: column (String), check_number (Int32,
            null where a value must not be null) and index (UInt32, the row's).
        """
        checks = [(name, *check) for name, column in self.columns.items() for check in column.numbered(name)]
        breaks = [holds.fill_null(value=True).not_().alias(str(at)) for at, (*_, holds) in enumerate(checks)]
        broken = frame.lazy().select(breaks).collect()
        cases = [pl.DataFrame(schema={"column": pl.String, "check_number": pl.Int32, "index": pl.UInt32})]
        for rows, (name, number, _) in zip(broken, checks, strict=True):
            of_check = {"column": pl.lit(name), "check_number": pl.lit(number, pl.Int32), "index": rows.arg_true()}
            cases.append(pl.select(**of_check))
        return pl.concat(cases)

    def has_types(self, frame: pl.DataFrame) -> bool:
        """Whether the frame has the columns with their types, and no others where the schema is strict."""
        types = {name: column.dtype for name, column in self.columns.items()}
        return types.items() <= dict(frame.schema).items() and not (self.strict and len(frame.schema) > len(types))

    @cached_property
    def pandera(self) -> "pa.DataFrameSchema":
        """The same schema for pandera."""
        from sessions_platform.contracts.schemas.in_pandera import pandera_schema

        return pandera_schema(self)

    def validate(self, frame: pl.DataFrame, *, lazy: bool = False) -> None:
        """Raise pandera's SchemaErrors with all that is broken if `lazy`, else SchemaError with the first."""
        self.pandera.validate(frame, lazy=lazy)

    def _row_checks(self) -> Iterator[pl.Expr]:
        for name, column in self.columns.items():
            yield from column.holds(name)
        yield from (check.holds(pl.lit(value=None)) for check in self.checks)
