"""A target in MongoDB: a document for each session, with the version of its partition.

A delivery writes the new documents beside the old ones, in bounded batches, under a version of its own. Then one update
of one document, which the server does as a whole, makes that version the current one of all partitions and tables. No
transactions are needed, so one server alone will do. Not here: how readers tell current documents, which
`docs/targets.md` says.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

import polars as pl

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import MongodbTarget
from sessions_platform.errors import require_extra
from sessions_platform.storage.warehouses.base import PARTITION, Changes, Columns, LaterDeliveryError, Target

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection
    from pymongo.database import Database

_TYPES = {
    pl.String(): "string",
    pl.Int64(): "long",
    pl.Float64(): "double",
    pl.Boolean(): "bool",
    pl.Datetime("us", "UTC"): "date",
}
_PYTHON = {
    pl.String(): str,
    pl.Int64(): int,
    pl.Float64(): float,
    pl.Boolean(): bool,
    pl.Datetime("us", "UTC"): datetime,
}
_ONLY = {"_id": "sessions_platform"}  # the document that says what is current
_AT_ONCE = 1000
_OPTIONS = {  # where the URL does not state others; milliseconds without an answer
    "serverSelectionTimeoutMS": 10_000,
    "connectTimeoutMS": 10_000,
    "socketTimeoutMS": 600_000,
    "w": "majority",
    "appname": "sessions-platform",
}
_FIXES = {
    13: "grant the user the role readWrite on the database",
    18: "correct user, password and authSource in the URL",
    8000: "correct user, password and authSource in the URL",
    10107: "name the whole replica set in the URL",
    14031: "make room on the server's disk",
}
_UNREACHED = "start the server, or correct host, port and TLS in the URL"
_OTHER = "see the server's log; it is tried again"
_State = Mapping[str, Any]


class MongodbDocuments(Target[MongodbTarget]):
    """Collections of one database whose names begin with the target's prefix.

    The state is one document: `stream` and `token` of the delivery that made the documents, `types` of the columns by
    table, `versions` by partition; `begun` and `version` of the last delivery that has begun, `unfinished` until it has
    ended, and till then `changing`, the partitions of all that have begun since one ended.
    """

    def __init__(self, name: str, config: MongodbTarget, stream: Stream, tables: Mapping[str, Columns]) -> None:
        require_extra("pymongo", "mongodb")
        super().__init__(name, config, stream, tables)

    def token(self) -> int:
        with self._connected() as database:
            present = set(database.list_collection_names())
            is_whole = all(self._named(table) in present for table in self.tables)
            return int(self._state(database).get("token", 0)) if is_whole else 0

    def is_unfinished(self) -> bool:
        """Whether a delivery has begun and not ended."""
        with self._connected() as database:
            return bool(self._state(database).get("unfinished"))

    def apply(self, changes: Changes) -> None:
        with self._connected() as database:
            version = self._begin(database, changes)
            try:
                self._stage(database, changes, version)
                self._switch(database, changes, version)
            except LaterDeliveryError:  # else the next delivery removes what is staged, if it was not put in place
                for table in self.tables:
                    self._collection(database, table).delete_many({"_version": version})
                raise
            self._remove_superseded(database, changes.partitions, version)
            ended = {"$set": {"unfinished": False, "changing": []}}
            self._delivery(database).update_one({**_ONLY, "version": version}, ended)

    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        columns = self.tables[table]
        with self._connected() as database:
            state = self._state(database)
            self._require_types(state)
            current = state.get("versions", {})
            wanted = current if partitions is None else {name: current[name] for name in partitions if name in current}
            # Of all at once, with the few that are superseded: a server without an index would read all for each.
            found = self._collection(database, table).find({PARTITION: {"$in": [*wanted]}}, batch_size=_AT_ONCE)
            shown = (document for document in found if document.get("_version") == wanted[document[PARTITION]])
            while documents := list(islice(shown, _AT_ONCE)):
                yield _frame(documents, columns)

    def _begin(self, database: "Database[Any]", changes: Changes) -> int:
        """Take the turn from deliveries with a smaller token, and remove what they have left.

        Returns:
            The version of the documents of this delivery; greater than those of all that have begun before.
        """
        delivery, state = self._delivery(database), self._state(database)
        self.require_own(
            state.get("stream", self.stream.name), max(state.get("begun", 0), state.get("token", 0)), changes.token
        )
        self._require_types(state)
        if not state:
            new = {"stream": self.stream.name, "token": 0, "begun": 0, "version": 0, "versions": {}, "types": {}}
            delivery.update_one(_ONLY, {"$setOnInsert": {**new, "unfinished": True, "changing": []}}, upsert=True)
            state = self._state(database)
        version = max(changes.token, state["version"] + 1)
        changing = sorted({*state.get("changing", []), *changes.partitions})
        begun = {"begun": changes.token, "version": version, "unfinished": True, "changing": changing}
        # Until then the one before may have shown what it staged; as it was when the turn was taken, it stays.
        before = delivery.find_one_and_update({**_ONLY, "version": state["version"]}, {"$set": begun})
        if before is None:
            raise self._later()
        for table in self.tables:
            collection = self._collection(database, table)
            _index(collection, PARTITION, "_version")
            _index(collection, "user_id")
            if before["unfinished"]:
                _remove_leftovers(collection, before, version)
        return version

    def _stage(self, database: "Database[Any]", changes: Changes, version: int) -> None:
        """Write the new documents, which no reader counts yet."""
        number = 0
        for table, columns in self.tables.items():
            collection = self._collection(database, table)
            for frame in changes.rows_of(table):
                for rows in frame.select(*columns).iter_slices(_AT_ONCE):
                    self._require_turn(database, version)
                    documents = _documents(rows, columns)
                    for document in documents:
                        number += 1
                        document.update(_id=f"{version}-{number}", _version=version)
                    collection.insert_many(documents, ordered=False)

    def _switch(self, database: "Database[Any]", changes: Changes, version: int) -> None:
        """Make the version the current one of the partitions; those without rows get it, too, and have no documents."""
        tables = self.tables.items()
        types = {f"types.{table}.{name}": stated for table, own in tables for name, stated in _types(own).items()}
        versions = {f"versions.{partition}": version for partition in changes.partitions}
        current = {"$set": {"token": changes.token, **types, **versions}}
        if not self._delivery(database).update_one({**_ONLY, "version": version}, current).matched_count:
            raise self._later()

    def _remove_superseded(self, database: "Database[Any]", partitions: Sequence[str], version: int) -> None:
        old = {PARTITION: {"$in": [*partitions]}, "_version": {"$lt": version}}
        for table in self.tables:
            self._collection(database, table).delete_many(old)

    def _require_turn(self, database: "Database[Any]", version: int) -> None:
        if self._state(database).get("version") != version:
            raise self._later()

    def _later(self) -> LaterDeliveryError:
        return LaterDeliveryError(f"{self.shown}: a later delivery has changed it. Fix: none, that one is newer.")

    def _require_types(self, state: _State) -> None:
        for table, columns in self.tables.items():
            fix = f"drop {self._named(table)} and {self._named('delivery')} there; everything is delivered again"
            self.require_types(table, state.get("types", {}).get(table, {}), _types(columns), fix)

    def _state(self, database: "Database[Any]") -> _State:
        return self._delivery(database).find_one(_ONLY) or {}

    def _delivery(self, database: "Database[Any]") -> "Collection[Any]":
        return self._collection(database, "delivery")

    def _collection(self, database: "Database[Any]", name: str) -> "Collection[Any]":
        return database[self._named(name)]

    def _named(self, name: str) -> str:
        return f"{self.config.prefix}{name}"

    @contextmanager
    def _connected(self) -> "Iterator[Database[Any]]":
        """The database; errors as a TargetError, without values and passwords."""
        from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError, WriteError

        try:
            with self._client() as client:
                yield client[self.config.database]
        except BulkWriteError as error:  # whose text has documents, as that of the next
            code = error.details["writeErrors"][0]["code"] if error.details.get("writeErrors") else error.code
            raise self.error(f"the server refuses documents with error {code}", _OTHER) from None
        except WriteError as error:
            raise self.error(f"the server refuses a change with error {error.code}", _OTHER) from None
        except OperationFailure as error:
            reason = f"the server says {_start_of(error)!r}"
            raise self.error(reason, _FIXES.get(error.code or 0, _OTHER)) from None
        except PyMongoError as error:
            raise self.error(f"the server can't be reached: {_start_of(error)!r}", _UNREACHED) from None

    def _client(self) -> "MongoClient[Any]":
        from dns.exception import DNSException
        from pymongo import MongoClient
        from pymongo.errors import PyMongoError
        from pymongo.uri_parser import parse_uri

        url = self.config.url.read(f"targets.{self.name}.url")
        try:
            stated = parse_uri(url)["options"]
        except (PyMongoError, ValueError) as error:  # whose text may have the URL
            if isinstance(error.__cause__, DNSException):
                reason = f"the host of mongodb+srv:// in {self.config.url.env} can't be resolved"
                raise self.error(reason, "correct it, or look at this machine's DNS; it is tried again") from None
            reason = f"what {self.config.url.env} has is no URL of MongoDB, or has an option or host that is unknown"
            raise self.error(reason, "write mongodb://user:password@db.example.com:27017/?authSource=admin") from None
        return MongoClient(
            url, tz_aware=True, **{name: value for name, value in _OPTIONS.items() if name not in stated}
        )


def _types(columns: Columns) -> dict[str, str]:
    return {name: _TYPES[dtype] for name, dtype in columns.items()}


def _remove_leftovers(collection: "Collection[Any]", state: _State, version: int) -> None:
    """Remove the documents of deliveries that have begun before and were killed: only they are not current."""
    older = {"$lt": version}
    if not state["versions"]:  # nothing is current, also where somebody has removed what says it
        collection.delete_many({"_version": older})
    for partition in state.get("changing", state["versions"]):
        kept = state["versions"].get(partition, 0)
        collection.delete_many({PARTITION: partition, "_version": {"$ne": kept, **older}})


def _documents(rows: pl.DataFrame, columns: Columns) -> list[dict[str, Any]]:
    """Rows as documents; what is left of times below a millisecond, which dates don't have, is apart."""
    from bson import Int64

    whole = [name for name, dtype in columns.items() if dtype == pl.Int64()]
    times = [name for name, dtype in columns.items() if isinstance(dtype, pl.Datetime)]
    documents = rows.to_dicts()
    for document in documents:
        document.update({name: Int64(document[name]) for name in whole if document[name] is not None})
        rest = {name: document[name].microsecond % 1000 for name in times if document[name] is not None}
        if rest := {name: microseconds for name, microseconds in rest.items() if microseconds}:
            document["_microseconds"] = rest
    return documents


