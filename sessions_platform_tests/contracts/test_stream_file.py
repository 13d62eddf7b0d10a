"""Every problem of a stream's file is reported, with file, line, key, reason and fix."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import sessions_platform
from sessions_platform.contracts.json_schema import json_schema
from sessions_platform.contracts.schemas.events import events_schema
from sessions_platform.contracts.schemas.sessions import sessions_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import ConfigProblem, StreamError, load_stream
from sessions_platform.settings import DEMO_STREAMS

REPOSITORY = Path(sessions_platform.__file__).parent.parent
DEMO = DEMO_STREAMS / "web_shop.yaml"

GOOD = """\
name: web
start: 2026-01-01
source:
  files: landing/{partition:%Y-%m-%d}/*.ndjson.gz
  format: ndjson
landing: {partition: daily, start: 2026-01-01}
columns:
  event_id: {from: id}
  user_id: {from: [user.id, anonymous_id]}
  event_timestamp: {from: ts, formats: ["%+", epoch_ms], timezone: UTC}
  event_type: {from: event, isin: [login, view_page, add_to_cart, purchase]}
  page_url: {from: url, nullable: true}
  amount: {type: float, nullable: true, ge: 0}
  product_id: {nullable: true, references: {file: products.csv, column: id}}
extra_columns: keep
sequence: null
session:
  gap: 30m
  gap_inclusive: false
  partition: daily
  timezone: UTC
  primary_action: most_frequent
  columns: {total_amount: {sum: amount}, landing_page: {first: page_url}}
  max_future: 5m
rejected: {warn_above: 1%, fail_above: 20%, keep_for: 400d, by_reason: {missing_identity: {warn_above: 0.5%}}}
"""


def changed(old: str = "", new: str = "") -> str:
    """The good file with one piece changed, or with a line more."""
    assert old in GOOD
    return GOOD.replace(old, new, 1) if old else GOOD + new


def problems(content: str | bytes, folder: Path) -> list[ConfigProblem]:
    path = folder / "web.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        load_stream(path, home=folder)
    except StreamError as error:
        return error.problems
    return []


def test_a_good_file_makes_a_stream(tmp_path: Path) -> None:
    assert problems(GOOD, tmp_path) == []
    stream = load_stream(tmp_path / "web.yaml", home=tmp_path)
    assert (stream.name, stream.path, stream.session.gap) == (
        "web",
        tmp_path / "web.yaml",
        timedelta(minutes=30),
    )
    assert stream.columns["user_id"].paths("user_id") == ["user.id", "anonymous_id"]
    assert stream.columns["amount"].paths("amount") == ["amount"]
    assert not stream.derives_event_id


def test_what_is_not_stated_has_a_default(tmp_path: Path) -> None:
    columns = "{user_id: {}, event_timestamp: {formats: [epoch_s]}, event_type: {}}"
    path = tmp_path / "web.yml"
    path.write_text(f"name: web\nstart: 2026-01-01\nsource: {{files: '*.csv', format: csv}}\ncolumns: {columns}\n")
    stream = load_stream(path, home=tmp_path)
    assert stream.derives_event_id
    assert stream.first_moment == datetime(2026, 1, 1, tzinfo=UTC)
    assert stream.latest_moment("2026-01-01") == datetime(2026, 1, 2, 0, 5, tzinfo=UTC)
    assert stream.session_calendar == stream.landing_calendar


# Many problems at once -----------------------------------------------------------------------------------

TWELVE = """\
name: My Shop
start: 2026-01-10
end: 2026-01-01
source:
  files: landing/{date}/*.csv
  format: tsv
  encoding: utf-99
columns:
  user_id: {form: user}
  event_timestamp: {from: ts}
  page_url: {nullable: true, ge: 0, pattern: "("}
  session_id: {}
session:
  gap: half an hour
  timezone: Europe/Berln
  columns: {pages: {sum: page_url}}
"""
TWELVES_PROBLEMS = [  # line, key, what the fix contains
    (1, "name", "lower-case letters"),
    (3, "end", "a later day"),
    (5, "source.files", "{partition:%Y-%m-%d}"),
    (6, "source.format", "write 'ndjson', 'json', "),
    (7, "source.encoding", "utf-8"),
    (8, "columns.event_type", "add event_type"),
    (9, "columns.user_id.form", "did you mean from?"),
    (10, "columns.event_timestamp", "add formats"),
    (11, "columns.page_url.ge", "add type: float"),
    (11, "columns.page_url.pattern", "Rust syntax"),
    (12, "columns.session_id", "another name"),
    (14, "session.gap", "30m"),
    (15, "session.timezone", "Europe/Berlin"),
    (16, "session.columns.pages.sum", "integer or float"),
]


def test_all_problems_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    found = problems(TWELVE, tmp_path)
    reported = {(problem.line, problem.key): problem for problem in found}
    assert len(found) >= 10
    assert set(reported) == {(line, key) for line, key, _ in TWELVES_PROBLEMS}
    for line, key, fix in TWELVES_PROBLEMS:
        problem = reported[line, key]
        assert problem.file == tmp_path / "web.yaml"
        assert problem.reason
        assert fix in problem.fix
        shown = f"{tmp_path / 'web.yaml'}:{line}: {key}: {problem.reason}. Fix: {problem.fix}."
        assert str(problem) == shown
        assert "\n" not in shown


@pytest.fixture(scope="module")
def status_of_a_bad_folder(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    folder = tmp_path_factory.mktemp("streams of mine")
    (folder / "shop.yaml").write_text(TWELVE)  # its `name` can't be one, so that it is known by the file's
    variables = {"SESSIONS_STREAMS": str(folder), "SESSIONS_HOME": str(folder / "home")}
    command = [sys.executable, "-m", "sessions_platform", "status", "shop"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SESSIONS_")}
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**clean, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_line_prints_a_line_for_each_problem(
    status_of_a_bad_folder: subprocess.CompletedProcess[str],
) -> None:
    assert status_of_a_bad_folder.returncode == 2
    assert status_of_a_bad_folder.stdout == ""
    lines = status_of_a_bad_folder.stderr.splitlines()
    assert len(lines) == len(TWELVES_PROBLEMS)
    pattern = re.compile(r".*/streams of mine\d*/shop\.yaml:\d+: [\w.]+: .*\. Fix: .*\.")
    assert [line for line in lines if not pattern.fullmatch(line)] == []
    assert "Traceback" not in status_of_a_bad_folder.stderr


