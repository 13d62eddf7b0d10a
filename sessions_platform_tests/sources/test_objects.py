"""Landing files in an object store: which objects are found, that versions are never mixed, and what errors say.

The store is the library's own, in memory. What real servers do is tested in `servers/test_object_stores.py`.
"""

import errno
import gzip
import io
import itertools
import json
import os
import random
import sys
import tempfile
import threading
import weakref
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import obstore.store
import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.exceptions import GenericError, InvalidPathError, PermissionDeniedError

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.errors import UserError
from sessions_platform.operations.erase import erase
from sessions_platform.operations.init import propose
from sessions_platform.operations.landing_files import place_files
from sessions_platform.operations.preview import preview
from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.base import Reading, Slice
from sessions_platform.sources.errors import OverwrittenSliceError, SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.files.in_memory import InMemory
from sessions_platform.sources.files.source import FileSource
from sessions_platform.sources.objects import copying
from sessions_platform.sources.objects.ahead import Ahead
from sessions_platform.sources.objects.arriving import Arriving
from sessions_platform.sources.objects.source import ObjectSource
from sessions_platform.sources.objects.store import open_store
from sessions_platform.sources.registry import open_source
from sessions_platform_tests.pipeline.steps import ingest_and_publish, refresh, run_pending, table
from sessions_platform_tests.streams import PLAIN

pytestmark = pytest.mark.usefixtures("on_day_one")
DATED = "landing/{partition:%Y-%m-%d}/*.ndjson*"
ROOT = "s3://events"
DAY = "landing/2026-01-01"


class Disturbed:
    """A store in memory that counts what it is asked, and does something else beside."""

    def __init__(self) -> None:
        self.store = obstore.store.MemoryStore()
        self.asked: list[str] = []
        self.before_get: Callable[[int], None] = lambda _: None
        self.after_get: Callable[[str], None] = lambda _: None
        self.ignores_conditions = False
        self.lists: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def put(self, key: str, content: bytes) -> None:
        self.store.put(key, content)

    def get(self, key: str, options: Any = None) -> Any:
        with self._lock:
            self.asked.append(f"get {key}")
            self.before_get(len(self.asked))
            if self.ignores_conditions:
                options = {name: value for name, value in (options or {}).items() if name != "if_match"}
            answer = self.store.get(key, options=options)
            self.after_get(key)
            return answer

    def head(self, key: str) -> Any:
        self.asked.append(f"head {key}")
        return self.store.head(key)

    def list(self, prefix: str | None = None) -> Any:
        self.asked.append(f"list {prefix}")
        return [*self.store.list(prefix), self.lists]

    def list_with_delimiter(self, prefix: str | None = None) -> Any:
        self.asked.append(f"list {prefix}/")
        found = self.store.list_with_delimiter(prefix)
        return {"common_prefixes": found["common_prefixes"], "objects": [*found["objects"], *self.lists]}


@pytest.fixture
def store() -> Disturbed:
    return Disturbed()


def stream_of(files: str, **source: Any) -> Stream:
    stated = {"format": "ndjson", **source, "files": files}
    return Stream.model_validate({**PLAIN, "source": stated})


@pytest.fixture
def source_of(store: Disturbed, tmp_path: Path) -> Callable[..., ObjectSource]:
    def make(files: str = DATED, **source: Any) -> ObjectSource:
        options = {"give_up_after": "100ms", **source.pop("store", {})}
        stream = stream_of(f"{ROOT}/{files}", store=options, **source)
        return ObjectSource(stream, lambda: store, tmp_path / "scratch", 1 << 16)  # pyright: ignore[reportArgumentType]

    return make


def never(_: Any) -> str:
    raise AssertionError("nothing is quarantined")


def rows(reading: Reading) -> list[dict[str, Any]]:
    return [row for block in reading for row in block.iter_rows(named=True)]


def content(source: ObjectSource, uri: str) -> bytes:
    slice_ = next(each for each in source.find() if each.uri == uri)
    return b"".join(row["payload"] + row["line_terminator"] for row in rows(source.read(slice_, never)))


def uris(found: list[Slice]) -> list[str]:
    return [each.uri.removeprefix(f"{ROOT}/") for each in found]


def test_objects_are_found_by_the_template_in_their_partitions(
    store: Disturbed, source_of: Callable[..., ObjectSource]
) -> None:
    for key in (
        f"{DAY}/a.ndjson",
        f"{DAY}/b c+é%20=?#.ndjson",
        "landing/2026-01-02/a.ndjson",
        f"{DAY}/deeper/a.ndjson",
    ):
        store.put(key, b"{}\n")
    for key in (f"{DAY}/.hidden.ndjson", f"{DAY}/a.ndjson.tmp", f"{DAY}/a.csv", "landing/2026-01-01x/a.ndjson"):
        store.put(key, b"{}\n")
    source = source_of()
    assert uris(source.find(["2026-01-01"])) == [f"{DAY}/a.ndjson", f"{DAY}/b c+é%20=?#.ndjson"]
    assert [each.landing_partition for each in source.find()] == ["2026-01-01", "2026-01-01", "2026-01-02"]
    assert source.partition_of(f"{ROOT}/landing/2026-01-02/gone.ndjson") == "2026-01-02"
    assert source.partition_of("s3://another/landing/2026-01-02/a.ndjson") is None


