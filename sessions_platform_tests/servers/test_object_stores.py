"""Landing objects on real servers: what is read of them, whatever happens to servers, connections and objects."""

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from sessions_platform.contracts.stream import Stream
from sessions_platform.operations.status import status
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.ingest import ingest
from sessions_platform.settings import Settings
from sessions_platform.sources.errors import OverwrittenSliceError, SourceRefusedError
from sessions_platform.sources.objects import copying
from sessions_platform.sources.objects.source import ObjectSource
from sessions_platform.sources.registry import open_source
from sessions_platform_tests.pipeline.steps import ingest_and_publish, refresh, table
from sessions_platform_tests.servers import object_stores
from sessions_platform_tests.servers.object_stores import BUCKET, KEY, SECRET, SECRETS, Bucket
from sessions_platform_tests.servers.proxy import Proxy
from sessions_platform_tests.servers.running import free_port
from sessions_platform_tests.servers.visits import visits
from sessions_platform_tests.streams import PLAIN, stream

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("on_day_one", "secrets")]
DAY = "2026-01-31"
COLUMNS: dict[str, Any] = {name: PLAIN["columns"][name] for name in PLAIN["columns"] if name != "page_url"}
KILLED_AT = [0, 3, 4, 2]
OLD, NEW = b'{"v": "old"}\n' * 900_000, b'{"v": "new"}\n' * 900_000
MB = 1 << 20


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with object_stores.s3(tmp_path_factory.mktemp("s3")) as bucket:
        yield bucket


@pytest.fixture
def proxy(s3: Bucket) -> Iterator[Proxy]:
    with Proxy(s3.port) as proxy:
        yield proxy


def stream_of(bucket: Bucket, name: str, port: int | None = None, **options: Any) -> Stream:
    """A stream of the objects below a prefix of its name."""
    return stream(name=name, columns=COLUMNS, source=source_of(bucket, name, port, **options))


def source_of(bucket: Bucket, name: str, port: int | None = None, **options: Any) -> dict[str, Any]:
    files = bucket.uri(f"{name}/{{partition:%Y-%m-%d}}/*")
    return {"files": files, "format": "ndjson", "store": bucket.options(port, **options)}


Opened = Callable[..., ObjectSource]


@pytest.fixture
def opened(tmp_path: Path) -> Opened:
    settings = Settings(home=tmp_path, lake=tmp_path / "lake", streams=())

    def source(bucket: Bucket, name: str, port: int | None = None, **options: Any) -> ObjectSource:
        source = open_source(stream_of(bucket, name, port, **options), settings)
        assert isinstance(source, ObjectSource)
        return source

    return source


def contents(source: ObjectSource, *, is_announced: bool = False) -> dict[str, bytes]:
    """The text of each object, by its name; large ones that were announced are read while they arrive."""
    found: dict[str, bytes] = {}
    slices = source.find()
    if is_announced:
        source.will_read(slices)
    for slice_ in slices:
        blocks = list(source.read(slice_, lambda _: ""))
        lines = [(block["payload"] + block["line_terminator"]).to_list() for block in blocks]
        found[slice_.uri.rpartition("/")[2]] = b"".join(line for part in lines for line in part)
    return found


def sessions_of(context: StreamContext) -> list[dict[str, Any]]:
    unlike = ("loaded_at", "session_rule_version")
    return [{key: value for key, value in row.items() if key not in unlike} for row in table(context)]


def test_killed_again_and_again_the_sessions_are_those_of_local_files(
    s3: Bucket, settings: Settings, tmp_path: Path
) -> None:
    records = [record + b"\n" for _, record in visits(20_000)]
    folder = tmp_path / DAY
    folder.mkdir()
    for number in range(12):
        part = b"".join(records[number::12])
        (folder / f"{number:02}.ndjson").write_bytes(part)
        s3.put(f"visits/{DAY}/{number:02}.ndjson", part)
    described = tmp_path / "visits.yaml"
    keys = {**PLAIN, "name": "visits_s3", "columns": COLUMNS, "source": source_of(s3, "visits")}
    described.write_text(yaml.safe_dump(keys))
    for point in KILLED_AT:
        assert ingestion(described, settings.home, str(point)) == -signal.SIGKILL
    assert ingestion(described, settings.home) == 0
    of_objects = StreamContext.open(stream_of(s3, "visits").model_copy(update={"name": "visits_s3"}), settings)
    files = {"files": f"{tmp_path}/{{partition:%Y-%m-%d}}/*.ndjson", "format": "ndjson"}
    of_files = StreamContext.open(stream(name="visits_local", columns=COLUMNS, source=files), settings)
    for context in (of_objects, of_files):
        ingest_and_publish(context, DAY)
        refresh(context)
    counts = ("raw_rows", "accepted", "rejected", "duplicates")
    told, expected = status(of_objects), status(of_files)
    assert [told[name] for name in counts] == [expected[name] for name in counts]
    assert min(told[name] for name in counts) > 100
    assert sessions_of(of_objects) == sessions_of(of_files)
    assert len(sessions_of(of_objects)) > 1000


