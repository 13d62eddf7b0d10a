"""What one JSON object means: what is nearly JSON, and by which option it is read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.sources.formats.errors import MalformedError
from sessions_platform.sources.formats.json_objects import json_decoder


def decoded(payload: bytes, **options: Any) -> Any:
    return json_decoder(FormatOptions.model_validate({"format": "ndjson", **options}))(payload, None)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b'{"a": NaN}', "a is NaN, which JSON does not have: set non_finite: null"),
        (b'{"a": 1, "b": [{"c": 2}, {"c": -Infinity}]}', "b[1].c is -Infinity, which JSON does not have"),
        (b'{"a": "NaN", "b": Infinity, "a": 1}', "b is Infinity, which JSON does not have"),
        (b'{"\\u0000": NaN}', "\\u0000 is NaN"),
        (b"NaN", "it is NaN"),
        (b'{"a": NaNa}', "is not one JSON object: invalid character"),
        (b'{"a": "NaN", "b": }', "is not one JSON object: invalid character"),
        (b'{"a": NaN, "b": 1e400}', "is not one JSON object: invalid character"),
    ],
)
def test_a_number_that_json_does_not_have_is_named(payload: bytes, reason: str) -> None:
    with pytest.raises(MalformedError) as error:
        decoded(payload)
    assert str(error.value).startswith(reason)


values = st.recursive(
    st.floats() | st.none() | st.text(max_size=3) | st.integers(-9, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=2), values, max_size=3))
def test_with_null_only_what_is_not_finite_is_null(fields: dict[str, Any]) -> None:
    payload = json.dumps(fields).encode()
    expected = json.loads(payload, parse_constant=lambda _: None)
    assert _as_python(decoded(payload, non_finite="null")) == expected


def _as_python(value: Any) -> Any:
    import msgspec

    return json.loads(msgspec.json.encode(value)) if isinstance(value, dict) else value


def test_yaml_null_is_the_option() -> None:
    assert decoded(b'{"a": [NaN, 1]}', non_finite=None) == {"a": [None, 1]}


@pytest.mark.parametrize(
    ("payload", "fields"),
    [
        (b'{"a": "caf\xe9"}', {"a": "café"}),
        (b'{"a": "caf\xc3\xa9 \xe9\xff", "\x80": 1}', {"a": "café éÿ", "\x80": 1}),
        (b'{"a": "\xed\xa0\x80"}', {"a": "í\xa0\x80"}),
        ('{"a": "😀é"}'.encode(), {"a": "😀é"}),
    ],
)
def test_bytes_that_are_not_utf_8_may_be_latin_1(payload: bytes, fields: dict[str, Any]) -> None:
    assert decoded(payload, invalid_utf8="latin-1") == fields
    if b"\xf0" not in payload:
        with pytest.raises(MalformedError, match="is not UTF-8"):
            decoded(payload)


@given(st.text(max_size=5), st.binary(max_size=5))
def test_text_that_is_utf_8_stays_as_it_is(text: str, other: bytes) -> None:
    payload = json.dumps({"a": text}, ensure_ascii=False).encode()
    assert decoded(payload, invalid_utf8="latin-1") == {"a": text}
    assert other.decode(errors="sessions_platform.latin-1").isascii() == other.isascii()


def test_of_a_key_twice_the_last_value_counts() -> None:
    assert decoded(b'{"a": 1, "b": {"c": 1, "c": 2}, "a": 3}') == {"a": 3, "b": {"c": 2}}
