"""What a changed definition of a stream would do to a sample of its landing files: rows and sessions, before and after.

Both definitions read the same rows by `preview`, and both make sessions by the functions that the pipeline calls, so
nothing is stored and no server is asked. What the sample lacks it can't show: sessions are cut off at its edges, by
both definitions alike. Not here: how it is printed (`cli.diff`).
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from sessions_platform.contracts.events import PLACE, PROVENANCE
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.operations.preview import Preview, newest_files, preview
from sessions_platform.settings import Settings
from sessions_platform.transforms.people import pairs_of, people_of, resolving
from sessions_platform.transforms.sessionize import sessionize
from sessions_platform.transforms.summarize import summarize

ROWS = 20_000
EXAMPLES = 3
# Of which definition a session is made, and when it was computed, differs without a difference in the session.
_VERSIONS = ("session_rule_version",)
_AFTER = ":after"  # of a column's name, where the other definition's stands beside the stream's own
_SHOWN = ("session_id", "user_id", "session_start", "session_end", "event_count")


class Place(NamedTuple):
    """A row: which of the files, and where in it."""

    file: int
    position: int


class Became(NamedTuple):
    """What a row became: accepted, rejected, …, the codes of its reasons, and its payload where it was rejected."""

    outcome: str
    reasons: tuple[str, ...] = ()
    payload: str | None = None


@dataclass(frozen=True)
class Difference:
    """Two definitions, applied to the same rows.

    Attributes:
        stream: the stream as it is.
        other: as it would be.
        before: what its rows become now.
        after: what they would become.
        sessions_before: of the accepted events, with the columns ``contracts.sessions.session_columns``.
        sessions_after: likewise.
    """

    stream: Stream
    other: Stream
    before: Preview
    after: Preview
    sessions_before: pl.DataFrame
    sessions_after: pl.DataFrame

    @property
    def is_empty(self) -> bool:
        """Whether every row and every session of the sample would stay as it is."""
        document = self.document
        sessions, events = document["sessions"], document["events"]
        differs = document["rows"]["moved"] or any(sessions[name] for name in ("changed", "gone", "new"))
        columns = (*document["columns"].values(), *events["columns"].values())
        return not (differs or events["changed"] or any(columns))

    @cached_property
    def document(self) -> dict[str, Any]:
        """All of it, as JSON."""
        rows = self._moved_rows()
        gone, new, changes = self._sessions("gone"), self._sessions("new"), self._changes()
        changed = {row["session_id"] for row in changes}
        kept = self.sessions_before.height - gone.height - len(changed)
        rejected = [now for _, was, now in rows if now.outcome == "rejected" and was.outcome != "rejected"]
        return {
            "stream": self.stream.name,
            "files": list(self.before.files),
            "rows": {
                "before": self.before.counts,
                "after": self.after.counts,
                "moved": dict(Counter(f"{was.outcome} to {now.outcome}" for _, was, now in rows)),
                "newly_rejected_by_reason": dict(
                    Counter(code for now in rejected for code in now.reasons).most_common()
                ),
            },
            "sessions": {
                "before": self.sessions_before.height,
                "after": self.sessions_after.height,
                "kept": kept,
                "changed": len(changed),
                "gone": gone.height,
                "new": new.height,
                "changed_columns": dict(Counter(row["column"] for row in changes).most_common()),
            },
            "events": self._events(),
            "columns": _columns(self.sessions_before, self.sessions_after),
            "consequences": list(self._consequences()),
            "notes": list(dict.fromkeys((*self.before.notes, *self.after.notes))),
            "examples": {
                "newly_rejected": [self._row(row) for row in rows if row[2].outcome == "rejected"][:EXAMPLES],
                "newly_accepted": [self._row(row) for row in rows if row[2].outcome == "accepted"][:EXAMPLES],
                "changed": _of_first_sessions(changes),
                "gone": _shown(gone),
                "new": _shown(new),
            },
        }

    def _moved_rows(self) -> list[tuple[Place, Became, Became]]:
        """Each row that would become something else."""
        before, after, nothing = dict(_outcomes(self.before)), dict(_outcomes(self.after)), Became("not read")
        places = [*before, *(place for place in after if place not in before)]
        both = ((place, before.get(place, nothing), after.get(place, nothing)) for place in places)
        return sorted((place, was, now) for place, was, now in both if was.outcome != now.outcome)

    def _events(self) -> dict[str, Any]:
        """Of how many rows that both accept the values differ, in which columns, and which columns only one has."""
        before, after = (of.events.drop(set(PROVENANCE) - {*PLACE}) for of in (self.before, self.after))
        both = before.join(after, on=PLACE, suffix=_AFTER)
        shared = [name for name in before.columns if f"{name}{_AFTER}" in both.columns]
        differing = both.select(_differs(name, both.schema).alias(name) for name in shared)
        counts = {name: differing[name].sum() for name in shared}
        return {
            "changed": int(differing.select(pl.any_horizontal(pl.lit(False), *shared).sum()).item()),
            "changed_columns": dict(Counter({name: count for name, count in counts.items() if count}).most_common()),
            "columns": _columns(before, after),
        }

    def _sessions(self, which: str) -> pl.DataFrame:
        """Those whose id only one of the definitions makes, in the order of their starts."""
        one, other = self.sessions_before, self.sessions_after
        if which == "new":
            one, other = other, one
        return one.join(other, on="session_id", how="anti").sort("session_start", "session_id")

    def _changes(self) -> list[dict[str, Any]]:
        """Each column of each session of both that differs: session_id, user_id, column, before and after."""
        both = self.sessions_before.join(self.sessions_after, on="session_id", suffix=_AFTER).sort(
            "session_start", "session_id"
        )
        columns = [
            name for name in self.sessions_before.columns if f"{name}{_AFTER}" in both.columns and name not in _VERSIONS
        ]
        return [
            {"session_id": row["session_id"], "user_id": row["user_id"], "column": name, "before": row[name],
             "after": row[f"{name}{_AFTER}"]}
            for row in both.iter_rows(named=True)
            for name in columns
            if row[name] != row[f"{name}{_AFTER}"]
        ]  # fmt: skip

    def _row(self, row: tuple[Place, Became, Became]) -> dict[str, Any]:
        place, was, now = row
        return {
            "file": self.before.files[place.file] if place.file < len(self.before.files) else None,
            "position": place.position,
            "before": was.outcome,
            "after": now.outcome,
            "reasons": list(now.reasons or was.reasons),
            "payload": now.payload or was.payload,
        }

    def _consequences(self) -> Iterator[str]:
        """What the change makes pending of what is stored, in sentences."""
        if self.stream.name != self.other.name:
            yield f"It names another stream, {self.other.name}, which would begin without anything stored."
        if self.stream.calendars != self.other.calendars:
            yield "The partitions change: `sessions-platform rebuild` is needed before anything is ingested."
        if self.stream.contract_version != self.other.contract_version:
            yield "Every landing partition would be validated again."
        if self.stream.session_rule_version != self.other.session_rule_version:
            yield "Every session partition would be computed again."


def diff(stream: Stream, against: Path, settings: Settings, files: Sequence[Path] = (), rows: int = ROWS) -> Difference:
    """Apply a stream's definition, and the one that is to replace it, to the same rows.

    Args:
        stream: as it is.
        against: the file with the other definition; its relative paths are those of the stream's own file, whose place
            it would take.
        settings: the platform's.
        files: wherever they are; by default the newest landing files of the stream.
        rows: how many are looked at, of one file after the other.

    Raises:
        UserError: the other file has problems, a file can't be read, or the stream reads no files.
    """
    loaded = load_stream(against.absolute(), settings.home, settings.pseudonym_key, stream.path.absolute().parent)
    other = loaded.model_copy(update={"path": stream.path})
    files = files or newest_files(stream, settings)
    before, after = (preview(each, settings, files, rows, in_order=True) for each in (stream, other))
    return Difference(
        stream,
        other,
        before,
        after,
        _sessions_of(before.events, stream),
        _sessions_of(after.events, other),
    )


def _sessions_of(events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """The sessions of accepted events; where they are a person's, by the links that the sample shows."""
    if stream.persons:
        pairs = pairs_of(events.lazy(), stream.persons).collect()
        events = resolving(people_of(pairs, stream.persons.shared_above))(events.lazy()).collect()
    return summarize(sessionize(events, stream), stream)


