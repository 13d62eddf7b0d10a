"""Events that tell engines apart: ties, gaps to the microsecond, sums that depend on their order, odd users."""

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.sessionize import sessionize_partitions
from sessions_platform_tests.contexts import line
from sessions_platform_tests.engines.test_engines import stored
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, load, put, refresh
from sessions_platform_tests.streams import DAY_ONE, PLAIN

DAYS = [f"2026-01-0{day}" for day in range(1, 5)]
COLUMNS: dict[str, Any] = {
    **PLAIN["columns"],
    "amount": {"type": "float", "nullable": True},
    "account": {"nullable": True},
}
IDENTITY = {"anonymous_id": "user_id", "user_id": "account"}
AGGREGATES = {
    "total": {"sum": "amount"},
    "greatest": {"max": "amount"},
    "pages": {"count_distinct": "page_url"},
    "usual_page": {"most_frequent": "page_url"},
}
RULES: dict[str, dict[str, Any]] = {
    "a gap": {},
    "midnight, campaign and length": {
        "timezone": "America/New_York",
        "split_at_midnight": True,
        "campaign": "page_url",
        "max_length": "5h",
    },
    "people": {"by": "person", "max_length": "5h"},
}
_USERS = ["ann", "Ünal", "安", "🙂", " ", *(f"u{number}" for number in range(20))]
# Two users of each account, but for some who are seen with two accounts, and so are nobody's.
_ACCOUNTS = {user: [f"p{number // 2}"] for number, user in enumerate(_USERS)} | {"u18": ["p8", "p9"], "ann": ["安"]}
_AMOUNTS = [None, 0.1, 0.2, 1e16, -1e16, 1 / 3, -0.0]
_MICROSECOND = timedelta(microseconds=1)


def fill(context: StreamContext, events: int = 3000, seed: int = 1) -> None:
    """Three days of events, which land on any of four; some land again on another day, with other content or not."""
    choice = random.Random(seed)
    lines: dict[str, list[bytes]] = {day: [] for day in DAYS}
    moments = {user: DAY_ONE + timedelta(minutes=choice.randrange(600)) for user in _USERS}
    for number in range(events):
        user = choice.choice(_USERS)
        gap = choice.choice([0, 0, 1, 10, 30, 30, 30, 45, 300]) * timedelta(minutes=1)
        moments[user] += max(gap + choice.choice([-1, 0, 1]) * _MICROSECOND, timedelta(0))
        if moments[user] >= DAY_ONE + timedelta(days=3):
            continue
        content = {"url": choice.choice([None, "a", "b"]), "amount": choice.choice(_AMOUNTS)}
        content["account"] = choice.choice([None, None, *_ACCOUNTS[user]])
        event = line(user, moments[user], f"e{number}", choice.choice(["view", "buy"]), **content)
        for day in choice.sample(DAYS, choice.choice([1, 1, 1, 2])):
            lines[day].append(event)
        if number % 50 == 0:
            lines[choice.choice(DAYS)].append(line(user, moments[user], f"e{number}", "other", **content))
    for day, of_day in lines.items():
        choice.shuffle(of_day)
        put(context, f"{day}.ndjson", of_day, day)
    ingest_and_publish(context, *DAYS)


def by_polars(context: StreamContext) -> dict[str, list[dict[str, Any]]]:
    """All that is stored once polars has computed it."""
    refresh(context)
    result = stored(context)
    assert len(result["sessions"]) > 100
    return result


def parts_left(context: StreamContext) -> list[str]:
    """Files that executors have written and the ledger does not name."""
    listed = context.lake.filesystem.list(f"{context.stream.name}/sessionized_events")
    return [path for path in listed if "/spark-" in path]


def require_same(context: StreamContext, master: str, expected: dict[str, list[dict[str, Any]]]) -> None:
    """Compute all sessions by Spark: no row of the warehouse changes, and nothing else is left."""
    sessionize_partitions(replace(context, engine="spark", spark=master), DAYS, RUN)
    assert load(context, *DAYS).changed.changed == 0
    assert stored(context) == expected
    assert parts_left(context) == []
