"""What the errors of an object store mean: what may pass by itself, and what somebody has to put right.

The library has one error for most of what goes wrong when a bucket is listed, so its text has to be read: the status
and the code of the server's answer, or why there was none. That text is never passed on as it is, since URLs may
contain a signature. `Wording` says by what a store is configured: that of landing files is here, that of the lake in
`storage/lake/object_store.py`. Not here: the requests (`listing`, `copying`).
"""

import errno
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from html import unescape
from typing import TypeVar

from sessions_platform.contracts.object_store import Objects
from sessions_platform.contracts.values import spelled
from sessions_platform.errors import UserError
from sessions_platform.sources.errors import SourceRefusedError, SourceUnavailableError
from sessions_platform.sources.patience import patiently

Result = TypeVar("Result")

_STATUS = re.compile(r"status code: (\d{3})(?: ([A-Z][A-Za-z ]*))?")
_CODE = re.compile(r"<Code>([^<]+)</Code>")
_MESSAGE = re.compile(r"<Message>([^<\n]+)")
# What S3 answers of one object of a list that it was to delete, in an answer that is no error.
_NOT_DELETED = re.compile(r"DeleteObjects request failed for key .*: (.*?)\.? \(code: (\w+)\)")
_URL = re.compile(r"[a-z]+://\S+|\S+\?\S+")
_MOST_SHOWN = 200


@dataclass(frozen=True)
class Wording:
    """What sentences about a store say of its configuration, and the errors that have them.

    Attributes:
        unusable: what can't be done with it.
        place: what names its bucket.
        credentials: what states them, by the scheme of the store.
        rights: what they have to allow, by the scheme of the store.
        public: what is to be done instead where the bucket is public; None where that is of no use.
        endpoint: what names its server.
        region: what names its region.
        authority: what names the authority of its certificate.
        without_tls: what allows that its server has none.
        archived: what is to be done with an object that is archived.
        odd_key: what is to be done with an object whose key can't be listed.
        refused: the error of what somebody has to put right.
        unavailable: the error of what may pass by itself.
    """

    unusable: str
    place: str
    credentials: Mapping[str, str]
    rights: Mapping[str, str]
    public: str | None
    endpoint: str
    region: str
    authority: str
    without_tls: str
    archived: str
    odd_key: str
    refused: type[UserError]
    unavailable: type[Exception]


_CREDENTIALS = {
    "s3": "source.store.access_key and secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
    "gs": "source.store.service_account, or GOOGLE_APPLICATION_CREDENTIALS in the environment",
    "az": "source.store.account with account_key or sas_token, or AZURE_STORAGE_ACCOUNT_NAME and "
    "AZURE_STORAGE_ACCOUNT_KEY in the environment",
}
_RIGHTS = {
    "s3": "s3:ListBucket on the bucket, and s3:GetObject on its objects",
    "gs": "storage.objects.list and storage.objects.get",
    "az": "the role Storage Blob Data Reader",
}

OF_LANDING = Wording(
    unusable="can't be read",
    place="source.files",
    credentials=_CREDENTIALS,
    rights=_RIGHTS,
    public="anonymous: true in source.store",
    endpoint="source.store.endpoint",
    region="source.store.region",
    authority="source.store.ca_file",
    without_tls="allow_http: true in source.store",
    archived="restore it, and run again; or move it out of the landing path",
    odd_key="rename or delete that object, or let source.files name a narrower path",
    refused=SourceRefusedError,
    unavailable=SourceUnavailableError,
)

# By the codes of S3, of Google's XML API and of Azure: what is to be done, of this bucket and with these credentials.
_FIXES = {
    ("NoSuchBucket", "ContainerNotFound", "InvalidBucketName", "InvalidResourceName"): (
        "create the bucket {bucket}, or correct it in {place}"
    ),
    ("ExpiredToken", "TokenRefreshRequired", "InvalidToken"): "renew the credentials: {credentials}",
    (
        "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthenticationFailed", "InvalidAuthenticationInfo",
        "NoAuthenticationInformation", "InvalidSecurity",
    ): "correct {credentials}",
    ("PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed", "IncorrectEndpoint"): (
        "correct {region} and {endpoint}"
    ),
    ("InvalidObjectState", "BlobArchived", "BlobBeingRehydrated"): (
        "it is archived: {archived}"
    ),
    ("RequestTimeTooSkewed",): "set this machine's clock",
}  # fmt: skip
_NO_BUCKET = next(iter(_FIXES))
_MAY_PASS = (408, 425, 429, 500, 502, 503, 504)
_MAY_PASS_OF_S3 = ("InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown")

# Why there was no answer, by what the library says of it; and the fix, where it will not pass by itself.
_NO_ANSWER = {
    "InvalidCertificate": ("its certificate is not trusted", "state its authority as {authority}"),
    "InvalidContentType": ("it does not answer in TLS", "correct {endpoint}"),
    "BadScheme": ("the endpoint is not encrypted", "use https://, or state {without_tls}"),
    "dns error": ("the name of its server is not known", None),
    "ConnectionRefused": ("the connection is refused", None),
    "TimedOut": ("it does not answer", None),
}


class OverwrittenError(Exception):
    """An object is not the version any more of which a part was read."""


class CutOffError(Exception):
    """An answer does not have all bytes that were asked for; the message says how many it has."""


