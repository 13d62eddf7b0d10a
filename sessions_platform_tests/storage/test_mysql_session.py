"""What happens where the rows of a load break off: the server is a socket that has asked for them."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pymysql.err import OperationalError

from sessions_platform.storage.warehouses.mysql_session import LoadingConnection

ASKED = b"\x05\0\0\x01\xfbrows"  # a packet: its length and number, and the question for a file of this name


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, LoadingConnection]]:
    """A server that sends nothing more, and a connection to it."""
    server, client = socket.socketpair()
    with server, client:
        server.sendall(ASKED)
        server.shutdown(socket.SHUT_WR)
        connection: Any = LoadingConnection(client_flag=0, defer_connect=True)
        connection._sock, connection._rfile, connection._current_timeout = client, client.makefile("rb"), None
        yield server, connection


def broken_off(break_off: Callable[[], None]) -> Iterator[bytes]:
    yield b"1\n"
    break_off()
    yield b"2\n"


def test_a_server_that_dies_while_rows_are_sent_is_an_error_of_the_client(
    ends: tuple[socket.socket, LoadingConnection],
) -> None:
    server, connection = ends
    with pytest.raises(OperationalError, match="gone away"):
        connection.load("load", broken_off(server.close), 2)
    connection.close()


def test_an_interruption_closes_the_connection_without_another_packet(
    ends: tuple[socket.socket, LoadingConnection],
) -> None:
    """What ends the rows would be read as more of them, where a packet was sent in part."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    server, connection = ends
    with pytest.raises(KeyboardInterrupt):
        connection.load("load", broken_off(interrupt), 2)
    assert server.makefile("rb").read().endswith(b"1\n")
    connection.close()
