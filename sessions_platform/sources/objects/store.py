"""Opens an object store that a stream's file names: its bucket, with the options there and the usual environment.

The options are those of `source.store`, or of a target's `store`. The library is installed with the extra
`object-stores`, and a store is opened when something is first asked of it: a stream whose credentials are missing stops
nothing else. They are read from the environment here, and kept by the library alone. Not here: what is asked of a store
(`listing`, `copying`).
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sessions_platform.contracts.object_store import Objects, StoreOptions
from sessions_platform.contracts.secrets import text_of
from sessions_platform.errors import MissingExtraError, UserError
from sessions_platform.sources.errors import SourceRefusedError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# A connection that is silent for so long is made anew. A request as a whole has no bound: a slow line is no failure.
_PATIENCE = {"timeout": timedelta(hours=1), "read_timeout": timedelta(seconds=30)}


def open_store(
    objects: Objects,
    options: StoreOptions,
    key: str = "source.store",
    patience: Mapping[str, timedelta] = _PATIENCE,
    retries: Any = None,
) -> "ObjectStore":
    """The store of a bucket; nothing is asked of it yet.

    Args:
        objects: the bucket.
        options: how it is reached.
        key: where the stream's file states them, for messages.
        patience: the client's timeouts.
        retries: how the library tries again by itself; None for as it does by default.

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
        config = {"s3": _of_s3, "gs": _of_google, "az": _of_azure}[objects.scheme](options, key)
        client = {**_client(options, key), **patience}
        return store(objects.bucket, config=config, client_options=client, retry_config=retries)
    except UserError as missing:
        raise SourceRefusedError(f"{objects.root}: {missing}") from None
    except (exceptions.BaseError, ValueError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise SourceRefusedError(f"{objects.root}: {reason}. Fix: correct the keys of {key}.") from None


def _of_s3(options: StoreOptions, key: str) -> dict[str, Any]:
    return _stated(
        endpoint=options.endpoint,
        region=options.region,
        access_key_id=_text(options, key, "access_key"),
        secret_access_key=_text(options, key, "secret_key"),
        session_token=_text(options, key, "session_token"),
        skip_signature=options.anonymous or None,
    )


def _of_google(options: StoreOptions, key: str) -> dict[str, Any]:
    return _stated(
        base_url=options.endpoint,
        service_account_key=_text(options, key, "service_account"),
        skip_signature=options.anonymous or None,
    )


def _of_azure(options: StoreOptions, key: str) -> dict[str, Any]:
    return _stated(
        endpoint=options.endpoint,
        account_name=_text(options, key, "account"),
        account_key=_text(options, key, "account_key"),
        sas_key=_text(options, key, "sas_token"),
        skip_signature=options.anonymous or None,
    )


def _text(options: StoreOptions, key: str, name: str) -> str | None:
    value = getattr(options, name)
    return None if value is None else text_of(value, f"{key}.{name}")


def _stated(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _client(options: StoreOptions, key: str) -> dict[str, Any]:
    client: dict[str, Any] = {"allow_http": options.allow_http}
    if options.ca_file is not None:
        try:
            client["root_certificate"] = options.ca_file.read_bytes()
        except OSError as error:
            reason = f"{options.ca_file} can't be read: {error.strerror}"
            raise UserError(f"{key}.ca_file: {reason}. Fix: name an existing file.") from None
    return client
