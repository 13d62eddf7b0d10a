"""The JSON schema of a stream's file, for editors: python -m sessions_platform.contracts.json_schema FILE.

It is generated from the models; rules that relate two keys (``stream_checks``) can't be part of it.
"""

import json
import sys
from pathlib import Path

from sessions_platform.contracts.stream import Stream


def json_schema() -> str:
    """The schema as JSON text, as docs/stream.schema.json contains it."""
    return json.dumps(Stream.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(json_schema(), encoding="utf-8")
