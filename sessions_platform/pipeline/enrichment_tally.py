"""What enrichments computed of a landing partition: how many events have a value, and which ones are frequent.

Not here: the computing (``enrich``), and how records are shown (``records``).
"""

import polars as pl

from sessions_platform.contracts.events import dropped_columns
from sessions_platform.contracts.own_function import OwnFunction
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.enrich.distinct import ERROR, EVENTS

_SHOWN = 5
# Characters of a value that is shown; a longer one is left out. Pseudonyms have 64, and an erasure finds them only
# where they are whole.
_LONGEST_SHOWN = 100
# Distinct values of a column that are counted; beyond them the rarer half is forgotten, as of click ids.
_COUNTED = 50_000


class EnrichmentTally:
    """Counts of the values of each enriched column, weighted by events."""

    def __init__(self, stream: Stream) -> None:
        self._configs = dict(stream.enrich)
        self._not_stored = frozenset(dropped_columns(stream))
        self._events = dict.fromkeys(self._configs, 0)
        self._counts: dict[tuple[str, str], pl.DataFrame] = {}
        self._filled: dict[tuple[str, str], int] = {}
        self._without = dict.fromkeys(self._configs, 0)
        self._errors: dict[str, tuple[int, str]] = {}
        self._inputs_without: dict[str, pl.DataFrame] = {}

    def add(self, name: str, seen: pl.DataFrame) -> None:
        """Count what the enrichment of this name computed.

        Args:
            name: of an enrichment, as in `Stream.enrich`.
            seen: distinct inputs with their values, and `EVENTS`.
        """
        config = self._configs[name]
        self._events[name] += int(seen[EVENTS].sum())
        for column in config.added:
            place = (name, column)
            counts = _counted(seen.filter(pl.col(column).is_not_null()), column)
            self._filled[place] = self._filled.get(place, 0) + int(counts[EVENTS].sum())
            if column not in config.identifying:
                self._counts[place] = _together(self._counts.get(place), counts)
        inputs, added = list(config.reads), list(config.added)
        nothing = seen.filter(~pl.all_horizontal(pl.col(inputs).is_null()), pl.all_horizontal(pl.col(added).is_null()))
        if ERROR in seen.columns:
            self._add_errors(name, seen.filter(pl.col(ERROR).is_not_null()))
        self._without[name] += int(nothing[EVENTS].sum())
        if config.shows_inputs and inputs[0] not in self._not_stored:
            self._inputs_without[name] = _together(self._inputs_without.get(name), _counted(nothing, inputs[0]))

    def _add_errors(self, name: str, failed: pl.DataFrame) -> None:
        if failed.height:
            events, kind = self._errors.get(name, (0, failed[ERROR].sort()[0]))
            self._errors[name] = (events + int(failed[EVENTS].sum()), kind)

    def warnings(self) -> list[str]:
        """A sentence for each enrichment that could not compute the values of all events."""
        return [
            f"enrich.{name}: {config.function} could not compute {events:,} events: {kind}. Their columns are null. "
            "Fix: correct the function and raise its version."
            for name, (events, kind) in self._errors.items()
            if isinstance(config := self._configs[name], OwnFunction)
        ]

    def records(self) -> list[dict[str, str | float]]:
        """One record for each column that is added, in their order; all counts are of events."""
        return [
            {
                "enrichment": name,
                "column": column,
                "filled": self._filled.get((name, column), 0),
                "of": self._events[name],
                "percent": _percent(self._filled.get((name, column), 0), self._events[name]),
                "most_frequent": _most_frequent(self._counts.get((name, column))),
                "inputs_without_value": self._without[name],
                "such_as": _most_frequent(self._inputs_without.get(name)),
            }
            for name, config in self._configs.items()
            for column in config.added
        ]


def _counted(seen: pl.DataFrame, column: str) -> pl.DataFrame:
    """Each value of a column with the number of its events."""
    return seen.group_by(pl.col(column).cast(pl.String).alias("value")).agg(pl.sum(EVENTS))


def _together(known: pl.DataFrame | None, more: pl.DataFrame) -> pl.DataFrame:
    known = more if known is None else pl.concat([known, more]).group_by("value").agg(pl.sum(EVENTS))
    return _sorted(known).head(_COUNTED // 2) if known.height > _COUNTED else known


def _sorted(counts: pl.DataFrame) -> pl.DataFrame:
    return counts.sort(EVENTS, "value", descending=[True, False])


def _most_frequent(counts: pl.DataFrame | None) -> str:
    if counts is None:
        return ""
    shown = _sorted(counts.filter(pl.col("value").str.len_chars() <= _LONGEST_SHOWN)).head(_SHOWN)
    return ", ".join(f"{value} {events:,}" for value, events in shown.iter_rows())


def _percent(filled: int, of: int) -> float:
    return round(100 * filled / of, 2) if of else 0.0
