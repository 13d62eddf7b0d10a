"""The single values of a stream's file: how each kind is written, and the message where one is not valid.

A message has a reason and a fix. Not here: rules that relate two keys (``stream_checks``), the line of a
value (``stream_file``), and the tables of sources and formats (``sources``, ``formats``).
"""

import codecs
import re
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any
from zoneinfo import available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from sessions_platform.contracts.field_paths import PathError, alternatives, steps_of
from sessions_platform.contracts.plain_syntax import UTC
from sessions_platform.contracts.polars_syntax import format_problem, knows_timezone, pattern_problem
from sessions_platform.contracts.timestamps import EPOCHS

_MILLISECONDS = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
_DURATION = re.compile(r"^\s*(\d{1,9})\s*(ms|s|m|h|d)\s*$")
_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE = re.compile(r"^\s*(\d{1,6})\s*(MB|GB|TB)\s*$")
_LONGEST = timedelta(days=366)
_LONGEST_RETENTION = timedelta(days=36_500)
_SHARE = re.compile(r"^\s*(\d{1,3}(?:\.\d{1,6})?)\s*%\s*$")
_TABLE = re.compile(r"^[^.\s]+\.[^.\s]+$")
_FIRST_DAY, _LAST_DAY = date(1900, 1, 1), date(2199, 12, 31)
_IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]{0,47}$")
_OWNER = re.compile(r"^(team:[A-Za-z0-9_-]+|[^@\s]+@[^@\s]+\.[^@\s]+)$")
_ASSET_KEY = re.compile(r"[^/\s]+(/[^/\s]+)*")
KEY_PREFIX = re.compile(r"[A-Za-z0-9_]+(/[A-Za-z0-9_]+)*")
PREFIX_FIX = "write letters, digits and _, with / between parts, as in analytics/web"
_NOT_LINEAR = ("look-around", "backreferences")
_SYNTAX = "\n,;\t\"'"  # what a reader of CSV and NDJSON looks for, byte by byte
_LETTERS = "éяא中あ한"  # of six scripts, each of which some encoding shifts to


INVALID = "invalid_value"


def invalid(reason: str, fix: str) -> PydanticCustomError:
    """The error that a validator raises: what is wrong with the value, and how to correct it.

    Its type is `INVALID`, and its context has `reason` and `fix`. Both are clauses without a full stop.
    """
    return PydanticCustomError(INVALID, "{reason}|{fix}", {"reason": reason, "fix": fix})


def _duration(text: Any) -> timedelta:
    if isinstance(text, timedelta):
        return text
    match = _DURATION.match(str(text))
    if not match:
        raise invalid(f"{shown(text)} is not a duration", "write a whole number and a unit (ms, s, m, h, d), as in 30m")
    return timedelta(milliseconds=int(match[1]) * dict(_MILLISECONDS)[match[2]])


def _at_most_a_year(duration: timedelta) -> timedelta:
    if duration > _LONGEST:
        raise invalid("the duration is longer than a year", f"write {spelled(_LONGEST)} at most")
    return duration


def _at_most_a_century(duration: timedelta) -> timedelta:
    if duration > _LONGEST_RETENTION:
        raise invalid("the duration is longer than a century", f"write {spelled(_LONGEST_RETENTION)} at most")
    return duration


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise invalid("the duration is zero", "write one that is longer than nothing, as in 30m")
    return duration


def spelled(duration: timedelta) -> str:
    """A duration as a stream's file would state it: 30m, 1500ms."""
    milliseconds = duration // timedelta(milliseconds=1)
    return next(f"{milliseconds // ms}{unit}" for unit, ms in _MILLISECONDS if milliseconds % ms == 0)


def _lag(lag: Any) -> Any:
    return lag if isinstance(lag, int) and not isinstance(lag, bool) else str(lag)


def _size(text: Any) -> int:
    match = _SIZE.match(str(text))
    if not match or not int(match[1]):
        raise invalid(f"{shown(text)} is not a size", "write a whole number and a unit (MB, GB, TB), as in 16GB")
    return int(match[1]) * _BYTES[match[2]]


def as_share(value: Any) -> Decimal | None:
    """A percentage as an exact fraction: "1%" is Decimal("0.01"). None for what is not one, from 0% to 100%."""
    if isinstance(value, Decimal):
        return value
    match = _SHARE.match(value) if isinstance(value, str) else None
    share = Decimal(match[1]) / 100 if match else None
    return share if share is not None and share <= 1 else None


def _share(value: Any) -> Decimal:
    share = as_share(value)
    if share is None:
        raise invalid(f"{shown(value)} is not a percentage", "write one from 0% to 100%, as in 0.5%")
    return share


def as_percent(share: Decimal) -> str:
    """A fraction as a percentage without trailing zeros: Decimal("0.005") is "0.5%"."""
    return f"{(share * 100).normalize():f}%"


def _table(name: str) -> str:
    if not _TABLE.match(name):
        raise invalid(f"{shown(name)} does not name a table", "write its schema and its name, as in public.products")
    return name


def as_day(value: Any) -> date | None:
    """A date, as YAML has read it or as ISO text; None for what is not one that a stream can have."""
    with suppress(ValueError):
        if isinstance(value, str):
            value = date.fromisoformat(value)
    return value if type(value) is date and _FIRST_DAY <= value <= _LAST_DAY else None


def _day(value: Any) -> date:
    day = as_day(value)
    if day is None:
        fix = f"write one from {_FIRST_DAY} to {_LAST_DAY}, as in 2026-01-31"
        raise invalid(f"{shown(value)} is not a date that a stream can have", fix)
    return day


_AS_YAML = {None: "null", True: "true", False: "false"}


