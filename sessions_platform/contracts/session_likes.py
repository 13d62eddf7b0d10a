"""The session rules of trackers, engines and packages, as the key `session: {like: …}` names them.

Each is what its program was seen to do with made-up events at the edges of its rule, in the version that is stated; or,
where it cuts sessions on servers that nobody else can run, what its documentation says, which leaves open what happens
at the edges. (Umami's states no rule.) A program's gap is its default where it has one, and 30 minutes elsewhere. Not
here: what the keys mean (``contracts.session_rule``).
"""

from typing import Any, Literal, NamedTuple, get_args

Like = Literal[
    "posthog", "rudderstack", "snowplow", "snowplow_local_storage", "amplitude",
    "ga4", "matomo", "mixpanel", "plausible", "openpanel",
    "spark", "flink", "beam", "quixstreams", "bytewax", "pathway", "retentioneering", "segment_dbt",
]  # fmt: skip


class SessionLike(NamedTuple):
    """Keys of `session` that make the same sessions, and what was seen to; or the page that says so, with its date."""

    keys: dict[str, Any]
    seen: str
    is_documented_only: bool = False


_EXACT: dict[str, Any] = {"gap": "30m"}


def _documented(keys: dict[str, Any], page: str) -> SessionLike:
    return SessionLike(keys, f"{page}, as of 29 November 2026", is_documented_only=True)


LIKES: dict[Like, SessionLike] = {
    "posthog": SessionLike({"gap": "30m", "max_length": "24h"}, "posthog-js 1.449.2"),
    "rudderstack": SessionLike(
        {"gap": "30m", "cut_on": {"when": ["changes", "leaves"]}}, "@rudderstack/analytics-js 3.34.1"
    ),
    "snowplow": SessionLike(
        {"gap": "30m", "gap_inclusive": True, "gap_from": "second"}, "@snowplow/browser-tracker 4.10.1, cookies"
    ),
    "snowplow_local_storage": SessionLike(
        {"gap": "30m", "gap_inclusive": True}, "@snowplow/browser-tracker 4.10.1, localStorage"
    ),
    "amplitude": SessionLike({"gap": "30m", "passive": ["session_end"]}, "@amplitude/analytics-browser 2.48.1"),
    "ga4": _documented(_EXACT, "support.google.com/analytics/answer/9191807"),
    "matomo": _documented({"gap": "30m", "split_at_midnight": True}, "matomo.org/faq/general/faq_36"),
    "mixpanel": _documented({"gap": "30m", "split_at_midnight": True}, "docs.mixpanel.com/docs/features/sessions"),
    "plausible": _documented(_EXACT, "plausible.io/docs/metrics-definitions"),
    "openpanel": _documented(_EXACT, "openpanel.dev/docs/how-it-works"),
    "spark": SessionLike(_EXACT, "Spark 4.3, session_window"),
    "flink": SessionLike({"gap": "30m", "precision": "ms"}, "Flink 2.3, streaming"),
    "beam": SessionLike({"gap": "30m", "precision": "ms", "gap_inclusive": True}, "Beam 2.77, Python"),
    "quixstreams": SessionLike({"gap": "30m", "precision": "ms"}, "quixstreams 3.28.1, times after 1970"),
    "bytewax": SessionLike(_EXACT, "bytewax 0.21.1, waiting longer than any event is late"),
    "pathway": SessionLike({"gap": "30m", "gap_inclusive": True}, "Pathway 0.33, max_gap"),
    "retentioneering": SessionLike(_EXACT, "retentioneering 5.2.4, split_sessions"),
    "segment_dbt": SessionLike({"gap": "30m", "precision": "s"}, "dbt-labs/segment, full refresh"),
}


def expanded(session: Any) -> Any:
    """The key `session` as YAML has it, with the keys of what it is like; those that it states itself come first.

    `cut_on` takes its turns from there, and its column from the stream: without a column there is none.
    """
    if not isinstance(session, dict) or session.get("like") not in get_args(Like):
        return session
    keys = dict(LIKES[session["like"]].keys)
    turns, stated = keys.pop("cut_on", None), session.get("cut_on")
    if turns and isinstance(stated, dict):
        keys["cut_on"] = {**turns, **stated}
        session = {key: value for key, value in session.items() if key != "cut_on"}
    return {**keys, **session}
