"""Messages by the compiled library are what Python makes of them: any records, any keys, any numbers."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.scanner import library
from sessions_platform.scanner.library import Scanner
from sessions_platform.sources import messages
from sessions_platform.sources.kafka.columns import Columns
from sessions_platform.sources.kafka.envelope import beginning_of, envelope, envelopes
from sessions_platform.sources.messages import MIN_RECORDS, MessageDigest
from sessions_platform_tests.sources.memory_cluster import StoredMessage

# Around what is inline in a view (12 bytes), and where a size has a digit more.
LENGTHS = [*range(15), 99, 100, 999, 1000, 70_000]
BEGINNING = beginning_of("clicks", 3)
numbers = st.integers(-(2**63), 2**63 - 1)
keys = st.one_of(st.none(), st.binary(max_size=20), st.text("az09 ~/", max_size=20).map(str.encode))


def framed(records: Sequence[bytes]) -> bytes:
    return b"".join(b"%d\n%b" % (len(record), record) for record in records)


@given(st.lists(st.binary(max_size=40), max_size=40))
def test_any_records_are_framed_and_a_column(scanner: Scanner, records: list[bytes]) -> None:
    text, column = scanner.framed(records) or pytest.fail("they are not too many")
    assert bytes(text) == framed(records)
    assert column.to_list() == records


def test_records_of_any_length_are_framed_and_a_column(scanner: Scanner) -> None:
    records = [bytes([length % 256]) * length for length in LENGTHS]
    text, column = scanner.framed(records) or pytest.fail("they are not too many")
    assert bytes(text) == framed(records)
    assert column.to_list() == records


def is_plain(key: bytes | None) -> bool:
    return all(0x20 <= byte <= 0x7E and byte not in b'"\\' for byte in key or b"")


@given(st.lists(st.tuples(numbers, numbers, keys), min_size=1, max_size=20))
def test_any_plain_envelopes_are_those_of_python_and_no_others_are_made(
    scanner: Scanner, rows: list[tuple[int, int, bytes | None]]
) -> None:
    offsets, times, of_rows = map(list, zip(*rows, strict=True))
    made = scanner.envelopes(BEGINNING, offsets, times, of_rows)
    assert (made is not None) == all(map(is_plain, of_rows))
    alone = [envelope(BEGINNING, offset, 1, time, key, None, b"") for offset, time, key in rows]
    assert made is None or made.to_list() == alone


@pytest.mark.parametrize("key", [b'"', b"\\", b"\x1f", b"\n", "é".encode(), b"\xff", b"\x00"])
def test_a_key_that_json_would_spell_otherwise_is_left_to_python(scanner: Scanner, key: bytes) -> None:
    assert scanner.envelopes(BEGINNING, [1, 2], [1, 2], [b"a", key]) is None


def test_more_than_views_can_lead_to_is_left_to_python(scanner: Scanner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "MOST_TEXT", 1000)
    assert scanner.framed([b"x" * 1000]) is None
    assert scanner.envelopes(BEGINNING, [1], [1], [b"x" * 1000]) is None


CASES = {
    "offsets that follow each other": {},
    "gaps between offsets": {"gap": 3},
    "no keys": {"key": None},
    "keys that are no ASCII": {"key": "é".encode()},
    "keys that are no text": {"key": b"\xff"},
    "a header": {"with_headers": [("a", b"b")]},
    "no time": {"time": (0, -1)},
    "a message without a value": {"payload": None},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("is_compiled", [True, False])
def test_envelopes_of_many_messages_are_those_of_each(
    scanner: Scanner, monkeypatch: pytest.MonkeyPatch, case: str, *, is_compiled: bool
) -> None:
    monkeypatch.setattr(library, "_loaded", lambda: scanner if is_compiled else None)
    changes = dict(CASES[case])
    last = MIN_RECORDS + changes.pop("gap", 0)
    many = [StoredMessage(at, b"x", b"k%d" % at) for at in range(MIN_RECORDS)]
    key = changes.pop("key", b"last")
    many.append(StoredMessage(last, changes.pop("payload", b"x"), key, **changes))
    columns = Columns()
    columns.add(many[:40])
    columns.add(many[40:])
    assert list(envelopes(columns, BEGINNING, None)) == [
        envelope(BEGINNING, one.at, *one.time, one.of_key, one.with_headers, one.payload) for one in many
    ]


@pytest.mark.parametrize("size", [MIN_RECORDS - 1, MIN_RECORDS, 3 * MIN_RECORDS])
def test_a_digest_is_the_same_with_and_without_the_library(
    scanner: Scanner, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    records = [b"x" * (at % 40) for at in range(size)]
    digests: list[str] = []
    for loaded in (scanner, None):
        monkeypatch.setattr(library, "_loaded", lambda loaded=loaded: loaded)
        digest = MessageDigest()
        assert list(digest.add(records[:10])) + list(digest.add(records[10:])) == records
        digests.append(digest.hexdigest())
    assert digests[0] == digests[1] == messages.digest_of(records)
