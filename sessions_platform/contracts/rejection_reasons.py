"""Why a row is rejected: the codes, and what a reason contains.

Not here: the rules of a stream's columns and which code each has (``events``), the polars type of a reason
(``polars_types``), and limits of rejections (``rejection_limits``).
"""

from enum import StrEnum
from typing import NamedTuple


class Code(StrEnum):
    """The closed enumeration of reasons, each with a page in docs/rejections. Codes are stable: tables contain them."""

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


class Reason(NamedTuple):
    """One reason of one row.

    Attributes:
        code: the kind of rule that the row breaks.
        column: the column that breaks it; "" where the whole row is meant.
        rule: the rule in words, as in "at least 0".
        value: the value, at most `VALUE_SHOWN` characters of it; None where there is none.
    """

    code: Code
    column: str
    rule: str
    value: str | None


# Characters of a value that a reason quotes, so that a person recognizes it; `payload` has the whole row.
VALUE_SHOWN = 200
