"""Errors that a user sees as a sentence and never as a traceback.

Not here: errors of one room, which are defined where they are raised and are subclasses of these where a user
can correct the cause.
"""


class UserError(ValueError):
    """Something that the user can correct. The message names the place, the reason and the fix."""


class RunFailedError(Exception):
    """A run failed; the message names the step and the reason."""
