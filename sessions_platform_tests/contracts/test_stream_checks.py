"""Rules that relate two keys, at the values where they begin to apply."""

from typing import Any

import pytest

from sessions_platform.contracts.stream_checks import RESERVED, Issue, cross_key_issues

VALID: dict[str, Any] = {
    "name": "web",
    "start": "2026-01-01",
    "source": {"files": "landing/*.csv", "format": "csv"},
    "columns": {"user_id": {}, "event_timestamp": {"formats": ["%+"]}, "event_type": {}},
}


def issues(**keys: Any) -> list[Issue]:
    return list(cross_key_issues({**VALID, **keys}))


def issues_of_column(column: dict[str, Any]) -> list[tuple[str, str]]:
    """Key and reason of each issue of a column."""
    found = issues(columns={**VALID["columns"], "amount": column})
    assert all(issue.key_path[:2] == ("columns", "amount") for issue in found)
    return [(".".join(issue.key_path[2:]), issue.reason) for issue in found]


def keys_of(found: list[Issue]) -> list[str]:
    return [".".join(issue.key_path) for issue in found]


def test_a_valid_file_has_no_issue() -> None:
    assert issues() == []


@pytest.mark.parametrize(("file_format", "broken"), [("ndjson", []), ("json", []), ("query", ["source.events"])])
def test_json_is_taken_apart_through_arrays(file_format: str, broken: list[str]) -> None:
    source = {"files": "landing/*", "format": file_format, "events": "[].actionDetails"}
    assert keys_of(issues(source=source)) == broken


def test_whatever_the_keys_are_no_rule_fails() -> None:
    for value in (None, 1, "x", [], {}):
        for key in (
            "name",
            "start",
            "end",
            "source",
            "landing",
            "columns",
            "session",
            "rejected",
            "sequence",
            "duplicates",
            "identity",
            "skip",
            "targets",
        ):
            assert isinstance(issues(**{key: value}), list)


@pytest.mark.parametrize(
    ("column", "broken"),
    [
        # Whole numbers
        ({"type": "integer", "ge": 1, "le": 1}, []),
        ({"type": "integer", "gt": 0, "lt": 2}, []),
        ({"type": "integer", "gt": 0, "lt": 1}, ["lt"]),
        ({"type": "integer", "gt": 0.5, "lt": 1.5}, []),
        ({"type": "integer", "gt": 1, "le": 2}, []),
        ({"type": "integer", "ge": 1, "lt": 2}, []),
        ({"type": "integer", "ge": 2, "lt": 2}, ["lt"]),
        ({"type": "integer", "ge": 1.1, "le": 1.9}, ["le"]),
        ({"type": "integer", "ge": 1.1, "le": 2}, []),
        ({"type": "integer", "ge": 1, "le": 1.9}, []),
        ({"type": "integer", "ge": -1.9, "le": -1.1}, ["le"]),
        ({"type": "integer", "gt": -1, "lt": 1}, []),
        # Fractions
        ({"type": "float", "ge": 1, "le": 1}, []),
        ({"type": "float", "gt": 1, "le": 1}, ["le"]),
        ({"type": "float", "ge": 1, "lt": 1}, ["lt"]),
        ({"type": "float", "gt": 0, "lt": 1}, []),
        ({"type": "float", "ge": 2, "le": 1}, ["le"]),
        ({"type": "float", "ge": 0, "gt": 1, "le": 1}, ["le"]),
        ({"type": "float", "ge": 0, "le": 2, "lt": 0}, ["lt"]),
        ({"type": "float", "gt": 5}, []),
        ({"type": "float", "lt": 5}, []),
        ({"type": "float", "ge": float("inf")}, ["ge"]),
        ({"type": "float", "ge": float("nan"), "le": float("-inf")}, ["ge"]),
        # With values that are listed
        ({"type": "integer", "ge": 3, "isin": [3]}, []),
        ({"type": "integer", "ge": 3, "isin": [2]}, ["isin"]),
        ({"type": "integer", "gt": 3, "isin": [3]}, ["isin"]),
        ({"type": "integer", "gt": 3, "isin": [3, 4]}, []),
        ({"type": "float", "lt": 1, "isin": [1]}, ["isin"]),
        ({"type": "float", "le": 1, "isin": [1]}, []),
        ({"type": "float", "gt": 0, "le": 1, "isin": [0, 0.5]}, []),
    ],
)
def test_bounds_leave_a_number(column: dict[str, Any], broken: list[str]) -> None:
    assert [key for key, _ in issues_of_column(column)] == broken


