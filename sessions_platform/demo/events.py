"""The demo's landing files: a week in a web shop, realistic, reproducible, and with known faults.

Here belong the files and the count of what was planted. The visits are in `visits.py`, and how their events are
delivered, late or broken, in `deliveries.py`. An event has one variant at most, and a broken row has exactly one reason
to be rejected.
"""

import gzip
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random

from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.demo.deliveries import ON_TIME, ArrivedLine, Variant, draw_variants
from sessions_platform.demo.visits import HOUR, WEEK, Event, moment, visits
from sessions_platform.settings import PRIVATE_FILE, make_private_folder

FILE_SPAN = 6 * HOUR


@dataclass(frozen=True)
class Planted:
    """What `land_week` wrote.

    Attributes:
        lines: of all files.
        rejected: lines that break a rule of the stream, by the code of that rule.
        duplicates: identical lines within one landing day, beyond the first.
        duplicates_across: identical lines that are delivered again on another day.
        conflicts_across: lines with the same user, time and id as one of another day, but other content.
        late_ids: ids of the events that landed, for the first time, after their own day.
    """

    lines: int
    rejected: dict[Code, int]
    duplicates: int
    duplicates_across: int
    conflicts_across: int
    late_ids: frozenset[str]

    @property
    def late(self) -> int:
        """How many events are late."""
        return len(self.late_ids)

    @property
    def accepted(self) -> int:
        """How many lines are accepted events."""
        return self.lines - sum(self.rejected.values()) - self.duplicates

    @property
    def events_in_sessions(self) -> int:
        """How many events are in sessions, each once."""
        return self.accepted - self.duplicates_across - self.conflicts_across


def land_week(folder: Path, events: int = 60_000, seed: int = 7) -> Planted:
    """Write a week of landing files: a folder for each day, a file for each six hours.

    The same arguments give the same bytes. A file that has them already is not written, so that to write the week
    again changes nothing.

    Args:
        folder: of the landing files.
        events: how many events the visits of the week have; at least about a thousand.
        seed: of the random generator.

    Returns:
        What was written, by count.

    Raises:
        ValueError: there are too few events for every variant.
    """
    lines, planted = lines_of_week(events, seed)
    for path, of_file in files_of(folder, lines):
        _write_if_changed(path, of_file)
    return planted


def lines_of_week(events: int = 60_000, seed: int = 7) -> tuple[list[ArrivedLine], Planted]:
    """The lines that `land_week` writes, in the order of their arrival; arguments and errors as there."""
    rng = Random(seed)
    week = list(islice(visits(rng, events), events))
    variants = draw_variants(rng, week)
    delivered = [
        line for number, event in enumerate(week) for line in variants.get(number, ON_TIME).deliver(rng, event)
    ]
    return sorted(delivered, key=lambda line: line.ms), _planted(week, variants, len(delivered))


def _planted(week: list[Event], variants: dict[int, Variant], lines: int) -> Planted:
    counts = Counter(variant.kind for variant in variants.values())
    return Planted(
        lines=lines,
        rejected={code: counts[code] for code in Code if code in counts},
        duplicates=counts["duplicates"],
        duplicates_across=counts["duplicates_across"],
        conflicts_across=counts["conflicts_across"],
        late_ids=frozenset(week[number].fields["id"] for number, variant in variants.items() if variant.kind == "late"),
    )


def files_of(folder: Path, arrived: Iterable[ArrivedLine]) -> Iterator[tuple[Path, list[str]]]:
    """Every file of the week, with its lines in the order of their arrival, as `lines_of_week` has them."""
    files: list[list[str]] = [[] for _ in range(WEEK // FILE_SPAN)]
    for ms, line in arrived:
        files[ms // FILE_SPAN].append(line)
    for number, lines in enumerate(files):
        opened = moment(number * FILE_SPAN)
        yield folder / f"{opened:%Y-%m-%d}" / f"events-{opened:%H}.ndjson.gz", lines


def compressed(lines: Iterable[str]) -> bytes:
    """The content of a landing file."""
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), compresslevel=4, mtime=0)


def _write_if_changed(path: Path, lines: list[str]) -> None:
    content = compressed(lines)
    if path.exists() and path.read_bytes() == content:
        return
    make_private_folder(path.parent)
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.touch(PRIVATE_FILE)
    unfinished.write_bytes(content)
    unfinished.replace(path)
