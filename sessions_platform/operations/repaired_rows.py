"""Mended rows as people hand them in: lines of NDJSON, or a run's config."""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sessions_platform.errors import UserError


@dataclass(frozen=True)
class RepairedRow:
    """A rejected row with the payload that it should have had; `where` tells a person where that is written."""

    rejection_id: str
    payload: bytes = field(repr=False)
    where: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.payload).hexdigest()


def read_file(file: Path) -> dict[str | None, list[RepairedRow]]:
    """The rows of a file, as `read_mended` has them. Raises Mistake where it can't be read."""
    try:
        return read_repaired_rows(file.read_text(encoding="utf-8").split("\n"), str(file))
    except OSError as error:
        raise UserError(f"{file}: it can't be read: {error.strerror}. Fix: name a file that is there.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: it is no UTF-8 at byte {error.start}. Fix: save it as UTF-8.") from None


def read_repaired_rows(lines: Iterable[str], name: str) -> dict[str | None, list[RepairedRow]]:
    """The rows of NDJSON as `export` writes it, by stream (None where a line names none).

    Raises Mistake with the file, the line, the reason and the mend.
    """
    rows: dict[str | None, list[RepairedRow]] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            told = _object(line, where := f"{name}:{number}")
            rows.setdefault(told.get("stream"), []).append(repaired_row(told, where))
    return rows


def repaired_row(told: Mapping[str, Any], where: str) -> RepairedRow:
    """A mended row of its rejection_id, payload and payload_encoding (utf-8 where there is none)."""
    for key in ("rejection_id", "payload"):
        if not isinstance(told.get(key), str):
            raise UserError(f"{where}: {key} is missing, or no text. Fix: write the line as `rejected export` did.")
    encoding = told.get("payload_encoding") or "utf-8"
    if encoding not in {"utf-8", "base64"}:
        raise UserError(f"{where}: payload_encoding is {encoding!r}. Fix: write utf-8 or base64.")
    return RepairedRow(told["rejection_id"], _bytes(told["payload"], encoding, where), where)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise UserError(f"{where}: it is no JSON object. Fix: one object a line, as `rejected export` writes them.")
    return told


def _bytes(payload: str, encoding: str, where: str) -> bytes:
    try:
        return base64.b64decode(payload, validate=True) if encoding == "base64" else payload.encode()
    except binascii.Error:
        raise UserError(f"{where}: payload is no base64. Fix: encode it, or write payload_encoding: utf-8.") from None
    except UnicodeEncodeError:
        repair = "write the bytes in base64, and payload_encoding: base64"
        raise UserError(f"{where}: payload holds half of a character. Fix: {repair}.") from None
