"""The fields of sampled rows: where each is, how often it is null, and what its values look like.

Here: profiles of fields. Not here: what a field means (`times`, `roles`), and its type as a column (`columns`).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from sessions_platform.contracts.columns import ENVELOPE

# How lists of named values are spelled, as Google Analytics has `event_params`: the key's name, the value's name.
_KEYS, _VALUES = ("key", "name", "k"), ("value", "val", "v")
_KEY = re.compile(r"\[[^\[\]=]+=([^\[\]]*)\]")
_NO_KEY = re.compile(r"[\[\](|]|^$")
_OF_TYPE = re.compile(r"(?P<of>.*\]\.(?:.*\.)?)(?P<type>[a-z]+)_value")
_MOST_FIELDS = 400
_DEEPEST = 6
_IN_QUOTES = re.compile(r"[.\[\]]|^json:|^\^")
_UNUSABLE = re.compile(r'["|\0]|^$')
_UUID = re.compile(r"^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$")
_ADDRESS = re.compile(r"^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F:]*:[0-9a-fA-F:]+)$")
_LINK = re.compile(r"^(?:[a-zA-Z][\w+.-]*://\S+|/\S*|\*)$")
_WORD = re.compile(r"^[\w][\w .:/-]{0,60}$")
_NUMBER = re.compile(r"^[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?$")


@dataclass(frozen=True)
class Field:
    """A field of the sampled rows.

    Attributes:
        path: as `from` in a stream's file states it.
        rows: how many rows the sample has.
        texts: the values as text, without nulls and blank texts, in the order of the rows.
        kinds: how many of them are text, integer, float or boolean.
    """

    path: str
    rows: int
    texts: tuple[str, ...]
    kinds: Counter[str]

    @property
    def name(self) -> str:
        """The last name of the path, without quotes; of a value in a list of named ones, its name there."""
        if keys := _KEY.findall(self.path):
            return keys[-1]
        return self.path.rpartition('."')[2].strip('"') if self.path.endswith('"') else self.path.rpartition(".")[2]

    @property
    def null_share(self) -> float:
        """The share of rows without a value."""
        return 1 - len(self.texts) / self.rows if self.rows else 1.0

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each value occurs."""
        return Counter(self.texts)

    @property
    def distinct_share(self) -> float:
        """The number of different values by that of all."""
        return len(self.counts) / len(self.texts) if self.texts else 0.0

    def without(self, nulls: Iterable[str]) -> "Field":
        """The same field, with these texts as nulls."""
        words = set(nulls)
        if words.isdisjoint(self.counts):
            return self
        kept = tuple(text for text in self.texts if text not in words)
        return Field(self.path, self.rows, kept, self.kinds)

    def looks_like(self, pattern: re.Pattern[str]) -> bool:
        """Whether nearly all values match a pattern."""
        distinct = list(self.counts)[:500]
        return bool(distinct) and sum(bool(pattern.match(text)) for text in distinct) >= 0.95 * len(distinct)

    @cached_property
    def is_uuid(self) -> bool:
        """Whether the values are UUIDs."""
        return self.looks_like(_UUID)

    @cached_property
    def is_address(self) -> bool:
        """Whether the values are IP addresses."""
        return self.looks_like(_ADDRESS)

    @cached_property
    def is_link(self) -> bool:
        """Whether the values are URLs or paths of them."""
        return self.looks_like(_LINK)

    @cached_property
    def is_words(self) -> bool:
        """Whether the values are short names."""
        return self.looks_like(_WORD) and not self.looks_like(_NUMBER)

    @cached_property
    def is_numbers(self) -> bool:
        """Whether the values are numbers."""
        return self.looks_like(_NUMBER)


def fields_of(rows: Sequence[dict[str, Any]]) -> list[Field]:
    """The fields of rows that have scalar values, in the order in which they first occur; objects are entered.

    Fields that are a list or an object in some rows are left out: no column can be read from them.
    """
    texts: dict[str, list[str]] = {}
    kinds: dict[str, Counter[str]] = {}
    unusable: set[str] = set()
    for row in rows:
        for path, value in _scalars(row, "", 0):
            if len(texts) == _MOST_FIELDS and path not in texts:
                continue
            texts.setdefault(path, [])
            of_path = kinds.setdefault(path, Counter())
            if isinstance(value, list):
                unusable.add(path)
            elif value is not None and (text := _text(value)).strip():
                texts[path].append(text)
                of_path[_kind(value)] += 1
    found = [Field(path, len(rows), tuple(texts[path]), kinds[path]) for path in texts if path not in unusable]
    return _of_any_type(found)


def _of_any_type(fields: Sequence[Field]) -> list[Field]:
    """The fields, those of one key that differ in the type of their values, as `string_value`, as one."""
    groups: dict[str, list[Field]] = {}
    for each in fields:
        match = _OF_TYPE.fullmatch(each.path)
        groups.setdefault(match["of"] if match else each.path, []).append(each)
    return [_joined(of, [each for each in group if each.texts] or group[:1]) for of, group in groups.items()]


def _joined(of: str, group: Sequence[Field]) -> Field:
    if len(group) == 1:
        return group[0]
    types = [match["type"] for each in group if (match := _OF_TYPE.fullmatch(each.path))]
    texts = tuple(text for each in group for text in each.texts)
    return Field(f"{of}({'|'.join(types)})_value", group[0].rows, texts, sum((each.kinds for each in group), Counter()))


def _scalars(value: dict[str, Any], above: str, depth: int) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if not isinstance(key, str) or _UNUSABLE.search(key):
            continue
        is_of_envelope = depth == 0 and key.startswith(ENVELOPE) and len(key) > 1
        step = ENVELOPE + _step(key[1:]) if is_of_envelope else _step(key)
        path = f"{above}.{step}" if above else step
        if isinstance(item, dict):
            if depth < _DEEPEST:
                yield from _scalars(item, path, depth + 1)
        else:
            yield path, item
            if isinstance(item, list):
                yield from _named_values(item, path, depth)


def _named_values(items: list[Any], path: str, depth: int) -> Iterator[tuple[str, Any]]:
    """The scalar values in a list of objects that have a key and a value each; nothing of any other list."""
    key = next((name for name in _KEYS if all(isinstance(each, dict) and each.get(name) for each in items)), None)
    if key is None or depth >= _DEEPEST:
        return
    for each in items:
        value = next((name for name in _VALUES if name in each), None)
        if value is None or not isinstance(each[key], str) or _NO_KEY.search(each[key]):
            continue
        yield from _scalars({value: each[value]}, f"{path}[{key}={each[key]}]", depth + 1)


def _step(key: str) -> str:
    return f'"{key}"' if _IN_QUOTES.search(key) else key


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, msgspec.Raw):  # a number that is no integer, as it is spelled
        return bytes(value).decode()
    return value if isinstance(value, str) else str(value)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    return "text" if isinstance(value, str) else "float"
