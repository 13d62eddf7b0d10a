"""Access lines within a field: of a journal, of Docker, of Kubernetes and of syslog. Samples were written by hand."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.stream import Stream
from sessions_platform_tests.ingested import validate_file
from sessions_platform_tests.sources.test_access_logs import rules, values
from sessions_platform_tests.streams import stream

LINE = r'^ ?(?P<ip>\S+) (?P<user>\S+) "(?P<method>\S+) (?P<url>[^"]*)" (?P<status>\d+)$'


def nested(field: str, columns: dict[str, Any] | None = None, **source: Any) -> Stream:
    """A stream of records with an access line at a field."""
    parse = {"field": field, "format": "regex", "pattern": LINE, **source.pop("parse", {})}
    return stream(
        source={"files": "*", "format": "ndjson", "nulls": ["-"], **source, "parse": parse},
        columns={
            "user_id": {"from": [f"{field}.user", f"{field}.ip"]},
            "event_timestamp": {"from": "time", "formats": ["%+", "epoch_us"]},
            "event_type": {"from": f"{field}.method"},
            "page_url": {"from": f"{field}.url", "nullable": True},
            "status": {"from": f"{field}.status", "type": "integer", "nullable": True},
            **(columns or {}),
        },
    )


def ndjson(*rows: dict[str, Any]) -> bytes:
    return b"\n".join(json.dumps(row).encode() for row in rows)


JOURNAL_TIME = {"event_timestamp": {"from": "__REALTIME_TIMESTAMP", "formats": ["epoch_us"]}}
AT = "1767268800000001"


def test_a_journals_message_is_text_or_a_list_of_bytes_or_null(tmp_path: Path) -> None:
    rows = [
        {"__REALTIME_TIMESTAMP": AT, "MESSAGE": '1.2.3.4 ann "GET /a" 200', "_SYSTEMD_UNIT": "nginx.service"},
        {"__REALTIME_TIMESTAMP": AT, "MESSAGE": list('1.2.3.4 - "GET /é" 404\n'.encode())},
        {"__REALTIME_TIMESTAMP": AT, "MESSAGE": None},
        {"__REALTIME_TIMESTAMP": AT, "MESSAGE": list('1.2.3.4 - "GET /é" 404'.encode("latin-1"))},
        {"__REALTIME_TIMESTAMP": AT, "MESSAGE": "Started nginx."},
        {"__REALTIME_TIMESTAMP": AT, "MESSAGE": ["1", "2"]},
        {"__REALTIME_TIMESTAMP": AT},
        {"__REALTIME_TIMESTAMP": AT, "MESSAGE": list(b'1.2.3.4 a\0b "GET /" 200')},
        {"__REALTIME_TIMESTAMP": AT, "MESSAGE": [256]},
    ]
    taken = validate_file(tmp_path / "journal", ndjson(*rows), nested("MESSAGE", JOURNAL_TIME))
    assert values(taken, "user_id", "page_url", "status", "properties") == [
        ("ann", "/a", 200, '{"_SYSTEMD_UNIT":"nginx.service"}'),
        ("1.2.3.4", "/é", 404, None),
    ]
    assert rules(taken) == [
        (3, "missing_identity", "not null"),
        (3, "missing_value", "not null"),
        (4, "malformed", "MESSAGE: url is not UTF-8"),
        (5, "malformed", "MESSAGE: does not match the pattern; it does up to user, which ends at character 14"),
        (6, "malformed", "MESSAGE: it is a JSON array, no text"),
        (7, "missing_identity", "not null"),
        (7, "missing_value", "not null"),
        (8, "bad_text", "holds U+0000"),
        (9, "malformed", "MESSAGE: it is a JSON array, no text"),
    ]
    latin_1 = nested("MESSAGE", JOURNAL_TIME, invalid_utf8="latin-1")
    assert values(validate_file(tmp_path / "journal", ndjson(rows[3]), latin_1), "page_url") == [("/é",)]


def test_docker_json_file_and_syslog_in_json(tmp_path: Path) -> None:
    log = {"log": '1.2.3.4 ann "GET /a" 200\n', "stream": "stdout", "time": "2026-01-01T12:00:00.123456789Z"}
    syslog = {"time": "2026-01-01T12:00:01Z", "syslog": {"message": ' 1.2.3.4 bob "GET /b" 200'}}
    taken = validate_file(tmp_path / "log", ndjson(log), nested("log"))
    assert values(taken, "user_id", "properties") == [("ann", '{"stream":"stdout"}')]
    taken = validate_file(tmp_path / "log", ndjson(syslog), nested("syslog.message"))
    assert values(taken, "user_id", "page_url") == [("bob", "/b")]


def test_kubernetes_cri_around_json_or_logfmt(tmp_path: Path) -> None:
    cri = r"^(?P<time>\S+) (?P<stream>stdout|stderr) (?P<tag>[FP]) (?P<log>.*)$"
    columns = {
        "user_id": {"from": ["log.user.id", 'log."user.id"']},
        "event_type": {"from": "log.event"},
        "page_url": {"from": "log.page", "nullable": True},
        "status": {"from": "log.status", "type": "integer"},
    }
    inner = [
        ('{"user": {"id": "ann"}, "event": "view", "page": "/\\u00e9", "status": 200}', "json"),
        ('user.id=ann event=view page="/\\u00e9" status=200', "logfmt"),
    ]
    for text, form in inner:
        of = nested("log", columns, format="regex", pattern=cri, parse={"format": form, "pattern": None})
        content = f"2026-01-01T12:00:00.5Z stdout F {text}\n2026-01-01T12:00:01Z stderr F panic: x\n".encode()
        taken = validate_file(tmp_path / "cri", content * 3, of)
        assert values(taken, "user_id", "event_type", "page_url", "status")[0] == ("ann", "view", "/é", 200)
        assert (taken.events.height, taken.rejected.height) == (3, 3)
        assert taken.events["properties"].unique().to_list() == ['{"stream":"stdout","tag":"F"}']


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 300) | st.text('1. "GET/\0é\n', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "message"]), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=8)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "a.message", "time"]), JSON_VALUES, max_size=3), max_size=4))
def test_whatever_is_around_the_text_no_row_is_lost(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    validate_file(tmp_path_factory.getbasetemp() / "any", ndjson(*rows), nested("a.message"))
