"""Logs of other forms than access lines: W3C extended log files and logfmt. What samples mean was written by hand."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.registry import open_format
from sessions_platform_tests.ingested import PartitionContents, validate_file
from sessions_platform_tests.sources.test_access_logs import rules, values
from sessions_platform_tests.streams import stream


def w3c(columns: dict[str, Any] | None = None, **keys: Any) -> Stream:
    """A stream of W3C files; date and time are two fields."""
    return stream(
        source={"files": "*", "format": "w3c"},
        columns={
            "user_id": {"from": ["cs-username", "c-ip"]},
            "event_timestamp": {"join": ["date", "time"], "formats": ["%Y-%m-%d %H:%M:%S"]},
            "event_type": {"from": "cs-method"},
            "page_url": {"from": "cs-uri-stem", "nullable": True},
            **(columns or {}),
        },
        **{"extra_columns": "drop", **keys},
    )


def read(tmp_path: Path, text: str, of: Stream) -> PartitionContents:
    return validate_file(tmp_path / "u_ex260101.log", text.encode(), of)


IIS = """\
#Software: Microsoft Internet Information Services 10.0\r
#Version: 1.0\r
#Date: 2026-01-01 00:00:01\r
#Fields: date time cs-method cs-uri-stem cs-username c-ip cs(User-Agent) sc-status\r
2026-01-01 00:00:01 GET /a - 203.0.113.7 Mozilla/5.0+(X11) 200\r
2026-01-01 00:00:02 GET /b DOM\\ann 203.0.113.7 - 200\r
#Software: Microsoft Internet Information Services 10.0\r
#Fields: date time c-ip cs-username cs-method cs-uri-stem cs(User-Agent)\r
2026-01-01 00:00:03 203.0.113.8 - POST /c "quoted\r
2026-01-01 00:00:04 203.0.113.8 - POST /d\r
2026-01-01 00:00:05 203.0.113.8 - POST /e x y\r
"""


@pytest.mark.parametrize("copies", [1, 100], ids=["few lines", "many lines"])
def test_fields_that_change_amid_a_file_name_the_rows_below_them(tmp_path: Path, copies: int) -> None:
    of = w3c({"agent": {"from": "cs(User-Agent)", "nullable": True}})
    taken = read(tmp_path, IIS * copies, of)
    assert values(taken, "user_id", "event_type", "page_url", "agent")[:3] == [
        ("203.0.113.7", "GET", "/a", "Mozilla/5.0+(X11)"),
        (r"DOM\ann", "GET", "/b", None),
        ("203.0.113.8", "POST", "/c", '"quoted'),
    ]
    assert values(taken, "event_timestamp")[0][0].isoformat() == "2026-01-01T00:00:01+00:00"
    assert rules(taken)[:2] == [
        (10, "malformed", "the row has 6 fields, #Fields: names 7"),
        (11, "malformed", "the row has 8 fields, #Fields: names 7"),
    ]
    counts = (taken.events.height, taken.rejected.height, taken.duplicates, taken.skipped)
    assert sum(counts) == 11 * copies
    assert (counts[1], counts[3]) == (2 * copies, 6 * copies)


CLOUDFRONT = """\
#Version: 1.0
#Fields: date time x-edge-location sc-bytes c-ip cs-method cs-uri-stem cs(User-Agent)
2026-01-01\t00:00:01\tFRA50-C1\t2390\t192.0.2.10\tGET\t/view/a%20b.html\tMozilla/5.0%20(X11)
2026-01-01\t00:00:02\tFRA50-C1\t\t192.0.2.10\tGET\t/two words\t-
"""


def test_cloudfront_separates_by_tabs_below_names_between_spaces(tmp_path: Path) -> None:
    columns = {"user_id": {"from": "c-ip"}, "bytes": {"from": "sc-bytes", "type": "integer", "nullable": True}}
    taken = read(tmp_path, CLOUDFRONT, w3c(columns, extra_columns="keep"))
    assert values(taken, "user_id", "page_url", "bytes", "properties") == [
        (
            "192.0.2.10",
            "/view/a%20b.html",
            2390,
            '{"x-edge-location":"FRA50-C1","cs(User-Agent)":"Mozilla/5.0%20(X11)"}',
        ),
        ("192.0.2.10", "/two words", None, '{"x-edge-location":"FRA50-C1"}'),
    ]
    assert taken.skipped == 2


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('"a b" c', ["a b", "c"]),
        ('"say ""hi""" "-"', ['say "hi"', None]),
        ('"" x', ["", "x"]),
        ('a"b c"', ['a"b', 'c"']),
        ('"a" "b', ["a", '"b']),
        ('"a"" b', ['"a""', "b"]),
        ('"a"b c', ['"a"b', "c"]),
        ('"a\tb"\tc d', ["a\tb", "c d"]),
    ],
)
def test_a_value_in_quotes_may_contain_separators(line: str, expected: list[str | None]) -> None:
    decode = open_format(w3c().source).decoder()
    assert list(decode(line.encode(), b"#Fields: a b").values()) == expected


