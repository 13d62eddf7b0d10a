"""How ClickHouse is reached, and what its errors mean. Not here: what is asked of it (`clickhouse_tables.py`)."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sessions_platform.contracts.secrets import text_of
from sessions_platform.contracts.targets import ClickhouseTarget
from sessions_platform.storage.warehouses.base import Target

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

_PATIENCE = 600  # seconds without an answer
_SETTINGS = {"async_insert": 0}  # an insert has ended when its rows are there
_GRANTS = (
    "grant create table, create view, drop view, alter, insert and select on the database to the user; dropping a "
    "partition is alter delete"
)
_FIXES = {  # by the server's error code
    81: "create the database, or correct database",
    192: "correct user and the environment variable of password",
    193: "correct user and the environment variable of password",
    194: "correct user and the environment variable of password",
    497: _GRANTS,
    516: "correct user and the environment variable of password",
    164: "let the user write: its profile has readonly",
    241: "give the server, or the user's profile, more memory",
    243: "make room on the server's disk",
    252: "wait until the server has merged its parts; it is tried again",
}
_UNREACHED = "start the server, or correct host, port and tls"
_OTHER = "see the server's log; it is tried again"


@contextmanager
def client_of(target: Target[ClickhouseTarget]) -> "Iterator[Client]":
    """A client of the database; what it raises of itself as a TargetError, without values and passwords."""
    from clickhouse_connect.driver.exceptions import ClickHouseError

    try:
        client = _connect(target)
        try:
            yield client
        finally:
            client.close()
    except ClickHouseError as error:
        raise _told(target, error) from None


@contextmanager
def telling(target: Target[ClickhouseTarget]) -> Iterator[None]:
    """Breaks of the connection that the client lets through, as a TargetError; only around its own calls."""
    from pyarrow import ArrowException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (HTTPError, ArrowException, OSError) as error:
        raise target.error(f"the connection broke: {type(error).__name__}", _OTHER) from None


def _connect(target: Target[ClickhouseTarget]) -> "Client":
    from clickhouse_connect import get_client

    logging.getLogger("clickhouse_connect").setLevel(logging.ERROR)  # it warns of what it raises
    config, key = target.config, f"targets.{target.name}"
    return get_client(
        interface="https" if config.tls else "http",
        host=text_of(config.host, f"{key}.host"),
        port=config.port or (8443 if config.tls else 8123),
        username=text_of(config.user, f"{key}.user"),
        password=config.password.read(f"{key}.password") if config.password else "",
        database=config.database,
        ca_cert=config.sslrootcert,
        settings=_SETTINGS,
        autogenerate_session_id=False,  # a session would let no two statements run at once
        client_name="sessions-platform",
        dedicated_pool=True,
        connect_timeout=10,
        send_receive_timeout=_PATIENCE,
    )


def _told(target: Target[ClickhouseTarget], error: Exception) -> Exception:
    """What the server says where that has no values; of any other error its number and name."""
    code, name = getattr(error, "code", None), getattr(error, "name", None)
    if code is None:
        return target.error(f"the server can't be reached: {_cause(error)}", _UNREACHED)
    said = str(error).partition("DB::Exception: ")[2].partition("\n")[0].rstrip(". ")
    reason = f"the server says {said!r}" if code in _FIXES and said else f"the server says error {code}, {name}"
    return target.error(reason, _FIXES.get(code, _OTHER))


def _cause(error: BaseException) -> str:
    """The innermost reason's first line, without the address."""
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".rstrip(".: ")
