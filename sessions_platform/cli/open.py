"""`sessions-platform open`: the page of a stream in Dagster's UI."""

import json
import sys
import webbrowser
from http.client import HTTPConnection, HTTPException
from typing import Annotated
from urllib.parse import urlencode

import typer

from sessions_platform.contracts.asset_selection import keys_of
from sessions_platform.errors import UserError
from sessions_platform.settings import Settings

_SECONDS = 2


def open_page(
    stream: Annotated[
        str | None, typer.Argument(help="The stream's name; all of them without it.", metavar="[STREAM]")
    ] = None,
    port: Annotated[int, typer.Option(help="Port of the UI, on the loopback interface.")] = 3000,
    only_print: Annotated[bool, typer.Option("--print", help="Print the URL, and open no browser.")] = False,
) -> None:
    """Print the URL of a stream's assets in the UI, and open it where there are a terminal and a browser.

    Example: sessions-platform open web_shop --print
    """
    if stream is not None:
        _raise_if_unknown(stream)
    typer.echo(page_of(stream, port))
    if not answers(port):
        raise UserError(f"no UI answers at port {port}. Fix: run `sessions-platform dev`, or name its --port.")
    if not only_print and sys.stdout.isatty():
        webbrowser.open(page_of(stream, port))


def page_of(stream: str | None, port: int) -> str:
    """The URL of the graph of a stream's assets, whatever groups they are in; of all assets without a stream."""
    page = f"http://127.0.0.1:{port}/asset-groups"
    return page if stream is None else f"{page}?{urlencode({'asset-selection': keys_of(stream)})}"


def answers(port: int) -> bool:
    """Whether a Dagster webserver answers at this port of the loopback interface."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/server_info")
        return "dagster_webserver_version" in json.loads(connection.getresponse().read())
    except (OSError, ValueError, HTTPException):
        return False
    finally:
        connection.close()


def _raise_if_unknown(stream: str) -> None:
    from sessions_platform.contracts.stream_folder import read_streams

    settings = Settings.from_environment()
    streams = read_streams(settings.streams, settings.home, settings.pseudonym_key)
    if stream not in streams.broken:  # whose page says what is wrong
        streams.named(stream)
