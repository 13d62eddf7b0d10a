"""Values of Parquet's types, as its records spell them, mean in a column what they mean in the file."""

from typing import Any

import pytest

from sessions_platform.contracts.stream import Stream
from sessions_platform_tests.streams import PLAIN, stream
from sessions_platform_tests.transforms.rows import NOON, reasons, row, validated


def typed(**columns: Any) -> Stream:
    return stream(
        source={"files": "landing/{partition}/*.parquet", "format": "parquet"}, columns={**PLAIN["columns"], **columns}
    )


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ({"bytes": "text"}, "data:;base64,NDI=", "42"),
        ({"bytes": "hex"}, "data:;base64,ABEiM0RVZneImaq7zN3u/w==", "00112233445566778899aabbccddeeff"),
        ({"bytes": "uuid"}, "data:;base64,ABEiM0RVZneImaq7zN3u/w==", "00112233-4455-6677-8899-aabbccddeeff"),
        ({"bytes": "base64"}, "data:;base64,NDI=", "NDI="),
        ({"bytes": "text"}, "42", "42"),
        ({"number": "exact"}, 42.0, "42"),
        ({"number": "exact"}, "42.00", "42"),
        ({"number": "exact"}, -0.0, "0"),
        ({"number": "exact"}, 1e16, "10000000000000000"),
        ({"number": "exact"}, 1e300, "1e+300"),
        ({"number": "exact"}, 42.5, "42.5"),
        ({"number": "exact"}, "42.", "42."),
        ({}, 42, "42"),
    ],
)
def test_a_user_is_one_whatever_type_a_file_gives_the_id(column: dict[str, Any], value: Any, expected: str) -> None:
    result = validated(typed(user_id={"from": "user", **column}), row(user=value))
    assert result.events["user_id"].to_list() == [expected]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        pytest.param({}, "data:;base64,NDI=", id="nobody said which text"),
        pytest.param({"bytes": "text"}, "data:;base64,/w==", id="not UTF-8"),
        pytest.param({"bytes": "uuid"}, "data:;base64,NDI=", id="not 16 bytes"),
    ],
)
def test_bytes_that_are_no_text_are_rejected_as_an_identity(column: dict[str, Any], value: str) -> None:
    result = validated(typed(user_id={"from": "user", **column}), row(user=value))
    assert ("wrong_type", "user_id") in reasons(result)[0]


def test_bytes_of_another_column_are_kept_as_a_data_uri() -> None:
    assert validated(typed(), row(url="data:;base64,NDI=")).events["page_url"].to_list() == ["data:;base64,NDI="]


@pytest.mark.parametrize("value", [7, 7.0, "7.00", "7"])
def test_a_whole_number_is_an_integer_whatever_its_type(value: Any) -> None:
    result = validated(typed(stars={"type": "integer", "nullable": True}), row(stars=value))
    assert result.events["stars"].to_list() == [7]


def test_a_fraction_is_no_integer() -> None:
    result = validated(typed(stars={"type": "integer", "nullable": True}), row(stars=7.5))
    assert reasons(result) == [{("wrong_type", "stars")}]


@pytest.mark.parametrize("formats", [None, ["%d/%m/%Y"], ["epoch_ms"]])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NOON, NOON),
        ("2026-01-01T12:00:00+00:00", NOON),
        ("2026-01-01T13:00:00.5", "2026-01-01T12:00:00.500000Z"),  # a local time of Berlin
        ("2026-01-02", "2026-01-01T23:00:00Z"),
    ],
)
def test_typed_times_need_no_format(formats: list[str] | None, value: str, expected: str) -> None:
    column = {"from": "ts", "timezone": "Europe/Berlin", **({"formats": formats} if formats else {})}
    (moment,) = validated(typed(event_timestamp=column), row(ts=value)).events["event_timestamp"]
    assert moment.isoformat().replace("+00:00", "Z") == expected
