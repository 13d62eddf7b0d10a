"""A thousand days of twenty users, in as many landing files; no chain crosses more than one midnight."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import yaml

from sessions_platform.pipeline.context import StreamContext, open_contexts
from sessions_platform.settings import Settings
from sessions_platform.transforms.reference_sessionizer import Event
from sessions_platform_tests.contexts import line
from sessions_platform_tests.scale.reading import events_in
from sessions_platform_tests.streams import PLAIN

SEED = 20230101
START = datetime(2023, 1, 1, tzinfo=UTC)
DAYS = 1000
PARTITIONS = [f"{START + timedelta(days=number):%Y-%m-%d}" for number in range(DAYS)]
USERS = [f"user{number:02}" for number in range(20)]
NAME = "thousand_days"
STREAM = {**PLAIN, "name": NAME, "start": PARTITIONS[0], "end": "2026-02-01"}


@dataclass(frozen=True)
class ThousandDays:
    """A stream of files, in a streams folder of its own."""

    home: Path
    folder: Path

    def write(self) -> None:
        """Write the stream's file and all landing files."""
        (self.folder / f"{NAME}.yaml").write_text(yaml.safe_dump(STREAM, sort_keys=False))
        for partition, lines in lines_by_landing_partition().items():
            self.ingest(partition, "events", lines)

    @property
    def environment(self) -> dict[str, str]:
        return {"SESSIONS_HOME": str(self.home), "SESSIONS_STREAMS": str(self.folder)}

    @property
    def settings(self) -> Settings:
        return Settings.from_environment(self.environment)

    @cached_property
    def context(self) -> StreamContext:
        return open_contexts(self.settings, [NAME])[0]

    def ingest(self, partition: str, name: str, lines: Sequence[bytes]) -> None:
        folder = self.folder / "landing" / partition
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.ndjson").write_bytes(b"".join(text + b"\n" for text in lines))

    def events(self) -> list[Event]:
        files = sorted(self.folder.glob("landing/*/*.ndjson"))
        return [e for file in files for e in events_in(file.read_bytes().splitlines(), file.parent.name, file.name)]


def lines_by_landing_partition() -> Mapping[str, list[bytes]]:
    """Most events are delivered on their day, some up to three days late."""
    dice = random.Random(SEED)
    lines: dict[str, list[bytes]] = defaultdict(list)
    for number, (user, at) in enumerate(_moments(dice)):
        late = dice.choice([1, 2, 3]) if dice.random() < 0.03 else 0
        landing_day = min((at - START).days + late, DAYS - 1)
        lines[PARTITIONS[landing_day]].append(line(user, at, f"event{number}", url=f"/{at.minute}"))
    return lines


def _moments(dice: random.Random) -> Iterator[tuple[str, datetime]]:
    for day in range(DAYS):
        for user in USERS:
            if dice.random() < 0.8:
                yield from _visit(dice, user, day, minute=dice.randrange(8 * 60, 20 * 60))
            if dice.random() < 0.1 and day < DAYS - 1:
                yield from _visit(dice, user, day, minute=dice.randrange(23 * 60 + 30, 24 * 60))


def _visit(dice: random.Random, user: str, day: int, minute: int) -> Iterator[tuple[str, datetime]]:
    """Two to five events within two hours; one that begins before a midnight may continue after it."""
    at = START + timedelta(days=day, minutes=minute)
    for _ in range(dice.randint(2, 5)):
        yield user, at
        at += timedelta(seconds=dice.randint(30, 25 * 60))