class Failures:
    """Asks a store, tries again what may pass, and says in a sentence what does not.

    Args:
        objects: the bucket.
        give_up_after: how long it is tried.
        wording: of its sentences.

    Attributes:
        unavailable: the error of what may pass by itself.
    """

    def __init__(self, objects: Objects, give_up_after: timedelta, wording: Wording = OF_LANDING) -> None:
        self._objects, self._give_up_after, self._wording = objects, give_up_after, wording
        self.unavailable = wording.unavailable

    def asked(self, work: Callable[[], Result], place: str) -> Result:
        """The result of requests that are made again for as long as the stream says.

        Args:
            work: may be done several times.
            place: the uri of what is asked for.

        Raises:
            Exception: the store has not answered; the wording's `unavailable`.
            UserError: it refuses something; the wording's `refused`.
            FileNotFoundError: there is no such object.
            FileExistsError: there is an object already, and the request was to make a new one.
            OverwrittenError: an object has not the version that was asked for.
        """
        from obstore.exceptions import BaseError

        def attempt() -> Result:
            try:
                return work()
            except CutOffError as error:
                raise self._unavailable(place, str(error)) from None
            except (BaseError, FileNotFoundError) as error:
                raise self._explained(error, place) from None

        return patiently(attempt, lambda error: isinstance(error, self._wording.unavailable), self._give_up_after)

    def _explained(self, error: Exception, place: str) -> Exception:
        from obstore.exceptions import AlreadyExistsError, InvalidPathError, PreconditionError

        said = str(error)
        if isinstance(error, AlreadyExistsError):
            return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), place)
        if isinstance(error, PreconditionError):
            return OverwrittenError(place)
        if isinstance(error, InvalidPathError):
            # One such key, and the library lists none of its neighbors.
            reason = said.strip().partition("\n\n")[0]
            return self._refused(place, f"it has a key that can't be listed: {reason!r}", self._wording.odd_key)
        code = found[1] if (found := _CODE.search(said)) else ""
        if isinstance(error, FileNotFoundError) and code not in _NO_BUCKET:
            return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place)
        if status := _STATUS.search(said):
            return self._answered(place, int(status[1]), code, said)
        return self._not_answered(place, said)

    def _answered(self, place: str, status: int, code: str, said: str) -> Exception:
        """What an answer means that is an error."""
        if status == 412:  # where the library has taken up an answer that broke off
            return OverwrittenError(place)
        if "169.254.169.254" in said or "metadata.google.internal" in said:
            return self._without_credentials()
        message = unescape(found[1]).strip().rstrip(".") if (found := _MESSAGE.search(said)) else ""
        reason = f"{code or status}: {message}" if message else f"{code or status}"
        if status in _MAY_PASS:
            return self._unavailable(place, f"it answers {reason}")
        return self._refused(place, reason, self._fix(status, code))

    def _not_deleted(self, place: str, message: str, code: str) -> Exception:
        if code in _MAY_PASS_OF_S3:
            return self._unavailable(place, f"it answers {code}: {message}")
        return self._refused(place, f"{code}: {message}", self._fix(403 if code == "AccessDenied" else 400, code))

    def _fix(self, status: int, code: str) -> str:
        if fix := next((fix for codes, fix in _FIXES.items() if code in codes), ""):
            return self._worded(fix)
        if status in (401, 403):
            return self._worded("grant {rights}")
        return self._worded("correct {place}, {endpoint} and {region}")

    def _worded(self, fix: str) -> str:
        """A fix with the names of what has to be put right."""
        wording, scheme = self._wording, self._objects.scheme
        credentials, rights = wording.credentials[scheme], wording.rights[scheme]
        return fix.format_map(
            {**vars(wording), "bucket": self._objects.bucket, "credentials": credentials, "rights": rights}
        )

    def _not_answered(self, place: str, said: str) -> Exception:
        if "169.254.169.254" in said or "metadata.google.internal" in said:
            return self._without_credentials()
        for words, (reason, fix) in _NO_ANSWER.items():
            if words in said:
                return self._refused(place, reason, self._worded(fix)) if fix else self._unavailable(place, reason)
        if "invalid list response" in said:
            return self._refused(place, "it does not answer as a store", self._worded("correct {endpoint}"))
        if not_deleted := _NOT_DELETED.search(said):
            return self._not_deleted(place, *not_deleted.groups())
        first = _URL.sub("…", said.partition("\n\nDebug")[0].replace("\n", " "))
        return self._unavailable(place, first.strip().rstrip(".")[:_MOST_SHOWN])

    def _without_credentials(self) -> UserError:
        """There are none, and this machine is none of the provider's that has some."""
        public = f"; or {self._wording.public} for a public bucket" if self._wording.public else ""
        fix = self._worded("state {credentials}") + public
        return self._refused(self._objects.root, "no credentials were found", fix)

    def _refused(self, place: str, reason: str, fix: str) -> UserError:
        return self._wording.refused(f"{place} {self._wording.unusable}: {reason}. Fix: {fix}.")

    def _unavailable(self, place: str, reason: str) -> Exception:
        bound = spelled(self._give_up_after)
        return self._wording.unavailable(
            f"{place} {self._wording.unusable}: {reason}; it was tried for {bound}. Fix: run again once the store "
            f"answers, or correct {self._wording.endpoint}."
        )
