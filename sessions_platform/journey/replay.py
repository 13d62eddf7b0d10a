"""Mended rows → raw_events: each in the stead of the rejected row that it was made of.

A mended row is a new raw row, and is judged as any other. It keeps all of the old one but its
payload. One transaction makes a replay known to the ledger; from then on its landing
partitions wait, so that whatever takes them in completes it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import polars as pl
import psycopg

from sessions_platform.contracts.events import Known
from sessions_platform.contracts.raw import RAW_EVENTS
from sessions_platform.contracts.rejections import Code
from sessions_platform.journey.dead_letters import Letter, is_replayable, letters_of
from sessions_platform.journey.judged_rows import RawRows, judge_rows
from sessions_platform.journey.mended import MendedRow
from sessions_platform.journey.references import read_references
from sessions_platform.journey.status import landing_partitions_unpublished
from sessions_platform.journey.workspace import Workspace
from sessions_platform.mistakes import Mistake
from sessions_platform.storage.dead_letters import Status
from sessions_platform.storage.lake import StoredFile
from sessions_platform.storage.ledger import KnownFile, Mend, Superseded
from sessions_platform.transforms.validate import payload_bytes, rejection_ids

_ATTEMPTS = 5
_NEWEST = 2**62
_NAME_LENGTH = 32
_REASON_SHOWN = ("code", "column", "rule")  # not the value: it is of the payload, which no log may hold


class Fate(StrEnum):
    """What becomes of a mended row."""

    accepted = "accepted"  # in a dry run: it would be
    rejected = "rejected"  # it would be, again
    unchanged = "unchanged"  # its payload is what was rejected
    replayed = "replayed"  # the same mend was replayed before
    waiting = "waiting"  # another mend of the row is not judged yet
    resolved = "resolved"  # nothing is left to mend
    discarded = "discarded"
    expired = "expired"


REFUSED = (Fate.rejected, Fate.unchanged)


@dataclass(frozen=True)
class Outcome:
    rejection_id: str
    where: str
    fate: Fate
    reasons: list[dict[str, str]]

    @property
    def told(self) -> str:
        """Its reasons in a line; values are left out, for they are of the payload."""
        return "; ".join(" ".join(filter(None, reason.values())) for reason in self.reasons)


@dataclass(frozen=True)
class Replay:
    """What became of each row, and which landing partitions now wait to be taken in."""

    dry_run: bool
    outcomes: list[Outcome]
    landing_partitions: list[str]

    @property
    def refused(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.fate in REFUSED]

    @property
    def document(self) -> dict[str, Any]:
        """All that is to be told: counts, what waits, and each row that did not land with its reasons."""
        refused = [
            {"rejection_id": o.rejection_id, "where": o.where, "fate": o.fate.value, "reasons": o.reasons}
            for o in self.refused
        ]
        return {
            "dry_run": self.dry_run,
            **self.counts,
            "landing_partitions": self.landing_partitions,
            "refused": refused,
        }

    @property
    def counts(self) -> dict[str, int]:
        fates = [outcome.fate for outcome in self.outcomes]
        return {fate.value: fates.count(fate) for fate in Fate if fate in fates}


@dataclass(frozen=True)
class _Candidate:
    """A mended row that may land: its raw row, payload and all, and where its root is."""

    row: MendedRow
    raw: dict[str, Any] = field(repr=False)
    root_id: str
    root_uri: str
    root_position: int

    @property
    def file(self) -> tuple[str, str]:
        """Mends of one landing file in one landing partition make one file."""
        return self.raw["landing_partition"], self.root_uri

    def mend(self, uri: str, position: int) -> Mend:
        partition, root = self.raw["landing_partition"], (self.root_id, self.root_uri, self.root_position)
        return Mend(self.row.rejection_id, self.row.digest, partition, uri, position, *root)


@dataclass(frozen=True)
class _MendedFile:
    """Mended rows that land together, and how the ledger will name them."""

    frame: pl.DataFrame
    mends: list[Mend]
    digest: str


def replay(workspace: Workspace, rows: Sequence[MendedRow], run_id: str, *, dry_run: bool = False) -> Replay:
    """Land the mended rows that would be accepted; the others are told with their reasons.

    Rows that were replayed before, and such whose old row is no longer open, are skipped: doing it twice adds
    nothing. Raises Mistake before anything lands where a row can't be mended at all.
    """
    rows = _each_once(rows)
    workspace.warehouse  # noqa: B018  its tables are made before the transaction
    workspace.ledger  # noqa: B018  and so are these
    for _ in range(_ATTEMPTS):
        try:
            return _attempt(workspace, rows, run_id, dry_run)
        except Superseded:
            continue  # somebody replayed or decided about one of the rows meanwhile, or its file was read
    raise Superseded(f"{workspace.stream.name}: rows that are replayed here went on being changed elsewhere")


def _attempt(workspace: Workspace, rows: Sequence[MendedRow], run_id: str, dry_run: bool) -> Replay:
    with workspace.database.transaction(read_only=True) as connection:
        letters = letters_of(connection, workspace, [row.rejection_id for row in rows])
        fates = _fates(connection, workspace, rows, letters)
    files = {file.uri: file for file in workspace.ledger.files()}
    candidates = _candidates(workspace, [row for row in rows if row.rejection_id not in fates], letters, files)
    reasons = _again_rejected(workspace, candidates)
    landing = [candidate for candidate in candidates if candidate.row.rejection_id not in reasons]
    if landing and not dry_run:
        _land(workspace, landing, {uri: file.sequence for uri, file in files.items()}, run_id)
    outcomes = [_outcome(row, fates, reasons, letters) for row in rows]
    partitions = {letters[row.rejection_id]["landing_partition"] for row in rows if row.rejection_id in letters}
    return Replay(dry_run, outcomes, sorted(partitions & landing_partitions_unpublished(workspace)))


def _each_once(rows: Sequence[MendedRow]) -> list[MendedRow]:
    """Rows in their order. Raises Mistake where one is mended in two ways."""
    first: dict[str, MendedRow] = {}
    for row in rows:
        if first.setdefault(row.rejection_id, row).payload != row.payload:
            other = first[row.rejection_id].where
            raise Mistake(f"{row.where}: {row.rejection_id} is mended otherwise at {other}. Mend: keep one of both.")
    return list(first.values())


def _fates(
    connection: psycopg.Connection, workspace: Workspace, rows: Sequence[MendedRow], letters: Mapping[str, Letter]
) -> dict[str, Fate]:
    """The fate of each row that will not be judged. Raises Mistake for such as can't be mended."""
    queue, ids = workspace.warehouse.dead_letters, [row.rejection_id for row in rows]
    decided = {decision["rejection_id"]: Status(decision["status"]) for decision in queue.history(connection, ids)}
    before = {(mend["rejection_id"], mend["payload_digest"]) for mend in queue.replayed(connection, ids)}
    waiting = queue.waiting_mends(connection, ids)
    fates: dict[str, Fate] = {}
    for row in rows:
        letter, name = letters.get(row.rejection_id), row.rejection_id
        if letter is None:
            fates[name] = _fate_of_one_that_left(row, decided.get(name), workspace.stream.name)
        elif decided.get(name, Status.open) is not Status.open:
            fates[name] = Fate(decided[name].value)
        elif (name, row.digest) in before:
            fates[name] = Fate.replayed
        elif name in waiting:
            fates[name] = Fate.waiting
        elif _is_unchanged(row, letter):
            fates[name] = Fate.unchanged
    return fates


