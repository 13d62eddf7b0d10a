"""One run of one SDK: `python clients.py SDK PORT MODE`. Sends three events, and in the mode `ok` awkward values."""

# The SDKs are installed where they are run, not in the project.
# pyright: reportMissingImports=false
import sys
import time
from datetime import UTC, datetime, timedelta, timezone

NAME, PORT, MODE = sys.argv[1], int(sys.argv[2]), sys.argv[3]
HOST = f"http://127.0.0.1:{PORT}"
USER = "ann"
VALUES = {
    "beyond_doubles": 9007199254740993,
    "digits": 123456789012345678901234,
    "float": 0.1,
    "nested": {
        "at": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "list": [datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=-5)))],
    },
    "nothing": None,
    "text": "ü\u2028",
}
STEPS: list[tuple[str, dict]] = [(f"{MODE} {number}", {}) for number in (1, 2, 3)]
if MODE == "ok":
    STEPS += [("values", {"values": VALUES}), ("nan", {"values": {"nan": float("nan"), "infinite": float("inf")}})]


def segment_python() -> None:
    from segment.analytics.client import Client

    client = Client("key", host=HOST, timeout=1, max_retries=3, upload_size=3, upload_interval=0.2)
    for event, properties in STEPS:
        client.track(USER, event, properties)
    client.shutdown()


def rudderstack_python() -> None:
    from rudderstack.analytics.client import Client

    client = Client("key", host=HOST, timeout=1, max_retries=3, upload_size=3, upload_interval=0.2)
    for event, properties in STEPS:
        client.track(USER, event, properties)
    client.shutdown()


def posthog_python() -> None:
    from posthog import Posthog

    client = Posthog("key", host=HOST, timeout=1, max_retries=3, flush_at=3, flush_interval=0.2, disable_geoip=True)
    for event, properties in STEPS:
        client.capture(event, distinct_id=USER, properties=properties)
    client.shutdown()


def amplitude_python() -> None:
    from amplitude import Amplitude, BaseEvent, Config

    config = Config(server_url=f"{HOST}/2/httpapi", flush_queue_size=3, flush_interval_millis=200)
    client = Amplitude("key", config)
    for event, properties in STEPS:
        client.track(BaseEvent(event, user_id=USER, event_properties=properties))
    time.sleep(4)
    client.flush()
    client.shutdown()


def mixpanel_python() -> None:
    import mixpanel
    import urllib3

    urllib3.disable_warnings()
    consumer = mixpanel.BufferedConsumer(max_size=3, api_host=f"127.0.0.1:{PORT}", request_timeout=1, verify_cert=False)
    client = mixpanel.Mixpanel("key", consumer=consumer)
    for event, properties in STEPS:
        client.track(USER, event, properties)
    consumer.flush()


def snowplow_python() -> None:
    from snowplow_tracker import Emitter, StructuredEvent, Subject, Tracker

    emitter = Emitter("127.0.0.1", protocol="http", port=PORT, method="post", batch_size=3, request_timeout=1)
    tracker = Tracker("sp", emitters=emitter, subject=Subject().set_user_id(USER), app_id="shop", encode_base64=False)
    for label, _ in STEPS[:3]:
        tracker.track(StructuredEvent(category="shop", action=label))
    for _ in range(3):
        time.sleep(1.5)
        tracker.flush()


if __name__ == "__main__":
    globals()[NAME]()
