"""Defects that the platform once had, or that its guards are for, planted again: the test of each has to fail.

`python -m mutation.regressions [--only TEXT]` plants one at a time in a copy of the checkout, runs the test that is
named beside it, and prints which failed. It ends with 1 if one passed. Not here: defects drawn at random
(`python -m mutation`), and processes that are killed (`sessions_platform_tests/faults/test_defects.py`).
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mutation.record import PACKAGE, ROOT, TESTS
from mutation.sites import Mutant
from mutation.trial import copy_checkout, plant, run_tests

_SECONDS = 600
_LONGEST = 30  # of a test without a defect


@dataclass(frozen=True)
class Regression:
    """A text of a module, what it is replaced by, and the test that has to fail then, without the tests' folder."""

    defect: str
    path: str
    old: str
    new: str
    test: str

    @property
    def mutant(self) -> Mutant:
        """The same for `plant`. Raises ValueError unless the text is in the module exactly once."""
        path = f"{PACKAGE}/{self.path}"
        before, found, after = (ROOT / path).read_text(encoding="utf-8").partition(self.old)
        if not found or self.old in after:
            raise ValueError(f"{path}: {self.old!r} is in it {'more than once' if found else 'no more'}")
        start, end, line = len(before.encode()), len((before + self.old).encode()), before.count("\n") + 1
        return Mutant(self.defect, path, line, start, end, self.old, self.new, "regression", (line,), ())


