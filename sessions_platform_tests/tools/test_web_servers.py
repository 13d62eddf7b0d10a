"""Logs of the servers themselves: every line is read, and what was sent comes out, as the bytes where these are logged.

`make tools` runs the servers with planted requests (`web_servers`). What a server doesn't log, or changes before it
logs it, is stated here by name, so that it shows when a newer one does otherwise.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from sessions_platform.contracts.presets import preset_named
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.operations.preview import Preview, preview
from sessions_platform.settings import Settings
from sessions_platform.sources.files.told_by import presets_of_text
from sessions_platform.transforms.sort_events import sort_by_time
from sessions_platform_tests.tools.web_servers.servers import SERVERS

FIXTURES = Path(__file__).with_name("fixtures") / "web_servers"
every_server = pytest.mark.parametrize("name", list(SERVERS))

_REFUSED_BY_NODE = {"UTF-8 in the target", "Latin-1 in the target"}
# Requests that are in no line, of those that a server could have read.
UNLOGGED = {
    "gunicorn": {"UTF-8 in the target", "Latin-1 in the target"},
    "morgan": _REFUSED_BY_NODE,
    "pino_http": _REFUSED_BY_NODE,
    "fastify": _REFUSED_BY_NODE,
}
_ROUTED = {"dots and slashes", "semicolons", "absolute"}
_ENCODED = {"quote in the target", "backslash in the target", "UTF-8 in the target", "Latin-1 in the target"}
# Requests whose target is logged otherwise than it was sent: made a path, cut, routed, or with another byte for E9.
OTHER_TARGET = {
    "nginx_json": {"absolute"},
    "lighttpd": {"absolute"},
    "haproxy_http": {"long target"},
    "varnish": {"long target"},
    "caddy_json": {"Latin-1 in the target"},
    "traefik_json": _ROUTED | _ENCODED,
    "traefik_common": _ROUTED | _ENCODED,
}
# A hyphen is what most write for none; Go's JSON has U+FFFD for a byte that is not UTF-8.
_HYPHEN = {"hyphen as the agent"}
_WRITE_HYPHENS = ("apache_combined", "nginx_combined", "haproxy_http", "lighttpd", "varnish", "gunicorn", "morgan")
OTHER_AGENT = {
    **dict.fromkeys(_WRITE_HYPHENS, _HYPHEN),
    "caddy_json": {"Latin-1 in the agent"},
    "traefik_json": {"Latin-1 in the agent", *_HYPHEN},
    "traefik_common": _HYPHEN,
}
# Logs that have no user agent, and those that have the user of basic authentication though nobody has checked it.
_FIRST_HEADER = "{from: req_headers, decode: haproxy, split: {separator: '|', part: 0}, nullable: true}"
OF_STREAM = {"haproxy_http": f"columns: {{user_agent: {_FIRST_HEADER}}}"}
AGENTLESS = {"squid_native", "fastify"}
CLAIMED = {"nginx_combined", "nginx_json", "varnish", "morgan", "gunicorn"}
# Whose time is the end of a request that has no duration; all others have the start.
ENDS = {"nginx_combined", "lighttpd", "morgan", "gunicorn"}
KEEPS_CLOCK = {"varnish", "caddy_json", "traefik_json", "traefik_common", "gunicorn"}
# Who logs what can't be read.
UNREAD = {"apache_combined", "nginx_combined", "nginx_json", "haproxy_http", "lighttpd", "squid_native"}
# Whole seconds are cut, lighttpd's clock is set once a second, and the machine that recorded may have been busy.
EARLIEST, LATEST = -2, 1
# How long a request of `slow` took.
SLOW = 2.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web_servers")


def stream_of(name: str, folder: Path) -> Stream:
    """The stream of a preset in four lines at most."""
    path = folder / f"{name}.yaml"
    keys = f"name: {name}\nstart: 2026-01-01\nsource: {{preset: {name}, files: '*'}}\n{OF_STREAM.get(name, '')}\n"
    path.write_text(keys, encoding="utf-8")
    return load_stream(path, folder)


@cache
def read(name: str, folder: Path) -> tuple[Stream, Preview, list[dict[str, Any]]]:
    """The stream, what it makes of the server's log, and what was sent."""
    of = stream_of(name, folder)
    made = preview(of, Settings(folder / "home", folder / "lake", ()), [FIXTURES / f"{name}.log"])
    return of, made, json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))["requests"]