# One problem ---------------------------------------------------------------------------------------------

CSV = "format: csv\n  "
PAGE = "{from: url, nullable: true}"
AMOUNT = "{type: float, nullable: true, ge: 0}"
FORMATS = 'formats: ["%+", epoch_ms]'
SUM = "{sum: amount}"
EVENT = "{from: event, isin: [login, view_page, add_to_cart, purchase]}"


FILE = "{file: products.csv, column: id}"
REFERENCE = "columns.product_id.references"

# What it is, the file, the key, and what the fix says of it.
PROBLEMS: dict[str, tuple[str | bytes, str, str]] = {
    "unknown key": (changed("start: 2026-01-01", "strat: 2026-01-01"), "strat", "did you mean start?"),
    "unknown key of a column": (changed(PAGE, "{nulable: true}"), "columns.page_url.nulable", "nullable?"),
    "unknown key of the session": (changed("gap: 30m", "gpa: 30m"), "session.gpa", "did you mean gap?"),
    "unknown key of landing": (
        changed("{partition: daily", "{partitions: daily"),
        "landing.partitions",
        "partition?",
    ),
    "a name of ours for a key": (changed("{from: id}", "{from_: id}"), "columns.event_id.from_", "did you mean from?"),
    "unknown key of a reference": (
        changed(FILE, "{fiel: a.csv, column: id}"),
        f"{REFERENCE}.fiel",
        "did you mean file?",
    ),
    "a reference to nothing": (changed(FILE, "{column: id}"), REFERENCE, "name one of the two"),
    "a reference to two": (changed(FILE, "{file: a.csv, table: a.b, column: id}"), REFERENCE, "name one of the two"),
    "a reference in short": (changed(FILE, "products.csv"), REFERENCE, "write it as in {file: products.csv"),
    "a reference without a column": (changed(FILE, "{file: a.csv}"), f"{REFERENCE}.column", "add it"),
    "a reference of no format": (changed(FILE, "{file: a.xlsx, column: id}"), f"{REFERENCE}.file", ".csv, .feather"),
    "a table without a schema": (changed(FILE, "{table: a, column: id}"), f"{REFERENCE}.table", "public.products"),
    "a reference of a float": (changed("ge: 0}", f"references: {FILE}}}"), "columns.amount.references", "type: string"),
    "unknown key of rejected": (changed("{warn_above: 1%", "{warn_over: 1%"), "rejected.warn_over", "warn_above?"),
    "a share that is a number": (changed("{warn_above: 1%", "{warn_above: 0.01"), "rejected.warn_above", "as in 0.5%"),
    "more than all": (changed("fail_above: 20%", "fail_above: 101%"), "rejected.fail_above", "to 100%"),
    "less than nothing": (changed("fail_above: 20%", "fail_above: -1%"), "rejected.fail_above", "from 0%"),
    "a warning that never comes": (changed("{warn_above: 1%", "{warn_above: 21%"), "rejected.warn_above", "smaller"),
    "one of a reason": (
        changed("{warn_above: 0.5%}", "{warn_above: 2%, fail_above: 1%}"),
        "rejected.by_reason.missing_identity.warn_above",
        "smaller",
    ),
    "unknown reason": (changed("missing_identity:", "no_user:"), "rejected.by_reason.no_user", "'missing_identity'"),
    "unknown key of a reason": (
        changed("{warn_above: 0.5%}", "{warn: 1%}"),
        "rejected.by_reason.missing_identity.warn",
        "warn_above",
    ),
    "kept for no time": (changed("keep_for: 400d", "keep_for: 0d"), "rejected.keep_for", "longer than nothing"),
    "kept for ages": (changed("keep_for: 400d", "keep_for: 99999d"), "rejected.keep_for", "36500d at most"),
    "unknown function": (changed(SUM, "{summ: amount}"), "session.columns.total_amount.summ", "sum?"),
    "a key like none": (changed(new="zzz: 3\n"), "zzz", "known here: "),
    "missing key": (changed("start: 2026-01-01\n"), "start", "add it"),
    "missing key of the source": (changed("  format: ndjson\n"), "source.format", "add it"),
    "missing column": (changed(f"  event_type: {EVENT}\n"), "columns.event_type", "add event_type"),
    "a key twice": (changed(new="name: other\n"), "name", "keep one of the two"),
    "an inner key twice": (changed("gap: 30m", "gap: 30m\n  gap: 20m"), "session.gap", "keep one"),
    "not YAML": (changed(new="owners: [a\n"), "file", "correct the line"),
    "a tab": (changed(new="\tdescription: a\n"), "file", "correct the line"),
    "a Python tag": (changed(new="description: !!python/object:os.system {}\n"), "file", "correct the line"),
    "two documents": (changed(new="---\nname: second\n"), "file", "correct the line"),
    "not UTF-8": (changed(new="description: caf\xe9\n").encode("latin-1"), "file", "save it as UTF-8"),
    "empty": ("", "file", "begin with name:"),
    "a list": ("- a\n- b\n", "file", "begin with name:"),
    "no size": (changed("  files:", "  max_unpacked: 16\n  files:"), "source.max_unpacked", "as in 16GB"),
    "members nowhere": (changed("  files:", "  archive: ../*.json\n  files:"), "source.archive", "write a path within"),
    "no members": (
        changed("  files:", "  max_members: 0\n  files:"),
        "source.max_members",
        "write 1 or more",
    ),
    "a size of nothing": (changed("  files:", "  max_unpacked: 0GB\n  files:"), "source.max_unpacked", "as in 16GB"),
    "no duration": (changed("gap: 30m", "gap: 30 minutes"), "session.gap", "as in 30m"),
    "duration without a unit": (changed("gap: 30m", "gap: 30"), "session.gap", "a whole number and a unit"),
    "negative duration": (changed("gap: 30m", "gap: -1m"), "session.gap", "a whole number and a unit"),
    "no gap at all": (changed("gap: 30m", "gap: 0s"), "session.gap", "longer than nothing"),
    "less than a microsecond": (changed("gap: 30m", "gap: 0.0001ms"), "session.gap", "a whole number"),
    "bad max_future": (changed("max_future: 5m", "max_future: soon"), "session.max_future", "as in 30m"),
    "no timezone": (changed("  timezone: UTC", "  timezone: CEST"), "session.timezone", "Europe/Berlin"),
    "no timezone of a column": (
        changed("timezone: UTC}", "timezone: Mars}"),
        "columns.event_timestamp.timezone",
        "IANA",
    ),
    "unknown file format": (changed("format: ndjson", "format: xls"), "source.format", "'ndjson', 'json', 'csv'"),
    "formats of a text": (changed(PAGE, "{formats: ['%+']}"), "columns.page_url.formats", "remove it"),
    "no formats": (changed(f", {FORMATS}"), "columns.event_timestamp", 'formats: ["%+", epoch_ms]'),
    "no formats of another column": (
        changed(AMOUNT, "{type: timestamp}").replace("{sum: amount}", "{max: amount}"),
        "columns.amount",
        "add formats",
    ),
    "unknown epoch": (
        changed(FORMATS, "formats: [epoch_minutes]"),
        "columns.event_timestamp.formats",
        "epoch_s",
    ),
    "range of a text": (changed(PAGE, "{ge: 0}"), "columns.page_url.ge", "add type: float"),
    "range of a time": (
        changed("{from: ts,", "{lt: 9, from: ts,"),
        "columns.event_timestamp.lt",
        "remove it",
    ),
    "a bound that is no number": (changed("ge: 0}", "ge: zero}"), "columns.amount.ge", "write one, without quotes"),
    "no regular expression": (changed(PAGE, "{pattern: '('}"), "columns.page_url.pattern", "Rust syntax"),
    "a path that selects nothing": (changed(PAGE, "{from: 'x[key]'}"), "columns.page_url.from", "list[key=text]"),
    "a quote that does not end": (changed(PAGE, "{from: 'x.\"y'}"), "columns.page_url.from", "list[key=text]"),
    "several fields to join": (changed(PAGE, "{join: ['x.(a|b)', y]}"), "columns.page_url.join", "in from"),
    "a null among nulls": (changed(PAGE, "{nulls: [NULL]}"), "columns.page_url.nulls", 'as in nulls: ["-", "NULL"]'),
    "no look-ahead": (changed(PAGE, "{pattern: '(?=a)'}"), "columns.page_url.pattern", "Rust syntax"),
    "pattern of a number": (
        changed("{type: float,", "{pattern: a, type: float,"),
        "columns.amount.pattern",
        "remove it",
    ),
    "reserved column": (changed("page_url:", "session_id:"), "columns.session_id", "another name"),
    "column of the provenance": (changed("page_url:", "position:"), "columns.position", "another name"),
    "no name of a column": (changed("page_url:", "Page-URL:"), "columns.Page-URL", "lower-case"),
    "no name of a stream": (changed("name: web", "name: My Shop"), "name", "lower-case"),
    "a name of PostgreSQL's": (changed("name: web", "name: pg_shop"), "name", "another name"),
    "a word of SQL": (changed("name: web", "name: order"), "name", "as order_events"),
    "public": (changed("name: web", "name: public"), "name", "another name"),
    "reserved aggregate": (
        changed("total_amount:", "session_end:"),
        "session.columns.session_end",
        "another name",
    ),
    "sum of text": (changed(SUM, "{sum: page_url}"), "session.columns.total_amount.sum", "integer or float"),
    "unknown column": (
        changed(SUM, "{max: amonut}"),
        "session.columns.total_amount.max",
        "name one of event_id",
    ),
    "two functions": (
        changed(SUM, "{sum: amount, max: amount}"),
        "session.columns.total_amount",
        "{sum: amount}",
    ),
    "no function": (changed(SUM, "{}"), "session.columns.total_amount", "{sum: amount}"),
    "a column alone": (changed(SUM, "amount"), "session.columns.total_amount", "{sum: amount}"),
    "a function of nothing": (changed(SUM, "{sum: null}"), "session.columns.total_amount", "{sum: amount}"),
    "no such sequence": (changed("sequence: null", "sequence: seq"), "sequence", "name one of event_id"),
    "end before start": (changed("source:", "end: 2025-12-31\nsource:"), "end", "a later day"),
    "end at start": (changed("source:", "end: 2026-01-01\nsource:"), "end", "a later day"),
    "no header": (changed("format: ndjson", CSV + "header: false"), "source.header", "header: [user_id, ts]"),
    "unknown encoding": (changed("format: ndjson", CSV + "encoding: utf-99"), "source.encoding", "utf-8"),
    "utf-16": (
        changed("format: ndjson", CSV + "encoding: utf-16"),
        "source.encoding",
        "convert other files to UTF-8, as iconv -f utf-16 -t utf-8 does",
    ),
    "no text encoding": (changed("format: ndjson", CSV + "encoding: base64"), "source.encoding", "cp1252"),
    "separator": (changed("format: ndjson", CSV + "separator: '||'"), "source.separator", "1 character"),
    "isin": (changed("[login, view_page, add_to_cart, purchase]", "[]"), "columns.event_type.isin", "1"),
    "placeholder": (changed("{partition:%Y-%m-%d}", "{date}"), "source.files", "{partition:%Y-%m-%d}"),
    "half a placeholder": (changed("%Y-%m-%d}", "%Y-%m-%d"), "source.files", "{partition:%Y-%m-%d}"),
    "cadence": (changed("  partition: daily", "  partition: yearly"), "session.partition", "'weekly'"),
    "unknown cadence of landing": (
        changed("{partition: daily", "{partition: yearly"),
        "landing.partition",
        "'weekly'",
    ),
    "extra columns": (changed("extra_columns: keep", "extra_columns: hide"), "extra_columns", "'reject'"),
    "column type": (changed("type: float", "type: double"), "columns.amount.type", "'integer', 'float'"),
    "primary action": (changed("most_frequent", "often"), "session.primary_action", "most_frequent"),
    "no date": (changed("start: 2026-01-01", "start: yesterday"), "start", "2026-01-31"),
    "a time": (changed("start: 2026-01-01", "start: 2026-01-01 12:00:00"), "start", "2026-01-31"),
    "no date of landing": (changed("start: 2026-01-01}", "start: soon}"), "landing.start", "2026-01-31"),
    "join": (changed("{from: id}", "{from: id, join: [a, b]}"), "columns.event_id.join", "one of the two"),
    "a join of one": (changed("{from: id}", "{join: [a]}"), "columns.event_id.join", "list 2 or more"),
    "from nothing": (changed("{from: id}", "{from: []}"), "columns.event_id.from", "list 1 or more"),
    "null user": (
        changed("[user.id, anonymous_id]", "id, nullable: true"),
        "columns.user_id.nullable",
        "remove",
    ),
    "typed id": (changed("{from: id}", "{type: integer}"), "columns.event_id.type", "remove the type"),
    "local hours": (
        changed("daily\n  timezone: UTC", "hourly\n  timezone: Europe/Berlin"),
        "session.timezone",
        "UTC",
    ),
    "owners that are no list": (changed(new="owners: {a: 1}\n"), "owners", "owners: [team:shop]"),
    "words for numbers": (changed(AMOUNT, "{type: integer, isin: [one, two]}"), "columns.amount.isin", ""),
    "fractions for whole numbers": (changed(AMOUNT, "{type: integer, isin: [1.5]}"), "columns.amount.isin", ""),
    "words for times": (
        changed(AMOUNT, "{type: timestamp, formats: ['%+'], isin: [a]}").replace("{sum: amount}", "{max: amount}"),
        "columns.amount.isin",
        "remove it",
    ),
    "yes and no": (
        changed("[login, view_page, add_to_cart, purchase]", "[yes, no]"),
        "columns.event_type.isin",
        "quote",
    ),
    "an owner that is none": (changed(new="owners: [data platform]\n"), "owners", "team:"),
    "a key that is not the user's": (changed(new="path: elsewhere.yaml\n"), "path", "remove it"),
    "a gap beyond all ages": (changed("gap: 30m", "gap: 99999999999d"), "session.gap", ""),
    "a column of the raw rows": (
        changed("page_url:", "payload:").replace("{first: page_url}", "{first: event_id}"),
        "columns.payload",
        "another name",
    ),
    "a column named reasons": (
        changed("page_url:", "reasons:").replace("{first: page_url}", "{first: event_id}"),
        "columns.reasons",
        "another name",
    ),
    "pages that are no text": (changed(PAGE, "{type: integer}"), "columns.page_url.type", "remove the type"),
    "a date of no calendar": (changed("start: 2026-01-01", "start: 2026-13-45"), "start", "2026-01-31"),
    "a typo in a format": (changed(FORMATS, 'formats: ["%Q"]'), "columns.event_timestamp.formats", "strftime"),
    "half a time": (changed(FORMATS, 'formats: ["%d.%m.%Y %I:%M"]'), "columns.event_timestamp.formats", "strftime"),
    "formats that are null": (changed(FORMATS, "formats: null"), "columns.event_timestamp", "add formats"),
    "a time of text": (changed("{from: ts,", "{type: string, from: ts,"), "columns.event_timestamp.type", "remove"),
    "a placeholder without a day": (changed("%Y-%m-%d}", "%Y}"), "source.files", "{partition:%Y-%m-%d}"),
    "a typo in the placeholder": (changed("%Y-%m-%d}", "%Q}"), "source.files", "{partition:%Y-%m-%d}"),
    "a name twice in the header": (changed("format: ndjson", CSV + "header: [a, b, a]"), "source.header", ""),
    "an empty header": (changed("format: ndjson", CSV + "header: []"), "source.header", "header: [user_id, ts]"),
    "the quote as separator": (changed("format: ndjson", CSV + "separator: '\"'"), "source.separator", ""),
    "a quoted end": (changed("start: 2026-01-01", "start: 2026-01-01\nend: '2025-01-01'"), "end", "a later day"),
    "a gap of ages": (changed("gap: 30m", "gap: 999999999d"), "session.gap", ""),
    "no priorities": (changed("most_frequent", "[]"), "session.primary_action", "list event types"),
    **{
        f"a column named {name}": (
            changed("page_url:", f"{name}:").replace("{first: page_url}", "{first: event_id}"),
            f"columns.{name}",
            "another name",
        )
        for name in (
            "preamble",
            "line_terminator",
            "header",
            "corrupt_reason",
            "parse_errors",
            "session_partition",
            "ctid",
        )
    },
    "a column of the view": (changed("total_amount:", "is_open:"), "session.columns.is_open", "another name"),
    "a time as pages": (
        changed(PAGE, "{type: timestamp, formats: ['%+']}"),
        "columns.page_url.type",
        "remove the type",
    ),
    "the 30th of February": (changed("source:", "end: 2026-02-30\nsource:"), "end", "2026-01-31"),
    "a day long ago": (changed("start: 2026-01-01", "start: 0001-01-01"), "start", "from 1900-01-01"),
    "a day as a number": (changed("start: 2026-01-01", "start: 20260101"), "start", "2026-01-31"),
    "the end of all days": (changed("source:", "end: 9999-12-31\nsource:"), "end", "to 2199-12-31"),
    "landing begins when all is over": (
        changed("start: 2026-01-01}", "start: 2026-02-01}").replace("source:", "end: 2026-02-01\nsource:"),
        "landing.start",
        "an earlier day",
    ),
    **{
        f"the format {fmt}": (changed(FORMATS, f"formats: ['{fmt}']"), "columns.event_timestamp.formats", "strftime")
        for fmt in (
            *("%m-%d %H:%M", "%Y-%m", "%H:%M", "%Y-%m-%d %H", "%Y-%m-%d %S", "%G-W%V", "%s", "%", "%%", "%é"),
            *("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S %Z", "[%+]", "%Y-%m-%d %H:%M:%S %::z"),
        )
    },
    "a day where hours are wanted": (
        changed("{partition: daily, start", "{partition: hourly, start"),
        "source.files",
        "{partition:%Y-%m-%dT%H}",
    ),
    "no files": (changed("landing/{partition:%Y-%m-%d}/*.ndjson.gz", "''"), "source.files", "write a path"),
    "a field without a name": (changed("format: ndjson", CSV + "header: [a, '']"), "source.header", "list them"),
    "the separator as quote": (changed("format: ndjson", CSV + "quote: ','"), "source.quote", "another one"),
    "a line end as separator": (changed("format: ndjson", CSV + 'separator: "\\n"'), "source.separator", "ASCII"),
    "a line end as quote": (changed("format: ndjson", CSV + 'quote: "\\r"'), "source.quote", "ASCII"),
    "two bytes as separator": (changed("format: ndjson", CSV + "separator: §"), "source.separator", "ASCII"),
    "names that YAML reads as booleans": (
        changed("format: ndjson", CSV + "header: [u, on, no]"),
        "source.header",
        'quote them, as in header: ["on", "no", "1"]',
    ),
    "CR LF": (
        changed("format: ndjson", CSV + "line_end: crlf"),
        "source.line_end",
        "write lf, which ends lines at CR LF",
    ),
    "CR": (changed("format: ndjson", CSV + "line_end: cr"), "source.line_end", "write auto"),
    "a line end that is none": (changed("format: ndjson", CSV + "line_end: unix"), "source.line_end", "'lf' or 'auto'"),
    "the quote as escape": (changed("format: ndjson", CSV + "escape: '\"'"), "source.escape", "another one"),
    "a blank as comment": (
        changed("format: ndjson", CSV + "separator: whitespace\n  comment: ' '"),
        "source.comment",
        "another one",
    ),
    "an escape that letters contain": (
        changed("format: ndjson", CSV + "escape: '\\'\n  encoding: shift_jis"),
        "source.escape",
        "UTF-8",
    ),
    "an escape without CSV": (
        changed("format: ndjson", "format: ndjson\n  escape: '\\'"),
        "source.escape",
        "format: csv",
    ),
    "a header twice": (
        changed("format: ndjson", CSV + "header: [a]\n  header_file: x.tsv"),
        "source.header_file",
        "keep one of the two",
    ),
    "no such header file": (
        changed("format: ndjson", CSV + "header_file: none.tsv"),
        "source.header_file",
        "whose first record has the names",
    ),
    "a quote that the encoding lacks": (
        changed("format: ndjson", CSV + "quote: „\n  encoding: latin-1"),
        "source.quote",
        "ASCII",
    ),
    **{
        f"the encoding {name}": (changed("format: ndjson", CSV + f"encoding: {name}"), "source.encoding", "utf-8")
        for name in ("utf-7", "hz", "iso-2022-jp", "iso-2022-kr", "idna", "undefined", "utf-8-sig", "cp037")
    },
    "a session of ages": (changed("gap: 30m", "max_length: 367d"), "session.max_length", "366d"),
    "a future of ages": (changed("max_future: 5m", "max_future: 999999999h"), "session.max_future", "366d"),
    "a zone that Polars lacks": (changed("  timezone: UTC", "  timezone: Factory"), "session.timezone", "IANA"),
    "dates that went back": (
        changed("  timezone: UTC", "  timezone: America/St_Johns").replace("2026-01-01", "2009-01-01"),
        "session.timezone",
        "a later start",
    ),
    "numbers beyond 64 bits": (
        changed(AMOUNT, "{type: integer, isin: [9223372036854775808]}"),
        "columns.amount.isin",
        "",
    ),
    "an aggregate of null": (changed(SUM, "{sum: null}"), "session.columns.total_amount", "{sum: amount}"),
    "no decoder": (changed(PAGE, "{decode: base65}"), "columns.page_url.decode", "write"),
    "two groups": (changed(PAGE, "{extract: '(a)(b)'}"), "columns.page_url.extract", "(?:…)"),
    "a part without a separator": (changed(PAGE, "{split: {part: 0}}"), "columns.page_url.split.separator", "add it"),
    "unknown key of split": (
        changed(PAGE, "{split: {separator: ',', prt: 0, part: 0}}"),
        "columns.page_url.split.prt",
        "part?",
    ),
    "a word of two meanings": (
        changed("columns:\n", "columns:\n  new: {type: boolean, words: {true: [1], false: [1]}}\n"),
        "columns.new.words",
        "remove it from one",
    ),
    "a word that is none": (
        changed("columns:\n", "columns:\n  new: {type: boolean, words: {true: [null]}}\n"),
        "columns.new.words.true",
        "quote it",
    ),
    "a key that is no text": (changed("page_url:", "no:"), "columns.no", "quote it"),
    "a date as a key": (changed(new="2026-01-01: 1\n"), "2026-01-01", "quote it"),
    "a key of a list": (changed(new="? [a]\n: b\n"), "file", "correct the line"),
    "half a character": (changed(new='description: "\\ud800"\n'), "file", "correct the line"),
    "a number that is none": (changed("gap: 30m", "gap: !!int many"), "session.gap", "a whole number"),
    "a target of no type": (changed(new="targets: {lake: {path: x}}\n"), "targets.lake", "state type: 'duckdb'"),
    "unknown key of a target": (changed(new="targets: {duckdb: {pth: x}}\n"), "targets.duckdb.pth", "mean path?"),
    "a target that is a text": (changed(new="targets: {duckdb: x.db}\n"), "targets.duckdb", "write {path:"),
    "another table": (
        changed(new="targets: {duckdb: {path: x, tables: [events]}}\n"),
        "targets.duckdb.tables",
        "'sessions' or 'sessionized_events'",
    ),
    "a control character": (changed(new="description: \x01\n"), "file", "correct the line"),
}