def ingestion(described: Path, home: Path, *point: str) -> int:
    command = [sys.executable, "-m", "sessions_platform_tests.servers.killed", str(described), str(home), DAY, *point]
    return subprocess.run(command, check=False, timeout=300).returncode


NAMES = ["a b+é%20=?#.ndjson", "(1) & 2;3,4@5.ndjson", "[x]!~$'.ndjson", "100%.ndjson", "%41.ndjson", "日本.ndjson"]


@pytest.mark.parametrize("kind", ["s3", "azure", "google"])
def test_objects_of_any_store_and_name_have_the_bytes_that_were_put(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PART_BYTES", MB)
    put = {name: b'{"name": %d}\n' % number for number, name in enumerate(NAMES)}
    put |= {"large.ndjson": NEW[: 13 * 400_000], "empty.ndjson": b""}

    def check(bucket: Bucket) -> None:
        for name, content in put.items():
            bucket.put(f"names/{DAY}/{name}", content)
        source = opened(bucket, "names")
        assert contents(source) == put
        before = {slice_.uri: slice_.fingerprint for slice_ in source.find([DAY])}
        assert {slice_.uri: slice_.fingerprint for slice_ in source.find([DAY])} == before
        bucket.put(f"names/{DAY}/large.ndjson", OLD[: 13 * 400_000])
        after = {slice_.uri: slice_.fingerprint for slice_ in source.find([DAY])}
        assert {uri for uri in after if after[uri] != before[uri]} == {bucket.uri(f"names/{DAY}/large.ndjson")}
        assert source.find(["2026-01-30"]) == []

    if kind == "s3":
        check(request.getfixturevalue("s3"))
        return
    with getattr(object_stores, kind)(tmp_path) as bucket:
        check(bucket)


def test_more_keys_than_a_page_has_are_all_read_once(s3: Bucket, settings: Settings) -> None:
    keys = [f"many/{DAY}/{number:04}.ndjson" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put(key, b'{"id": "%s"}\n' % key.encode()), keys))
    context = StreamContext.open(stream_of(s3, "many"), settings)
    assert ingest(context, [DAY], "run", current=DAY)[DAY].rows == 1100
    rows = context.raw_events([DAY]).scan().collect()
    assert sorted(rows["source_uri"]) == [s3.uri(key) for key in keys]
    assert ingest(context, [DAY], "again", current=DAY)[DAY].read == 0


@pytest.mark.parametrize("then", ["goes on", "is cut"])
@pytest.mark.parametrize("part", [MB, 64 * MB], ids=["in parts", "at once"])
def test_an_object_that_is_overwritten_amid_its_bytes_is_one_version(
    s3: Bucket, proxy: Proxy, opened: Opened, monkeypatch: pytest.MonkeyPatch, part: int, then: str
) -> None:
    monkeypatch.setattr(copying, "PART_BYTES", part)
    s3.put(f"overwritten/{DAY}/a.ndjson", OLD)
    proxy.disturb("stall", after=700_000, times=None)
    read: list[dict[str, bytes]] = []
    reading = threading.Thread(target=lambda: read.append(contents(opened(s3, "overwritten", proxy.port))))
    reading.start()
    assert proxy.met.wait(60)
    s3.put(f"overwritten/{DAY}/a.ndjson", NEW)
    if then == "is cut":
        proxy.refuse()
    proxy.release()
    reading.join(120)
    assert read[0]["a.ndjson"] in ([OLD, NEW] if part > MB else [NEW])


