"""`sessions-platform init`: the stream for files of unknown kind, and what it makes of their rows, for people."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import print_document, printable
from sessions_platform.cli.preview import count_lines, row_lines, terminal_width, wrapped
from sessions_platform.errors import UserError
from sessions_platform.settings import Settings

if TYPE_CHECKING:
    from sessions_platform.operations.init import Proposal
    from sessions_platform.transforms.silences import Silences

_BAR = 40


def init(
    name: Annotated[str, typer.Argument(help="The name of the new stream.")],
    files: Annotated[
        list[Path], typer.Argument(help="Files with its events, all of one kind, or folders.", show_default=False)
    ],
    print_only: Annotated[bool, typer.Option("--print", help="Print the stream's file, and write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at files of unknown kind, and write the stream that reads them into the folder SESSIONS_STREAMS.

    Shows what five rows become, and how many sessions other gaps would give. Nothing is ingested, and no server is
    started. Example: sessions-platform init app ~/export/*.csv.gz
    """
    from sessions_platform.operations.init import check_name, new_stream_path, propose, write_stream

    settings = Settings.from_environment()
    if print_only:
        check_name(name)
        typer.echo(propose(name, files, settings).text, nl=False)
        return
    path = new_stream_path(name, settings)
    proposal = propose(name, files, settings, path.parent)
    write_stream(path, proposal.text)
    if as_json:
        print_document(_document(proposal, path), as_json)
    else:
        typer.echo("\n".join(proposal_lines(proposal, path, terminal_width())))
    if proposal.problems:
        raise UserError(f"{path}: it needs an edit before the stream can be used: {'; '.join(proposal.problems)}.")


def _document(proposal: "Proposal", path: Path) -> dict[str, Any]:
    counted = proposal.silences
    return {
        "stream": proposal.name,
        "path": str(path),
        "files": proposal.says,
        "reasons": dict(proposal.reasons),
        "text": proposal.text,
        "problems": list(proposal.problems),
        "warnings": list(proposal.warnings),
        "sampled_rows": len(proposal.sample.rows),
        "preview": proposal.shown.document if proposal.shown else None,
        "rejected_by_reason": proposal.tried.rejected_by_reason if proposal.tried else None,
        "silences": counted.histogram.to_dicts() if counted else None,
        "sessions_by_gap": counted.sessions.to_dicts() if counted else None,
    }


def proposal_lines(proposal: "Proposal", path: Path, width: int) -> Iterator[str]:
    """What the files are, why which field was chosen, what rows become, and silences; at most `width` columns wide."""
    yield from wrapped(f"The files: {proposal.says}.", width)
    rows = f"{len(proposal.sample.rows):,} of {proposal.sample.read:,} rows"
    yield from wrapped(f"Inferred from {rows}; the reasons are in {path}.", width)
    for column, reason in proposal.reasons.items():
        yield from wrapped(f"  {column:15}  {reason}", width)
    for warning in proposal.warnings:
        yield from wrapped(f"! {warning}", width)
    if proposal.shown is None or proposal.tried is None:
        return
    yield ""
    for row in proposal.shown.rows():
        yield from row_lines(row, width, proposal.shown.fields)
    yield from count_lines(proposal.tried.counts, proposal.tried.rejected_by_reason, width)
    if proposal.silences:
        yield from silence_lines(proposal.silences, width)
    yield ""
    yield from wrapped(f"Next: sessions-platform ingest {proposal.name} FILE…", width)


def silence_lines(counted: "Silences", width: int) -> Iterator[str]:
    """The silences and the sessions of each gap as bars, with their numbers."""
    yield ""
    yield from wrapped(
        f"Silences between two events of one of {counted.users:,} users. The gap, 30m unless you change it, should lie "
        "where they are few:", width,
    )  # fmt: skip
    rows = [(_class_name(*row[:2]), row[2]) for row in counted.histogram.rows()]
    yield from _bars(rows, width)
    yield ""
    yield "Sessions that a gap would give:"
    yield from _bars([(_spelled(gap), sessions) for gap, sessions in counted.sessions.rows()], width)


def _bars(rows: list[tuple[str, int]], width: int) -> Iterator[str]:
    """Each row's name, number, and a bar whose length is by the largest number."""
    names = max(len(name) for name, _ in rows)
    digits = max(len(f"{number:,}") for _, number in rows)
    room = max(1, min(_BAR, width - names - digits - 6))
    most = max(1, *(number for _, number in rows))
    for name, number in rows:
        bar = "█" * (number * room // most) or ("▏" if number else "")
        yield printable(f"  {name:>{names}}  {number:>{digits},}  {bar}").rstrip()


def _class_name(longer_than: timedelta | None, up_to: timedelta | None) -> str:
    if longer_than is None:
        return f"up to {_spelled(up_to or timedelta(0))}"
    return f"over {_spelled(longer_than)}" if up_to is None else f"{_spelled(longer_than)} to {_spelled(up_to)}"


def _spelled(length: timedelta) -> str:
    for unit, name in ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "m")):
        if length >= unit and not length % unit:
            return f"{length // unit}{name}"
    return f"{length.total_seconds():g}s"