@pytest.mark.parametrize(("content", "key", "fix"), PROBLEMS.values(), ids=PROBLEMS)
def test_a_problem_names_its_key_and_its_fix(content: str | bytes, key: str, fix: str, tmp_path: Path) -> None:
    found = [problem for problem in problems(content, tmp_path) if problem.key == key]
    assert found
    assert any(fix in problem.fix for problem in found)
    for problem in found:
        assert problem.file == tmp_path / "web.yaml"
        assert problem.line or isinstance(content, bytes) or "missing" in problem.reason


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("[u, on, no]", "YAML reads the names of fields 2, 3 as true, false, and not as text"),
        ("[u, 7]", "YAML reads the name of field 2 as 7, and not as text"),
        ("[2026-01-01, u]", "YAML reads the name of field 1 as 2026-01-01, and not as text"),
    ],
)
def test_names_that_yaml_does_not_read_as_text_are_told(header: str, reason: str, tmp_path: Path) -> None:
    (problem,) = problems(changed("format: ndjson", f"{CSV}header: {header}"), tmp_path)
    assert problem.reason == reason


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le"])
def test_utf_16_is_a_problem_of_the_encoding_alone(encoding: str, tmp_path: Path) -> None:
    (problem,) = problems(changed("format: ndjson", f"{CSV}encoding: {encoding}"), tmp_path)
    assert problem.key == "source.encoding"
    assert problem.reason == f"the encoding {encoding!r} can't be divided into lines at byte 10"


