"""Read accepted events from the lake files of published landing partitions.

Here: which files may contain events of a time window, and a reader of them. How a file is read is in
``storage.lake``; which landing partitions are published is in ``storage.ledger``.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import polars as pl

from sessions_platform.contracts.calendar import Window
from sessions_platform.contracts.polars_types import in_window
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.transforms.sessionize import EventReader


def events_near(landings: Iterable[LandingVersion], window: Window) -> list[str]:
    """The paths of the lake files that may contain accepted events of the window."""
    return [landing.events_path for landing in landings if window.overlaps(landing.first_event, landing.last_event)]


def event_reader(
    lake: Lake,
    schema: Mapping[str, pl.DataType],
    landings: Sequence[LandingVersion],
    more_paths: Iterable[str] = (),
    columns: Iterable[str] | None = None,
) -> EventReader:
    """A reader of the accepted events of these landing partitions.

    Args:
        lake: where the files are.
        schema: the event columns of the stream.
        landings: the published landing partitions that are read.
        more_paths: further lake files with accepted events, read for every window.
        columns: the columns that are returned, in this order; all where absent.

    Returns:
        A reader that reads only files that may contain events of the window that it is asked for.
    """
    more, wanted = list(more_paths), list(columns or schema)

    def read(start: datetime, end: datetime, users: pl.Series | None = None) -> pl.DataFrame:
        window = Window(start, end)
        paths = [*events_near(landings, window), *more]
        events = lake.scan(paths, schema, "event_timestamp", window.overlaps).filter(in_window(window))
        if users is not None:
            events = events.join(users.to_frame("user_id").lazy(), on="user_id", how="semi")
        return events.select(wanted).collect()

    return read