def _outcomes(of: Preview) -> Iterator[tuple[Place, Became]]:
    """What each row became. Which of two copies is the duplicate, and whether a row was skipped, is no difference."""
    files = {uri: number for number, uri in enumerate(of.files)}
    for row in of.rows():
        outcome = row["outcome"] if row["outcome"] in ("accepted", "rejected") else "left out"
        codes = tuple(dict.fromkeys(reason["code"] for reason in row.get("reasons", ())))
        yield Place(files[row["file"]], row["position"]), Became(outcome, codes, row.get("payload"))


def _columns(before: pl.DataFrame, after: pl.DataFrame) -> dict[str, list[str]]:
    return {
        "added": [name for name in after.columns if name not in before.columns],
        "removed": [name for name in before.columns if name not in after.columns],
    }


def _differs(name: str, types: Mapping[str, pl.DataType]) -> pl.Expr:
    """Whether a column's value is another one; of another type every value is, but for null."""
    was, now = pl.col(name), pl.col(f"{name}{_AFTER}")
    if types[name] != types[f"{name}{_AFTER}"]:
        return was.is_not_null() | now.is_not_null()
    return was.ne_missing(now)


def _of_first_sessions(changes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The changes of the first few sessions, each with its columns: before and after."""
    sessions: dict[str, dict[str, Any]] = {}
    for change in changes:
        about = {"session_id": change["session_id"], "user_id": change["user_id"], "columns": {}}
        of_session = sessions.setdefault(change["session_id"], about)
        of_session["columns"][change["column"]] = [_plain(change["before"]), _plain(change["after"])]
        if len(sessions) > EXAMPLES:
            break
    return list(sessions.values())[:EXAMPLES]


def _shown(sessions: pl.DataFrame) -> list[dict[str, Any]]:
    rows = sessions.select(_SHOWN).head(EXAMPLES).iter_rows(named=True)
    return [{name: _plain(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
