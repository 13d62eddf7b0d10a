"""Landing files: where they are, and how their bytes become raw rows.

NDJSON and CSV are cut into lines and records without being understood: a payload is
the very bytes between two line ends. Compression is told by a file's first bytes,
not by its name. What cannot be read ends a file's rows with one that says why; only
an outage (a vanished file, a missing permission) is raised, as OSError.
"""

import base64
import glob
import hashlib
import io
import json
import math
import os
import re
import stat
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from functools import cached_property
from itertools import chain, islice, repeat
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, TypeVar

import msgspec
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from sessions_platform.contracts.calendar import Calendar
from sessions_platform.contracts.raw import RAW_EVENTS
from sessions_platform.contracts.stream import Source, Stream
from sessions_platform.mistakes import Mistake
from sessions_platform.sources.base import LandingFile

HOME = "${SESSIONS_HOME}"
BLOCK_BYTES = 8 * 1024 * 1024
BLOCK_ROWS = 32_768  # at most: short rows take far more room once they are objects
UNFINISHED = (".tmp", ".part", "~")

_Item = TypeVar("_Item")


class SourceError(Mistake):
    """A stream's files can't be found or placed as its YAML file says; the message holds the mend."""


class FileSource:
    """The landing files of one stream.

    Hidden files, and names that end in .tmp, .part or ~, are uploads that go on, and
    are not seen before they are renamed.
    """

    def __init__(self, stream: Stream, block_bytes: int = BLOCK_BYTES) -> None:
        self._source = stream.source
        self._block_bytes = block_bytes
        self._folder = _absolute(stream.path.parent)
        self._home = _absolute(stream.home)
        self._root, files = self._anchored(stream.source.files)
        self._template = _Template(files, stream.landing_calendar) if stream.source.dated else None
        self._pattern = files

    def find(self, landing_partitions: Iterable[str] | None = None) -> list[LandingFile]:
        """The files that are there now, by uri; of these landing partitions, or all. Undated ones always."""
        asked = None if landing_partitions is None else set(landing_partitions)
        if self._template is None:
            found = self._matching(self._pattern)
        elif asked is None:
            found = self._matching(self._template.of_all())
        else:
            everywhere = chain.from_iterable(self._matching(self._template.of(key)) for key in asked)
            found = (file for file in everywhere if file.landing_partition in asked)
        return sorted(set(found), key=lambda file: file.uri)

    def read(self, file: LandingFile) -> "FileReading":
        return FileReading(self.path_of(file.uri), self._source, self._block_bytes)

    def path_of(self, uri: str) -> Path:
        if uri.startswith(f"{HOME}/"):
            return self._home / uri.removeprefix(f"{HOME}/")
        return self._folder / uri

    def landing_folder(self, partition_key: str | None = None) -> Path:
        """Where `find` looks for a landing partition's files. Raises SourceError if that is no one folder."""
        folder = PurePosixPath(self._pattern_of(partition_key)).parent
        if glob.has_magic(str(folder)):
            raise SourceError(f"{self._source.files}: no file can be placed in a folder with wildcards")
        return _absolute(self._root / folder)

    def place_for(self, name: str, partition_key: str | None = None) -> Path:
        """Where to put a file of this name, for `find` to see it. Raises SourceError where it never would."""
        folder = self.landing_folder(partition_key)
        pattern = PurePosixPath(self._pattern_of(partition_key)).name
        if _is_unfinished(name) or "/" in name or not fnmatchcase(name, pattern):
            raise SourceError(f"{name!r} would not be found by {self._source.files}: name it like {pattern}")
        return folder / name

    def _anchored(self, files: str) -> tuple[Path, str]:
        """The folder that a path template starts from, and the rest. The folder may hold any character."""
        if files.startswith(f"{HOME}/"):
            return self._home, str(PurePosixPath(files.removeprefix(f"{HOME}/")))
        if files.startswith("/"):
            return Path("/"), str(PurePosixPath(files).relative_to("/"))
        return self._folder, str(PurePosixPath(files))

    def _pattern_of(self, partition_key: str | None) -> str:
        if self._template is None:
            return self._pattern
        if partition_key is None:
            raise SourceError(f"{self._source.files} needs a landing partition: name one")
        return self._template.of(partition_key)

    def _matching(self, pattern: str) -> Iterator[LandingFile]:
        """Not by Path.glob, which goes into hidden folders."""
        for name in glob.glob(pattern, root_dir=self._root, recursive=True):  # noqa: PTH207
            partition = self._template.partition_in(name) if self._template else None
            path = _absolute(self._root / name)
            if (self._template and partition is None) or _is_unfinished(path.name):
                continue
            if fingerprint := _fingerprint(path):
                yield LandingFile(self._uri(path), fingerprint, partition)

    def _uri(self, path: Path) -> str:
        if path.is_relative_to(self._folder):
            uri = path.relative_to(self._folder).as_posix()
        elif path.is_relative_to(self._home):
            uri = f"{HOME}/{path.relative_to(self._home).as_posix()}"
        else:
            uri = path.as_posix()
        try:
            uri.encode()
        except UnicodeEncodeError:
            raise SourceError(f"{uri!a}: its name is not UTF-8. Mend: rename the file.") from None
        return uri


