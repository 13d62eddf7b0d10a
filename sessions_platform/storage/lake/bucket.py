"""The bucket of a lake: opened as its usual environment variables say, and what sentences about it say of them.

Not here: what is asked of it (`object_store.py`).
"""

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sessions_platform.contracts.object_store import Objects
from sessions_platform.errors import MissingExtraError
from sessions_platform.sources.objects.failures import Wording
from sessions_platform.storage.lake.errors import LakeRefusedError, LakeUnavailableError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SILENT_FOR, _LONGEST_REQUEST = timedelta(seconds=30), timedelta(hours=1)
# The slowest line on which a file is sent, in bytes in a second; and for how long the library tries again by itself.
_SLOWEST_LINE = 256 << 10
_LONGEST_RETRIES = timedelta(minutes=3)

IN_ENVIRONMENT = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS in the environment",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY in the environment",
}
_RIGHTS = {
    "s3": "s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on its objects",
    "gs": "the role Storage Object User on the bucket",
    "az": "the role Storage Blob Data Contributor",
}
# The library reads it by itself, but not where it is given any other option of the client.
_WITHOUT_TLS = {"s3": "AWS_ALLOW_HTTP", "gs": "GOOGLE_ALLOW_HTTP", "az": "AZURE_ALLOW_HTTP"}
_SERVER = {"s3": "AWS_ENDPOINT_URL", "gs": "GOOGLE_BASE_URL", "az": "AZURE_STORAGE_ENDPOINT"}


def wording(scheme: str) -> Wording:
    """What sentences about the lake's store say of its configuration."""
    server = _SERVER[scheme]
    return Wording(
        unusable="can't be used as the lake",
        place="SESSIONS_LAKE",
        credentials=IN_ENVIRONMENT,
        rights=_RIGHTS,
        public=None,
        endpoint=server,
        region="AWS_REGION" if scheme == "s3" else server,
        authority="one that this machine trusts",
        without_tls=f"{_WITHOUT_TLS[scheme]}=true if the network is safe",
        archived="restore it, and let no rule of the bucket archive the lake",
        odd_key="delete that object: it is none of the lake's",
        refused=LakeRefusedError,
        unavailable=LakeUnavailableError,
    )


def open_store(objects: Objects, sending: int | None = None) -> "ObjectStore":
    """The store of the lake's bucket, as its usual environment variables say; nothing is asked of it yet.

    Args:
        objects: the bucket.
        sending: how many bytes its requests send; None for one whose requests send nothing.

    Raises:
        LakeRefusedError: the extra is not installed, or a variable can't be used.
    """
    try:
        from obstore import exceptions
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError:
        raise LakeRefusedError(f"{objects.root}: {MissingExtraError('obstore', 'object-stores')}") from None
    store: Any = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[objects.scheme]
    timeouts, retries = patience(sending)
    client = {"allow_http": os.environ.get(_WITHOUT_TLS[objects.scheme], "").lower() in ("1", "true"), **timeouts}
    try:
        return store(objects.bucket, client_options=client, retry_config={"retry_timeout": retries})
    except (exceptions.BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        fix = f"correct {IN_ENVIRONMENT[objects.scheme]}"
        raise LakeRefusedError(f"{objects.root} can't be used as the lake: {reason}. Fix: {fix}.") from None


def patience(sending: int | None) -> tuple[dict[str, timedelta], timedelta]:
    """The client's timeouts, and for how long the library tries again within one attempt of ours.

    A request that sends has no `read_timeout`: the client counts it from the first byte that it sends, so that it would
    end each request that takes longer to be sent.
    """
    if sending is None:
        return {"timeout": _LONGEST_REQUEST, "read_timeout": SILENT_FOR}, SILENT_FOR
    timeout = SILENT_FOR + timedelta(seconds=sending / _SLOWEST_LINE)
    return {"timeout": timeout}, min(timeout, _LONGEST_RETRIES)
