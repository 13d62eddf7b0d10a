"""Which rows of a table are new, as slices: by a cursor column, or all of them.

A slice's uri says which rows it has, so that `where` can ask for them; its cursor is where the next one begins. Uris
begin with a number, so that they have the order in which slices were found: by that order it is decided which of two
states of a row is the first. Not here: reading rows (`source`), and ways that one database has alone
(`sources.postgres.transactions`).

Each slice has about `SLICE_ROWS` rows, so that a run that is killed has not much to read again; the rows of one
cursor value and key are never divided.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any, Protocol
from urllib.parse import parse_qs, urlencode

from sessions_platform.contracts.table_source import CursorIncremental, TableSource
from sessions_platform.sources.base import Cursor, Past, Skipped, Slice
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.tables.table import ALL, ANY_ORDER, ServerTable

SLICE_ROWS = 200_000
_EMPTY = "0-0"  # the digest of no row


class Increment(Protocol):
    """A way of finding new rows; `name` is that of its cursor, `time_column` the column it reads by, if of time."""

    name: str
    time_column: str | None

    def slices(self, table: ServerTable, position: Mapping[str, Any] | None) -> Iterator[Slice]:
        """The slices after a position, in order; None for the table's beginning."""
        ...

    def where(self, table: ServerTable, uri: str) -> str:
        """The condition that the rows of a slice fulfil."""
        ...

    def order(self, table: ServerTable) -> str:
        """By what a slice's rows are ordered."""
        ...

    def skipped(self, table: ServerTable) -> Iterator[Skipped]:
        """Rows that are in no slice."""
        ...

    def unread(self, table: ServerTable, position: Mapping[str, Any] | None) -> str | None:
        """The condition that rows after a position fulfil; None where there is none."""
        ...


def increment_of(source: TableSource, incremental: CursorIncremental | None) -> Increment:
    """By the cursor that a stream's source states, or the whole table."""
    return Whole(source) if incremental is None else ByCursor(source, incremental)


class Whole:
    """The whole table, once for each state of it that was seen."""

    def __init__(self, source: TableSource) -> None:
        self._source = source
        self.name = f"{source.table}/whole"
        self.time_column: str | None = None

    def slices(self, table: ServerTable, position: Mapping[str, Any] | None) -> Iterator[Slice]:
        digest = table.digest(ALL)
        seen = position["digest"] if position else _EMPTY
        if digest != seen:
            yield slice_of(self._source, slices_before(position), {"digest": digest}, self.name, {"digest": digest})

    def where(self, table: ServerTable, uri: str) -> str:  # noqa: ARG002
        return ALL

    def order(self, table: ServerTable) -> str:  # noqa: ARG002
        return ANY_ORDER

    def skipped(self, table: ServerTable) -> Iterator[Skipped]:  # noqa: ARG002
        yield from ()

    def unread(self, table: ServerTable, position: Mapping[str, Any] | None) -> str | None:  # noqa: ARG002
        return None


@dataclass(frozen=True)
class _Place:
    """A row's place in the order of cursor and key, as texts."""

    cursor: str
    key: str


