"""What came of the mutants, as JSON and as a table in Markdown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mutation.sites import Mutant

_KILLED = ("killed", "timed out")


def write(folder: Path, drawn: Sequence[Mutant], results: Mapping[str, dict[str, Any]], why: Mapping[str, str]) -> str:
    """Write report.json and report.md of the mutants that were tried; gives the sentence on top of it.

    `why` says of survivors that change nothing which could be noticed why that is so: they do not count.
    """
    rows = [
        {**_described(mutant), **results[mutant.id], "equivalent": why.get(mutant.id)}
        for mutant in sorted(drawn, key=lambda mutant: (mutant.path, mutant.line))
        if mutant.id in results
    ]
    (folder / "report.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    said = summary(rows)
    (folder / "report.md").write_text(f"{said}\n\n{_table(rows)}\n")
    return said


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    counted = [row for row in rows if not (row["equivalent"] and not is_killed(row))]
    quick = sum(row["quick"]["state"] in _KILLED for row in counted)
    whole = sum(map(is_killed, counted))
    of = max(len(counted), 1)
    return (
        f"{len(rows)} mutants, of which {len(rows) - len(counted)} change nothing. Of the other {len(counted)} the "
        f"quick suite kills {quick} ({quick / of:.1%}), the whole suite {whole} ({whole / of:.1%})."
    )


def is_killed(row: Mapping[str, Any]) -> bool:
    return any(row.get(suite, {}).get("state") in _KILLED for suite in ("quick", "slow"))


def _described(mutant: Mutant) -> dict[str, Any]:
    return {name: getattr(mutant, name) for name in ("id", "path", "line", "kind", "old", "new")}


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    lines = ["| id | file | line | old → new | quick suite | slow suite |", "| --- | --- | --- | --- | --- | --- |"]
    for row in sorted(rows, key=is_killed):
        change = f"`{_short(row['old'])}` → `{_short(row['new'])}`"
        quick, slow = (_said(row.get(suite), row["equivalent"]) for suite in ("quick", "slow"))
        lines.append(f"| {row['id']} | {row['path']} | {row['line']} | {change} | {quick} | {slow} |")
    return "\n".join(lines)


def _said(outcome: Mapping[str, Any] | None, equivalent: str | None) -> str:
    if outcome is None:
        return ""
    if outcome["state"] in _KILLED:
        return f"{outcome['state']}: {outcome['test'].rpartition('/')[2]}".replace("|", "\\|")
    return f"**{outcome['state']}**, of {outcome['tests']} tests" + (f"; {equivalent}" if equivalent else "")


def _short(text: str) -> str:
    return " ".join(text.split())[:60].replace("|", "\\|").replace("`", "'")
