"""Which text format a text is in, by its content alone.

Here: in which order the formats are tried, and what is said of one. Not here: how each is recognized
(`json_layout`, `log_lines`, `separated`).
"""

from dataclasses import dataclass, field
from typing import Any

from sessions_platform.operations.inference.json_layout import json_layout
from sessions_platform.operations.inference.log_lines import log_format
from sessions_platform.operations.inference.separated import csv_format


@dataclass(frozen=True)
class TextFormat:
    """A format: `options` are the keys of a stream's source, `says` tells it to people, `notes` what is doubtful."""

    options: dict[str, Any]
    says: str
    notes: tuple[str, ...] = field(default=())


def text_format(text: str, *, is_whole: bool) -> TextFormat | None:
    """The format of a text that begins so; None where it is none that a stream can read without a pattern.

    Args:
        text: its beginning.
        is_whole: whether that is all; else the last line may be cut off, and is left out.
    """
    for guess in (json_layout, log_format, csv_format):
        if found := guess(text, is_whole=is_whole):
            return TextFormat(*found)
    return None


def complete_lines(text: str, *, is_whole: bool) -> list[str]:
    """The lines that are not blank, without the last one where it may be cut off."""
    lines = text.splitlines() if "\n" in text or "\r" in text else [text]
    return [line for line in (lines if is_whole else lines[:-1]) if line.strip()]
