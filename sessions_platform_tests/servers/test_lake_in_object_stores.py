"""A lake in a bucket of real servers: what a pipeline makes with it, and what a kill leaves of it."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.object_store import Objects
from sessions_platform.operations.clean_up import clean_up
from sessions_platform.operations.doctor import Outcome, examine
from sessions_platform.operations.drop import drop, what_is_dropped
from sessions_platform.operations.erase import erase
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.operations.status import status
from sessions_platform.operations.verify import verify
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings
from sessions_platform.storage.lake import bucket as bucket_module
from sessions_platform.storage.lake import object_store
from sessions_platform.storage.lake.errors import LakeRefusedError, LakeUnavailableError
from sessions_platform.storage.lake.filesystem import Filesystem
from sessions_platform.storage.lake.lake import Lake
from sessions_platform.storage.lake.object_store import ObjectFilesystem
from sessions_platform.storage.lake.opening import open_filesystem
from sessions_platform.storage.lake.probe import probe
from sessions_platform.storage.postgres.database import lock
from sessions_platform_tests.faults.test_killed_at_commit_points import representative
from sessions_platform_tests.faults.trial import Trial, Trials, compare
from sessions_platform_tests.lakes import Metered
from sessions_platform_tests.pipeline.steps import RUN, ingest_and_publish, refresh, table
from sessions_platform_tests.servers import object_stores
from sessions_platform_tests.servers import proxy as proxy_module
from sessions_platform_tests.servers.google_writes import GoogleWrites
from sessions_platform_tests.servers.object_stores import BUCKET, KEY, SECRET, Bucket
from sessions_platform_tests.servers.proxy import Proxy
from sessions_platform_tests.servers.running import free_port
from sessions_platform_tests.servers.visits import visits
from sessions_platform_tests.streams import PLAIN, stream

pytestmark = [pytest.mark.servers, pytest.mark.usefixtures("on_day_one")]
DAY = "2026-01-31"
COLUMNS: dict[str, Any] = {name: PLAIN["columns"][name] for name in PLAIN["columns"] if name != "page_url"}
MB = 1 << 20


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with object_stores.s3(tmp_path_factory.mktemp("s3")) as bucket:
        yield bucket


@pytest.fixture
def environment(s3: Bucket, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets the variables by which the lake's store is reached, through another port perhaps."""

    def state(port: int | None = None, **more: str) -> None:
        at = f"http://127.0.0.1:{port or s3.port}"
        own = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_ENDPOINT_URL": at}
        for name, value in {**own, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1", **more}.items():
            monkeypatch.setenv(name, value)

    state()
    return state


@pytest.fixture
def proxy(s3: Bucket) -> Iterator[Proxy]:
    with Proxy(s3.port) as proxy:
        yield proxy


def in_bucket(settings: Settings, name: str, bucket: str = BUCKET) -> Settings:
    return replace(settings, lake_url=f"s3://{bucket}/{name}/lake")


def put(filesystem: ObjectFilesystem, path: str, content: bytes) -> bool:
    with filesystem.draft(path.rpartition("/")[0]) as draft:
        draft.write_bytes(content)
        return filesystem.put_if_absent(path, draft)


# A file system -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "in_one_request"), [("s3", True), ("s3", False), ("azure", True), ("azure", False), ("google", True)]
)
def test_an_object_is_whole_is_not_replaced_and_is_gone_when_it_is_deleted(
    kind: str, in_one_request: bool, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "SINGLE_REQUEST_BYTES", (1 << 30) if in_one_request else 0)

    def check(filesystem: ObjectFilesystem) -> None:
        large = bytes(range(256)) * (40 * MB // 256)
        for path, content in {"x~next/events/a": large, "x/a": b"a", "xy/a": b"b", "x/b/none": b""}.items():
            assert put(filesystem, path, content)
            assert not put(filesystem, path, b"another")
            filesystem.forget(path)
            assert filesystem.read(path, max(0, len(content) - 3), 9) == content[-3:]
            filesystem.forget(path)
            with filesystem.open(path) as file:
                assert file.read() == content
            assert filesystem.size(path) == len(content)
        assert list(filesystem.list("x")) == ["x/a", "x/b/none"]
        assert list(filesystem.list("x~next")) == ["x~next/events/a"]
        assert filesystem.missing("x", ["x/c", "x/a"]) == ["x/c"]
        for _ in range(2):
            filesystem.delete("x/a")
        filesystem.delete_folder("x~next")
        assert list(filesystem.list("x~next")) == []
        for use in (filesystem.open, filesystem.size, filesystem.state):
            with pytest.raises(FileNotFoundError):
                use("x/a")

    lake = f"lake{in_one_request}"
    if kind == "s3":
        request.getfixturevalue("environment")()
        check(ObjectFilesystem(Objects("s3", BUCKET, lake), tmp_path))
        return
    if kind == "google":
        with object_stores.google(tmp_path) as bucket, GoogleWrites(bucket.port) as server:
            reach_google(monkeypatch, server.port)
            check(ObjectFilesystem(Objects("gs", BUCKET, lake), tmp_path))
            assert set(server.preconditions) == {"0"}
            assert probe(ObjectFilesystem(Objects("gs", BUCKET, "probed"), tmp_path))
        return
    with object_stores.azure(tmp_path) as bucket:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", object_stores.ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", object_stores.ACCOUNT_KEY)
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"http://127.0.0.1:{bucket.port}/{object_stores.ACCOUNT}")
        monkeypatch.setenv("AZURE_ALLOW_HTTP", "true")
        check(ObjectFilesystem(Objects("az", BUCKET, lake), tmp_path))


