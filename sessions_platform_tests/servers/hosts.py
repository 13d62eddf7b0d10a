"""Hosts that share nothing: each has a network, a name, processes, temporary files and a home of its own.

They are namespaces of Linux, joined by a bridge that is made and removed. Here: how they are made, cut off and killed.
Not here: what runs on them (`host_work.py`), and the servers that they share (`site.py`).
"""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
_numbers = itertools.count(1)

# The host has a name of its own, and of all temporary files it sees those of its own folder alone.
_ENTER = 'hostname "$0" && mount --bind "$1" /tmp && mount -t tmpfs tmpfs /dev/shm && cd /tmp && shift && exec "$@"'
_OWN = ["--uts", "--pid", "--mount", "--fork", "--kill-child=KILL", "--mount-proc"]


@dataclass
class Host:
    """A host of a network.

    Attributes:
        name: of the host and its namespace.
        folder: what its processes see as /tmp, with its home.
        link: the bridge's end of its cable.
    """

    name: str
    folder: Path
    link: str
    _processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *arguments: str, environment: Mapping[str, str], clock: str | None = None) -> subprocess.Popen[str]:
        """Start Python there.

        Args:
            arguments: of Python.
            environment: the variables, beside those that name the home, the scratch folder and the way to programs.
            clock: by how much the host's clock is wrong, as libfaketime reads it: `+400d`.
        """
        own = {"HOME": "/tmp", "TMPDIR": "/tmp", "SESSIONS_HOME": "/tmp/home", "PATH": os.environ["PATH"]}
        wrong = {"LD_PRELOAD": _libfaketime(), "FAKETIME": clock, "FAKETIME_DONT_FAKE_MONOTONIC": "1"} if clock else {}
        preloaded = [f"{name}={value}" for name, value in wrong.items()]  # of Python alone
        inside = ["sh", "-c", _ENTER, self.name, str(self.folder), "env", *preloaded, sys.executable, *arguments]
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", *_OWN, *inside],
            env={**own, "PYTHONPATH": str(PROJECT), "PYTHONWARNINGS": "ignore", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def cut_off(self) -> None:
        """Take the link down: packets vanish, and whoever waits for an answer waits."""
        _run("ip", "link", "set", self.link, "down")

    def join_again(self) -> None:
        """Take the link up."""
        _run("ip", "link", "set", self.link, "up")

    def kill(self) -> None:
        """End all of its processes at once (-9), those that they have started, too."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()  # its children end with it
                process.communicate()


class Network:
    """A bridge with an address of this machine, and hosts on it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"sp{os.getpid() % 10**6}x{next(_numbers)}"
        self._prefix = f"10.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
        self.address = f"{self._prefix}.1"
        self._hosts: list[Host] = []

    def open(self) -> None:
        """Make the bridge; skip the test where the machine does not let us."""
        missing = [program for program in ("ip", "unshare", "hostname") if not shutil.which(program)]
        if missing or os.geteuid() != 0:
            pytest.skip(f"network namespaces take root{''.join(f', and {program}' for program in missing)}")
        try:
            _run("ip", "link", "add", self._name, "type", "bridge")
            _run("ip", "addr", "add", f"{self.address}/24", "dev", self._name)
            _run("ip", "link", "set", self._name, "up")
            _run("ip", "netns", "add", f"{self._name}-probe")
            _run("ip", "netns", "exec", f"{self._name}-probe", "unshare", *_OWN, "true")
        except subprocess.CalledProcessError as refused:
            self.close()
            pytest.skip(f"no network namespaces on this machine: {refused.stderr.strip()}")

    def host(self) -> Host:
        """Make another host."""
        number = len(self._hosts) + 2
        name, link = f"{self._name}-{number}", f"v{number}{self._name}"[:15]
        folder = self._folder / name
        folder.mkdir()
        host = Host(name, folder, link)
        self._hosts.append(host)
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        _run("ip", "link", "set", link, "master", self._name)
        _run("ip", "link", "set", link, "up")
        for command in (f"addr add {self._prefix}.{number}/24 dev eth0", "link set eth0 up", "link set lo up"):
            _run("ip", "-netns", name, *command.split())
        return host

    def close(self) -> None:
        """End the hosts' processes, and remove hosts and bridge."""
        for host in self._hosts:
            host.kill()
        for name in [f"{self._name}-probe", *(host.name for host in self._hosts)]:
            with suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "del", name)
        with suppress(subprocess.CalledProcessError):
            _run("ip", "link", "del", self._name)


@contextmanager
def network(folder: Path) -> Iterator[Network]:
    """A network within `with`; its hosts' folders are in this one."""
    made = Network(folder)
    made.open()
    try:
        yield made
    finally:
        made.close()


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def _libfaketime() -> str:
    from sessions_platform_tests.servers.installs import from_debian

    from_debian("faketime", "faketime")
    return str(next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")))
