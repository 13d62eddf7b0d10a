#!/usr/bin/env bash
# One would guess: filtering a polars DataFrame by an expression that names no column keeps all rows or none, however
# long the frame is, eagerly as lazily.
# Seen: polars 2.1.0 keeps all rows of 10,000 by `pl.lit(None).is_null()`, and raises ShapeError for a frame of 20,000
# rows in one chunk with two or more threads; the same predicate works lazily, and so does pl.lit(True). So a test on a
# small frame does not show what a day's file meets.
# Python 3.11 to 3.13, polars 2.1.0, 2026-11-28.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0
POLARS_MAX_THREADS=2 "$folder/venv/bin/python" - >"$folder/seen" <<'PYTHON'
import polars as pl

constant = pl.lit(None, pl.String).is_null()
for rows in (10_000, 20_000):
    frame = pl.DataFrame({"a": range(rows)})
    print(rows, "lazily:", frame.lazy().filter(constant).collect().height)
    try:
        print(rows, "eagerly:", frame.filter(constant).height)
    except pl.exceptions.ShapeError as error:
        print(rows, "eagerly:", type(error).__name__)
PYTHON
cat "$folder/seen"
diff "$folder/seen" - <<'EXPECTED'
10000 lazily: 10000
10000 eagerly: 10000
20000 lazily: 20000
20000 eagerly: ShapeError
EXPECTED
