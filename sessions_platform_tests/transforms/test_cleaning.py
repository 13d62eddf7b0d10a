"""Texts are decoded, divided and spelled in one order, and as the programs that wrote them meant them."""

from typing import Any
from urllib.parse import quote, quote_plus, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.respelling import Decode
from sessions_platform.transforms.parse.decoding import Decoder, Undecodable
from sessions_platform_tests.streams import PLAIN, stream
from sessions_platform_tests.transforms.rows import reasons, row, validated, with_columns


def url(value: Any, *, other: Any = "fallback", source: dict[str, Any] | None = None, **column: Any) -> Any:
    """What the column page_url has; the codes of its reasons where the row is rejected."""
    columns = {**PLAIN["columns"], "page_url": {"from": ["url", "other"], "nullable": True, **column}}
    of = stream(columns=columns, source={**PLAIN["source"], **(source or {})})
    result = validated(of, row(url=value, other=other))
    return result.events["page_url"].item() if result.events.height else reasons(result)[0]


BAD_TEXT = {("bad_text", "page_url")}


@pytest.mark.parametrize(
    ("decode", "text", "expected"),
    [
        ("percent", "/caf%C3%A9?q=a%20b+c", "/café?q=a b+c"),
        ("percent", "100%, %zz, %4", "100%, %zz, %4"),
        ("percent", "é%c3%a9", "éé"),
        ("percent", "%E9", BAD_TEXT),
        ("percent", "a%00", BAD_TEXT),
        ("percent", "%2541", "%41"),
        ("percent_twice", "%2541", "A"),
        ("percent_twice", "%25C3%25A9", "é"),
        ("percent_twice", "%25E9", BAD_TEXT),
        ("plus", "a+b%2Bc", "a b+c"),
        ("nginx", r"a \x22b\x5C c", r'a "b\ c'),
        ("nginx", r"\n\q", r"\n\q"),
        ("nginx", r"caf\xC3\xA9", "café"),
        ("nginx", r"\xE9", BAD_TEXT),
        ("backslash", r"\"x\" \\ \t\xc3\xa9\q", '"x" \\ \té\\q'),
        ("backslash", r"\\x41", r"\x41"),
        ("backslash", r"\xe9", BAD_TEXT),
        ("haproxy", "#22a#7Cb#C3#A9#zz", '"a|bé#zz'),
        ("haproxy", "{Mozilla/5.0#20(X11)}", "Mozilla/5.0 (X11)"),
        ("haproxy", "#E9", BAD_TEXT),
        ("morgan", r"Ã© \"x\" \\ \t", 'é "x" \\ \t'),
        ("latin_1", r"Ã© \" \x41", r"é \" \x41"),
        ("latin_1", "日 Ã©", "日 Ã©"),
        ("morgan", r"Ã\u0089 \u2028", r"É \u2028"),
        ("quotes", r'é \" \x41 \\"', r'é " \x41 \"'),
        ("morgan", "é", BAD_TEXT),
        ("gunicorn", r'\x22 and \\" and Ã©', r"\x22 and \" and é"),
        ("gunicorn", "é", BAD_TEXT),
    ],
)
def test_escapes_are_decoded(decode: str, text: str, expected: Any) -> None:
    assert url(text, decode=decode) == expected


@pytest.mark.parametrize(
    ("decode", "text"),
    [("percent", "%E9"), ("nginx", r"\xE9"), ("haproxy", "#E9"), ("latin_1", "é"), ("morgan", "é"), ("gunicorn", "é")],
)
def test_a_byte_that_is_not_utf_8_follows_the_rule_of_the_source(decode: str, text: str) -> None:
    assert url(text, decode=decode, source={"invalid_utf8": "latin-1"}) == "é"