def test_a_prefix_that_ends_within_a_name_finds_what_begins_so(
    store: Disturbed, source_of: Callable[..., ObjectSource]
) -> None:
    for key in ("half/part-2026-01-01.ndjson", "half/part-2026-01-02.ndjson", "half/other-2026-01-01.ndjson"):
        store.put(key, b"{}\n")
    source = source_of("half/part-{partition:%Y-%m-%d}.ndjson")
    assert uris(source.find(["2026-01-01"])) == ["half/part-2026-01-01.ndjson"]
    assert uris(source.find()) == ["half/part-2026-01-01.ndjson", "half/part-2026-01-02.ndjson"]


def test_only_the_prefixes_of_the_partitions_that_are_asked_for_are_listed(
    store: Disturbed, source_of: Callable[..., ObjectSource]
) -> None:
    source_of().find(["2026-01-01", "2026-01-03"])
    assert store.asked == [f"list {DAY}/", "list landing/2026-01-03/"]
    store.asked.clear()
    source_of().find()
    source_of("*.ndjson").find()
    source_of("a/**/x.ndjson").find(["2026-01-01"])
    assert store.asked == ["list landing", "list None/", "list a"]


def test_of_many_partitions_all_are_listed_at_once(store: Disturbed, source_of: Callable[..., ObjectSource]) -> None:
    for day in range(1, 6):
        store.put(f"landing/2026-01-{day:02}/a.ndjson", b"{}\n")
    wanted = [
        "2026-01-01",
        "2026-01-04",
        *(f"2026-{month:02}-{day:02}" for month in range(2, 9) for day in range(1, 28)),
    ]
    assert uris(source_of().find(wanted)) == ["landing/2026-01-01/a.ndjson", "landing/2026-01-04/a.ndjson"]
    assert store.asked == ["list landing"]


def test_objects_whose_names_state_no_partition_are_skipped_with_the_reason(
    store: Disturbed, source_of: Callable[..., ObjectSource]
) -> None:
    store.put("landing/2026-1-1/a.ndjson", b"{}\n")
    (skipped,) = source_of().search().skipped
    assert skipped.place == f"{ROOT}/landing/2026-1-1/a.ndjson"
    assert "spelled otherwise" in skipped.reason


def test_the_mark_of_a_folder_is_no_object(store: Disturbed, source_of: Callable[..., ObjectSource]) -> None:
    store.put("flat/a.ndjson", b"{}\n")
    store.put("flat/empty.ndjson", b"")
    meta = dict(store.store.head("flat/empty.ndjson"))
    store.lists.append({**meta, "path": "flat/folder.ndjson"})  # as flat/folder.ndjson/ is listed
    assert uris(source_of("flat/*.ndjson").find()) == ["flat/a.ndjson", "flat/empty.ndjson"]


SAMPLES = {
    "a.ndjson": b'{"id": "1"}\r\nnonsense\n\n{"id": "2"}',
    "b.ndjson.gz": gzip.compress(b'{"id": "3"}\n' * 5000),
    "broken.ndjson.gz": gzip.compress(b'{"id": "4"}\n' * 5000)[:-20],
    "empty.ndjson": b"",
    "broken.large.ndjson.gz": gzip.compress(random.Random(0).randbytes(700_000))[:-20],
    "large.ndjson": b"".join(b'{"id": "%d"}\n' % n for n in range(60_000)),
}


@pytest.mark.parametrize("is_announced", [False, True], ids=["copied", "while it arrives"])
def test_an_object_has_the_rows_of_a_local_file_with_the_same_bytes(
    store: Disturbed,
    source_of: Callable[..., ObjectSource],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    is_announced: bool,
) -> None:
    monkeypatch.setattr(copying, "PART_BYTES", 300_000)
    folder = tmp_path / "files"
    folder.mkdir()
    for name, sample in SAMPLES.items():
        store.put(f"{DAY}/{name}", sample)
        (folder / name).write_bytes(sample)
    local, source = FileSource(stream_of(f"{folder}/*"), 1 << 16), source_of()
    found = source.find()
    if is_announced:
        source.will_read(found)
    for here, there in zip(local.find(), found, strict=True):
        kept: list[list[bytes]] = [[], []]
        readings = [local.read(here, _kept(kept[0])), source.read(there, _kept(kept[1]))]
        assert rows(readings[0]) == rows(readings[1]), here.uri
        assert readings[0].digest == readings[1].digest
        assert kept[0] == kept[1]
    assert (tmp_path / "scratch").exists()
    assert list((tmp_path / "scratch").iterdir()) == []  # copies have no names


