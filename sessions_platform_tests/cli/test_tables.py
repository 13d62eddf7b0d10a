"""Tables and records for terminals: nothing is wider than the terminal, and no number is cut."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from sessions_platform.cli.tables import Header, fitting, record_lines, table_lines

WORDS = st.text(max_size=60)
NAMES = st.text(alphabet="abc_ ", min_size=1, max_size=20)


@st.composite
def results(draw: st.DrawFn) -> tuple[list[Header], list[list[str | None]]]:
    headers = [Header(name) for name in draw(st.lists(NAMES, min_size=1, max_size=12))]
    row = st.lists(st.none() | WORDS, min_size=len(headers), max_size=len(headers))
    return headers, draw(st.lists(row, min_size=1, max_size=5))


def printed(headers: Sequence[Header], rows: Sequence[Sequence[str | None]], columns: int | None, lines: int = 10):
    layout = fitting(headers, rows, columns, lines)
    if layout is None:
        return list(record_lines(headers, iter(rows), columns, coloured=False))
    return list(table_lines(headers, iter(rows), layout, shows_all="--all", coloured=False))


@given(results(), st.integers(40, 120))
def test_no_line_is_wider_than_the_terminal(result: tuple, columns: int) -> None:
    headers, rows = result
    assert [line for line in printed(headers, rows, columns) if cell_len(line) > columns] == []


@given(results(), st.none() | st.integers(40, 120))
def test_records_have_every_value_whole(result: tuple, columns: int | None) -> None:
    headers, rows = result
    plain = [[None if value is None else "".join(filter(str.isalnum, value)) for value in row] for row in rows]
    text = "".join("".join(record_lines(headers, iter(plain), columns, coloured=False)).split())
    at = 0
    for value in (value for row in plain for value in row):
        at = text.index("NULL" if value is None else value, at)


@given(results())
def test_each_row_is_one_line_of_a_table(result: tuple) -> None:
    headers, rows = result
    layout = fitting(headers, rows, None, 24)
    assert layout is not None
    lines = list(table_lines(headers, iter(rows), layout, shows_all="--all", coloured=False))
    assert len(lines) == len(rows) + 2


def test_a_table_that_is_too_wide_has_the_keys_first_and_names_what_is_left_out() -> None:
    names = ["session_id", "loaded_at", "entry_page", "user_id", "session_start", "note"]
    headers = [Header(name, is_text=name != "session_start") for name in names]
    rows = [["s" * 36, "2026-03-01", "https://shop.example/p/1", "ann", "2026-03-01 09:00:00+00", "x" * 36]] * 30
    title, _rule, first, *_ = lines = printed(headers, rows, 50)
    assert title.split() == ["user_id", "session_start", "entry_page"]
    assert first.split() == ["ann", "2026-03-01", "09:00:00+00", "https://…mple/p/1"]
    assert " ".join(lines[32:]) == "3 of 6 columns fit; --all shows session_id, loaded_at, note"


def test_few_rows_that_are_too_wide_are_records() -> None:
    headers = [Header(f"column_{number}") for number in range(8)]
    lines = printed(headers, [["x" * 20] * 8], 60, lines=24)
    assert lines[0].startswith("── 1 ─")
    assert lines[1] == f"column_0  {'x' * 20}"


def test_rows_that_fit_keep_the_order_of_the_query() -> None:
    headers = [Header("event_count", is_number=True, is_text=False), Header("user_id")]
    assert printed(headers, [["7", "ann"], [None, ""]], 40) == [
        "event_count  user_id",
        "───────────  ───────",
        "          7  ann",
        "       NULL",
    ]


def test_a_later_number_that_is_wider_is_not_cut() -> None:
    headers = [Header("n", is_number=True, is_text=False), Header("word")]
    layout = fitting(headers, [["1", "a"]], 40, 24)
    assert layout is not None
    rows = iter([["1", "a"], ["123456", "abcdef"]])
    assert list(table_lines(headers, rows, layout, shows_all="", coloured=False))[-1] == "123456  abc…"


def test_a_text_of_several_lines_is_one_in_a_table_and_several_in_a_record() -> None:
    headers, rows = [Header("a"), Header("b")], [["one\ntwo\t\x1b[2J", "3"]]
    assert printed(headers, rows, 40)[-1] == r"one\ntwo\t\x1b[2J  3"
    assert list(record_lines(headers, iter(rows), 40, coloured=False))[1:] == ["a  one", r"   two \x1b[2J", "b  3"]


def test_letters_of_two_columns_stay_in_line() -> None:
    lines = printed([Header("name"), Header("n")], [["東京", "1"], ["ab", "2"]], 40)
    assert [cell_len(line) for line in lines[2:]] == [7, 7]
