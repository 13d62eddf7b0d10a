"""Zip and tar archives: each member is a landing file of its own, whatever else is in the archive."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions_platform.contracts.stream import Stream
from sessions_platform.sources.archives.members import Kind, Limits, Member, listing_of
from sessions_platform.sources.archives.tar import ForwardReader, tar_members
from sessions_platform.sources.base import Slice
from sessions_platform.sources.files import archives
from sessions_platform.sources.files.source import FileSource
from sessions_platform_tests.ingested import QUARANTINED, joined
from sessions_platform_tests.sources.test_files import COLUMNS

Members = list[tuple[str, bytes]]
LINES = b"".join(b'{"id": %d}\n' % n for n in range(2000))
THREE: Members = [("a.json", b"1\n2\n"), ("b/c.json", LINES), ("d.json", b"3")]


@cache
def source(folder: Path, **described: Any) -> FileSource:
    described = {"files": "landing/*", "format": "ndjson", "archive": "**/*.json", **described}
    stream = {"name": "web", "start": "2026-01-01", "columns": COLUMNS, "path": folder / "web.yaml"}
    return FileSource(Stream.model_validate({**stream, "home": folder / "home", "source": described}))


def read(of: FileSource, slice_: Slice) -> tuple[bytes, list[str]]:
    """The bytes of a slice's rows, and why others could not be read; its raw rows are checked as those of any file."""
    reading = of.read(slice_, QUARANTINED.quarantine)
    blocks = list(reading)
    rows, reasons = b"", []
    for block in blocks:
        corrupt = block["corrupt_reason"].is_not_null()
        rows += joined(block.filter(~corrupt))
        reasons += block["corrupt_reason"].drop_nulls().to_list()
    assert reading.text_bytes is None if reasons else reading.text_bytes is not None
    return rows, reasons


def found(folder: Path, content: bytes, name: str = "x", **described: Any) -> dict[str, Any]:
    """What an archive's slices have: by member, "" for the archive itself."""
    (folder / "landing").mkdir(exist_ok=True)
    (folder / "landing" / name).write_bytes(content)
    of = source(folder, **described)
    return {slice_.uri.partition("!/")[2]: read(of, slice_) for slice_ in of.find()}


def skipped(folder: Path, content: bytes, name: str = "x", **described: Any) -> dict[str, str]:
    found(folder, content, name, **described)
    places = source(folder, **described).search().skipped
    return {skip.place.removeprefix(f"landing/{name}"): skip.reason for skip in places}


def zipped(members: Iterable[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content, method)
    return file.getvalue()


def tarred(members: Iterable[tuple[str | tarfile.TarInfo, bytes]], kind: int = tarfile.PAX_FORMAT) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name) if isinstance(name, str) else name
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def zip64(members: Members) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
    return file.getvalue()