@pytest.mark.parametrize(
    ("kind", "value", "fits"),
    [
        ("integer", 2**63 - 1, True),
        ("integer", 2**63, False),
        ("integer", -(2**63), True),
        ("integer", -(2**63) - 1, False),
        ("integer", True, False),
        ("integer", 1.0, False),
        ("float", 1.7976931348623157e308, True),
        ("float", -1.7976931348623157e308, True),
        ("float", 10**309, False),
        ("float", float("inf"), False),
        ("float", True, False),
        ("float", 1, True),
        ("string", "1", True),
        ("string", 1, False),
    ],
)
def test_listed_values_are_of_the_columns_type(kind: str, value: object, fits: bool) -> None:
    broken = [] if fits else [("isin", f"not all of its values are of type {kind}")]
    assert issues_of_column({"type": kind, "isin": [value]}) == broken


@pytest.mark.parametrize("kind", ["boolean", "timestamp"])
def test_values_of_other_types_are_not_listed(kind: str) -> None:
    column = {"type": kind, "isin": [True], **({"formats": ["%+"]} if kind == "timestamp" else {})}
    assert issues_of_column(column) == [("isin", f"values of type {kind} can't be listed")]


REFERENCE = {"file": "a.csv", "column": "id"}


@pytest.mark.parametrize(
    ("column", "broken"),
    [
        ({"type": "string", "references": REFERENCE}, []),
        ({"type": "integer", "references": REFERENCE}, []),
        ({"type": "float", "references": REFERENCE}, ["references"]),
        ({"references": {"table": "a.b", "file": None, "column": "id"}}, []),
        ({"references": {"table": "a.b", "file": "a.csv", "column": "id"}}, ["references"]),
        ({"references": {"column": "id"}}, ["references"]),
        ({"references": "a.csv"}, ["references"]),
        ({"references": None}, []),
        ({"formats": ["%+"]}, ["formats"]),
        ({"formats": None}, []),
        ({"type": "timestamp", "formats": ["%+"]}, []),
        ({"type": "timestamp"}, [""]),
        ({"type": "timestamp", "formats": ["%+"], "ge": 1}, ["ge"]),
        ({"pattern": "a"}, []),
        ({"type": "integer", "pattern": "a"}, ["pattern"]),
        ({"type": "timestamp", "formats": ["iso8601", "epoch_s", "epoch_ms", "epoch_us", "epoch_ns"]}, []),
        ({"type": "timestamp", "formats": ["epoch_s", "epoch_s_local"]}, ["formats"]),
        ({"type": "timestamp", "formats": ["epoch_s_local"], "timezone": "Europe/Berlin"}, []),
        ({"type": "timestamp", "formats": ["epoch_ns"], "timezone": "Europe/Berlin"}, ["timezone"]),
        ({"type": "timestamp", "formats": ["epoch_s", "%+", "epoch_ms", "epoch_us"]}, []),
        ({"type": "timestamp", "formats": ["epoch_ms", "%+", "epoch_s"]}, ["formats"]),
        ({"type": "timestamp", "formats": ["epoch_s", "epoch_us", "epoch_ms"]}, ["formats"]),
        ({"type": "timestamp", "formats": ["epoch_s"], "timezone": "Europe/Berlin"}, ["timezone"]),
        ({"type": "timestamp", "formats": ["epoch_s", "%F"], "timezone": "Europe/Berlin"}, []),
        ({"case": "lower", "unicode": "NFC", "trim": True, "nulls": ["-"]}, []),
        ({"decode": "percent", "split": {"separator": ",", "part": -1}, "extract": "a(b)"}, []),
        ({"type": "integer", "decode": "plus", "bytes": "hex"}, ["bytes", "decode"]),
        ({"bytes": "hex", "extract": "a"}, ["extract"]),
        ({"default": "none"}, []),
        ({"type": "integer", "default": "0"}, []),
        ({"type": "timestamp", "formats": ["%+"], "default": "x"}, ["default"]),
        ({"type": "boolean", "words": {"true": [1]}}, []),
        ({"words": {"true": [1]}}, ["words"]),
        ({"type": "integer", "case": "lower"}, ["case"]),
        ({"type": "float", "unicode": "NFC", "trim": True, "nulls": ["-"]}, ["unicode"]),
        ({"type": "boolean", "le": 1, "gt": 0}, ["gt"]),
        ({"type": "no such type", "le": 1}, []),
        ({"from": "a", "join": ["a", "b"]}, ["join"]),
        ({"from": None, "join": ["a", "b"]}, []),
    ],
)
def test_rules_belong_to_types(column: dict[str, Any], broken: list[str]) -> None:
    assert [key for key, _ in issues_of_column(column)] == broken


