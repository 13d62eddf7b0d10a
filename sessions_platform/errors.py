"""Errors that a user sees as a sentence and never as a traceback.

Not here: errors of one package. Those are defined where they are raised, and are subclasses of `UserError` if a user
can correct the cause.
"""

from importlib import import_module


class UserError(ValueError):
    """Something that the user can correct. The message says where, why, and what the fix is."""


class MissingExtraError(UserError):
    """What was asked takes packages that are installed with an extra only."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed. Fix: pip install 'sessions-platform[{extra}]'.")


def require_extra(module: str, extra: str, package: str = "") -> None:
    """Import a module that comes with an extra.

    Args:
        module: what is imported, with dots.
        extra: the extra of this package that installs it.
        package: what installs it, where that is not called like the module.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import_module(module)
    except ModuleNotFoundError:
        raise MissingExtraError(package or module, extra) from None


class RunFailedError(Exception):
    """A run failed; the message names the step and the reason."""


class RunInterruptedError(RunFailedError):
    """A run was ended by Ctrl-C; what it had not committed is undone."""
