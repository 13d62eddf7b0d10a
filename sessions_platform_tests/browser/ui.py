"""`sessions-platform dev` in processes of its own, and a Chromium that shows its UI."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

from sessions_platform.storage.postgres import embedded
from sessions_platform_tests.orchestration.dev_process import end_as_ctrl_c

STREAM = "web_shop"
ASSETS = ["raw_events", "events", "rejected_events", "sessionized_events", "sessions"]  # those with partitions
REPORT = "report"

# A busy machine is slow now and then; a quiet one starts in ten seconds, answers in one, runs a day in ten.
STARTING_SECONDS = 240
ANSWERING_SECONDS = 60
RUNNING_SECONDS = 180

# A server or a folder of the user's own must not be mistaken for the test's.
UNSET = ("SESSIONS_LAKE", "SESSIONS_STREAMS", "SESSIONS_WAREHOUSE_URL", "DAGSTER_POSTGRES_URL", "DAGSTER_HOME")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoChromiumError(Exception):
    """The message is a sentence that says what to do."""


def chromium_program() -> str:
    """Debian's Chromium. Raises NoChromiumError."""
    if (found := shutil.which("chromium")) is None:
        raise NoChromiumError("Chromium is missing. On Debian: apt-get install chromium")
    return found


def program(*arguments: str) -> list[str]:
    """The command line, of the virtual environment that runs this."""
    return [sys.executable, "-m", "sessions_platform", *arguments]


def environment(home: Path) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in UNSET}
    return {**ours, "SESSIONS_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "1"}


@contextmanager
def served(home: Path, log: Path) -> Iterator[str]:
    """The UI's address, once it answers. At the end its processes and their database are gone."""
    with served_by(program("dev"), environment(home), log, home) as url:
        yield url


@contextmanager
def served_by(command: Sequence[str], variables: Mapping[str, str], log: Path, home: Path) -> Iterator[str]:
    """The same of a `dev` that is called otherwise; `home` is the platform's."""
    port = _free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(port, process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        end_as_ctrl_c(process)
        _remove_database(home)


@contextmanager
def chromium(width: int = 2400, height: int = 1000) -> Iterator[Page]:
    """An empty page. It is so wide that the nodes of the asset graph show their details."""
    expect.set_options(timeout=ANSWERING_SECONDS * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_program(), args=FLAGS, headless=True)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(ANSWERING_SECONDS * 1000)
        yield page
        browser.close()


def open_graph(page: Page, url: str) -> None:
    """Open the asset graph; it shows the source and all assets at once, without a click."""
    page.goto(f"{url}/asset-groups")
    for name in (STREAM, *ASSETS, REPORT):
        expect(graph_text(page, name)).to_be_visible()


def graph_text(page: Page, text: str) -> Locator:
    return page.locator("svg foreignObject").get_by_text(text, exact=True)


def open_asset(page: Page, url: str, asset: str, **place: str) -> None:
    """Open the page of an asset; place is where on it, say view="partitions"."""
    query = "&".join(f"{key}={value}" for key, value in place.items())
    page.goto(f"{url}/assets/{STREAM}/{asset}?{query}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + STARTING_SECONDS
    while not _answers(port):
        with suppress(subprocess.TimeoutExpired):
            code = process.wait(0.2)
            raise RuntimeError(f"sessions-platform dev ended with {code}:\n{_end_of(log)}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"Port {port} does not answer after {STARTING_SECONDS} seconds:\n{_end_of(log)}")


def _answers(port: int) -> bool:
    with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as connection, suppress(OSError, HTTPException):
        connection.request("GET", "/server_info")
        return connection.getresponse().status == 200
    return False


def _end_of(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-30:])


def _remove_database(home: Path) -> None:
    """Stop a server whose attached processes were killed; for root its data is outside of a private home."""
    cluster = home / "postgres" / "cluster"
    if (cluster / "data" / "postmaster.pid").exists():
        embedded.attach(home).close()
    shutil.rmtree(cluster.resolve(), ignore_errors=True)