PACKERS: dict[str, Callable[[Members], bytes]] = {
    "zip": zipped,
    "zip, stored": lambda members: zipped(members, zipfile.ZIP_STORED),
    "zip, bzip2": lambda members: zipped(members, zipfile.ZIP_BZIP2),
    "zip64": zip64,
    "tar": tarred,
    "tar, gnu": lambda members: tarred(members, tarfile.GNU_FORMAT),
    "tar, ustar": lambda members: tarred(members, tarfile.USTAR_FORMAT),
    "tar.gz": lambda members: gzip.compress(tarred(members)),
    "tar.zst": lambda members: zstandard.compress(tarred(members)),
    "tar.bz2": lambda members: bz2.compress(tarred(members)),
    "tar.xz": lambda members: lzma.compress(tarred(members)),
    "tar.lz4": lambda members: lz4.frame.compress(tarred(members)),
}


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_each_member_is_a_file_of_its_own(tmp_path: Path, pack: Callable[[Members], bytes]) -> None:
    assert found(tmp_path, pack(THREE)) == {"": (b"", []), **{name: (content, []) for name, content in THREE}}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One path for all: hypothesis forbids a fixture for each example."""
    return tmp_path_factory.mktemp("archives")


TEXTS = st.lists(st.sampled_from([b'{"a": 1}', b"\n", b"\r\n", b"\xff", b"\0", b"x" * 700]), max_size=5).map(b"".join)
PACKED = st.tuples(TEXTS, st.sampled_from([("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)]))


@settings(max_examples=15, deadline=None)
@given(st.lists(PACKED, max_size=5), st.sampled_from(list(PACKERS)), st.integers(0, 99))
def test_any_members_give_the_rows_of_the_same_files(place: Path, files: list[Any], packer: str, number: int) -> None:
    members = [(f"d{at % 2}/{at}.json{suffix}", pack(text)) for at, (text, (suffix, pack)) in enumerate(files)]
    of = {"archive": "**/*"}
    for path in (place / "landing").glob("*"):
        path.unlink()
    inside = found(place, PACKERS[packer](members), f"{number}{packer}.tar", **of)
    (place / "landing" / f"{number}{packer}.tar").unlink()
    for at, (name, content) in enumerate(members):
        (place / "landing" / f"{at}{Path(name).suffix}").write_bytes(content)
    apart = source(place, archive=None)
    assert list(inside.values()) == [(b"", []), *(read(apart, slice_) for slice_ in apart.find())]
    assert b"".join(rows for rows, _ in inside.values()) == b"".join(text for text, _ in files)


def test_members_may_be_packed_and_their_place_has_the_archive(tmp_path: Path) -> None:
    (tmp_path / "landing" / "2026-01-02").mkdir(parents=True)
    (tmp_path / "landing/2026-01-02/x.tgz").write_bytes(
        gzip.compress(tarred([("b.json.gz", gzip.compress(b"1\n")), ("./a.json.bz2", bz2.compress(b"2\n"))]))
    )
    of = source(tmp_path, files="landing/{partition:%Y-%m-%d}/*", archive="*.json.*")
    slices = of.find()
    assert [(s.uri, s.landing_partition) for s in slices] == [
        ("landing/2026-01-02/x.tgz", "2026-01-02"),
        ("landing/2026-01-02/x.tgz!/b.json.gz", "2026-01-02"),  # in the archive's order
        ("landing/2026-01-02/x.tgz!/a.json.bz2", "2026-01-02"),
    ]
    assert [read(of, s)[0] for s in slices] == [b"", b"1\n", b"2\n"]
    assert of.partition_of(slices[1].uri) == "2026-01-02"
    assert of.path_of(slices[1].uri) == tmp_path / "landing/2026-01-02/x.tgz"
    assert of.uris_at(tmp_path / "landing/2026-01-02/x.tgz") == [s.uri for s in slices]
    with of.opened(slices[1].uri) as member:
        member.seek(0)
        assert gzip.decompress(member.read()) == b"1\n"


def test_a_file_beside_archives_is_read_as_it_is(tmp_path: Path) -> None:
    assert found(tmp_path, LINES) == {"": (LINES, [])}
    assert found(tmp_path, gzip.compress(LINES)) == {"": (LINES, [])}


def test_the_key_changes_the_fingerprint_of_archives_alone(tmp_path: Path) -> None:
    """So an archive that was rejected before there was the key is read again."""
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing/a").write_bytes(zipped(THREE))
    (tmp_path / "landing/b").write_bytes(LINES)
    before, now = source(tmp_path, archive=None).find(), source(tmp_path).find()
    assert before[0].fingerprint != now[0].fingerprint
    assert before[1] == now[-1]


# What is told


def test_members_that_do_not_match_are_counted(tmp_path: Path) -> None:
    content = zipped([("a.json", b"1\n"), ("README", b""), (".hidden/b.json", b"2\n"), ("__MACOSX/._a.json", b"\0")])
    assert skipped(tmp_path, content) == {"": "members that `archive` does not match: 3"}


@pytest.mark.parametrize("name", ["../a.json", "/a.json", "b/../../a.json", "..\\a.json", "C:/a.json", "\\\\x\\a.json"])
def test_a_name_that_leads_out_is_told(tmp_path: Path, name: str) -> None:
    for content in (zipped([(name, b"1\n"), ("b.json", b"2\n")]), tarred([(name, b"1\n"), ("b.json", b"2\n")])):
        assert skipped(tmp_path, content) == {f"!/{name}": "its name leads out of the archive"}
        assert found(tmp_path, content) == {"": (b"", []), "b.json": (b"2\n", [])}


def test_links_and_devices_are_told_and_not_followed(tmp_path: Path) -> None:
    entries: list[tuple[tarfile.TarInfo, bytes]] = []
    for name, kind in (("l", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("f", tarfile.FIFOTYPE), ("d", tarfile.CHRTYPE)):
        info = tarfile.TarInfo(f"{name}.json")
        info.type, info.linkname = kind, "/etc/passwd"
        entries.append((info, b""))
    assert skipped(tmp_path, tarred([*entries, ("a.json", b"1\n")])) == {
        "!/l.json": "a link, which is not followed",
        "!/h.json": "a link, which is not followed",
        "!/f.json": "neither a file nor a folder",
        "!/d.json": "neither a file nor a folder",
    }
    link = zipfile.ZipInfo("l.json")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    assert skipped(tmp_path, zipped([(link, b"/etc/passwd")])) == {"!/l.json": "a link, which is not followed"}


def test_of_many_odd_members_some_are_told_and_the_others_counted(tmp_path: Path) -> None:
    told = skipped(tmp_path, tarred([(f"../{n}", b"") for n in range(50)]))
    assert (len(told), told[""]) == (21, "further members that can't be read: 30")


def test_a_folder_that_looks_like_an_archive_is_told(tmp_path: Path) -> None:
    (tmp_path / "landing" / "x!").mkdir(parents=True)
    (tmp_path / "landing/x!/a.json").write_bytes(b"1\n")
    told = source(tmp_path, files="landing/**/*").search()
    assert not told.slices
    assert "would be taken for a member" in told.skipped[0].reason


# Names and sizes


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_empty_archive_and_an_empty_member(tmp_path: Path, pack: Callable[[Members], bytes]) -> None:
    assert found(tmp_path, pack([]), "x.tar") == {"": (b"", [])}
    assert found(tmp_path, pack([("a.json", b"")]), "x.tar") == {"": (b"", []), "a.json": (b"", [])}


@pytest.mark.parametrize("pack", [tarred, zipped])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_members_of_one_name_are_all_read(tmp_path: Path, pack: Callable[[Members], bytes]) -> None:
    """As `tar --append` leaves them. Who unpacks the archive sees the last one alone."""
    members = [("a.json", b"1\n"), ("./a.json", b"2\n"), ("a.json#2", b"no"), ("a.json", b"3\n")]
    whole = found(tmp_path, pack(members), archive="a.json*")
    assert [rows for rows, _ in whole.values()] == [b"", b"1\n", b"2\n", b"no", b"3\n"]
    assert list(whole) == ["", "a.json", "a.json#2", "a.json#2#2", "a.json#3"]


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_and_names_beyond_ascii(tmp_path: Path, kind: int) -> None:
    name = "/".join(["földer" * 20] * 5) + "/é.json"
    assert found(tmp_path, tarred([(name, b"1\n"), ("b.json", b"2\n")], kind)) == {
        "": (b"", []),
        name: (b"1\n", []),
        "b.json": (b"2\n", []),
    }


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("s.json")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "s.json"}
    info.name = "GNUSparseFile.1/s.json"
    content = tarred([(info, b"1\n0\n2\n".ljust(512, b"\0") + b"x\n"), ("b.json", b"2\n")])
    assert found(tmp_path, content) == {
        "": (b"", []),
        "s.json": (b"", ["it is a sparse file. Fix: pack it without --sparse"]),
        "b.json": (b"2\n", []),
    }


def test_a_sparse_file_of_the_older_format_is_refused_with_its_map() -> None:
    header = bytearray(tarfile.TarInfo("s.json").tobuf(tarfile.GNU_FORMAT))
    header[156:157], header[482] = tarfile.GNUTYPE_SPARSE, 1
    header[124:136] = b"%011o\0" % 512
    header[148:156] = b"%06o\0 " % (sum(header) - sum(header[148:156]) + 8 * 32)
    content = bytes(header) + bytes(512) + b"y" * 512 + tarred([("b.json", b"2\n")])
    one, other = tar_members(ForwardReader(iter([content])))
    assert (one.offset, one.refused) == (1024, "it is a sparse file. Fix: pack it without --sparse")
    assert (other.name, other.offset) == ("b.json", 2048)


def test_archives_one_after_the_other_are_one(tmp_path: Path) -> None:
    content = tarred([("a.json", b"1\n")]) + tarred([("b.json", b"2\n")])
    assert found(tmp_path, content) == {"": (b"", []), "a.json": (b"1\n", []), "b.json": (b"2\n", [])}


def tar_of_numbers(count: int) -> bytes:
    """Members 00000.json and so on, each with its number. Of a header the name and the checksum (at 148) differ."""
    info = tarfile.TarInfo("00000.json")
    info.size = 6
    header = info.tobuf(tarfile.USTAR_FORMAT)
    blank = sum(header) - sum(header[148:156]) + 8 * 32 - sum(b"00000")
    names = (b"%05d" % number for number in range(count))
    members = (
        name + header[5:148] + b"%06o\0 " % (blank + sum(name)) + header[156:] + (name + b"\n").ljust(512, b"\0")
        for name in names
    )
    return b"".join(members) + bytes(1024)


def test_ten_thousand_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compressed tar is unpacked twice at most: to list it, and to read all of its members."""
    content = gzip.compress(tar_of_numbers(10_000), 1)
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing/x").write_bytes(content)
    unpacked: list[int] = []
    of, unpack = source(tmp_path), archives._unpacked
    monkeypatch.setattr(archives, "_unpacked", lambda *given: unpacked.append(1) or unpack(*given))
    slices = of.find()
    assert len(slices) == 10_001
    for slice_ in slices[1:60]:
        with of.opened(slice_.uri) as member:
            member.seek(0)
            assert member.read() == b"%s\n" % slice_.uri.rpartition("/")[2].removesuffix(".json").encode()
    assert len(unpacked) == 2


