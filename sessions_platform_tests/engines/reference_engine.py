"""An engine that calls the reference sessionizer: it reads all events for each session partition."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import polars as pl

from sessions_platform.contracts.events import content_columns, event_columns
from sessions_platform.contracts.sessions import sessionized_columns
from sessions_platform.engines.base import EngineContext
from sessions_platform.storage.ledger.ledger import LandingVersion
from sessions_platform.transforms import reference_sessionizer as reference
from sessions_platform.transforms.reference_sessionizer import Event, Rule
from sessions_platform.transforms.sessionize import Sessionized
from sessions_platform_tests.exactness.stream_variant import PRECISIONS

_LEFT_OUT = {"session_partition": pl.String, "duplicates_across": pl.Int64, "conflicts_across": pl.Int64}


class ReferenceEngine:
    """Yields one part for each session."""

    def __init__(self, context: EngineContext) -> None:
        self._lake, self._stream = context.lake, context.stream

    def batches(self, partitions: list[str], landings: Sequence[LandingVersion]) -> Iterator[list[str]]:  # noqa: ARG002
        yield from ([partition] for partition in partitions)

    def sessionize(self, partitions: Sequence[str], landings: Sequence[LandingVersion]) -> Iterator[Sessionized]:
        paths = [landing.events_path for landing in landings]
        events = self._lake.scan(paths, event_columns(self._stream)).collect().to_dicts() if paths else []
        duplicates = {reference.identity(copies[0]): copies for copies in reference.copies_of(events, self._rule)}
        chains = self._chains(events)
        of_none = [(None, [event]) for event in reference.outside(events, self._rule)]
        for reason, session in [*reference.cut(events, self._rule), *of_none]:
            key = self._stream.session_calendar.key_of(session[0]["event_timestamp"])
            if key in partitions:
                yield self._part(key, reason, session, duplicates, chains)

    @property
    def _rule(self) -> Rule:
        session = self._stream.session
        return Rule(
            session.gap,
            session.gap_inclusive,
            session.timezone if session.split_at_midnight else None,
            session.campaign,
            session.max_length,
            self._stream.sequence,
            self._stream.duplicates.keep == "last",
            PRECISIONS[session.precision],
            session.gap_from == "second",
            session.cut_on and session.cut_on.column,
            session.cut_on is not None and "changes" in session.cut_on.when,
            session.cut_on is not None and "leaves" in session.cut_on.when,
            tuple(session.passive or ()),
            session.id,
            session.id_within,
        )

    def _chains(self, events: list[Event]) -> dict[Any, float]:
        """By event, how many seconds its activity chain lasts; a passive one outside of all has none."""
        chains = reference.sessions_of(
            events, self._rule._replace(midnight_in=None, campaign=None, cut_on=None, max_length=None, keeps_last=False)
        )
        seconds = dict.fromkeys(map(reference.identity, reference.outside(events, self._rule)), 0.0)
        for chain in chains:
            times = [event["event_timestamp"] for event in chain if event["event_type"] not in self._rule.passive]
            seconds |= dict.fromkeys(map(reference.identity, chain), (times[-1] - times[0]).total_seconds())
        return seconds

    def _part(
        self,
        key: str,
        reason: str | None,
        session: list[Event],
        duplicates: dict[Any, list[Event]],
        chains: dict[Any, float],
    ) -> Sessionized:
        content = content_columns(self._stream)
        rows, same, different = [], 0, 0
        for before, event in zip([None, *session], session, strict=False):
            rows.append(
                {
                    **event,
                    "session_id": reason and reference.session_id(session),
                    "is_new_session": before is None and reason is not None,
                    "time_diff_seconds": before and _seconds(event, before),
                    "boundary_reason": reason if before is None else None,
                    "session_partition": key,
                }
            )
            for copy in duplicates[reference.identity(event)][1:]:
                agrees = all(copy[name] == event[name] for name in content)
                same, different = same + agrees, different + (not agrees)
        longest = max(chains[reference.identity(event)] for event in session)
        return Sessionized(
            pl.DataFrame(rows, schema=sessionized_columns(self._stream), orient="row"),
            pl.DataFrame([(key, same, different)], schema=_LEFT_OUT, orient="row"),
            pl.DataFrame(
                [(key, longest)], schema={"session_partition": pl.String, "seconds": pl.Float64}, orient="row"
            ),
        )


def _seconds(event: Event, before: Event) -> float:
    return (event["event_timestamp"] - before["event_timestamp"]) / timedelta(seconds=1)
