"""The single values of a stream's file: how each kind is read, and why one is refused."""

import codecs
import re
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from sessions_platform.contracts.polars_syntax import format_problem, knows_timezone, pattern_problem
from sessions_platform.contracts.timestamps import EPOCHS

_MILLISECONDS = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
_DURATION = re.compile(r"^\s*(\d{1,9})\s*(ms|s|m|h|d)\s*$")
_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"^\s*(\d{1,6})\s*(MB|GB|TB)\s*$")
_LONGEST = timedelta(days=366)
_KEPT_LONGEST = timedelta(days=36_500)
_SHARE = re.compile(r"^\s*(\d{1,3}(?:\.\d{1,6})?)\s*%\s*$")
_TABLE = re.compile(r"^[^.\s]+\.[^.\s]+$")
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)
_IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]{0,47}$")
_OWNER = re.compile(r"^(team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+)$")
_SIGNS = "\n,;\t\"'"
_LETTERS = "éяא中あ한"


def invalid(reason: str, fix: str) -> PydanticCustomError:
    return PydanticCustomError("mistake", "{reason}|{mend}", {"reason": reason, "mend": fix})


def _duration(text: Any) -> timedelta:
    if isinstance(text, timedelta):
        return text
    found = _DURATION.match(str(text))
    if not found:
        raise invalid(f"{shown(text)} is no duration", "write a whole number and a unit (ms, s, m, h, d), as in 30m")
    return timedelta(milliseconds=int(found[1]) * dict(_MILLISECONDS)[found[2]])


def _at_most_a_year(duration: timedelta) -> timedelta:
    if duration > _LONGEST:
        raise invalid("the duration is longer than a year", f"write {_spelled(_LONGEST)} at most")
    return duration


def _at_most_a_century(duration: timedelta) -> timedelta:
    if duration > _KEPT_LONGEST:
        raise invalid("the duration is longer than a century", f"write {_spelled(_KEPT_LONGEST)} at most")
    return duration


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise invalid("the duration is zero", "write one that is longer than nothing, as in 30m")
    return duration


def _spelled(duration: timedelta) -> str:
    milliseconds = duration // timedelta(milliseconds=1)
    return next(f"{milliseconds // ms}{unit}" for unit, ms in _MILLISECONDS if milliseconds % ms == 0)


def _size(text: Any) -> int:
    found = _SIZE.match(str(text))
    if not found or not int(found[1]):
        raise invalid(f"{shown(text)} is no size", "write a whole number and a unit (MB, GB, TB), as in 16GB")
    return int(found[1]) * _BYTES[found[2]]


def as_share(value: Any) -> Decimal | None:
    """A percentage as a part of one, exactly: 1% is 0.01. None for what is none."""
    if isinstance(value, Decimal):
        return value
    found = _SHARE.match(value) if isinstance(value, str) else None
    share = Decimal(found[1]) / 100 if found else None
    return share if share is not None and share <= 1 else None


def _share(value: Any) -> Decimal:
    share = as_share(value)
    if share is None:
        raise invalid(f"{shown(value)} is no percentage", "write one from 0% to 100%, as in 0.5%")
    return share


def as_percent(share: Decimal) -> str:
    return f"{(share * 100).normalize():f}%"


def _table(name: str) -> str:
    if not _TABLE.match(name):
        raise invalid(f"{shown(name)} names no table", "write its schema and its name, as in public.products")
    return name


def as_day(value: Any) -> date | None:
    """A date, bare or quoted; None for what is none."""
    with suppress(ValueError):
        if isinstance(value, str):
            value = date.fromisoformat(value)
    return value if type(value) is date and _FIRST_DAY <= value <= _LAST_DAY else None


def _day(value: Any) -> date:
    day = as_day(value)
    if day is None:
        asked = f"write one from {_FIRST_DAY} to {_LAST_DAY}, as in 2026-01-31"
        raise invalid(f"{shown(value)} is no date that a stream can have", asked)
    return day


def shown(value: Any) -> str:
    """A value as a message quotes it."""
    text = str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def is_timezone(name: Any) -> bool:
    return isinstance(name, str) and name in available_timezones() and knows_timezone(name)


def _timezone(name: str) -> str:
    if not is_timezone(name):
        raise invalid(f"{shown(name)} is no timezone", "write an IANA name, as in Europe/Berlin or UTC")
    return name


def _identifier(name: str) -> str:
    if not _IDENTIFIER.match(name):
        raise invalid(
            f"{shown(name)} can't name a table or column",
            "write lower-case letters, digits and underscores, beginning with a letter, 48 at most",
        )
    return name


def _owner(owner: str) -> str:
    if not _OWNER.match(owner):
        raise invalid(f"{shown(owner)} is no owner", "write an e-mail address, or team:name")
    return owner


def _pattern(pattern: str) -> str:
    if reason := pattern_problem(pattern):
        raise invalid(f"{shown(pattern)} is not a regular expression: {reason}", "correct it (Rust syntax)")
    return pattern


def _format(fmt: str) -> str:
    if reason := format_problem(fmt):
        patterns = "write a strftime pattern as in %Y-%m-%d %H:%M:%S%.f, %+ (ISO 8601)"
        raise invalid(f"{shown(fmt)} reads no timestamp: {reason}", f"{patterns}, or one of {', '.join(EPOCHS)}")
    return fmt


def _encoding(encoding: str) -> str:
    try:
        if _SIGNS.encode(encoding) == _SIGNS.encode() and _spells_alike_everywhere(encoding):
            return codecs.lookup(encoding).name
        reason = "can't be cut into lines at byte 10"
    except (LookupError, UnicodeError):
        reason = "is not known"
    raise invalid(f"the encoding {shown(encoding)} {reason}", "write utf-8, latin-1, cp1252 or the like")


def _spells_alike_everywhere(encoding: str) -> bool:
    """Not so where bytes mean what those before them say, as in ISO-2022 and UTF-7."""
    for rejected_record in _LETTERS:
        with suppress(UnicodeEncodeError):
            if rejected_record.encode(encoding) * 2 != (rejected_record * 2).encode(encoding):
                return False
    return True


def _several(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    AfterValidator(_at_most_a_year),
    PlainSerializer(_spelled, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["30m"]}),
]
Size = Annotated[int, BeforeValidator(_size), WithJsonSchema({"type": "string", "examples": ["16GB"]})]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
Retention = Annotated[
    timedelta,
    BeforeValidator(_duration),
    AfterValidator(_positive),
    AfterValidator(_at_most_a_century),
    PlainSerializer(_spelled, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["400d"]}),
]
Share = Annotated[
    Decimal,
    BeforeValidator(_share),
    PlainSerializer(as_percent, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["1%"]}),
]
Table = Annotated[str, AfterValidator(_table), WithJsonSchema({"type": "string", "examples": ["public.products"]})]
Day = Annotated[date, BeforeValidator(_day)]
Timezone = Annotated[str, AfterValidator(_timezone), WithJsonSchema({"type": "string", "examples": ["UTC"]})]
Identifier = Annotated[str, AfterValidator(_identifier)]
Owner = Annotated[str, AfterValidator(_owner)]
Pattern = Annotated[str, AfterValidator(_pattern)]
TimestampFormat = Annotated[str, AfterValidator(_format)]
Encoding = Annotated[str, AfterValidator(_encoding)]
Character = Annotated[str, Field(min_length=1, max_length=1)]
SourcePaths = Annotated[
    list[str],
    BeforeValidator(_several),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