def test_a_tab_may_be_written_as_two_letters(tmp_path: Path) -> None:
    for separator in ("'\\t'", '"\\t"'):
        assert problems(changed("format: ndjson", f"{CSV}separator: {separator}"), tmp_path) == []
        assert load_stream(tmp_path / "web.yaml", tmp_path).source.separator == "\t"


def test_each_item_of_a_list_is_reported(tmp_path: Path) -> None:
    found = problems(changed(FORMATS, 'formats: ["%Q", "%+", "%H"]'), tmp_path)
    assert [problem.key for problem in found] == ["columns.event_timestamp.formats"] * 2


@pytest.mark.parametrize(
    ("column", "key"),
    [
        ("{type: float, ge: 5, le: 1}", "le"),
        ("{type: float, gt: 1, le: 1}", "le"),
        ("{type: float, ge: 1, lt: 1}", "lt"),
        ("{type: float, ge: 0, gt: 2, le: 1}", "le"),
        ("{type: integer, gt: 1, lt: 2}", "lt"),
        ("{type: integer, ge: 1.2, le: 1.8}", "le"),
        ("{type: integer, ge: 3, isin: [1, 2]}", "isin"),
        ("{type: float, gt: 1, isin: [1]}", "isin"),
        ("{type: float, ge: .nan}", "ge"),
        ("{type: float, le: -.inf}", "le"),
    ],
)
def test_bounds_that_no_number_satisfies_are_a_problem(column: str, key: str, tmp_path: Path) -> None:
    (problem,) = problems(changed(AMOUNT, column), tmp_path)
    assert problem.key == f"columns.amount.{key}"
    assert problem.reason


