"""The errors of reading records. In a module without imports, for the process that reads Parquet."""


class CorruptDataError(Exception):
    """The rest of a file can't be read as its format; the message is a sentence that says why."""


class MalformedError(Exception):
    """A record can't be decoded into fields; the message is the rule that it breaks."""
