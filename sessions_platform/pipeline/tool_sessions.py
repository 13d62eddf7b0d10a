"""The check `tool_sessions`: whether the sessions that a tool made are those that the rule would make.

Here: what is counted over stored session partitions, in bounded memory, and what is shown. They may well differ: a tool
knows of two tabs, of pages that load without an event and of log outs, which no rule on events can see. So it warns,
and blocks nothing. Not here: how sessions are compared (``transforms.tool_sessions``).
"""

from collections import Counter
from typing import Any

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.load import whole_groups
from sessions_platform.pipeline.quality import CheckResult, Severity
from sessions_platform.storage.lake.lake import Dataset
from sessions_platform.transforms.tool_sessions import compare_with_rule

TOOL_SESSIONS = "tool_sessions"
_SHOWN = 20


def check_tool_sessions(context: StreamContext, sessionized: Dataset) -> CheckResult:
    """Compare the sessions of these partitions, each by itself: one that the rule would have begun before is cut there.

    Args:
        context: of a stream whose session rule names the tool's id.
        sessionized: the partitions.
    """
    counts: Counter[str] = Counter()
    examples: list[dict[str, Any]] = []
    for partition in sessionized.partitions:
        for events in whole_groups(sessionized.blocks(partition), "user_id"):
            compared = compare_with_rule(events, context.stream)
            counts.update(by_tool=compared.by_tool, by_rule=compared.by_rule, equal=compared.equal)
            counts["events_without_id"] += events[context.stream.session.id or ""].null_count()
            room = max(_SHOWN - len(examples), 0)
            examples += [{"partition": partition, **row} for row in compared.different.head(room).to_dicts()]
    shown = [{**row, "session_start": row["session_start"].isoformat()} for row in examples]
    metadata = {name: counts[name] for name in ("by_tool", "by_rule", "equal", "events_without_id")}
    is_same = counts["equal"] == counts["by_tool"]
    return CheckResult(
        "sessionized_events", TOOL_SESSIONS, is_same, metadata, {"different": shown} if shown else {}, Severity.warning
    )