# Limits


def test_more_members_than_allowed_are_told(tmp_path: Path) -> None:
    for content in (zipped(THREE), tarred(THREE)):
        assert found(tmp_path, content, max_members=2) == {
            "": (b"", ["it has more than 2 members. Fix: raise max_members, or deliver it in parts"]),
            "a.json": (b"1\n2\n", []),
            "b/c.json": (LINES, []),
        }


def test_the_size_of_all_members_is_limited(tmp_path: Path) -> None:
    members = [(f"{n}.json", b"1234567\n" * 60_000) for n in range(3)]
    whole = found(tmp_path, zipped(members), max_unpacked="1MB")
    assert [reasons for _, reasons in whole.values()] == [
        [],
        [],
        [],
        ["with it the archive unpacks to more than max_unpacked, 1000000 bytes"],
    ]
    whole = found(tmp_path, gzip.compress(tarred(members)), max_unpacked="1MB")
    assert whole[""][1] == ["it unpacks to more than max_unpacked, 1000000 bytes"]
    assert whole["1.json"] == (members[1][1], [])
    assert whole["2.json"][1]


def test_a_member_that_is_packed_too_well_is_refused() -> None:
    bomb, long = Member("a", 0, 65 << 20, 1000), Member("b", 0, 65 << 20, 1 << 20)
    members = listing_of(iter([bomb, long]), lambda _: True, Limits(9, 1 << 40, 1000)).members
    assert [bool(member.refused) for member in members] == [True, False]
    assert str(members[0].refused).startswith("it unpacks to 68157440 bytes, more than 1000 times its 1000. Fix: raise")


