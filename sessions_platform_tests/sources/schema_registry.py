"""A schema registry of our own: the one request of Confluent's REST interface that reads a schema by its id.

What the real one answers, and its error codes, are as its documentation says them.
"""

import io
import json
from typing import Any

from fastavro import parse_schema, schemaless_writer

from sessions_platform_tests.sources.api_server import Asked, Reply

_BEGIN = "/v1/events/schemas/ids/"  # behind the URL that `serving` says


class Registry:
    """Schemas by their ids; `Registry().answer` is what `api_server.serving` asks."""

    def __init__(self, **schemas: Any) -> None:
        self.schemas = {int(name.removeprefix("_")): schema for name, schema in schemas.items()}
        self.more: dict[str, Any] = {}

    def answer(self, asked: Asked) -> Reply:
        assert asked.path.startswith(_BEGIN), asked.path
        schema = self.schemas.get(int(asked.path.removeprefix(_BEGIN)))
        if schema is None:
            return Reply(b'{"error_code":40403,"message":"Schema not found"}', 404)
        return Reply(json.dumps({"schema": json.dumps(schema), **self.more}).encode())


def record(*fields: tuple[str, Any]) -> dict[str, Any]:
    """The schema of a record with these fields, by name and type."""
    return {"type": "record", "name": "Click", "fields": [{"name": name, "type": kind} for name, kind in fields]}


def avro(schema: Any, row: Any) -> bytes:
    """A record as Avro writes it, without its schema."""
    written = io.BytesIO()
    schemaless_writer(written, parse_schema(schema), row)
    return written.getvalue()


def framed(number: int, value: bytes) -> bytes:
    """A value in Confluent's wire format."""
    return b"\0" + number.to_bytes(4, "big") + value
