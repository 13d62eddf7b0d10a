"""Pydantic's errors in the words of a stream's file: a reason and a fix for each kind of error.

No text of the library is passed on, for it speaks of dictionaries and instances. Here: what is said of a value of the
wrong kind, and how the value of a key is written. Not here: errors of the models' own rules, which have a reason and a
fix already (``values.invalid``), and the line of a key (``stream_file``).
"""

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from sessions_platform.contracts.columns import Column, Duration, Reference
from sessions_platform.contracts.duplicates import Duplicates
from sessions_platform.contracts.formats import NestedText
from sessions_platform.contracts.issues import KeyPath
from sessions_platform.contracts.object_store import StoreOptions
from sessions_platform.contracts.rejection_limits import Rejected, Thresholds
from sessions_platform.contracts.respelling import Split, Words
from sessions_platform.contracts.retention import Retained
from sessions_platform.contracts.session_rule import Aggregate, CutOn, SessionRule
from sessions_platform.contracts.skip import SkipRule
from sessions_platform.contracts.sources import source_type_of
from sessions_platform.contracts.stream import Landing, Stream
from sessions_platform.contracts.targets import target_type_of
from sessions_platform.contracts.values import INVALID, shown

Value = TypeVar("Value")

# The model of each mapping of the file but `source` and `targets`; * is any name.
_MODELS: dict[KeyPath, type[BaseModel]] = {
    (): Stream,
    ("landing",): Landing,
    ("session",): SessionRule,
    ("rejected",): Rejected,
    ("retention",): Retained,
    ("duplicates",): Duplicates,
    ("skip",): SkipRule,
    ("source", "parse"): NestedText,
    ("source", "store"): StoreOptions,
    ("rejected", "by_reason", "*"): Thresholds,
    ("columns", "*"): Column,
    ("columns", "*", "references"): Reference,
    ("columns", "*", "split"): Split,
    ("columns", "*", "words"): Words,
    ("columns", "*", "minus"): Duration,
    ("session", "columns", "*"): Aggregate,
    ("session", "cut_on"): CutOn,
}

# How the value of a key that is a mapping or a list is written.
_EXAMPLES: dict[KeyPath, str] = {
    ("source",): "source: {files: landing/*.ndjson, format: ndjson}",
    ("source", "parse"): "parse: {field: MESSAGE, format: logfmt}",
    ("source", "store"): "store: {region: eu-central-1, access_key: {env: NAME}, secret_key: {env: NAME}}",
    ("source", "nulls"): 'nulls: ["-", "NULL"]',
    ("landing",): "landing: daily, or landing: {partition: daily, start: 2026-01-01}",
    ("owners",): "owners: [team:shop]",
    ("upstream",): "upstream: [lake/landed_files]",
    ("columns",): "columns: {user_id: {from: user}, page_url: {from: url, nullable: true}}",
    ("columns", "*"): "{from: field, type: integer}, or the field alone",
    ("columns", "*", "from"): "from: field, or from: [field, fallback]",
    ("columns", "*", "join"): "join: [date, time]",
    ("columns", "*", "isin"): "isin: [view, buy]",
    ("columns", "*", "nulls"): 'nulls: ["-", "NULL"]',
    ("columns", "*", "formats"): 'formats: ["%+", epoch_ms]',
    ("columns", "*", "references"): "references: {file: products.csv, column: id}",
    ("columns", "*", "split"): 'split: {separator: "/", part: 0}',
    ("columns", "*", "words"): 'words: {true: ["1", "y"], false: ["0", "n"]}',
    ("columns", "*", "minus"): "minus: {column: request_time, unit: s}",
    ("skip",): "skip: [{column: status, isin: [404]}]",
    ("skip", "*"): "{column: status, isin: [404]}",
    ("pseudonymize",): "pseudonymize: {user_id: hmac}",
    ("duplicates",): "duplicates: {compare: id, keep: first}",
    ("duplicates", "ignore"): "ignore: [sent_at]",
    ("session",): "session: 30m, or session: {gap: 30m, split_at_midnight: true}",
    ("session", "columns"): "columns: {total_amount: {sum: amount}}",
    ("session", "columns", "*"): "{sum: amount}",
    ("session", "cut_on"): "cut_on: {column: account, when: changes}",
    ("session", "passive"): "passive: [session_end, heartbeat]",
    ("session", "cut_on", "when"): "when: changes, or when: [changes, leaves]",
    ("rejected",): "rejected: {warn_above: 1%, fail_above: 20%}",
    ("rejected", "by_reason"): "by_reason: {bad_timestamp: {fail_above: 5%}}",
    ("rejected", "by_reason", "*"): "{warn_above: 1%, fail_above: 20%}",
    ("retention",): "retention: {superseded_files: 7d}",
    ("targets",): "targets: {duckdb: {path: sessions.duckdb}}",
    ("targets", "*"): "{path: sessions.duckdb}",
    ("targets", "*", "tables"): "tables: [sessions, sessionized_events]",
    ("enrich",): "enrich: [user_agent], or enrich: {user_agent: {from: agent}}",
    ("enrich", "*"): "{from: column}",
    ("enrich", "geo"): "{from: ip, database: country.mmdb}",
    ("enrich", "python"): "{function: module:function, from: [page_url], columns: {brand: string}, version: 1}",
    ("enrich", "python", "columns"): "columns: {brand: string, score: float}",
    ("enrich", "lookup"): "{table: products.csv, key: product_id, take: [category]}, or a list of these",
    ("enrich", "lookup", "take"): "take: [category], or take: {category: string, price: float}",
    ("enrich", "*", "own_hosts"): "own_hosts: [shop.example]",
    ("enrich", "*", "ignore"): "ignore: [paypal.com]",
}

