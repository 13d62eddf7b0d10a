"""The key `store` of a source or a target whose files are objects of S3, Google Cloud Storage or Azure.

Here: which keys there are, and to which store each belongs. Not here: the path of the objects, which is
`source.files` (`sources`), and how they are read (`sources.objects`).
"""

import re
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from sessions_platform.contracts.give_up import GivesUp
from sessions_platform.contracts.secrets import Secret, TextOrSecret
from sessions_platform.contracts.values import invalid, shown

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<bucket>[^/]*)/?(?P<path>.*)", re.DOTALL)
_OPEN = re.compile(r"[*?\[{]")

# The keys that only one store has, by the scheme of its URLs.
_KEYS = {
    "s3": ("region", "access_key", "secret_key", "session_token"),
    "gs": ("service_account",),
    "az": ("account", "account_key", "sas_token"),
}


class Objects(NamedTuple):
    """Where the objects of a path are: in which store and bucket, and the path of their keys."""

    scheme: str
    bucket: str
    path: str

    @property
    def root(self) -> str:
        """The uri of the bucket, without a slash at its end."""
        return f"{self.scheme}://{self.bucket}"


class StoreOptions(GivesUp):
    """How an object store is reached; what is not stated is taken from its usual environment variables."""

    endpoint: str | None = Field(None, description="The server's URL, where it is not the provider's own.")
    region: str | None = Field(None, description="S3: the bucket's region.")
    access_key: TextOrSecret | None = Field(None, description="S3: the id of an access key, or {env: NAME}.")
    secret_key: Secret | None = Field(None, description="S3: {env: NAME}, the secret of the access key.")
    session_token: Secret | None = Field(None, description="S3: {env: NAME}, the token of temporary credentials.")
    service_account: Secret | None = Field(
        None, description="Google: {env: NAME}, the JSON of a service account's key."
    )
    account: TextOrSecret | None = Field(None, description="Azure: the storage account.")
    account_key: Secret | None = Field(None, description="Azure: {env: NAME}, a key of the account.")
    sas_token: Secret | None = Field(None, description="Azure: {env: NAME}, a shared access signature.")
    anonymous: bool = Field(False, description="Whether requests are not signed, as for public buckets.")
    allow_http: bool = Field(False, description="Whether the endpoint may be http://, which is not encrypted.")
    ca_file: Path | None = Field(None, description="The certificate authority of the endpoint's certificate (PEM).")

    @field_validator("endpoint")
    @classmethod
    def _is_url(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        parts = urlsplit(endpoint)
        if parts.username or parts.password:
            raise invalid("a URL must not contain a user or password", "state access_key and secret_key")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise invalid(
                f"{shown(endpoint)} is no URL of a server", "write it whole, as in https://minio.internal:9000"
            )
        return endpoint

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.endpoint and self.endpoint.startswith("http:") and not self.allow_http:
            raise invalid("the endpoint is not encrypted", "write https://, or allow_http: true if the network is safe")
        if (self.access_key is None) != (self.secret_key is None):
            raise invalid("access_key and secret_key belong together", "state both, or neither")
        return self

    def foreign_key(self, scheme: str) -> str | None:
        """A key that is stated, and that stores of this scheme do not have."""
        stated = self.model_fields_set
        others = (key for other, keys in _KEYS.items() if other != scheme for key in keys)
        return next((key for key in others if key in stated), None)


def objects_of(files: str, example: str = "landing/*.ndjson") -> Objects | None:
    """The parts of the path of objects; None for the path of local files.

    Args:
        files: the path.
        example: of the path in a bucket, for messages.

    Raises:
        PydanticCustomError: it is a URL that can't be used; with reason and fix.
    """
    match = _URL.fullmatch(files)
    if match is None:
        return None
    found = Objects(match["scheme"], match["bucket"], match["path"])
    if found.scheme not in _KEYS:
        raise invalid(
            f"{found.scheme}:// is no store that is read", "write s3://, gs:// or az://, or the path of files"
        )
    if not found.bucket or _OPEN.search(found.bucket):
        raise invalid("it names no bucket", f"write {found.scheme}://BUCKET/{example}, the bucket without wildcards")
    if not found.path or any(name in ("", ".", "..") for name in found.path.split("/")):
        fix = f"write the keys' path as it is, as in {found.scheme}://BUCKET/{example}"
        raise invalid(f"{shown(found.path)} is no path of keys", fix)
    return found