def test_a_compressed_tar_that_is_packed_too_well_ends_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "NEVER_A_BOMB", 1 << 20)
    content = gzip.compress(tarred([("a.json", b"1\n"), ("b.json", bytes(4 << 20))]))
    whole = found(tmp_path, content, max_ratio=2)
    assert whole[""][1] == [f"it unpacks to more than max_ratio allows, {1 << 20} bytes"]
    assert whole["a.json"] == (b"1\n", [])


# What is broken


def test_a_broken_member_costs_that_member_alone(tmp_path: Path) -> None:
    content = bytearray(zipped([("a.json", LINES), ("b.json", LINES), ("c.json", LINES)]))
    at = content.index(b"b.json") + 2000
    content[at : at + 4] = b"\xff" * 4
    whole = found(tmp_path, bytes(content))
    assert whole["a.json"] == whole["c.json"] == (LINES, [])
    rows, (reason,) = whole["b.json"]
    assert LINES.startswith(rows)
    assert rows.endswith(b"\n")
    assert "deflate" in reason or "checksum" in reason


def test_a_wrong_checksum_is_told(tmp_path: Path) -> None:
    content = zipped([("a.json", b"one\ntwo\n"), ("b.json", b"3\n")], zipfile.ZIP_STORED).replace(b"two", b"TWO")
    reason = "its checksum is not the one that the directory states"
    assert found(tmp_path, content) == {
        "": (b"", []),
        "a.json": (b"one\nTWO\n", [reason]),
        "b.json": (b"3\n", []),
    }


