"""An episode of the soak: a random stream, files that land, commands that are disturbed, and the oracle at the end.

Here: what is drawn, and the comparison with what the landing files alone say (`exactness/expected.py`). Not here: the
disturbances (`disturbances.py`), and how long a soak lasts (`soak.py`).
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import yaml

from sessions_platform.operations.status import status
from sessions_platform.transforms.rejections import payload_bytes
from sessions_platform_tests.exactness import expected, machine
from sessions_platform_tests.exactness.stream_variant import StreamVariant, partition_of, turn_before
from sessions_platform_tests.faults.trial import Outcome, Trial
from sessions_platform_tests.faults.workload import STREAM

GAPS = [timedelta(minutes=30), timedelta(hours=5), timedelta(hours=30)]


class Episode:
    """The files of one stream, by landing partition and uri."""

    def __init__(self, trial: Trial, random: Random) -> None:
        self.trial = trial
        self._random = random
        self.variant = _variant(random)
        self.files: dict[str, dict[str, list[bytes]]] = {}
        self._rows: list[dict[str, Any]] = []
        anchors = random.sample(machine.ANCHORS[:4], 2)
        self._anchors = [*anchors, *(turn_before(anchor, self.variant) for anchor in anchors)]
        moments = [anchor + timedelta(days=days) for anchor in anchors for days in (0, 1, 31)]
        self._places = sorted({partition_of(moment, self.variant.landing) for moment in moments})
        self._folder = trial.folder / "streams"
        self._folder.mkdir(parents=True)
        document = {**self.variant.as_file(STREAM), "end": "2027-06-01"}
        (self._folder / "shop.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    def land(self) -> None:
        """Put a file, or replace one."""
        partition = self._random.choice(self._places)
        uri = f"landing/{partition}/{self._random.randrange(6)}.ndjson"
        lines = self._lines()
        self.files.setdefault(partition, {})[uri] = lines
        file = self._folder / uri
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".tmp")
        draft.write_bytes(b"".join(line + b"\n" for line in lines))
        draft.replace(file)

    def check(self) -> Outcome:
        """Compare sessions, rejected rows and counts with what the files say. Nothing is pending."""
        landings = {p: expected.validate(dict(files), p, self.variant) for p, files in self.files.items()}
        accepted = [event for landing in landings.values() for event in landing.accepted]
        partitions = expected.partitions(accepted, self.variant)
        context = self.trial.open()
        rows = {
            session_id: row
            for key, partition in partitions.items()
            for session_id, row in expected.session_rows(key, partition, self.variant).items()
        }
        stored = context.database.query(f"select * from {STREAM}.sessions")
        table = {row["session_id"]: row for row in stored}
        counts = status(context)
        raw = sum(landing.raw for landing in landings.values())
        problems = [
            f"session {key} should be {row} and is {table[key]}"
            for key, row in rows.items()
            if key in table and any(table[key][name] != value for name, value in row.items())
        ]
        if counts["raw_rows"] != raw or any(counts["pending"].values()):
            problems.append(f"{raw} raw rows, and status has {counts}")
        lost_rejected, doubled_rejected = self._compare_rejected(landings)
        lost = len(rows.keys() - table.keys()) + len(problems) + lost_rejected
        doubled = len(table.keys() - rows.keys()) + len(stored) - len(table) + doubled_rejected
        return Outcome(lost, doubled, "; ".join(problems)[:2000])

    def _compare_rejected(self, landings: dict[str, expected.ExpectedLanding]) -> tuple[int, int]:
        should = {(*place, line) for landing in landings.values() for place, (line, _) in landing.rejected.items()}
        stored = self.trial.open().database.query(f"select * from {STREAM}.rejected_events")
        present = [
            (row["source_uri"], row["position"] + number, payload_bytes(row["payload"], row["payload_encoding"]))
            for row in stored
            for number in range(row["rows"])
        ]
        return len(should - set(present)), len(set(present) - should) + len(present) - len(set(present))

    def _lines(self) -> list[bytes]:
        trains = [_train(self._random) for _ in range(self._random.randint(1, 3))]
        rows = [row for train in trains for row in train.rows(self._anchors, self.variant.gap)]
        if self._rows:
            rows += self._random.sample(self._rows, min(2, len(self._rows)))
        self._rows += rows
        junk = self._random.sample(machine.JUNK, self._random.randint(0, 2))
        return [*(machine._line(row, self.variant) for row in rows), *junk]


def _variant(random: Random) -> StreamVariant:
    """A stream with any cadence, timezone and rule."""
    cadence = random.choice(["daily", "weekly", "monthly"])
    plain = StreamVariant(landing=random.choice(["daily", "weekly"]), partition=cadence, gap=random.choice(GAPS))
    return replace(
        plain,
        timezone=random.choice(machine.ZONES),
        has_ids=random.random() < 0.7,
        split_at_midnight=random.random() < 0.3,
        by_campaign=random.random() < 0.3,
        max_length=random.choice([None, None, timedelta(hours=7)]),
    )


def _train(random: Random) -> machine.Train:
    def choose(among: Sequence[Any]) -> Any:
        return among[random.randrange(len(among))]

    return machine.Train(
        user=choose(["ann", "bob", "eve"]),
        anchor=random.randrange(6),
        offset=(choose([0, 0, -1, 1, 23, 24]) * machine.HOUR, choose([0, -1, -0.5, 1])),
        shift=choose([0, 0, -1, 1]),
        spacing=choose([(1, 0), (0, 0), (0.5, 0), (1, 1), (1, -1)]),
        name_prefix=choose("ab"),
        flavours=[random.randrange(len(machine.FLAVOURS)) for _ in range(random.randint(1, 5))],
    )
