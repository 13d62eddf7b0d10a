"""A rejected row has all of its reasons: compared with a reference validator that shares no code with the platform."""

import json
import math
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms import deduplicate as deduplicating
from sessions_platform.transforms import validate as validating
from sessions_platform.transforms.cast import as_typed
from sessions_platform.transforms.deduplicate import deduplicate
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.validate import validate
from sessions_platform_tests.streams import PLAIN

LANDING = "2026-01-01"
FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, 0, 5, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Columns = dict[str, dict[str, Any]]
Reason = tuple[str, str, str | None]  # code, column, value
Reasons = dict[int, list[Reason]]  # by position, in any order

# The reference validator: the standard library alone ----------------------------------------------------


def reasons_of(payloads: list[bytes], columns: Columns, extra: str, known: dict[str, list[str]]) -> Reasons:
    """Every reason of every rejected row."""
    rejected: Reasons = {}
    kept: dict[str, tuple[Any, ...]] = {}  # by event id, the content of its event
    taken: dict[str, set[Any]] = {name: set() for name, column in columns.items() if column.get("unique")}
    for position, payload in enumerate(payloads, start=1):
        reasons, values, extras = validate_row(payload, columns, extra, known)
        event_id: Any = values.get("event_id")
        content = (*map(repr, values.values()), json.dumps(extras) if extra == "keep" else "")
        if not reasons and kept.get(event_id) == content:
            continue  # a duplicate
        if not reasons:
            repeated = [name for name in taken if values[name] is not None and values[name] in taken[name]]
            reasons = [("conflicting_duplicate", name, as_text(values[name])) for name in repeated]
            if event_id in kept:
                reasons.append(("conflicting_duplicate", "event_id", event_id))
            else:
                kept[event_id] = content
                for name, of_column in taken.items():
                    of_column.add(values[name])
        if reasons:
            rejected[position] = reasons
    return rejected


def validate_row(
    payload: bytes, columns: Columns, extra: str, known: dict[str, list[str]]
) -> tuple[list[Reason], dict[str, Any], dict[str, Any]]:
    """The reasons that one row shows by itself, its typed values, and the fields that no column names."""
    try:
        fields = json.loads(payload)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return [("malformed", "", None)], {}, {}
    reasons: list[Reason] = []
    values: dict[str, Any] = {}
    sources = {column.get("from", name) for name, column in columns.items()}
    for name, column in columns.items():
        parse_errors, values[name] = validate_value(name, column, fields.get(column.get("from", name)), known.get(name))
        reasons += parse_errors
    extras = {key: value for key, value in fields.items() if key not in sources and value is not None}
    if extra == "reject":
        reasons += [("unexpected_column", key, quoted(value)) for key, value in extras.items()]
    elif extra == "keep" and (bad := [text for text in texts_in(extras) if UNSTORABLE.search(text)]):
        reasons.append(("bad_text", "properties", quoted(bad[0])))
    return reasons, values, extras


def validate_value(name: str, column: dict[str, Any], value: Any, known: list[str] | None) -> tuple[list[Reason], Any]:
    if isinstance(value, dict | list):
        return [("wrong_type", name, quoted(value))], None
    text = as_text(value)
    if text is None or not text:
        code = "missing_identity" if name == "user_id" else "missing_value"
        return [] if column.get("nullable") else [(code, name, None)], None
    if UNSTORABLE.search(text):
        return [("bad_text", name, quoted(text))], None
    kind = "timestamp" if name == "event_timestamp" else column.get("type", "string")
    typed = READ[kind](text)
    if typed is None:
        return [("bad_timestamp" if kind == "timestamp" else "wrong_type", name, text[:200])], None
    return [(code, name, text[:200]) for code in broken_rules(name, column, kind, typed, known)], typed


def broken_rules(name: str, column: dict[str, Any], kind: str, typed: Any, known: list[str] | None) -> list[str]:
    bounds = {"ge": lambda a, b: a >= b, "gt": lambda a, b: a > b, "le": lambda a, b: a <= b, "lt": lambda a, b: a < b}
    broken = ["out_of_range" for key, contains in bounds.items() if key in column and not contains(typed, column[key])]
    if "isin" in column and typed not in column["isin"]:
        broken.append("not_allowed")
    if "pattern" in column and not re.search(column["pattern"], typed):
        broken.append("pattern_mismatch")
    if "references" in column and typed not in [READ[kind](text) for text in known or []]:
        broken.append("unknown_reference")
    if name == "event_timestamp" and typed < FIRST:
        broken.append("before_start")
    if name == "event_timestamp" and typed > LAST:
        broken.append("future_timestamp")
    return broken


