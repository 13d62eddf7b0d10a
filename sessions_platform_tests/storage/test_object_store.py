"""A lake of objects: each is whole and of one version, copies are bounded, and what was removed is read from none."""

import io
import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl
import pytest
from dagster import Failure

from sessions_platform.cli.failures import run_command
from sessions_platform.contracts.object_store import Objects
from sessions_platform.orchestration.failures import retried_when_transient
from sessions_platform.storage.lake import bucket as bucket_module
from sessions_platform.storage.lake import checksums, object_store
from sessions_platform.storage.lake.copies import Copies, Copy, read_at, reader
from sessions_platform.storage.lake.errors import (
    DamagedFileError,
    LakeRefusedError,
    LakeUnavailableError,
    MissingFileError,
)
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.lake.object_store import ObjectFilesystem
from sessions_platform.storage.lake.probe import probe
from sessions_platform_tests.lakes import Counting

if TYPE_CHECKING:
    from obstore.store import MemoryStore

SCHEMA: dict[str, pl.DataType] = {"number": pl.Int64(), "text": pl.String()}
ROWS = pl.DataFrame({"number": range(1000), "text": [f"text {number}" for number in range(1000)]}, SCHEMA)


@pytest.fixture
def bucket() -> "MemoryStore":
    return pytest.importorskip("obstore.store").MemoryStore()


@pytest.fixture
def opened(bucket: "MemoryStore", tmp_path: Path) -> Callable[..., Lake]:
    """Opens the lake as a new process does."""

    def open_lake(store: Any = bucket, give_up_after: timedelta = timedelta(seconds=1)) -> Lake:
        objects = Objects("s3", "bucket", "lake")
        filesystem = ObjectFilesystem(objects, tmp_path / "scratch", lambda _: store, give_up_after)
        return Lake(filesystem, tmp_path / "scratch")

    return open_lake


@pytest.fixture
def lake(opened: Callable[..., Lake]) -> Lake:
    return opened()


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def put(lake: Lake, path: str, content: bytes) -> bool:
    with lake.filesystem.draft(path.rpartition("/")[0]) as draft:
        draft.write_bytes(content)
        return lake.filesystem.put_if_absent(path, draft)


def test_rows_are_read_as_they_were_written_and_no_local_file_is_left(
    lake: Lake, opened: Callable[..., Lake], tmp_path: Path
) -> None:
    file = lake.write("web/events/day", [ROWS[:600], ROWS[600:]], SCHEMA, statistics=("number",))
    for each in (lake, opened()):
        assert each.scan([file.path], SCHEMA).collect().equals(ROWS)
        wanted = each.scan([file.path], SCHEMA).filter(pl.col("number") > 990).select("text")
        assert wanted.collect(engine="streaming")["text"].to_list() == ROWS["text"][991:].to_list()
        assert each.scan([file.path, file.path], SCHEMA).head(1003).collect().height == 1003
        assert each.scan([file.path], SCHEMA).select(pl.len()).collect().item() == 1000
        assert each.scan([], SCHEMA).collect().schema == SCHEMA
    assert files_below(tmp_path) == []


@pytest.mark.parametrize("part", ["data", "footer", "length"])
def test_an_object_of_other_bytes_is_damaged_and_its_rows_are_not_read(
    lake: Lake, bucket: "MemoryStore", part: str
) -> None:
    path = lake.write("web/events/day", [ROWS], SCHEMA).path
    content = bytearray(bucket.get(f"lake/{path}").bytes())
    content[{"data": 100, "footer": -100, "length": -6}[part]] ^= 1
    bucket.put(f"lake/{path}", bytes(content))
    uses: list[Callable[[], object]] = [
        lambda: lake.scan([path], SCHEMA).collect(),
        lambda: list(lake.blocks([path], SCHEMA)),
        lambda: lake.check(path),
    ]
    for use in uses if part == "data" else [*uses, lambda: lake.check_end(path)]:
        with pytest.raises(DamagedFileError, match=f"lake file {path}, of events day: .* --repair"):
            use()


