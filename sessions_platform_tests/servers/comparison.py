"""Whether a stream of a server has what the same stream of a file has, and what is common to such streams."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform_tests.pipeline.steps import ingest_and_publish, refresh, table
from sessions_platform_tests.streams import PLAIN, stream

DAY = "2026-01-31"
COLUMNS: dict[str, Any] = {name: PLAIN["columns"][name] for name in PLAIN["columns"] if name != "page_url"}
_COUNTS = ("accepted", "rejected", "duplicates")


def ingestion(described: Path, home: Path, *point: str) -> int:
    """The exit code of an ingestion as a process of its own, which kills itself at a point (`killed`)."""
    command = [sys.executable, "-m", "sessions_platform_tests.servers.killed", str(described), str(home), DAY, *point]
    return subprocess.run(command, check=False, timeout=300).returncode


def payloads(context: StreamContext) -> list[bytes]:
    """All that was read, by slice and position."""
    rows = context.raw_events([DAY]).scan().collect().sort("source_uri", "position")
    return rows["payload"].to_list()


def require_sessions_of_file(context: StreamContext, records: list[bytes], settings: Settings, folder: Path) -> None:
    """The stream has just these records, and its sessions are, row for row, those of a file of them."""
    assert sorted(payloads(context)) == sorted(records)
    file = folder / "records.ndjson"
    file.write_bytes(b"".join(record + b"\n" for record in records))
    source = {"files": str(file), "format": "ndjson"}
    of_file = StreamContext.open(stream(name=f"{context.stream.name}_file", columns=COLUMNS, source=source), settings)
    for each in (context, of_file):
        ingest_and_publish(each, DAY)
        refresh(each)
    told, of_files = status(context), status(of_file)
    assert [told[name] for name in _COUNTS] == [of_files[name] for name in _COUNTS]
    assert min(told[name] for name in _COUNTS) > 100
    assert _sessions(context) == _sessions(of_file)
    assert len(_sessions(context)) > 1000


def _sessions(context: StreamContext) -> list[dict[str, Any]]:
    rows = table(context)
    return [{name: value for name, value in row.items() if name not in _OWN} for row in rows]


_OWN = ("loaded_at", "session_rule_version")
