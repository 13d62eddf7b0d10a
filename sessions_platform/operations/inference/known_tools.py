"""Whether files are those of a tool for which there is a preset, and the stream that names it.

Not here: by what a tool is told (`sources.files.told_by`), and the inference for all other files (`draft`).
"""

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.contracts.presets import Preset, preset_named
from sessions_platform.contracts.wrappers import Inside
from sessions_platform.operations.inference.draft import Draft
from sessions_platform.operations.inference.opened import OpenedFile
from sessions_platform.operations.inference.sample import sample_of
from sessions_platform.operations.inference.wrapped import options_inside, texts_inside
from sessions_platform.sources.files.told_by import options_of, presets_of_text

# Of a stream whose events are not known yet.
ANY_START = date(2000, 1, 1)


class KnownTool(NamedTuple):
    """The preset of the tool that has written a file, how its records are written, and what its lines are inside of."""

    preset: Preset
    options: FormatOptions
    inside: Inside | None = None


def known_tool(opened: OpenedFile) -> KnownTool | None:
    """The tool that has written a file, or the lines within its records; None where not just one fits.

    The lines within come first: with what a container's log has before it, a line of one server looks like another's.
    """
    if inside := _tool_inside(opened):
        return inside
    folder = opened.file.absolute().parent
    rows = sample_of([opened], {"format": opened.typed_format}).rows if opened.typed_format else []
    fitting = presets_of_text(opened.text.encode(), rows, folder)
    if len(fitting) != 1:
        return None
    preset = preset_named(fitting[0])
    options = options_of(preset, folder)
    return KnownTool(preset, options) if options else None


def _tool_inside(opened: OpenedFile) -> KnownTool | None:
    for inside, text in texts_inside(opened.text, is_whole=opened.is_whole):
        fitting = presets_of_text(text)
        preset = preset_named(fitting[0]) if len(fitting) == 1 else None
        options = options_inside(preset, inside) if preset else None
        if preset and options:
            return KnownTool(preset, options, inside)
    return None


def drafted_by(preset: Preset, name: str, source: Mapping[str, Any]) -> Draft:
    """The stream that reads files of a tool, from `ANY_START` on."""
    told = preset.told_by
    why = f"{preset.tool}: most records have {', '.join(told.fields)}"
    why += ", and some lines what only it writes" if told.some_line else ""
    reasons = {
        "source.preset": (why, "`sessions-platform check NAME --expanded` shows its keys"),
        "start": ("the first session partition; events before it are rejected",),
    }
    return Draft({"name": name, "start": ANY_START, "source": {"files": "", **source}}, reasons, {})


def reasons_of(preset: Preset, draft: Draft) -> dict[str, str]:
    """Why the files are the tool's, and what it is known of its columns, by what it is about."""
    return {
        "preset": draft.reasons["source.preset"][0],
        "user_id": preset.identity,
        "event_timestamp": preset.time,
        "event_id": preset.event_id,
    }