def test_the_reason_names_the_column_the_byte_and_the_text() -> None:
    of = with_columns(page_url={"from": "url", "nullable": True, "decode": "percent"})
    (reason,) = validated(of, row(url="/%E9")).rejected["reasons"][0].to_list()
    rule = "bytes that are UTF-8 (decode: percent); byte 0xE9 is none"
    assert reason == {"code": "bad_text", "column": "page_url", "rule": rule, "value": '"/%E9"'}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_what_python_encodes_is_decoded(text: str) -> None:
    assert Decoder("percent").text(quote(text)) == text
    assert Decoder("percent_twice").text(quote(quote(text))) == text
    assert Decoder("plus").text(quote_plus(text)) == text


@given(st.text("%04cC3Aa9fé+ ", max_size=12))
def test_percent_signs_are_decoded_as_python_decodes_them(text: str) -> None:
    expected = unquote_to_bytes(text)
    decoded = Decoder("percent").text(text)
    try:
        assert decoded == expected.decode() or "\0" in expected.decode()
    except UnicodeDecodeError:
        assert isinstance(decoded, Undecodable)


ESCAPES: dict[Decode, tuple[str, str]] = {
    "nginx": ('"\\', "\\x{:02X}"),
    "backslash": ('"\\', "\\x{:02x}"),
    "haproxy": ('"#|{}', "#{:02X}"),
}


@given(st.sampled_from(list(ESCAPES)), st.text(st.characters(codec="utf-8", min_codepoint=1), max_size=8))
def test_what_a_server_escapes_is_decoded(server: Decode, text: str) -> None:
    """As nginx, Apache and HAProxy do: byte by byte what is not printable ASCII, and their own signs."""
    signs, form = ESCAPES[server]
    escaped = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in signs else form.format(byte) for byte in text.encode()
    )
    assert Decoder(server).text(escaped) == text


@given(st.text(st.characters(codec="utf-8", min_codepoint=1), max_size=8))
def test_headers_whose_bytes_are_characters_are_decoded(text: str) -> None:
    """As Node and WSGI have them, and as morgan and gunicorn escape them."""
    characters = text.encode().decode("latin-1")
    assert Decoder("quotes").text(text.replace('"', r"\"")) == text
    assert Decoder("latin_1").text(characters) == text
    assert Decoder("morgan").text(characters.replace("\\", r"\\").replace('"', r"\"")) == text
    assert Decoder("gunicorn").text(characters.replace('"', r"\"")) == text


def test_a_default_is_the_value_where_every_field_is_null() -> None:
    assert url("-", other=None, source={"nulls": ["-"]}, default="/", nullable=False) == "/"
    assert url("", other="", default="/", nullable=False) == "/"
    assert url("/a", other=None, default="/") == "/a"
    assert url(None, other="-", default="/") == "-"


@pytest.mark.parametrize(
    ("value", "part", "expected"),
    [
        ("1.1.1.1, 2.2.2.2", 0, "1.1.1.1"),
        ("1.1.1.1, 2.2.2.2", -1, " 2.2.2.2"),
        ("1.1.1.1", -1, "1.1.1.1"),
        ("1.1.1.1", 1, "two"),
        ("1.1.1.1", -2, "one"),
        (", x", 0, "one"),
        (7, 0, "7"),
    ],
)
def test_a_part_is_taken_and_where_there_is_none_the_next_field(value: Any, part: int, expected: str) -> None:
    assert url(value, other="one,two", split={"separator": ",", "part": part}) == expected


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"id=(\w+)", "/?id=ann&x", "ann"),
        (r"id=\w+", "/?id=ann&x", "id=ann"),
        (r"(?:a|b)(?P<id>\d)", "b7", "7"),
        (r"id=(\w+)", "/", "bob"),
        (r"id=(\w*)", "/?id=", "bob"),
        (r"^(a+)+$", "a" * 5000 + "b", None),
    ],
)
def test_what_a_pattern_matches_is_extracted(pattern: str, text: str, expected: str | None) -> None:
    assert url(text, other="id=bob", extract=pattern) == expected


