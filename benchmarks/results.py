"""What was measured, beside what is to be reached."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from benchmarks.measure import Run

# By name: alternatives, of which one has to hold; each says how much at most, of time, memory or a figure.
TARGETS: dict[str, list[dict[str, float]]] = json.loads(Path(__file__).with_name("targets.json").read_text())


@dataclass(frozen=True)
class Comparison:
    """Ours and a peer on the same work, run in turn.

    `clock` says which time counts: of the whole process, or of the work once all imports are done, where both
    do what a longer run does a hundred times.
    """

    name: str
    about: str
    rows: int
    ours: Sequence[Run]
    peer: Sequence[Run]
    clock: Literal["wall", "work"] = "wall"
    beside: tuple[str, ...] = ("wall", "cpu", "peak")  # what else compares; nothing where a server does the work

    def ratios(self, of: str) -> list[float]:
        """Pair by pair, of `time` (as the clock has it), `wall`, `cpu` or `peak`."""
        of = self.clock if of == "time" else of
        pairs = zip(self.ours, self.peer, strict=True)
        return [(getattr(ours, of) or ours.wall) / (getattr(peer, of) or peer.wall) for ours, peer in pairs]

    @property
    def measured(self) -> dict[str, float]:
        return {of: median(self.ratios(of)) for of in ("time", *self.beside)}

    def as_json(self) -> dict[str, Any]:
        runs = {side: [_run_as_json(run) for run in getattr(self, side)] for side in ("ours", "peer")}
        ratios = {of: self.ratios(of) for of in ("time", *self.beside)}
        return {
            **_named(self),
            "clock": self.clock,
            **runs,
            "ratios": ratios,
            "median": self.measured,
            **validated(self),
        }


@dataclass(frozen=True)
class Figure:
    """A measured figure that is no ratio of two programs; the median of `values` counts."""

    name: str
    about: str
    rows: int
    values: Sequence[float]
    unit: str
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def measured(self) -> dict[str, float]:
        return {"figure": median(self.values)}

    def as_json(self) -> dict[str, Any]:
        return {**_named(self), "values": list(self.values), "unit": self.unit, **self.details, **validated(self)}


Result = Comparison | Figure


def validated(result: Result) -> dict[str, Any]:
    """What is to be reached and whether it is; nothing where there is no target."""
    alternatives = TARGETS.get(result.name)
    if not alternatives:
        return {}
    measured = result.measured
    reached = any(all(measured[of] <= most for of, most in each.items()) for each in alternatives)
    return {"target": alternatives, "reached": reached}


def _named(result: Result) -> dict[str, Any]:
    return {"name": result.name, "about": result.about, "rows": result.rows}


def _run_as_json(run: Run) -> dict[str, Any]:
    return {key: value for key, value in asdict(run).items() if key != "told"}
