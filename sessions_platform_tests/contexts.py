"""Stream contexts for tests: an empty stream of a name of its own, fed from memory."""

import itertools
import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform_tests.memory_source import MemorySource
from sessions_platform_tests.streams import stream

_names = itertools.count()


@pytest.fixture
def open_context(settings: Settings) -> Callable[..., StreamContext]:
    """Makes an empty stream of a name of its own, fed from memory."""

    def make(**changes: Any) -> StreamContext:
        named = stream(**{"name": f"web{next(_names)}", **changes})
        return StreamContext.open(named, settings, MemorySource())

    return make


@pytest.fixture
def context(open_context: Callable[..., StreamContext]) -> StreamContext:
    return open_context()


def line(user: str | None, at: datetime | str, name: str, kind: str = "view", **more: Any) -> bytes:
    """One event as its source writes it."""
    ts = at if isinstance(at, str) else at.isoformat()
    return json.dumps({"id": name, "user": user, "ts": ts, "type": kind, **more}).encode()