def as_text(value: Any) -> str | None:
    return value if isinstance(value, str | None) else json.dumps(value) if isinstance(value, bool) else repr(value)


def quoted(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return UNSTORABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)[:200]


def texts_in(value: Any) -> list[str]:
    """All text of a JSON value: of an object its keys first."""
    if isinstance(value, dict):
        return [*value, *texts_in(list(value.values()))]
    if isinstance(value, list):
        return [text for item in value for text in texts_in(item)]
    return [value] if isinstance(value, str) else []


def integer(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]+", text) and -(2**63) <= int(text) < 2**63 else None


def finite(text: str) -> float | None:
    try:
        return float(text) if math.isfinite(float(text)) else None
    except ValueError:
        return None


def moment(text: str) -> datetime | None:
    with suppress(ValueError):
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    with suppress(ArithmeticError, ValueError):
        return EPOCH + timedelta(microseconds=round(Decimal(text) * 1000))
    return None


UNSTORABLE = re.compile("[\0\ud800-\udfff]")
READ: dict[str, Any] = {
    "string": str,
    "integer": integer,
    "float": finite,
    "boolean": lambda text: {"true": True, "false": False}.get(text.lower()),
    "timestamp": moment,
}

# The platform -------------------------------------------------------------------------------------------


def validated(payloads: list[bytes], columns: Columns, extra: str, known: dict[str, list[str]]) -> Reasons:
    stream = Stream.model_validate({**PLAIN, "columns": columns, "extra_columns": extra})
    rows = {name: [None] * len(payloads) for name in RAW_EVENTS} | {
        "position": list(range(1, len(payloads) + 1)),
        "payload": payloads,
    }
    same = {"landing_partition": LANDING, "source_uri": "a"}
    raw = pl.DataFrame(rows | {name: [value] * len(payloads) for name, value in same.items()}, schema=RAW_EVENTS)
    values = {name: as_typed(pl.Series(name, texts), stream.columns[name]) for name, texts in known.items()}
    validation = validate(parse(raw, stream), stream, LANDING, values)
    _, conflicts, *_ = deduplicate(validation.events, stream, {"a": "digest"})
    rejected = [
        *validation.rejected.select("position", "reasons").rows(),
        *conflicts.select("position", "reasons").rows(),
    ]
    assert len({position for position, _ in rejected}) == len(rejected)
    assert all(reason["rule"] for _, reasons in rejected for reason in reasons)
    return {position: [(r["code"], r["column"], r["value"]) for r in reasons] for position, reasons in rejected}


def assert_all_reasons(payloads: list[bytes], columns: Columns, extra: str, known: dict[str, list[str]]) -> None:
    expected = {position: sorted(r, key=str) for position, r in reasons_of(payloads, columns, extra, known).items()}
    assert {
        position: sorted(r, key=str) for position, r in validated(payloads, columns, extra, known).items()
    } == expected


# Whatever comes ------------------------------------------------------------------------------------------

NEEDED: Columns = {
    "event_id": {"from": "id"},
    "user_id": {"from": "user"},
    "event_timestamp": {"from": "ts", "formats": ["%Y-%m-%d", "epoch_ms"]},
    "event_type": {"from": "type"},
}
words = st.sampled_from(
    ["", "a", "b", "ab", "é", "1", "-2", "7", "4.5", "true", "FALSE", "nan", "inf", "a\0", "\ud83d"]
)
numbers = st.integers(-4, 9) | st.sampled_from([0.5, 2.5, 1e300, 2**63, -(2**63) - 1])
scalars = st.none() | st.booleans() | words | numbers
values = scalars | st.sampled_from([[], [1], {}, {"a": None}, {"a": "\0"}, {"\ud800": 1}])
days = ["2026-01-01", "2025-12-31", "2026-01-03", "2026-02-30"]
times = st.sampled_from([*days, 1_767_268_800_000, "1767268800000", 0, 1e300, "x", "", None, []])
small = st.integers(-3, 8)
OF_NUMBERS = {"ge": small, "gt": small, "le": small, "lt": small, "isin": st.lists(small, min_size=1, max_size=3)}


