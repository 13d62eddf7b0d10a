"""A target in Redis or Valkey: a hash for each session partition, and what leads from a user to their newest session.

A delivery stages the new rows in keys of its own, in bounded batches. One script then compares the tokens and puts the
new rows in the place of the old ones; Redis runs nothing else meanwhile. Not here: how a user's newest session is read,
which `docs/targets.md` says.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import polars as pl

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.targets import RedisTarget
from sessions_platform.errors import require_extra
from sessions_platform.storage.warehouses.base import PARTITION, Changes, Columns, LaterDeliveryError, Target

if TYPE_CHECKING:
    from redis import Redis

_TYPES = {
    pl.String(): "string",
    pl.Int64(): "integer",
    pl.Float64(): "float",
    pl.Boolean(): "boolean",
    pl.Datetime("us", "UTC"): "timestamp",
}
_TIME = "%Y-%m-%dT%H:%M:%S.%6fZ"  # sorts as the times do
_AT_ONCE = 1000
_SECONDS = 10  # to connect
_SILENCE = 600  # seconds for which a command may be without an answer

# The rows of one partition, live or staged, lead to their users' newest sessions by the name of the member: start,
# partition and id. `KEYS` are the hash of the delivery and the set of staged keys; `ARGV` are the prefix, the stream,
# the token, the types of the columns, and of each partition its name, staged key and number of rows.
_SWITCH = """
local delivery, staging = KEYS[1], KEYS[2]
local prefix, stream, token = ARGV[1], ARGV[2], ARGV[3]
local owner, last = unpack(redis.call('HMGET', delivery, 'stream', 'token'))
if owner and owner ~= stream then return {'stream', owner} end
if last and (#last > #token or (#last == #token and last > token)) then return {'later', last} end
local staged, present = 0, 0
for at = 5, #ARGV, 3 do
    if ARGV[at + 2] ~= '0' then staged = staged + 1 end
    present = present + redis.call('EXISTS', ARGV[at + 1])
end
if last == token and staged > 0 and present == 0 then return {'done'} end -- sent again, since the answer was lost
for at = 5, #ARGV, 3 do
    if redis.call('HLEN', ARGV[at + 1]) ~= tonumber(ARGV[at + 2]) then return {'staged', ARGV[at]} end
end
local function each(key, partition, apply)
    local cursor = '0'
    repeat
        local found = redis.call('HSCAN', key, cursor, 'COUNT', 1000)
        cursor = found[1]
        for at = 1, #found[2], 2 do
            local read, row = pcall(cjson.decode, found[2][at + 1])
            if read and type(row) == 'table' and row.user_id and row.session_start then
                apply(prefix .. ':user:' .. row.user_id, row.session_start .. ' ' .. partition .. ' ' .. found[2][at])
            end
        end
    until cursor == '0'
end
for at = 5, #ARGV, 3 do
    local partition, staged = ARGV[at], ARGV[at + 1]
    local live = prefix .. ':sessions:' .. partition
    each(live, partition, function(user, member) redis.call('ZREM', user, member) end)
    redis.call('DEL', live)
    if ARGV[at + 2] ~= '0' then
        redis.call('RENAME', staged, live)
        each(live, partition, function(user, member) redis.call('ZADD', user, 0, member) end)
    end
    redis.call('SREM', staging, staged)
end
redis.call('HSET', delivery, 'stream', stream, 'token', token, 'columns', ARGV[4])
return {'done'}
"""


class RedisHashes(Target[RedisTarget]):
    """Sessions as JSON, below keys that begin with the target's prefix."""

    def __init__(self, name: str, config: RedisTarget, stream: Stream, tables: Mapping[str, Columns]) -> None:
        require_extra("redis", "redis")
        super().__init__(name, config, stream, tables)

    def token(self) -> int:
        with self._connected() as redis:
            return self._delivered(redis)[1]

    def is_unfinished(self) -> bool:
        """Whether a delivery has left staged rows."""
        with self._connected() as redis:
            return bool(redis.exists(self._key("staged")))

    def apply(self, changes: Changes) -> None:
        with self._connected() as redis:
            self.require_own(*self._delivered(redis), changes.token)
            self._require_types(redis)
            self._drop_staged(redis)  # of deliveries that were killed
            try:
                staged = [self._stage(redis, partition, changes) for partition in changes.partitions]
                self._switch(redis, changes, staged)
            except Exception:
                self._drop_staged(redis, f":{changes.token}:")
                raise

    def read(self, table: str, partitions: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        columns = self.tables[table]
        with self._connected() as redis:
            self._require_types(redis)
            for partition in self._partitions(redis) if partitions is None else partitions:
                rows, seen = list[dict[str, Any]](), set[str]()
                for name, value in redis.hscan_iter(self._live(partition), count=_AT_ONCE):
                    if name not in seen:  # Redis may say one twice
                        seen.add(name)
                        rows.append(self._row(value, partition))
                    if len(rows) == _AT_ONCE:
                        yield _frame(rows, columns)
                        rows = []
                if rows:
                    yield _frame(rows, columns)

    def _stage(self, redis: "Redis", partition: str, changes: Changes) -> tuple[str, str, int]:
        """Write a partition's new rows to a key of their own: the partition, the key, and the number of rows."""
        key, names = self._key(f"staged:{changes.token}:{partition}"), set[str]()
        for frame in changes.rows("sessions", partition):
            columns = self.tables["sessions"]
            texts = frame.select(*columns).with_columns(
                pl.col(name).dt.strftime(_TIME) for name, dtype in columns.items() if isinstance(dtype, pl.Datetime)
            )
            for rows in texts.iter_slices(_AT_ONCE):
                fields = {row["session_id"]: json.dumps(row, ensure_ascii=False) for row in rows.iter_rows(named=True)}
                names.update(fields)
                with redis.pipeline() as together:  # another delivery may have dropped what was listed before
                    together.sadd(self._key("staged"), key)
                    together.hset(key, mapping=fields)
                    together.execute()
        return partition, key, len(names)

    def _switch(self, redis: "Redis", changes: Changes, staged: Sequence[tuple[str, str, int]]) -> None:
        types = json.dumps({name: _TYPES[dtype] for name, dtype in self.tables["sessions"].items()})
        keys = [self._key("delivery"), self._key("staged")]
        listed = [str(value) for one in staged for value in one]
        arguments = [self.config.prefix, self.stream.name, str(changes.token), types, *listed]
        said, *more = redis.eval(_SWITCH, len(keys), *keys, *arguments)
        if said == "stream":
            self.require_own(more[0], 0, 0)
        if said == "later":
            raise LaterDeliveryError(f"{self.shown}: a later delivery has changed it. Fix: none, that one is newer.")
        if said == "staged":
            reason = f"staged rows of {more[0]} have gone before they were put in place"
            raise self.error(reason, "see whether the server evicts keys; it is tried again")

    def _drop_staged(self, redis: "Redis", of: str = "") -> None:
        """Remove staged rows; only those whose keys contain a text, if one is given."""
        for key in redis.smembers(self._key("staged")):
            if of in str(key):
                redis.unlink(key)
                redis.srem(self._key("staged"), key)

    def _delivered(self, redis: "Redis") -> tuple[str, int]:
        """Whose sessions there are, and the token of the delivery that made them."""
        stream, token = redis.hmget(self._key("delivery"), ["stream", "token"])
        return str(stream or self.stream.name), int(token or 0)

    def _require_types(self, redis: "Redis") -> None:
        found = json.loads(redis.hget(self._key("delivery"), "columns") or "{}")
        wanted = {name: _TYPES[dtype] for name, dtype in self.tables["sessions"].items()}
        fix = f"remove the keys {self.config.prefix}:*, or name another prefix; everything is delivered again"
        self.require_types("sessions", found, wanted, fix)

    def _partitions(self, redis: "Redis") -> list[str]:
        """All that there are, those that somebody else has made, too."""
        first = self._live("")
        return sorted({key.removeprefix(first) for key in redis.scan_iter(f"{first}*", count=_AT_ONCE)})

    def _row(self, value: str, partition: str) -> dict[str, Any]:
        try:
            return {**json.loads(value), PARTITION: partition}
        except (ValueError, TypeError):
            reason = f"{self._live(partition)} has a value that the platform has not written"
            raise self.error(reason, "remove that key, and deliver with --verify") from None

    def _live(self, partition: str) -> str:
        return self._key(f"sessions:{partition}")

    def _key(self, name: str) -> str:
        return f"{self.config.prefix}:{name}"

    @contextmanager
    def _connected(self) -> "Iterator[Redis]":
        """A connection; errors as a TargetError, without values and passwords."""
        from redis import RedisError

        try:
            with self._client() as redis:
                yield redis
        except RedisError as error:
            said = str(error).splitlines()[0].rstrip(".")
            fix = next((fix for word, fix in _FIXES.items() if word in said), _OTHER)
            raise self.error(f"the server says {said!r}", fix) from None

    def _client(self) -> "Redis":
        from redis import ConnectionPool, Redis
        from redis.connection import parse_url

        url = self.config.url.read(f"targets.{self.name}.url")
        try:
            stated = parse_url(url)  # whose class is a text only where the URL states one
            if _OBJECTS & {name for name, value in stated.items() if not isinstance(value, type)}:
                raise ValueError("a parameter that no text can be")
            pool = ConnectionPool(**{**_OPTIONS, **stated, **_TEXTS})
            pool.connection_class(**pool.connection_kwargs)  # it refuses parameters, not the pool
        except (ValueError, TypeError):  # whose text has the URL
            reason = f"what {self.config.url.env} has is no URL of Redis, or has a parameter"
            fix = "write redis://user:password@cache.example.com:6379/0, or rediss:// with TLS"
            raise self.error(f"{reason} that its client does not know or takes from no URL", fix) from None
        return Redis.from_pool(pool)


_OPTIONS = {"socket_connect_timeout": _SECONDS, "socket_timeout": _SILENCE}  # where the URL does not state others
_TEXTS = {"decode_responses": True, "encoding": "utf-8", "encoding_errors": "strict"}  # whatever the URL states
# The client takes any argument of its constructors from a URL, also these, which have to be objects.
_OBJECTS = {
    *("connection_class", "parser_class", "command_packer", "redis_connect_func", "event_dispatcher", "driver_info"),
    *("retry", "retry_on_error", "credential_provider", "socket_keepalive_options", "socket_type"),
    *("cache", "cache_config", "cache_factory", "himport_registry", "ssl_ocsp_context"),
    *("maint_notifications_config", "maint_notifications_pool_handler", "maintenance_state"),
    *("oss_cluster_maint_notifications_handler", "maintenance_notification_hash"),
    *("orig_host_address", "orig_socket_timeout", "orig_socket_connect_timeout"),
}
_FIXES = {  # by what the server says
    "refused": "start the server, or correct host and port",
    "maxmemory": "give the server more memory, or set maxmemory-policy noeviction",
    "username-password": "correct the user and password in the URL",
    "already authenticated": "write user and password into the URL",
    "Authentication required": "write user and password into the URL",
    "permissions": "allow the user all keys of the prefix, and the commands that the docs name",
    "read only": "name the primary server, not a replica",
}
_OTHER = "see the server's log; it is tried again"


def _frame(rows: Sequence[Mapping[str, Any]], columns: Columns) -> pl.DataFrame:
    """Rows as a frame of the contract's types."""
    times = {name: dtype for name, dtype in columns.items() if isinstance(dtype, pl.Datetime)}
    read = pl.Schema({name: pl.String() if name in times else dtype for name, dtype in columns.items()})
    frame = pl.DataFrame([{name: row.get(name) for name in columns} for row in rows], schema=read, strict=False)
    return frame.with_columns(pl.col(name).str.to_datetime(time_unit="us", time_zone="UTC") for name in times)
