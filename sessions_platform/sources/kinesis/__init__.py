"""Kinesis data streams as a source: which shards are read next (`shards`), and their records, over one `client`.

Needs the extra `kinesis`.
"""

from sessions_platform.errors import MissingExtraError

try:
    import boto3  # noqa: F401
except ModuleNotFoundError:
    raise MissingExtraError("boto3", "kinesis") from None
