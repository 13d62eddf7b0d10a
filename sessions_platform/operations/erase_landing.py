"""Rewrite landing files without the rows of erased users.

A row of NDJSON or CSV is replaced by a marker, which ingestion leaves out, and a row of Parquet by nulls, so that all
other rows keep their positions. A file that is broken can't be rewritten; where it names a user it is deleted. Here:
which landing files are rewritten, and how. Not here: which rows are refused (`pipeline/tombstones.py`), and the lake's
files (`erase_rows.py`).
"""

import hashlib
import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from sessions_platform.contracts.formats import FORMATS, WITHIN_TEXT
from sessions_platform.contracts.sources import FilesSource
from sessions_platform.operations.landing_places import is_named_by_digest, sha256
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.growth import parts_of
from sessions_platform.pipeline.tombstones import Tombstones
from sessions_platform.settings import PRIVATE_FILE
from sessions_platform.sources.base import Extent, FileLanding, Slice, file_uri
from sessions_platform.sources.files.archives import texts_in_archive
from sessions_platform.sources.formats.compression import (
    Codec,
    codec_of,
    codecs_without_magic,
    decompressed,
)
from sessions_platform.sources.formats.errors import CorruptDataError
from sessions_platform.sources.registry import file_landing
from sessions_platform.storage.lake.filesystem import sync
from sessions_platform.storage.ledger.ledger import Erasure, KnownFile
from sessions_platform.transforms.erasure import Naming, UserPattern

_CHUNK = 1 << 20
_SIGNATURE_BYTES = 512
_ANY_FILE = FilesSource.model_validate({"files": "*", "format": "ndjson"})


@dataclass
class RewrittenFiles:
    """What was done: `left` has a sentence for each file that names a user and could not be rewritten."""

    looked_at: int = 0
    rewritten: int = 0
    rows: int = 0
    deleted: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def rewrite_landing_files(
    context: StreamContext, pattern: UserPattern, tombstones: Tombstones, erasure: Erasure, corrupt: frozenset[str]
) -> RewrittenFiles:
    """Rewrite the landing files whose raw rows were erased, and those that were not read as they are now.

    Args:
        context: the stream's.
        pattern: the users.
        tombstones: all of the stream's.
        erasure: its progress names the files whose raw rows were erased.
        corrupt: digests of files that can't be read, and name a user.
    """
    result, landing = RewrittenFiles(), file_landing(context.source)
    known = {file.uri: file for file in context.ledger.files()}
    wanted = {*erasure.progress.get("landing_files", []), *(uri for uri, file in known.items() if file.refused_rows)}
    if landing is None:
        if isinstance(context.stream.source, FilesSource):
            result.left += [f"{uri}: objects are not rewritten. Fix: remove the user's rows." for uri in sorted(wanted)]
        return result
    of_file: dict[str, list[str]] = {}
    for uri in known:
        for name in {uri, file_uri(uri)}:
            of_file.setdefault(name, []).append(uri)
    wanted |= {file_uri(uri) for uri in wanted}
    for slice_ in context.source.find():
        file = known.get(slice_.uri)
        is_unread = file is None or file.fingerprint != slice_.fingerprint
        if slice_.uri in wanted or is_unread or (file is not None and file.digest in corrupt):
            result.looked_at += 1
            uris = of_file.get(slice_.uri, [])
            _Rewriting(context, landing, slice_, file, pattern, tombstones, result, uris).run()
    return result