def test_an_object_that_is_overwritten_while_it_arrives_is_an_error_and_no_mixture(
    s3: Bucket, proxy: Proxy, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PART_BYTES", MB)
    s3.put(f"arriving/{DAY}/a.ndjson", OLD)
    source = opened(s3, "arriving", proxy.port)
    found = source.find()
    proxy.disturb("stall", after=700_000, times=None)
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(contents, source, is_announced=True)
        assert proxy.met.wait(60)
        s3.put(f"arriving/{DAY}/a.ndjson", NEW)
        proxy.release()
        with pytest.raises(OverwrittenSliceError, match=r"a\.ndjson was overwritten or deleted while it was read"):
            reading.result(120)
    assert source.find() != found
    assert contents(source, is_announced=True) == {"a.ndjson": NEW}


@pytest.mark.parametrize("is_announced", [False, True], ids=["copied", "while it arrives"])
@pytest.mark.parametrize("fault", ["cut", "half-close"])
def test_connections_that_break_off_again_and_again_lose_nothing(
    s3: Bucket, proxy: Proxy, opened: Opened, monkeypatch: pytest.MonkeyPatch, fault: Any, is_announced: bool
) -> None:
    monkeypatch.setattr(copying, "PART_BYTES", 3 * MB if is_announced else copying.PART_BYTES)
    s3.put(f"cut/{DAY}/a.ndjson", OLD)
    proxy.disturb(fault, after=2 * MB, times=None)
    assert contents(opened(s3, "cut", proxy.port), is_announced=is_announced) == {"a.ndjson": OLD}
    assert proxy.connections > len(OLD) // (2 * MB)


@pytest.mark.parametrize("is_announced", [False, True], ids=["copied", "while it arrives"])
def test_a_server_that_is_killed_amid_the_read_and_started_again_loses_nothing(
    s3: Bucket, proxy: Proxy, opened: Opened, monkeypatch: pytest.MonkeyPatch, is_announced: bool
) -> None:
    monkeypatch.setattr(copying, "PART_BYTES", MB)
    s3.put(f"restarted/{DAY}/a.ndjson", OLD)
    proxy.disturb("stall", after=3 * MB // 2, times=None)
    read: list[dict[str, bytes]] = []
    source = opened(s3, "restarted", proxy.port, give_up_after="2m")
    reading = threading.Thread(target=lambda: read.append(contents(source, is_announced=is_announced)))
    reading.start()
    assert proxy.met.wait(60)
    s3.server.kill()
    proxy.release()
    s3.server.start()
    reading.join(150)
    assert read == [{"a.ndjson": OLD}]


@pytest.mark.parametrize(
    ("bucket", "options", "sentence"),
    [
        (BUCKET, {"secret_key": {"env": "WRONG_SECRET"}}, r"SignatureDoesNotMatch.*Fix: correct source\.store\.acc"),
        (BUCKET, {"access_key": "nobody"}, r"InvalidAccessKeyId.*Fix: correct source\.store\.access_key"),
        (BUCKET, {"access_key": "blind", "secret_key": {"env": "BLIND_SECRET"}}, "AccessDenied.*Fix: grant s3:"),
        ("nowhere", {}, r"NoSuchBucket.*Fix: create the bucket nowhere, or correct it in source\.files"),
        (BUCKET, {"endpoint": "https://127.0.0.1:{port}"}, r"not answer in TLS\. Fix: correct source\.store\.endpoint"),
        (BUCKET, {"endpoint": "http://127.0.0.1:{free}"}, r"the connection is refused; it was tried for 1s\. Fix: run"),
        (BUCKET, {"endpoint": "http://nowhere.invalid"}, r"the name of its server is not known; it was tried for 1s"),
    ],
)
def test_what_a_store_refuses_is_a_sentence_with_its_fix(
    s3: Bucket, tmp_path: Path, bucket: str, options: dict[str, Any], sentence: str
) -> None:
    if "endpoint" in options:
        options = {**options, "endpoint": options["endpoint"].format(port=s3.port, free=free_port())}
    store = {**s3.options(), "give_up_after": "1s", **options}
    stated = {"files": f"s3://{bucket}/a/*.ndjson", "format": "ndjson", "store": store}
    source = open_source(stream(source=stated), Settings(home=tmp_path, lake=tmp_path, streams=()))
    with pytest.raises(SourceRefusedError, match=sentence) as refused:
        source.find()
    assert str(refused.value).startswith(f"s3://{bucket}/a can't be read: ")
    assert SECRET not in str(refused.value)
    assert KEY not in str(refused.value)


def test_no_uri_row_or_status_has_a_secret(s3: Bucket, settings: Settings) -> None:
    s3.put(f"secret/{DAY}/a.ndjson", b'{"id": "1"}\n')
    context = StreamContext.open(stream_of(s3, "secret"), settings)
    ingest_and_publish(context, DAY)
    shown = f"{status(context)}{context.ledger.files()}{context.stream!r}{context.source!r}"
    assert "secret/2026-01-31/a.ndjson" in shown
    assert SECRET not in shown
    assert KEY in shown  # the id of the key is none
