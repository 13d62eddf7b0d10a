"""Uploads in parts that a killed process has left open in S3: invisible to listings, and billed.

Only a file that no store takes in one request is sent in parts (`object_store.py`). The library that sends them lists
none, so they are asked for by boto3, with the same variables of the environment. Azure discards such parts by itself.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any

from sessions_platform.contracts.object_store import Objects
from sessions_platform.storage.lake.filesystem import Draft

_ID = "?uploadId="


def open_uploads(objects: Objects, folder: str) -> Sequence[Draft]:
    """The uploads that are open below a folder of a bucket, each with the time at which it began.

    Where the store doesn't say, a warning does, and there are none: nothing depends on them but what the bucket costs.

    Args:
        objects: the bucket; of another store than S3 there are none.
        folder: whole names of the key, without a slash at the end.
    """
    if objects.scheme != "s3":
        return []
    try:
        import boto3  # noqa: F401
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        return []
    try:
        return list(_listed(objects, folder))
    except (BotoCoreError, ClientError) as error:
        _warn(objects, "listed", error)
        return []


def is_open_upload(draft: Draft) -> bool:
    """Whether a draft is such an upload, and no file."""
    return _ID in draft.place and draft.place.startswith("s3://")


def abort(objects: Objects, draft: Draft) -> None:
    """Let the parts of an upload go, unless it has ended meanwhile. Where the store refuses it, a warning says so."""
    from botocore.exceptions import BotoCoreError, ClientError

    key, _, upload = draft.place.removeprefix(f"{objects.root}/").rpartition(_ID)
    client = _client()
    try:
        client.abort_multipart_upload(Bucket=objects.bucket, Key=key, UploadId=upload)
    except client.exceptions.NoSuchUpload:
        pass
    except (BotoCoreError, ClientError) as error:
        _warn(objects, "aborted", error)


def _warn(objects: Objects, done: str, error: Exception) -> None:
    logging.getLogger(__name__).warning(
        "%s: uploads that were left open can't be %s: %s. Fix: grant s3:ListBucketMultipartUploads on the bucket and "
        "s3:AbortMultipartUpload on its objects, or let a lifecycle rule abort them.",
        objects.root,
        done,
        str(error).rstrip("."),
    )


def _listed(objects: Objects, folder: str) -> Iterator[Draft]:
    pages = _client().get_paginator("list_multipart_uploads")
    for page in pages.paginate(Bucket=objects.bucket, Prefix=f"{folder}/"):
        for upload in page.get("Uploads", ()):
            yield Draft(f"{objects.root}/{upload['Key']}{_ID}{upload['UploadId']}", upload["Initiated"])


def _client() -> Any:
    """As the library that sends reads its environment."""
    import boto3
    from botocore.config import Config

    endpoint = os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    config = Config(s3={"addressing_style": "path"} if endpoint else {}, retries={"total_max_attempts": 3})
    return boto3.Session(region_name=region).client("s3", endpoint_url=endpoint, config=config)