def test_platform_columns_have_their_types_and_are_never_null() -> None:
    for name, kind in {"event_id": "string", "user_id": "string", "event_type": "string"}.items():
        columns = {**VALID["columns"], name: {"type": kind, "nullable": True}}
        never_null = [f"columns.{name}.nullable"] if name != "event_id" else []  # it is derived where it is null
        assert keys_of(issues(columns=columns)) == never_null
        assert keys_of(issues(columns={**VALID["columns"], name: {"type": "integer"}})) == [f"columns.{name}.type"]
    assert keys_of(issues(columns={**VALID["columns"], "page_url": {"nullable": True, "type": "string"}})) == []
    assert keys_of(issues(columns={})) == ["columns.user_id", "columns.event_timestamp", "columns.event_type"]


@pytest.mark.parametrize(
    ("name", "valid"),
    [("public", False), ("information_schema", False), ("sessions_platform", False), ("pg_a", False), ("pga", True)],
)
def test_a_stream_has_no_schema_of_postgresqls(name: str, valid: bool) -> None:
    assert keys_of(issues(name=name)) == ([] if valid else ["name"])


def test_reserved_names_are_those_that_rows_events_sessions_and_postgresql_have() -> None:
    assert "user_id" not in RESERVED
    named = {"payload", "parse_errors", "reasons", "properties", "session_id", "session_start", "open_until", "is_open"}
    assert named | {"is_first", "loaded_at", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"} <= RESERVED


@pytest.mark.parametrize(
    ("aggregate", "broken"),
    [
        ({"sum": "amount"}, []),
        ({"sum": "count"}, []),
        ({"sum": "page"}, [".sum"]),
        ({"max": "page"}, []),
        ({"count": "event_id"}, []),
        ({"count": "missing"}, [".count"]),
        ({"median": "missing"}, []),
        ({"sum": 3}, []),
        ({"sum": None}, [""]),
        ({}, [""]),
        ({"sum": "amount", "max": "amount"}, [""]),
        ("amount", [""]),
        ({"most_frequent": "page"}, []),
        ({"any": "page"}, [".any"]),
        ({"sum": "amount", "where": {"page": "/a", "count": [1, 2], "amount": 1}}, []),
        ({"where": {"page": "/a"}}, [""]),
        ({"sum": "amount", "where": {"missing": 1}}, [".where"]),
        ({"sum": "amount", "where": {"count": ["1"]}}, [".where"]),
        ({"sum": "amount", "where": {"count": True}}, [".where"]),
        ({"sum": "amount", "where": {"event_timestamp": "2026-01-01"}}, [".where"]),
    ],
)
def test_an_aggregate_has_one_function_of_one_column(aggregate: object, broken: list[str]) -> None:
    columns = {**VALID["columns"], "amount": {"type": "float"}, "count": {"type": "integer"}, "page": {}}
    found = issues(columns=columns, session={"columns": {"total": aggregate}})
    assert keys_of(found) == [f"session.columns.total{key}" for key in broken]
    for name in ("user_id", "session_id"):
        taken = issues(columns=columns, session={"columns": {name: {"sum": "amount"}}})
        assert keys_of(taken) == [f"session.columns.{name}"]


@pytest.mark.parametrize(
    ("session", "broken"),
    [
        ({"views": "view", "conversions": {"buy": {"value": "amount"}}, "engaged": {"like": "ga4"}}, []),
        ({"views": ["view", "see"]}, ["views"]),
        ({"conversions": {"sale": {}}}, ["conversions.sale"]),
        ({"conversions": {"sale": {"event_type": ["buy", "sold"]}}}, ["conversions.sale"]),
        ({"conversions": {"buy": {"value": "missing"}}}, ["conversions.buy.value"]),
        ({"conversions": {"buy": {"value": "page"}}}, ["conversions.buy.value"]),
        ({"conversions": {"buy": {}}, "columns": {"buy_count": {"count": "page"}}}, ["conversions.buy"]),
        ({"conversions": {"event": {"event_type": "buy"}}}, ["conversions.event"]),
        ({"engaged": {"like": "snowplow", "pings": ["ping"]}}, ["engaged.pings"]),
        ({"bounce": "one_event", "columns": {"is_bounce": {"count": "page"}}}, ["columns.is_bounce"]),
        ({"columns": {"is_bounce": {"count": "page"}}}, []),
        ({"views": {"a": 1}, "conversions": [1], "engaged": "ga4", "bounce": 3}, ["views"]),
    ],
)
def test_what_sessions_led_to_is_told_by_event_types_and_columns_that_there_are(
    session: dict[str, object], broken: list[str]
) -> None:
    columns = {**VALID["columns"], "amount": {"type": "float"}, "page": {}}
    columns["event_type"] = {**columns["event_type"], "isin": ["view", "buy"]}
    assert keys_of(issues(columns=columns, session=session)) == [f"session.{key}" for key in broken]


def test_the_column_whose_turns_cut_is_one_of_the_streams() -> None:
    named = keys_of(issues(session={"cut_on": {"column": "missing", "when": "changes"}}))
    assert named == ["session.cut_on.column"]


@pytest.mark.parametrize(
    ("sequence", "campaign"), [("missing", None), (None, "missing"), ("event_type", "user_id"), ("position", None)]
)
def test_a_column_that_is_named_is_one_of_the_streams(sequence: str | None, campaign: str | None) -> None:
    keys = keys_of(issues(sequence=sequence, session={"campaign": campaign}))
    expected = {"sequence": sequence, "session.campaign": campaign}
    assert keys == [key for key, name in expected.items() if name == "missing"]


@pytest.mark.parametrize(
    ("duplicates", "broken"),
    [
        ({"compare": "id", "keep": "last"}, []),
        ({"compare": ["event_type", "properties"]}, []),
        ({"compare": ["kind"]}, ["duplicates.compare"]),
        ({"ignore": ["sentAt", "event_type"]}, []),
        ({"ignore": ["sentAt"], "compare": "id"}, ["duplicates.ignore"]),
        ({"ignore": ["stamp"]}, ["duplicates.ignore"]),
    ],
)
def test_what_is_compared_of_duplicates_is_there(duplicates: dict[str, Any], broken: list[str]) -> None:
    columns = {**VALID["columns"], "received": {"from": ["stamp", "received_at"]}}
    assert keys_of(issues(columns=columns, duplicates=duplicates)) == broken


@pytest.mark.parametrize(
    ("keys", "broken"),
    [
        ({"identity": {"anonymous_id": "device", "user_id": "user_id"}}, []),
        ({"identity": {"anonymous_id": "device", "user_id": "account"}}, ["identity.user_id"]),
        ({"identity": {"anonymous_id": "device", "user_id": "device"}}, ["identity.user_id"]),
        (
            {"identity": {"anonymous_id": "event_timestamp", "user_id": "amount"}},
            ["identity.anonymous_id", "identity.user_id"],
        ),
        ({"identity": {"anonymous_id": "device"}, "pseudonymize": {"user_id": "hmac"}}, ["identity.anonymous_id"]),
        (
            {
                "identity": {"anonymous_id": "device", "user_id": "user_id"},
                "pseudonymize": {"user_id": "hmac", "device": "hmac"},
            },
            [],
        ),
        (
            {
                "identity": {"anonymous_id": "device", "user_id": "user_id"},
                "session": {"columns": {"person_id": {"last": "device"}}},
            },
            ["session.columns.person_id"],
        ),
        ({"identity": [], "pseudonymize": []}, []),
    ],
)
def test_both_ids_of_an_identity_are_columns_of_one_spelling(keys: dict[str, Any], broken: list[str]) -> None:
    columns = {**VALID["columns"], "device": {"nullable": True}, "amount": {"type": "float"}}
    assert keys_of(issues(columns=columns, **keys)) == broken


def test_local_times_of_orc_need_a_zone() -> None:
    source = {**VALID["source"], "format": "orc"}
    assert keys_of(issues(source=source)) == ["columns.event_timestamp"]
    column = {**VALID["columns"]["event_timestamp"], "timezone": "Europe/Berlin"}
    assert keys_of(issues(source=source, columns={**VALID["columns"], "event_timestamp": column})) == []


def test_a_rule_of_skip_names_a_column() -> None:
    assert keys_of(issues(skip=[{"column": "event_type", "isin": ["x"]}, {"payload": "^#"}])) == []
    assert keys_of(issues(skip=[{"column": "status", "isin": ["x"]}])) == ["skip"]


@pytest.mark.parametrize(
    ("warn", "fail", "valid"),
    [("1%", "1%", True), ("1.000001%", "1%", False), ("0%", "0%", True), ("1%", None, True), (None, "1%", True)],
)
def test_a_warning_comes_no_later_than_the_failure(warn: str | None, fail: str | None, valid: bool) -> None:
    thresholds = {"warn_above": warn, "fail_above": fail}
    assert keys_of(issues(rejected=thresholds)) == ([] if valid else ["rejected.warn_above"])
    of_reason = issues(rejected={"by_reason": {"bad_text": thresholds, "malformed": None}})
    assert keys_of(of_reason) == ([] if valid else ["rejected.by_reason.bad_text.warn_above"])


@pytest.mark.parametrize(
    ("options", "broken"),
    [
        ({}, []),
        ({"separator": "\t"}, []),
        ({"separator": "\n"}, ["separator"]),
        ({"separator": "\r"}, ["separator"]),
        ({"separator": "§"}, ["separator"]),
        ({"separator": "§", "encoding": "latin-1"}, []),
        ({"separator": "§", "encoding": "ascii"}, ["separator"]),
        ({"separator": "§", "encoding": "unknown"}, []),
        ({"separator": "§", "encoding": 3}, []),
        ({"separator": "||"}, []),
        ({"separator": ""}, []),
        ({"quote": None}, []),
        ({"quote": ","}, ["quote"]),
        ({"separator": '"'}, ["separator"]),
        ({"separator": ";", "quote": ";"}, ["separator"]),
        ({"quote": "„"}, ["quote"]),
    ],
)
def test_separator_and_quote_are_two_single_bytes(options: dict[str, Any], broken: list[str]) -> None:
    found = issues(source={**VALID["source"], **options})
    assert keys_of(found) == [f"source.{key}" for key in broken]


@pytest.mark.parametrize(
    ("keys", "broken"),
    [
        ({"end": "2026-01-02"}, []),
        ({"end": "2026-01-01"}, ["end"]),
        ({"end": "2025-12-31"}, ["end"]),
        ({"end": "2026-01-03", "landing": {"start": "2026-01-02"}}, []),
        ({"end": "2026-01-03", "landing": {"start": "2026-01-03"}}, ["landing.start"]),
        ({"end": "2026-01-03", "landing": {"start": "2026-01-04"}}, ["landing.start"]),
        ({"end": "2026-01-01", "landing": {"start": "2026-01-04"}}, ["end"]),
        ({"landing": {"start": "2026-01-04"}}, []),
    ],
)
def test_a_stream_ends_after_it_begins(keys: dict[str, Any], broken: list[str]) -> None:
    assert keys_of(issues(**keys)) == broken


@pytest.mark.parametrize(
    ("landing", "placeholder", "valid"),
    [
        ({}, "%Y-%m-%d", True),
        ({}, "%Y-%m", False),
        ({"partition": "monthly"}, "%Y-%m", True),
        ({"partition": "hourly"}, "%Y-%m-%d", False),
        ({"partition": "yearly"}, "%Y", True),
        ({"partition": 3}, "%Y", True),
    ],
)
def test_the_placeholder_distinguishes_partitions(landing: dict[str, Any], placeholder: str, valid: bool) -> None:
    source = {"files": f"in/{{partition:{placeholder}}}/*.csv", "format": "csv"}
    assert keys_of(issues(source=source, landing=landing)) == ([] if valid else ["source.files"])


@pytest.mark.parametrize(
    ("session", "keys", "valid"),
    [
        ({"timezone": "Europe/Berlin"}, {}, True),
        ({"timezone": "Europe/Berlin", "partition": "hourly"}, {}, False),
        ({"timezone": "UTC", "partition": "hourly"}, {}, True),
        ({"timezone": "Mars"}, {}, True),
        ({"timezone": "America/St_Johns"}, {"start": "2010-11-07"}, False),
        ({"timezone": "America/St_Johns"}, {"start": "2010-11-08"}, True),
        ({"timezone": "America/St_Johns"}, {"start": "2010-11-01", "end": "2010-11-07"}, True),
        ({"timezone": "America/St_Johns"}, {"start": "2010-11-01", "end": "2010-11-08"}, False),
    ],
)
def test_the_dates_of_a_timezone_are_whole(session: dict[str, Any], keys: dict[str, Any], valid: bool) -> None:
    assert keys_of(issues(session=session, **keys)) == ([] if valid else ["session.timezone"])


@pytest.mark.parametrize("key", ["path", "home"])
def test_attributes_of_the_model_are_not_keys_of_the_file(key: str) -> None:
    assert issues(**{key: "x"}) == [Issue((key,), "the key is not known", "remove it")]


@pytest.mark.parametrize(
    ("source", "column", "key", "reason"),
    [
        ({"format": "csv", "events": "batch"}, {}, ("source", "events"), "has no arrays"),
        ({"format": "json", "encoding": "shift_jis"}, {}, ("source", "encoding"), "brackets or quotes"),
        ({"format": "ndjson"}, {"from": "^sentAt"}, ("columns", "x", "from"), "rows have none"),
        ({"format": "json", "events": "[]"}, {"join": ["a", "^b"]}, ("columns", "x", "join"), "rows have none"),
    ],
)
def test_options_of_json_that_can_not_be_meant(
    source: dict[str, Any], column: dict[str, Any], key: tuple[str, ...], reason: str
) -> None:
    found = [issue for issue in cross_key_issues({"source": source, "columns": {"x": column}}) if issue.key_path == key]
    assert [reason in issue.reason for issue in found] == [True]


def test_an_envelope_may_be_read_where_there_is_one() -> None:
    raw = {"source": {"format": "ndjson", "events": "batch"}, "columns": {"x": {"from": ["a", "^b"]}}}
    assert not [
        issue for issue in cross_key_issues(raw) if issue.key_path[0] in {"source", "columns"} and "^" in issue.reason
    ]


def pattern_issues(pattern: str | None, columns: dict[str, Any] | None = None, **source: Any) -> list[tuple[str, str]]:
    read = {"files": "*", "format": "regex", **({} if pattern is None else {"pattern": pattern}), **source}
    stated = columns or {name: {**column, "from": "a"} for name, column in VALID["columns"].items()}
    found = issues(source=read, columns=stated)
    return [(".".join(issue.key_path), issue.reason) for issue in found]


def test_the_pattern_of_a_regex_names_the_fields_of_all_columns() -> None:
    assert pattern_issues("(?P<a>x)") == []
    assert pattern_issues("(?<a>x)|(?<b.c>y)", {**VALID["columns"], "user_id": {"from": ["a", "b.c"]}})[:1] == [
        ("columns.event_timestamp.from", "the pattern has no group 'event_timestamp'")
    ]
    assert pattern_issues(None) == [("source", "the format regex has no pattern")]
    assert pattern_issues("(x)") == [("source.pattern", "no group of it has a name")]
    assert pattern_issues("(?P<a>x)", format="ndjson")[:1] == [("source.pattern", "the format ndjson has no pattern")]
    joined = {name: {**column, "join": ["a", "x.(y|z)"]} for name, column in VALID["columns"].items()}
    assert pattern_issues("(?P<a>x)", joined)[:2] == [
        ("columns.user_id.join", "the pattern has no group 'x.y'"),
        ("columns.user_id.join", "the pattern has no group 'x.z'"),
    ]


def test_columns_read_what_the_nested_pattern_has_groups_for() -> None:
    nested = {"field": "log", "format": "regex", "pattern": "(?P<a>x)"}
    of = {name: {**column, "from": ["log.a", "log.b"]} for name, column in VALID["columns"].items()}
    assert pattern_issues(None, {**of, "user_id": {"from": "log"}}, format="ndjson", parse=nested)[:2] == [
        ("columns.user_id.from", "'log' is an object of the fields that parse cuts"),
        ("columns.event_timestamp.from", "the pattern has no group 'b'"),
    ]
    assert pattern_issues(None, of, format="ndjson", parse={**nested, "format": "json"}) == [
        ("source.parse.pattern", "the format json has no pattern")
    ]
    assert pattern_issues(None, of, format="ndjson", parse={"field": "log", "format": "regex"}) == [
        ("source.parse", "the format regex has no pattern")
    ]


@pytest.mark.parametrize(
    ("session", "key", "reason"),
    [
        ({"id": "sid"}, None, None),
        ({"id": "sid", "id_within": "2h", "passive": ["view"]}, None, None),
        ({"id": "missing"}, "id", "there is no column 'missing'"),
        ({"id": "amount"}, "id", "amount is no id, but a float"),
        ({"id": "user_id"}, "id", "user_id is no session's id"),
        ({"id_within": "2h"}, "id_within", "it is how long an id may be silent, and the rule names no id"),
        (
            {"id": "sid", "columns": {"tool_session_id": {"first": "sid"}}},
            "columns.tool_session_id",
            "the sessions table has a column of that name, with the tool's id",
        ),
        ({"passive": ["other"]}, "passive", "event_type is never 'other', for isin does not list it"),
        ({"passive": ["view", "buy"]}, "passive", "no event could open a session"),
    ],
)
def test_a_tools_id_is_a_column_of_ids_and_passive_types_are_some_of_the_types(
    session: dict[str, Any], key: str | None, reason: str | None
) -> None:
    more = {"sid": {"type": "integer"}, "amount": {"type": "float"}, "event_type": {"isin": ["view", "buy"]}}
    found = issues(columns={**VALID["columns"], **more}, session=session)
    expected = [] if reason is None else [(f"session.{key}", reason)]
    assert [(".".join(issue.key_path), issue.reason) for issue in found] == expected


@pytest.mark.parametrize(
    ("minus", "reason"),
    [
        ({"column": "took", "unit": "s"}, None),
        ({"column": "other", "unit": "s"}, "there is no column 'other'"),
        ({"column": "new", "unit": "s"}, "new is no duration, but a boolean"),
        ({"column": "event_timestamp", "unit": "s"}, "event_timestamp is no duration, but a timestamp"),
    ],
)
def test_what_is_subtracted_is_a_column_of_durations(minus: dict[str, str], reason: str | None) -> None:
    more = {"took": {"type": "float"}, "new": {"type": "boolean"}}
    timed = {**VALID["columns"], **more, "event_timestamp": {"formats": ["%+"], "minus": minus}}
    expected = [] if reason is None else [("columns.event_timestamp.minus.column", reason)]
    assert [(".".join(issue.key_path), issue.reason) for issue in issues(columns=timed)] == expected


def test_only_a_timestamp_is_floored() -> None:
    assert issues_of_column({"floor": "1s"}) == [("floor", "only a timestamp is floored, this is string")]


def test_only_of_a_timestamp_a_duration_is_subtracted() -> None:
    column = {"minus": {"column": "user_id", "unit": "s"}}
    assert issues_of_column(column) == [("minus", "only of a timestamp a duration is subtracted, this is string")]


def test_only_a_timestamp_is_read_from_the_files_name_by_a_group() -> None:
    column = {"type": "timestamp", "formats": ["%Y%m%d"], "from_file_name": "x"}
    assert issues_of_column(column) == [("from_file_name", "it has no group")]
    assert issues_of_column({**column, "from_file_name": "(x)"}) == []
    assert issues_of_column({"from_file_name": "(x)"}) == [
        ("from_file_name", "only a timestamp is read from the file's name, this is string")
    ]
    of_file = {"event_timestamp": {"formats": ["%Y%m%d"], "from_file_name": "(x)"}}
    assert pattern_issues("(?P<a>x)", {"user_id": {"from": "a"}, "event_type": {"from": "a"}, **of_file}) == []


@pytest.mark.parametrize(
    ("one", "other", "is_free"),
    [
        ({"path": "out"}, {"path": "other"}, True),
        ({"path": "out"}, {"path": "out/more"}, True),
        ({"path": "out"}, {"path": "out"}, False),
        ({"path": "out"}, {"path": "./out/"}, False),
        ({"path": "a/../out"}, {"path": "out"}, False),
        ({"path": "s3://lake/shop"}, {"path": "s3://lake/shop/"}, False),
        ({"path": "s3://lake/shop"}, {"path": "s3://lake/web"}, True),
        ({"host": "db", "database": "shop"}, {"host": "db", "database": "web"}, True),
        ({"host": "db", "database": "shop"}, {"host": "db", "database": "shop", "prefix": "b_"}, True),
        ({"host": "db", "database": "shop"}, {"host": "db", "database": "shop", "port": 3307}, True),
        ({"host": "db", "database": "shop"}, {"host": "db", "database": "shop", "port": 3306, "prefix": ""}, False),
        ({"host": {"env": "DB"}, "database": "shop"}, {"host": {"env": "DB"}, "database": "shop"}, False),
        ({"host": "db"}, {"host": "db"}, True),  # the models say what is missing
        ({"path": 1}, {"path": 1}, True),
    ],
)
def test_two_targets_have_two_places(one: dict[str, Any], other: dict[str, Any], is_free: bool) -> None:
    assert keys_of(issues(targets={"a": one, "b": other})) == ([] if is_free else ["targets.b"])
