"""Texts of a sample that mean null, such as NULL, \\N and -.

A text that can hardly mean anything else is one wherever it occurs. One that is a word or a code as well, such as NA,
is one only where the other values of its field are numbers, times or UUIDs, of which it is none.
"""

from collections.abc import Sequence

from sessions_platform.operations.inference.fields import Field

CERTAIN = (
    "-", "\\N", "NULL", "null", "(null)", "<null>", "N/A", "n/a", "#N/A", "(not set)", "(none)", "undefined",
    "00000000-0000-0000-0000-000000000000",
)  # fmt: skip
DOUBTFUL = ("NA", "na", "None", "none", "nil", "nan", "NaN", "unknown", "?", "--")


def null_words(fields: Sequence[Field]) -> list[str]:
    """The texts that mean null in any of the fields, in the order of the lists above."""
    found = {word for field in fields for word in CERTAIN if word in field.counts}
    found |= {word for field in fields for word in DOUBTFUL if word in field.counts and _is_foreign(field)}
    return [word for word in (*CERTAIN, *DOUBTFUL) if word in found]


def _is_foreign(field: Field) -> bool:
    """Whether the values of a field but for these words are of another kind than words."""
    others = field.without((*CERTAIN, *DOUBTFUL))
    return len(others.texts) > 0 and (others.is_numbers or others.is_uuid or others.is_address or _are_times(others))


def _are_times(field: Field) -> bool:
    distinct = list(field.counts)[:200]
    return all(text[:1].isdigit() and any(mark in text for mark in ":-/") for text in distinct)