def _fate_of_one_that_left(row: MendedRow, status: Status | None, stream: str) -> Fate:
    if status is None:
        raise Mistake(
            f"{row.where}: no row of {stream} was ever rejected under {row.rejection_id!r}. "
            "Mend: export the rows anew, and keep their ids."
        )
    return Fate.resolved if status is Status.open else Fate(status.value)


def _is_unchanged(row: MendedRow, letter: Letter) -> bool:
    if not is_replayable(letter):
        raise Mistake(
            f"{row.where}: {row.rejection_id} is {Code.unreadable_file}, which is no row to mend. "
            "Mend: leave the line out, and deliver the file again."
        )
    return row.payload == payload_bytes(letter["payload"], letter["payload_encoding"])


def _candidates(
    workspace: Workspace, rows: Sequence[MendedRow], letters: Mapping[str, Letter], files: Mapping[str, KnownFile]
) -> list[_Candidate]:
    """Each mended row with the raw row that it replaces. Raises Mistake where its file holds that no longer."""
    mends = {(mend.uri, mend.position): mend for mend in workspace.ledger.mends()}
    roots = {row.rejection_id: _root(letters[row.rejection_id], mends) for row in rows}
    places = {(letters[row.rejection_id]["source_uri"], letters[row.rejection_id]["position"]) for row in rows}
    raw = _raw_rows(workspace, places | {(uri, position) for _, uri, position in roots.values()}, files)
    for row in rows:
        if not {row.rejection_id, roots[row.rejection_id][0]} <= raw.keys():
            partition = letters[row.rejection_id]["landing_partition"]
            raise Mistake(
                f"{row.where}: {roots[row.rejection_id][1]} was read again, and holds another row there now. "
                f"Mend: materialize the landing partition {partition}, and export the rows anew."
            )
    return [
        _Candidate(row, {**raw[row.rejection_id], "payload": row.payload}, *roots[row.rejection_id]) for row in rows
    ]


def _root(letter: Letter, mends: Mapping[tuple[str, int], Mend]) -> tuple[str, str, int]:
    """The id and place of the row of a landing file that a rejected row is, or is a mend of."""
    mend = mends.get((letter["source_uri"], letter["position"]))
    if mend:
        return mend.root_id, mend.root_uri, mend.root_position
    return letter["rejection_id"], letter["source_uri"], letter["position"]