def test_rows_without_names_and_names_that_repeat_are_rejected(tmp_path: Path) -> None:
    of = w3c({"user_id": {"from": "a"}, "event_timestamp": {"from": "b", "formats": ["epoch_s"]}})
    taken = read(tmp_path, "x\n#Fields: a b cs-method\nx 1767268800 GET\n\n#Fields: a a\nx y\n#Fields:\nx", of)
    assert values(taken, "user_id") == [("x",)]
    assert rules(taken) == [
        (1, "malformed", "has no #Fields: above it that names its fields"),
        (4, "malformed", "is an empty line"),
        (6, "malformed", "#Fields: names 'a' twice"),
        (8, "malformed", "the row has 1 fields, #Fields: names 0"),
    ]


def test_the_directive_of_a_block_applies_to_the_next_one(tmp_path: Path) -> None:
    lines = "".join(f"2026-01-01 00:00:01 GET /{number} - 203.0.113.7 x 200\n" for number in range(300))
    header = "#Fields: date time cs-method cs-uri-stem cs-username c-ip cs(User-Agent) sc-status\n"
    assert read(tmp_path, header + lines, w3c()).events.height == 300  # blocks of 64 bytes


# logfmt


def logfmt(columns: dict[str, Any] | None = None, **keys: Any) -> Stream:
    return stream(
        source={"files": "*", "format": "logfmt"},
        columns={
            "user_id": {"from": ["user", "fwd"]},
            "event_timestamp": {"from": "ts", "formats": ["%+"]},
            "event_type": {"from": ["method", "msg"]},
            "page_url": {"from": "path", "nullable": True},
            **(columns or {}),
        },
        **{"extra_columns": "drop", **keys},
    )


def test_logfmt_of_heroku_traefik_and_go_kit(tmp_path: Path) -> None:
    text = (
        'at=info method=GET path="/a b?x=\\"1\\"" host=x.example fwd="203.0.113.7" dyno=web.1 status=200 '
        "ts=2026-01-01T12:00:00Z\n"
        'ts=2026-01-01T12:00:01Z level=info msg="user \\u00e9 logged in" user=ann '
        'first_time empty= blank="" msg=login\n'
        "\tts=2026-01-01T12:00:02.5+01:00 user=bob method=GET path=/x?a=b=c \r\n"
    )
    taken = read(tmp_path, text, logfmt({"first": {"from": "first_time", "type": "boolean", "nullable": True}}))
    assert values(taken, "user_id", "event_type", "page_url", "first") == [
        ("203.0.113.7", "GET", '/a b?x="1"', None),
        ("ann", "login", None, True),
        ("bob", "GET", "/x?a=b=c", None),
    ]
    taken = read(tmp_path, text, logfmt(extra_columns="keep"))
    assert [properties for (properties,) in values(taken, "properties")] == [
        '{"at":"info","host":"x.example","dyno":"web.1","status":"200"}',
        '{"level":"info","first_time":true,"blank":""}',
        None,
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (r'a="\x1b\a\v\U0001F600\xc3\xa9\ud83d\ude00\/"', {"a": "\x1b\a\v😀é😀/"}),
        ("a.b=1 é=ü", {"a.b": "1", "é": "ü"}),
        ('a="x=y z" b', {"a": "x=y z", "b": True}),
    ],
)
def test_pairs(line: str, expected: dict[str, Any]) -> None:
    assert open_format(logfmt().source).decoder()(line.encode(), None) == expected


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('a="', "is not logfmt: no key with a value begins at character 1"),
        ('ok a=b"c"', "is not logfmt: no key with a value begins at character 4"),
        ('a="b"c', "is not logfmt: no key with a value begins at character 1"),
        ("=b", "is not logfmt: no key with a value begins at character 1"),
        (r'a="\q"', r"has an escape that stands for no character: '\\q'"),
        (r'a="\x00"', r"has an escape that stands for no character: '\\x00'"),
        (r'a="\xff"', r"has an escape that stands for no character: '\\xff'"),
        (r'a="\U0000d800"', r"has an escape that stands for no character: '\\U0000d800'"),
        (r'a="\uff"', r"has an escape that stands for no character: '\\u'"),
        (" \t", "is an empty line"),
        ("a=\udce9", "is not UTF-8"),
    ],
)
def test_what_is_no_pair_makes_the_line_malformed(line: str, reason: str) -> None:
    with pytest.raises(MalformedError) as error:
        open_format(logfmt().source).decoder()(line.encode(errors="surrogateescape"), None)
    assert str(error.value) == reason


@pytest.mark.parametrize("of", [w3c(extra_columns="keep"), logfmt(extra_columns="keep")], ids=["w3c", "logfmt"])
@settings(max_examples=8)
@given(
    content=st.lists(
        st.sampled_from(
            [b"#Fields: a date time b\n", b"a=b ", b'"', b"\n", b"\r", b"\t", b"\0", b"\xff", b"x y z -\n", b'\\u0000"']
        ),
        max_size=14,
    ).map(b"".join)
)
def test_no_byte_and_no_row_is_lost(tmp_path_factory: pytest.TempPathFactory, of: Stream, content: bytes) -> None:
    validate_file(tmp_path_factory.getbasetemp() / "any.log", content, of)