_MAPPING, _LIST = "keys with values", "a list"
_TEXT = ("text", "quote it if it is one")
_TRUTH = ("true or false", "write one of the two")
_NUMBER = ("a number", "write one, without quotes")
_WHOLE = ("a whole number", "write one, without quotes")

# By kind of error: what a value has to be, and how it is written where no example of the key says so.
_EXPECTED: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("model_type", "model_attributes_type", "dict_type", "mapping_type"), (_MAPPING, "write {key: value}")
    ),
    **dict.fromkeys(("list_type", "iterable_type", "tuple_type", "set_type"), (_LIST, "write [first, second]")),
    **dict.fromkeys(("string_type", "string_sub_type", "string_unicode"), _TEXT),
    **dict.fromkeys(("bool_type", "bool_parsing"), _TRUTH),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), _NUMBER),
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), _WHOLE),
}

# By kind of error: a reason and a fix of what pydantic says of it, which is a number or the allowed values.
_LIMITS: dict[str, Callable[[Mapping[str, Any]], tuple[str, str]]] = {
    "too_short": lambda of: ("it lists too little", f"list {of['min_length']} or more"),
    "too_long": lambda of: ("it lists too much", f"list {of['max_length']} at most"),
    "string_too_short": lambda of: ("it is too short", f"write {of['min_length']} or more characters"),
    "string_too_long": lambda of: ("it is too long", f"write {of['max_length']} characters at most"),
    "greater_than_equal": lambda of: ("it is too small", f"write {of['ge']} or more"),
    "greater_than": lambda of: ("it is too small", f"write more than {of['gt']}"),
    "less_than_equal": lambda of: ("it is too large", f"write {of['le']} or less"),
    "less_than": lambda of: ("it is too large", f"write less than {of['lt']}"),
    "literal_error": lambda of: ("it is not allowed", f"write {of['expected']}"),
    "enum": lambda of: ("it is not allowed", f"write {of['expected']}"),
}


def explained(details: Any, key_path: KeyPath, content: dict[str, Any]) -> tuple[str, str]:
    """Reason and fix of one of pydantic's errors, as clauses without a full stop.

    Args:
        details: of the error, as `ValidationError.errors()` has it.
        key_path: where in the file it is.
        content: the whole file.
    """
    kind, context, value = details["type"], details.get("ctx", {}), shown(details["input"])
    if kind == INVALID:
        return context["reason"], context["fix"]
    if kind == "extra_forbidden":
        return _unknown_key(key_path, content)
    if kind == "missing":
        return "the key is missing", "add it"
    if kind in _LIMITS:
        reason, fix = _LIMITS[kind](context)
        return f"{value}: {reason}" if reason != "it is not allowed" else f"{value} is not allowed", fix
    example = _found(_EXAMPLES, key_path) or _found(_EXAMPLES, tuple(part for part in key_path if not part.isdigit()))
    expected, fix = _EXPECTED.get(kind, ("valid", "write it as docs/streams.md says"))
    return f"{value} is not {expected}", f"write {example}" if example else fix


def _unknown_key(key_path: KeyPath, content: dict[str, Any]) -> tuple[str, str]:
    parent, key = key_path[:-1], key_path[-1]
    model = _model_of(parent, content)
    known = [field.alias or name for name, field in model.model_fields.items() if not field.exclude] if model else []
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return "the key is not known", f"remove it, or rename it ({hint})"


def _model_of(key_path: KeyPath, content: dict[str, Any]) -> type[BaseModel] | None:
    """The model of a mapping of the file."""
    match key_path:
        case ("source",):
            return source_type_of(content["source"])
        case ("targets", name):
            return target_type_of(content["targets"][name], name)
    return _found(_MODELS, _without_index(key_path))


def _without_index(key_path: KeyPath) -> KeyPath:
    """The key path of a mapping, without its number where it is of a list."""
    return key_path[:-1] if key_path and key_path[-1].isdigit() else key_path


def _found(table: Mapping[KeyPath, Value], key_path: KeyPath) -> Value | None:
    """The entry of a key path in a table of patterns."""
    for pattern, value in table.items():
        if len(pattern) == len(key_path) and all(
            own in {part, "*"} for part, own in zip(key_path, pattern, strict=True)
        ):
            return value
    return None
