"""The browser SDKs that are run, and where in the bodies that they send an event and its parts are.

A stream on these bodies is made of the same table that the recordings are compared by.
"""

import json
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

from sessions_platform.contracts.stream import Stream
from sessions_platform_tests.streams import stream

FIXTURES = Path(__file__).with_name("fixtures") / "browser"


class Sdk(NamedTuple):
    """Paths, with dots, from a body to its events and from an event to its parts; `events` is null for one a body."""

    events: str | None
    event_id: str
    device: str
    user: str
    session: str
    time: str
    type: str
    step: str
    stamped_anew: tuple[str, ...] = ()  # fields by which the same event, sent again, differs


_POSTHOG = Sdk(
    "batch", "uuid", "properties.$device_id", "properties.$user_id", "properties.$session_id", "timestamp", "event",
    "properties.step",
)  # fmt: skip
_AMPLITUDE = Sdk(
    "events", "insert_id", "device_id", "user_id", "session_id", "time", "event_type", "event_properties.step",
)  # fmt: skip
_RUDDER = Sdk(
    None, "messageId", "anonymousId", "userId", "context.sessionId", "originalTimestamp", "type", "properties.step",
)  # fmt: skip
_SNOWPLOW = Sdk("data", "eid", "duid", "uid", "sid", "dtm", "e", "se_la", ("stm",))
SDKS: dict[str, Sdk] = {
    "amplitude": _AMPLITUDE,
    "posthog": _POSTHOG,
    **dict.fromkeys(("rudder_sdk_js", "rudderstack", "rudderstack_cut_off"), _RUDDER),
    **dict.fromkeys(("snowplow_cookie", "snowplow_local"), _SNOWPLOW),
}


def stream_of(sdk: Sdk, session: dict[str, Any]) -> Stream:
    """A stream on recorded bodies, whose user is the device; the tool's own session is its column `tool_session`."""
    columns = {
        "event_id": {"from": sdk.event_id},
        "user_id": {"from": sdk.device},
        "event_timestamp": {"from": sdk.time, "formats": ["%+", "epoch_ms"]},
        "event_type": {"from": sdk.type},
        "tool_user": {"from": sdk.user, "nullable": True},
        "tool_session": {"from": sdk.session},
        "step": {"from": sdk.step, "nullable": True},
    }
    source = {"files": "landing/{partition:%Y-%m-%d}/*", "format": "ndjson"}
    within = {"events": sdk.events} if sdk.events else {}
    duplicates = {"ignore": list(sdk.stamped_anew)} if sdk.stamped_anew else {}
    return stream(
        source={**source, **within}, columns=columns, sequence="position", duplicates=duplicates, session=session
    )


def events_of(sdk: Sdk, bodies: Path) -> Iterator[dict[str, Any]]:
    """The events of recorded bodies, in the order in which they were sent, as they are."""
    for line in bodies.read_text(encoding="utf-8").splitlines():
        body = json.loads(line)
        yield from body[sdk.events] if sdk.events else [body]


def part(event: dict[str, Any], path: str) -> Any:
    """What a path leads to, or None."""
    return reduce(lambda inner, name: inner.get(name) if isinstance(inner, dict) else None, path.split("."), event)
