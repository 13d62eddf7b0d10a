"""The command `dashboards`: write what Grafana and Prometheus load.

Not here: what is in it (`operations/dashboards.py`).
"""

from pathlib import Path
from typing import Annotated

import typer

from sessions_platform.cli.output import save
from sessions_platform.settings import Settings


def dashboards(
    folder: Annotated[Path, typer.Argument(help="Where to write; made if it is missing.", show_default=False)],
) -> None:
    """Write dashboards for Grafana, streams.json and platform.json, and alert rules for Prometheus, rules.yml.

    The rules fire by the limits of SESSIONS_ALERT_…, as alerts do.
    """
    from sessions_platform.operations.dashboards import files

    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files(Settings.from_environment().alerts).items():
        save(folder / name, text)
        typer.echo(str(folder / name))