def _frame(documents: Sequence[Mapping[str, Any]], columns: Columns) -> pl.DataFrame:
    """Documents as a frame of the contract's types; those that somebody gave values of another type are no rows."""
    rows = [{name: _value(document, name) for name in columns} for document in documents]
    fitting = [row for row in rows if all(_fits(row[name], dtype) for name, dtype in columns.items())]
    return pl.DataFrame(fitting, schema=pl.Schema(columns))


def _fits(value: Any, dtype: pl.DataType) -> bool:
    if isinstance(value, bool):  # which is an int to Python
        return dtype == pl.Boolean()
    return value is None or isinstance(value, _PYTHON[dtype])


def _value(document: Mapping[str, Any], name: str) -> Any:
    value, rest = document.get(name), document.get("_microseconds", {})
    if isinstance(value, datetime) and isinstance(rest, Mapping) and isinstance(rest.get(name), int):
        return value + timedelta(microseconds=rest[name])
    return value


def _index(collection: "Collection[Any]", *columns: str) -> None:
    """Make an index, unless there is one, which may be somebody's own."""
    key = [(column, 1) for column in columns]
    if key not in [index["key"] for index in collection.index_information().values()]:
        collection.create_index(key)


def _start_of(error: Exception) -> str:
    """What a server or its client says, without the addresses, times and answers that follow."""
    return re.split(r", full error| \(configured|, Timeout|, Topology", str(error))[0].rstrip(".")
