"""The results of benchmarks, and their targets."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from benchmarks.measure import Run

# By name: alternatives, of which one has to be met; each gives upper limits of time, memory or a figure.
TARGETS: dict[str, list[dict[str, float]]] = json.loads(Path(__file__).with_name("targets.json").read_text())


@dataclass(frozen=True)
class Comparison:
    """Ours and a peer on the same work, run in turn.

    `clock` is the time that is compared: `wall`, of the whole process, or `work`, from the end of its imports, where a
    longer run would do the same work many times.
    """

    name: str
    about: str
    rows: int
    ours: Sequence[Run]
    peer: Sequence[Run]
    clock: Literal["wall", "work"] = "wall"
    also_compared: tuple[str, ...] = ("wall", "cpu", "peak")  # none where a server does the work

    def ratios(self, of: str) -> list[float]:
        """Pair by pair, of `time` (as the clock has it), `wall`, `cpu` or `peak`."""
        of = self.clock if of == "time" else of
        pairs = zip(self.ours, self.peer, strict=True)
        return [(getattr(ours, of) or ours.wall) / (getattr(peer, of) or peer.wall) for ours, peer in pairs]

    @property
    def measured(self) -> dict[str, float]:
        return {of: median(self.ratios(of)) for of in ("time", *self.also_compared)}

    def as_json(self) -> dict[str, Any]:
        runs = {side: [_run_as_json(run) for run in getattr(self, side)] for side in ("ours", "peer")}
        ratios = {of: self.ratios(of) for of in ("time", *self.also_compared)}
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
    """A measured figure that is not a ratio of two programs; its value is the median of `values`."""

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
    """The target and whether it is reached; empty where there is no target."""
    alternatives = TARGETS.get(result.name)
    if not alternatives:
        return {}
    measured = result.measured
    reached = any(all(measured[of] <= most for of, most in each.items()) for each in alternatives)
    return {"target": alternatives, "reached": reached}


def _named(result: Result) -> dict[str, Any]:
    return {"name": result.name, "about": result.about, "rows": result.rows}


def _run_as_json(run: Run) -> dict[str, Any]:
    return {key: value for key, value in asdict(run).items() if key != "output"}
