"""How requests say who asks. Secrets are read from the environment when a client is made, and are in no message."""

import time
from collections.abc import Generator
from typing import Any

import httpx

from sessions_platform.contracts.http_source import Auth, ClientCredentials
from sessions_platform.contracts.secrets import text_of
from sessions_platform.sources.errors import SourceRefusedError

_EARLIER = 30.0  # seconds before a token expires; another one is fetched then


class _Header(httpx.Auth):
    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers[self._name] = self._value
        yield request


class _Param(httpx.Auth):
    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.url = request.url.copy_merge_params({self._name: self._value})
        yield request


class _Token(httpx.Auth):
    """A token of client credentials, fetched when there is none, when it is about to expire, and once after a 401."""

    requires_response_body = True

    def __init__(self, stated: ClientCredentials, key: str) -> None:
        self._key = key
        self._url = stated.token_url
        self._form = {
            "grant_type": "client_credentials",
            "client_id": text_of(stated.client_id, f"{key}.oauth2.client_id"),
            "client_secret": stated.client_secret.read(f"{key}.oauth2.client_secret"),
            **({"scope": stated.scope} if stated.scope else {}),
        }
        self._token, self._until = "", 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        is_new = time.monotonic() >= self._until
        if is_new:
            self._take((yield self._asking()))
        request.headers["Authorization"] = f"Bearer {self._token}"
        answer = yield request
        if answer.status_code == httpx.codes.UNAUTHORIZED and not is_new:
            self._take((yield self._asking()))
            request.headers["Authorization"] = f"Bearer {self._token}"
            yield request

    def _asking(self) -> httpx.Request:
        return httpx.Request("POST", self._url, data=self._form)

    def _take(self, answer: httpx.Response) -> None:
        said: Any = None
        if answer.is_success:
            try:
                said = answer.json()
            except ValueError:
                said = None
        if not isinstance(said, dict) or not isinstance(said.get("access_token"), str):
            if answer.is_server_error:
                raise httpx.TransportError(f"{self._url} answers {answer.status_code}")
            raise SourceRefusedError(
                f"{self._url} gives no token: it answers {answer.status_code}. Fix: correct {self._key}.oauth2."
            )
        lifetime = said.get("expires_in")
        self._token = said["access_token"]
        self._until = time.monotonic() + (
            max(float(lifetime) - _EARLIER, 0) if isinstance(lifetime, int | float) else 0
        )


def auth_of(stated: Auth | None, key: str) -> httpx.Auth | None:
    """What a client says of who asks; `key` is where the stream states it.

    Raises:
        UserError: an environment variable is not set.
    """
    if stated is None:
        return None
    if stated.bearer:
        return _Header("Authorization", f"Bearer {stated.bearer.read(f'{key}.bearer')}")
    if stated.header:
        return _Header(stated.header.name, stated.header.value.read(f"{key}.header.value"))
    if stated.param:
        return _Param(stated.param.name, stated.param.value.read(f"{key}.param.value"))
    if stated.oauth2:
        return _Token(stated.oauth2, key)
    assert stated.basic is not None
    user = text_of(stated.basic.user, f"{key}.basic.user")
    return httpx.BasicAuth(user, stated.basic.password.read(f"{key}.basic.password"))