@pytest.mark.parametrize(
    "column",
    [
        "{type: float, ge: 1, le: 1}",
        "{type: float, gt: 1, lt: 2}",
        "{type: integer, gt: 1, lt: 3}",
        "{type: integer, ge: 0.5, le: 1.5}",
        "{type: float, ge: 1, isin: [0, 1]}",
    ],
)
def test_bounds_that_a_number_satisfies_are_valid(column: str, tmp_path: Path) -> None:
    assert problems(changed(AMOUNT, column), tmp_path) == []


@pytest.mark.parametrize("content", ["a: &a {b: *a}\n", "a: " + "[" * 5000], ids=["an anchor", "brackets"])
def test_infinitely_nested_yaml_is_a_problem(content: str, tmp_path: Path) -> None:
    (problem,) = problems(content, tmp_path)
    assert (problem.key, problem.reason) == ("file", "it is nested without end")


FITTING = (
    *("%+", "epoch_us", "%Y-%m-%d", "%d.%m.%Y %I:%M %p", "%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%d %H:%M:%S,%3f", "%F %T"),
    *("%d/%b/%Y:%H:%M:%S %z", "%Y-%m-%d %H:%M:%S%:z", "%Y-%m-%d %H:%M:%S%#z", "%Y%m%d%H%M%S", "%G-W%V-%u", "%y%j"),
)


