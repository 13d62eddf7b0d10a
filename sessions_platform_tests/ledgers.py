"""A ledger that tests write to as an ingestion does."""

from sessions_platform.sources.base import Cursor
from sessions_platform.storage.lake.stored_file import StoredFile
from sessions_platform.storage.ledger.files import ReadBatch, ReadFile
from sessions_platform.storage.ledger.ledger import Ledger


def record_file(ledger: Ledger, uri: str, fingerprint: str, digest: str, stored: StoredFile, *cursors: Cursor) -> None:
    """Record that one landing file was read, and where its source continues."""
    before = {file.uri: file.path for file in ledger.files()}
    read = ReadFile(uri, fingerprint, digest, stored.rows, before[uri])
    ledger.record_batch(ReadBatch([read], stored, cursors=cursors, cursors_before=ledger.cursors()), "a run")
