"""The contract of raw events as a schema."""

from sessions_platform.contracts.raw_events import RAW_EVENTS
from sessions_platform.contracts.schemas.schema import ColumnSchema, Schema
from sessions_platform.contracts.stream import Stream

_NULLABLE = {"preamble", "line_terminator", "header", "corrupt_reason"}


def raw_schema(stream: Stream) -> Schema:
    """The contract of the asset raw_events: exactly the columns of `RAW_EVENTS`, in any order."""
    columns = {name: ColumnSchema(dtype, nullable=name in _NULLABLE) for name, dtype in RAW_EVENTS.items()}
    return Schema(f"{stream.name}.raw_events", columns)