def _absolute(path: Path) -> Path:
    """Without dots, but not resolved: a file behind a symlink keeps the name that the stream gives it."""
    return Path(os.path.normpath(path.absolute()))


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") or name.lower().endswith(UNFINISHED)


def _fingerprint(path: Path) -> str | None:
    """Changes with every write and every replacement; None for what is no regular file, or just vanished."""
    try:
        seen = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(seen.st_mode):
        return None
    return f"{seen.st_size}-{seen.st_mtime_ns}-{seen.st_ctime_ns}-{seen.st_ino}"


_DIRECTIVES = {
    "%Y": r"\d{4}", "%G": r"\d{4}", "%y": r"\d{2}", "%m": r"\d{2}", "%d": r"\d{2}", "%j": r"\d{3}",
    "%V": r"\d{2}", "%H": r"\d{2}", "%M": r"\d{2}", "%S": r"\d{2}", "%b": r"[^\W\d_]+", "%B": r"[^\W\d_]+",
}  # fmt: skip
_WILDCARDS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_GLOB_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|.", re.DOTALL)
_FORMAT_TOKEN = re.compile(r"%.|[^%]+", re.DOTALL)


class _Template:
    """A path with the landing partition in it, read both ways.

    A partition is written as its window's start. A path that tells any other moment
    belongs to no partition.
    """

    def __init__(self, text: str, calendar: Calendar) -> None:
        self._text = text
        self._calendar = calendar
        self._refuse_ambiguity()

    def of(self, key: str) -> str:
        """The glob of one partition's files."""
        start = self._start(key)
        return Source.PLACEHOLDER.sub(lambda found: start.strftime(self._format(found)), self._text)

    def of_all(self) -> str:
        return Source.PLACEHOLDER.sub(lambda found: re.sub(r"[^/]+", "*", self._format(found)), self._text)

    def partition_in(self, path: str) -> str | None:
        pattern, directives = self._regex
        found = pattern.fullmatch(path)
        moment = self._moment(dict(zip(directives, found.groups(), strict=True))) if found else None
        if moment is None or found is None or not self._covers(moment):
            return None
        key = self._calendar.key_of(moment)
        spelled = [self._start(key).strftime(directive) for directive in directives]
        return key if spelled == list(found.groups()) else None

    def _covers(self, moment: datetime) -> bool:
        end = self._calendar.end
        return self._calendar.first_start <= moment and (end is None or moment < end)

    def _start(self, key: str) -> datetime:
        return datetime.strptime(key, self._calendar.key_format).replace(tzinfo=self._calendar.zone)

    def _moment(self, told: dict[str, str]) -> datetime | None:
        """The moment that a value for each directive tells; a week begins on its Monday."""
        if "%V" in told:
            told = {**told, "%u": "1"}
        try:
            return datetime.strptime(" ".join(told.values()), " ".join(told)).replace(tzinfo=self._calendar.zone)
        except ValueError:
            return None

    def _format(self, placeholder: re.Match[str]) -> str:
        return placeholder[1] or self._calendar.key_format

    @cached_property
    def _regex(self) -> tuple[re.Pattern[str], list[str]]:
        """Matches a path of any partition; each group holds what stands for a directive of strftime."""
        pattern, directives, end = "", [], 0
        for found in Source.PLACEHOLDER.finditer(self._text):
            tokens = _FORMAT_TOKEN.findall(self._format(found))
            pattern += _glob_regex(self._text[end : found.start()]) + "".join(map(_directive_regex, tokens))
            directives += [token for token in tokens if token in _DIRECTIVES]
            end = found.end()
        return re.compile(pattern + _glob_regex(self._text[end:]), re.DOTALL), directives

    def _refuse_ambiguity(self) -> None:
        """A format that leaves out the day would put many partitions in one place."""
        first = self._calendar.key_of(self._calendar.first_start)
        for key in (first, self._calendar.key_of(self._calendar.window(first).end)):
            start, (_, directives) = self._start(key), self._regex
            if self._moment({directive: start.strftime(directive) for directive in directives}) != start:
                cadence = self._calendar.cadence.value
                raise SourceError(f"{self._text}: its placeholder does not tell {cadence} partitions apart")


