"""How a command that fails ends: what is transient is tried again, and all else is a sentence and an exit code.

Not here: which errors are transient and what they mean (`storage/postgres/errors.py`), and the failures of steps
(`orchestration/failures.py`).
"""

import errno
import sys
from collections.abc import Callable
from functools import partial

from sessions_platform.cli import terminal
from sessions_platform.cli.exit_codes import FAILED, INTERRUPTED, NOBODY_READS, USER_ERROR
from sessions_platform.cli.messages import say
from sessions_platform.errors import RunFailedError, RunInterruptedError, UserError

_FULL = (errno.ENOSPC, errno.EDQUOT)


class IncompleteOutputError(Exception):
    """A command failed after a part of its result was printed, so that it can't simply be tried again."""


def run_command(command: Callable[[], object]) -> None:
    """Run a command, and again where it fails for a reason that may pass; so every command may be run twice.

    Raises:
        SystemExit: it has ended. The code is 0, or what the command says; 2 for what the user can correct, 1 for any
            other failure, whose reason was printed; 130 after Ctrl-C, and 141 where nobody reads the output any more.
    """
    terminal.open_missing_streams()
    try:
        _repeated(command)
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
    except RunInterruptedError as interrupted:
        _end(f"The run was interrupted; what it had not committed is pending again.\n{interrupted}", INTERRUPTED)
    except RunFailedError as failed:
        _end(f"The run failed.\n{failed}", FAILED)
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        _end(sentence, USER_ERROR if isinstance(error, UserError) else FAILED)


def _end(message: str, code: int) -> None:
    say(message, "error")
    raise SystemExit(code) from None


def _repeated(command: Callable[[], object]) -> None:
    try:
        _to_the_last_byte(command)
    except Exception as error:
        # only a command that has failed waits for psycopg's import
        from sessions_platform.storage.postgres.retries import retried

        retried(partial(_to_the_last_byte, command), _report, failed=error, is_transient=_is_transient)


def _to_the_last_byte(command: Callable[[], object]) -> None:
    """Run the command and write what it has printed, so that a full disk or a closed pipe is noticed in time."""
    try:
        command()
    except SystemExit:
        _flush()
        raise
    except OSError as error:
        if _is_full_output(error):
            terminal.discard_output()  # else Python tries once more as it ends
        raise
    _flush()


def _flush() -> None:
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        terminal.discard_output()
        raise SystemExit(NOBODY_READS) from None
    except OSError:
        terminal.discard_output()  # else Python tries once more as it ends
        raise


def _is_full_output(error: OSError) -> bool:
    return error.errno in _FULL and error.filename is None


def _report(error: Exception, attempt: int) -> None:
    say(f"{_sentence(error) or error}\nTrying again, {attempt} of 5.", "warning")


def _is_transient(error: Exception) -> bool:
    from sessions_platform.storage.postgres.errors import is_transient

    return is_transient(error) or _of_dagsters_storage(error) is not None


def _sentence(error: Exception) -> str | None:
    """The error for people; None for a defect of the program, of which the traceback is needed."""
    import psycopg

    from sessions_platform.sources.errors import SourceUnavailableError
    from sessions_platform.storage.lake.errors import LakeUnavailableError
    from sessions_platform.storage.postgres.errors import RowsChangedMeanwhileError, in_a_sentence

    unavailable = (SourceUnavailableError, LakeUnavailableError)
    if isinstance(error, (UserError, RowsChangedMeanwhileError, IncompleteOutputError, *unavailable)):
        return str(error)
    if isinstance(error, psycopg.Error):
        return in_a_sentence(error)
    if isinstance(error, OSError) and error.errno in _FULL:
        return f"{error.filename or 'standard output'}: the disk is full. Fix: free space, then run again."
    if (reason := _of_dagsters_storage(error)) is not None:
        return f"Dagster's storage can't be reached: {reason}. Fix: start it, or correct DAGSTER_POSTGRES_URL."
    return None


def _of_dagsters_storage(error: BaseException) -> str | None:
    """Why Dagster has lost its storage, without the statement and its values; None for any other error."""
    module = sys.modules.get("sqlalchemy.exc")
    if module is not None and isinstance(error, module.OperationalError | module.InterfaceError):
        return " ".join(str(getattr(error, "orig", error)).split()).rstrip(".")
    if type(error).__name__ == "DagsterPostgresException":
        return _of_dagsters_storage(error.__cause__ or error.__context__ or OSError()) or str(error)
    return None
