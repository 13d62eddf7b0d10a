"""Which landing files of a partition have the same text, however each of them is packed.

Here: a digest for each file, by which `transforms.deduplicate` counts equal files once. Not here: how a text is hashed
while it is read (`sources.files.content`).
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import polars as pl

from sessions_platform.contracts.formats import FORMATS
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.storage.ledger.ledger import KnownFile


def text_digests(
    context: StreamContext, files: Sequence[KnownFile], raw: Dataset, landing_partition: str
) -> dict[str, str]:
    """A digest of what each landing file unpacks to, by uri. Of repaired rows, the digest of these rows.

    Of a file that was read before the ledger had this digest, the text is joined again from its raw rows, where that
    can make a difference: ids are derived, and there are other files.

    Args:
        context: the stream's.
        files: what the ledger records of the partition's files.
        raw: their raw rows.
        landing_partition: the partition.
    """
    digests = {file.uri: file.text_digest or file.digest or "" for file in files}
    older = {file.uri for file in files if _is_whole_and_older(file)}
    is_text = FORMATS[context.stream.source.format].is_text
    if older and len(files) > 1 and is_text and context.stream.derives_event_id:
        digests |= _joined_again(raw, landing_partition, older)
    return digests


def _is_whole_and_older(file: KnownFile) -> bool:
    """Whether a file's raw rows are all of its text, and the digest of the text was not recorded."""
    is_erased = bool(file.redacted_digest or file.refused_rows)
    return file.text_digest is None and bool(file.rows) and not file.is_replay and not is_erased


def _joined_again(raw: Dataset, landing_partition: str, uris: set[str]) -> dict[str, str]:
    """The SHA-256 of the texts, by uri, without those of files that could not be read to their end."""
    hashes: dict[str, Any] = {uri: hashlib.sha256() for uri in uris}
    for block in raw.blocks(landing_partition):
        for uri, rows in _by_file(block):
            if uri in hashes:
                parts = rows.select("preamble", "payload", "line_terminator").iter_rows()
                hashes[uri].update(b"".join(part for row in parts for part in row if part))
                if rows["corrupt_reason"].null_count() < rows.height:
                    del hashes[uri]
    return {uri: digest.hexdigest() for uri, digest in hashes.items()}


def _by_file(block: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    parts = block.partition_by("source_uri", maintain_order=True)
    return [(part[0, "source_uri"], part) for part in parts if part.height]