def _glob_regex(text: str) -> str:
    """Loose about [sets]: whoever asks has had the path from `glob` already."""

    def regex(token: str) -> str:
        return _WILDCARDS.get(token) or ("[^/]" if len(token) > 1 else re.escape(token))

    return "".join(map(regex, _GLOB_TOKEN.findall(text)))


def _directive_regex(token: str) -> str:
    if token in _DIRECTIVES:
        return f"({_DIRECTIVES[token]})"
    if token.startswith("%") and token != "%%":
        raise SourceError(f"{token} can't stand in a placeholder: use {' '.join(_DIRECTIVES)}")
    return re.escape(token.replace("%%", "%"))


class _Unreadable(Exception):
    """The rest of a file is no data of its format; the message is a sentence that says why."""


class FileReading:
    """One pass over a landing file, in blocks of about `block_bytes` of text.

    Memory is bounded by the block, except where one line, or one CSV record whose
    quote is not closed, is longer.
    """

    def __init__(self, path: Path, source: Source, block_bytes: int = BLOCK_BYTES) -> None:
        self.digest = ""
        self._path = path
        self._source = source
        self._block_bytes = block_bytes

    def __iter__(self) -> Iterator[pl.DataFrame]:
        self._sha256 = hashlib.sha256()
        self._unreadable: str | None = None
        header: bytes | None = None
        awaits_header = self._source.format == "csv" and self._source.header is True
        position = 1
        with self._path.open("rb") as handle:
            for payloads in self._payloads(handle):
                if awaits_header and payloads:
                    awaits_header, header = False, payloads.pop(0)
                    self._refuse_open_header(header)
                for start in range(0, len(payloads), BLOCK_ROWS):
                    yield _block(position + start, payloads[start : start + BLOCK_ROWS], header)
                position += len(payloads)
        if self._unreadable is not None:
            yield _block(position, [b""], header, self._unreadable)
        self.digest = self._sha256.hexdigest()

    def _payloads(self, handle: io.BufferedReader) -> Iterator[list[bytes]]:
        if self._source.format == "parquet":
            return self._table_rows(handle)
        texts = _whole_lines(_without_bom(self._texts(handle), self._source.encoding))
        if self._source.format == "csv" and self._source.quote:
            return _records(texts, self._source.quote.encode(self._source.encoding))
        return map(_lines, texts)

    def _texts(self, handle: io.BufferedReader) -> Iterator[bytes]:
        """The file's text, decompressed, in pieces of about a block."""
        packing = next((packing for packing in _PACKINGS if packing.magic.match(handle.peek())), None)
        if packing is None:
            yield from self._pieces(handle, self._block_bytes)
        else:
            unpacked = _unpacked(self._pieces(handle, packing.piece_bytes), packing)
            yield from _gathered(self._readable(unpacked), self._block_bytes)
            self._hash_rest(handle)

    def _table_rows(self, handle: BinaryIO) -> Iterator[list[bytes]]:
        """Hashed before it is read: Parquet is not read from front to end."""
        self._hash_rest(handle)
        handle.seek(0)
        return self._readable(_parquet_rows(handle, self._block_bytes))

    def _hash_rest(self, handle: BinaryIO) -> None:
        for _ in self._pieces(handle, 1 << 20):
            pass

    def _pieces(self, handle: BinaryIO, size: int) -> Iterator[bytes]:
        while piece := handle.read(size):
            self._sha256.update(piece)
            yield piece

    def _readable(self, items: Iterator[_Item]) -> Iterator[_Item]:
        """Pass on what can be read, and remember why the rest can't."""
        try:
            yield from items
        except _Unreadable as broken:
            self._unreadable = str(broken)

    def _refuse_open_header(self, header: bytes) -> None:
        """Such a header has swallowed the file: its rows would be gone without a trace."""
        quote = self._source.quote
        if quote and header.count(quote.encode(self._source.encoding)) % 2:
            self._unreadable = "the quote that the header opens is never closed"


