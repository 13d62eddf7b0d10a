#!/usr/bin/env bash
# One would guess: the least and greatest value in a Parquet footer are read by pyarrow without further libraries.
# Seen: pyarrow 26.0.1 imports pandas for `statistics.min` of a timestamp, where pandas is installed, which takes half a
# second once in each process; `has_min_max`, `min_raw` and the values of integers do not.
# Python 3.11 to 3.13, pyarrow 26.0.1, pandas 2.3.3, 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1 pandas==2.3.3
"$folder/venv/bin/python" - "$folder/a.parquet" <<'PYTHON'
import sys

import pyarrow as pa
import pyarrow.parquet as pq

at = pa.array([1772323200000000]).cast(pa.timestamp("us", "UTC"))
pq.write_table(pa.table({"at": at, "n": pa.array([1])}), sys.argv[1])
PYTHON
"$folder/venv/bin/python" - "$folder/a.parquet" >"$folder/seen" <<'PYTHON'
import sys

import pyarrow.parquet as pq

times, numbers = (pq.read_metadata(sys.argv[1]).row_group(0).column(column).statistics for column in (0, 1))


def say(what):
    print(what, "pandas" in sys.modules)


say(f"n.min {numbers.min}:")
say(f"at.has_min_max {times.has_min_max}:")
say(f"at.min_raw {times.min_raw}:")
say(f"at.min {times.min}:")
PYTHON
cat "$folder/seen"
diff "$folder/seen" - <<'EXPECTED'
n.min 1: False
at.has_min_max True: False
at.min_raw 1772323200000000: False
at.min 2026-03-01 00:00:00+00:00: True
EXPECTED