def column(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    common = {"nullable": st.booleans(), "unique": st.booleans()}
    of_text = {
        "isin": st.lists(words.filter(lambda text: text.isascii() and text.isprintable()), min_size=1, max_size=3),
        "pattern": st.sampled_from(["a", "^a", "b$", "^[0-9.-]+$"]),
        "references": st.just({"file": "known.csv", "column": "id"}),
    }
    rules = {
        "string": of_text,
        "integer": {**OF_NUMBERS, "references": of_text["references"]},
        "float": OF_NUMBERS,
        "timestamp": {},
        "boolean": {},
    }[kind]
    needed = {"type": st.just(kind)} | ({"formats": st.just(["%Y-%m-%d", "epoch_ms"])} if kind == "timestamp" else {})
    return st.fixed_dictionaries(needed, optional=common | rules)


contracts = st.dictionaries(
    st.sampled_from(["c1", "c2", "c3"]),
    st.sampled_from(["string", "integer", "float", "boolean", "timestamp"]).flatmap(column),
    max_size=3,
)
good = {"id": "1", "user": "ann", "ts": "2026-01-01", "type": "view"}
changed = st.fixed_dictionaries(
    {},
    optional={"id": words | st.none(), "user": scalars, "type": values, "ts": times}
    | dict.fromkeys(["c1", "c2", "c3"], values)
    | dict.fromkeys(["x", "y"], values),
)
rows = st.builds(lambda fields: json.dumps({**good, **fields}).encode(), changed)
broken = st.sampled_from([b"", b"{", b"[1]", b"null", b'{"id": "1"'])


def with_known(columns: Columns, texts: list[str], integers: list[int]) -> dict[str, list[str]]:
    known = {"string": texts, "integer": list(map(str, integers))}
    return {name: known[column["type"]] for name, column in columns.items() if "references" in column}


@pytest.mark.slow
@settings(max_examples=150)
@given(
    contracts,
    st.lists(rows | rows | rows | broken, min_size=1, max_size=8),
    st.sampled_from(["keep", "reject", "drop"]),
    st.lists(st.sampled_from(["a", "7", "é"]), min_size=1),
    st.lists(small, min_size=1),
)
@example({"c1": {"type": "string", "unique": True}}, [json.dumps({**good, "c1": c, "x": x}).encode() for c, x in
         [("a", 1), ("a", 2), ("b", 1), ("b", 2)]], "keep", ["a"], [1])  # fmt: skip
def test_a_rejected_row_has_all_of_its_reasons(
    more: Columns, payloads: list[bytes], extra: str, texts: list[str], integers: list[int]
) -> None:
    columns = {**NEEDED, **more}
    assert_all_reasons(payloads, columns, extra, with_known(columns, texts, integers))


# Planted defects: each of them turns the comparison red ---------------------------------------------------

TWICE_WRONG = [json.dumps({**good, "user": None, "c1": 99}).encode()]
STRICT = {**NEEDED, "c1": {"type": "integer", "le": 8, "isin": [1, 2]}}


def test_the_rows_for_the_planted_defects_are_validated_correctly() -> None:
    assert_all_reasons(TWICE_WRONG, STRICT, "keep", {})
    assert len(validated(TWICE_WRONG, STRICT, "keep", {})[1]) == 3


def test_a_lost_reason_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    reasons_by_row = validating._reasons_by_row
    first_alone = pl.col("reasons").list.head(1)
    monkeypatch.setattr(
        validating, "_reasons_by_row", lambda *frames: reasons_by_row(*frames).with_columns(reasons=first_alone)
    )
    with pytest.raises(AssertionError):
        assert_all_reasons(TWICE_WRONG, STRICT, "keep", {})


def test_a_lost_second_reason_of_a_column_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    explained = validating._explained
    monkeypatch.setattr(
        validating, "_explained", lambda *cases: explained(*cases).unique(["_row", "column"], keep="first")
    )
    with pytest.raises(AssertionError):
        assert_all_reasons(TWICE_WRONG, STRICT, "keep", {})


def test_a_lost_reason_of_a_conflicting_row_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    once = {**NEEDED, "c1": {"unique": True}}
    conflict = [json.dumps({**good, "c1": "a", "x": x}).encode() for x in (1, 2)]
    assert_all_reasons(conflict, once, "keep", {})
    monkeypatch.setattr(deduplicating, "_after_first_value", lambda rows, *_: rows.clear())
    with pytest.raises(AssertionError):
        assert_all_reasons(conflict, once, "keep", {})
