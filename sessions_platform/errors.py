"""Errors that are told as sentences and never as tracebacks."""


class UserError(ValueError):
    """A user's mistake. The message names the place, the reason and the mend."""


class RunFailedError(Exception):
    """A run ended in failure; the message says which step, and why."""