@dataclass(frozen=True)
class _Rewriting:
    """One landing file."""

    context: StreamContext
    landing: FileLanding
    slice_: Slice
    file: KnownFile | None
    pattern: UserPattern
    tombstones: Tombstones
    result: RewrittenFiles
    uris: Sequence[str]  # of all slices of the file

    @property
    def path(self) -> Path:
        return self.landing.path_of(self.slice_.uri)

    def run(self) -> None:
        rows, is_corrupt = 0, False
        try:
            for block, erased in self._blocks():
                rows += int(erased.sum())
                is_corrupt |= block["corrupt_reason"].null_count() < block.height
        except FileNotFoundError:
            return
        is_named = rows > 0 or (is_corrupt and holds_text(self.path, self.pattern, self.context.lake.scratch))
        if not is_named:
            return
        if reason := self._obstacle():
            self.result.left.append(f"{self.slice_.uri}: {reason}")
            return
        if is_corrupt:
            self.path.unlink(missing_ok=True)
            self.result.deleted.append(self.slice_.uri)
        elif self._rewrite():
            self.result.rows += rows
            self.result.rewritten += 1
        for uri in self.uris:
            self.context.ledger.record_refused(uri, 0)

    def _blocks(self) -> Iterator[tuple[pl.DataFrame, pl.Series]]:
        """The file's rows, and which of them are to be erased."""
        for rows in self.context.source.read(self.slice_, lambda _: ""):
            block = rows.with_columns(landing_partition=pl.lit(""), source_uri=pl.lit(self.slice_.uri))
            named = self.pattern.rows_naming(block).filter(pl.col("naming") == Naming.text.value)
            is_named = block["position"].is_in(named["position"].implode())
            yield block, self.tombstones.refuses(block) | is_named

    def _obstacle(self) -> str | None:
        """Why the file is not rewritten; None where it may be."""
        source = self.context.stream.source
        if self.landing.is_archived(self.slice_):
            return (
                "it is in an archive, which is not rewritten, so this copy remains. Fix: delete the archive, or "
                "replace it by one without the user's rows."
            )
        allowed = source.rewrite_on_erasure if isinstance(source, FilesSource) else "none"
        digest = self.file.digest if self.file and self.file.digest else ""
        placed = self.file.placed_digest if self.file else None
        is_placed = bool(digest) and (digest == placed or is_named_by_digest(self.path.name, digest))
        if allowed == "none" or (allowed == "placed" and not is_placed):
            return "it was not rewritten. Fix: write source.rewrite_on_erasure: all, or remove the user's rows from it."
        name = self.context.stream.source.format
        if not FORMATS[name].is_rewritable:
            return f"files of the format {name} are not rewritten. Fix: remove the user's rows from it."
        if self.path.is_symlink() or not os.access(self.path.parent, os.W_OK):
            return "it is a link, or its folder is not writable. Fix: remove the user's rows from it."
        return None

    def _rewrite(self) -> bool:
        """Write the file anew, record its new digest, and then replace the old one; False where that has changed."""
        path = self.path
        draft = path.with_name(
            f".{path.name}.erasing.tmp"
        )  # one name, so that a killed erasure leaves one draft at most
        digest, parts = sha256(path), parts_of(self.context.source, self.context.ledger, self.slice_)
        ends = {end for part in parts for end in (part.extent.settled_bytes, part.extent.read_bytes)}
        draft.unlink(missing_ok=True)
        draft.touch(PRIVATE_FILE)
        moved: dict[int, int] = {}
        if FORMATS[self.context.stream.source.format].is_text:
            moved = self._write_text(path, draft, digest, ends)
        else:
            self._write_parquet(path, draft)
        shutil.copystat(path, draft)
        with suppress(PermissionError):
            os.chown(draft, path.stat().st_uid, path.stat().st_gid)
        sync(draft)
        is_known = self.file is not None and self.file.has_content(digest)
        if is_known and not parts:
            self.context.ledger.record_redacted(self.slice_.uri, sha256(draft))
        for part in parts:
            extent = _moved(part.extent, moved, draft)
            own = _digest_between(draft, extent.first_byte, extent.read_bytes)
            self.context.ledger.record_redacted_slice(part.file.uri, own, part.extent, extent)
        if self._current() != [self.slice_]:
            draft.unlink()
            self.result.left.append(f"{self.slice_.uri}: it was written to meanwhile. Fix: erase again.")
            return False
        draft.replace(path)
        sync(path.parent)
        read = [part.file.uri for part in parts if part.file.fingerprint == self.slice_.fingerprint]
        for slice_ in self._current():
            for uri in read if parts else [slice_.uri] if is_known else []:
                self.context.ledger.record_unchanged(uri, slice_.fingerprint)
        return True

    def _current(self) -> list[Slice]:
        """The slice as it is now; none where the file is gone."""
        partition = self.slice_.landing_partition
        slices = self.context.source.find(None if partition is None else [partition])
        return [slice_ for slice_ in slices if slice_.uri == self.slice_.uri]

    def _write_text(self, path: Path, draft: Path, digest: str, ends: Collection[int]) -> dict[int, int]:
        """Write the text anew; where each of these ends of rows in the old text, as bytes before it, is in the new."""
        before = after = 0
        moved = {0: 0}
        source = self.context.stream.source
        form = WITHIN_TEXT if source.text_keys else source.format
        with draft.open("wb") as file, _compressing(file, _codec_of(path)) as out:
            for block, erased in self._blocks():
                payloads = block["payload"].to_list()
                lengths = _lengths(block)
                for index in erased.arg_true():
                    payloads[index] = self.tombstones.marker(digest, block["position"][index], form)
                parts = zip(block["preamble"], payloads, block["line_terminator"], strict=True)
                texts = [b"".join(part for part in row if part) for row in parts]
                out.write(b"".join(texts))
                for length, text in zip(lengths, texts, strict=True):
                    before, after = before + length, after + len(text)
                    if before in ends:
                        moved[before] = after
        return moved

    def _write_parquet(self, path: Path, draft: Path) -> None:
        erased = pl.concat([block.filter(mask)["position"] for block, mask in self._blocks()])
        positions = set(erased.to_list())
        with pq.ParquetFile(path) as original:
            fields = [original.schema_arrow.field(i).with_nullable(True) for i in range(len(original.schema_arrow))]
            schema = pa.schema(fields, original.schema_arrow.metadata)
            codec = original.metadata.row_group(0).column(0).compression
            position = 0
            with pq.ParquetWriter(draft, schema, compression=codec) as out:
                for batch in original.iter_batches():
                    rows = [None if position + i + 1 in positions else i for i in range(batch.num_rows)]
                    position += batch.num_rows
                    taken = pa.Table.from_batches([batch]).take(pa.array(rows, pa.int64()))
                    out.write_table(taken.cast(schema))


