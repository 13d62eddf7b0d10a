"""The results of all mutants, as JSON and as a table in Markdown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mutation.sites import Mutant

_KILLED = ("killed", "timed out")
_FIELDS = ("id", "path", "line", "kind", "old", "new")  # of a mutant


def write(
    folder: Path, drawn: Sequence[Mutant], results: Mapping[str, dict[str, Any]], equivalent: Mapping[str, str]
) -> str:
    """Write report.json and report.md of the mutants that were tried, and return the summary.

    `equivalent` has, by id, the reason why a mutant changes nothing that a test could notice; such survivors do not
    count.
    """
    rows = [
        {
            **{name: getattr(mutant, name) for name in _FIELDS},
            **results[mutant.id],
            "equivalent": equivalent.get(mutant.id),
        }
        for mutant in sorted(drawn, key=lambda mutant: (mutant.path, mutant.line))
        if mutant.id in results
    ]
    (folder / "report.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")
    sentence = summary(rows)
    (folder / "report.md").write_text(f"{sentence}\n\n{_table(rows)}\n")
    return sentence


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many mutants each suite kills, in two sentences."""
    counted = [row for row in rows if not (row["equivalent"] and not is_killed(row))]
    quick = sum(row["quick"]["state"] in _KILLED for row in counted)
    whole = sum(map(is_killed, counted))
    of = max(len(counted), 1)
    return (
        f"{len(rows)} mutants, of which {len(rows) - len(counted)} change nothing. Of the other {len(counted)} the "
        f"quick suite kills {quick} ({quick / of:.1%}), the whole suite {whole} ({whole / of:.1%})."
    )


def is_killed(row: Mapping[str, Any]) -> bool:
    """Whether any suite killed a mutant; `row` has an outcome for each suite that was run."""
    return any(row.get(suite, {}).get("state") in _KILLED for suite in ("quick", "slow"))


def _table(rows: Iterable[Mapping[str, Any]]) -> str:
    lines = ["| id | file | line | old → new | quick suite | slow suite |", "| --- | --- | --- | --- | --- | --- |"]
    for row in sorted(rows, key=is_killed):
        change = f"`{_short(row['old'])}` → `{_short(row['new'])}`"
        quick, slow = (_result(row.get(suite), row["equivalent"]) for suite in ("quick", "slow"))
        lines.append(f"| {row['id']} | {row['path']} | {row['line']} | {change} | {quick} | {slow} |")
    return "\n".join(lines)


def _result(outcome: Mapping[str, Any] | None, equivalent: str | None) -> str:
    if outcome is None:
        return ""
    if outcome["state"] in _KILLED:
        return f"{outcome['state']}: {outcome['test'].rpartition('/')[2]}".replace("|", "\\|")
    return f"**{outcome['state']}**, of {outcome['tests']} tests" + (f"; {equivalent}" if equivalent else "")


def _short(text: str) -> str:
    return " ".join(text.split())[:60].replace("|", "\\|").replace("`", "'")
