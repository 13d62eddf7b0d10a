"""Why a row is rejected: the codes, and what a reason tells."""

from dataclasses import dataclass
from enum import StrEnum


class Code(StrEnum):
    """The closed enumeration of reasons, each with a page in docs/rejections. Codes are stable: tables hold them."""

    malformed = "malformed"
    missing_identity = "missing_identity"
    missing_value = "missing_value"
    wrong_type = "wrong_type"
    bad_timestamp = "bad_timestamp"
    bad_text = "bad_text"
    future_timestamp = "future_timestamp"
    before_start = "before_start"
    not_allowed = "not_allowed"
    out_of_range = "out_of_range"
    pattern_mismatch = "pattern_mismatch"
    unknown_reference = "unknown_reference"
    conflicting_duplicate = "conflicting_duplicate"
    unexpected_column = "unexpected_column"
    unreadable_file = "unreadable_file"


@dataclass(frozen=True)
class Reason:
    """One reason of one row. `column` is "" where the whole row is meant."""

    code: Code
    column: str
    rule: str
    value: str | None


# A value is quoted so that a person recognizes it; the whole row stands in `payload`.
VALUE_SHOWN = 200
