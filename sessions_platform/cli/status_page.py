"""The status of streams for people: what is wrong first, then what is stale, then the numbers.

Here belongs how it reads. Not here: what is counted and what is stale (`operations/status.py`), and the document with
all of its keys, which `--json` prints.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import typer

from sessions_platform.cli import terminal
from sessions_platform.cli.output import wrapped
from sessions_platform.cli.terminal import styled
from sessions_platform.operations.lake_problems import SCORE_MODELS, train_again
from sessions_platform.operations.skipped import were_skipped

_NAMED = 3  # of a list, how many are named
_LABEL = 11  # columns of "partitions" and a space
_SHOWN_METRICS = ("auc", "auc_of_event_count", "brier")
_KINDS = ("accepted", "rejected", "duplicates", "skipped")

Document = Mapping[str, Any]


def print_status(documents: Sequence[Document], *, leaves_out_hints: bool = False) -> None:
    """Print status documents, as the terminal is wide, and in colours where it takes them.

    Args:
        documents: as `operations/status.py` has them, and of broken streams their `problems`.
        leaves_out_hints: whether the hints are printed by somebody else.
    """
    shown = [{**document, "hints": []} for document in documents] if leaves_out_hints else documents
    are_hidden = leaves_out_hints and any(document.get("hints") for document in documents)
    lines = status_lines(shown, terminal.width(), says_fine=not are_hidden, coloured=terminal.is_coloured(sys.stdout))
    for line in lines:
        typer.echo(line)


def status_lines(
    documents: Sequence[Document], columns: int | None, *, says_fine: bool = True, coloured: bool = False
) -> Iterator[str]:
    """The page, line by line.

    Args:
        documents: of all streams that are shown.
        columns: of the terminal; None where lines are as long as they are.
        says_fine: whether it says so where nothing is wrong or stale.
        coloured: whether marks and labels are in colours.
    """
    wrong = [(document, said) for document in documents for said in _wrong(document)]
    stale = [(document, said) for document in documents for said in _stale(document)]
    for items, mark, style in ((wrong, "✗", "red"), (stale, "!", "yellow")):
        for document, said in items:
            first, *others = wrapped(f"{document['stream']}: {said}", columns, 2)
            yield f"{styled(mark, style, coloured=coloured)} {first}"
            yield from (f"  {other}" for other in others)
    if says_fine and documents and not wrong and not stale:
        yield f"{styled('✓', 'green', coloured=coloured)} nothing is wrong, and nothing is stale"
    for document in documents:
        if "raw_rows" in document:
            yield ""
            yield styled(document["stream"], "bold", coloured=coloured)
            for label, said in _numbers(document):
                first, *others = wrapped(said, columns, _LABEL + 2)
                yield f"  {styled(label.ljust(_LABEL), 'dim', coloured=coloured)}{first}"
                yield from (" " * (_LABEL + 2) + other for other in others)


def _wrong(document: Document) -> Iterator[str]:
    yield from document.get("problems", ())
    if "raw_rows" not in document:
        return
    if balance := document["raw_rows"] - sum(document[kind] for kind in _KINDS):
        yield f"{balance:,} raw rows are unaccounted for. Fix: sessions-platform verify {document['stream']}"
    lake = document["lake"]
    repair = f"Fix: sessions-platform verify {document['stream']} --repair"
    if missing := lake["missing_files"]:
        yield f"{len(missing)} of {lake['files']} lake files are missing: {_first(missing)}. {repair}"
    models = [problem for problem in lake["problems"] if problem.get("asset") == SCORE_MODELS]
    if problems := [problem for problem in lake["problems"] if problem not in models]:
        found = [f"{problem['path'] or problem['partition']}, {problem['detail']}" for problem in problems]
        yield f"the last verification has left {len(problems)} problems: {_first(found)}. {repair}"
    for model in models:
        yield f"the model of a score, {model['path']}: {model['detail']}. Fix: {train_again(document['stream'], model)}"
    yield from document["hints"]
    yield from _skipped(document)


def _skipped(document: Document) -> Iterator[str]:
    """What files or objects were skipped, or what a server's source says and no hint has."""
    count, first = document["skipped_files"]["count"], document["skipped_files"]["first"]
    if count and (said := were_skipped(document["source"]["noun"], count)):
        yield f"{said}: {_first(first, count)}"
    elif count:
        yield from (doubt for doubt in first if not any(doubt.removesuffix(".") in hint for hint in document["hints"]))