def _raw_rows(
    workspace: Workspace, places: Iterable[tuple[str, int]], files: Mapping[str, KnownFile]
) -> dict[str, dict[str, Any]]:
    """The raw rows that are in these places now, by the id that each has once it is rejected."""
    found: dict[str, dict[str, Any]] = {}
    for uri, of_file in groupby(sorted(places), itemgetter(0)):
        file = files.get(uri)
        if file is not None and file.path is not None:
            at = pl.col("position").is_in([position for _, position in of_file])
            frame = workspace.lake.scan([file.path], RAW_EVENTS).filter(at).collect()
            found.update(zip(rejection_ids(frame, workspace.stream), frame.to_dicts(), strict=True))
    return found


def _again_rejected(workspace: Workspace, candidates: Sequence[_Candidate]) -> dict[str, list[dict[str, str]]]:
    """Why mended rows would be rejected, by their rejection id: as their landing partitions would be judged."""
    reasons: dict[str, list[dict[str, str]]] = {}
    known = read_references(workspace).known if candidates else {}
    for partition in sorted({candidate.raw["landing_partition"] for candidate in candidates}):
        here = [candidate for candidate in candidates if candidate.raw["landing_partition"] == partition]
        reasons.update(_again_rejected_in(workspace, partition, here, known))
    return reasons


def _again_rejected_in(
    workspace: Workspace, partition: str, candidates: Sequence[_Candidate], known: Known
) -> dict[str, list[dict[str, str]]]:
    mended = _mended_files(candidates)
    mends = [replace(mend, sequence=_NEWEST) for file in mended for mend in file.mends]
    digests = {file.uri: file.digest or "" for file in workspace.ledger.files([partition])}
    digests.update((file.mends[0].uri, file.digest) for file in mended)
    raw = RawRows(workspace.raw_events([partition]), partition, pl.concat(file.frame for file in mended))
    all_mends = [*workspace.ledger.mends([partition]), *mends]
    rows = judge_rows(workspace, raw, digests, all_mends, known)
    for _ in rows.events():
        pass  # until all rows were settled with each other
    refused = [row for rows in rows.refused() for row in rows.select("source_uri", "position", "reasons").iter_rows()]
    of_place = {(uri, at): reasons for uri, at, reasons in refused}
    places = {mend.rejection_id: (mend.uri, mend.position) for mend in mends}
    return {name: _shown(of_place[place]) for name, place in places.items() if place in of_place}


def _mended_files(candidates: Sequence[_Candidate]) -> list[_MendedFile]:
    ordered = sorted(candidates, key=attrgetter("file", "root_position"))
    return [_mended_file(list(of_file)) for _, of_file in groupby(ordered, attrgetter("file"))]


def _mended_file(candidates: Sequence[_Candidate]) -> _MendedFile:
    """The same rows mended in the same way have the same name."""
    told = [[candidate.row.rejection_id, candidate.row.digest] for candidate in candidates]
    digest = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    uri = f"replay:{digest[:_NAME_LENGTH]}"
    frame = pl.DataFrame([candidate.raw for candidate in candidates], schema=RAW_EVENTS).with_columns(
        source_uri=pl.lit(uri), position=pl.int_range(1, pl.len() + 1, dtype=pl.Int64)
    )
    return _MendedFile(frame, [candidate.mend(uri, at) for at, candidate in enumerate(candidates, 1)], digest)


def _land(
    workspace: Workspace, candidates: Sequence[_Candidate], sequences: Mapping[str, int | None], run_id: str
) -> None:
    """Make the mended rows raw rows, all in one transaction. Raises Superseded where a row may land no longer."""
    stored = [(file, _write(workspace, file)) for file in _mended_files(candidates)]
    rows, uris = [candidate.row for candidate in candidates], {candidate.root_uri for candidate in candidates}
    with workspace.database.transaction() as connection:
        workspace.ledger.lock(connection)
        letters = letters_of(connection, workspace, [row.rejection_id for row in rows])
        known = workspace.ledger.sequences(connection, sorted(uris))
        if _fates(connection, workspace, rows, letters) or any(known.get(uri) != sequences[uri] for uri in uris):
            raise Superseded("another replay, a decision or a new reading of a file came between")
        for file, at_rest in stored:
            workspace.ledger.land_mends(connection, at_rest, file.mends, file.digest, run_id)


def _write(workspace: Workspace, file: _MendedFile) -> StoredFile:
    folder = workspace.folder("raw_events", file.mends[0].landing_partition)
    return workspace.lake.write(folder, [file.frame], RAW_EVENTS)


def _outcome(
    row: MendedRow,
    fates: Mapping[str, Fate],
    reasons: Mapping[str, list[dict[str, str]]],
    letters: Mapping[str, Letter],
) -> Outcome:
    fate = fates.get(row.rejection_id, Fate.rejected if row.rejection_id in reasons else Fate.accepted)
    known = letters[row.rejection_id]["reasons"] if fate is Fate.unchanged else reasons.get(row.rejection_id, [])
    return Outcome(row.rejection_id, row.where, fate, _shown(known))


def _shown(reasons: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{part: reason[part] for part in _REASON_SHOWN} for reason in reasons]
