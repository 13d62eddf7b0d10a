"""Opens the object store of a stream: its bucket, with the options of `source.store` and the usual environment.

The library is installed with the extra `object-stores`, and a store is opened when something is first asked of it: a
stream whose credentials are missing stops nothing else. They are read from the environment here, and kept by the
library alone. Not here: what is asked of a store (`listing`,
`copying`).
"""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sessions_platform.contracts.object_store import Objects, StoreOptions
from sessions_platform.contracts.secrets import text_of
from sessions_platform.errors import MissingExtraError, UserError
from sessions_platform.sources.errors import SourceRefusedError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# A connection that is silent for so long is made anew. A request as a whole has no bound: a slow line is no failure.
_SILENT_FOR = timedelta(seconds=30)
_LONGEST_REQUEST = timedelta(hours=1)


def open_store(objects: Objects, options: StoreOptions) -> "ObjectStore":
    """The store of a bucket; nothing is asked of it yet.

    Raises:
        SourceRefusedError: the extra is not installed, an environment variable is not set, or a value can't be used.
    """
    try:
        from obstore import exceptions
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError:
        raise SourceRefusedError(f"{objects.root}: {MissingExtraError('obstore', 'object-stores')}") from None
    store: Any = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}[objects.scheme]
    try:
        config = {"s3": _of_s3, "gs": _of_google, "az": _of_azure}[objects.scheme](options)
        return store(objects.bucket, config=config, client_options=_client(options))
    except UserError as missing:
        raise SourceRefusedError(f"{objects.root}: {missing}") from None
    except (exceptions.BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise SourceRefusedError(f"{objects.root}: {reason}. Fix: correct the keys of source.store.") from None


def _of_s3(options: StoreOptions) -> dict[str, Any]:
    return _stated(
        endpoint=options.endpoint,
        region=options.region,
        access_key_id=_text(options, "access_key"),
        secret_access_key=_text(options, "secret_key"),
        session_token=_text(options, "session_token"),
        skip_signature=options.anonymous or None,
    )


def _of_google(options: StoreOptions) -> dict[str, Any]:
    return _stated(
        base_url=options.endpoint,
        service_account_key=_text(options, "service_account"),
        skip_signature=options.anonymous or None,
    )


def _of_azure(options: StoreOptions) -> dict[str, Any]:
    return _stated(
        endpoint=options.endpoint,
        account_name=_text(options, "account"),
        account_key=_text(options, "account_key"),
        sas_key=_text(options, "sas_token"),
        skip_signature=options.anonymous or None,
    )


def _text(options: StoreOptions, key: str) -> str | None:
    value = getattr(options, key)
    return None if value is None else text_of(value, f"source.store.{key}")


def _stated(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _client(options: StoreOptions) -> dict[str, Any]:
    client: dict[str, Any] = {
        "allow_http": options.allow_http,
        "timeout": _LONGEST_REQUEST,
        "read_timeout": _SILENT_FOR,
    }
    if options.ca_file is not None:
        try:
            client["root_certificate"] = options.ca_file.read_bytes()
        except OSError as error:
            reason = f"{options.ca_file} can't be read: {error.strerror}"
            raise UserError(f"source.store.ca_file: {reason}. Fix: name an existing file.") from None
    return client
