"""The week in a table of a PostgreSQL of the demo's own: the server that the platform embeds, in another folder."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sessions_platform.demo.deliveries import ArrivedLine
from sessions_platform.demo.served import Place
from sessions_platform.demo.visits import moment
from sessions_platform.storage.postgres import embedded

_TABLE = "create table arrivals (id bigint primary key, received_at timestamptz not null, line text not null)"
_COPY = "copy arrivals (id, received_at, line) from stdin"


@contextmanager
def serve(folder: Path, lines: Sequence[ArrivedLine]) -> Iterator[Place]:
    """A table of the lines, each with the time of its arrival."""
    server = embedded.attach(folder)
    try:
        url = server.url()
        _fill(url, lines)
        at = conninfo_to_dict(url)
        yield Place(
            {
                "type": "postgres",
                "host": str(at["host"]),
                "database": str(at["dbname"]),
                "user": str(at["user"]),
                "table": "public.arrivals",
                "incremental": {"cursor": "received_at", "key": "id", "lag": "1m"},
            },
            is_within=True,
        )
    finally:
        server.close()


def _fill(url: str, lines: Sequence[ArrivedLine]) -> None:
    """Make the table in one transaction, unless it is there."""
    with psycopg.connect(url) as connection:
        found = cast("tuple[bool]", connection.execute("select to_regclass('public.arrivals') is null").fetchone())
        if not found[0]:
            return
        connection.execute(_TABLE)
        with connection.cursor().copy(_COPY) as copy:
            for number, line in enumerate(lines):
                copy.write_row((number, moment(line.ms), line.line))