def shown(value: Any) -> str:
    """A value as a message quotes it: in one line, of 80 characters at most, and in the words of YAML."""
    text = _AS_YAML[value] if value is None or isinstance(value, bool) else repr(value)
    text = str(value) if isinstance(value, date) else text
    return text if len(text) <= 80 else f"{text[:79]}…"


def is_timezone(name: Any) -> bool:
    """Whether a value is an IANA timezone that both Python and polars have."""
    return name == UTC or (isinstance(name, str) and name in available_timezones() and knows_timezone(name))


def _timezone(name: str) -> str:
    if not is_timezone(name):
        raise invalid(f"{shown(name)} is not a timezone", "write an IANA name, as in Europe/Berlin or UTC")
    return name


def is_identifier(name: str) -> bool:
    """Whether a stream or a column may have this name."""
    return bool(_IDENTIFIER.fullmatch(name))


def _identifier(name: str) -> str:
    if not is_identifier(name):
        raise invalid(
            f"{shown(name)} can't name a table or column",
            "write lower-case letters, digits and underscores, beginning with a letter, 48 at most",
        )
    return name


def _owner(owner: str) -> str:
    if not _OWNER.match(owner):
        raise invalid(f"{shown(owner)} is not an owner", "write an e-mail address, or team:name")
    return owner


def _asset_key(text: str) -> str:
    if not _ASSET_KEY.fullmatch(text):
        raise invalid(
            f"{shown(text)} is not the key of an asset", "write its parts with / between them, as in lake/raw"
        )
    return text


def _key_prefix(text: str) -> str:
    if text and not KEY_PREFIX.fullmatch(text):
        raise invalid(f"{shown(text)} is no prefix of keys", PREFIX_FIX)
    return text


def _pattern(pattern: str) -> str:
    if reason := pattern_problem(pattern):
        linear = "write it without that (Rust syntax, which has only what takes linear time): [^x]* is all up to an x"
        fix = linear if reason.startswith(_NOT_LINEAR) else "correct it (Rust syntax)"
        raise invalid(f"{shown(pattern)} is not a regular expression: {reason}", fix)
    return pattern


def _format(fmt: str) -> str:
    if reason := format_problem(fmt):
        patterns = "write a strftime pattern as in %Y-%m-%d %H:%M:%S%.f, iso8601, %+ (ISO 8601 with an offset)"
        raise invalid(f"{shown(fmt)} can't read a timestamp: {reason}", f"{patterns}, or one of {', '.join(EPOCHS)}")
    return fmt


def _encoding(encoding: str) -> str:
    try:
        if _SYNTAX.encode(encoding) == _SYNTAX.encode() and _is_stateless(encoding):
            return codecs.lookup(encoding).name
        reason = "can't be divided into lines at byte 10"
    except (LookupError, UnicodeError):
        reason = "is not known"
    fix = "write utf-8, latin-1, cp1252 or the like; convert other files to UTF-8, as iconv -f utf-16 -t utf-8 does"
    raise invalid(f"the encoding {shown(encoding)} {reason}", fix)


def _is_stateless(encoding: str) -> bool:
    """Whether a character has the same bytes wherever it is; not so in ISO-2022 and UTF-7, which shift."""
    for letter in _LETTERS:
        with suppress(UnicodeEncodeError):
            if letter.encode(encoding) * 2 != (letter * 2).encode(encoding):
                return False
    return True


def _field_path(path: str) -> str:
    """A path to one field; what begins one into an envelope is left to the caller's rules."""
    try:
        steps_of(path.removeprefix("^"))
    except PathError as error:
        fix = "write list[0], list[-1], list[key=text], json:text.key; quote a key with brackets or quotes, '\"a [b]\"'"
        raise invalid(f"{shown(path)} is no path: {error}", fix) from None
    if len(alternatives(path)) > 1:
        raise invalid(f"{shown(path)} names several fields", "write it in from, or name one of them")
    return path


def _source_path(path: str) -> str:
    for each in alternatives(path):
        _field_path(each)
    return path


def _null_text(value: Any) -> str:
    """A text as it stands in the source; a bare number counts as its text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise invalid(f"{shown(value)} is no text, as YAML reads it", 'quote it, as in nulls: ["-", "NULL"]')
    return value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    AfterValidator(_at_most_a_year),
    PlainSerializer(spelled, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["30m"]}),
]
Size = Annotated[int, BeforeValidator(_size), WithJsonSchema({"type": "string", "examples": ["16GB"]})]
PositiveDuration = Annotated[Duration, AfterValidator(_positive)]
# How far before a cursor value is read again: a duration, or a number where the cursor is one.
Lag = Annotated[Annotated[int, Field(strict=True, ge=0)] | Duration, BeforeValidator(_lag)]
Retention = Annotated[
    timedelta,
    BeforeValidator(_duration),
    AfterValidator(_positive),
    AfterValidator(_at_most_a_century),
    PlainSerializer(spelled, when_used="json"),
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
AssetKeyText = Annotated[str, AfterValidator(_asset_key)]
KeyPrefix = Annotated[str, AfterValidator(_key_prefix)]
Pattern = Annotated[str, AfterValidator(_pattern)]
TimestampFormat = Annotated[str, AfterValidator(_format)]
Encoding = Annotated[str, AfterValidator(_encoding)]
NullTexts = list[Annotated[str, BeforeValidator(_null_text)]]
Character = Annotated[str, Field(min_length=1, max_length=1)]
FieldPath = Annotated[str, AfterValidator(_field_path)]
SourcePaths = Annotated[
    list[Annotated[str, AfterValidator(_source_path)]],
    BeforeValidator(_as_list),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
