"""Reports for tests that need no database: all counts are made up, and texts are as events may bring them."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from sessions_platform.operations.report.data import Arrivals, MostFrequent, Period, ReportData
from sessions_platform.operations.report.lake_counts import Delays
from sessions_platform.storage.warehouses.postgres.report_queries import Distributions, Totals
from sessions_platform.transforms.silences import BOUNDS, GAPS, silences
from sessions_platform_tests.streams import DAY_ONE, stream

HOSTILE = [
    "https://shop.example/<script>alert(1)</script>",
    "</svg></section><img src=x onerror=alert(1)>",
    "\"'`&amp;\x00\x1b[31m\u202e",
    "https://shop.example/" + "a-very-long-address-without-any-break" * 12,
    "{{ 7 * 7 }} {% raw %}",
    "",
]
REASONS = [f"reason_{number}" for number in range(12)]
NOTHING = Totals(0, 0, None, None, None, None, 0)


def counted(days: int = 7, scale: int = 1, **changes: Any) -> ReportData:
    """A report with something in each section, of these many days; numbers grow with the scale."""
    numbers = [scale * (50 + 37 * n % 41) for n in range(days)]
    total = sum(numbers)
    first = DAY_ONE.date()
    events = {"user_id": ["ann"] * 4, "event_timestamp": [DAY_ONE + timedelta(minutes=m) for m in (0, 7, 37, 100)]}
    values = tuple((text, total // (n + 2)) for n, text in enumerate(HOSTILE))
    arrivals = [
        Arrivals(first + timedelta(days=n), 9 * number, number, dict.fromkeys(REASONS, number // 12))
        for n, number in enumerate(numbers)
    ]
    content: dict[str, Any] = {
        "stream": stream(description=HOSTILE[0]),
        "since": None,
        "made_at": datetime(2026, 2, 1, tzinfo=UTC),
        "totals": Totals(total, 5 * total, DAY_ONE, DAY_ONE + timedelta(days=days), 9_920.4, 59 * scale, total // 3),
        "unit": "day",
        "periods": tuple(Period(first + timedelta(days=n), it, it // 2) for n, it in enumerate(numbers)),
        "distributions": Distributions(
            dict.fromkeys(range(13), total // 13),
            dict.fromkeys(range(11), total // 11),
            {(day, hour): scale * day * hour for day in range(1, 8) for hour in range(24)},
        ),
        "most_frequent": dict.fromkeys(("primary_action", "entry_page", "exit_page"), MostFrequent(values, 414)),
        "silences": silences(pl.DataFrame(events), GAPS, sorted({*BOUNDS, *GAPS})),
        "delays": Delays(5 * total, {3: 144 * scale, 4: 79 * scale, 6: 95 * scale}),
        "arrival_unit": "day",
        "arrivals": tuple(arrivals),
        "stale_sessions": ("2026-01-03",),
        "pending_landing": (),
    }
    return ReportData(**{**content, **changes})


def empty() -> ReportData:
    """The report of a stream without any event."""
    none = pl.DataFrame(schema={"user_id": pl.String(), "event_timestamp": pl.Datetime("us", "UTC")})
    lists = dict.fromkeys(("primary_action", "entry_page", "exit_page"), MostFrequent((), 0))
    return counted(
        days=0,
        totals=NOTHING,
        distributions=Distributions({}, {}, {}),
        most_frequent=lists,
        silences=silences(none, GAPS, sorted({*BOUNDS, *GAPS})),
        delays=Delays(0, {}),
        stale_sessions=(),
        since=date(2026, 1, 1),
    )
