#!/usr/bin/env bash
# One would guess: a file of a Delta table that has no bounds for a column is read whatever a filter asks for, since
# nothing is known that would exclude it.
# Seen: deltalake states no bounds for a column of floats with an infinite value, for which JSON has no word, and its
# own to_pyarrow_dataset then finds none of the file's rows by that column, finite values neither. Without a filter all
# rows are there, and polars, which reads the same table by itself, finds them by the same filter.
# Python 3.11 to 3.13, deltalake 1.6.6, pyarrow 26.0.1, polars 2.1.0, 2026-12-01.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check deltalake==1.6.6 pyarrow==26.0.1 polars==2.1.0
"$folder/venv/bin/python" - "$folder" >"$folder/seen" <<'PYTHON'
import sys

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable, write_deltalake

for name, greatest in (("finite", 3.0), ("infinite", float("inf"))):
    path = f"{sys.argv[1]}/{name}"
    write_deltalake(path, pa.table({"amount": [greatest, 2.5]}))
    rows = DeltaTable(path).to_pyarrow_dataset()
    print(name, "all rows:", rows.count_rows())
    print(name, "amount = 2.5:", rows.count_rows(filter=pc.field("amount") == 2.5))
    print(name, "amount = 2.5, by polars:", pl.scan_delta(path).filter(pl.col("amount") == 2.5).collect().height)
PYTHON
cat "$folder/seen"
diff "$folder/seen" - <<'EXPECTED'
finite all rows: 2
finite amount = 2.5: 1
finite amount = 2.5, by polars: 1
infinite all rows: 2
infinite amount = 2.5: 0
infinite amount = 2.5, by polars: 1
EXPECTED
