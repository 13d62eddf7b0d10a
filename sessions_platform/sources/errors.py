"""Errors of sources other than files: what may pass by itself, and what somebody has to put right."""

from sessions_platform.errors import UserError


class SourceUnavailableError(ConnectionError):
    """A source broke off while it was read. What was not recorded is read again by the next attempt."""


class SourceRefusedError(UserError):
    """A source can't be read as it is configured; the message names source, place and fix, and no secret."""
