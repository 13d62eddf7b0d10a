"""Errors of sources other than files: what may pass by itself, and what somebody has to put right."""

from sessions_platform.errors import UserError


class SourceUnavailableError(ConnectionError):
    """A source broke off while it was read. What was not recorded is read again by the next attempt."""


class OverwrittenSliceError(SourceUnavailableError):
    """A slice was overwritten after some of its rows had been returned. All of them are void; it is to be read anew."""


class SourceRefusedError(UserError):
    """A source can't be read as it is configured; the message names source, place and fix, and no secret."""
