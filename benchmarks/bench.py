"""What all benchmarks share: their size, their folders, and running programs in turn."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.data import Cache
from benchmarks.measure import Run

# A run, and what it answered.
Program = Callable[[], tuple[Run, Mapping[str, Any]]]
# Raises Failed where the answers of ours and of the peer of this name differ.
Compare = Callable[[str, Mapping[str, Any], Mapping[str, Any]], None]


@dataclass(frozen=True)
class Bench:
    cache: Cache
    pairs: int = 3
    asked_rows: int | None = None
    quiet: bool = False

    def rows(self, default: int) -> int:
        return self.asked_rows or default

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """A program's own folder, next to the data."""
        place = Path(tempfile.mkdtemp(prefix="run-", dir=self.cache.folder))
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def say(self, text: str) -> None:
        """Print progress, on standard error."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)


def in_turn(bench: Bench, programs: Mapping[str, Program], compare: Compare) -> dict[str, list[Run]]:
    """Run the programs one after the other, as often as there shall be pairs. The first is `ours`, the rest peers."""
    taken: dict[str, list[Run]] = {name: [] for name in programs}
    for _ in range(bench.pairs):
        ours: Mapping[str, Any] = {}
        for name, program in programs.items():
            run, answer = program()
            taken[name].append(run)
            bench.say(f"    {name}: {run.wall:.2f} s, CPU {run.cpu:.2f} s, {run.peak / 1e9:.2f} GB")
            if name == "ours":
                ours = answer
            else:
                compare(name, ours, answer)
    return taken