def reach_google(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    key = {"gcs_base_url": f"http://127.0.0.1:{port}", "disable_oauth": True}
    key |= dict.fromkeys(["client_email", "private_key", "private_key_id"], "")
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(key))
    monkeypatch.setenv("GOOGLE_ALLOW_HTTP", "true")


def test_a_store_of_google_that_refuses_to_write_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_stores.google(tmp_path) as bucket:  # which answers to the XML API's PUT that it is no upload
        reach_google(monkeypatch, bucket.port)
        with pytest.raises(LakeRefusedError, match=r"gs://landing/lake/~probe/\w+ can't be used as the lake: 400"):
            probe(ObjectFilesystem(Objects("gs", BUCKET, "lake"), tmp_path))


def test_many_objects_are_deleted_by_few_requests_and_those_that_stay_are_named(
    environment: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [f"web/events/{number}" for number in range(1200)]
    store = bucket_module.open_store(Objects("s3", BUCKET, "many"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda path: store.put(f"many/{path}", b""), paths))
    filesystem = ObjectFilesystem(Objects("s3", BUCKET, "many"), tmp_path)
    singly: list[str] = []
    monkeypatch.setattr(filesystem, "_delete", singly.append)
    filesystem.delete_all([*paths[:1100], "web/events/none"])
    assert list(filesystem.list("web")) == sorted(paths[1100:])
    assert singly == []
    environment(AWS_ACCESS_KEY_ID="blind", AWS_SECRET_ACCESS_KEY="blind")
    with pytest.raises(LakeRefusedError) as refused:
        ObjectFilesystem(Objects("s3", BUCKET, "many"), tmp_path).delete_all(paths[1100:1103])
    assert str(refused.value).startswith(f"s3://{BUCKET}/many/web/events/1100 can't be used as the lake: AccessDenied")
    assert str(refused.value).endswith(" Nor could be deleted: many/web/events/1101, many/web/events/1102.")


@pytest.mark.usefixtures("environment")
def test_of_a_large_object_little_is_fetched_where_little_is_needed(tmp_path: Path) -> None:
    rows = pl.DataFrame({"position": range(1_000_000)}).with_columns(
        *(pl.col("position").hash(seed).alias(f"column{seed}") for seed in range(4))
    )
    schema = dict(rows.schema)
    filesystem = ObjectFilesystem(Objects("s3", BUCKET, "large"), tmp_path)
    file = Lake(filesystem, tmp_path).write("web/events/day", [rows], schema, statistics=("position",))
    assert file.bytes > 30 * MB
    objects = Objects("s3", BUCKET, "large")
    metered: Any = Metered(bucket_module.open_store(objects))
    other = Lake(ObjectFilesystem(objects, tmp_path, lambda _: metered), tmp_path)
    wanted = other.scan([file.path], schema, "position", lambda least, greatest: least <= 500_000 <= greatest)
    found = wanted.filter(pl.col("position") == 500_000).select("column1").collect()
    assert found["column1"].to_list() == rows["column1"][500_000:500_001].to_list()
    assert metered.given < file.bytes / 20


@pytest.mark.usefixtures("environment")
def test_of_many_writers_of_one_name_one_succeeds(tmp_path: Path) -> None:
    filesystem = ObjectFilesystem(Objects("s3", BUCKET, "races"), tmp_path)
    with ThreadPoolExecutor(8) as pool:
        for race in range(20):
            contents = [b"%d" % number for number in range(8)]
            succeeded = list(pool.map(lambda content: put(filesystem, f"a/{race}", content), contents))  # noqa: B023
            assert succeeded.count(True) == 1
            filesystem.forget(f"a/{race}")
            assert filesystem.read(f"a/{race}", 0, 9) == contents[succeeded.index(True)]


# A pipeline ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("environment")
def test_all_that_is_done_with_a_lake_has_the_same_results_in_a_bucket(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / DAY).mkdir()
    records = [record + b"\n" for _, record in visits(20_000)]
    for number in range(3):
        (tmp_path / DAY / f"{number}.ndjson").write_bytes(b"".join(records[number::3]))
    files = {"files": f"{tmp_path}/{{partition:%Y-%m-%d}}/*.ndjson", "format": "ndjson"}
    described = [stream(name=name, columns=COLUMNS, source=files) for name in ("lake_in_bucket", "lake_in_folder")]
    bucket, folder = in_bucket(settings, "all"), settings

    def both() -> list[StreamContext]:
        """Each as a new process sees it."""
        return [StreamContext.open(each, at) for each, at in zip(described, (bucket, folder), strict=True)]

    for context in both():
        ingest_and_publish(context, DAY)
        refresh(context)
    assert not (settings.lake / "lake_in_bucket").exists()
    require_alike(*both())
    assert len(list(open_filesystem(bucket).list("lake_in_bucket"))) > 4

    (tmp_path / DAY / "0.ndjson").write_bytes(b"".join(records[:4000]))
    for context in both():
        ingest_and_publish(context, DAY)
        rebuild(context, RUN, lambda _: None)
    require_alike(*both())

    lost = [path for path in open_filesystem(bucket).list("lake_in_bucket") if "/events/" in path]
    for path in lost:
        open_filesystem(bucket).delete(path)
    context = both()[0]
    assert status(context)["lake"]["missing_files"]
    verified = verify(context, RUN, deep=True, repairing=True)
    assert (len(verified.repaired), verified.problems) == (1, [])
    assert status(context)["lake"]["missing_files"] == []
    require_alike(*both())

    erase_one_of(both(), bucket)
    require_alike(*both())
    for context in both():
        clean_up(context)
        assert verify(context, RUN, deep=True).problems == []
    drop(bucket, what_is_dropped(bucket, "lake_in_bucket"))
    assert list(open_filesystem(bucket).list("lake_in_bucket")) == []


def erase_one_of(contexts: list[StreamContext], settings: Settings) -> None:
    """Erase a user, of whom no table and no object of the lake has anything afterwards."""
    user = table(contexts[0])[0]["user_id"]
    for context in contexts:
        erase(context, [user])
        assert user not in {row["user_id"] for row in table(context)}
    require_no_trace(open_filesystem(settings), "lake_in_bucket", user)


def require_no_trace(filesystem: Filesystem, name: str, user: str) -> None:
    """No object of a stream names a user."""
    for path in filesystem.list(name):
        with filesystem.local(path) as local:
            frame = pl.read_parquet(local)
            columns = [frame[name].cast(pl.Binary) for name in ("user_id", "payload") if name in frame.columns]
            assert not any(column.bin.contains(user.encode()).any() for column in columns)


def require_alike(*contexts: StreamContext) -> None:
    """Two streams have the same rows: events, sessions and rejected rows, and the same counts."""
    unlike = ("loaded_at", "session_rule_version", "rejected_at", "run_id")
    one, other = (
        {
            "sessions": [{k: v for k, v in row.items() if k not in unlike} for row in table(context)],
            "events": context.events([DAY]).scan().collect().rows(),
            "sessionized": sum(
                context.sessionized_events([day]).scan().collect().height for day in (DAY, "2026-01-01")
            ),
            **{name: status(context)[name] for name in ("raw_rows", "accepted", "rejected", "duplicates")},
        }
        for context in contexts
    )
    assert one["accepted"] > 1000
    assert len(one["sessions"]) > 100
    assert one == other


# Killed --------------------------------------------------------------------------------------------------


# The calls at which a command is killed, and at most at how many of the places where they are made.
KILLED_AT: dict[str, tuple[set[str], int]] = {
    "ingest": ({"put", "delete"}, 2),
    "replay": ({"put", "delete"}, 1),
    "rebuild": ({"put", "delete"}, 2),
    "erase": ({"put", "delete"}, 2),
    "clean_up": ({"delete"}, 1),
    "repair": ({"put", "delete"}, 1),
    "deliver": ({"replace"}, 1),
}


@pytest.fixture(scope="module")
def trials(
    s3: Bucket,  # noqa: ARG001
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Callable[..., None]], Trials]:
    """Makes the trials that all commands share, once the variables are set."""
    return cache(lambda _: Trials(tmp_path_factory.mktemp("trials"), settings, f"s3://{BUCKET}/killed"))


