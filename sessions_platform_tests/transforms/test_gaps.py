"""Rows are put into gaps as if all rows had been brought together and sorted."""

import subprocess
import sys

import numpy as np
import polars as pl
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.polars_types import REASONS
from sessions_platform.transforms.parse.gaps import filled
from sessions_platform.transforms.parse.row_parser import no_parse_errors

TEXT = st.none() | st.sampled_from(["", "é", "x" * 12, "x" * 13, "long enough for a buffer", "another such text"])
ROW = st.tuples(TEXT, TEXT, st.booleans())  # and whether it is a gap
REASON_OF_ONE = {"code": "malformed", "column": "", "rule": "is not JSON", "value": None}


def views_of(texts: list[str | None]) -> tuple[np.ndarray, pl.Series]:
    """Texts in memory that is ours, as the scanner makes them."""
    arrow = pl.Series(texts, dtype=pl.String).to_arrow(compat_level=pl.CompatLevel.newest())
    bits, views, *buffers = arrow.buffers()
    own = np.frombuffer(views, np.dtype("V16"))[: len(texts)].copy()
    parts = [bits, pa.py_buffer(own), *buffers]
    return own, pl.Series(pa.Array.from_buffers(pa.string_view(), len(texts), parts))


@settings(max_examples=60)
@given(st.lists(ROW, min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_gaps_are_filled_in_own_memory_in_a_copy_and_where_a_column_is_there_twice(rows: list, random: object) -> None:
    own, texts = views_of([None if is_gap else text for text, _, is_gap in rows])
    gaps = [number for number, (*_, is_gap) in enumerate(rows) if is_gap]
    random.shuffle(gaps)  # type: ignore[attr-defined]
    of_gaps = [rows[number] for number in gaps]
    frame = pl.DataFrame({"own": texts, "twice": texts, "copied": texts.fill_null("default")})
    frame = frame.with_columns(nothing=pl.lit(None, pl.String), parse_errors=no_parse_errors(len(rows)))
    others = pl.DataFrame(
        {
            "own": [text for text, *_ in of_gaps],
            "twice": [text for _, text, _ in of_gaps],
            "copied": [text for text, *_ in of_gaps],
            "nothing": [text for _, text, _ in of_gaps],
            "parse_errors": [[REASON_OF_ONE] * (number % 3) for number in gaps],
        },
        schema={**dict.fromkeys(["own", "twice", "copied", "nothing"], pl.String()), "parse_errors": REASONS},
    )
    made = filled(frame, others, np.array(gaps, np.int64), own[None])
    assert made.schema == frame.schema
    assert made.to_dicts() == [
        {
            "own": text,
            "twice": other if is_gap else text,
            "copied": text if is_gap else text or ("default" if text is None else text),
            "nothing": other if is_gap else None,
            "parse_errors": [REASON_OF_ONE] * (number % 3) if is_gap else [],
        }
        for number, (text, other, is_gap) in enumerate(rows)
    ]


def test_reasons_are_put_into_gaps_without_an_import_of_pandas() -> None:
    program = """
import sys
import numpy as np
import polars as pl
from sessions_platform.transforms.parse.gaps import lists_at
made = lists_at(pl.Series([["a"], []], dtype=pl.List(pl.String)), np.array([2, 0]), 3)
assert made.to_list() == [[], [], ["a"]]
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
