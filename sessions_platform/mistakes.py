"""Errors that are told as sentences and never as tracebacks."""


class Mistake(ValueError):
    """A user's mistake. The message names the place, the reason and the mend."""


class RunFailed(Exception):
    """A run ended in failure; the message says which step, and why."""