def test_a_deep_check_reads_the_object_and_not_a_copy_of_it(
    lake: Lake, bucket: "MemoryStore", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "version_of", lambda _: "the same")  # as where a disk of the store is damaged
    path = lake.write("web/events/day", [ROWS], SCHEMA).path
    content = bytearray(bucket.get(f"lake/{path}").bytes())
    content[100] ^= 1
    bucket.put(f"lake/{path}", bytes(content))
    lake.check_end(path)
    with pytest.raises(DamagedFileError):
        lake.check(path)


def test_an_object_that_another_process_has_removed_is_missing_even_where_there_is_a_copy(
    lake: Lake, opened: Callable[..., Lake]
) -> None:
    path = lake.write("web/events/day", [ROWS], SCHEMA).path
    assert lake.scan([path], SCHEMA).collect().height == 1000
    opened().remove(path)
    assert not lake.exists(path)
    assert lake.missing("web", [path]) == {path}
    for use in (lake.size, lake.check_end, lake.rows, lambda path: lake.scan([path], SCHEMA).collect()):
        with pytest.raises(MissingFileError):
            use(path)


@pytest.mark.parametrize(("end_bytes", "ranges"), [(64 << 10, 1), (100, 3)])
def test_the_end_of_an_object_is_checked_by_two_to_four_requests_without_reading_the_rest(
    lake: Lake,
    bucket: "MemoryStore",
    opened: Callable[..., Lake],
    monkeypatch: pytest.MonkeyPatch,
    end_bytes: int,
    ranges: int,
) -> None:
    monkeypatch.setattr(checksums, "_END_BYTES", end_bytes)
    file = lake.write("web/events/day", [ROWS], SCHEMA)
    other = opened(counting := Counting(bucket))
    assert other.check_end(file.path, file.bytes)
    assert counting.asked == ["head", *["get_range"] * ranges]
    assert other.filesystem.read(file.path, file.bytes - 4, 10) == b"PAR1"
    assert other.filesystem.read(file.path, file.bytes + 4, 10) == b""
    assert "get" not in counting.asked
    with pytest.raises(DamagedFileError, match=f"it has {file.bytes} bytes of 7"):
        other.check_end(file.path, 7)


def test_rows_are_read_by_one_request_besides_those_that_ask_whether_the_object_is_there(
    lake: Lake, bucket: "MemoryStore", opened: Callable[..., Lake]
) -> None:
    path = lake.write("web/events/day", [ROWS], SCHEMA).path
    other = opened(counting := Counting(bucket))
    assert other.scan([path], SCHEMA).collect().equals(ROWS)
    assert [name for name in counting.asked if name != "head"] == ["get"]


class Gone:
    """A store that can't be reached."""

    def head(self, _: str) -> None:
        from obstore.exceptions import GenericError

        raise GenericError("error sending request: ConnectionRefused")


def test_a_store_that_was_tried_for_long_enough_is_not_tried_five_times_more(
    opened: Callable[..., Lake], capsys: pytest.CaptureFixture[str]
) -> None:
    lake, tried = opened(Gone(), timedelta(milliseconds=1)), list[str]()

    def command() -> None:
        tried.append("once")
        lake.size("web/file")

    with pytest.raises(SystemExit):
        run_command(command)
    assert tried == ["once"]
    assert "s3://bucket/lake/web/file can't be used as the lake: the connection is refused" in capsys.readouterr().err
    with pytest.raises(Failure, match="the connection is refused") as failed, retried_when_transient():
        lake.size("web/file")
    assert failed.value.allow_retries is False


