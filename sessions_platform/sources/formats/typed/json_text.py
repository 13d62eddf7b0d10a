"""A row of a typed format as JSON text, for the child process that reads files and for messages alike.

Not here: how the values of each type are written (`rows`, `formats.avro.values`).
"""

import json
from typing import Any

import msgspec


def json_row(row: Any) -> bytes:
    """A row as a JSON object, in ASCII where a text has lone surrogates."""
    try:
        return msgspec.json.encode(row)
    except UnicodeEncodeError:
        return json.dumps(row, separators=(",", ":")).encode()
