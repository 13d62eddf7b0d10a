"""How a connection is opened: what the platform sets, what its URL says besides, and errors that show no password.

A setting of the URL wins over the platform's, except for the two that results depend on. Not here: which URL and role
is used for what, and transactions (``database``).
"""

from collections.abc import Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sessions_platform.settings import SettingsError
from sessions_platform.storage.postgres.errors import UnreachableError

# A worker that is stopped, or whose machine is gone, must not keep the stream's lock: the server ends its transaction.
_FOR_WRITERS = {
    "lock_timeout": "120s",
    "statement_timeout": "30min",
    "idle_in_transaction_session_timeout": "10min",
}
_FOR_READERS = {
    "lock_timeout": "30s",
    "statement_timeout": "5min",
    "idle_in_transaction_session_timeout": "5min",
    "default_transaction_read_only": "on",
}
# The server's side. Keepalives are for connections on which nothing is on its way; an answer that a host did not take
# before it was gone is sent again for a quarter of an hour, unless the server gives up (in milliseconds).
_GIVE_UP = {
    "tcp_keepalives_idle": "60",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "6",
    "tcp_user_timeout": "120000",
}
_ALWAYS = {"timezone": "UTC", "client_min_messages": "warning"}
_CLIENT = {
    "application_name": "sessions-platform",
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "60",
    "keepalives_interval": "10",
    "keepalives_count": "6",
    "tcp_user_timeout": "120000",  # milliseconds
}


def open_connection(url: str, where: str, variable: str, *, reads: bool = False) -> psycopg.Connection:
    """Connect.

    Args:
        url: a libpq URL, whose parameters are kept.
        where: the server, without secrets, for messages.
        variable: which variable names it, for messages.
        reads: whether only queries follow, which are then given less time.

    Raises:
        UnreachableError: it can't be connected to.
        SettingsError: libpq can't parse the URL.
    """
    try:
        return psycopg.connect(conninfo(url, reads=reads))
    except psycopg.OperationalError as error:
        # shows no password of a URL that `settings` accepts
        raise UnreachableError(where, str(error).strip(), variable) from None
    except (psycopg.ProgrammingError, ValueError):
        # the message could quote the URL, which may contain a password
        raise SettingsError(
            f"{variable}: PostgreSQL can't parse this URL. Fix: write postgresql://user@host/database, and "
            "percent-encode special characters of the password."
        ) from None


def conninfo(url: str, *, reads: bool = False) -> str:
    """What libpq connects by: the URL's parameters, and the platform's for what it does not say.

    Raises:
        psycopg.ProgrammingError: libpq can't parse the URL.
    """
    return make_conninfo(**_parameters(url, _FOR_READERS if reads else _FOR_WRITERS))


def _parameters(url: str, defaults: Mapping[str, str]) -> dict[str, str]:
    """The URL's parameters, and the platform's for what it does not say; `options` has those of both."""
    given = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    options = [_options({**defaults, **_GIVE_UP}), given.pop("options", ""), _options(_ALWAYS)]
    return {**_CLIENT, **given, "options": " ".join(filter(None, options))}


def _options(settings: Mapping[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in settings.items())
