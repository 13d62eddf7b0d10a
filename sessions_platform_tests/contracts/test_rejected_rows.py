"""What a process imports that only rejects rows, which nearly every run does."""

import subprocess
import sys
from pathlib import Path

_REJECT_A_ROW = """
import sys
import polars as pl
from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.transforms.parse.parse import parse_and_observe
from sessions_platform.transforms.validate import validate
from sessions_platform_tests.streams import stream
payload = b'{"id": "a", "user": null, "ts": "2026-01-01T10:00:00Z", "type": "view"}'
raw = pl.DataFrame([("2026-01-01", "a", 1, None, payload, b"", None, None)], schema=RAW_EVENTS, orient="row")
rejected = validate(parse_and_observe(raw, stream())[0], stream(), "2026-01-01").rejected
print(rejected["reasons"][0][0]["code"], *{"pandera", "pandas"} & sys.modules.keys())
"""


def test_a_row_is_rejected_without_importing_pandera() -> None:
    command = [sys.executable, "-W", "ignore", "-c", _REJECT_A_ROW]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert printed.stdout.split() == ["missing_identity"]