@pytest.mark.parametrize(
    ("value", "column", "expected"),
    [
        pytest.param("-", {"nulls": ["-"], "decode": "percent"}, "fallback", id="nulls are in the source"),
        pytest.param("%2D", {"nulls": ["-"], "decode": "percent"}, "-", id="and not what is decoded"),
        pytest.param("-,x", {"nulls": ["-"], "split": {"separator": ",", "part": 0}}, "-", id="nor a part"),
        pytest.param("a%7Cb", {"decode": "percent", "split": {"separator": "|", "part": 1}}, "b", id="decode, split"),
        pytest.param(
            "a#7Cb|c", {"decode": "haproxy", "split": {"separator": "|", "part": 0}}, "a|b", id="but for haproxy"
        ),
        pytest.param("{a|b}", {"decode": "haproxy", "split": {"separator": "|", "part": 1}}, "b", id="with braces"),
        pytest.param(
            "x=1&y=2;z", {"split": {"separator": ";", "part": 0}, "extract": "y=(.*)"}, "2", id="split, extract"
        ),
        pytest.param("X=É", {"extract": "X=(.*)", "case": "lower"}, "é", id="extract, case"),
        pytest.param("%C3%89", {"decode": "percent", "case": "lower"}, "é", id="decode, case"),
        pytest.param("a, b ", {"split": {"separator": ",", "part": -1}, "trim": True}, "b", id="split, trim"),
        pytest.param("e%CC%81", {"decode": "percent", "unicode": "NFC"}, "\u00e9", id="decode, unicode"),
        pytest.param("%20", {"decode": "percent"}, "fallback", id="what is blank when decoded is null"),
        pytest.param("\ud800%41", {"decode": "percent"}, BAD_TEXT, id="a text that can't be stored"),
    ],
)
def test_steps_have_one_order(value: str, column: dict[str, Any], expected: Any) -> None:
    assert url(value, **column) == expected


def test_each_field_that_is_joined_is_decoded_by_itself() -> None:
    assert url("a%20b", join=["url", "other"], **{"from": None}, decode="percent") == "a b fallback"
    assert url("%E9", join=["url", "other"], **{"from": None}, decode="percent") == BAD_TEXT


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("YES", True), (1, True), ("true", True), ("0", False), ("nein", False)]
)
def test_words_are_booleans(value: Any, expected: bool) -> None:
    of = with_columns(new={"type": "boolean", "words": {"true": [1, True], "false": [0, "Nein"]}})
    assert validated(of, row(new=value)).events["new"].to_list() == [expected]


def test_another_word_is_of_the_wrong_type() -> None:
    of = with_columns(new={"type": "boolean", "words": {"true": ["1"]}})
    assert reasons(validated(of, row(new="0"))) == [{("wrong_type", "new")}]


def test_a_number_or_time_is_read_from_the_part() -> None:
    of = with_columns(
        ms={"type": "integer", "from": "request", "extract": r"took (\d+)"},
        seen={"type": "timestamp", "from": "request", "split": {"separator": " ", "part": 0}, "formats": ["iso8601"]},
    )
    events = validated(of, row(request="20260101T1000Z took 12 ms")).events
    assert events.select("ms").row(0) == (12,)
    assert events["seen"][0].isoformat() == "2026-01-01T10:00:00+00:00"


def test_a_pseudonym_is_of_the_part() -> None:
    source = {"from": "user", "decode": "percent", "split": {"separator": "|", "part": 0}}
    columns = {**PLAIN["columns"], "user_id": source}
    of = stream(columns=columns, pseudonymize={"user_id": "hmac"}, pseudonym_key="0123456789abcdef")
    users = validated(of, row(user="ann%7C1"), row(id="2", user="ann|2"), row(id="3", user="bob|2")).events["user_id"]
    assert users[0] == users[1] != users[2]
    assert "ann" not in users[0]
