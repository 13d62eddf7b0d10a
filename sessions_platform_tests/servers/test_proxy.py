"""The proxy disturbs what it is told to, or the tests that rest on it would prove nothing."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from sessions_platform_tests.servers.proxy import Proxy

pytestmark = pytest.mark.servers

_ANSWER = b"x" * 300_000


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """Before a server that answers each connection with the same bytes, and ends it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1)
                    try:
                        connection.sendall(_ANSWER)
                    except OSError:  # the proxy cut it
                        continue

        threading.Thread(target=serve, daemon=True).start()
        with Proxy(server.getsockname()[1]) as proxy:
            yield proxy
        server.shutdown(socket.SHUT_RDWR)


def _asked(proxy: Proxy) -> tuple[socket.socket, bytearray]:
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=30)
    connection.sendall(b"?")
    return connection, bytearray()


def _answered(proxy: Proxy) -> bytes:
    connection, answer = _asked(proxy)
    with connection:
        while chunk := connection.recv(65536):
            answer += chunk
    return bytes(answer)


def test_it_passes_on_what_it_is_not_told_to_disturb(proxy: Proxy) -> None:
    assert _answered(proxy) == _ANSWER
    assert not proxy.met.is_set()


@pytest.mark.parametrize("fault", ["cut", "half-close"])
def test_an_answer_ends_after_so_many_bytes_and_the_next_one_does_not(proxy: Proxy, fault: str) -> None:
    proxy.disturb("cut" if fault == "cut" else "half-close", after=100_000)
    try:
        assert _answered(proxy) == _ANSWER[:100_000]
    except ConnectionResetError:
        assert fault == "cut"
    assert proxy.met.is_set()
    assert _answered(proxy) == _ANSWER


def test_a_stalled_answer_goes_on_when_it_is_released(proxy: Proxy) -> None:
    proxy.disturb("stall", after=100_000)
    connection, answer = _asked(proxy)
    with connection:
        while len(answer) < 100_000:
            answer += connection.recv(65536)
        assert proxy.met.wait(30)
        assert bytes(answer) == _ANSWER[:100_000]
        proxy.release()
        while chunk := connection.recv(65536):
            answer += chunk
    assert bytes(answer) == _ANSWER


def test_a_proxy_that_refuses_closes_connections(proxy: Proxy) -> None:
    proxy.refuse()
    with contextlib.suppress(ConnectionError):
        assert _answered(proxy) == b""
    proxy.release()
    assert _answered(proxy) == _ANSWER
