"""A path states its landing partition, or none."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_platform.contracts.calendar import Cadence, Calendar, midnight
from sessions_platform.contracts.path_directives import DIRECTIVES
from sessions_platform.contracts.path_template import PathTemplate, TemplateError


def template(text: str, cadence: str = "daily", end: date | None = date(2026, 2, 1)) -> PathTemplate:
    last = midnight(end, "UTC") if end else None
    return PathTemplate(text, Calendar(Cadence(cadence), datetime(2026, 1, 1, tzinfo=UTC), "UTC", last))


@pytest.mark.parametrize(
    ("cadence", "stated", "key"),
    [
        pytest.param("daily", "2026-01-01", "2026-01-01", id="the first day"),
        pytest.param("daily", "2025-12-31", None, id="the day before the start"),
        pytest.param("daily", "2026-01-31", "2026-01-31", id="the last day"),
        pytest.param("daily", "2026-02-01", None, id="the end"),
        pytest.param("weekly", "2025-12-29", "2025-12-29", id="the Monday of the week of the start"),
        pytest.param("weekly", "2025-12-22", None, id="the week before"),
        pytest.param("weekly", "2026-01-06", None, id="a Tuesday"),
        pytest.param("monthly", "2026-01-01", "2026-01-01", id="the first of a month"),
        pytest.param("monthly", "2026-01-02", None, id="the second of a month"),
    ],
)
def test_a_path_states_the_start_of_a_partition_of_the_calendar(cadence: str, stated: str, key: str | None) -> None:
    assert template("in/{partition:%Y-%m-%d}/*", cadence).partition_in(f"in/{stated}/a") == key


def test_a_stream_without_an_end_has_partitions_for_all_time() -> None:
    assert template("in/{partition}", end=None).partition_in("in/2199-12-31") == "2199-12-31"


@pytest.mark.parametrize(
    ("text", "path", "key"),
    [
        ("a/*/{partition}", "a/b/2026-01-02", "2026-01-02"),
        ("a/*/{partition}", "a/b/c/2026-01-02", None),
        ("a/**/{partition}", "a/b/c/2026-01-02", "2026-01-02"),
        ("a/**/{partition}", "a/2026-01-02", "2026-01-02"),
        ("a/{partition}**", "a/2026-01-02/b/c", None),
        ("a/{partition}?", "a/2026-01-02x", "2026-01-02"),
        ("a/{partition}?", "a/2026-01-02/", None),
        ("a/{partition}?", "a/2026-01-02", None),
        ("a/{partition}[0-9]", "a/2026-01-021", "2026-01-02"),
        ("a/{partition}[!/]", "a/2026-01-02/", None),
        ("a.b/{partition}", "axb/2026-01-02", None),
        ("a/**/b/**/{partition}/**/c", "a/x/b/y/2026-01-02/c", "2026-01-02"),
        ("a/**/b/**/{partition}/**/c", "a/x/b/y/2026-01-02/z/d", None),
        ("**/**/{partition}/**/**/*", "2026-01-03/2026-01-02/x", "2026-01-02"),
        ("*-*{partition}-*", "2026-01-01-2026-01-02-2026-01-03-x", "2026-01-03"),
        ("*{partition:%Y}*{partition:%m-%d}*", "2025x2026x01-02.gz", "2026-01-02"),
        ("a\n/{partition}*", "a\n/2026-01-02\n", "2026-01-02"),
        ("{partition:%Y}/{partition:%m%d}", "2026/0102", "2026-01-02"),
        ("{partition:%Y}/{partition:%Y-%m-%d}", "2026/2026-01-02", "2026-01-02"),
        ("{partition:%Y}/{partition:%Y-%m-%d}", "2025/2026-01-02", None),
        ("{partition:%d.%m.%y}", "02.01.26", "2026-01-02"),
        ("{partition:%Y-%j}", "2026-002", "2026-01-02"),
        ("{partition:%Y-%j}", "2026-2", None),
        ("{partition:%d%b%Y}", "02Jan2026", "2026-01-02"),
        ("{partition:%d%b%Y}", "02jan2026", None),
        ("{partition:%d %B %Y}", "02 January 2026", "2026-01-02"),
        ("{partition:%Y%m%d %H:%M:%S}", "20260102 00:00:00", "2026-01-02"),
        ("{partition:%Y%m%d %H:%M:%S}", "20260102 00:00:01", None),
        ("{partition:100%%-%Y-%m-%d}", "100%-2026-01-02", "2026-01-02"),
        ("{partition:%Y-%-m-%-d}*", "2026-1-12x", "2026-01-12"),
        ("{partition:%Y-%-m-%-d}*", "2026-1-2x", "2026-01-02"),
        ("{partition:%Y-%-m-%-d}*", "2026-01-02", None),
        ("*{partition:%-d}.{partition:%Y-%m}", "x12.2026-01", "2026-01-12"),
        ("{partition:epoch_ms}/*.gz", "1767312000000/a.gz", "2026-01-02"),
        ("{partition:epoch_ms}/*.gz", "1767312000001/a.gz", None),
        ("{partition:epoch_ms}/*.gz", "01767312000000/a.gz", None),
        ("{partition:epoch_ms}/*.gz", "999999999999999/a.gz", None),
        ("*{partition:epoch_s}", "a-1767312000", "2026-01-02"),
    ],
)
def test_a_path_is_matched_as_a_glob(text: str, path: str, key: str | None) -> None:
    assert template(text).partition_in(path) == key


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param("/".join(["**/a"] * 8) + "/{partition}", "a/" * 60 + "b", id="many folders"),
        pytest.param("*a" * 8 + "*{partition}", "a" * 250, id="a long name"),
    ],
)
def test_a_name_that_nearly_matches_takes_no_longer_than_its_length(text: str, path: str) -> None:
    """Not timed: tried in every way in which the wildcards may divide it, it would outlast any run of the tests."""
    assert template(text).partition_in(path) is None


@pytest.mark.parametrize(
    ("text", "of_one", "of_all"),
    [
        ("in/{partition}/*.csv", "in/2026-01-02/*.csv", "in/*/*.csv"),
        ("in/{partition:%Y/%m/%d}.csv", "in/2026/01/02.csv", "in/*/*/*.csv"),
        ("in/{partition:%Y-%-m-%-d}.csv", "in/2026-1-2.csv", "in/*.csv"),
        ("in/{partition:epoch_ms}/*", "in/1767312000000/*", "in/*/*"),
    ],
)
def test_the_globs_of_one_partition_and_of_all(text: str, of_one: str, of_all: str) -> None:
    assert (template(text).of("2026-01-02"), template(text).of_all()) == (of_one, of_all)


@pytest.mark.parametrize(
    ("text", "cadence", "message"),
    [
        ("{partition:%Y-%m}", "daily", "'{partition:%Y-%m}' does not distinguish daily partitions"),
        ("{partition:%m-%d}", "daily", "'{partition:%m-%d}' does not distinguish daily partitions"),
        ("{partition:%Y}", "monthly", "'{partition:%Y}' does not distinguish monthly partitions"),
        ("{partition:%Y-%m-%d}", "hourly", "'{partition:%Y-%m-%d}' does not distinguish hourly partitions"),
        ("{partition:%c}", "daily", "%c can't be used in a placeholder: use " + " ".join(DIRECTIVES)),
        (
            "{partition:%Y%-m%-d}",
            "daily",
            "%-m has any number of digits, and others touch it in '{partition:%Y%-m%-d}'",
        ),
        (
            "v2{partition:epoch_s}",
            "daily",
            "epoch_s has any number of digits, and others touch it in 'v2{partition:epoch_s}'",
        ),
    ],
)
def test_a_path_that_two_partitions_would_share_is_an_error(text: str, cadence: str, message: str) -> None:
    with pytest.raises(TemplateError) as error:
        template(text, cadence)
    assert str(error.value) == message


def test_an_hour_without_a_leading_zero_is_stated_by_a_directive_of_its_own() -> None:
    amplitude = template("{partition:%Y-%m-%d_%-H}#*.json.gz", "hourly")
    assert amplitude.of("2026-01-02T03") == "2026-01-02_3#*.json.gz"
    stated = [amplitude.partition_in(f"2026-01-02_{hour}#1.json.gz") for hour in (3, 13, "03", 24)]
    assert stated == ["2026-01-02T03", "2026-01-02T13", None, None]


@pytest.mark.parametrize("directive", ["epoch_s", "epoch_ms", "%Y-%-m-%-d", "%-d.%m.%Y"])
@given(number=st.integers(0, 10_000))
def test_the_path_of_a_partition_states_it(directive: str, number: int) -> None:
    key = f"{date(2026, 1, 1) + timedelta(days=number)}"
    of_all = template(f"a-{{partition:{directive}}}.gz", end=None)
    assert of_all.partition_in(of_all.of(key)) == key
    assert of_all.misfit(of_all.of(key)) is None


OTHERWISE = "its numbers are spelled otherwise. Fix: write {partition:%s} in source.files"
EARLY = "it is dated before the first landing partition, 2026-01-01. Fix: an earlier start, or remove it"
LATE = "it is dated after the stream's end, 2026-02-01. Fix: a later end, or remove it"
NO_START = "its name states no start of a landing partition (%s). Fix: write it as in %s"


@pytest.mark.parametrize(
    ("text", "cadence", "path", "reason"),
    [
        ("{partition:%Y-%m-%d-%H}*.gz", "hourly", "2026-01-02-3.gz", OTHERWISE % "%Y-%m-%d-%-H"),
        ("{partition:%Y-%m-%d-%H}*.gz", "hourly", "2026-1-2-3.gz", OTHERWISE % "%Y-%-m-%-d-%-H"),
        ("{partition:%Y-%m-%d-%-H}*.gz", "hourly", "2026-01-02-03.gz", OTHERWISE % "%Y-%m-%d-%H"),
        ("{partition}/*", "daily", "2026-1-2/a", OTHERWISE % "%Y-%-m-%-d"),
        ("{partition}/*", "daily", "2026-13-45/a", NO_START % ("daily", "2026-01-01/*")),
        ("{partition}/*", "weekly", "2026-01-06/a", NO_START % ("weekly", "2025-12-29/*")),
        ("{partition:%Y%m%d}", "daily", "202611", NO_START % ("daily", "20260101")),
        ("{partition:%d%b%Y}", "daily", "01Foo2026", NO_START % ("daily", "01Jan2026")),
        ("{partition:epoch_ms}", "daily", "1767312000001", NO_START % ("daily", "1767225600000")),
        ("{partition}/*", "daily", "2025-12-31/a", EARLY),
        ("{partition}/*", "daily", "2026-02-01/a", LATE),
        ("{partition}/*", "daily", "2026-01-02/a", None),
        ("{partition}/*", "daily", "latest/a", None),
        ("a-{partition}/*", "daily", "a-b-2026-13-01/a", None),
        ("{partition}/*.gz", "daily", "2026-13-45/a.csv", None),
    ],
)  # fmt: skip
def test_a_path_that_looks_like_a_partition_and_states_none_says_why(
    text: str, cadence: str, path: str, reason: str | None
) -> None:
    assert template(text, cadence).misfit(path) == reason
