"""An event that is a day late or more, on one of n days, against a full refresh: by the functions of the pipeline.

The late event includes ingesting, validating and publishing; the full refresh is only refreshing.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.bench import Bench
from benchmarks.data import days
from benchmarks.measure import Failed
from benchmarks.results import Figure, Result
from benchmarks.server import Server, running
from benchmarks.stream import NAME, definition

ROWS = 1_000_000
DAYS = (10, 30)
SESSIONS = ("session_id", "user_id", "session_start", "session_end", "event_count", "primary_action", "open_until")


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    for count in DAYS:
        full, late = [], []
        data = bench.cache.get("days", rows, days=count)
        with running() as server, bench.folder() as folder:
            given = {"data": str(data), "folder": str(folder), "url": server.url, "count": count}
            measure.run(measure.program("late_event", "take_in", **given))
            for number in range(bench.pairs):
                measure.run(measure.program("late_event", "add", **given, number=number))
                late.append(measure.run(measure.program("late_event", "take_in_late", **given)).output["seconds"])
                incremental = _table(server)
                full.append(measure.run(measure.program("late_event", "refresh_all", **given)).output["seconds"])
                if incremental != _table(server):
                    raise Failed(f"late_event: of {count} days, a full refresh leaves another table than a late event.")
                bench.say(f"    {count} days: late {late[-1]:.2f} s, full refresh {full[-1]:.2f} s")
        beyond = [a - b / count for a, b in zip(late, full, strict=True)]
        details = {"days": count, "late_seconds": late, "full_seconds": full}
        name = "late_event/beyond a full refresh's share" + (f", {count} days" if count != DAYS[0] else "")
        about = f"seconds of a late event beyond a {count}th of a full refresh of {count} days"
        yield Figure(name, about, rows, beyond, "s", details)


def _table(server: Server) -> str:
    return server.digest(f"{NAME}.sessions", SESSIONS)


# The programs --------------------------------------------------------------------------------------------


def context_of(data: str, folder: str, url: str) -> Any:
    """The context of a stream whose landing files are those of the data; its file is written the first time."""
    from sessions_platform.allocator import configure_allocator

    configure_allocator()  # before polars is imported
    from sessions_platform.pipeline.context import open_contexts
    from sessions_platform.settings import Settings

    streams = Path(folder) / "streams"
    if not streams.exists():
        streams.mkdir()
        (streams / "shop.yaml").write_text(json.dumps(definition()))
        for file in Path(data).glob("*.gz"):
            place = streams / "landing" / file.name.partition(".")[0] / "events.ndjson.gz"
            place.parent.mkdir(parents=True)
            place.hardlink_to(file)
    home = Path(folder) / "home"
    (context,) = open_contexts(Settings(home, home / "lake", (streams,), url), [NAME])
    return context


def _take_in(context: Any, partitions: list[str]) -> None:
    from sessions_platform.pipeline.ingest import ingest
    from sessions_platform.pipeline.publish import publish
    from sessions_platform.pipeline.validate import validate_partition

    ingest(context, partitions, "benchmark")
    for partition in partitions:
        validated = validate_partition(context, partition, context.raw_events([partition]))
        publish(context, validated, "benchmark")


def _refresh(context: Any, partitions: list[str]) -> None:
    from sessions_platform.pipeline.load import load_sessions
    from sessions_platform.pipeline.sessionize import sessionize_partitions

    sessionize_partitions(context, partitions, "benchmark")
    load_sessions(context, context.sessionized_events(partitions), "benchmark")


def take_in(data: str, folder: str, url: str, count: int) -> None:
    """All days, and their sessions."""
    context = context_of(data, folder, url)
    _take_in(context, days(count))
    _refresh(context, days(count))


def add(data: str, folder: str, url: str, count: int, number: int) -> None:
    """Write an event of the third day or later, of a user with sessions there, to a landing day after all others."""
    context = context_of(data, folder, url)
    with context.database.transaction(read_only=True) as connection:
        sql = f"""select user_id, session_end from {NAME}.sessions where session_partition = %s and event_count = 3
                  order by session_id limit 1"""
        user, end = connection.execute(sql.encode(), [days(count)[2 + number]]).fetchone()
    event = {
        "event_id": f"late-{number}",
        "user_id": user,
        "event_timestamp": end.isoformat(),
        "event_type": "logout",
        "page_url": "https://shop.example/",
        "device": "mobile",
    }
    place = Path(folder) / "streams" / "landing" / days(count + 1 + number)[-1] / "late.ndjson.gz"
    place.parent.mkdir()
    place.write_bytes((json.dumps(event) + "\n").encode())


def take_in_late(data: str, folder: str, url: str, count: int) -> dict[str, Any]:
    """Ingest the newest landing folder, and refresh what is then stale."""
    context = context_of(data, folder, url)
    assert all((context.ledger, context.warehouse))  # open, as in a run that goes on
    newest = max(path.name for path in (Path(folder) / "streams" / "landing").iterdir())
    started = time.monotonic()
    _take_in(context, [newest])
    stale = context.ledger.stale_partitions(context.stream.session_rule_version)
    _refresh(context, stale)
    seconds = time.monotonic() - started
    if not stale or len(stale) == count:
        raise Failed(f"a late event has {len(stale)} of {count} days refreshed")
    return {"seconds": seconds, "refreshed": len(stale)}


def refresh_all(data: str, folder: str, url: str, count: int) -> dict[str, Any]:
    """Refresh everything, into an empty table."""
    context = context_of(data, folder, url)
    partitions = days(count)
    with context.database.transaction() as connection:
        assert context.warehouse
        connection.execute(f"truncate {NAME}.sessions, {NAME}.session_changes".encode())
    started = time.monotonic()
    _refresh(context, partitions)
    return {"seconds": time.monotonic() - started}