@pytest.mark.parametrize(
    "content",
    [
        *(pytest.param(changed(FORMATS, f"formats: ['{fmt}']"), id=fmt) for fmt in FITTING),
        pytest.param(changed("gap: 30m", "gap: 366d"), id="a gap of a year"),
        pytest.param(changed("start: 2026-01-01", "start: '2026-01-01'\nend: 2026-01-02"), id="a quoted start"),
        pytest.param(changed("format: ndjson", CSV + 'separator: "\\t"\n  quote: null'), id="tabs and no quotes"),
        pytest.param(changed("format: ndjson", CSV + "separator: §\n  encoding: latin-1"), id="one byte in latin-1"),
        pytest.param(changed("format: ndjson", CSV + "encoding: shift_jis"), id="letters of one or two bytes"),
        pytest.param(changed("  timezone: UTC", "  timezone: America/St_Johns"), id="dates that went back before"),
        pytest.param(changed("{partition: daily,", "{partition: monthly,").replace("-%d}", "}"), id="months"),
    ],
)
def test_unusual_but_correct_files_are_valid(content: str, tmp_path: Path) -> None:
    assert problems(content, tmp_path) == []


def test_the_line_is_that_of_the_key(tmp_path: Path) -> None:
    (problem,) = problems(changed("gap_inclusive: false", "gap_inclusive: perhaps"), tmp_path)
    assert problem.line == GOOD.splitlines().index("  gap_inclusive: false") + 1