def text(sent: str | None) -> str | None:
    """The bytes that were sent (characters of their numbers) as text: UTF-8, and Latin-1 where they are none."""
    if sent is None:
        return None
    try:
        return sent.encode("latin-1").decode()
    except UnicodeDecodeError:
        return sent


def pairs(name: str, folder: Path) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each request that was logged, and its event; they are in the same order."""
    _, made, requests = read(name, folder)
    events = made.events.filter(pl.col("event_type") != "bad_request").sort("position").to_dicts()
    logged = [each for each in requests if not each["garbage"] and each["name"] not in UNLOGGED.get(name, ())]
    return zip(logged, events, strict=True)


def target_of(name: str, sent: str) -> str | None:
    """A target as this server logs it."""
    is_absolute = sent.startswith("http://")
    if name == "squid_native":  # without the query, as by its default
        sent = f"{sent.partition('?')[0]}?"
    return text(sent if is_absolute or name not in ("varnish", "squid_native") else f"http://shop.example{sent}")


@every_server
def test_every_line_is_an_event_or_skipped_and_no_request_is_lost(name: str, folder: Path) -> None:
    _, made, requests = read(name, folder)
    assert made.rejected_by_reason == {}
    assert made.raw_rows == made.events.height + made.skipped
    unread = made.events.filter(pl.col("event_type") == "bad_request").height
    assert unread == (sum(each["garbage"] for each in requests) if name in UNREAD else 0)
    assert list(pairs(name, folder))


@every_server
def test_the_log_is_known_as_this_servers_and_no_others(name: str) -> None:
    assert presets_of_text((FIXTURES / f"{name}.log").read_bytes()) == [name]


@every_server
def test_targets_are_the_bytes_that_were_sent(name: str, folder: Path) -> None:
    others = {
        sent["name"] for sent, event in pairs(name, folder) if event["page_url"] != target_of(name, sent["target"])
    }
    assert others == OTHER_TARGET.get(name, set())


@every_server
def test_user_agents_are_the_bytes_that_were_sent(name: str, folder: Path) -> None:
    of, _, _ = read(name, folder)
    assert ("user_agent" not in of.columns) == (name in AGENTLESS)
    if name not in AGENTLESS:
        others = {
            sent["name"] for sent, event in pairs(name, folder) if event["user_agent"] != (text(sent["agent"]) or None)
        }
        assert others == OTHER_AGENT.get(name, set())


@every_server
def test_methods_and_users_are_those_that_were_sent(name: str, folder: Path) -> None:
    for sent, event in pairs(name, folder):
        assert event["event_type"] == sent["method"]
        assert event["user_id"] == (sent["user"] if sent["user"] and name in CLAIMED else "127.0.0.1")


@every_server
def test_simultaneous_requests_keep_the_order_of_the_file(name: str, folder: Path) -> None:
    of, made, _ = read(name, folder)
    shuffled = made.events.sample(fraction=1, shuffle=True, seed=7)
    pages = sort_by_time(shuffled, of)["page_url"].str.extract(r"/step(\d)").drop_nulls()
    assert pages.to_list() == list("123456")
    by_hash = sort_by_time(shuffled, of.model_copy(update={"sequence": None}))
    if by_hash["event_timestamp"].dt.microsecond().max() == 0:  # whole seconds: without a sequence they are mixed up
        assert by_hash["page_url"].str.extract(r"/step(\d)").drop_nulls().to_list() != list("123456")


@every_server
def test_a_time_is_the_start_or_the_end_as_the_preset_says(name: str, folder: Path) -> None:
    said = preset_named(name).time
    assert ("START" in said) == (name not in ENDS)
    for sent, event in pairs(name, folder):
        late = event["event_timestamp"].timestamp() - sent["sent"]
        took = SLOW if sent["name"] == "slow" and name in ENDS else 0
        assert EARLIEST < late - took < LATEST, sent["name"]


@every_server
def test_autumns_hour_is_there_twice(name: str, folder: Path) -> None:
    """At 02:30 in Berlin, before and after the end of summer time; of those whose clock can be set."""
    times = [event["event_timestamp"] for sent, event in pairs(name, folder) if "autumn" in sent["name"]]
    assert len(times) == (0 if name in KEEPS_CLOCK else 2)
    if times:
        local = [time.astimezone(ZoneInfo("Europe/Berlin")) for time in times]
        assert [(round(time.hour + time.minute / 60 + time.second / 3600, 2), time.dst()) for time in local] == [
            (2.5, timedelta(hours=1)),
            (2.5, timedelta(0)),
        ]
