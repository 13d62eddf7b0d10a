"""`sessions-platform dbt`: write the sources that a dbt project reads of a stream.

Not here: what is in the file (`operations/dbt`).
"""

from pathlib import Path
from typing import Annotated

import typer

from sessions_platform.cli.output import save
from sessions_platform.errors import UserError
from sessions_platform.settings import Settings


def dbt(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    file: Annotated[Path, typer.Argument(help="Where to write; - for standard output.", allow_dash=True)] = Path(
        "sources.yml"
    ),
    target: Annotated[
        str | None,
        typer.Option(help="A target of type duckdb, whose file dbt-duckdb reads; PostgreSQL without it."),
    ] = None,
    key_prefix: Annotated[
        str, typer.Option(help="What definitions_for() puts before the keys of assets, as a/b.", show_default=False)
    ] = "",
) -> None:
    """Write a stream's tables and views as sources of dbt: descriptions, types, tests, freshness, keys of assets.

    The file is made of the stream's definition; no server is started. An older one is replaced.
    """
    from sessions_platform.contracts.stream_folder import read_streams
    from sessions_platform.operations.dbt.sources import WRITTEN_BY, sources_text

    settings = Settings.from_environment()
    named = read_streams(settings.streams, settings.home, settings.pseudonym_key).named(stream)
    text = sources_text(named.with_key_prefix(key_prefix), target)
    if str(file) == "-":
        typer.echo(text, nl=False)
        return
    _require_own(file, WRITTEN_BY)
    save(file, text)
    typer.echo(str(file))


def _require_own(file: Path, first_words: str) -> None:
    """Refuse to replace what somebody has written."""
    try:
        with file.open("rb") as opened:
            own = opened.read(len(first_words)) == first_words.encode()
    except OSError:  # it is missing; or `save` says what hinders
        return
    if not own:
        raise UserError(f"{file}: it is not a file of this command. Fix: remove it, or name another file.")
