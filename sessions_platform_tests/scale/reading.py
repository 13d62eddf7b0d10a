"""Lines of plain events, read without the platform."""

import json
from collections.abc import Iterable
from datetime import datetime

from sessions_platform.transforms.reference_sessionizer import Event


def events_in(lines: Iterable[bytes], landing_partition: str, source_uri: str) -> list[Event]:
    place = {"landing_partition": landing_partition, "source_uri": source_uri}
    return [{**_event(json.loads(line)), **place, "position": at} for at, line in enumerate(lines, start=1)]


def _event(fields: dict[str, str]) -> Event:
    return {
        "event_id": fields["id"],
        "user_id": fields["user"],
        "event_timestamp": datetime.fromisoformat(fields["ts"]),
        "event_type": fields["type"],
        "page_url": fields.get("url"),
    }
