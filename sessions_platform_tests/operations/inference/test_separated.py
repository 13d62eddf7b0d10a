"""The separator, quotes, escapes and header of CSV are found by its content."""

from typing import Any

import pytest

from sessions_platform.operations.inference.separated import csv_format, first_is_header

ROWS = "".join(f"u{n},2026-01-01 10:{n % 60:02}:00,view,{n}\n" for n in range(50))
HEADER = "user,at,event,amount\n"


def options(text: str, *, is_whole: bool = True) -> dict[str, Any] | None:
    found = csv_format(text, is_whole=is_whole)
    return {key: value for key, value in found[0].items() if key != "format"} if found else None


@pytest.mark.parametrize("separator", [";", "\t", "|", "\x01", "^", "~"])
def test_a_separator_is_found_among_words_times_and_commas(separator: str) -> None:
    text = (HEADER + ROWS).replace(",", separator).replace("view", "view, or so")
    assert options(text) == {"separator": separator}


def test_the_last_line_may_be_cut_off() -> None:
    assert options((HEADER + ROWS)[:-9], is_whole=False) == {}


def test_quoted_separators_and_line_breaks_are_no_separators() -> None:
    rows = "".join(f'u{n},"a, {n}\nb",view\n' for n in range(50))
    assert options(f"user,note,event\n{rows}") == {}


def test_quotes_that_are_letters_are_none() -> None:
    rows = "".join(f'u{n}\t{n}" wide\tview\n' for n in range(30))
    assert options(f'user\tsize\tevent\n{rows}"odd\t1\tview\n{rows}') == {"separator": "\t", "quote": None}


def test_an_escape_is_found_where_records_are_uneven_without_it() -> None:
    notes = ("a\\\tb", "c")
    rows = "".join(f"u{n}\t{notes[n % 2]}\tview\n" for n in range(50))
    found = options(f"user\tnote\tevent\n{rows}")
    assert found
    assert found["escape"] == "\\"


def test_notes_above_are_comments_and_a_header_that_begins_with_a_mark_is_not() -> None:
    assert options("# made by nightly, for all, always\n" + HEADER + ROWS) == {"comment": "#"}
    assert options("#" + HEADER + ROWS) == {}


def test_lines_that_end_in_cr_alone_are_lines() -> None:
    assert options((HEADER + ROWS).replace("\n", "\r")) == {"line_end": "auto"}


def test_runs_of_blanks_separate_where_nothing_else_does() -> None:
    rows = "".join(f"u{n}   2026-01-01T10:00:{n:02}  view\n" for n in range(50))
    assert options(f"user  at   event\n{rows}") == {"separator": "whitespace"}


def test_rows_with_a_separator_more_and_rows_with_fewer_fields_are_rows() -> None:
    assert options(HEADER + ROWS.replace("\n", ",\n")) == {"extra_fields": "keep"}
    short = "".join(f"u{n},2026-01-01\n" for n in range(3))
    assert options(HEADER + ROWS + short) == {"missing_fields": "null"}


@pytest.mark.parametrize("text", ["one word\nin each line\n", "a\nb\n", "{'a': 1}\n"])
def test_text_without_fields_is_no_csv(text: str) -> None:
    assert options(text) is None


@pytest.mark.parametrize(
    ("records", "is_header"),
    [
        ([["user", "at"], ["ann", "2026-01-01"]], True),
        ([["User ID", "Event Time (UTC)"], ["ann", "1"]], True),
        ([["ann", "2026-01-01"], ["bob", "2026-01-02"]], False),
        ([["ann", "view"], ["bob", "view"], ["ann", "buy"]], False),
        ([["7", "8"], ["9", "10"]], False),
        ([["user", "user"], ["a", "b"]], False),
        ([["user", ""], ["a", "b"]], False),
    ],
)
def test_a_header_names_fields_and_is_no_row(records: list[list[str]], is_header: bool) -> None:
    assert first_is_header(records) == is_header


def test_without_a_header_fields_are_named_by_their_numbers() -> None:
    assert options(ROWS) == {"header": ["field_1", "field_2", "field_3", "field_4"]}
