"""Values in Avro as JSON: by the schema of a file, or by the one that each value names and a registry has.

A value becomes the JSON object that a row of an Avro file becomes (`formats.avro.values`). One that is no Avro of its
schema stays as it is, and is rejected later on, like any value that is no JSON. Not here: reading messages (`log`).
"""

import io
import json
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

from fastavro import schemaless_reader

from sessions_platform.contracts.avro_values import AvroValues
from sessions_platform.contracts.http_source import HttpSource
from sessions_platform.contracts.kafka_source import KafkaSource
from sessions_platform.errors import UserError
from sessions_platform.sources.errors import SourceRefusedError
from sessions_platform.sources.formats.avro.bounded import require_bounded
from sessions_platform.sources.formats.avro.values import readable_schema
from sessions_platform.sources.formats.typed.json_text import json_row
from sessions_platform.sources.http.client import AbsentError, Client, Keys

_KEY = "source.avro"
_KEYS = Keys(auth=f"{_KEY}.auth", url=f"{_KEY}.registry", request=f"{_KEY}.registry")
# Confluent's wire format: a zero, the schema's id in four bytes, then the value.
_MAGIC, _BEGINNING = 0, 5
_NO_SUCH_SCHEMA = 40403


class Values(Protocol):
    """How values become payloads."""

    def payloads(self, values: list[bytes]) -> list[bytes]:
        """The payload of each value.

        Raises:
            SourceRefusedError: its schema can't be had.
        """
        ...

    def said(self, values: list[bytes]) -> list[bytes] | None:
        """Further members of the envelopes of messages with these values, each behind a comma; None if none has."""
        ...


class AsTheyAre:
    """Values that are payloads."""

    def payloads(self, values: list[bytes]) -> list[bytes]:
        return values

    def said(self, values: list[bytes]) -> None:  # noqa: ARG002
        return None


class OfOneSchema:
    """Values in Avro whose schema is a file's."""

    def __init__(self, file: Path) -> None:
        self._file, self._schema = file, None

    def payloads(self, values: list[bytes]) -> list[bytes]:
        if self._schema is None:
            self._schema = self._read()
        return [decoded(value, 0, self._schema) for value in values]

    def said(self, values: list[bytes]) -> None:  # noqa: ARG002
        return None

    def _read(self) -> Any:
        try:
            return _schema_of(self._file.read_bytes())
        except OSError as error:
            reason = f"can't be read: {error.strerror or error}"
        except Exception as error:  # fastavro raises nearly anything
            reason = f"is no Avro schema that can be read: {error}"
        raise UserError(f"{_KEY}.schema_file: {self._file} {reason}. Fix: name the schema by which values are written.")


class OfRegistry:
    """Values in Avro that begin with the id of their schema, which a registry has. It is asked once for each id."""

    def __init__(self, source: KafkaSource, stated: AvroValues) -> None:
        self._place, self._stated = source.place, stated
        api = {"type": "http", "url": f"{stated.registry}".rstrip("/"), "auth": stated.auth}
        self._api = HttpSource.model_validate({**api, "give_up_after": source.give_up_after})
        self._schemas: dict[int, Any] = {}

    def payloads(self, values: list[bytes]) -> list[bytes]:
        return list(map(self._payload, values))

    def _payload(self, value: bytes) -> bytes:
        if (number := _schema_id(value)) is None:
            return value
        if number not in self._schemas:
            self._schemas[number] = self._asked(number)
        schema = self._schemas[number]
        return value if schema is None else decoded(value, _BEGINNING, schema)

    def said(self, values: list[bytes]) -> list[bytes]:
        return [b"" if number is None else b',"schema_id":%d' % number for number in map(_schema_id, values)]

    def _asked(self, number: int) -> Any:
        """The schema with this id; None where there is none and the stream rejects such values."""
        url = f"{self._api.url}/schemas/ids/{number}"
        try:
            with closing(Client(self._api, _KEYS)) as client:
                body = client.page(url, {}).body
        except AbsentError as absent:
            if _error_code(absent.body) != _NO_SUCH_SCHEMA:
                raise
            return self._unknown(number)
        return self._read(body, url)

    def _unknown(self, number: int) -> None:
        if self._stated.on_unknown == "fail":
            raise SourceRefusedError(
                f"{self._place}: a value names schema {number}, which {self._api.url} does not have. Fix: correct "
                f"{_KEY}.registry, or register the schema; or set {_KEY}.on_unknown to reject."
            )

    def _read(self, body: bytes, url: str) -> Any:
        try:
            answer = json.loads(body)
            if answer.get("schemaType", "AVRO") != "AVRO" or answer.get("references"):
                raise ValueError("it is of another type than Avro, or refers to other schemas")
            return _schema_of(answer["schema"])
        except Exception as error:  # fastavro raises nearly anything
            raise SourceRefusedError(
                f"{url} has no schema that can be read: {error}. Fix: correct {_KEY}.registry, or have values written "
                "by a schema of its own."
            ) from None


def values_of(source: KafkaSource, folder: Path) -> Values:
    """How the values of a source's messages become payloads; a relative path starts from the folder."""
    if source.avro is None:
        return AsTheyAre()
    if source.avro.schema_file is not None:
        return OfOneSchema(folder / source.avro.schema_file)
    return OfRegistry(source, source.avro)


def decoded(value: bytes, start: int, schema: Any) -> bytes:
    """The JSON of a value's bytes from `start` on; the value as it is where they are no Avro of this schema."""
    record = io.BytesIO(value)
    record.seek(start)
    try:
        row: Any = schemaless_reader(record, schema, None, handle_unicode_errors="surrogateescape")
    except Exception:  # fastavro raises nearly anything
        return value
    # What is left over shows that the value is of another schema.
    return value if record.tell() < len(value) else json_row(row)


def _schema_of(text: str | bytes) -> Any:
    schema = readable_schema(json.loads(text))
    require_bounded(schema)
    return schema


def _schema_id(value: bytes) -> int | None:
    is_framed = len(value) >= _BEGINNING and value[0] == _MAGIC
    return int.from_bytes(value[1:_BEGINNING], "big") if is_framed else None


def _error_code(body: bytes) -> int | None:
    try:
        return json.loads(body)["error_code"]
    except (ValueError, KeyError, TypeError):
        return None