def _kept(quarantined: list[bytes]) -> Callable[[Any], str]:
    def keep(chunks: Any) -> str:
        quarantined.append(b"".join(chunks))
        return "a-path"

    return keep


def test_the_members_of_an_archive_are_read_from_one_copy(
    store: Disturbed, source_of: Callable[..., ObjectSource]
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(5):
            archive.writestr(f"{number}.ndjson", b'{"id": "%d"}\n' % number)
    store.put(f"{DAY}/all.zip", packed.getvalue())
    source = source_of("landing/{partition:%Y-%m-%d}/*", archive="*.ndjson")
    found = source.find(["2026-01-01"])
    payloads = [row["payload"] for each in found for row in rows(source.read(each, never))]
    assert [json.loads(payload)["id"] for payload in payloads] == ["0", "1", "2", "3", "4"]
    assert store.asked.count(f"get {DAY}/all.zip") == 1
    again = source_of("landing/{partition:%Y-%m-%d}/*", archive="*.ndjson").find(["2026-01-01"])
    assert again == found
    assert store.asked.count(f"get {DAY}/all.zip") == 1  # what is in it is known by its version


OLD, NEW = b'{"v": "old"}\n' * 60_000, b'{"v": "new"}\n' * 60_000


@pytest.mark.parametrize("ignores_conditions", [False, True], ids=["", "a server that ignores If-Match"])
@pytest.mark.parametrize("at", [2, 4, 9])
def test_an_object_that_is_overwritten_while_it_is_read_is_one_version(
    store: Disturbed,
    source_of: Callable[..., ObjectSource],
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    ignores_conditions: bool,
) -> None:
    monkeypatch.setattr(copying, "PART_BYTES", 100_000)
    store.ignores_conditions = ignores_conditions
    store.put(f"{DAY}/a.ndjson", OLD)
    source = source_of()
    before = source.find()
    store.before_get = lambda count: store.put(f"{DAY}/a.ndjson", NEW) if count == at + 1 else None
    assert content(source, f"{ROOT}/{DAY}/a.ndjson") == NEW
    assert source.find() != before


@pytest.fixture
def announced(
    store: Disturbed, source_of: Callable[..., ObjectSource], monkeypatch: pytest.MonkeyPatch
) -> tuple[ObjectSource, Slice]:
    """A source, and an object of eight parts that will be read."""
    monkeypatch.setattr(copying, "PART_BYTES", len(OLD) // 8 + 1)
    store.put(f"{DAY}/a.ndjson", OLD)
    source = source_of(store={"give_up_after": "60s"})
    source.will_read(found := source.find())
    return source, found[0]


def test_a_large_object_is_read_while_it_arrives(store: Disturbed, announced: tuple[ObjectSource, Slice]) -> None:
    source, slice_ = announced
    has_rows, in_time = threading.Event(), list[bool]()
    store.before_get = lambda count: in_time.append(has_rows.wait(10)) if count > 5 else None  # the listing, four parts
    blocks = iter(source.read(slice_, never))
    height = next(blocks).height
    has_rows.set()
    assert height + sum(block.height for block in blocks) == 60_000
    assert in_time == [True] * 4
    assert store.asked.count(f"get {DAY}/a.ndjson") == 8


@pytest.mark.parametrize("ignores_conditions", [False, True], ids=["", "a server that ignores If-Match"])
@pytest.mark.parametrize("then", [NEW, b""], ids=["overwritten", "deleted"])
@pytest.mark.parametrize("at", [2, 7])
def test_an_object_that_is_another_one_while_it_arrives_has_rows_of_one_version_or_ends_in_an_error(
    store: Disturbed, announced: tuple[ObjectSource, Slice], at: int, then: bytes, ignores_conditions: bool
) -> None:
    source, slice_ = announced
    store.ignores_conditions = ignores_conditions

    def change(count: int) -> None:
        if count == at + 1:
            store.put(f"{DAY}/a.ndjson", then) if then else store.store.delete(f"{DAY}/a.ndjson")

    store.before_get = change
    before: list[bytes] = []

    def read() -> None:
        for block in source.read(slice_, never):
            before.extend(block["payload"])

    with pytest.raises(OverwrittenSliceError, match=r"a\.ndjson was overwritten or deleted while it was read\. Fix: "):
        read()
    assert set(before) <= {OLD.partition(b"\n")[0]}


class Part(bytearray):
    """What may be referred to weakly."""


@given(
    size=st.integers(0, 40),
    part_bytes=st.integers(1, 9),
    at_once=st.integers(1, 4),
    places=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 45)), max_size=12),
)
def test_whatever_is_read_of_an_object_while_it_arrives_is_what_is_there_and_few_parts_are_asked_for(
    size: int, part_bytes: int, at_once: int, places: list[tuple[int, int]]
) -> None:
    body, asked, parts = bytes(range(size)), list[int](), list[weakref.ref[Part]]()

    def fetch(start: int, end: int) -> Part:
        asked.append(start // part_bytes)
        part = Part(body[start:end])
        parts.append(weakref.ref(part))
        return part

    def copied() -> io.FileIO:
        with tempfile.TemporaryFile() as file:
            file.write(body)
            file.flush()
            return io.FileIO(os.dup(file.fileno()))

    with Arriving(size, "v", fetch, copied, part_bytes, at_once) as arriving:
        furthest = 0
        for length, start in places:
            part = arriving.part(length, start)
            assert body[start : start + length].startswith(part)
            assert bool(part) == (start < size)
            furthest = max(furthest, start if start < size else 0)
            assert all(number < furthest // part_bytes + at_once for number in asked)
            assert sum(part() is not None for part in parts) <= 2 * at_once  # each thread may be about to let one go
    assert len(asked) == len(set(asked))
    with pytest.raises(ValueError, match="closed"):
        arriving.part(1, 0)


def test_an_object_that_is_found_overwritten_where_its_bytes_broke_off_is_read_anew(
    store: Disturbed, source_of: Callable[..., ObjectSource]
) -> None:
    failures = iter([answer("412 Precondition Failed", "PreconditionFailed", "It did not hold.")])

    def fail_once(_: int) -> None:
        if error := next(failures, None):
            raise error

    store.put(f"{DAY}/a.ndjson", OLD)
    store.before_get = fail_once
    assert content(source_of(), f"{ROOT}/{DAY}/a.ndjson") == OLD


def test_an_object_that_is_overwritten_again_and_again_ends_the_reading_in_a_sentence(
    store: Disturbed, source_of: Callable[..., ObjectSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PART_BYTES", 100_000)
    store.put(f"{DAY}/a.ndjson", OLD)
    store.before_get = lambda count: store.put(f"{DAY}/a.ndjson", OLD if count % 2 else NEW)
    with pytest.raises(SourceUnavailableError, match=r"a\.ndjson was overwritten whenever it was read, 5 times"):
        content(source_of(), f"{ROOT}/{DAY}/a.ndjson")


def test_the_next_object_is_asked_for_while_the_one_before_it_is_read(
    store: Disturbed, source_of: Callable[..., ObjectSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PART_BYTES", len(OLD) // 2)
    put = {f"{DAY}/{name}.ndjson": OLD for name in "abd"} | {f"{DAY}/c.ndjson": OLD + NEW}  # c in four parts
    for key, content_ in put.items():
        store.put(key, content_)
    source, asked = (
        source_of(store={"give_up_after": "60s"}),
        {f"{DAY}/{name}.ndjson": threading.Event() for name in "abcd"},
    )
    found = source.find()
    store.after_get = lambda key: asked[key].set()
    source.will_read(found)
    heights: list[int] = []
    for slice_, ahead in zip(found, ("b", "c", "d", None), strict=True):
        blocks = iter(source.read(slice_, never))
        heights.append(next(blocks).height)
        assert ahead is None or asked[f"{DAY}/{ahead}.ndjson"].wait(60)
        heights[-1] += sum(block.height for block in blocks)
    assert heights == [60_000, 60_000, 120_000, 60_000]
    assert [store.asked.count(f"get {DAY}/{name}.ndjson") for name in "abcd"] == [1, 1, 4, 1]


def test_what_was_fetched_ahead_is_not_read_for_another_version(
    store: Disturbed, source_of: Callable[..., ObjectSource]
) -> None:
    for name in "ab":
        store.put(f"{DAY}/{name}.ndjson", OLD)
    source = source_of()
    has_b = threading.Event()
    store.after_get = lambda key: has_b.set() if key == f"{DAY}/b.ndjson" else None
    source.will_read(found := source.find())
    rows(source.read(found[0], never))
    assert has_b.wait(60)
    store.put(f"{DAY}/b.ndjson", NEW)
    assert content(source, f"{ROOT}/{DAY}/b.ndjson") == NEW


def test_what_could_not_be_fetched_ahead_is_read_and_told_when_its_turn_comes(
    store: Disturbed, source_of: Callable[..., ObjectSource]
) -> None:
    for name in "ab":
        store.put(f"{DAY}/{name}.ndjson", OLD)
    source = source_of()
    source.will_read(found := source.find())
    store.store.delete(f"{DAY}/b.ndjson")
    rows(source.read(found[0], never))
    with pytest.raises(FileNotFoundError):
        rows(source.read(found[1], never))


class Held:
    """What was fetched of an object; `held` is what nobody has taken or closed."""

    held: ClassVar[dict[str, int]] = {}
    changes: ClassVar = threading.Condition()

    def __init__(self, key: str, size: int) -> None:
        self.key = key
        with self.changes:
            self.held[key] = size

    def close(self) -> None:
        with self.changes:
            del self.held[self.key]
            self.changes.notify_all()


def test_behind_fetches_that_hang_nothing_is_fetched_that_has_no_room() -> None:
    goes_on, begun, asked = threading.Event(), threading.Semaphore(0), list[str]()

    def fetch(key: str) -> Held:
        asked.append(key)
        begun.release()
        goes_on.wait(60)
        return Held(key, 4)

    ahead = Ahead(fetch, timedelta(0), 10)
    ahead.expect(dict.fromkeys("abcdef", 4))
    assert ahead.take("a") is None
    assert all(begun.acquire(timeout=60) for _ in "bc")
    assert [ahead.take(key) for key in "bcd"] == [None] * 3  # though they come
    goes_on.set()
    assert sorted(asked) == ["b", "c"]


@given(
    sizes=st.lists(st.integers(0, 12), max_size=12),
    taken=st.lists(st.integers(0, 12), max_size=12),
    is_in_order=st.booleans(),
)
def test_whatever_is_taken_is_what_was_asked_for_and_little_is_ahead(
    sizes: list[int], taken: list[int], is_in_order: bool
) -> None:
    Held.held.clear()
    keys, asked = [f"k{number}" for number in range(len(sizes))], list[str]()

    def fetch(key: str) -> Held:
        asked.append(key)
        return Held(key, sizes[int(key[1:])])

    ahead = Ahead(fetch, timedelta(seconds=60), 10)
    ahead.expect(dict(zip(keys, sizes, strict=True)))
    order = keys if is_in_order else [f"k{number}" for number in taken]
    for key in order:
        if body := ahead.take(key):
            assert body.key == key
            body.close()
        with Held.changes:
            held = [min(size, 10) for size in Held.held.values()]
        assert len(held) <= 4
        assert sum(held) <= 10
    assert not is_in_order or sorted(asked) == sorted(keys[1:])
    del ahead
    with Held.changes:
        assert Held.changes.wait_for(lambda: not Held.held, 10)


def test_an_object_in_memory_can_be_read_no_more_once_it_is_closed() -> None:
    with InMemory(OLD, lambda _: pytest.fail("no file is needed")) as file:
        assert file.part(5, 0) == OLD[:5]
    with pytest.raises(ValueError, match="released"):
        file.part(5, 0)


def test_an_object_that_vanished_is_told_as_a_file_that_did(
    store: Disturbed, source_of: Callable[..., ObjectSource]
) -> None:
    store.put(f"{DAY}/a.ndjson", OLD)
    source = source_of()
    (slice_,) = source.find()
    store.store.delete(f"{DAY}/a.ndjson")
    with pytest.raises(FileNotFoundError):
        rows(source.read(slice_, never))


def test_no_space_for_a_copy_is_told_with_the_folder(
    store: Disturbed, source_of: Callable[..., ObjectSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    store.put(f"{DAY}/a.ndjson", OLD)
    monkeypatch.setattr(copying, "PART_BYTES", 100_000)
    monkeypatch.setattr(copying.os, "pwrite", full)
    with pytest.raises(UserError, match=r"there is no space for a copy in .*scratch\. Fix: free space there"):
        content(source_of(), f"{ROOT}/{DAY}/a.ndjson")


def answer(status: str, code: str = "", message: str = "") -> GenericError:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else ""
    url = "https://store.example/events?list-type=2&sig=THE-SIGNATURE"
    return GenericError(
        f"Generic S3 error: Error performing list request: Error performing GET {url} in 2.8ms - Server returned "
        f"non-2xx status code: {status}: {body}\n\nDebug source:\nGeneric {{ uri: {url} }}"
    )


def no_answer(debug: str) -> GenericError:
    url = "https://store.example/events?sig=THE-SIGNATURE"
    return GenericError(
        f"Generic S3 error: Error performing GET {url} in 1ms, after 10 retries - HTTP error: error sending request\n\n"
        f"Debug source:\nGeneric {{ uri: {url}, {debug} }}"
    )


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            answer("404 Not Found", "NoSuchBucket", "The specified bucket does not exist"),
            "create the bucket events, or",
        ),
        (
            answer("403 Forbidden", "InvalidAccessKeyId"),
            r"Fix: correct source\.store\.access_key and secret_key, or AWS_",
        ),
        (answer("403 Forbidden", "SignatureDoesNotMatch", "It does not match."), "SignatureDoesNotMatch: It does not"),
        (
            answer("403 Forbidden", "AccessDenied", "Access Denied."),
            "Fix: grant s3:ListBucket on the bucket, and s3:Get",
        ),
        (answer("400 Bad Request", "ExpiredToken", "The provided token has expired."), "Fix: renew the credentials: s"),
        (answer("301 Moved Permanently", "PermanentRedirect"), r"Fix: correct source\.store\.region and"),
        (answer("403 Forbidden", "RequestTimeTooSkewed"), "Fix: set this machine's clock"),
        (answer("404 Not Found"), r"Fix: correct source\.files, source\.store\.endpoint"),
        (
            answer("503 Service Unavailable", "SlowDown", "Reduce your request rate."),
            "it answers SlowDown: Reduce .* 100ms",
        ),
        (
            no_answer("InvalidCertificate(UnknownIssuer)"),
            r"its certificate is not trusted\. Fix: state its authority as source",
        ),
        (no_answer("InvalidContentType"), r"it does not answer in TLS\. Fix: correct source\.store\.endpoint"),
        (no_answer("BadScheme"), r"the endpoint is not encrypted\. Fix: use https://"),
        (no_answer("kind: ConnectionRefused"), r"the connection is refused; it was tried for 100ms\. Fix: run again"),
        (no_answer('"dns error"'), "the name of its server is not known; it was tried"),
        (no_answer("something new"), "HTTP error: error sending request; it was tried for 100ms"),
        (
            GenericError("Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token"),
            "no credentials",
        ),
        (InvalidPathError('Path "l//x" contained empty path segment\n\n'), "rename or delete that object"),
    ],
)
def test_an_error_of_the_store_is_a_sentence_with_place_and_fix_and_without_secrets(
    store: Disturbed,
    source_of: Callable[..., ObjectSource],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    sentence: str,
) -> None:
    def fail(_: str | None = None) -> Any:
        raise error

    monkeypatch.setattr(store, "list_with_delimiter", fail)
    with pytest.raises(SourceRefusedError, match=sentence) as refused:
        source_of().find(["2026-01-01"])
    assert str(refused.value).startswith(ROOT)
    assert str(refused.value).endswith(".")
    assert "Fix: " in str(refused.value)
    assert "THE-SIGNATURE" not in str(refused.value)
    assert "Debug" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_an_archived_object_is_told_by_its_uri(
    store: Disturbed, source_of: Callable[..., ObjectSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(f"{DAY}/a.ndjson", OLD)

    def archived(*_: Any, **__: Any) -> Any:
        raise PermissionDeniedError(str(answer("403 Forbidden", "InvalidObjectState", "Not valid for the class")))

    monkeypatch.setattr(store, "get", archived)
    with pytest.raises(SourceRefusedError, match=rf"^{ROOT}/{DAY}/a\.ndjson can't .* it is archived: restore it"):
        content(source_of(), f"{ROOT}/{DAY}/a.ndjson")


@pytest.mark.parametrize("method", ["list", "list_with_delimiter"])
def test_what_may_pass_is_tried_again(
    store: Disturbed, source_of: Callable[..., ObjectSource], monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    failures = iter([answer("503 Service Unavailable"), no_answer("ConnectionRefused")])
    real = getattr(store, method)

    def fail_twice(prefix: str | None = None) -> Any:
        if error := next(failures, None):
            raise error
        return real(prefix)

    monkeypatch.setattr(store, method, fail_twice)
    store.put(f"{DAY}/a.ndjson", b"{}\n")
    source = source_of(store={"give_up_after": "1m"})
    if method == "list":
        assert not source.is_empty()
    else:
        assert uris(source.find(["2026-01-01"])) == [f"{DAY}/a.ndjson"]
    assert next(failures, None) is None


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ({"files": "s3://b/a/*.csv", "store": {"endpoint": "http://minio:9000"}}, "not encrypted. Fix: write https://"),
        (
            {"files": "s3://b/a/*.csv", "store": {"endpoint": "https://u:p@minio"}},
            "must not contain a user or password",
        ),
        (
            {"files": "s3://b/a/*.csv", "store": {"endpoint": "minio:9000"}},
            "is no URL of a server. Fix: write it whole",
        ),
        ({"files": "s3://b/a/*.csv", "store": {"access_key": "x"}}, "access_key and secret_key belong together"),
        (
            {"files": "s3://b/a/*.csv", "store": {"access_key": "x", "secret_key": "pw-12"}},
            "a secret can't stand in the",
        ),
        ({"files": "s3://b/a/*.csv", "store": {"account": "x"}}, "store.account is no key of s3://. Fix: remove it"),
        ({"files": "s3://b/a/*.csv", "store": {"regoin": "x"}}, "did you mean region?"),
        ({"files": "landing/*.csv", "store": {"region": "x"}}, "store belongs to objects. Fix: remove it, or write"),
        ({"files": "s3://b-*/a/*.csv"}, "it names no bucket"),
        ({"files": "s3://b"}, "is no path of keys"),
        ({"files": "s3://b/a//x/*.csv"}, "is no path of keys. Fix: write the keys' path as it is"),
        ({"files": "s3://b/a/../x/*.csv"}, "is no path of keys"),
        ({"files": "s3a://b/a/*.csv"}, "s3a:// is no store that is read. Fix: write s3://, gs:// or az://"),
        ({"files": "s3://b/a/*.csv", "rewrite_on_erasure": "all"}, "objects are not rewritten"),
    ],
)
def test_keys_that_do_not_fit_are_told_with_their_fix(tmp_path: Path, source: dict[str, Any], sentence: str) -> None:
    file = tmp_path / "web.yaml"
    file.write_text(json.dumps({**PLAIN, "source": {"format": "csv", **source}}))
    with pytest.raises(StreamError) as error:
        load_stream(file, tmp_path)
    assert sentence in str(error.value)
    assert "pw-12" not in str(error.value)


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_a_store_is_opened_with_secrets_of_the_environment_and_shows_none(
    scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = '{"private_key": "", "private_key_id": "", "client_email": "x", "disable_oauth": true, "gcs_base_url": "https://x"}'
    monkeypatch.setenv("THE_SECRET", key if scheme == "gs" else "c2VjcmV0LW9uZQ==")
    secret = {"env": "THE_SECRET"}
    options = {
        "s3": {"access_key": "x", "secret_key": secret, "region": "eu-central-1"},
        "gs": {"service_account": secret},
        "az": {"account": "x", "account_key": secret},
    }[scheme]
    stream = stream_of(f"{scheme}://events/{DATED}", store=options)
    source: Any = stream.source
    assert "c2VjcmV0" not in repr(open_store(source.objects, source.store_options))
    assert "c2VjcmV0" not in stream.model_dump_json()
    monkeypatch.delenv("THE_SECRET")
    with pytest.raises(
        UserError, match=r"source\.store\.\w+: the environment variable THE_SECRET is not set\. Fix: set"
    ):
        open_store(source.objects, source.store_options)


def test_a_missing_extra_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    source = open_source(stream_of(f"{ROOT}/{DATED}"), settings)
    told = r"s3://events: obstore is not installed\. Fix: pip install 'sessions-platform\[object-stores\]'"
    with pytest.raises(SourceRefusedError, match=told):
        source.find()


def test_a_stream_without_its_secret_has_its_status_and_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    options = {"access_key": "x", "secret_key": {"env": "NOT_SET"}}
    named = stream_of(f"{ROOT}/{DATED}", store=options).model_copy(update={"name": f"objects{next(_names)}"})
    context = StreamContext.open(named, settings)
    context.prepare()
    hint = status(context)["hints"][0]
    assert "s3://events: source.store.secret_key: the environment variable NOT_SET is not set. Fix: set it" in hint
    assert not hint.endswith("..")


_names = itertools.count()


@pytest.fixture
def context(settings: Settings, source_of: Callable[..., ObjectSource]) -> StreamContext:
    source = source_of(DATED)
    stream = stream_of(f"{ROOT}/{DATED}").model_copy(update={"name": f"objects{next(_names)}"})
    return StreamContext.open(stream, settings, source)


def event(number: int, user: str = "ann") -> bytes:
    at = f"2026-01-01T12:{number:02}:00Z"
    return json.dumps({"id": f"e{number}", "user": user, "ts": at, "type": "view"}).encode() + b"\n"


def test_objects_become_sessions_and_are_read_once(store: Disturbed, context: StreamContext) -> None:
    store.put(f"{DAY}/a.ndjson", event(0) + event(5))
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    assert [row["event_count"] for row in table(context)] == [2]
    store.asked.clear()
    ingest_and_publish(context, "2026-01-01")
    assert not [asked for asked in store.asked if asked.startswith("get")]
    store.put(f"{DAY}/a.ndjson", event(0) + event(50))
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    assert [row["event_count"] for row in table(context)] == [1, 1]
    store.store.delete(f"{DAY}/a.ndjson")
    ingest_and_publish(context, "2026-01-01")
    refresh(context)
    assert len(table(context)) == 2


@pytest.mark.parametrize("then", [OLD, NEW, b""], ids=["as it was", "overwritten", "deleted"])
def test_a_large_object_that_is_another_one_while_it_is_ingested_counts_in_one_version(
    store: Disturbed, context: StreamContext, monkeypatch: pytest.MonkeyPatch, then: bytes
) -> None:
    monkeypatch.setattr(copying, "PART_BYTES", len(OLD) // 8 + 1)
    store.put(f"{DAY}/a.ndjson", OLD)
    is_to_change = iter([True])

    def change(count: int) -> None:
        if count >= 8 and next(is_to_change, False):
            store.put(f"{DAY}/a.ndjson", then) if then else store.store.delete(f"{DAY}/a.ndjson")

    store.before_get = change
    assert ingest(context, ["2026-01-01"], "run")["2026-01-01"].rows == (60_000 if then else 0)
    found = context.raw_events(["2026-01-01"]).scan().collect()
    assert set(found["payload"]) == ({then.partition(b"\n")[0]} if then else set())
    ingest(context, ["2026-01-01"], "run")
    assert context.raw_events(["2026-01-01"]).scan().collect().height == found.height


@pytest.mark.parametrize("earlier", [timedelta(hours=1), timedelta(0)], ids=["before", "in the same second"])
def test_an_object_that_was_written_before_the_last_look_and_is_listed_after_it_is_read(
    store: Disturbed, context: StreamContext, earlier: timedelta
) -> None:
    store.put(late := f"{DAY}/a.ndjson", event(0))
    store.put(f"{DAY}/b.ndjson", event(5))
    moment, listed = datetime(2026, 1, 1, 12, tzinfo=UTC), store.list_with_delimiter
    hidden = {late}

    def with_times(prefix: str | None = None) -> Any:
        written = {late: moment - earlier}
        found = [each for each in listed(prefix)["objects"] if each["path"] not in hidden]
        return {"objects": [{**each, "last_modified": written.get(each["path"], moment)} for each in found]}

    store.list_with_delimiter = with_times
    ingest_and_publish(context, "2026-01-01")
    assert context.raw_events(["2026-01-01"]).scan().collect().height == 1
    hidden.clear()
    ingest_and_publish(context, "2026-01-01")
    found = context.raw_events(["2026-01-01"]).scan().collect()
    assert sorted(found["source_uri"]) == [f"{ROOT}/{DAY}/a.ndjson", f"{ROOT}/{DAY}/b.ndjson"]


def test_status_says_what_lies_near_and_what_the_store_refuses(
    store: Disturbed, context: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    context.prepare()
    store.store.delete([meta["path"] for page in store.store.list() for meta in page])
    assert f"{ROOT} is empty" in " ".join(status(context)["hints"])
    store.put("landing/old/a.csv", b"x")
    (hint,) = (hint for hint in status(context)["hints"] if "no object matches" in hint)
    assert f"{ROOT}/landing has 1 file named *.csv, as landing/old/a.csv" in hint

    def refuse(_: str | None = None) -> Any:
        raise answer("403 Forbidden", "AccessDenied", "Access Denied.")

    monkeypatch.setattr(store, "list", refuse)
    assert "grant s3:ListBucket" in status(context)["skipped_files"]["first"][0]


def test_files_are_not_put_into_a_bucket_and_the_sentence_says_where_they_belong(
    context: StreamContext, tmp_path: Path
) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(event(1))
    with pytest.raises(
        UserError, match=rf"copy the files to {ROOT}/landing/.* then run `sessions-platform run objects"
    ):
        place_files(context, [file], None)


def test_an_erasure_names_the_objects_that_still_have_the_users_rows(store: Disturbed, context: StreamContext) -> None:
    store.put(f"{DAY}/a.ndjson", event(0, "ann") + event(1, "bob"))
    store.put(f"{DAY}/b.ndjson", event(2, "bob"))
    run_pending(context, "2026-01-01")
    receipt = erase(context, ["ann"])
    assert receipt["left"] == [f"{ROOT}/{DAY}/a.ndjson: objects are not rewritten. Fix: remove the user's rows."]
    run_pending(context, "2026-01-01")
    assert [row["user_id"] for row in table(context)] == ["bob"]


def test_a_local_file_is_previewed_as_an_object_that_it_may_become(tmp_path: Path) -> None:
    file = tmp_path / "a.ndjson"
    file.write_bytes(event(0))
    settings = Settings(home=tmp_path / "home", lake=tmp_path / "lake", streams=())
    of_objects = stream_of(f"{ROOT}/{DATED}")
    (row,) = preview(of_objects, settings, [file]).rows()
    assert row["file"].startswith(f"{ROOT}/landing/")
    assert row["outcome"] == "accepted"
    with pytest.raises(UserError, match=r"its landing files are objects.* Fix: name a file behind the stream"):
        preview(of_objects, settings)


def test_what_needs_a_local_file_says_so_of_an_object(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", lake=tmp_path / "lake", streams=())
    with pytest.raises(UserError, match=r"is no file of this machine\. Fix: name a copy of the object"):
        propose("app", [Path(f"{ROOT}/landing/a.ndjson")], settings)
