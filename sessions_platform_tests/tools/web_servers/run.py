"""Run web servers with planted requests, and keep what they log with what was sent and with their versions.

Apache, nginx, HAProxy, lighttpd, Varnish and Squid are Debian's, with `faketime` to set their clocks to autumn;
Gunicorn, Caddy and Traefik come from PyPI, what runs in Node from npm. A server that is not there is named, and its
recording stays.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sessions_platform_tests.tools.web_servers.planted import (
    AUTUMN,
    PLANTED,
    Planted,
    send_all,
    wait_until_answered,
    wait_until_open,
)
from sessions_platform_tests.tools.web_servers.servers import SERVERS, Place, Setup

ROOT = Path(__file__).parents[3]
FIXTURES = Path(__file__).parents[1] / "fixtures" / "web_servers"
_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
_ZONE = "Europe/Berlin"
# 02:30 in Berlin on the day on which summer time ends, the first and the second time.
_AUTUMN = [datetime(2026, 10, 25, hour, 30, tzinfo=UTC).timestamp() for hour in (0, 1)]
# Whom Debian's servers run as where root starts them; what is in the folder of whoever runs this, runs as they.
_NOBODY, _OF_DEBIAN = "nobody", "/usr/"
_WRITES_WITHIN = 1.0
# What differs from run to run: times, ports, process ids, durations and counters.
_VARYING = re.compile(
    r"\d\d/[A-Z][a-z]{2}/\d{4}:[\d:]{8}|^ *\d+\.\d{3} +\d+|\d[\d.:T+Z-]{3,}|\d+ms|\d+(?:/\d+){4}| \d+(?= \"shop@)"
)
_VARYING_FIELDS = {"RequestCount", "Duration", "OriginDuration", "Overhead", "duration", "responseTime"}


def record(into: Path, installed: Path) -> None:
    """Run all servers, and write the log of each and what was sent to it.

    Args:
        into: the folder of the recordings.
        installed: a folder with `venv` and `node_modules`, where what comes from registries is installed.
    """
    for name in SERVERS:
        try:
            logged, requests, version = _run(name, installed)
        except FileNotFoundError as missing:
            sys.stderr.write(f"{name}: {missing.filename} is not installed, so its recording stays as it was\n")
            for file in FIXTURES.glob(f"{name}.*"):
                shutil.copy(file, into)
            continue
        (into / f"{name}.log").write_bytes(logged)
        content = {"version": version, "on": f"{datetime.now(UTC):%Y-%m-%d}", "requests": requests}
        (into / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def summary(file: Path) -> list[str]:
    """The lines of a recording, without what differs from run to run."""
    text = file.read_text(encoding="utf-8", errors="backslashreplace")
    return [_VARYING.sub("#", _steady(line) if line.startswith("{") else line) for line in text.splitlines()]


def _steady(line: str) -> str:
    """A record in JSON with its fields in order, but for those that vary; the same where it is none."""
    try:
        record = json.loads(line)
    except ValueError:
        return line
    return json.dumps({key: record[key] for key in record if key not in _VARYING_FIELDS}, sort_keys=True)


def _run(name: str, tools: Path) -> tuple[bytes, list[dict[str, Any]], str]:
    """What a server logs of all requests, what was sent, and its version."""
    logged, requests = _session(name, tools, PLANTED, 0)
    for moment, planted in zip(_AUTUMN, AUTUMN, strict=True):
        more = _session(name, tools, [planted], round(moment - time.time()), first=len(requests))
        logged, requests = logged + more[0], requests + more[1]
    return logged, requests, _version(name, tools)


def _session(
    name: str, tools: Path, planted: list[Planted], offset: int, first: int = 0
) -> tuple[bytes, list[dict[str, Any]]]:
    """One start of a server, whose clock is wrong by `offset` seconds."""
    with _place(tools) as place, _running(_backend(place), place, 0):
        setup = SERVERS[name](place)
        if offset and (setup.keeps_clock or not _FAKETIME.exists()):
            return b"", []
        wait_until_open(place.backend)
        with _running(setup.command, place, offset, "stdout"):
            wait_until_open(place.port)
            if setup.answers:
                wait_until_answered(place.port)
            with _all_running(setup, place, offset):
                time.sleep(_WRITES_WITHIN)
                before = _log(setup, place).stat().st_size if _log(setup, place).exists() else 0
                requests = list(send_all(planted, place.port, lambda: time.time() + offset, first))
                time.sleep(_WRITES_WITHIN)
        return _log(setup, place).read_bytes()[before:], requests


def _log(setup: Setup, place: Place) -> Path:
    return setup.log or place.folder / "stdout"


def _backend(place: Place) -> list[str]:
    return [sys.executable, "-m", "sessions_platform_tests.tools.web_servers.backend", str(place.backend)]


@contextmanager
def _place(tools: Path) -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="web_servers_"))
    folder.chmod(0o777)
    try:
        yield Place(folder, _free_port(), _free_port(), tools)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def _all_running(setup: Setup, place: Place, offset: int) -> Iterator[None]:
    if not setup.beside:
        yield
        return
    first, *others = setup.beside
    with _running(first, place, offset), _all_running(Setup([], [], None, others), place, offset):
        yield


@contextmanager
def _running(command: list[str], place: Place, offset: int, output: str = "output") -> Iterator[None]:
    """A command in the folder of a server, in a session of its own, until the block ends."""
    clock = {"LD_PRELOAD": str(_FAKETIME), "FAKETIME": f"{offset:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(place.folder),
        "TZ": _ZONE,
        "PYTHONPATH": str(ROOT),
        **(clock if offset else {}),
    }
    user = _NOBODY if os.geteuid() == 0 and command[0].startswith(_OF_DEBIAN) else None
    with (place.folder / output).open("ab") as file:
        process = subprocess.Popen(
            command,
            cwd=place.folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT if output == "output" else subprocess.DEVNULL,
            user=user,
            start_new_session=True,
        )
    try:
        yield
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started, all of one session of their own."""
    signals: list[Callable[[], None]] = [
        lambda: os.killpg(process.pid, signal.SIGTERM),
        lambda: os.killpg(process.pid, signal.SIGKILL),
    ]
    for send in signals:
        try:
            send()
            process.wait(timeout=5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _version(name: str, tools: Path) -> str:
    with _place(tools) as place:
        command = SERVERS[name](place).version
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    number = re.search(r"\d+\.\d+(?:\.\d+)?", found.stdout + found.stderr)
    return number[0] if number else "unknown"
