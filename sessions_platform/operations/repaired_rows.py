"""Repaired rows as people submit them: lines of NDJSON, or objects of a run's configuration.

Here belongs reading and decoding them, with errors that name file and line. What is done with them is in `replay.py`.
"""

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
    """A rejected row with a corrected payload; `where` says where that is written, as in "fixed.ndjson:7"."""

    rejection_id: str
    payload: bytes = field(repr=False)
    where: str

    @property
    def digest(self) -> str:
        """SHA-256 of the payload, in hex."""
        return hashlib.sha256(self.payload).hexdigest()


def read_file(file: Path) -> dict[str | None, list[RepairedRow]]:
    """The rows of a file, as `read_repaired_rows` returns them.

    Raises:
        UserError: the file can't be read, is not UTF-8, or a line is not a repaired row.
    """
    try:
        return read_repaired_rows(file.read_text(encoding="utf-8").split("\n"), str(file))
    except OSError as error:
        raise UserError(f"{file}: it can't be read: {error.strerror}. Fix: name an existing file.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: it is not UTF-8 at byte {error.start}. Fix: save it as UTF-8.") from None


def read_repaired_rows(lines: Iterable[str], name: str) -> dict[str | None, list[RepairedRow]]:
    """The rows of NDJSON as `rejected export` writes it; empty lines are skipped.

    Args:
        lines: of a file.
        name: of that file, for errors.

    Returns:
        Rows by stream; None for those that name no stream.

    Raises:
        UserError: a line is not a repaired row; the message has the file, the line, the problem and the fix.
    """
    rows: dict[str | None, list[RepairedRow]] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            document = _object(line, where := f"{name}:{number}")
            rows.setdefault(document.get("stream"), []).append(repaired_row(document, where))
    return rows


def read_rows_by_stream(file: Path, stream: str | None) -> dict[str, list[RepairedRow]]:
    """The rows of a file for the command line.

    Args:
        file: NDJSON as `rejected export` writes it.
        stream: of lines that name none; with it all rows have to be of this stream.

    Raises:
        UserError: a line names no stream and `stream` is None, or names another stream.
    """
    rows_by_stream: dict[str, list[RepairedRow]] = {}
    for name, rows in read_file(file).items():
        if name is None and stream is None:
            raise UserError(f"{rows[0].where}: it names no stream. Fix: keep the key `stream`, or give --stream.")
        rows_by_stream.setdefault(name or str(stream), []).extend(rows)
    if stream is not None and (other_streams := rows_by_stream.keys() - {stream}):
        raise UserError(f"{file}: it has rows of {min(other_streams)}. Fix: leave --stream out, or these rows.")
    return rows_by_stream


def repaired_row(document: Mapping[str, Any], where: str) -> RepairedRow:
    """A repaired row from its `rejection_id`, `payload` and `payload_encoding` (utf-8 by default, or base64).

    Raises:
        UserError: a key is missing, or the payload can't be decoded.
    """
    for key in ("rejection_id", "payload"):
        if not isinstance(document.get(key), str):
            raise UserError(f"{where}: {key} is missing or not text. Fix: write the line as `rejected export` did.")
    encoding = document.get("payload_encoding") or "utf-8"
    if encoding not in {"utf-8", "base64"}:
        raise UserError(f"{where}: payload_encoding is {encoding!r}. Fix: write utf-8 or base64.")
    return RepairedRow(document["rejection_id"], _bytes(document["payload"], encoding, where), where)


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise UserError(f"{where}: it is not a JSON object. Fix: one object a line, as `rejected export` writes them.")
    return document


def _bytes(payload: str, encoding: str, where: str) -> bytes:
    try:
        return base64.b64decode(payload, validate=True) if encoding == "base64" else payload.encode()
    except binascii.Error:
        raise UserError(f"{where}: payload is not base64. Fix: encode it, or write payload_encoding: utf-8.") from None
    except UnicodeEncodeError:
        fix = "write the bytes in base64, and payload_encoding: base64"
        raise UserError(f"{where}: payload contains half of a surrogate pair. Fix: {fix}.") from None
