"""The errors of reading records.

This module imports nothing, so that the process that reads Parquet starts quickly.
"""


class CorruptDataError(Exception):
    """The rest of a file can't be read as its format; the message is a sentence that says why."""


class MalformedError(Exception):
    """A record can't be decoded into fields; the message is the rule that it breaks."""
