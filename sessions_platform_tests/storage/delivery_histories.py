"""Any history of arrivals, corrections, deliveries, kills and foreign changes, for targets of all kinds."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.deliver import deliver
from sessions_platform.storage.ledger.ledger import Ledger
from sessions_platform.storage.warehouses.base import Changes
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import put, run_pending
from sessions_platform_tests.storage.targets import RUN, assert_equal_to_postgres, in_target, the_target

DAYS = [f"2026-01-0{day}" for day in (1, 2, 3)]
days = st.sampled_from(DAYS)
events = st.one_of(
    st.sampled_from([[], [("a", 1)], [("a", 1), ("b", 2)]]),  # so that data return to what they were
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 23)), max_size=4, unique=True),
)
actions = st.one_of(
    st.tuples(st.just("land"), days, events),
    st.tuples(st.just("deliver")),
    st.tuples(st.just("deliver and be killed")),
    st.tuples(st.just("deliver and be killed between tables")),
    st.tuples(st.just("alter"), days),
    st.tuples(st.just("remove")),
)


def there_and_back(action: str) -> list[tuple[Any, ...]]:
    """A history whose data are at the end what was recorded last, and were others in between."""
    before, between = ("land", DAYS[0], [("a", 1)]), ("land", DAYS[0], [("a", 1), ("b", 2)])
    return [before, ("deliver",), between, (action,), before]


class Killed(BaseException):
    pass


class History:
    """A stream, its target, and what may happen to them."""

    def __init__(self, context: StreamContext, remove: Callable[[], None]) -> None:
        self.context, self.remove = context, remove

    def land(self, day: str, events: list[tuple[str, int]]) -> None:
        """Write or replace the day's file, and bring PostgreSQL up to date."""
        lines = [line(user, f"{day}T{hour:02}:00:00Z", f"{day}-{user}-{hour}") for user, hour in events]
        put(self.context, day, lines, day)
        run_pending(self.context)

    def deliver(self) -> None:
        deliver(self.context, the_target(self.context), RUN)

    def deliver_and_be_killed(self) -> None:
        def killed(*_: Any, **__: Any) -> None:
            raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Ledger, "record_deliveries", killed)
            with suppress(Killed):
                self.deliver()

    def deliver_and_be_killed_between_tables(self) -> None:
        """Be killed before the second table is written, where it is written apart, else deliver."""
        rows_of, tables = Changes.rows_of, set[str]()

        def killed(changes: Changes, table: str) -> Iterator[pl.DataFrame]:
            tables.add(table)
            if len(tables) > 1:
                raise Killed
            return rows_of(changes, table)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Changes, "rows_of", killed)
            with suppress(Killed):
                self.deliver()

    def alter(self, day: str) -> None:
        """Remove a session of the day from the target."""
        target = the_target(self.context)
        frames = {table: in_target(target, table).filter(session_partition=day) for table in target.tables}
        frames["sessions"] = frames["sessions"][1:]
        if token := target.token():
            target.apply(Changes(token, [day], lambda table, _: iter([frames[table]])))


def assert_equal_after_any_history(begin: Callable[[], History]) -> None:
    """Whatever has happened, the target has what PostgreSQL has once it was delivered to.

    Args:
        begin: makes a stream with an empty target.
    """

    @settings(
        max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    )
    @given(st.lists(actions, min_size=3, max_size=8))
    @example(there_and_back("deliver and be killed"))
    @example(there_and_back("deliver and be killed between tables"))
    def run(history: list[tuple[Any, ...]]) -> None:
        stream = begin()
        stream.context.prepare()
        for name, *arguments in history:
            getattr(stream, name.replace(" ", "_"))(*arguments)
        is_altered = any(name == "alter" for name, *_ in history)  # which the target's token does not show
        deliver(stream.context, the_target(stream.context), RUN, verify=is_altered)
        assert_equal_to_postgres(stream.context)
        assert deliver(stream.context, the_target(stream.context), RUN, verify=True).applied == []

    run()
