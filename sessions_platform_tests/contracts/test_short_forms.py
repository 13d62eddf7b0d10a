"""Short forms of a stream's file mean what they look like; where one can't be taken the error shows what to write."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from sessions_platform.contracts.json_schema import json_schema
from sessions_platform.contracts.stream_file import ConfigProblem, StreamError, load_stream

LONG: dict[str, Any] = {
    "name": "web",
    "owners": ["team:shop"],
    "start": "2026-01-01",
    "source": {"files": "landing/{partition:%Y-%m-%d}/*.ndjson.gz", "format": "ndjson"},
    "landing": {"partition": "weekly"},
    "columns": {
        "user_id": {"from": ["user.id", "device"]},
        "event_timestamp": {"from": "ts", "formats": ["%+"]},
        "event_type": {"from": "event"},
        "page_url": {},
        "kind": {"isin": ["view"]},
    },
    "skip": [{"column": "kind", "isin": ["bot"]}],
    "session": {"gap": "20m"},
}
SHORT: dict[str, Any] = {
    "name": "web",
    "owners": "team:shop",
    "start": "2026-01-01",
    "source": "landing/{partition:%Y-%m-%d}/*.ndjson.gz",
    "landing": "weekly",
    "columns": {
        "user_id": ["user.id", "device"],
        "event_timestamp": {"from": "ts", "formats": "%+"},
        "event_type": "event",
        "page_url": None,
        "kind": {"isin": "view"},
    },
    "skip": {"column": "kind", "isin": ["bot"]},
    "session": "20m",
}


def problems(content: dict[str, Any], folder: Path) -> list[ConfigProblem]:
    (folder / "web.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    try:
        load_stream(folder / "web.yaml", home=folder)
    except StreamError as error:
        return error.problems
    return []


def test_a_short_form_is_the_same_stream_as_its_long_one(tmp_path: Path) -> None:
    assert problems(SHORT, tmp_path) == []
    short = load_stream(tmp_path / "web.yaml", home=tmp_path)
    assert problems(LONG, tmp_path) == []
    assert short == load_stream(tmp_path / "web.yaml", home=tmp_path)


def test_short_forms_keep_the_published_schema() -> None:
    schema = json.loads(json_schema())
    jsonschema.validate(LONG, schema)
    jsonschema.validate(SHORT, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**SHORT, "landing": "often"}, schema)


NO_KEYS = "is not keys with values. Fix: write"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("landing", "often", f"'often' {NO_KEYS} landing: daily, or landing: {{partition: daily, start: 2026-01-01}}."),
        ("landing", 5, f"landing: 5 {NO_KEYS} landing: daily, or landing: "),
        ("landing", None, f"landing: null {NO_KEYS} landing: daily"),
        ("session", ["30m"], f"['30m'] {NO_KEYS} session: 30m, or session: {{gap: 30m"),
        ("session", "half an hour", "'half an hour' is not a duration. Fix: write a whole number and a unit"),
        ("source", "landing/*.txt", f"'landing/*.txt' {NO_KEYS} source: {{files: landing/*.ndjson, format: ndjson}}."),
        ("retention", "7d", f"'7d' {NO_KEYS} retention: {{superseded_files: 7d}}."),
        ("rejected", "5%", f"'5%' {NO_KEYS} rejected: {{warn_above: 1%, fail_above: 20%}}."),
        ("duplicates", "last", f"'last' {NO_KEYS} duplicates: {{compare: id, keep: first}}."),
        ("columns", ["user_id"], f"columns: ['user_id'] {NO_KEYS} columns: {{user_id: {{from: user}}, "),
        (
            "columns",
            {**LONG["columns"], "page_url": 5},
            f"columns.page_url: 5 {NO_KEYS} {{from: field, type: integer}}",
        ),
        ("owners", {"a": 1}, "owners: {'a': 1} is not a list. Fix: write owners: [team:shop]."),
        (
            "retention",
            {"superseded_files": "1h"},
            "and runs may still read what it would remove. Fix: write 1d or more.",
        ),
        ("description", 5, "description: 5 is not text. Fix: quote it if it is one."),
    ],
)
def test_what_can_not_be_meant_one_way_is_told_with_what_to_write(
    tmp_path: Path, key: str, value: Any, said: str
) -> None:
    found = "\n".join(map(str, problems({**LONG, key: value}, tmp_path)))
    assert said in found
    assert LIBRARY.search(found) is None


# What pydantic says, and people who write YAML would not.
LIBRARY = re.compile(
    r"valid (dictionary|list|string|number|integer|boolean|date|mapping)|[Ii]nstance of|Input|Extra inputs|Field req"
    r"|unable to parse|should (be|have|match)|at least \d+ (item|char)|Value error|NoneType|<class|: (None|True|False) "
)
ODD: list[Any] = [None, True, 5, -1.5, "odd", "", [], ["odd"], [[1]], [None], {}, {"odd": 1}, {"odd": {"a": None}}]


def keys_of(schema: dict[str, Any], part: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, ...]]:
    """The path of every key below a part of the schema; a name of a column is `page_url`, a number 0."""
    for each in [part, *part.get("anyOf", ())]:
        if "$ref" in each:
            yield from keys_of(schema, schema["$defs"][each["$ref"].rpartition("/")[2]], depth)
        named = {**each.get("properties", {})}
        if isinstance(each.get("additionalProperties"), dict):
            named["page_url"] = each["additionalProperties"]
        for name, value in named.items() if depth < 5 else ():
            yield (name,)
            yield from ((name, *rest) for rest in keys_of(schema, value, depth + 1))


def with_value(content: Any, path: tuple[str, ...], value: Any) -> Any:
    if not path:
        return value
    own = content if isinstance(content, dict) else {}
    return {**own, path[0]: with_value(own.get(path[0]), path[1:], value)}


@pytest.mark.slow
def test_no_value_of_any_key_is_answered_in_the_librarys_words(tmp_path: Path) -> None:
    schema = json.loads(json_schema())
    paths = set(keys_of(schema, schema))
    assert len(paths) > 100
    told: set[str] = set()
    for path in sorted(paths):
        for value in ODD:
            for problem in problems(with_value(LONG, path, value), tmp_path):
                told.add(f"{problem.key}: {problem.reason}. Fix: {problem.fix}")
                assert problem.line
    assert len(told) > 500
    assert sorted(line for line in told if LIBRARY.search(line)) == []
