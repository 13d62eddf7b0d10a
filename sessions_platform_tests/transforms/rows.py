"""Raw rows of the stream ``PLAIN``, and the results of their validation; for the tests of this folder."""

import json
from typing import Any

import polars as pl

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.stream import Stream
from sessions_platform.transforms.parse.parse import parse
from sessions_platform.transforms.validate import ValidationResult, validate
from sessions_platform_tests.streams import PLAIN, stream

LANDING = "2026-01-01"
NOON = "2026-01-01T12:00:00Z"
DERIVED = {name: column for name, column in PLAIN["columns"].items() if name != "event_id"}


def row(**fields: Any) -> dict[str, Any]:
    """A valid payload of the stream ``PLAIN``, with these fields changed."""
    return {"id": "1", "user": "ann", "ts": NOON, "type": "view", **fields}


def raw(*payloads: dict[str, Any] | bytes, uri: str = "a.ndjson", landing: str = LANDING) -> pl.DataFrame:
    rows = [
        {
            "landing_partition": landing,
            "source_uri": uri,
            "position": position,
            "payload": payload if isinstance(payload, bytes) else json.dumps(payload).encode(),
            "header": None,
            "corrupt_reason": None,
            "preamble": None,
            "line_terminator": b"\n",
        }
        for position, payload in enumerate(payloads, start=1)
    ]
    return pl.DataFrame(rows, schema=RAW_EVENTS)


def validated(of: Stream, *payloads: dict[str, Any] | bytes, landing: str = LANDING) -> ValidationResult:
    return validate(parse(raw(*payloads, landing=landing), of), of, landing)


def reasons(validation: ValidationResult) -> list[set[tuple[str, str]]]:
    """Code and column of each rejected row's reasons."""
    return [{(reason["code"], reason["column"]) for reason in row} for row in validation.rejected["reasons"].to_list()]


def with_columns(**columns: Any) -> Stream:
    return stream(columns={**PLAIN["columns"], **columns})


RULES = with_columns(
    event_type={"from": "type", "isin": ["view", "buy"]},
    page_url={"from": "url", "nullable": True, "pattern": "^https:"},
    amount={"type": "float", "nullable": True, "ge": 0, "lt": 100},
    stars={"type": "integer", "nullable": True, "isin": [1, 2, 3]},
    new={"type": "boolean", "nullable": True},
    signed_up={"type": "timestamp", "nullable": True, "formats": ["%Y-%m-%d"], "timezone": "Europe/Berlin"},
)