def _block(position: int, payloads: list[bytes], header: bytes | None, unreadable: str | None = None) -> pl.DataFrame:
    return pl.DataFrame({"payload": payloads}, schema={"payload": RAW_EVENTS["payload"]}).select(
        pl.int_range(position, position + pl.len(), dtype=pl.Int64).alias("position"),
        "payload",
        pl.lit(header, RAW_EVENTS["header"]).alias("header"),
        pl.lit(unreadable, RAW_EVENTS["unreadable"]).alias("unreadable"),
    )


@dataclass(frozen=True)
class _Packing:
    """A compression, by the bytes that its files begin with.

    What `piece_bytes` can unfold to bounds the memory that a bomb takes: 32 MiB at most.
    """

    name: str
    magic: re.Pattern[bytes]
    piece_bytes: int
    begin: Callable[[], Any]
    unpack: Callable[[Any, bytes], Iterable[bytes]]


def _inflated(member: Any, piece: bytes) -> Iterator[bytes]:
    """All that a piece holds: where it is broken, up to the broken byte, which raises zlib.error."""
    before = member.copy()
    try:
        yield member.decompress(piece)
    except zlib.error:
        for at in range(len(piece)):
            yield before.decompress(piece[at : at + 1])


_PACKINGS = (
    _Packing("gzip", re.compile(rb"\x1f\x8b"), 8192, lambda: zlib.decompressobj(wbits=31), _inflated),
    _Packing(
        "zstd",
        re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18"),
        1024,
        lambda: zstandard.ZstdDecompressor().decompressobj(),
        lambda frame, piece: [frame.decompress(piece)],
    ),
)


def _unpacked(pieces: Iterable[bytes], packing: _Packing) -> Iterator[bytes]:
    """The text of all members or frames. Zeros may pad the file after each of them."""
    member = None
    for piece in pieces:
        rest = piece
        while rest := rest if member else rest.lstrip(b"\0"):
            member = member or packing.begin()
            try:
                yield from packing.unpack(member, rest)
            except (zlib.error, zstandard.ZstdError) as error:
                raise _Unreadable(f"the rest of the file is no {packing.name} data: {error}") from None
            rest, member = (member.unused_data, None) if member.eof else (b"", member)
    if member:
        raise _Unreadable(f"the file ends in the middle of its {packing.name} data")