REGRESSIONS = (
    Regression(
        "a run of the command line that was killed stays in progress for ever",
        "storage/ledger/run_heartbeats.py",
        "return self.is_ended or (self.process.is_gone if self.process.is_local else self.is_stale)",
        "return self.is_ended",
        "orchestration/test_ended_runs.py::test_killed_runs_of_the_command_line_do_not_keep_the_daemon_from_its_work",
    ),
    Regression(
        "a run that was found lost publishes when its host is back",
        "pipeline/publish.py",
        "            refuse_ended(connection, run_id)\n",
        "",
        "orchestration/test_heartbeats.py::test_a_lost_run_that_comes_back_publishes_writes_and_loads_nothing",
    ),
    Regression(
        "a run that was found lost writes sessions when its host is back",
        "storage/ledger/sessions.py",
        "                refuse_ended(connection, run_id)\n",
        "",
        "orchestration/test_heartbeats.py::test_a_lost_run_that_comes_back_publishes_writes_and_loads_nothing",
    ),
    Regression(
        "an outage of the database ends the runs of other hosts",
        "orchestration/heartbeats.py",
        "if heartbeat.is_presumed_lost else None",
        "if heartbeat.is_ended else None",
        "orchestration/test_heartbeats.py::test_after_an_outage_of_the_database_runs_elsewhere_go_on",
    ),
    Regression(
        "a host whose clock is ahead removes files that are about to be published",
        "operations/clean_up.py",
        "return min(datetime.now(UTC), row[0])",
        "return max(datetime.now(UTC), row[0])",
        "operations/test_clean_up.py::test_a_host_whose_clock_is_ahead_removes_no_file_that_a_run_is_about_to_publish",
    ),
    Regression(
        "a flipped bit in the lake gives another table",
        "storage/lake/checksums.py",
        "if differing.size:",
        "if differing.size < 0:",
        "faults/test_damaged_lake.py::test_every_flipped_bit_is_noticed_or_harmless",
    ),
    Regression(
        "a raw file that is lost is not read again from its landing file",
        "operations/repair.py",
        "if known.has_content(reading.digest) and stored.rows == known.rows:",
        "if known.has_content(reading.digest) and stored.rows == -1:",
        "faults/test_damaged_lake.py::test_a_lost_file_is_made_again",
    ),
    Regression(
        "a link to itself stops the stream",
        "sources/files/tree.py",
        '    errno.ELOOP: "a link that leads to itself",\n',
        "",
        "sources/test_odd_files.py::test_an_odd_file_is_skipped_with_a_reason",
    ),
    Regression(
        "a link out of the landing folder is followed",
        "sources/files/tree.py",
        "return self._outside or _is_below(real, self._real)",
        "return self._outside or bool(real)",
        "sources/test_odd_files.py",
    ),
    Regression(
        "queries run as the loader",
        "storage/postgres/database.py",
        "role=READER if reads else LOADER",
        "role=LOADER",
        "storage/test_roles.py::test_a_query_can_neither_write_nor_leave_its_role",
    ),
    Regression(
        "a command ends at the first fault of the network",
        "cli/failures.py",
        "return is_transient(error) or _of_dagsters_storage(error) is not None",
        "return False and is_transient(error)",
        "faults/test_proxy_faults.py::test_a_command_outlives_a_fault",
    ),
    Regression(
        "retries in vain do not name the cause",
        "orchestration/runs.py",
        'if error.cause and message.startswith("Exceeded max_retries"):',
        "if error.cause and not message:",
        "orchestration/test_runs.py::test_a_step_that_was_retried_in_vain_names_the_cause",
    ),
    Regression(
        "files of the lake are for everybody to read",
        "settings.py",
        "PRIVATE_FILE = 0o600",
        "PRIVATE_FILE = 0o644",
        "storage/test_private_files.py",
    ),
    Regression(
        "folders of the home are for everybody to read",
        "settings.py",
        "PRIVATE_FOLDER = 0o700",
        "PRIVATE_FOLDER = 0o755",
        "storage/test_private_files.py",
    ),
    Regression(
        "a stopped worker keeps the stream's lock",
        "storage/postgres/connections.py",
        '"idle_in_transaction_session_timeout": "10min",',
        '"idle_in_transaction_session_timeout": "0",',
        "storage/test_connections.py",
    ),
    Regression(
        "the options of the URL are dropped",
        "storage/postgres/connections.py",
        'given.pop("options", "")',
        'given.pop("options", "") and ""',
        "storage/test_connections.py",
    ),
    Regression(
        "an error shows the password",
        "settings.py",
        'return "@" in (path or "") or not all(map(_HOST.fullmatch, hosts.split(",")))',
        "return False",
        "storage/test_connections.py",
    ),
    Regression(
        "a full disk leaves an unfinished landing file",
        "operations/landing_files.py",
        "draft.unlink(missing_ok=True)  # it has its final name, or never will",
        "draft.exists()",
        "operations/test_landing_files.py::test_a_full_disk_leaves_nothing_and_is_named",
    ),
    Regression(
        "each small file is written in a transaction of its own",
        "pipeline/raw_files.py",
        "_SHARED_SLICES = 1000",
        "_SHARED_SLICES = 1",
        "pipeline/test_raw_files.py",
    ),
    Regression(
        "a stream's file of any size is read",
        "contracts/stream_file.py",
        "MAX_VALUES = 50_000",
        "MAX_VALUES = 50_000_000",
        "contracts/test_stream_file_size.py::test_a_file_of_too_many_values_is_refused",
    ),
    Regression(
        "control characters reach the terminal",
        "operations/json_text.py",
        'return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)',
        "return text",
        "cli/test_sql.py::test_no_control_character_reaches_the_terminal",
    ),
    Regression(
        "a step that was interrupted is tried again",
        "orchestration/interrupts.py",
        "raise dg.Failure(_INTERRUPTED, allow_retries=False) from interrupt",
        "raise",
        "orchestration/test_interrupts.py::test_an_interrupted_step_is_not_retried",
    ),
    Regression(
        "a run that was ended from outside begins a second attempt",
        "orchestration/interrupts.py",
        "if run is not None and run.status in ENDED_FROM_OUTSIDE:",
        "if run is None:",
        "orchestration/test_interrupts.py::test_a_run_that_was_ended_before_dagsters_retry_does_not_go_on",
    ),
    Regression(
        "a run that is marked as canceled goes on",
        "orchestration/heartbeats.py",
        "signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)",
        "pass",
        "orchestration/test_heartbeats.py::test_a_run_that_is_ended_from_outside_is_interrupted",
    ),
    Regression(
        "the server goes on with the statement of an interrupted run",
        "storage/postgres/interrupts.py",
        "if connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:",
        "if connection.closed and connection.pgconn.transaction_status == pq.TransactionStatus.ACTIVE:",
        "orchestration/test_interrupts.py::test_an_interrupted_transaction_cancels_the_servers_statement",
    ),
    Regression(
        "sensors go on with a stream's file that has changed",
        "orchestration/sensors.py",
        "if changed := changed_since_loading(stream):",
        "if (changed := changed_since_loading(stream)) and not changed:",
        "orchestration/test_edited_streams.py::"
        "test_an_edited_stream_is_waited_for_and_its_sensor_and_its_runs_never_chase_each_other",
    ),
    Regression(
        "a broken stream is not shown",
        "orchestration/build.py",
        "    parts += [_stand_ins_of(broken) for broken in streams.broken.values()]\n",
        "",
        "orchestration/test_edited_streams.py::test_a_stream_that_breaks_is_shown_as_broken_and_all_others_go_on",
    ),
    Regression(
        "a name that is not UTF-8 stops the sensor",
        "sources/files/source.py",
        "    try:\n        path.encode()\n    except UnicodeEncodeError:\n        return False\n    return True\n",
        "    return bool(path)\n",
        "orchestration/test_sensors.py::"
        "test_files_that_cannot_be_named_or_read_fail_no_sensor_and_the_good_ones_of_their_day_are_taken_in",
    ),
    Regression(
        "warnings are errors in all threads while a format is read",
        "contracts/polars_syntax.py",
        "        return None if _preserves_the_day(fmt) else ",
        "        import warnings\n\n"
        "        with warnings.catch_warnings():\n"
        '            warnings.simplefilter("error")\n'
        "            preserves = _preserves_the_day(fmt)\n"
        "        return None if preserves else ",
        "contracts/test_threads.py",
    ),
    Regression(
        "a trigger that leaves rows out is not noticed",
        "storage/warehouses/postgres/row_counts.py",
        "if reported == sent:",
        "if reported <= sent:",
        "storage/test_row_counts.py",
    ),
    Regression(
        "a purge deletes the run that the state of a partition depends on",
        "orchestration/purge.py",
        "old - _runs_of_last_events(instance)",
        "old",
        "orchestration/test_purge.py",
    ),
    Regression(
        "a clean-up removes files of a run in progress",
        "operations/clean_up.py",
        " and file.written_at < before",
        "",
        "operations/test_clean_up.py::test_files_of_a_run_in_progress_stay",
    ),
    Regression(
        "a clean-up removes files that are current",
        "operations/clean_up.py",
        "if file.path not in needed and not was_never_published",
        "if not was_never_published",
        "operations/test_clean_up.py::test_superseded_files_and_versions_are_removed_and_current_ones_stay",
    ),
)


def main() -> int:
    """Plant those whose defect or path contains the text, and print what became of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="a part of the defect's words or of the module's path")
    only = parser.parse_args().only
    chosen = [regression for regression in REGRESSIONS if only in f"{regression.defect} {regression.path}"]
    unnoticed = [regression for regression in _planted(chosen) if regression]
    print(f"{len(chosen)} planted, {len(unnoticed)} not noticed")
    return 1 if unnoticed or not chosen else 0


def _planted(chosen: list[Regression]) -> Iterator[Regression | None]:
    """Each that its test did not notice, else None."""
    with tempfile.TemporaryDirectory(prefix="regressions-") as temporary:
        copy = copy_checkout(ROOT, Path(temporary) / "copy")
        for regression in chosen:
            began = time.monotonic()
            with plant(regression.mutant, copy):
                outcome = run_tests(copy, [f"{TESTS}/{regression.test}"], _LONGEST, _SECONDS)
            print(f"{outcome.state}, {time.monotonic() - began:.0f} s: {regression.defect}: {outcome.test}", flush=True)
            yield None if outcome.state in ("killed", "timed out") else regression


if __name__ == "__main__":
    sys.exit(main())