class CutOff:
    """A store of which some answers lack their last bytes."""

    def __init__(self, store: "MemoryStore", is_cut_off: Callable[[int], bool]) -> None:
        self._store, self._is_cut_off, self.answers = store, is_cut_off, 0

    def get(self, key: str, **named: Any) -> Any:
        answer = self._store.get(key, **named)
        content = answer.bytes().to_bytes()
        self.answers += 1
        given = content[:-1] if self._is_cut_off(self.answers) else content
        return SimpleNamespace(meta=answer.meta, range=answer.range, bytes=lambda: given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_an_answer_that_was_cut_off_is_asked_for_again(
    lake: Lake, bucket: "MemoryStore", opened: Callable[..., Lake]
) -> None:
    path = lake.write("web/events/day", [ROWS], SCHEMA).path
    store = CutOff(bucket, lambda number: number == 1)
    assert opened(store, timedelta(minutes=1)).scan([path], SCHEMA).collect().equals(ROWS)
    assert store.answers == 2
    with pytest.raises(LakeUnavailableError, match=r"it gave \d+ bytes, and \d+ were expected; it was tried for"):
        opened(CutOff(bucket, lambda _: True), timedelta(milliseconds=1)).scan([path], SCHEMA).collect()


def test_of_files_that_were_deleted_nothing_is_kept(lake: Lake) -> None:
    path = lake.write("web/events/day", [ROWS], SCHEMA).path
    filesystem: Any = lake.filesystem
    filesystem.size(path)
    filesystem.delete(path)
    assert path not in filesystem._sizes


class SlowLine(BaseHTTPRequestHandler):
    """A store that takes a second for an object's second megabyte."""

    received: ClassVar[list[int]] = []

    def do_PUT(self) -> None:
        first = self.rfile.read(1 << 20)
        Event().wait(1)
        rest = self.rfile.read(int(self.headers["Content-Length"]) - len(first))
        self.received.append(len(first + rest))
        self.send_response(200)
        self.send_header("ETag", '"a"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *_: object) -> None:
        """Print nothing."""


def test_an_object_may_take_longer_to_be_sent_than_a_store_may_be_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setattr(bucket_module, "SILENT_FOR", timedelta(seconds=0.2))
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowLine)
    Thread(target=server.serve_forever, daemon=True).start()
    variables = {"ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b", "REGION": "c", "ALLOW_HTTP": "true"}
    for name, value in {**variables, "ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    filesystem = ObjectFilesystem(Objects("s3", "bucket", "lake"), tmp_path, give_up_after=timedelta(milliseconds=1))
    with filesystem.draft("a") as draft:
        draft.write_bytes(bytes(20 << 20))
        assert filesystem.put_if_absent("a/file", draft)
    assert SlowLine.received == [20 << 20]
    server.shutdown()
    server.server_close()


class Taken:
    """A store that at first refuses a new name as taken, as S3 does while an object of that name is being deleted."""

    def __init__(self, store: "MemoryStore", times: int) -> None:
        self._store, self.times = store, times

    def put(self, *args: Any, **named: Any) -> Any:
        from obstore.exceptions import AlreadyExistsError

        self.times -= 1
        if self.times >= 0:
            raise AlreadyExistsError("409 Conflict")
        return self._store.put(*args, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_name_that_is_refused_as_taken_and_is_not_is_tried_again(
    bucket: "MemoryStore", opened: Callable[..., Lake]
) -> None:
    assert put(opened(Taken(bucket, 2)), "a/file", b"content")
    assert bucket.get("lake/a/file").bytes() == b"content"
    with pytest.raises(LakeUnavailableError, match="refuses the name as taken, and has no such object"):
        put(opened(Taken(bucket, 10)), "a/other", b"content")


def test_what_is_sent_in_parts_is_whole_and_replaces_nothing(
    lake: Lake, bucket: "MemoryStore", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "SINGLE_REQUEST_BYTES", 10)
    content = os.urandom(1 << 20) * 20
    assert put(lake, "a/file", content)
    assert not put(lake, "a/file", content[:100])
    assert bucket.get("lake/a/file").bytes() == content


def test_copies_are_bounded_and_one_that_is_read_stays_readable(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lake.filesystem, "_copies", copies := Copies(10, 2))
    for name, content in {"a": b"aaaaa", "b": b"bbbb", "c": b"c", "d": b"d" * 40}.items():
        put(lake, f"x/{name}", content)
    assert [bool(copies.kept(f"x/{name}")) for name in "abcd"] == [False, False, False, True]
    with lake.filesystem.open("x/a") as a, lake.filesystem.open("x/b"), lake.filesystem.open("x/c"):
        assert [bool(copies.kept(f"x/{name}")) for name in "abcd"] == [False, True, True, False]
        a.seek(-2, os.SEEK_END)
        assert a.read() == b"aa"
    assert files_below(tmp_path) == []


def test_readers_of_one_copy_have_positions_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"0123456789")
    with io.FileIO(str(tmp_path / "file")) as file:
        one, other = (reader(Copy(file, "")) for _ in range(2))
        assert (one.read(3), other.read(2), read_at(file, 8, 9), one.read()) == (b"012", b"01", b"89", b"3456789")
        one.close()
        assert other.seek(-1, os.SEEK_CUR) == 1
        other.close()


def test_drafts_are_in_the_scratch_folder_and_those_of_killed_processes_are_found(lake: Lake, tmp_path: Path) -> None:
    with lake.filesystem.draft("web/events/day") as draft:
        draft.touch()
        (found,) = lake.filesystem.drafts("web")
        assert draft.is_relative_to(tmp_path / "scratch")
        assert found.place == str(draft)
        assert lake.filesystem.drafts("we") == []
        lake.filesystem.discard(found)
        assert files_below(tmp_path) == []


def test_a_lake_is_tried_out_with_an_object_that_is_gone_afterwards(lake: Lake, bucket: "MemoryStore") -> None:
    assert probe(lake.filesystem)
    assert list(keys(bucket)) == []


class Overwriting:
    """A store that knows no conditional writes."""

    def __init__(self, store: "MemoryStore") -> None:
        self._store = store

    def put(self, path: str, file: Any, **_: Any) -> Any:
        return self._store.put(path, file)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_store_that_overwrites_is_noticed(bucket: "MemoryStore", opened: Callable[..., Lake]) -> None:
    assert not probe(opened(Overwriting(bucket)).filesystem)
    assert list(keys(bucket)) == []


def test_a_lake_whose_variables_can_not_be_used_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("obstore")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "no base64")
    with pytest.raises(LakeRefusedError, match=r"^az://bucket can't be used as the lake: .*\. Fix: correct AZURE_S"):
        bucket_module.open_store(Objects("az", "bucket", ""))


def keys(bucket: "MemoryStore") -> Iterator[str]:
    return (meta["path"] for page in bucket.list() for meta in page)


class Guarding:
    """A store that refuses to delete some objects, by themselves and in a list, of which it deletes the others."""

    def __init__(self, store: "MemoryStore", guarded: set[str] | None = None) -> None:
        self._store, self._guarded, self.lists = store, guarded or set[str](), list[int]()

    def delete(self, paths: str | list[str]) -> None:
        from obstore.exceptions import GenericError

        if isinstance(paths, str):
            if paths in self._guarded:
                raise GenericError(f"DeleteObjects request failed for key {paths}: Not allowed. (code: AccessDenied)")
            self._store.delete(paths)
            return
        self.lists.append(len(paths))
        for path in paths:
            if path not in self._guarded:
                self._store.delete(path)
        if self._guarded.intersection(paths):
            raise GenericError("DeleteObjects request failed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_objects_that_a_store_does_not_delete_are_told_by_name_and_all_others_are_deleted(
    bucket: "MemoryStore", opened: Callable[..., Lake]
) -> None:
    paths = [f"web/events/{number}" for number in range(2500)]
    for path in paths:
        bucket.put(f"lake/{path}", b"")
    guarded = {f"lake/{path}" for path in (paths[7], paths[900], paths[2400])}
    guarding = Guarding(bucket, guarded)
    with pytest.raises(LakeRefusedError) as refused:
        opened(guarding).remove_all(paths)
    assert set(keys(bucket)) == guarded
    assert guarding.lists == [1000, 1000, 500]
    first, _, others = str(refused.value).partition(" Nor could be deleted: ")
    assert first.startswith(
        "s3://bucket/lake/web/events/7 can't be used as the lake: AccessDenied: Not allowed. Fix: grant s3:L"
    )
    assert others == "lake/web/events/900, lake/web/events/2400."
    guarding = Guarding(bucket)
    opened(guarding).filesystem.delete_folder("web")
    assert (guarding.lists, list(keys(bucket))) == ([3], [])