@pytest.mark.parametrize("packer", ["tar", "tar.gz", "tar.xz"])
def test_a_tar_that_is_cut_keeps_what_is_before(tmp_path: Path, packer: str) -> None:
    content = PACKERS[packer](THREE)
    whole = found(tmp_path, content[: len(content) * 6 // 10])
    assert whole["a.json"] == (b"1\n2\n", [])
    assert len(whole[""][1]) == 1
    if "b/c.json" in whole:
        rows, reasons = whole["b/c.json"]
        assert LINES.startswith(rows)
        assert len(reasons) == 1


@given(st.integers(0, 40_000), st.sampled_from(["zip", "tar", "tar.gz"]))
@settings(max_examples=15, deadline=None)
def test_a_cut_archive_never_reads_as_whole(place: Path, cut: int, packer: str) -> None:
    content = PACKERS[packer](THREE)
    if packer == "tar":
        # In the first header it is no tar yet, and zeros, of which there are many, are its end.
        members = len(content.rstrip(b"\0"))
        content = content[: 600 + cut % (members - 600)]
    else:
        content = content[: 40 + cut % (len(content) - 41)]
    whole = found(place, content, f"cut{len(content)}{packer}.tar")
    (place / "landing" / f"cut{len(content)}{packer}.tar").unlink()
    assert any(reasons for _, reasons in whole.values())
    assert all(dict(THREE)[name].startswith(rows) for name, (rows, _) in whole.items() if name)


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_any_broken_bytes_are_read_without_a_crash(place: Path, data: st.DataObject) -> None:
    packer = data.draw(st.sampled_from(["zip", "tar", "zip64", "tar.gz"]))
    content = bytearray(PACKERS[packer]([("a.json", b"1\n2\n"), ("b.json", LINES[:300])]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    name = f"flipped{abs(hash(bytes(content)))}"
    found(place, bytes(content), name, archive="**/*")
    (place / "landing" / name).unlink()


def test_an_encrypted_member_is_told(tmp_path: Path) -> None:
    content = bytearray(zipped(THREE[:2]))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    whole = found(tmp_path, bytes(content))
    assert whole["a.json"] == (b"", ["it is encrypted. Fix: unpack it, and deliver the file itself"])
    assert whole["b/c.json"] == (LINES, [])


def test_a_method_that_is_not_read_is_told(tmp_path: Path) -> None:
    content = zipped([("a.json", b"1\n")], zipfile.ZIP_LZMA)
    reason = "it is packed by method 14 (LZMA). Fix: pack it by deflate"
    assert found(tmp_path, content)["a.json"] == (b"", [reason])


@pytest.mark.parametrize(
    ("at", "by", "wrong"),
    [(30, b"x", "name"), (8, b"\0", "method"), (14, b"????", "size or checksum"), (22, b"\x09", "size or checksum")],
)
def test_a_local_header_that_disagrees_with_the_directory_is_told(
    tmp_path: Path, at: int, by: bytes, wrong: str
) -> None:
    content = bytearray(zipped(THREE[:2]))
    content[at : at + len(by)] = by
    whole = found(tmp_path, bytes(content))
    assert whole["a.json"] == (b"", [f"its local header and the central directory state another {wrong}"])
    assert whole["b/c.json"] == (LINES, [])


def test_members_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    content = bytearray(zipped([("a.json", LINES), ("b.json", LINES)]))
    second = content.index(b"PK\1\2", content.index(b"PK\1\2") + 1)
    content[second + 42 : second + 46] = struct.pack("<L", 0)
    assert found(tmp_path, bytes(content))["b.json"][1] == ["it shares its bytes with another member"]


@pytest.mark.parametrize("before", [b"", b"#!/bin/sh\nunzip me\n"])
@pytest.mark.parametrize("after", [b"", b"\n", b"x" * 1000])
def test_bytes_around_a_zip_are_told(tmp_path: Path, before: bytes, after: bytes) -> None:
    if before and after:
        return  # it neither begins nor ends as a zip
    content = before + zipped(THREE) + after
    whole = found(tmp_path, content)
    assert {name: rows for name, (rows, _) in whole.items() if name} == dict(THREE)
    words = [f"{len(before)} bytes before"] * bool(before) + [f"{len(after)} bytes behind"] * bool(after)
    told = skipped(tmp_path, content)
    assert told == ({"": f"{words[0]} the archive belong to no member"} if words else {})


def test_a_zip_without_its_directory_is_told(tmp_path: Path) -> None:
    content = zipped(THREE)
    assert found(tmp_path, content[:-30]) == {
        "": (b"", ["it has no central directory at its end: it is cut off"]),
    }


@pytest.mark.parametrize(
    "inner", [zipped(THREE), tarred(THREE), gzip.compress(tarred(THREE))], ids=["zip", "tar", "tar.gz"]
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_an_archive_in_an_archive_is_refused(tmp_path: Path, inner: bytes, pack: Callable[[Members], bytes]) -> None:
    rows, (reason,) = found(tmp_path, pack([("a.json", inner)]))["a.json"]
    assert rows == b""
    assert "archive in an archive. Fix: unpack it" in reason or "in gzip in an archive. Fix: unpack it" in reason


def test_a_link_to_an_archive_obeys_the_rules_of_links(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(zipped(THREE))
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing/x").symlink_to(tmp_path / "elsewhere")
    assert source(tmp_path).find() == []
    assert len(source(tmp_path, follow_outside_links=True).find()) == 4


def test_kinds_of_entries() -> None:
    folder = Member("a/", 0, 0, 0, Kind.folder)
    assert listing_of(iter([folder]), lambda _: True, Limits(1, 1, 1)).members == []
