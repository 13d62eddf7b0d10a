"""The platform in Python, for notebooks and scripts: `sessions_platform.open("shop")`.

Here is what one stream offers, each method a few words around the function that does it, which the command line calls,
too. Not here: those functions, in `operations`, and in `orchestration/commands.py` where they start runs.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_folder import read_streams
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.settings import Settings

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from sessions_platform.operations.preview import Preview
    from sessions_platform.operations.report.report import Report

AFile = str | PathLike[str]
Status = Literal["open", "resolved", "discarded", "all"]


class OpenStream:
    """One stream: what is stored of it, and what can be done with it.

    Each call reads what is stored at that moment. What a user can correct raises `errors.UserError`, a sentence with
    the fix; a run that fails, `errors.RunFailedError`. Nothing is held open between two calls, but for the embedded
    server, which runs until the process ends.

    `since` and `until` are dates or times; `until` is not included. A date, or a time without a zone, is of the
    stream's session timezone. `columns` are some of the columns, in this order.

    Attributes:
        stream: what its YAML file says.
        settings: the platform's.
    """

    def __init__(self, stream: Stream, settings: Settings) -> None:
        self.stream = stream
        self.settings = settings
        self._context = StreamContext.open(stream, settings)

    @property
    def name(self) -> str:
        """The stream's name, and that of its schema in the warehouse."""
        return self.stream.name

    def __repr__(self) -> str:
        return f"sessions_platform.open({self.name!r})"

    # What is stored --------------------------------------------------------------------------------------

    def sessions(
        self, since: date | None = None, until: date | None = None, columns: Sequence[str] | None = None
    ) -> "pl.DataFrame":
        """The sessions that start from `since` on and before `until`, a row each, in any order.

        The columns are those of the table STREAM.sessions: session_id, user_id, session_start, session_end (UTC, in
        microseconds), duration_seconds, event_count, primary_action, entry_page, exit_page, the stream's own,
        session_partition, session_rule_version, open_until and loaded_at.
        """
        from sessions_platform.operations import rows

        return rows.sessions(self._context, rows.window_of(self.stream, since, until), columns)

    def session_batches(
        self, since: date | None = None, until: date | None = None, columns: Sequence[str] | None = None
    ) -> "pa.RecordBatchReader":
        """The same as a stream of Arrow batches, in memory that does not grow with their number."""
        from sessions_platform.operations import rows

        return rows.session_batches(self._context, rows.window_of(self.stream, since, until), columns)

    def events(
        self, since: date | None = None, until: date | None = None, columns: Sequence[str] | None = None
    ) -> "pl.DataFrame":
        """The accepted events of these times, a row each, in any order; read from the lake.

        An event that was delivered on two days is there twice, and once in `sessionized_events`. `user_id` is
        as it was accepted. Where sessions are cut by person, `person_id` says whose it is, if `columns` names it: links
        are read in all accepted events then, of whatever time.
        """
        from sessions_platform.operations import rows

        return rows.events(self._context, rows.window_of(self.stream, since, until), columns).frame()

    def event_batches(
        self, since: date | None = None, until: date | None = None, columns: Sequence[str] | None = None
    ) -> "pa.RecordBatchReader":
        """The same as a stream of Arrow batches."""
        from sessions_platform.operations import rows

        return rows.events(self._context, rows.window_of(self.stream, since, until), columns).batches()

    def sessionized_events(
        self, since: date | None = None, until: date | None = None, columns: Sequence[str] | None = None
    ) -> "pl.DataFrame":
        """The events of these times, each once, with their session: session_id, is_new_session, boundary_reason."""
        from sessions_platform.operations import rows

        return rows.sessionized_events(self._context, rows.window_of(self.stream, since, until), columns).frame()

    def rejected(
        self, status: Status = "open", reason: str | None = None, partition: str | None = None
    ) -> "pl.DataFrame":
        """The dead-letter queue: rejected rows with payload, place, all reasons, and what was decided about them.

        Args:
            status: of the rows.
            reason: a code, as in bad_timestamp, that is one of their reasons.
            partition: their landing partition.
        """
        from sessions_platform.operations import rows
        from sessions_platform.operations.dead_letters import Filter

        return rows.rejected(self._context, Filter.of(status, reason, partition))

    def status(self) -> dict[str, Any]:
        """What the stream contains and what is pending, as `sessions-platform status NAME --json` prints it."""
        from sessions_platform.operations.status import status

        return status(self._context)

    # What can be done ------------------------------------------------------------------------------------

    def preview(self, *files: AFile, limit: int = 10) -> "Preview":
        """What rows of files become; nothing is stored, and no server is started.

        Args:
            files: in the stream's format; by default its newest landing files.
            limit: how many rows are looked at, of all files together.

        Returns:
            Its `events` and `rejected` are polars frames, its `document` is all of it as JSON.
        """
        from sessions_platform.operations.preview import preview

        return preview(self.stream, self.settings, _paths(files), limit)

    def ingest(self, *files: AFile, partition: str | None = None) -> dict[str, Any]:
        """Put files into the landing folder, ingest them, and refresh all affected sessions, in runs that the UI shows.

        Args:
            files: files, and folders of files.
            partition: the landing partition; by default the one that a file's name states, else the newest one.

        Returns:
            The status afterwards, with `landing_files`. The same bytes again change nothing.
        """
        from sessions_platform.orchestration.commands import ingest_files

        return ingest_files(self.settings, self.name, _paths(files), partition)

    def backfill(self, since: datetime, until: datetime) -> dict[str, Any]:
        """Ask the source for the records of a time, be they read or not, and refresh all affected sessions.

        Args:
            since: the first moment; in UTC if it has no zone.
            until: the moment after the last.

        Returns:
            The status afterwards, with the first and last landing partition as `backfilled`.

        Raises:
            UserError: the source can't be asked for the past.
        """
        from sessions_platform.orchestration.commands import backfill

        start, end = (each if each.tzinfo else each.replace(tzinfo=UTC) for each in (since, until))
        return backfill(self.settings, self.name, start, end)

    def run(self, partition: str | None = None) -> dict[str, Any]:
        """Ingest what is pending in the source, and refresh all stale sessions; the status afterwards.

        Args:
            partition: this landing partition alone, pending or not, and the sessions that it affects.
        """
        from sessions_platform.orchestration.commands import run_stream

        return run_stream(self.settings, self.name, partition)

    def rebuild(self) -> dict[str, Any]:
        """Recompute everything from the raw rows, and swap it in at once; the status afterwards."""
        from sessions_platform.orchestration.commands import rebuild_stream

        return rebuild_stream(self.settings, self.name)

    def train(self, *scores: str) -> list[dict[str, Any]]:
        """Train the models of scores, and score the sessions by them; what `sessions-platform scores` lists afterwards.

        Args:
            scores: their names; all scores of the stream by default.
        """
        from sessions_platform.orchestration.commands import train_scores

        return train_scores(self.settings, self.name, scores)

    def deliver(self, *targets: str, verify: bool = False) -> dict[str, Any]:
        """Deliver to targets what they lack of the loaded sessions; what the status says of them afterwards.

        Args:
            targets: their names; all targets of the stream by default.
            verify: whether all that they have is read, and delivered again where it differs.
        """
        from sessions_platform.orchestration.commands import deliver_stream

        return deliver_stream(self.settings, self.name, targets, verify=verify)

    def report(self, file: AFile | None = None, since: date | None = None) -> "Report":
        """Write the page with pictures of the sessions.

        Args:
            file: what is written; by default in the folder `reports` of SESSIONS_HOME.
            since: the first day, in the session timezone.
        """
        from sessions_platform.operations.report.report import report_file, write_report

        path = Path(file) if file else report_file(self.settings, self.name)
        return write_report(self._context, path.absolute(), since)


def open_stream(name: str, settings: Settings | None = None) -> OpenStream:
    """Open a stream, without connecting to anything.

    Args:
        name: of the stream.
        settings: the platform's; by default as the environment says.

    Raises:
        UserError: there is no such stream, or its file has problems.
    """
    settings = settings or Settings.from_environment()
    return OpenStream(read_streams(settings.streams, settings.home, settings.pseudonym_key).named(name), settings)


def _paths(files: Sequence[AFile]) -> list[Path]:
    return [Path(file) for file in files]