@pytest.mark.parametrize("rule", ["precision: s", "gap_from: second"])
def test_a_gap_that_can_not_be_measured_in_the_unit_of_silences_is_reported(rule: str, tmp_path: Path) -> None:
    (problem,) = problems(changed("  gap: 30m", f"  gap: 1500ms\n  {rule}"), tmp_path)
    assert problem.reason == "silences are measured in seconds, and the gap is no whole number of them"


def test_a_bad_pattern_is_reported_in_the_words_of_its_library(tmp_path: Path) -> None:
    (problem,) = problems(changed(PAGE, "{pattern: '('}"), tmp_path)
    assert "unclosed group" in problem.reason


def test_a_problem_is_one_line_whatever_yaml_says(tmp_path: Path) -> None:
    (problem,) = problems(changed(new="description: \x01\n"), tmp_path)
    assert "\n" not in str(problem)


def _key_paths(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*above, key)
            yield from _key_paths(inner, (*above, key))


KEY_PATHS = sorted(_key_paths(yaml.safe_load(GOOD)))
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.dates() | st.text(max_size=5)
anything = scalars | st.lists(scalars, max_size=2) | st.dictionaries(st.text(max_size=3), scalars, max_size=2)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(KEY_PATHS), anything)
@example(("session", "columns", "total_amount", "sum"), ["amount"])
@example(("sequence",), ["amount"])
@example(("columns", "amount", "type"), ["float"])
@example(("session", "gap"), "99999999999d")
@example(("start",), {"day": 1})
def test_whatever_a_key_has_as_value_the_file_makes_a_stream_or_a_stream_error(
    tmp_path: Path, key_path: tuple[str, ...], value: object
) -> None:
    raw = yaml.safe_load(GOOD)
    above = raw
    for key in key_path[:-1]:
        above = above[key]
    above[key_path[-1]] = value
    for problem in problems(yaml.safe_dump(raw), tmp_path):
        assert problem.key
        assert problem.fix