def prepare(command: str, trial: Trial) -> None:
    """Give a command something to do."""
    context = trial.open()
    if command == "clean_up":
        for asset in ("events", "sessionized_events"):
            for _ in range(3):
                context.lake.write(context.folder(asset, "2026-01-01"), [], context.event_columns)
    if command == "repair":
        landing = context.ledger.landings()[0]
        context.lake.remove_all([landing.events_path, loaded_paths(context)[0]])


def loaded_paths(context: StreamContext) -> list[str]:
    with context.database.transaction() as connection:
        return [version.path for version in context.ledger.loaded_sessions(connection)]


def require_order(command: str, trial: Trial) -> None:
    """There is just what the command leaves, in the lake and where it delivers to."""
    context = trial.open()
    assert verify(context, RUN, deep=True).problems == []
    if command == "clean_up":
        assert set(context.lake.filesystem.list(context.stream.name)) == context.ledger.paths_in_use()
    if command == "erase":
        require_no_trace(context.lake.filesystem, context.stream.name, "ann")
    if command == "deliver":
        sessions = pl.read_parquet(trial.folder / "delivered/sessions/**/*.parquet")["session_id"]
        assert sorted(sessions) == sorted(row["session_id"] for row in table(context, "sessions"))
        events = pl.read_parquet(trial.folder / "delivered/sessionized_events/**/*.parquet")
        assert events.height == context.lake.scan(loaded_paths(context), {"user_id": pl.String()}).collect().height


