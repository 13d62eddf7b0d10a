"""How values of Avro's types become JSON, with nothing lost: what JSON can't represent becomes text, as in Parquet.

fastavro decodes a value by its schema and calls the reader of its logical type. So here a file's schema gets logical
types of our own, which say how each is written, for every type whose values JSON hasn't. Used in the child process
that reads files, and for messages of Kafka.
"""

import base64
import math
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from fastavro.read import LOGICAL_READERS
from fastavro.schema import parse_schema

from sessions_platform.contracts.typed_values import BYTES_PREFIX

_OURS = "sessions-"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NAMES = ("name", "namespace", "size", "symbols", "precision", "scale")


def readable_schema(schema: Any) -> Any:
    """A writer's schema, so that fastavro makes values of it that are JSON.

    Defaults and aliases are left out, since they are a reader's matter and old files have invalid ones.

    Raises:
        Exception: it is no schema.
    """
    return parse_schema(_rewritten(schema))


def _rewritten(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_rewritten(branch) for branch in schema]
    if isinstance(schema, str):
        return _primitive({"type": schema}) if (schema, "") in _WRITTEN else schema
    if isinstance(schema["type"], dict | list):
        return _rewritten(schema["type"])
    parts = {key: schema[key] for key in _NAMES if key in schema}
    parts |= {key: _rewritten(schema[key]) for key in ("items", "values") if key in schema}
    if "fields" in schema:
        parts["fields"] = [{"name": field["name"], "type": _rewritten(field["type"])} for field in schema["fields"]]
    return _primitive({**parts, "type": schema["type"]}, schema.get("logicalType"))


def _primitive(schema: dict[str, Any], logical: Any = "") -> dict[str, Any]:
    """With the logical type that writes its values; a logical type that its type can't have means nothing."""
    kind = next((name for name in (logical, "") if isinstance(name, str) and (schema["type"], name) in _WRITTEN), None)
    return schema if kind is None else {**schema, "logicalType": f"{_OURS}{kind}"}


# Values --------------------------------------------------------------------------------------------------


def _data_uri(value: bytes) -> str:
    return BYTES_PREFIX + base64.b64encode(value).decode()


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _date(days: int) -> str:
    try:
        return date.fromordinal(_EPOCH_DAY + days).isoformat()
    except (ValueError, OverflowError):
        return _out_of_range(days)


def _timestamp(digits: int, offset: str = "") -> Callable[[int], str]:
    """ISO 8601, as exact as in the file; `digits` of a second's fraction are in the number."""

    def text(value: int) -> str:
        seconds, fraction = divmod(value, 10**digits)
        try:
            whole = (_EPOCH + timedelta(seconds=seconds)).isoformat()
        except OverflowError:
            return _out_of_range(value)
        return f"{whole}{_fraction(fraction, digits)}{offset}"

    return text


def _time(digits: int) -> Callable[[int], str]:
    def text(value: int) -> str:
        seconds, fraction = divmod(value, 10**digits)
        if not 0 <= seconds < 24 * 60 * 60:
            return _out_of_range(value)
        return f"{(_EPOCH + timedelta(seconds=seconds)).time().isoformat()}{_fraction(fraction, digits)}"

    return text


def _fraction(value: int, digits: int) -> str:
    return f".{value:0{digits}d}".rstrip("0").rstrip(".")


def _out_of_range(value: int) -> str:
    """As pyarrow spells a time that no calendar has."""
    return f"<value out of range: {value}>"


def _decimal(value: bytes, schema: dict[str, Any]) -> str:
    return _shifted(int.from_bytes(value, "big", signed=True), schema.get("scale", 0))


def _big_decimal(value: bytes) -> str:
    """A decimal with a scale of its own, as Java writes it: its digits as sized bytes, then its scale."""
    size, start = _number(value, 0)
    scale, _ = _number(value, start + size)
    return _shifted(int.from_bytes(value[start : start + size], "big", signed=True), scale)


def _number(value: bytes, start: int) -> tuple[int, int]:
    end = next(index for index in range(start, len(value)) if value[index] < 0x80) + 1
    number = sum((byte & 0x7F) << 7 * index for index, byte in enumerate(value[start:end]))
    return (number >> 1) ^ -(number & 1), end


def _shifted(unscaled: int, scale: int) -> str:
    """All digits of a decimal: 110 with scale 2 is 1.10."""
    sign, digits = "-" if unscaled < 0 else "", str(abs(unscaled))
    if scale <= 0:
        return sign + digits + "0" * -scale
    digits = digits.rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"


def _uuid(value: bytes) -> str:
    return str(uuid.UUID(bytes=value)) if len(value) == 16 else _data_uri(value)


def _duration(value: bytes) -> str:
    """ISO 8601, of months, days and milliseconds."""
    months, days, milliseconds = (int.from_bytes(value[start : start + 4], "little") for start in (0, 4, 8))
    seconds, fraction = divmod(milliseconds, 1000)
    return f"P{months}M{days}DT{seconds}{_fraction(fraction, 3)}S"


# By type and logical type, "" for all others.
_WRITTEN: dict[tuple[str, str], Callable[..., Any]] = {
    ("bytes", ""): _data_uri,
    ("fixed", ""): _data_uri,
    ("float", ""): _float,
    ("double", ""): _float,
    ("int", "date"): _date,
    ("int", "time-millis"): _time(3),
    ("long", "time-micros"): _time(6),
    ("bytes", "decimal"): _decimal,
    ("fixed", "decimal"): _decimal,
    ("bytes", "big-decimal"): _big_decimal,
    ("fixed", "uuid"): _uuid,
    ("fixed", "duration"): _duration,
}
for _digits, _unit in ((3, "millis"), (6, "micros"), (9, "nanos")):
    _WRITTEN["long", f"timestamp-{_unit}"] = _timestamp(_digits, "+00:00")
    _WRITTEN["long", f"local-timestamp-{_unit}"] = _timestamp(_digits)


def _reader(write: Callable[..., Any]) -> Callable[[Any, Any, Any], Any]:
    if write is _decimal:
        return lambda value, schema, _: _decimal(value, schema)
    return lambda value, _, __: write(value)


for (_type, _logical), _write in _WRITTEN.items():
    LOGICAL_READERS[f"{_type}-{_OURS}{_logical}"] = _reader(_write)
