"""How a path spells the start of a landing partition: directives of `strftime`, or a number since 1970.

Here: which directives there are, how a moment is written by them and read again. Not here: where in a path they are
(``path_template``).
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

# A number of any length begins and ends where no other digit is, so that a path can be read in one way only.
_ANY_LENGTH = r"(?<!\d){}(?!\d)"
DIRECTIVES = {
    "%Y": r"\d{4}", "%G": r"\d{4}", "%y": r"\d{2}", "%m": r"\d{2}", "%d": r"\d{2}", "%j": r"\d{3}",
    "%V": r"\d{2}", "%H": r"\d{2}", "%M": r"\d{2}", "%S": r"\d{2}", "%b": r"[^\W\d_]+", "%B": r"[^\W\d_]+",
    **dict.fromkeys(("%-m", "%-d", "%-H"), _ANY_LENGTH.format(r"\d{1,2}")),
    **dict.fromkeys(("epoch_s", "epoch_ms"), _ANY_LENGTH.format(r"-?\d{1,15}")),
}  # fmt: skip
# What stands for a directive in the shape of a path, whatever it states.
SHAPES = {"number": _ANY_LENGTH.format(r"\d++"), "word": r"[^\W\d_]++"}
UNPADDED = {"%m": "%-m", "%d": "%-d", "%H": "%-H"}

_UNITS = {"epoch_s": timedelta(seconds=1), "epoch_ms": timedelta(milliseconds=1)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORDS = ("%b", "%B")
_FORMAT_TOKEN = re.compile(r"%-?.|[^%]+", re.DOTALL)


class Token(NamedTuple):
    """A part of a path template: `kind` is glob, literal or directive."""

    kind: str
    text: str

    @property
    def is_number(self) -> bool:
        """Whether it stands for digits."""
        return self.kind == "directive" and self.text not in _WORDS

    @property
    def has_any_length(self) -> bool:
        """Whether it stands for digits whose number is not known."""
        return self.is_number and DIRECTIVES[self.text].startswith("(?<!")


def tokens_of(stated: str) -> list[Token]:
    """The parts of a placeholder's format. A directive that is not supported is returned as a literal."""
    if stated in _UNITS:
        return [Token("directive", stated)]
    texts = _FORMAT_TOKEN.findall(stated)
    return [Token("directive" if text in DIRECTIVES else "literal", text) for text in texts]


def written(moment: datetime, directive: str) -> str:
    """A moment (timezone-aware) as a directive states it."""
    if directive in _UNITS:
        return str((moment - _EPOCH) // _UNITS[directive])
    text = moment.strftime(directive.replace("-", ""))  # `%-H` is known to some C libraries only
    return str(int(text)) if "-" in directive else text


def moment_of(values: Mapping[str, str], zone: ZoneInfo) -> datetime | None:
    """The moment that a value for each directive states, of a week its Monday; None where there is none."""
    of_epoch = next((directive for directive in _UNITS if directive in values), None)
    try:
        if of_epoch:
            return (_EPOCH + int(values[of_epoch]) * _UNITS[of_epoch]).astimezone(zone)
        padded = {directive.replace("-", ""): value for directive, value in values.items()}
        if "%V" in padded:
            padded["%u"] = "1"
        return datetime.strptime(" ".join(padded.values()), " ".join(padded)).replace(tzinfo=zone)
    except (ValueError, OverflowError):
        return None


def shape_of(tokens: Sequence[Token]) -> list[Token]:
    """The tokens with any number for those that stand for digits, adjacent ones as one, and any word for a name."""
    shape: list[Token] = []
    for token in tokens:
        of_kind = Token("directive", "number" if token.is_number else "word") if token.kind == "directive" else token
        if not shape or of_kind != shape[-1] or of_kind.text != "number":
            shape.append(of_kind)
    return shape


def touching_digits(tokens: Sequence[Token]) -> str | None:
    """A number of any length that other digits touch, so that nobody could tell where it ends; None without any."""
    for before, after in zip([Token("literal", ""), *tokens], [*tokens, Token("literal", "")], strict=True):
        digit_before = before.is_number or before.text[-1:].isdigit()
        digit_after = after.is_number or after.text[:1].isdigit()
        if before.has_any_length and digit_after:
            return before.text
        if after.has_any_length and digit_before:
            return after.text
    return None