class ByCursor:
    """Rows by a cursor column and a unique key, and those of the last `lag` once more where any of them has changed."""

    def __init__(self, source: TableSource, stated: CursorIncremental) -> None:
        assert stated.cursor is not None
        assert stated.key is not None
        self._source, self._lag = source, stated
        self._cursor, self._key = stated.cursor, stated.key
        self.name = f"{source.table}/{stated.cursor},{stated.key}"
        self.time_column = stated.cursor if stated.lag_of_time is not None else None

    def slices(self, table: ServerTable, position: Mapping[str, Any] | None) -> Iterator[Slice]:
        newest = self._place(table, ALL, 0, direction="desc")
        if newest is None:
            return
        at = _Place(*position["at"]) if position else None
        since = self._before(table, at) if at else None
        if at == newest and position and table.digest(self._range(table, since, None, newest)) == position["window"]:
            return
        after: _Place | None = None
        for number in count(slices_before(position)):
            bound = self._place(table, self._range(table, since, after, newest), SLICE_ROWS - 1)
            place = bound or newest
            window = self._window(table, newest) if place == newest else ""
            stated = {
                **({"since": since} if since is not None else {}),
                **({"after": after.cursor, "after_key": after.key} if after else {}),
                "to": place.cursor,
                "to_key": place.key,
                **({"window": window} if window else {}),
            }
            at_end = {"at": [place.cursor, place.key], "window": window}
            yield slice_of(self._source, number, stated, self.name, at_end)
            if place == newest:
                return
            after = place

    def name_of(self, past: Past) -> str:
        """The name of the cursor of a time that is asked for by itself."""
        return f"{self.name}@{past.name}"

    def past(self, table: ServerTable, past: Past, position: Mapping[str, Any] | None) -> Iterator[Slice]:
        """The slices of the rows whose cursor lies in a time, where these are others than when it was asked for last.

        They are read again from the first one on if a row was changed, or is new, or a slice was not read to its end.
        """
        stated = {"from": _spelled(past.start), "before": _spelled(past.end)}
        within, after = self._within(table, stated), None
        newest = self._place(table, within, 0, direction="desc")
        if newest is None or (digest := table.digest(within)) == (position or {}).get("digest"):
            return
        for number in count(slices_before(position)):
            bound = self._place(table, self._with_range(table, stated, after, newest), SLICE_ROWS - 1)
            place = bound or newest
            said = {
                **stated,
                **({"after": after.cursor, "after_key": after.key} if after else {}),
                "to": place.cursor,
                "to_key": place.key,
                "window": digest,
            }
            at_end = {"at": [place.cursor, place.key], "digest": digest if place == newest else ""}
            yield slice_of(self._source, number, said, self.name_of(past), at_end)
            if place == newest:
                return
            after = place

    def _within(self, table: ServerTable, stated: Mapping[str, str]) -> str:
        cursor, _ = self._columns(table)
        start, end = (table.value(self._cursor, stated[name]) for name in ("from", "before"))
        return f"{cursor} >= {start} and {cursor} < {end}"

    def _with_range(self, table: ServerTable, stated: Mapping[str, str], after: _Place | None, to: _Place) -> str:
        within = f"{self._within(table, stated)} and " if "from" in stated else ""
        return within + self._range(table, stated.get("since"), after, to)

    def _window(self, table: ServerTable, newest: _Place) -> str:
        """The digest of the rows that are to be read again where any of them changes."""
        return table.digest(self._range(table, self._before(table, newest), None, newest))

    def where(self, table: ServerTable, uri: str) -> str:
        stated = stated_in(uri)
        after = _Place(stated["after"], stated["after_key"]) if "after" in stated else None
        return self._with_range(table, stated, after, _Place(stated["to"], stated["to_key"]))

    def order(self, table: ServerTable) -> str:
        return "order by {}, {}".format(*self._columns(table))

    def skipped(self, table: ServerTable) -> Iterator[Skipped]:
        yield from without(table, self._source, [self._cursor, self._key])

    def unread(self, table: ServerTable, position: Mapping[str, Any] | None) -> str | None:
        columns = self._columns(table)
        if position is None:
            return f"{columns[0]} is not null and {columns[1]} is not null"
        return table.compared(columns, ">", self._values(table, _Place(*position["at"])))

    def _columns(self, table: ServerTable) -> tuple[str, str]:
        of = "source.incremental"
        return table.column(self._cursor, f"{of}.cursor"), table.column(self._key, f"{of}.key")

    def _range(self, table: ServerTable, since: str | None, after: _Place | None, to: _Place) -> str:
        """Rows of a cursor value later than `since`, behind the place `after`, up to a place and with it."""
        columns = self._columns(table)
        within = [table.compared(columns, "<=", self._values(table, to))]
        if since is not None:
            within.append(f"{columns[0]} > {table.value(self._cursor, since)}")
        if after is not None:
            within.append(table.compared(columns, ">", self._values(table, after)))
        return " and ".join(within)

    def _place(self, table: ServerTable, where: str, rows: int, direction: str = "asc") -> _Place | None:
        # By the columns themselves: a name alone is, for PostgreSQL, that of the text which is selected, where 10 comes
        # before 9.
        cursor, key = (f"t.{column}" for column in self._columns(table))
        found = table.one(
            f"select {table.as_text(self._cursor)}, {table.as_text(self._key)} from {table.name} t where {where}"
            f" and {cursor} is not null and {key} is not null"
            f" order by {cursor} {direction}, {key} {direction} limit 1 offset {rows}"
        )
        return _Place(*found) if found else None

    def _before(self, table: ServerTable, place: _Place) -> str:
        """The cursor value that lies the lag before a place."""
        lag = self._lag.lag
        assert lag is not None
        is_of_time = self._lag.lag_of_time is not None
        if is_of_time != table.is_time(self._cursor):
            fix = "a whole number" if is_of_time else "a duration, as in 15m"
            raise SourceRefusedError(
                f"{self._source.place}: {self._cursor} is of type {table.types[self._cursor]}, which "
                f"source.incremental.lag does not fit. Fix: write {fix}."
            )
        found = table.one(f"select {table.earlier(self._cursor, place.cursor, lag)}")
        assert found is not None
        return found[0]

    def _values(self, table: ServerTable, place: _Place) -> tuple[str, str]:
        return table.value(self._cursor, place.cursor), table.value(self._key, place.key)


def _spelled(moment: datetime) -> str:
    """As every database reads it, in the sessions' time zone, which is UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def without(table: ServerTable, source: TableSource, columns: list[str]) -> Iterator[Skipped]:
    """How many rows can't be found by one of these columns, because it is null."""
    for name in columns:
        column = table.column(name, "source.incremental")
        found = table.one(f"select count(*) from (select 1 from {table.name} t where {column} is null limit 1001) n")
        if found and found[0] != "0":
            rows = "more than 1000" if found[0] == "1001" else found[0]
            yield Skipped(source.place, f"{rows} rows have no {name}, by which new rows are found, and are not read")


def slices_before(position: Mapping[str, Any] | None) -> int:
    """How many slices there were up to a position."""
    return position.get("slices", 0) if position else 0


def slice_of(
    source: TableSource, number: int, stated: Mapping[str, str], name: str, position: Mapping[str, Any]
) -> Slice:
    """A slice whose uri says which rows it has, behind the uris of smaller numbers; and where the next one begins."""
    query = urlencode({"slice": f"{number:012}", **stated}, safe=":")
    return Slice(f"{source.place}?{query}", "fixed", None, Cursor(name, {**position, "slices": number + 1}))


def stated_in(uri: str) -> dict[str, str]:
    """What the uri of a slice says."""
    return {name: values[0] for name, values in parse_qs(uri.partition("?")[2], strict_parsing=True).items()}
