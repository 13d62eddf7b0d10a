"""What other session rules cost: the core job by a tool's ids, and like other programs, beside the plain rule.

All read the same file, which has a tool's session id in each row: of sessions with a gap of 30 minutes, where one user
of thirty has two tabs whose ids take turns, and one event of twenty has none.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.bench import Bench, in_turn
from benchmarks.results import Comparison, Result

ROWS = 10_000_000
TOOL_ID = "sid"
RULES: dict[str, tuple[str, dict[str, Any]]] = {
    "id": ("sessions by the tool's own id", {"id": TOOL_ID}),
    "like amplitude": ("passive events", {"gap": "30m", "passive": ["logout"]}),
    "id, like amplitude": ("the same with passive events", {"id": TOOL_ID, "gap": "30m", "passive": ["logout"]}),
    "like snowplow": ("silences from the whole second, and at equality", {"like": "snowplow"}),
}


def run(bench: Bench) -> Iterator[Result]:
    rows = bench.rows(ROWS)
    events = bench.cache.get("tool_ids", rows)
    for name, (about, session) in RULES.items():
        programs = {
            "ours": partial(_program, bench, events / "events.parquet", session),
            "plain": partial(_program, bench, events / "events.parquet", {"gap": "30m"}),
        }
        taken = in_turn(bench, programs, _compare)
        yield Comparison(f"rules/{name}", f"{about}, beside the plain rule", rows, taken["ours"], taken["plain"])


def _program(bench: Bench, events: Path, session: Mapping[str, Any]) -> tuple[measure.Run, Mapping[str, Any]]:
    with bench.folder() as folder:
        given = {"events": str(events), "folder": str(folder), "session": session, "also": [TOOL_ID]}
        taken = measure.run(measure.program("core", "ours", **given))
        return taken, taken.output


def _compare(name: str, ours: Mapping[str, Any], plain: Mapping[str, Any]) -> None:
    """The same events are accepted; the sessions are others."""
    if ours != plain:
        raise measure.Failed(f"rules, {name}: other events are accepted: {ours} and {plain}")
