#!/usr/bin/env bash
# One would guess: a time of ISO 8601 with an offset is the same moment whether the format is `%+` alone or `[%+]`, as logs
# have it in brackets; or polars says that it can't read it.
# Seen: polars 2.1.0 reads both without a word; with anything beside `%+` the offset is dropped and the digits are taken for
# UTC, five hours off here. The same directives one by one, `[%Y-%m-%dT%H:%M:%S%z]`, are right.
# Python 3.11 to 3.13, polars 2.1.0, 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check polars==2.1.0
"$folder/venv/bin/python" - >"$folder/seen" <<'PYTHON'
import polars as pl

for text, format in [
    ("2026-03-01T09:00:00+05:00", "%+"),
    ("[2026-03-01T09:00:00+05:00]", "[%+]"),
    ("[2026-03-01T09:00:00+05:00]", "[%Y-%m-%dT%H:%M:%S%z]"),
]:
    print(format, pl.Series([text]).str.to_datetime(format, time_unit="us", time_zone="UTC")[0])
PYTHON
cat "$folder/seen"
diff "$folder/seen" - <<'EXPECTED'
%+ 2026-03-01 04:00:00+00:00
[%+] 2026-03-01 09:00:00+00:00
[%Y-%m-%dT%H:%M:%S%z] 2026-03-01 04:00:00+00:00
EXPECTED
