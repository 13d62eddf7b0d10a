"""Small files of every format, and what becomes of their rows. A new format adds its own to `SAMPLES`.

Each file has the same events: of ann, one of them twice; one that the stream skips; one without a user. A text has a
broken record, too. So each of the four kinds of rows occurs.
"""

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import orc

from sessions_platform.contracts.stream import Stream
from sessions_platform_tests.streams import stream

FIELDS = ("id", "user", "ts", "type", "url")
COLUMNS: dict[str, Any] = {
    "event_id": {"from": "id"},
    "user_id": {"from": "user"},
    "event_timestamp": {"from": "ts", "formats": ["%+"], "timezone": "UTC"},
    "event_type": {"from": "type"},
    "page_url": {"from": "url", "nullable": True},
}


def _event(name: str, user: str | None = "ann", type_: str = "view", url: str | None = None) -> tuple[str | None, ...]:
    return name, user, "2026-01-01T12:00:00Z", type_, url


EVENTS = [
    _event("a1", url="/é, or \"b\" and 'c'; d=e"),
    _event("a2", type_="buy"),
    _event("a2", type_="buy"),
    _event("a3", type_="health"),
    _event("a4", user=None),
]


@dataclass(frozen=True)
class Sample:
    """A file, and how many of its rows become what.

    `source` are the keys of the stream's source besides `files`, `columns` those that differ from `COLUMNS`.
    """

    content: bytes
    source: dict[str, Any]
    accepted: int = 2
    rejected: int = 1
    duplicates: int = 1
    skipped: int = 1
    columns: dict[str, Any] = field(default_factory=dict)

    def stream(self) -> Stream:
        return stream(
            source={"files": "*", **self.source},
            columns={**COLUMNS, **self.columns},
            skip=[{"column": "event_type", "isin": ["health"]}],
        )


# Texts ---------------------------------------------------------------------------------------------------

_OBJECTS = [{name: value for name, value in zip(FIELDS, event, strict=True) if value is not None} for event in EVENTS]
_JSON = [json.dumps(each, ensure_ascii=False).encode() for each in _OBJECTS]
_BROKEN_JSON = b'{"id": "a5", "user"'


def _csv(separator: bytes, rows: list[tuple[str | None, ...]]) -> bytes:
    quoted = [[b'"%s"' % (text or "").replace('"', '""').encode() for text in row] for row in rows]
    return b"".join(separator.join(row) + b"\r\n" for row in quoted)


def _words(event: tuple[str | None, ...]) -> bytes:
    """The fields between spaces, `-` for null."""
    return " ".join((text or "-").replace(" ", "+") for text in event).encode() + b"\n"


def _logfmt(fields: dict[str, str]) -> bytes:
    pairs = (f"{name}={json.dumps(text, ensure_ascii=False)}" for name, text in fields.items())
    return " ".join(pairs).encode() + b"\n"


def _query(fields: dict[str, str]) -> bytes:
    return b"/track?" + urlencode(fields).encode() + b"\n"


_WORDS = b"".join(map(_words, EVENTS))
_PATTERN = r"^(?P<id>\S+) (?P<user>\S+) (?P<ts>\S+) (?P<type>\S+) (?P<url>\S+)$"
_NDJSON = b"\n".join([*_JSON, _BROKEN_JSON, b""])
_BATCH = b'{"sentAt": "2026-01-01T12:00:01Z", "batch": [' + b", ".join(_JSON) + b"]}\n"
_QUERIES = _query({"app": "shop", "events": json.dumps(_OBJECTS, ensure_ascii=False)})
_DOCUMENT = b'{"data": {"items": [\n' + b",\n".join(_JSON) + b'\n]},\n "page": 1}\n'
_CSV = _csv(b",", [FIELDS, *EVENTS])


# Files with types ----------------------------------------------------------------------------------------

_TABLE = pa.table([pa.array(column, pa.string()) for column in zip(*EVENTS, strict=True)], names=list(FIELDS))


def _written(write: Callable[[io.BytesIO], None]) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


def _arrow(new: Callable[..., Any]) -> Callable[[io.BytesIO], None]:
    def write(out: io.BytesIO) -> None:
        with new(out, _TABLE.schema) as writer:
            writer.write_table(_TABLE)

    return write


_NULLABLE = [{"name": name, "type": ["null", "string"]} for name in FIELDS]
_SCHEMA: Any = {"type": "record", "name": "event", "fields": _NULLABLE}
_RECORDS = [dict(zip(FIELDS, event, strict=True)) for event in EVENTS]

SAMPLES: dict[str, list[Sample]] = {
    "ndjson": [
        Sample(_NDJSON, {"format": "ndjson"}, rejected=2),
        Sample(_BATCH + b'{"batch": []}\nno JSON\n' + _BATCH, {"format": "ndjson", "events": "batch"},
               rejected=3, duplicates=4, skipped=2),
    ],
    "json": [
        Sample(b"[" + b",\n ".join([*_JSON, _BROKEN_JSON + b"}", b"7"]) + b"]\n", {"format": "json"}, rejected=3),
        Sample(b" ".join(_JSON), {"format": "json"}),
        Sample(_DOCUMENT + _DOCUMENT, {"format": "json", "events": "data.items"},
               rejected=2, duplicates=4, skipped=2),
    ],
    "csv": [
        Sample(_CSV + b'a5,"open\na6\n', {"format": "csv"}, rejected=3),
        Sample(_csv(b"\t", EVENTS), {"format": "csv", "separator": "\t", "header": list(FIELDS)}),
    ],
    "regex": [
        Sample(_WORDS + b"no match\n", {"format": "regex", "pattern": _PATTERN, "nulls": ["-"]}, rejected=2),
    ],
    "w3c": [
        Sample(b"#Version: 1.0\n#Fields: id user ts type url\n" + _WORDS + b"no match\n",
               {"format": "w3c", "nulls": ["-"]}, rejected=2, skipped=3),
    ],
    "logfmt": [Sample(b"".join(map(_logfmt, _OBJECTS)) + b'id="open\n', {"format": "logfmt"}, rejected=2)],
    "query": [
        Sample(b"".join(map(_query, _OBJECTS)) + b"no pair\n", {"format": "query"}, rejected=2),
        Sample(_QUERIES + b"no pair\n" + _QUERIES, {"format": "query", "events": "events"},
               rejected=3, duplicates=4, skipped=2),
    ],
    "parquet": [Sample(_written(lambda out: pq.write_table(_TABLE, out)), {"format": "parquet"})],
    "arrow": [
        Sample(_written(_arrow(pa.ipc.new_stream)), {"format": "arrow"}),
        Sample(_written(_arrow(pa.ipc.new_file)), {"format": "arrow"}),
    ],
    "avro": [Sample(_written(lambda out: fastavro.writer(out, _SCHEMA, _RECORDS)), {"format": "avro"})],
    "orc": [Sample(_written(lambda out: orc.write_table(_TABLE, out)), {"format": "orc"})],
}  # fmt: skip