# What is published of it ---------------------------------------------------------------------------------


def test_the_published_schema_is_current() -> None:
    assert (REPOSITORY / "docs" / "stream.schema.json").read_text(encoding="utf-8") == json_schema()


@pytest.mark.parametrize("text", [DEMO.read_text(encoding="utf-8"), GOOD], ids=["demo", "everything stated"])
def test_streams_keep_the_published_schema(text: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(json_schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    as_json = json.loads(json.dumps(yaml.safe_load(text), default=str))
    jsonschema.validate(as_json, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**as_json, "strat": "2026-01-01"}, schema)


def test_the_published_schema_has_only_keys_of_the_file() -> None:
    assert not {"path", "home"} & set(json.loads(json_schema())["properties"])


def test_the_demos_stream_makes_every_contract(tmp_path: Path) -> None:
    demo = load_stream(DEMO, home=tmp_path)
    assert list(events_schema(demo).columns)[:4] == ["event_id", "user_id", "event_timestamp", "event_type"]
    assert {"total_amount", "landing_page", "pages"} <= set(sessions_schema(demo).columns)


# When a change of the file changes a version -------------------------------------------------------------


def versions(tmp_path: Path, content: str) -> tuple[str, str]:
    assert problems(content, tmp_path) == []
    stream: Stream = load_stream(tmp_path / "web.yaml", home=tmp_path)
    return stream.contract_version, stream.session_rule_version


@pytest.mark.parametrize(
    ("content", "validates_otherwise", "sessionizes_otherwise"),
    [
        pytest.param(changed(new='description: of a shop\nowners: ["team:data"]\n'), False, False, id="words"),
        pytest.param(changed("  files:", '  archive: "*.json"\n  files:'), False, False, id="which members are read"),
        pytest.param(changed("{from: id}", "{from: id, description: the id}"), False, False, id="words of a column"),
        pytest.param(changed("*.ndjson.gz", "*.ndjson"), False, False, id="where files are"),
        pytest.param(changed("30m", "1800s"), False, False, id="the same gap in other words"),
        pytest.param(changed("ge: 0}", "gt: 0}"), True, False, id="a rule"),
        pytest.param(changed("max_future: 5m", "max_future: 6m"), True, False, id="max_future"),
        pytest.param(changed("extra_columns: keep", "extra_columns: drop"), True, False, id="extra columns"),
        pytest.param(changed("gap: 30m", "gap: 31m"), False, True, id="the gap"),
        pytest.param(changed("sequence: null", "sequence: amount"), False, True, id="the sequence"),
        pytest.param(changed("{first: page_url}", "{last: page_url}"), False, True, id="an aggregate"),
    ],
)
def test_a_version_changes_with_the_keys_that_it_covers(
    content: str, validates_otherwise: bool, sessionizes_otherwise: bool, tmp_path: Path
) -> None:
    contract, rule = versions(tmp_path, GOOD)
    other_contract, other_rule = versions(tmp_path, content)
    assert (other_contract != contract, other_rule != rule) == (validates_otherwise, sessionizes_otherwise)


def test_an_ended_stream_accepts_events_up_to_its_end(tmp_path: Path) -> None:
    assert problems(changed("source:", "end: 2026-01-03\nsource:"), tmp_path) == []
    stream = load_stream(tmp_path / "web.yaml", home=tmp_path)
    assert stream.end == date(2026, 1, 3)
    assert stream.latest_moment("2026-01-01") == datetime(2026, 1, 2, 0, 5, tzinfo=UTC)
    assert stream.latest_moment("2026-01-02") == datetime(2026, 1, 2, 23, 59, 59, 999_999, tzinfo=UTC)


def test_words_may_be_written_as_yaml_reads_them(tmp_path: Path) -> None:
    words = "columns:\n  new: {type: boolean, nullable: true, words: {true: [1, yes], false: [0, no]}}\n"
    path = tmp_path / "web.yaml"
    path.write_text(changed("columns:\n", words))
    column = load_stream(path, home=tmp_path).columns["new"]
    assert column.words
    meanings = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    assert column.words.values == meanings
