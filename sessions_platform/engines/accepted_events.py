"""Read accepted events from the lake files of published landing partitions.

Here: which files may contain events of a time window, a reader of them, and whose they are by the links of the same
landing versions, where sessions are cut by person. How a file is read is in ``storage.lake``; which landing partitions
are published is in ``storage.ledger``; the rule by which an id has a person is in ``transforms.people``.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import polars as pl

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.polars_types import in_window
from sessions_platform.contracts.stream import Stream
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.transforms.people import PAIRS, Resolve, pairs_of, people_of, resolving
from sessions_platform.transforms.sessionize import EventReader


def events_near(landings: Iterable[LandingVersion], window: Window) -> list[str]:
    """The paths of the lake files that may contain accepted events of the window."""
    return [landing.events_path for landing in landings if window.overlaps(landing.first_event, landing.last_event)]


def pairs_in(lake: Lake, stream: Stream, paths: Sequence[str]) -> pl.DataFrame:
    """The pairs of an anonymous id and a user that accepted events show (``PAIRS``); none where persons do not matter.

    Three columns of all these events are read. Memory: the pairs.

    Args:
        lake: where the files are.
        stream: names the columns.
        paths: lake files of accepted events.
    """
    identity = stream.persons
    if identity is None:
        return pl.DataFrame(schema=PAIRS)
    wanted = {"event_timestamp", identity.anonymous_id, identity.user_id}
    columns = {name: dtype for name, dtype in event_columns(stream).items() if name in wanted}
    return pairs_of(lake.scan(paths, columns), identity).collect(engine="streaming")


class KnownPairs:
    """Pairs of lake files, kept from one question to the next: a file is read once, and only those that are new.

    So what was read before a lock is taken need not be read under it. Memory: the pairs.
    """

    def __init__(self, lake: Lake, stream: Stream) -> None:
        self._lake, self._stream = lake, stream
        self._paths: frozenset[str] = frozenset()
        self._pairs = pl.DataFrame(schema=PAIRS)

    def of(self, paths: Iterable[str]) -> pl.DataFrame:
        """The pairs of these lake files (``PAIRS``), a pair perhaps several times; see ``pairs_in``."""
        wanted = frozenset(paths)
        if not self._paths <= wanted:  # what one file shows can't be taken from what several show
            self._paths, self._pairs = frozenset(), pl.DataFrame(schema=PAIRS)
        if unread := sorted(wanted - self._paths):
            self._pairs = pl.concat([self._pairs, pairs_in(self._lake, self._stream, unread)])
            self._paths = wanted
        return self._pairs

    def people(self, landings: Iterable[LandingVersion]) -> pl.DataFrame | None:
        """Whose each anonymous id is by all links of these landing versions, as ``people_of`` returns it.

        None where sessions are not a person's.
        """
        if self._stream.persons is None:
            return None
        return people_of(self.of(landing.events_path for landing in landings), self._stream.persons.shared_above)

    def resolve(self, landings: Iterable[LandingVersion]) -> Resolve:
        """A function that gives events their person, as ``resolve_by`` returns it."""
        people = self.people(landings)
        return as_accepted if people is None else resolving(people)


def resolve_by(lake: Lake, stream: Stream, landings: Iterable[LandingVersion]) -> Resolve:
    """A function that gives events their person by all links of these landing versions, and by nothing else.

    Where sessions are not a person's it leaves events as they are, and nothing is read.
    """
    return KnownPairs(lake, stream).resolve(landings)


def as_accepted(events: pl.LazyFrame) -> pl.LazyFrame:
    """Leaves events as they are, where sessions are not a person's."""
    return events


def event_reader(
    lake: Lake,
    schema: Mapping[str, pl.DataType],
    landings: Sequence[LandingVersion],
    more_paths: Iterable[str] = (),
    columns: Iterable[str] | None = None,
    resolve: Resolve = as_accepted,
) -> EventReader:
    """A reader of the accepted events of these landing partitions.

    Args:
        lake: where the files are.
        schema: the event columns of the stream.
        landings: the published landing partitions that are read.
        more_paths: further lake files with accepted events, read for every window.
        columns: the columns that are returned, in this order; all where absent.
        resolve: gives events their person, of which the reader is asked as of a user.

    Returns:
        A reader that reads only files that may contain events of the window that it is asked for.
    """
    more, wanted = list(more_paths), list(columns or schema)

    def read(start: datetime, end: datetime, users: pl.Series | None = None) -> pl.DataFrame:
        window = Window(start, end)
        paths = [*events_near(landings, window), *more]
        events = resolve(lake.scan(paths, schema, "event_timestamp", window.overlaps).filter(in_window(window)))
        if users is not None:
            events = events.join(users.to_frame("user_id").lazy(), on="user_id", how="semi")
        return events.select(wanted).collect()

    return read


def reader_within(events: pl.DataFrame, loaded: Window, read: EventReader) -> EventReader:
    """A reader of the events of one bucket's users: within `loaded` from `events`, and else from the lake by `read`.

    After the partition's end, `events` may have only those of users whose activity chains continue there; nothing is
    read there for others.
    """

    def read_loaded(start: datetime, end: datetime, users: pl.Series | None = None) -> pl.DataFrame:
        if start < loaded.start or end > loaded.end:
            return read(start, end, users)
        inside = events.filter(in_window(Window(start, end)))
        return inside if users is None else inside.filter(pl.col("user_id").is_in(users.implode()))

    return read_loaded