def _gathered(texts: Iterable[bytes], size: int) -> Iterator[bytes]:
    held: list[bytes] = []
    length = 0
    for text in texts:
        held.append(text)
        length += len(text)
        if length >= size:
            yield b"".join(held)
            held, length = [], 0
    yield b"".join(held)


def _without_bom(texts: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    rest = iter(texts)
    start = b""
    while len(start) < len(BOM_UTF8) and (text := next(rest, None)) is not None:
        start += text
    yield start.removeprefix(BOM_UTF8) if encoding == "utf-8" else start
    yield from rest


def _whole_lines(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The same text, cut only after a newline; what follows the last one comes last."""
    begun: list[bytes] = []
    for text in texts:
        end = text.rfind(b"\n") + 1
        if end:
            yield b"".join([*begun, text[:end]])
            begun = []
        begun.append(text[end:])
    if rest := b"".join(begun):
        yield rest


def _lines(text: bytes) -> list[bytes]:
    lines = (text.replace(b"\r\n", b"\n") if b"\r" in text else text).split(b"\n")
    return lines if lines[-1] else lines[:-1]


def _records(texts: Iterable[bytes], quote: bytes) -> Iterator[list[bytes]]:
    """A record ends with the line on which its quotes are even; one that never does holds the file's rest."""
    opened: list[bytes] = []
    for text in texts:
        if not opened and quote not in text:
            yield _lines(text)
            continue
        records = []
        for line in io.BytesIO(text):
            opened.append(line)
            if line.count(quote) % 2 == (len(opened) > 1):  # odd where it closes, even where it stands alone
                records.append(_without_end(b"".join(opened)))
                opened = []
        yield records
    if opened:
        yield [b"".join(opened)]


def _without_end(line: bytes) -> bytes:
    return line[:-2] if line.endswith(b"\r\n") else line.removesuffix(b"\n")


def _parquet_rows(handle: BinaryIO, block_bytes: int) -> Iterator[list[bytes]]:
    """Rows as canonical JSON. By pyarrow, which answers a broken file with an exception; polars aborts."""
    try:
        file = pq.ParquetFile(
            handle,
            pre_buffer=False,
            page_checksum_verification=True,
            coerce_int96_timestamp_unit="us",  # nanoseconds would wrap around outside of 1677 to 2262
        )
        batch_size = _rows_per_block(file.metadata, block_bytes)
        for group in range(file.num_row_groups):  # one by one: what breaks one leaves those before it
            yield from map(_json_rows, file.iter_batches(batch_size, row_groups=[group]))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        reason = str(error).partition("\n")[0]
        raise _Unreadable(f"the rest of the file is no Parquet data: {reason}") from None


def _rows_per_block(metadata: Any, block_bytes: int) -> int:
    sizes = (metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    bytes_per_row = max(1, sum(sizes) // max(1, metadata.num_rows))
    return min(max(1, block_bytes // bytes_per_row), BLOCK_ROWS)


def _json_rows(batch: pa.RecordBatch) -> list[bytes]:
    names = _distinct(batch.schema.names)
    columns = [_json_values(column) for column in batch.columns]
    return [_json(row) for row in _named(names, columns, batch.num_rows)]


def _named(names: list[str], columns: list[list[Any]], height: int) -> Iterator[dict[str, Any]]:
    rows = zip(*columns, strict=True) if columns else repeat((), height)
    return (dict(zip(names, row, strict=True)) for row in rows)


def _distinct(names: list[str]) -> list[str]:
    if repeated := {name for name in names if names.count(name) > 1}:
        raise _Unreadable(f"the file names {min(repeated)!r} twice")
    return names


def _json(row: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(row)
    except UnicodeEncodeError:
        return json.dumps(row, separators=(",", ":")).encode()


def _json_values(array: Any) -> list[Any]:
    """A column's values as JSON can hold them, with nothing lost."""
    return next(values for holds, values in _JSON_VALUES if holds(array.type))(array)


def _each(spell: Callable[[Any], Any], array: Any) -> list[Any]:
    return [None if value is None else spell(value) for value in array.to_pylist()]


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _strings(array: Any) -> list[str | None]:
    """Bytes that are not UTF-8 become lone surrogates, which the parser finds and names."""
    try:
        return array.to_pylist()
    except UnicodeDecodeError:
        return _each(lambda value: value.decode(errors="surrogateescape"), array.cast(pa.binary()))


def _moments(array: Any) -> list[str | None]:
    """ISO 8601, as exact as the file has it, in UTC if it knows its zone."""
    kind = array.type
    naive = array.cast(pa.int64()).cast(pa.timestamp(kind.unit)) if pa.types.is_timestamp(kind) else array
    offset = "+00:00" if pa.types.is_timestamp(kind) and kind.tz else ""
    return _each(lambda text: _iso(text, offset), naive.cast(pa.string()))


def _iso(text: str, offset: str) -> str:
    """From pyarrow's text, which for what no calendar holds is "<value out of range: 123>"."""
    if text.startswith("<"):
        return text
    seconds, _, fraction = text.replace(" ", "T").partition(".")
    fraction = fraction.rstrip("0")
    return f"{seconds}.{fraction}{offset}" if fraction else f"{seconds}{offset}"


def _structs(array: Any) -> list[dict[str, Any] | None]:
    names = _distinct([field.name for field in array.type])
    fields = [_json_values(field) for field in array.flatten()]
    rows = _named(names, fields, len(array))
    return [row if there else None for row, there in zip(rows, array.is_valid().to_pylist(), strict=True)]


def _lists(array: Any) -> list[list[Any] | None]:
    lengths = pc.list_value_length(array).to_pylist()  # pyright: ignore[reportAttributeAccessIssue]
    values = iter(_json_values(array.flatten()))
    return [None if length is None else list(islice(values, length)) for length in lengths]


def _maps(array: Any) -> list[Any]:
    """An object where the keys are text and differ, else a list of entries."""
    entry = pa.struct([pa.field("key", array.type.key_type), pa.field("value", array.type.item_type)])
    return [_map(entries) for entries in _lists(array.cast(pa.list_(entry)))]


def _map(entries: list[dict[str, Any]] | None) -> Any:
    named = {entry["key"]: entry["value"] for entry in entries or [] if isinstance(entry["key"], str)}
    return named if entries is not None and len(named) == len(entries) else entries


def _extensions(array: Any) -> list[Any]:
    return _each(str, array) if isinstance(array.type, pa.UuidType) else _json_values(array.storage)


def _one_of(*tests: Callable[[pa.DataType], bool]) -> Callable[[pa.DataType], bool]:
    return lambda kind: any(test(kind) for test in tests)


_Kind = pa.types
_JSON_VALUES: list[tuple[Callable[[pa.DataType], bool], Callable[[Any], list[Any]]]] = [
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extensions),
    (_Kind.is_dictionary, lambda array: _json_values(array.dictionary_decode())),
    (_Kind.is_struct, _structs),
    (_Kind.is_map, _maps),
    (_one_of(_Kind.is_list, _Kind.is_large_list, _Kind.is_fixed_size_list), _lists),
    (_one_of(_Kind.is_timestamp, _Kind.is_date, _Kind.is_time), _moments),
    (_Kind.is_floating, lambda array: _each(_float, array)),
    (_Kind.is_decimal, lambda array: _each(lambda value: format(value, "f"), array)),
    (_one_of(_Kind.is_string, _Kind.is_large_string, _Kind.is_string_view), _strings),
    (_one_of(_Kind.is_boolean, _Kind.is_integer, _Kind.is_null), lambda array: array.to_pylist()),
    (
        _one_of(_Kind.is_binary, _Kind.is_large_binary, _Kind.is_binary_view, _Kind.is_fixed_size_binary),
        lambda array: _each(lambda value: base64.b64encode(value).decode(), array),
    ),
    (lambda _: True, lambda array: array.cast(pa.string()).to_pylist()),
]
