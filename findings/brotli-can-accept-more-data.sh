#!/usr/bin/env bash
# One would guess: a brotli Decompressor with an output limit has given all that its input holds once
# `can_accept_more_data()` is true, so a loop that feeds the next piece then, and ends with the input, reads the whole.
# Seen: brotli 1.2.1 answers true while it still holds text of that input back. Such a loop ends without an error and
# without the last two megabytes of a log of 32; only `is_finished()`, which is false, tells. Empty pieces have to be fed
# until it is true.
# Python 3.11, brotli 1.2.1, 2026-11-29.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check brotli==1.2.1
"$folder/venv/bin/python" - >"$folder/seen" <<'PYTHON'
import random

import brotli

numbers = random.Random(1)
lines = (b'{"user":"%d","page":"/p%d"}\n' % (numbers.randrange(10**6), numbers.randrange(50)) for _ in range(10**6))
text = b"".join(lines)
packed = brotli.compress(text, quality=5)
limit = 65536
decompressor = brotli.Decompressor()
read = 0
for start in range(0, len(packed), limit):
    read += len(decompressor.process(packed[start : start + limit], output_buffer_limit=limit))
    while not decompressor.can_accept_more_data():
        read += len(decompressor.process(b"", output_buffer_limit=limit))
print("all was fed: whole", read == len(text), "finished", decompressor.is_finished())
while not decompressor.is_finished():
    read += len(decompressor.process(b"", output_buffer_limit=limit))
print("fed nothing until finished: whole", read == len(text))
PYTHON
cat "$folder/seen"
diff "$folder/seen" - <<'EXPECTED'
all was fed: whole False finished False
fed nothing until finished: whole True
EXPECTED
