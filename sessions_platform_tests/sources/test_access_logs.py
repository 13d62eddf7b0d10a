"""Lines of servers' logs become events: what each sample means was written down by hand."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.stream import Stream
from sessions_platform_tests.ingested import PartitionContents, validate_file
from sessions_platform_tests.streams import stream

_TEXT = r'(?:[^"\\]|\\.)*'
COMBINED = (
    rf'^(?P<ip>\S+) (?P<ident>\S+) (?P<user>""|{_TEXT}) \[(?P<time>[^\]]+)\] '
    rf'"(?:(?P<method>[^\s"\\]+) (?P<target>{_TEXT}?)(?: (?P<protocol>HTTP/[0-9.]+))?|(?P<garbage>{_TEXT}))" '
    rf'(?P<status>\d{{3}}|-) (?P<bytes>\d+|-) "(?P<referer>{_TEXT})" "(?P<agent>{_TEXT})"$'
)
HAPROXY = (
    r"^(?:<\d+>)?\w{3} [ \d]\d [\d:]{8} (?:\S+ )?haproxy\[\d+\]: (?P<ip>\S+):(?P<port>\d+) \[(?P<time>[^\]]+)\] "
    r"(?P<frontend>\S+) (?P<backend>[^ /]+)/(?P<server>\S+) (?P<timers>[-+0-9/]+) (?P<status>-?\d+) (?P<bytes>\+?\d+) "
    r"(?P<cookie>.+?) \S+ (?P<termination>\S{4}) [\d/+]+ [\d/]+(?: \{(?P<headers>[^{}]*)\})? "
    r'"(?:(?P<method>[^ "<]+) (?P<target>[^" ]*)(?: (?P<protocol>HTTP/[0-9.]+))?|(?P<garbage>[^"]*))"?$'
)
CLF_TIME = ["%d/%b/%Y:%H:%M:%S %z"]


def access_log(pattern: str, columns: dict[str, Any] | None = None, **keys: Any) -> Stream:
    """A stream of lines; its users are those of `user`, or the addresses."""
    return stream(
        source={"files": "*", "format": "regex", "pattern": pattern, "nulls": ["-", '""'], **keys.pop("source", {})},
        columns={
            "user_id": {"from": ["user", "ip"]},
            "event_timestamp": {"from": "time", "formats": CLF_TIME},
            "event_type": {"from": ["method", "garbage"]},
            "page_url": {"from": "target", "nullable": True},
            **(columns or {}),
        },
        sequence="position",
        **{"extra_columns": "drop", **keys},
    )


def read(tmp_path: Path, lines: list[str], of: Stream) -> PartitionContents:
    return validate_file(tmp_path / "access.log", "\n".join(lines).encode(), of)


def values(taken: PartitionContents, *columns: str) -> list[tuple[Any, ...]]:
    return taken.events.sort("position").select(*columns).rows()


def rules(taken: PartitionContents) -> list[tuple[int, str, str]]:
    """Position, code and rule of each reason."""
    return [
        (row["position"], reason["code"], reason["rule"])
        for row in taken.rejected.sort("position").to_dicts()
        for reason in row["reasons"]
    ]


AGENT = {"agent": {"nullable": True}, "status": {"type": "integer", "nullable": True}}


@pytest.mark.parametrize("copies", [1, 100], ids=["few lines", "many lines"])
def test_combined_logs(tmp_path: Path, copies: int) -> None:
    lines = [
        '203.0.113.7 - - [01/Jan/2026:13:55:36 +0200] "GET /a?b=1 HTTP/1.1" 200 2326 "http://x/" "Mozilla/5.0 (X11)"',
        '203.0.113.8 - ann lee [01/Jan/2026:10:00:00 +0000] "POST /login HTTP/2.0" 302 - "-" "-"',
        r'::1 - "" [01/Jan/2026:10:00:01 +0000] "GET /say\"hi\" HTTP/1.1" 404 0 "-" "curl/8 \"x\""',
        '203.0.113.9 - - [01/Jan/2026:10:00:02 +0000] "" 400 0 "-" "-"',
        '203.0.113.9 - - [01/Jan/2026:10:00:03 +0000] "GET /old" 200 5 "-" "-"',
        r'203.0.113.9 - - [01/Jan/2026:10:00:04 +0000] "\x16\x03\x01" 400 0 "-" "-"',
    ]
    taken = read(tmp_path, lines * copies, access_log(COMBINED, AGENT))
    assert values(taken, "user_id", "event_type", "page_url", "status", "agent")[:5] == [
        ("203.0.113.7", "GET", "/a?b=1", 200, "Mozilla/5.0 (X11)"),
        ("ann lee", "POST", "/login", 302, None),
        ("::1", "GET", r"/say\"hi\"", 404, r"curl/8 \"x\""),
        ("203.0.113.9", "GET", "/old", 200, None),
        ("203.0.113.9", r"\x16\x03\x01", None, 400, None),
    ]
    assert values(taken, "event_timestamp")[0][0].isoformat() == "2026-01-01T11:55:36+00:00"
    assert rules(taken)[:1] == [(4, "missing_value", "not null")]
    assert (taken.events.height, taken.rejected.height) == (5 * copies, copies)


def test_the_common_format_and_nginx(tmp_path: Path) -> None:
    common = r'^(?P<ip>\S+) \S+ (?P<user>.+?) \[(?P<time>[^\]]+)\] "(?P<method>\S+) (?P<target>\S+) [^"]*" \d+ \S+$'
    taken = read(
        tmp_path,
        ['127.0.0.1 - frank [01/Jan/2026:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326'],
        access_log(common.replace(" HTTP", "").replace('[^"]*', '(?P<garbage>HTTP)?[^"]*')),
    )
    assert values(taken, "user_id", "page_url") == [("frank", "/apache_pb.gif")]
    nginx = [
        r'127.0.0.1 - a \x22b\x5C c [01/Jan/2026:07:55:07 +0000] "GET /p?t=17 HTTP/1.1" 200 13 "-" "Mozilla/5.0 (X11)"'
    ]
    assert values(read(tmp_path, nginx, access_log(COMBINED)), "user_id") == [(r"a \x22b\x5C c",)]


def test_haproxy(tmp_path: Path) -> None:
    lines = [
        "<134>Jan  1 07:56:34 lb haproxy[12]: 127.0.0.1:46936 [01/Jan/2026:07:56:34.058] f1 b/s1 0/0/0/0/0 200 117 "
        'sid="s 22" - ---- 1/1/0/0/0 0/0 {Mozilla/5.0 (X11)||} "GET /p?t=22 HTTP/1.1"',
        "Jan  1 07:56:35 haproxy[12]: 127.0.0.1:46937 [01/Jan/2026:07:56:35.000] f1 f1/<NOSRV> -1/-1/-1/-1/0 400 0 - - "
        'PR-- 1/1/0/0/0 0/0 "<BADREQ>"',
    ]
    columns = {
        "user_id": {"from": ["cookie", "ip"]},
        "event_timestamp": {"from": "time", "formats": ["%d/%b/%Y:%H:%M:%S%.f"], "timezone": "Europe/Berlin"},
        "headers": {"nullable": True},
    }
    taken = read(tmp_path, lines, access_log(HAPROXY, columns))
    assert values(taken, "user_id", "event_type", "page_url", "headers") == [
        ('sid="s 22"', "GET", "/p?t=22", "Mozilla/5.0 (X11)||"),
        ("127.0.0.1", "<BADREQ>", None, None),
    ]
    assert values(taken, "event_timestamp")[0][0].isoformat() == "2026-01-01T06:56:34.058000+00:00"


SHORT = r"(?P<ip>\S+) (?P<user>\S+) \[(?P<time>[^\]]+)\] (?P<method>\w+) (?P<target>\S*)(?: (?P<garbage>x))?"
GOOD_LINE = "1.2.3.4 ann [01/Jan/2026:10:00:00 +0000] GET /"


def test_the_whole_line_has_to_match_and_the_reason_says_how_far_it_does(tmp_path: Path) -> None:
    lines = [
        GOOD_LINE,
        f"{GOOD_LINE} tail",
        "",
        "1.2.3.4 ann 01/Jan/2026",
        " ",
        f"{GOOD_LINE}\r",
    ]
    taken = read(tmp_path, lines, access_log(SHORT))
    assert taken.events.height == 1
    assert rules(taken) == [
        (2, "malformed", "does not match the pattern; it does up to target, which ends at character 46"),
        (3, "malformed", "is an empty line"),
        (4, "malformed", "does not match the pattern; it does up to user, which ends at character 11"),
        (5, "malformed", "does not match the pattern"),
        (6, "malformed", "does not match the pattern; it does up to target, which ends at character 46"),
    ]


def test_a_byte_that_is_not_utf8_costs_the_row_only_where_a_group_has_it(tmp_path: Path) -> None:
    pattern = SHORT.replace("(?: (?P<garbage>x))?", "(?: (?P<garbage>x))?(?: .*)?")
    columns = {"page_url": {"from": "target", "nullable": True}}
    good = GOOD_LINE.encode()
    content = b"\n".join(
        [good + b" caf\xe9", good + b"caf\xe9", good + "é\U0010ff81".encode(), good + b"\xe9\xf4\x8f\xbe\x81"]
    )
    for copies in (1, 60):
        taken = validate_file(tmp_path / "log", b"\n".join([content] * copies), access_log(pattern, columns))
        assert values(taken, "page_url")[:2] == [("/",), ("/é\U0010ff81",)]
        assert rules(taken)[:2] == [(2, "malformed", "target is not UTF-8"), (4, "malformed", "is not UTF-8")]
    for source, expected in (
        ({"invalid_utf8": "latin-1"}, ["/", "/café", "/é\U0010ff81", "/é\U0010ff81"]),
        ({"encoding": "latin-1"}, ["/", "/café", "/Ã©ô\x8f¾\x81", "/éô\x8f¾\x81"]),
    ):
        taken = validate_file(tmp_path / "log", content, access_log(pattern, columns, source=source))
        assert [url for (url,) in values(taken, "page_url")] == expected


def test_groups_that_no_column_names_are_properties(tmp_path: Path) -> None:
    lines = [GOOD_LINE, f"{GOOD_LINE} x", f'{GOOD_LINE.replace("/ ", "")}"\\ x']
    columns = {"page_url": {"from": "time"}}
    for copies in (1, 60):
        taken = read(
            tmp_path,
            lines * copies,
            access_log(SHORT, {**columns, "event_type": {"from": "method"}}, extra_columns="keep"),
        )
        assert [properties for (properties,) in values(taken, "properties")][:3] == [
            '{"target":"/"}',
            '{"target":"/","garbage":"x"}',
            '{"target":"/\\"\\\\","garbage":"x"}',
        ]


def test_a_verbose_pattern_may_end_in_a_comment(tmp_path: Path) -> None:
    pattern = r"""(?x)
        (?P<ip>\S+) \s (?P<user>\S+) \s  # who
        \[(?P<time>[^\]]+)\] \s
        (?P<method>\w+) \s (?P<target>\S+) (?P<garbage>x)?  # the request"""
    assert values(read(tmp_path, [GOOD_LINE], access_log(pattern)), "page_url") == [("/",)]


PARTS = st.sampled_from(
    [GOOD_LINE.encode(), b"\n", b"\r\n", b"\0", b"\xff", b"\xef\xbb\xbf", b" x", b"-", b'"', b"\xf4\x8f\xbe\x81"]
)


@settings(max_examples=25)
@given(st.lists(PARTS, max_size=12).map(b"".join))
def test_no_byte_and_no_row_is_lost(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.log"
    validate_file(path, content, access_log(SHORT, extra_columns="keep"))
