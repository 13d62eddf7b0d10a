"""What a source says of bytes that are no data."""


class CorruptDataError(Exception):
    """The rest of a file is no data of its format; the message is a sentence that says why."""
