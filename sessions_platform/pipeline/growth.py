"""Landing files that go on growing: which slices each of them is.

A file whose path states no landing partition belongs to the one that first saw it. What was appended since, when
another partition has begun, is a slice of its own in that partition; `access.log#from=2026-03-02` is its uri. Here: how
a file is divided into slices, by what the ledger knows of it. Not here: how the rows of a slice are read
(`sources.files.reader`), and when its rows are settled (`sources.base.Extent`).

A file is divided only as long as what was read of it is still what it begins with. Else it was replaced: it is one
slice again, in its first landing partition, and its other slices have no rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from sessions_platform.sources.base import FROM, Extent, Found, Growing, Slice, Source, Span
from sessions_platform.storage.ledger.ledger import KnownFile, Ledger

_NOTHING = Span(end=0)
# The fingerprint of a slice of which nothing is left in its file.
_EMPTY = "empty"


def divided(source: Source, ledger: Ledger, found: Found, taking: str | None) -> Found:
    """The same, with growing files divided into their slices.

    Args:
        source: the stream's.
        ledger: the stream's.
        found: the files that there are now.
        taking: the newest landing partition, to which what was appended will belong; None where nothing that was
            appended is to be read, since a partition before it is being ingested.
    """
    if not isinstance(source, Growing) or not source.may_grow:
        return found
    of_file = ledger.slices_of_changed({slice_.uri: slice_.fingerprint for slice_ in found.slices})
    slices = [part for slice_ in found.slices for part in _parts(source, slice_, of_file.get(slice_.uri, ()), taking)]
    return found._replace(slices=slices)


def recorded(source: Source, ledger: Ledger, slices: Sequence[Slice]) -> list[Slice]:
    """The slices of files as they were last read, whatever was appended since: what a lost raw file was made of."""
    if not isinstance(source, Growing) or not source.may_grow:
        return list(slices)
    of_file = ledger.slices_of_changed(dict.fromkeys((slice_.uri for slice_ in slices), ""))
    read: list[Slice] = []
    for whole in slices:
        chain, _ = _chain(source, whole, of_file.get(whole.uri, ()))
        places = {part.file.uri: part.span(part.extent.read_bytes) for part in chain}
        read += [replace(whole, uri=uri, span=span) for uri, span in places.items()]
        read += [whole] if whole.uri not in places else []
    return read


class Part(NamedTuple):
    """A slice of a file whose settled rows are still what they were."""

    file: KnownFile
    extent: Extent

    def span(self, end: int | None) -> Span:
        """Its rows, up to a byte of the file, or its end."""
        return Span(self.extent.first_row, self.extent.first_byte, end)


def parts_of(source: Source, ledger: Ledger, whole: Slice) -> list[Part]:
    """The slices of a file that are still what it begins with, in order; none of a file that can't grow."""
    if not isinstance(source, Growing) or not source.may_grow:
        return []
    return _chain(source, whole, ledger.slices_of_changed({whole.uri: ""}).get(whole.uri, ()))[0]


def _parts(source: Growing, whole: Slice, files: Sequence[KnownFile], taking: str | None) -> Iterator[Slice]:
    if not any(file.extents or file.uri != whole.uri for file in files):
        yield whole  # it is new, unchanged, or none that can be taken up again
        return
    chain, size = _unchanged_chain(whole, files), 0
    if not chain:
        chain, size = _chain(source, whole, files)
    slices = {part.file.uri: _closed(part) for part in chain[:-1]}
    if chain:
        slices |= {slice_.uri: slice_ for slice_ in _last(chain[-1], whole, size, taking)}
    else:
        slices[whole.uri] = whole
    known = {file.uri for file in files}
    emptied = {uri: Slice(uri, _EMPTY, None, span=_NOTHING) for uri in known - slices.keys()}
    yield from sorted((slices | emptied).values(), key=lambda slice_: slice_.uri)


def _unchanged_chain(whole: Slice, files: Sequence[KnownFile]) -> list[Part]:
    """The slices of a file that is as it was when the last of them was read; none where it is not."""
    parts = _linked(Part(file, extent) for file in files for extent in file.extents)
    return parts if parts and parts[-1].file.fingerprint == whole.fingerprint else []


def _chain(source: Growing, whole: Slice, files: Sequence[KnownFile]) -> tuple[list[Part], int]:
    """The slices that are still what the file begins with, each after the one before; and the file's size now."""
    parts = [Part(file, extent) for file in files for extent in file.extents]
    sizes = sorted({part.extent.settled_bytes for part in parts})
    try:
        digests, size = source.beginnings(whole.uri, sizes)
    except OSError:
        return [], 0  # whoever reads it will say what is wrong
    digest_of = dict(zip(sizes, digests, strict=True))
    same = (part for part in parts if digest_of[part.extent.settled_bytes] == part.extent.settled_digest)
    return _linked(same), size


def _linked(parts: Iterable[Part]) -> list[Part]:
    """Those of the parts that begin where the one before ends, and at the file's beginning; each slice once."""
    chain: list[Part] = []
    end = (0, 0)
    for part in parts:
        is_known = bool(chain) and chain[-1].file.uri == part.file.uri
        if not is_known and (part.extent.first_row, part.extent.first_byte) == end:
            chain.append(part)
            end = (part.extent.settled_rows, part.extent.settled_bytes)
    return chain


def _closed(part: Part) -> Slice:
    """A slice that another follows: its settled rows, since the following one has the rest."""
    extent, file = part.extent, part.file
    if extent.settled_bytes == extent.first_byte and extent.read_bytes > extent.first_byte:
        return Slice(file.uri, _EMPTY, None, span=_NOTHING)
    is_closed = extent.read_bytes == extent.settled_bytes
    fingerprint = str(file.fingerprint) if is_closed else f"{extent.first_byte}-{extent.settled_bytes}"
    return Slice(file.uri, fingerprint, None, span=part.span(extent.settled_bytes))


def _last(part: Part, whole: Slice, size: int, taking: str | None) -> Iterator[Slice]:
    """The last known slice of a file, and a new one of what was appended."""
    extent, file = part.extent, part.file
    open_ = Slice(file.uri, whole.fingerprint, None, span=part.span(None))
    if file.fingerprint == whole.fingerprint or size <= extent.read_bytes or taking == file.landing_partition:
        yield open_
        return
    yield replace(open_, fingerprint=str(file.fingerprint), span=part.span(extent.read_bytes))
    if taking is not None and taking > file.landing_partition:
        span = Span(extent.settled_rows, extent.settled_bytes)
        yield Slice(f"{whole.uri}{FROM}{taking}", whole.fingerprint, taking, span=span)