def _stale(document: Document) -> Iterator[str]:
    pending = document.get("pending", {"landing": [], "session": []})
    run = f"Fix: sessions-platform run {document['stream']}, or switch the sensors on"
    if landing := pending["landing"]:
        yield f"{_counted(landing, 'landing partition')} to ingest: {_first(landing)}. {run}"
    if session := pending["session"]:
        yield f"{_counted(session, 'session partition')} to refresh: {_first(session)}. {run}"
    for name, target in document.get("targets", {}).items():
        if behind := target["behind"]:
            deliver = f"Fix: sessions-platform deliver {document['stream']}, or switch the sensors on"
            yield f"{_counted(behind, 'session partition')} to deliver to {name}: {_first(behind)}. {deliver}"
    yield from _stale_scores(document, run)
    if older := document.get("validated_with_older_references"):
        yield f"{_counted(older, 'landing partition')} validated with older references: {_first(older)}"


def _stale_scores(document: Document, run: str) -> Iterator[str]:
    scores = document.get("scores", ())
    if due := max((score["due"] for score in scores), default=0):
        yield f"{due:,} session {'partition' if due == 1 else 'partitions'} to score. {run}"
    for score in scores:
        if score["state"] != "current":
            train = f"Fix: sessions-platform train {document['stream']} {score['score']}"
            yield f"the score {score['score']} has no model of what it is now: {score['state']}. {train}"


def _numbers(document: Document) -> Iterator[tuple[str, str]]:
    kinds = [f"{document[kind]:,} {kind}" for kind in _KINDS if document[kind] or kind in _KINDS[:2]]
    yield "rows", f"{document['raw_rows']:,} raw = {' + '.join(kinds)}"
    if by_reason := document["rejected_by_reason"]:
        most = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))
        yield "rejected", ", ".join(f"{reason} {rows:,}" for reason, rows in most)
    left_out = document["duplicates_across"] + document["conflicts_across"]
    also = f"; {left_out:,} landed again on another day" if left_out else ""
    if outside := document["events_outside_sessions"]:
        also += f"; {outside:,} passive ones outside of sessions"
    if by_rule := document["events_without_tool_id"]:
        also += f"; {by_rule:,} without an id of the tool, cut by the rule"
    yield "events", f"{document['events_in_sessions']:,} in sessions{also}"
    average = document["total_duration_seconds"] / document["sessions"] if document["sessions"] else 0
    lasting = f", {_duration(average)} each on average" if document["sessions"] else ""
    yield "sessions", f"{document['sessions']:,} of {document['users']:,} users{lasting}"
    if identity := document.get("identity"):
        shared = f"; {identity['shared']:,} are shared" if identity["shared"] else ""
        yield "identity", f"{identity['resolved']:,} anonymous ids of {identity['users']:,} users{shared}"
    partitions, files = document["partitions"], document["lake"]["files"]
    yield "partitions", f"{partitions['landing']:,} landing, {partitions['session']:,} session; {files:,} lake files"
    yield "verified", str(document["lake"]["verified_at"] or "never")[:16]
    yield "warehouse", document["warehouse"]
    for name, target in document.get("targets", {}).items():
        at = str(target["delivered_at"] or "never")[:16]
        yield "target", f"{name}, {target['place']}: {target['partitions']:,} session partitions, delivered {at}"
    for score in document.get("scores", ()):
        yield "score", _score(score)
    for path in document.get("landing_files", ()):
        yield "landed", path


def _score(score: Mapping[str, Any]) -> str:
    if score["trained_at"] is None:
        return f"{score['score']}: untrained"
    metrics = "".join(f", {name} {value:.3f}" for name, value in score["metrics"].items() if name in _SHOWN_METRICS)
    due = f"; {score['due']:,} session partitions to score" if score["due"] else ""
    return f"{score['score']}: {score['state']}, trained {str(score['trained_at'])[:16]}{metrics}{due}"


def _counted(items: Sequence[Any], noun: str) -> str:
    return f"{len(items):,} {noun}{'' if len(items) == 1 else 's'}"


def _first(items: Sequence[str], count: int | None = None) -> str:
    """The first few, and how many more there are."""
    more = (count or len(items)) - len(items[:_NAMED])
    return ", ".join(items[:_NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
