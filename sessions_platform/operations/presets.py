"""What is told of presets: their list, the table of docs/tools.md, and a stream's file with all keys of its preset.

Run as `python -m sessions_platform.operations.presets docs/tools.md` it writes the table anew. Not here: their model
and how they are merged (``contracts.presets``).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sessions_platform.contracts.presets import Preset, preset_named, preset_names
from sessions_platform.contracts.session_likes import expanded
from sessions_platform.contracts.stream_file import expanded_content
from sessions_platform.operations.inference.stream_text import stream_text
from sessions_platform.operations.page_tables import write_table

_PROVEN = {"run": "the tool, run", "sample": "a sample of it", "documentation": "its documentation alone"}
_KINDS = {"sdk": "What SDKs send", "export": "Exports", "log": "Logs"}


def listed_presets() -> list[dict[str, str]]:
    """A row for each preset: its name, tool, kind, and on what it was proven."""
    return [
        {"preset": each.name, "tool": each.tool, "kind": each.kind, "proven": _PROVEN[each.proven[0].by]}
        for each in map(preset_named, preset_names())
    ]


def preset_table() -> str:
    """The tables of docs/tools.md, one for each kind, in Markdown."""
    presets = [preset_named(name) for name in preset_names()]
    parts = [_of_kind(title, [each for each in presets if each.kind == kind]) for kind, title in _KINDS.items()]
    return "\n\n".join(filter(None, parts))


def _of_kind(title: str, presets: list[Preset]) -> str:
    if not presets:
        return ""
    rows = [
        f"| {each.tool} | `{each.name}` | {_proofs(each)} | {each.identity} | {each.skipped} | {each.sessions} |"
        for each in presets
    ]
    head = "| tool | preset | proven on | user or device | skipped | sessions |\n| --- | --- | --- | --- | --- | --- |"
    return "\n".join([f"### {title}\n", head, *rows])


def _proofs(preset: Preset) -> str:
    return "; ".join(f"{_PROVEN[each.by]}: {each.what} ({each.on})" for each in preset.proven)


def expanded_text(path: Path) -> str:
    """A stream's file with the keys of its preset and of the program that its sessions are like: the same stream.

    Raises:
        StreamError: the file can't be read, or names a preset that there is not.
    """
    merged = expanded_content(path)
    keys = dict(merged.content)
    if isinstance(keys.get("session"), dict):
        keys["session"] = {key: value for key, value in expanded(keys["session"]).items() if key != "like"}
    keys["source"] = {key: value for key, value in keys["source"].items() if key != "preset"}
    header = [f"{path.name}, with all keys that it and what it names state."]
    header += [f"Those of the preset {merged.preset}: {', '.join(_outermost(merged.of_preset))}."] * bool(merged.preset)
    first = [key for key in ("name", "start", "source", "columns") if key in keys]
    ordered: dict[str, Any] = {key: keys[key] for key in [*first, *(key for key in keys if key not in first)]}
    return stream_text(ordered, header, {}, {})


def _outermost(paths: frozenset[tuple[str, ...]]) -> Iterator[str]:
    """The key paths that lie within no other, by name."""
    return (".".join(path) for path in sorted(paths) if path[:-1] not in paths)


if __name__ == "__main__":
    write_table("presets", preset_table())