def _lengths(block: pl.DataFrame) -> list[int]:
    """How many bytes of the text each row is."""
    parts = pl.col("preamble", "payload", "line_terminator").bin.size().fill_null(0)
    return block.select(pl.sum_horizontal(parts).alias("bytes"))["bytes"].to_list()


def _moved(extent: Extent, moved: Mapping[int, int], draft: Path) -> Extent:
    """Where the rows of a slice lie in a file that was rewritten.

    A last row that has gone on since it was read ends nowhere; its end is any after that of the settled rows.
    """
    settled = moved[extent.settled_bytes]
    return extent._replace(
        first_byte=moved[extent.first_byte],
        read_bytes=moved.get(extent.read_bytes, settled + 1),
        settled_bytes=settled,
        settled_digest=_digest_between(draft, 0, settled),
    )


def _digest_between(path: Path, start: int, end: int) -> str:
    """SHA-256 of some of a file's bytes, hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(start)
        while chunk := file.read(min(_CHUNK, end - file.tell())):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _compressing(file: BinaryIO, codec: Codec | None) -> Iterator[BinaryIO]:
    """A writer that compresses as the original is compressed."""
    if codec is None:
        yield file
        return
    with closing(codec.writer(file)) as out:
        yield out


def _codec_of(path: Path) -> Codec | None:
    with path.open("rb") as file:
        return codec_of(file.read(_SIGNATURE_BYTES), path.name)


def holds_text(path: Path, pattern: UserPattern, scratch: Path) -> bool:
    """Whether a file's bytes, or its text as far as it can be decompressed, or a member of an archive, name a user.

    A copy in the lake has no name that tells its compression: what has no signature is tried.
    """

    def chunks(size: int) -> Iterator[bytes]:
        with path.open("rb") as handle:
            yield from iter(lambda: handle.read(size), b"")

    codec = _codec_of(path)
    codecs = [codec] if codec else codecs_without_magic()
    texts = [chunks(_CHUNK), *(decompressed(chunks, each, 1 << 40) for each in codecs)]
    texts_of_members = texts_in_archive(path, _ANY_FILE, scratch)
    return any(_named_in(text, pattern) for text in chain(texts, texts_of_members))


def _named_in(chunks: Iterable[bytes], pattern: UserPattern) -> bool:
    """Whether the text names a user; chunks overlap, since an id may begin in one and end in the next."""
    before = b""
    with suppress(CorruptDataError):
        for chunk in chunks:
            text = before + chunk
            if pattern.named_in(text):
                return True
            before = text[-4096:]
    return False