@pytest.mark.parametrize("command", KILLED_AT)
def test_a_command_killed_at_a_commit_point_with_the_lake_in_a_bucket_loses_and_doubles_nothing(
    command: str, trials: Callable[..., Trials], environment: Callable[..., None]
) -> None:
    made, (calls, most) = trials(environment), KILLED_AT[command]
    with made.trial(command) as trial:
        prepare(command, trial)
        code, output = made.kill(trial, command, 0)
        assert code == 0, output
        names = json.loads(output)
    chosen = {names[point - 1]: point for _, point in representative({command: names})}
    of_calls = [(name, point) for name, point in chosen.items() if name.split()[1] in calls]
    assert of_calls
    for name, point in of_calls[:: -(-len(of_calls) // most)]:
        with made.trial(command) as trial:
            prepare(command, trial)
            code, printed = made.kill(trial, command, point)
            assert code == -signal.SIGKILL, f"{name}: {code} {printed}"
            with trial.open().database.transaction() as connection:  # the server has noticed the death
                lock(connection, f"sessions_platform/{trial.open().stream.name}/rebuild")
            trial.run(command)
            outcome = compare(made.expected(command), trial.state())
            assert (outcome.lost, outcome.doubled) == (0, 0), f"{name}: {outcome.difference}"
            assert trial.pending()["session"] == [], name
            require_order(command, trial)


def test_a_server_that_is_killed_before_it_has_answered_and_started_again_has_the_object_whole(
    s3: Bucket, proxy: Proxy, environment: Callable[..., None], tmp_path: Path
) -> None:
    environment(proxy.port)
    filesystem = ObjectFilesystem(Objects("s3", BUCKET, "restarted"), tmp_path)
    content = bytes(range(256)) * (64 * MB // 256)
    proxy.disturb("stall", after=1)  # the answer
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(put, filesystem, "a/file", content)
        assert proxy.met.wait(60)
        s3.server.kill()
        proxy.release()
        s3.server.start()
        written.result(150)
    filesystem.forget("a/file")
    with filesystem.open("a/file") as file:
        assert file.read() == content


def test_an_upload_that_breaks_off_amid_its_bytes_leaves_nothing(
    s3: Bucket, environment: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_off: list[int] = []

    def pass_some_on(client: socket.socket, server: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while passed < 8 * MB and (chunk := client.recv(65536)):
                server.sendall(chunk)
                passed += len(chunk)
            broken_off.append(passed)
            for end in (client, server):
                end.shutdown(socket.SHUT_RDWR)

    monkeypatch.setattr(proxy_module, "_pass_on", pass_some_on)
    content = bytes(32 * MB)
    with Proxy(s3.port) as proxy:
        environment(proxy.port)
        filesystem = ObjectFilesystem(Objects("s3", BUCKET, "cut"), tmp_path, give_up_after=timedelta(seconds=1))
        with pytest.raises(LakeUnavailableError, match=f"^s3://{BUCKET}/cut/a/file can't be used as the lake: "):
            put(filesystem, "a/file", content)
    assert max(broken_off) >= 8 * MB
    environment()
    filesystem = ObjectFilesystem(Objects("s3", BUCKET, "cut"), tmp_path)
    assert list(filesystem.list("a")) == []
    assert filesystem.drafts("a") == []
    assert put(filesystem, "a/file", content)


def test_parts_that_a_killed_process_left_open_are_removed_once_they_are_old(
    environment: Callable[..., None], settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    context = StreamContext.open(stream(name="left_open"), in_bucket(settings, "open"))
    context.prepare()
    program = (
        "import sys, time; from obstore.store import S3Store; from obstore import open_writer\n"
        f"writer = open_writer(S3Store({BUCKET!r}), sys.argv[1], buffer_size=5 << 20)\n"
        "writer.write(bytes(20 << 20)); print('sent', flush=True); time.sleep(600)"
    )
    for key in ("open/lake/left_open/events/a.parquet", "open/lake/left_open_too/events/a.parquet"):
        with subprocess.Popen([sys.executable, "-c", program, key], stdout=subprocess.PIPE) as sending:
            assert sending.stdout is not None
            assert sending.stdout.readline() == b"sent\n"
            sending.kill()
    assert list(context.lake.filesystem.list("left_open")) == []
    assert clean_up(context).drafts == 0  # it may be one that is being sent
    week_later = datetime.now(UTC) + context.stream.retention.superseded_files + timedelta(minutes=1)
    assert clean_up(context, dry_run=True, now=week_later).drafts == 1
    assert clean_up(context, now=week_later).drafts == 1
    assert context.lake.filesystem.drafts("left_open") == []
    (other,) = context.lake.filesystem.drafts("left_open_too")
    environment(AWS_ACCESS_KEY_ID="nobody")
    assert context.lake.filesystem.drafts("left_open_too") == []
    context.lake.filesystem.discard(other)
    assert [record.message.partition(": An error")[0] for record in caplog.records] == [
        f"s3://{BUCKET}: uploads that were left open can't be {done}" for done in ("listed", "aborted")
    ]


# Refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bucket", "variables", "sentence"),
    [
        (BUCKET, {"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch.*Fix: correct AWS_ACCESS_KEY_ID and AWS_"),
        (BUCKET, {"AWS_ACCESS_KEY_ID": "nobody"}, "InvalidAccessKeyId.*Fix: correct AWS_ACCESS_KEY_ID and AWS_SEC"),
        (BUCKET, {"AWS_ACCESS_KEY_ID": "blind", "AWS_SECRET_ACCESS_KEY": "blind"}, "AccessDenied.*Fix: grant s3:List"),
        ("nowhere", {}, "NoSuchBucket.*Fix: create the bucket nowhere, or correct it in SESSIONS_LAKE"),
        (BUCKET, {"AWS_ENDPOINT_URL": "https://127.0.0.1:{port}"}, "not answer in TLS. Fix: correct AWS_ENDPOINT_URL"),
        (BUCKET, {"AWS_ALLOW_HTTP": "false"}, "not encrypted. Fix: use https://, or state AWS_ALLOW_HTTP=true"),
        (BUCKET, {"AWS_ENDPOINT_URL": "http://127.0.0.1:{free}"}, "the connection is refused; it was tried for 1s"),
    ],
)
def test_what_a_store_refuses_is_a_sentence_with_its_fix(
    s3: Bucket,
    environment: Callable[..., None],
    tmp_path: Path,
    bucket: str,
    variables: dict[str, str],
    sentence: str,
) -> None:
    environment(**{name: value.format(port=s3.port, free=free_port()) for name, value in variables.items()})
    filesystem = ObjectFilesystem(Objects("s3", bucket, "lake"), tmp_path, give_up_after=timedelta(seconds=1))
    uses: list[Callable[[], object]] = [lambda: list(filesystem.list("a"))]
    if bucket == BUCKET:  # the server makes one that is written to
        uses.append(lambda: put(filesystem, "a/file", b"content"))
    for use in uses:
        with pytest.raises((LakeRefusedError, LakeUnavailableError), match=sentence) as refused:
            use()
        assert str(refused.value).startswith(f"s3://{bucket}/lake/a")
        assert "can't be used as the lake: " in str(refused.value)
        assert SECRET not in str(refused.value)


def test_doctor_tries_the_lake_out(environment: Callable[..., None], tmp_path: Path) -> None:
    def lake(url: str) -> tuple[Outcome, str, str]:
        variables = {"SESSIONS_HOME": str(tmp_path), "SESSIONS_LAKE": url}
        found = next(each for each in examine(variables) if each.what == "lake")
        return found.outcome, found.found, found.fix

    url = f"s3://{BUCKET}/doctor"
    assert lake(url) == (Outcome.ok, f"{url}, which can be written, read, listed and deleted", "")
    assert list(ObjectFilesystem(Objects("s3", BUCKET, "doctor"), tmp_path).list("~probe")) == []
    environment(AWS_SECRET_ACCESS_KEY="wrong")
    failed, _, fix = lake(url)
    assert (failed, fix) == (Outcome.fail, "correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment.")
