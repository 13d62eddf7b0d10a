"""Short forms of a stream's file: what a key means where its value is not the mapping or list that it usually has.

Here: forms that can be meant one way only, as `session: 30m`, with their JSON schemas. They are written out before any
rule is applied, so that a short form and its long one are the same stream. Not here: what is said where a value can't
be meant one way (``model_errors``).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from sessions_platform.contracts.calendar import Cadence
from sessions_platform.contracts.enrichments import ENRICHMENTS
from sessions_platform.contracts.formats import format_of_name
from sessions_platform.contracts.issues import KeyPath, Raw


class ShortForm(NamedTuple):
    """What a key may be written as, and what it then means; None where the value has no such meaning."""

    written_out: Callable[[Any], Any]
    schema: dict[str, Any]


def _text_as(key: str) -> Callable[[Any], Any]:
    """A text is the value of this key."""
    return lambda value: {key: value} if isinstance(value, str) else None


def _cadence(value: Any) -> Any:
    return {"partition": value} if isinstance(value, str) and value in Cadence.__members__ else None


def _files(value: Any) -> Any:
    name = format_of_name(value) if isinstance(value, str) else None
    return {"files": value, "format": name} if name else None


def _column(value: Any) -> Any:
    if value is None:
        return {}
    is_path = isinstance(value, str) or (isinstance(value, list) and all(isinstance(path, str) for path in value))
    return {"from": value} if is_path and value else None


def _one_text(value: Any) -> Any:
    return [value] if isinstance(value, str) else None


def _by_name(value: Any) -> Any:
    is_names = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return {name: {} for name in value} if is_names else None


def _from_column(value: Any) -> Any:
    return {} if value is None else _text_as("from")(value)


def _conversion(value: Any) -> Any:
    return {} if value is None else _text_as("event_type")(value)


def _touching(value: Any) -> Any:
    return {} if value is None else _text_as("touch")(value)


def _predicting(value: Any) -> Any:
    return {} if value is None else _text_as("predicts")(value)


def _one_rule(value: Any) -> Any:
    return [value] if isinstance(value, dict) else None


_TEXT = {"type": "string"}
_LIST_OF_ONE = ShortForm(_one_text, _TEXT)

# By key path, where * is any name; those of an outer key before those of keys within it.
SHORT_FORMS: dict[KeyPath, ShortForm] = {
    ("owners",): _LIST_OF_ONE,
    ("source",): ShortForm(_files, _TEXT),
    ("landing",): ShortForm(_cadence, {"enum": [cadence.value for cadence in Cadence]}),
    ("session",): ShortForm(_text_as("gap"), {"type": "string", "examples": ["30m"]}),
    ("session", "conversions"): ShortForm(_by_name, {"type": "array", "items": _TEXT}),
    ("session", "conversions", "*"): ShortForm(_conversion, {"anyOf": [_TEXT, {"type": "null"}]}),
    ("session", "engaged"): ShortForm(_text_as("like"), {"enum": ["ga4"]}),
    ("user_sessions",): ShortForm(_touching, {"anyOf": [_TEXT, {"type": "null"}]}),
    ("scores",): ShortForm(_by_name, {"type": "array", "items": _TEXT}),
    ("scores", "*"): ShortForm(_predicting, {"anyOf": [_TEXT, {"type": "null"}]}),
    ("skip",): ShortForm(_one_rule, {"$ref": "#/$defs/SkipRule"}),
    ("columns", "*"): ShortForm(
        _column, {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}, {"type": "null"}]}
    ),
    ("columns", "*", "formats"): _LIST_OF_ONE,
    ("columns", "*", "isin"): _LIST_OF_ONE,
    ("enrich",): ShortForm(_by_name, {"type": "array", "items": _TEXT}),
    **{("enrich", name): ShortForm(_from_column, {"anyOf": [_TEXT, {"type": "null"}]}) for name in ENRICHMENTS},
}


def written_out(raw: Raw) -> Raw:
    """The content of a stream's file with its short forms written out; what has none stays as it is."""
    for pattern, form in SHORT_FORMS.items():
        raw = _written_out_at(raw, pattern, form)
    return raw


def _written_out_at(raw: Any, pattern: KeyPath, form: ShortForm) -> Any:
    """The same with the values of one key path alone."""
    if not isinstance(raw, dict):
        return raw
    name, rest = pattern[0], pattern[1:]

    def value_of(value: Any) -> Any:
        if rest:
            return _written_out_at(value, rest, form)
        long = form.written_out(value)
        return value if long is None else long

    return {key: value_of(value) if name in ("*", key) else value for key, value in raw.items()}
