"""The server-side SDKs that are run, each against a server that fails in one of several ways, and what they sent.

A recording has a line for each body, in the order in which they came: `{"mode": …, "body": …}`. The body is a text, as
the SDK made it, or a request's query string; it need not be JSON, since some write NaN.
"""

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from sessions_platform_tests.tools.browser_sdks import part
from sessions_platform_tests.tools.failing_server import MODES, FailingServer

FIXTURES = Path(__file__).with_name("fixtures") / "server"
PROJECT = Path(__file__).with_name("server")
TIMEOUT = 120


@dataclass(frozen=True)
class Tool:
    """What is known of a tool's bodies, and the preset that reads them, if there is one.

    Paths, with dots, lead to parts of an event. `event_id` are those that tell events apart; without any a resend is
    an event of its own. `events` leads from a body to its events; null where a body is an event or a list of them.
    """

    preset: str | None
    type: str
    values: str | None = None
    event_id: tuple[str, ...] = ()
    events: str | None = None


TOOLS = {
    "amplitude": Tool("amplitude_http", "event_type", "event_properties.values", ("insert_id",), "events"),
    "countly": Tool("countly", "key", "segmentation.values", ("timestamp", "key"), "events"),
    "matomo": Tool("matomo", "action_name"),
    "mixpanel": Tool("mixpanel_track", "event", "properties.values", ("properties.$insert_id",)),
    "openpanel": Tool("openpanel", "payload.name", "payload.properties.values"),
    "posthog": Tool("posthog_batch", "event", "properties.values", ("uuid",), "batch"),
    "rudderstack": Tool("rudderstack_http", "event", "properties.values", ("messageId",), "batch"),
    "segment": Tool("segment_http", "event", "properties.values", ("messageId",), "batch"),
    "snowplow": Tool("snowplow_tp2", "se_ac", None, ("eid",), "data"),
    "umami": Tool(None, "payload.name", "payload.data.values"),
}
SDKS = [
    "amplitude_node", "amplitude_python", "countly_node", "matomo_node", "mixpanel_node", "mixpanel_python",
    "openpanel_node", "posthog_node", "posthog_python", "rudderstack_node", "rudderstack_python", "segment_node",
    "segment_python", "snowplow_node", "snowplow_python", "umami_node",
]  # fmt: skip
# Sends by TLS alone.
ENCRYPTED = "mixpanel_python"
# Requests are query strings, in which an array is JSON.
_QUERIES = ("countly", "matomo")


def tool_of(name: str) -> Tool:
    """The tool of an SDK."""
    return TOOLS[name.partition("_")[0]]


def bodies_of(file: Path, *modes: str) -> list[str]:
    """The bodies of a recording in these modes, or in all."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line["body"] for line in map(json.loads, lines) if line["mode"] in (modes or MODES)]


def sent(file: Path, *modes: str) -> list[dict[str, Any]]:
    """The events of those bodies, `as_written`."""
    return [event for body in bodies_of(file, *modes) for event in _events_in(file.stem, body)]


def _events_in(name: str, body: str) -> list[dict[str, Any]]:
    is_query, events = name.partition("_")[0] in _QUERIES, tool_of(name).events
    document: Any = dict(parse_qsl(body)) if is_query else as_written(body)
    if events is not None:
        document = as_written(document[events]) if is_query else document[events]
    return document if isinstance(document, list) else [document]


def as_written(text: str) -> Any:
    """JSON, in which numbers are texts, digit by digit, and NaN and Infinity null."""
    return json.loads(text, parse_int=str, parse_float=str, parse_constant=lambda _: None)


def id_of(name: str, event: dict[str, Any]) -> str:
    """By what an event is known: its id, or all of it where it has none, as Mixpanel's for Node."""
    ids = [part(event, path) for path in tool_of(name).event_id]
    return dumps(ids) if ids and None not in ids else dumps(event)


def record(into: Path, node_project: Path, python: Path) -> None:
    """Run each SDK in each mode, four at a time, and write what came."""
    certificate = _certificate(node_project)

    def bodies(run: tuple[str, str]) -> list[str]:
        name, mode = run
        program = [shutil.which("node"), "clients.mjs"] if name.endswith("_node") else [str(python), "clients.py"]
        server = FailingServer(mode, certificate if name == ENCRYPTED else None)
        command = [*program, name, str(server.port), mode]
        failed = subprocess.run(command, cwd=node_project, capture_output=True, timeout=TIMEOUT, check=False).returncode
        server.shutdown()
        server.server_close()
        if failed:
            raise SystemExit(f"{name} failed in the mode {mode}")
        return server.bodies

    runs = [(name, mode) for name in SDKS for mode in MODES]
    with ThreadPoolExecutor(4) as pool:
        sent = dict(zip(runs, pool.map(bodies, runs), strict=True))
    for name in SDKS:
        lines = [dumps({"mode": mode, "body": body}) for mode in MODES for body in sent[name, mode]]
        (into / f"{name}.ndjson").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _certificate(folder: Path) -> Path:
    """For 127.0.0.1, made anew at each run; no client checks it."""
    both = folder / "certificate.pem"
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1", "-days", "2")
    subprocess.run([*made, "-keyout", both, "-out", folder / "public.pem"], check=True, capture_output=True)
    both.write_bytes(both.read_bytes() + (folder / "public.pem").read_bytes())
    return both
