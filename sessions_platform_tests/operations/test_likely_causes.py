"""Where nearly all rows have one reason, its likely cause is named with the first value and what to write."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.operations.hints import need_attention
from sessions_platform.operations.likely_causes import RejectedSample, likely_cause
from sessions_platform.transforms.rejections import payload_bytes
from sessions_platform_tests.ingested import validate_file
from sessions_platform_tests.streams import PLAIN, stream

NDJSON: dict[str, Any] = {"files": "*", "format": "ndjson"}
CSV: dict[str, Any] = {"files": "*", "format": "csv"}


def csv(header: Any, **more: Any) -> dict[str, Any]:
    return {**CSV, "header": header, **more}


def event(ts: str = '"2026-01-01T10:00:00Z"', **fields: str) -> str:
    texts = {"id": '"1"', "user": '"ann"', "ts": ts, "type": '"view"', "url": "null", **fields}
    return "{" + ", ".join(f'"{name}": {text}' for name, text in texts.items()) + "}"


def timestamps(*texts: str) -> list[str]:
    return [event(text) for text in texts]


FORMATS = r'and formats has \["%\+", "epoch_ms"\]'


@pytest.mark.parametrize(
    ("texts", "fix"),
    [
        (['"2026/01/01 10:00"', '"2026/01/01 10:01"'], '"%Y/%m/%d %H:%M" to'),
        (['"2026-01-01 10:00:00"'], '"iso8601", or "%Y-%m-%d %H:%M:%S%.f" to .*, whichever the producer means'),
        (['"05/01/2026 10:00:00"'], '"%d/%m/%Y %H:%M:%S", or "%m/%d/%Y %H:%M:%S" to .*, whichever the producer means'),
        (['"05/01/2026 10:00:00"', '"31/01/2026 10:00:00"'], '"%d/%m/%Y %H:%M:%S" to .*, which reads it'),
        (['"01/Jan/2026:10:00:00 +0000"'], '"%d/%b/%Y:%H:%M:%S %z" to'),
        (['"yesterday"'], r"write a format that reads it into columns\.event_timestamp\.formats"),
    ],
)
def test_a_timestamp_is_told_with_a_format_that_would_read_it(tmp_path: Path, texts: list[str], fix: str) -> None:
    found = cause(tmp_path, NDJSON, timestamps(*texts), "bad_timestamp")
    assert re.match(rf"event_timestamp: the first value is {re.escape(texts[0])}, {FORMATS}\. Fix: .*{fix}", found), (
        found
    )


def test_an_epoch_is_told_by_the_years_that_it_means(tmp_path: Path) -> None:
    columns = {**PLAIN["columns"], "event_timestamp": {"from": "ts", "formats": ["%+"]}}
    for text, unit in (("1767261600", "epoch_s"), ("1767261600000", "epoch_ms"), ("1767261600000000", "epoch_us")):
        found = cause(tmp_path, NDJSON, timestamps(text), "bad_timestamp", columns=columns)
        assert f'the first value is "{text}"' in found
        assert f'add "{unit}" to columns' in found


LIST = csv(["id", "user", "ts", "type", "url"])
LOG = '1.2.3.4 - - [01/Jan/2026:10:00:00 +0000] "GET / HTTP/1.1" 200 5'


@pytest.mark.parametrize(
    ("source", "rows", "code", "said"),
    [
        (
            NDJSON,
            ["1;a;b", "2;b;c"],
            "malformed",
            "CSV with the separator ';'. Fix: write format: csv, separator: ';' in",
        ),
        (
            NDJSON,
            ["[", event() + ",", event(), "]"],
            "malformed",
            "JSON over several lines. Fix: write format: json in",
        ),
        (NDJSON, [f"[{event()}]"], "malformed", "an array in each line. Fix: write events: [] in"),
        (NDJSON, [LOG], "malformed", "it looks like a server's log. Fix: write format: regex, and a pattern in"),
        (
            NDJSON,
            ["user=ann ts=1", 'user=bob ts="2 3"'],
            "malformed",
            "it looks like logfmt. Fix: write format: logfmt",
        ),
        (NDJSON, ["", " "], "malformed", "the rows are blank lines. Fix: "),
        (NDJSON, ["what is this"], "malformed", 'the first row is "what is this": '),
        (LIST, ["1;a;x;v;/", "2;b;x;v;/"], "malformed", "the separator ';'. Fix: write separator: ';' in"),
        (LIST, ['{"a": 1, "b": 2}'], "malformed", "a JSON object in each line. Fix: write format: ndjson in"),
        (NDJSON, [event(user="null")], "missing_identity", "user, which is null or blank in these rows. Fix: add"),
        (NDJSON, timestamps('"2025-12-01T10:00:00Z"'), "before_start", "starts on 2026-01-01. Fix: write an earlier"),
        (
            NDJSON,
            timestamps("1767261600"),
            "before_start",
            "an epoch of another unit. Fix: write epoch_s in columns.ev",
        ),
        (NDJSON, timestamps('"2026-03-01T10:00:00Z"'), "future_timestamp", "later than its landing partition ends."),
    ],
)
def test_the_likely_cause_is_named(
    tmp_path: Path, source: dict[str, Any], rows: list[str], code: str, said: str
) -> None:
    found = cause(tmp_path, source, rows, code, ["id", "ts", "type", "uid", "url", "user"])
    assert said in found
    assert "\n" not in found
    assert found.endswith(".")


@pytest.mark.parametrize(
    ("fields", "shown", "fix"),
    [
        (["event", "ts", "uid"], None, "write from: uid in columns.user_id"),
        (["at", "kind", "usr"], None, "write from: usr in columns.user_id"),
        (["context.User-ID", "x"], None, "write from: context.User-ID in columns.user_id"),
        (["a", "b"], None, "correct columns.user_id.from"),
        ([f"f{n:02}" for n in range(20)], ", ".join(f"f{n:02}" for n in range(12)) + ", …", "correct columns.user_i"),
    ],
)
def test_a_field_that_no_row_has_is_told_beside_those_that_they_have(
    tmp_path: Path, fields: list[str], shown: str | None, fix: str
) -> None:
    said = f"user_id: it is read from user, which no row has; the rows have {shown or ', '.join(fields)}. Fix: {fix}"
    row = {name.partition(".")[0]: {"User-ID": "ann"} if "." in name else "1" for name in fields}
    assert cause(tmp_path, NDJSON, [json.dumps(row)], "missing_identity", ["user"]).startswith(said)
    reason = {"code": "missing_identity", "column": "user_id", "rule": "not null", "value": None}
    of_csv = stream(source=csv(fields))  # of which a payload has no names
    assert likely_cause("missing_identity", [RejectedSample("1,2", [reason], "a")], of_csv, fields).startswith(said)


def test_a_value_that_breaks_a_rule_is_told_beside_the_rule(tmp_path: Path) -> None:
    columns = {**PLAIN["columns"], "event_type": {"from": "type", "isin": ["buy"]}}
    found = cause(tmp_path, NDJSON, [event()], "not_allowed", columns=columns)
    assert found.startswith('event_type: the first value is "view"; expected was one of ')


def test_a_file_that_can_not_be_read_is_told_with_its_own_fix() -> None:
    reason = {"code": "unreadable_file", "column": "", "rule": "a. Fix: b", "value": None}
    sample = RejectedSample("copy", [reason], "in/x.csv")
    assert likely_cause("unreadable_file", [sample], stream()) == "the first file, in/x.csv: a. Fix: b."


def test_one_cause_is_looked_for_where_nearly_all_rows_have_one_reason_and_of_each_file() -> None:
    assert need_attention("malformed", 90, 100)
    assert not need_attention("malformed", 89, 100)
    assert not need_attention("malformed", 9, 9)
    assert need_attention("unreadable_file", 1, 100)


def cause(
    tmp_path: Path, source: dict[str, Any], rows: list[str], code: str, fields: list[str] | None = None, **changes: Any
) -> str:
    """The cause that is told of the rows of a file, all of which are rejected with a code."""
    of = stream(source=source, **changes)
    content = "".join(f"{row}\n" for row in rows).encode()
    rejected = validate_file(tmp_path / "file", content, of).rejected
    samples = [
        RejectedSample(payload_bytes(row["payload"], row["payload_encoding"]).decode(), row["reasons"], "a")
        for row in rejected.iter_rows(named=True)
    ]
    assert samples
    return likely_cause(code, samples, of, fields or [])
