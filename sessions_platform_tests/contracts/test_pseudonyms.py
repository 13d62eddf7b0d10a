"""Pseudonyms of single values, what a stream may pseudonymize, and what a changed key changes."""

import ipaddress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.pseudonym_checks import pseudonym_issues
from sessions_platform.contracts.pseudonyms import keyed_pseudonym, truncated_address
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform_tests.streams import PLAIN, stream

KEY = "a key that is long enough"
URL = {"page_url": "hmac"}


def problems(pseudonymize: dict[str, str], key: str | None = KEY, **columns: Any) -> list[tuple[str, str]]:
    raw = {"columns": {**PLAIN["columns"], **columns}, "pseudonymize": pseudonymize}
    return [(".".join(issue.key_path), issue.reason) for issue in pseudonym_issues(raw, key)]


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_an_address_becomes_the_first_of_its_network(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    bits = 24 if mapped or address.version == 4 else 48
    network = ipaddress.ip_network((mapped or address, bits), strict=False)
    assert truncated_address(str(address)) == str(network.network_address)


@given(st.text())
def test_a_text_that_is_no_address_has_no_network(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        assert truncated_address(text) is None


def test_a_keyed_pseudonym_is_what_other_tools_compute() -> None:
    # printf %s ann | openssl dgst -sha256 -hmac 'a key that is long enough'
    assert keyed_pseudonym(KEY, "ann") == "44c491d16cc59d7a5a7e86b8d363e12bee9c699ff9c596bdd1c214e91e3e1b26"


@pytest.mark.parametrize(
    ("pseudonymize", "columns", "expected"),
    [
        ({"user_id": "hmac", "page_url": "hmac"}, {}, None),
        ({"nobody": "hmac"}, {}, ("pseudonymize.nobody", "there is no column 'nobody'")),
        ({"event_type": "hmac"}, {}, ("pseudonymize.event_type", "a session's primary action is found by it")),
        ({"event_timestamp": "hmac"}, {}, ("pseudonymize.event_timestamp", "it is no string")),
        ({"age": "hmac"}, {"age": {"type": "integer"}}, ("pseudonymize.age", "it is no string")),
        ({"user_id": "truncate_ip"}, {}, ("pseudonymize.user_id", "all users of a network would be one")),
        (
            {"user_id": "hmac"},
            {"login": {"from": ["name", "user"]}},
            ("pseudonymize.user_id", "the column login has the same field 'user' in clear"),
        ),
        ({"user_id": "hmac", "login": "hmac"}, {"login": {"from": "user"}}, None),
        (
            {"ip": "hmac"},
            {"ip": {"from": '"a"."b"'}, "address": {"from": "a.b"}},
            ("pseudonymize.ip", "the column address has the same field 'a.b' in clear"),
        ),
        (
            {"ip": "truncate_ip"},
            {"ip": {"from": "forwarded[0]"}},
            ("pseudonymize.ip", "the list or text that it is in stays in properties, in clear"),
        ),
    ],
)
def test_what_can_not_be_pseudonymized_is_told(
    pseudonymize: dict[str, str], columns: dict[str, Any], expected: tuple[str, str] | None
) -> None:
    assert problems(pseudonymize, **columns) == ([expected] if expected else [])


def test_a_missing_or_short_key_is_told_and_never_shown(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(
        "name: web\nstart: 2026-01-01\nsource: {files: '*', format: ndjson}\npseudonymize: {user_id: hmac}\n"
        "columns:\n  user_id: {}\n  event_type: {}\n  event_timestamp: {formats: ['%+']}\n"
    )
    with pytest.raises(StreamError, match=r"hmac needs a key\. Fix: set SESSIONS_PSEUDONYM_KEY"):
        load_stream(file, tmp_path)
    with pytest.raises(StreamError, match="shorter than 16") as caught:
        load_stream(file, tmp_path, "short secret")
    assert "short secret" not in str(caught.value)
    read = load_stream(file, tmp_path, KEY)
    assert KEY not in repr(read)
    assert KEY not in read.model_dump_json()


def test_a_key_in_the_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(f"name: web\npseudonym_key: {KEY}\n")
    with pytest.raises(StreamError, match="pseudonym_key: the key is not known"):
        load_stream(file, tmp_path)


def test_a_changed_key_or_method_changes_the_versions_of_streams_that_use_it() -> None:
    one = stream(pseudonymize=URL, pseudonym_key=KEY)
    other = stream(pseudonymize=URL, pseudonym_key=KEY[::-1])
    without = [stream(pseudonym_key=KEY), stream(pseudonym_key=KEY[::-1]), stream()]
    versions = {(each.contract_version, each.definition_version) for each in (one, other, *without)}
    assert len(versions) == 3
    truncated = [stream(pseudonymize={"page_url": "truncate_ip"}, pseudonym_key=key) for key in (KEY, None)]
    assert len({each.contract_version for each in truncated}) == 1
    assert truncated[0].contract_version != one.contract_version
