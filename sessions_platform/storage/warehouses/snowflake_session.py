"""How Snowflake is reached, and what its errors mean. Not here: what is asked of it (`snowflake_tables.py`)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sessions_platform.contracts.secrets import text_of
from sessions_platform.contracts.targets import SnowflakeTarget
from sessions_platform.storage.warehouses.base import Target

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection
    from snowflake.connector.cursor import SnowflakeCursor

_SESSION = {
    "TIMEZONE": "UTC",
    "LOCK_TIMEOUT": 600,  # seconds
    "QUERY_TAG": "sessions-platform",
    "CLIENT_TELEMETRY_ENABLED": False,
    "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False,
}
_PATIENCE = {"login_timeout": 60, "network_timeout": 600}  # seconds
_GRANTS = (
    "grant the role usage on warehouse, database and schema, and create table and create stage on the schema, and let "
    "it own the tables"
)
_FIXES = {  # by what the server or its client says
    "Incorrect username or password": "correct user and the environment variable of password",
    "JWT token": "set the public key of key_file as the user's rsa_public_key",
    "current database": "make database and schema, or grant the role usage on them",
    "active warehouse": "name a warehouse, and grant the role usage on it",
    "authorized": _GRANTS,
    "privileges": _GRANTS,
    "Could not connect": "correct account, or open the network to it",
    "404 Not Found": "correct account, or open the network to it",
}
_OTHER = "see the query history in Snowflake; it is tried again"


@contextmanager
def cursor_of(target: Target[SnowflakeTarget]) -> "Iterator[SnowflakeCursor]":
    """A cursor; a transaction that was not committed ends with it; errors as a TargetError."""
    from snowflake.connector.errors import Error

    try:
        connection = _connect(target)
        try:
            yield connection.cursor()
        finally:
            with suppress(Error):  # a connection that is broken
                connection.rollback()
            with suppress(Error):
                connection.close()
    except Error as error:
        said = _without_values(error)
        fix = next((fix for words, fix in _FIXES.items() if words in said), _OTHER)
        raise target.error(f"the server says {said!r}", fix) from None


def _connect(target: Target[SnowflakeTarget]) -> "SnowflakeConnection":
    import snowflake.connector

    config, key = target.config, f"targets.{target.name}"
    stated = {
        "account": text_of(config.account, f"{key}.account"),
        "user": text_of(config.user, f"{key}.user"),
        "password": config.password and config.password.read(f"{key}.password"),
        "private_key_file": config.key_file,
        "private_key_file_pwd": config.key_password and config.key_password.read(f"{key}.key_password"),
        "role": config.role,
        "warehouse": config.warehouse,
        "database": config.database,
        "schema": config.in_schema,
    }
    options = {
        name: value if isinstance(value, int) else text_of(value, f"{key}.options.{name}")
        for name, value in config.options.items()
    }
    given = {name: value for name, value in stated.items() if value is not None}
    try:
        return snowflake.connector.connect(**{**_PATIENCE, **given, **options}, session_parameters=_SESSION)
    except (OSError, ValueError, TypeError) as error:  # of the key's file, or of an option
        reason = f"the connection can't be opened: {str(error).partition(chr(10))[0]}"
        raise target.error(reason, "correct key_file, key_password or options") from None


def _without_values(error: Any) -> str:
    """What the server says in its first lines; of errors of values, whose texts quote them, only their number."""
    if 100_000 <= (error.errno or 0) < 200_000:
        return f"error {error.errno}"
    return " ".join(str(error.msg or error).splitlines()[:2]).rstrip(".:")
