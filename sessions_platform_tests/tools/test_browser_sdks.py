"""On the bodies that browser SDKs sent over scripted days our sessions are those that the SDKs made themselves."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest

from sessions_platform.transforms.sessionize import sessionize
from sessions_platform_tests.ingested import validate_file
from sessions_platform_tests.tools.browser_sdks import FIXTURES, SDKS, events_of, part, stream_of

# After all events, so that none lies in its future.
LANDED = "2031-03-04"
DOCS = Path(__file__).parents[2] / "docs" / "coming-from.md"

BY_USER = {"column": "tool_user"}
LIKE: dict[str, dict[str, Any]] = {
    "amplitude": {"like": "amplitude"},
    "posthog": {"like": "posthog", "cut_on": {**BY_USER, "when": "leaves"}},
    "rudder_sdk_js": {"like": "rudderstack", "cut_on": BY_USER},
    "rudderstack": {"like": "rudderstack", "cut_on": BY_USER},
    "rudderstack_cut_off": {"like": "rudderstack", "cut_on": BY_USER, "max_length": "12h"},
    "snowplow_cookie": {"like": "snowplow"},
    "snowplow_local": {"like": "snowplow_local_storage"},
}

Sessions = set[frozenset[str]]


@cache
def ingested(name: str, day: str) -> pl.DataFrame:
    """The recorded events of an SDK, none of them rejected, each once."""
    sdk, bodies = SDKS[name], FIXTURES / f"{name}.{day}.ndjson"
    with TemporaryDirectory() as folder:
        found = validate_file(Path(folder) / "bodies", bodies.read_bytes(), stream_of(sdk, {}), LANDED)
    sent = [part(event, sdk.event_id) for event in events_of(sdk, bodies)]
    assert set(found.events["event_id"]) == set(sent)
    assert (found.rejected.height, found.duplicates, found.skipped) == (0, len(sent) - len(set(sent)), 0)
    return found.events


def ours(name: str, day: str, rule: dict[str, Any]) -> Sessions:
    return grouped(sessionize(ingested(name, day), stream_of(SDKS[name], rule)), "session_id")


def theirs(name: str, day: str) -> Sessions:
    return grouped(ingested(name, day), "user_id", "tool_session")


def grouped(events: pl.DataFrame, *keys: str) -> Sessions:
    return {frozenset(ids) for ids in events.group_by(keys).agg("event_id")["event_id"].to_list()}


@pytest.mark.parametrize("name", LIKE)
def test_on_a_plain_day_sessions_like_the_tools_are_the_tools_own(name: str) -> None:
    assert ours(name, "plain", LIKE[name]) == theirs(name, "plain")


@pytest.mark.parametrize("recorded", sorted(FIXTURES.glob("*.ndjson")), ids=lambda path: path.stem)
def test_on_every_day_the_tools_own_ids_make_its_sessions(recorded: Path) -> None:
    name, day = recorded.stem.split(".")
    assert ours(name, day, {"id": "tool_session"}) == theirs(name, day)


@pytest.mark.parametrize("name", SDKS)
def test_every_event_is_read_as_the_tool_sent_it(name: str) -> None:
    sdk = SDKS[name]
    read = ingested(name, "plain").select("event_id", "user_id", "tool_user", "tool_session", "event_type", "step")
    paths = (sdk.event_id, sdk.device, sdk.user, sdk.session, sdk.type, sdk.step)
    sent = events_of(sdk, FIXTURES / f"{name}.plain.ndjson")
    assert set(read.rows()) == {tuple(_text(part(event, path)) for path in paths) for event in sent}


def _text(value: Any) -> str | None:
    """As we read it: a blank user, which rudder-sdk-js sends before log in, is none."""
    return None if value in (None, "") else str(value)


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        pytest.param("amplitude", {"gap": "30m"}, id="Amplitude with a session_end that extends sessions"),
        pytest.param("posthog", {"gap": "30m"}, id="PostHog without its longest session"),
        pytest.param("snowplow_cookie", {"like": "snowplow_local_storage"}, id="Snowplow's cookies from the event"),
        pytest.param("snowplow_local", {"gap": "30m"}, id="Snowplow with a silence of just the gap"),
        pytest.param("rudderstack_cut_off", {"like": "rudderstack"}, id="RudderStack without its cut-off"),
        pytest.param("rudderstack", {"gap": "1799999ms"}, id="RudderStack with a gap a millisecond shorter"),
        pytest.param("rudder_sdk_js", {"gap": "1800001ms"}, id="rudder-sdk-js with a gap a millisecond longer"),
    ],
)
def test_the_plain_day_tells_rules_apart(name: str, rule: dict[str, Any]) -> None:
    assert ours(name, "plain", rule) != theirs(name, "plain")


@pytest.mark.parametrize("name", LIKE)
def test_what_a_rule_cannot_see_is_what_the_documentation_lists(name: str) -> None:
    listed = {tuple(cells[1:]) for cells in _rows_of_docs() if cells[0] == f"`{name}`"}
    assert _unlike(name) == listed


def _unlike(name: str) -> set[tuple[str, ...]]:
    """Scenarios whose sessions differ: the scenario, and the steps of each session, the tool's and ours."""
    unlike: set[tuple[str, ...]] = set()
    for day in DAYS:
        if not (FIXTURES / f"{name}.{day}.ndjson").exists():
            continue
        steps = dict(ingested(name, day).select("event_id", "step").drop_nulls().rows())
        for scenario in {step.split()[0] for step in steps.values()}:
            of_scenario = {key: int(step.split()[1]) for key, step in steps.items() if step.split()[0] == scenario}
            drawn = [_drawn(sessions, of_scenario) for sessions in (theirs(name, day), ours(name, day, LIKE[name]))]
            if drawn[0] != drawn[1]:
                unlike.add((f"`{scenario}`", *drawn))
    return unlike


DAYS = ("hard", "tabs")


def _drawn(sessions: Sessions, steps: dict[str, int]) -> str:
    """Steps by session, such as `1 3 / 2`."""
    numbers = sorted(sorted(steps[key] for key in session & steps.keys()) for session in sessions)
    return " / ".join(_run(session) for session in numbers if session)


def _run(numbers: list[int]) -> str:
    """Numbers that follow each other are their first and last."""
    follow = len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1))
    return f"{numbers[0]} to {numbers[-1]}" if follow else " ".join(map(str, numbers))


def _rows_of_docs() -> list[list[str]]:
    text = DOCS.read_text(encoding="utf-8").split("<!-- unseen: begin -->")[1].split("<!-- unseen: end -->")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
