"""Whether the lines of a file are inside of other records: of syslog, of a journal, of Docker or of Kubernetes.

Here: the lines within, by which a tool is known as by those of its own file. Not here: what is around lines
(`contracts.wrappers`), and by what a tool is told (`sources.files.told_by`).
"""

from collections.abc import Iterator, Sequence

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.contracts.presets import Preset
from sessions_platform.contracts.wrappers import WRAPPERS, Inside, may_be_inside, unwrapped
from sessions_platform.sources.files.told_by import may_be_in
from sessions_platform.sources.formats.base import decode_all
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.nested import bytes_of
from sessions_platform.sources.formats.registry import open_format

_LINES = 500
_MOSTLY = 0.5

IN_WORDS: dict[Inside, str] = {
    "docker": "Docker's json-file",
    "cri": "the log of a container in Kubernetes",
    "journald": "a journal",
    "syslog": "syslog",
    "syslog_5424": "syslog (RFC 5424)",
}


def texts_inside(text: str, *, is_whole: bool) -> Iterator[tuple[Inside, bytes]]:
    """Each kind of records that a text begins with, and the lines that they have within.

    Args:
        text: the beginning of a file.
        is_whole: whether that is all of it, so that its last line is not cut off.
    """
    lines = [line for line in text.split("\n") if line.strip()]
    lines = (lines if is_whole else lines[:-1])[:_LINES]
    is_json = text.lstrip().startswith("{")
    for inside, wrapper in WRAPPERS.items():
        options = FormatOptions.model_validate({"format": wrapper.format, "pattern": wrapper.pattern})
        within = _lines_within(wrapper.field, options, lines) if may_be_in(options, lines, is_json=is_json) else []
        if within and len(within) >= _MOSTLY * len(lines):
            yield inside, b"".join(line + b"\n" for line in within)


def options_inside(preset: Preset, inside: Inside) -> FormatOptions | None:
    """How the records around a preset's lines are written; None for one whose records are no lines."""
    stated = {"source": {**preset.stream["source"], "inside": inside}}
    if not may_be_inside(stated):
        return None
    source = unwrapped(stated)["source"]
    return FormatOptions.model_validate({key: source[key] for key in source if key in FormatOptions.model_fields})


def _lines_within(field: str, options: FormatOptions, lines: Sequence[str]) -> list[bytes]:
    decoder = open_format(options).decoder()
    decoded = decode_all(decoder, [line.encode() for line in lines], [None] * len(lines))
    found = [None if isinstance(fields, MalformedError) else bytes_of(fields.get(field)) for fields in decoded]
    return [line for line in found if line is not None]
