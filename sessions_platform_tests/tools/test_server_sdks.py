"""What server-side SDKs sent to a server that failed: each event once, and values as they were sent."""

from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform_tests.ingested import PartitionContents, validate_file
from sessions_platform_tests.tools.browser_sdks import part
from sessions_platform_tests.tools.failing_server import MODES
from sessions_platform_tests.tools.server_sdks import FIXTURES, SDKS, as_written, bodies_of, id_of, sent, tool_of

# After all recordings, so that no event lies in its future.
LANDED = "2031-01-01"
DOCS = Path(__file__).parents[2] / "docs" / "tools.md"

READ = [name for name in SDKS if tool_of(name).preset]
every_sdk = pytest.mark.parametrize("name", SDKS)
every_read = pytest.mark.parametrize("name", READ)


@cache
def stream_of(name: str, compared: bool = False) -> Stream:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "shop.yaml"
        source = f'{{preset: {tool_of(name).preset}, files: "{{partition:%Y-%m-%d}}/*"}}'
        overruled = "duplicates: null\n" if compared else ""
        file.write_text(f"name: shop\nstart: 2026-01-01\nsource: {source}\n{overruled}")
        return load_stream(file, Path(folder))


@cache
def ingested(name: str, *modes: str, compared: bool = False) -> PartitionContents:
    """The bodies, one a line, by the preset and three lines; `compared`: without what the preset says of duplicates."""
    with TemporaryDirectory() as folder:
        content = "".join(f"{body}\n" for body in bodies_of(recording(name), *modes)).encode()
        return validate_file(Path(folder) / "bodies", content, stream_of(name, compared), LANDED)


def recording(name: str) -> Path:
    return FIXTURES / f"{name}.ndjson"


def times_sent(name: str, *modes: str) -> Counter[str]:
    """How often each event was sent, by what it is known by."""
    return Counter(id_of(name, event) for event in sent(recording(name), *modes))


def has_ids(name: str) -> bool:
    """Whether the preset knows a resend: without an id it is an event of its own."""
    return bool(tool_of(name).event_id)


@every_read
def test_each_event_counts_once_and_each_resend_as_a_duplicate(name: str) -> None:
    sent_times, found = times_sent(name), ingested(name)
    events = len(sent_times) if has_ids(name) else sent_times.total()
    assert found.rejected.height == 0
    assert (found.events.height, found.duplicates, found.skipped) == (events, sent_times.total() - events, 0)


@every_sdk
def test_it_resends_after_what_the_documentation_lists(name: str) -> None:
    resent = [mode for mode in MODES if max(times_sent(name, mode).values()) > 1]
    assert f"| `{name}` | {', '.join(resent) or 'nothing'} |" in DOCS.read_text(encoding="utf-8").splitlines()


@every_read
def test_no_event_is_lost(name: str) -> None:
    for mode in MODES:
        types = {kind for kind in ingested(name, mode).events["event_type"] if kind.startswith(mode)}
        assert types == {f"{mode} {number}" for number in (1, 2, 3)}


@pytest.mark.parametrize("name", ["countly_node", "openpanel_node"])
def test_what_is_sent_again_without_an_id_is_the_same_bytes(name: str) -> None:
    bodies = Counter(bodies_of(recording(name), "error"))
    assert max(bodies.values()) == 2


def test_umami_says_neither_who_nor_when_nor_which() -> None:
    """So there is no preset."""
    for event in sent(recording("umami_node")):
        assert set(event) == {"type", "payload"}
        assert set(event["payload"]) == {"website", "name", "data"}


@pytest.mark.parametrize("name", [name for name in READ if name.startswith("snowplow")])
def test_stamps_that_are_compared_make_conflicts_of_resends(name: str) -> None:
    found = ingested(name, compared=True)
    assert set(found.codes()) == {"conflicting_duplicate"}
    assert found.rejected.height == ingested(name).duplicates


@pytest.mark.parametrize("name", [name for name in READ if tool_of(name).values])
@pytest.mark.parametrize("step", ["values", "nan"])
def test_values_are_as_they_were_sent(name: str, step: str) -> None:
    """Integers beyond doubles and of 24 digits, nested dates; NaN is null, and costs no other event its place."""
    tool = tool_of(name)
    (event,) = (event for event in sent(recording(name), "ok") if part(event, tool.type) == step)
    events = ingested(name, "ok").events
    (kept,) = events.filter(events["event_type"] == step)["properties"]
    ours = part(as_written(kept or "{}"), tool.values or "")
    assert ours == part(event, tool.values or "")
    if step == "values" and name != "amplitude_python":  # which drops all properties of such an event
        exact = name.endswith("_python")
        assert ours["beyond_doubles"] == ("9007199254740993" if exact else "9007199254740992")
        assert ours["digits"] == ("123456789012345678901234" if exact else "1.2345678901234569e+23")
