"""A small stream of real landing files, and ways to damage its lake."""

import gzip
import json
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

from sessions_platform.operations.status import pending_landing_partitions
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.run import run_pipeline
from sessions_platform.settings import Settings
from sessions_platform_tests.ingested import open_folder
from sessions_platform_tests.lakes import folder_of
from sessions_platform_tests.streams import DAY_ONE

DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]
ASSETS = ["raw_events", "events", "rejected_events", "sessionized_events"]
_ADDED = ("loaded_at", "changed_at", "run_id", "first_rejected_at")
RUN = "a-run"


def landed(folder: Path, settings: Settings, events: int = 60, **changes: Any) -> StreamContext:
    """A stream that is up to date: three days with rejected rows, a file that breaks off and one without rows."""
    context = open_folder(folder, settings, **changes)
    for number, day in enumerate(DAYS):
        (folder / day).mkdir(parents=True)
        (folder / day / "a.ndjson").write_bytes(lines(number, events))
        (folder / day / "b.ndjson").write_bytes(lines(number, events // 2, "b") + b"not json\n")
    broken = gzip.compress(lines(1, events, "c"))
    (folder / DAYS[1] / "broken.ndjson.gz").write_bytes(broken[: len(broken) // 2])
    (folder / DAYS[1] / "empty.ndjson").write_bytes(b"\xef\xbb\xbf")
    bring_up_to_date(context)
    return context


def lines(day: int, events: int, name: str = "a") -> bytes:
    """Events of a day's first and last hours, by nine users, so that sessions cross midnight."""
    made = [
        {
            "id": f"{name}-{day}-{number}",
            "user": f"user {number % 9}",
            "ts": (DAY_ONE + timedelta(days=day, hours=19 * (number % 2), minutes=4 * number)).isoformat(),
            "type": "view",
        }
        for number in range(events)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in made)


def bring_up_to_date(context: StreamContext) -> None:
    run_pipeline(context, pending_landing_partitions(context), RUN)


def tables(context: StreamContext) -> dict[str, list[dict[str, Any]]]:
    """Everything that a reader of the warehouse sees, without times and runs."""
    found = {}
    for table in ("sessions", "rejected_events", "session_changes"):
        rows = context.database.query(f"select * from {context.stream.name}.{table} order by 1, 2")
        found[table] = [{name: value for name, value in row.items() if name not in _ADDED} for row in rows]
    return found


def files_of(context: StreamContext, asset: str, partition: str | None = None) -> list[Path]:
    """The current lake files of an asset; of `quarantined_files` all."""
    root = folder_of(context.lake)
    if asset == "quarantined_files":
        return sorted((root / context.stream.name / asset).iterdir())
    files = context.ledger.lake_files([partition] if partition else None)
    return [root / file.path for file in files if file.asset == asset]


def flip(path: Path, place: int | None = None, generator: random.Random | None = None) -> int:
    """Flip one bit of a file; the place in bits, drawn at random where none is given."""
    content = bytearray(path.read_bytes())
    drawn = place if place is not None else (generator or random.Random(path.name)).randrange(len(content) * 8)
    content[drawn // 8] ^= 1 << drawn % 8
    path.write_bytes(content)
    return drawn
