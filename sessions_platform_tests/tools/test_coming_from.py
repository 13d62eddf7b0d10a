"""The stream and the view on the page on coming from Segment's package give the package's ids, numbers and users."""

import json
import re
from collections.abc import Callable
from hashlib import md5
from pathlib import Path
from typing import Any

import yaml

from sessions_platform.pipeline.context import StreamContext
from sessions_platform_tests.pipeline.steps import put, run_pending

PAGE = Path(__file__).parents[2] / "docs" / "coming-from.md"

# By device: the second session begins a second and a fraction after the gap; within it there is a silence of 30 minutes
# and a half second, which whole seconds hide. Both devices are ann's in the end, whose sessions are numbered jointly.
VIEWS = [
    ("d1", "2026-01-01T09:00:00.000Z", None),
    ("d1", "2026-01-01T09:30:01.200Z", None),
    ("d1", "2026-01-01T10:00:01.700Z", "ann"),
    ("d2", "2026-01-01T09:10:00.000Z", "ann"),
    ("d3", "2026-01-01T09:20:00.000Z", None),
]
# Of each session: the device, its number, the user and the user's number, by the rule of the package in its words.
SESSIONS = {("d1", 1, "ann", 1), ("d2", 1, "ann", 2), ("d1", 2, "ann", 3), ("d3", 1, "d3", 1)}


def _examples(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_view_has_the_ids_and_numbers_of_segments_package(open_context: Callable[..., StreamContext]) -> None:
    (document,) = map(yaml.safe_load, _examples("yaml"))
    keys: dict[str, Any] = {key: document[key] for key in ("columns", "session")}
    context = open_context(**keys)
    lines = [
        json.dumps({"id": str(number), "anonymous_id": device, "timestamp": at, "type": "page", "user_id": account})
        for number, (device, at, account) in enumerate(VIEWS)
    ]
    put(context, "a.ndjson", [text.encode() for text in lines], "2026-01-01")
    run_pending(context)
    (view,) = (text for text in _examples("sql") if "segment_session_id" in text)
    select = view.partition(" as\n")[2].replace("site.sessions", f"{context.stream.name}.sessions")
    rows = context.database.query(select)
    of_device = {md5(f"{device}-{number}".encode()).hexdigest(): (device, number) for device, number, *_ in SESSIONS}
    assert {
        (*of_device[row["segment_session_id"]], row["blended_user_id"], row["session_number"]) for row in rows
    } == SESSIONS
    assert len(rows) == len(SESSIONS)
    assert all(row["session_start"].microsecond == 0 for row in rows)
