"""Servers that the demo starts, fills with its week, and reads: `sessions-platform demo --source kafka`.

Each module here is one server: it starts it on this machine's loopback, or on a socket, gives it the lines of the week,
and says what a stream states to read them. The data stay in a folder of the home, so that a second demo of the same
source finds what it has read. Here: what they have in common, and the stream's file. Not here: which there are
(`demo.served_by`), the lines (`demo.events`), and the runs (`demo.run`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from sessions_platform.demo.deliveries import ArrivedLine
from sessions_platform.demo.served_by import ServedBy
from sessions_platform.settings import DEMO_STREAMS, make_private_folder

PLAIN = "web_shop"
# The field of a record that has a line of the week, where a server's records have other fields too.
LINE = "line"


@dataclass(frozen=True)
class Place:
    """Where the lines of the week are.

    Attributes:
        source: the key `source` of a stream that reads them.
        is_within: whether a line is the text of the field LINE of a record.
        by_source_time: whether the server's own time says to which day a line belongs, and no path does.
    """

    source: dict[str, Any]
    is_within: bool = False
    by_source_time: bool = True


Serve = Callable[[Path, Sequence[ArrivedLine]], AbstractContextManager[Place]]


@dataclass(frozen=True)
class Served:
    """A stream whose source answers within `with`: its name, and the folder that has its file."""

    name: str
    folder: Path
    place: Place = field(repr=False)


@contextmanager
def served(by: ServedBy, home: Path, lines: Sequence[ArrivedLine]) -> Iterator[Served]:
    """Start a server, and give it the lines unless it has them.

    Args:
        by: which server.
        home: of the platform. Its folder `demo/NAME` gets the server's data, and `demo/streams` the stream's file.
        lines: of the week, in the order of their arrival.

    Raises:
        UserError: it is not installed, or does not start; with what to do.
    """
    folder = home / "demo" / by.value
    make_private_folder(folder)
    serve: Serve = import_module(f"{__name__}.{by.value}").serve
    with serve(folder, lines) as place:
        yield write_stream(by, home / "demo" / "streams", place)


def write_stream(by: ServedBy, folder: Path, place: Place) -> Served:
    """Write the demo's stream with another source."""
    stream = yaml.safe_load((DEMO_STREAMS / f"{PLAIN}.yaml").read_text())
    stream["name"] = f"{PLAIN}_{by.value}"
    stream["source"] = place.source
    if place.by_source_time:
        stream["landing"] = {"by": "source_time"}
    if place.is_within:
        stream["source"] = {**place.source, "parse": {"field": LINE, "format": "json"}}
        stream["columns"] = {name: _within(name, column) for name, column in stream["columns"].items()}
        # Two records of one line differ in the rest.
        stream["duplicates"] = {"ignore": ["id", "received_at"]}
    make_private_folder(folder)
    (folder / f"{stream['name']}.yaml").write_text(yaml.safe_dump(stream, sort_keys=False, allow_unicode=True))
    return Served(stream["name"], folder, place)


def _within(name: str, column: dict[str, Any]) -> dict[str, Any]:
    """A column whose paths lead into the line."""
    paths = column.get("from", name)
    return {**column, "from": [f"{LINE}.{path}" for path in ([paths] if isinstance(paths, str) else paths)]}
