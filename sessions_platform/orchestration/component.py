"""The component `sessions_platform.Stream`: a stream whose YAML file is one of a Dagster project's `defs` folder.

Dagster finds it by an entry point of the package (`dagster_dg_cli.registry_modules`). The attributes of the file are
read as a stream's file is, so mistakes are told with file and line. Not here: the definitions (`embedding.py`).
"""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import dagster as dg
from pydantic import BaseModel, ConfigDict

from sessions_platform.contracts.json_schema import json_schema
from sessions_platform.settings import Settings

_FILES = ("defs.yaml", "defs.yml", "component.yaml")  # as Dagster looks for them
_DRAFT = """\
# A stream of events, and its sessions. All keys: docs/streams.md of sessions_platform.
type: sessions_platform.Stream

attributes:
  name: {name}
  start: {start}  # earlier events are rejected
  source:
    files: landing/{{partition:%Y-%m-%d}}/*.ndjson  # relative to this file
    format: ndjson
  columns:
    user_id: {{}}
    event_timestamp: {{formats: [iso8601]}}
    event_type: {{}}
  session:
    gap: 30m
"""


class StreamAttributes(BaseModel):
    """Any attributes: which are right, the stream says, since short forms and presets are written out before."""

    model_config = ConfigDict(extra="allow")

    @classmethod
    def model_json_schema(cls, *_args: Any, **_options: Any) -> dict[str, Any]:
        """The JSON schema of a stream's file, for editors and `dg check yaml`."""
        return json.loads(json_schema())


class StreamScaffolder(dg.Scaffolder):
    """Writes the file of a stream that loads as it is, for `dg scaffold defs sessions_platform.Stream NAME`."""

    def scaffold(self, request: dg.ScaffoldRequest) -> None:
        """Write `defs.yaml`; the stream has the name of its folder."""
        if request.append or request.scaffold_format != "yaml":
            raise click.ClickException(
                "a stream is a YAML file of its own. Fix: leave --format out, and name a new folder."
            )
        name = re.sub(r"[^a-z0-9]+", "_", request.target_path.name.lower()).strip("_")[:48]
        name = name if name[:1].isalpha() else f"stream_{name}"[:48]
        start = datetime.now(UTC).date().replace(month=1, day=1)
        (request.target_path / "defs.yaml").write_text(_DRAFT.format(name=name, start=start))


@dg.scaffold_with(StreamScaffolder)
class Stream(dg.Component):
    """A stream of events: from its source to exact sessions in a warehouse, with jobs, sensors, schedules and checks.

    Its attributes are the keys of a stream's YAML file. Paths are relative to the file.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """The attributes."""
        return StreamAttributes

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "Stream":  # noqa: ARG003
        """The component of a file, which `build_defs` reads."""
        path = context.path
        file = path if path.is_file() else next(path / name for name in _FILES if (path / name).exists())
        _loaded.add(file.absolute())
        return cls(file)

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:  # noqa: ARG002
        """The stream's definitions. Raises StreamError with every mistake of the file."""
        # The platform is read only once a stream is loaded: to list components takes none of it.
        from sessions_platform.contracts.stream_file import load_stream
        from sessions_platform.orchestration.embedding import definitions_of_streams

        settings = Settings.from_environment()
        stream = load_stream(self.file.absolute(), settings.home, settings.pseudonym_key)
        return definitions_of_streams([stream], settings, len(_loaded))


# The files of all components. Dagster loads every component of a project before it builds the first one's definitions.
_loaded: set[Path] = set()
