"""Rejected rows keep their bytes and their ids."""

import base64

import polars as pl
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.contracts.schemas.rejected_events import rejected_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.rejections import payload_bytes, rejections
from sessions_platform.transforms.stretches import ROWS
from sessions_platform.transforms.validate import validate
from sessions_platform_tests.streams import stream
from sessions_platform_tests.transforms.rows import (
    LANDING,
    RULES,
    raw,
)

PAYLOADS = [
    b"",
    b"{",
    "é€😀".encode(),
    b"\xff\xfe",
    b"a\0b",
    b"\xed\xa0\x80",
    b"\\N",
    b'"',
    b"\r\n\t ",
    b"\xef\xbb\xbf{}",
]


def rejected_rows(*payloads: bytes, of: Stream | None = None, uri: str = "a") -> pl.DataFrame:
    of = of or stream()
    return rejections(validate(parse(raw(*payloads, uri=uri), of), of, LANDING).rejected, of)


def test_payloads_are_kept_byte_for_byte_as_text_where_they_can_be() -> None:
    rows = rejected_rows(*PAYLOADS)
    kept = [payload_bytes(payload, encoding) for payload, encoding in rows.select("payload", "payload_encoding").rows()]
    assert kept == PAYLOADS
    assert [at for at, encoding in enumerate(rows["payload_encoding"]) if encoding == "base64"] == [3, 4, 5]
    rejected_schema(stream()).validate(rows, lazy=True)


@example([b"\xff"])
@given(st.lists(st.binary(max_size=20) | st.text(max_size=20).map(str.encode), max_size=6))
@settings(max_examples=50)
def test_any_bytes_are_preserved(payloads: list[bytes]) -> None:
    rows = raw(*payloads).with_columns(pl.lit(1, pl.Int64).alias(ROWS), reasons=pl.lit([], REASONS))
    rejected = rejections(rows, stream())
    assert [payload_bytes(*row) for row in rejected.select("payload", "payload_encoding").rows()] == payloads
    for payload, encoding in rejected.select("payload", "payload_encoding").rows():
        assert "\0" not in payload
        assert encoding == "utf-8" or base64.b64decode(payload, validate=True) is not None


def test_a_rejection_id_does_not_depend_on_the_contract() -> None:
    before = rejected_rows(b"{", b"[", b"[")
    after = rejected_rows(b"{", b"[", b"[", of=RULES)
    assert before["rejection_id"].to_list() == after["rejection_id"].to_list()
    assert before["rejection_id"].n_unique() == 3
    assert set(before["contract_version"]) != set(after["contract_version"])


def test_another_place_payload_or_stream_is_another_rejection() -> None:
    one = rejected_rows(b"{")
    others = [rejected_rows(b"{", uri="b"), rejected_rows(b"["), rejected_rows(b"{", of=stream(name="app"))]
    assert len({name for frame in [one, *others] for name in frame["rejection_id"]}) == 4
