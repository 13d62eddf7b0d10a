"""A row names a user by its user_id, or as a word of its text; longer ids that contain it do not."""

import json
from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.formats import WITHIN_TEXT
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.transforms.erasure import MARKER, UserPattern, marker
from sessions_platform_tests.streams import stream

USER = {"user_id": {"from": ["user.id", "user"]}}
COLUMNS = {**USER, "event_timestamp": {"from": "ts"}, "event_type": {"from": "type"}}


def naming(user: str, payload: bytes, header: bytes | None = None, *, column: Any = None, **source: object) -> Any:
    columns = {**COLUMNS, "user_id": {**COLUMNS["user_id"], **(column or {})}}
    of = stream(columns=columns, source={"files": "*", "format": "ndjson", **source})
    row = {"position": [1], "payload": [payload], "header": [header]}
    raw = pl.DataFrame(row, schema_overrides={"header": pl.Binary}).select(
        pl.col(name) if name in row else pl.lit(None, dtype).alias(name) for name, dtype in RAW_EVENTS.items()
    )
    found = UserPattern([user], of).rows_naming(raw)
    return found["naming"][0] if found.height else None


@pytest.mark.parametrize(
    ("user", "payload", "expected"),
    [
        pytest.param("ann", b'{"user":"ann"}', "owner", id="its user"),
        pytest.param("ann", b'{"user":{"id":"ann"}}', "owner", id="its user, in an object"),
        pytest.param("7", b'{"user":7}', "owner", id="a number"),
        pytest.param("15e-1", b'{"user":15e-1}', "owner", id="a number with an exponent"),
        pytest.param("1.5", b'{"user":15e-1}', None, id="a number that is written otherwise, and so another user"),
        pytest.param("ann", rb'{"user":"\u0061nn"}', "owner", id="escaped where it need not be"),
        pytest.param("a/b", rb'{"user":"a\/b"}', "owner", id="an escaped slash"),
        pytest.param("änn", json.dumps({"user": "änn"}).encode(), "owner", id="not ASCII, escaped"),
        pytest.param("änn", '{"user":"änn"}'.encode(), "owner", id="not ASCII"),
        pytest.param('a"n', rb'{"user":"a\"n"}', "owner", id="a quote"),
        pytest.param("ann", b'{"user":"annabel"}', None, id="a longer id"),
        pytest.param("ann", b'{"user":"joann"}', None, id="the end of another id"),
        pytest.param("ann", b'{"user":"bob","friend":"ann"}', "mention", id="somebody else's row"),
        pytest.param("ann", b'{"user":null,"friend":"ann"}', "text", id="nobody's row"),
        pytest.param("ann", b"{broken, by ann", "text", id="a malformed row"),
        pytest.param("ann", b"{broken, by annabel", None, id="a malformed row of a longer id"),
    ],
)
def test_a_row_names_a_user(user: str, payload: bytes, expected: str | None) -> None:
    assert naming(user, payload) == expected


@pytest.mark.parametrize(
    ("column", "user", "payload"),
    [
        ({"number": "exact"}, "42", b'{"user":42.00}'),
        ({"number": "exact"}, "100", b'{"user":1e2}'),
        ({"case": "lower"}, "ann", b'{"user":"ANN"}'),
        ({"unicode": "NFC"}, "\u00e9", '{"user":"e\u0301"}'.encode()),
        ({"bytes": "hex"}, "00ff", b'{"user":"data:;base64,AP8="}'),
        ({"decode": "percent"}, "ann@x.org", b'{"user":"%61nn%40x.org"}'),
        ({"decode": "nginx"}, 'ann"', rb'{"user":"ann\\x22"}'),
        ({"split": {"separator": "|", "part": 1}}, "ann", b'{"user":"1|ann"}'),
        ({"extract": "id=([a-z]+)"}, "ann", b'{"user":"/?id=ann&x=1"}'),
    ],
)
def test_a_user_is_found_however_the_column_spells_the_id(column: Any, user: str, payload: bytes) -> None:
    assert naming(user, payload, column=column) == "owner"


@pytest.mark.parametrize("text", [r'"{\"id\":\"ann\"}"', r'"{\"id\":\"\\u0061nn\"}"', r'{"id":"ann"}'])
def test_a_user_is_found_in_json_within_a_text(text: str) -> None:
    assert naming("ann", f'{{"p":{text}}}'.encode(), column={"from": "json:p.id"}) == "owner"


def test_a_row_of_nobody_names_a_user_by_its_escapes() -> None:
    assert naming("ann@x", b"{broken, by ann%40x", column={"decode": "percent"}) == "text"
    assert naming("ann@x", b"{broken, by joann%40x", column={"decode": "percent"}) is None


def test_a_user_is_found_in_the_envelope_of_a_batch() -> None:
    assert naming("ann", b'{"x":1}', b'{"user":"ann"}', column={"from": "^user"}, events="batch") == "owner"
    assert naming("ann", b'{"x":1}', b'{"user":"bob"}', column={"from": "^user"}, events="batch") is None


def test_a_user_is_found_in_text_within_a_field_that_is_a_list_of_bytes() -> None:
    parse = {"field": "log", "format": "regex", "pattern": "(?P<user>.*)"}
    assert naming("ann", b'{"log":[97,110,110]}', column={"from": "log.user"}, parse=parse) == "owner"


def test_an_id_in_another_encoding_is_found() -> None:
    assert naming("änn", '{"user":"änn"}'.encode("latin-1"), encoding="latin-1") == "owner"
    assert naming("änn", "{broken änn".encode("latin-1"), encoding="latin-1") == "text"


@pytest.mark.parametrize("file_format", ["ndjson", "csv", WITHIN_TEXT])
def test_a_marker_is_recognized(file_format: str) -> None:
    assert MARKER.fullmatch(marker("0" * 16, "f" * 16, file_format))
