"""The component of Dagster projects: its file is a stream's, and Dagster sees it."""

from pathlib import Path

import pytest

import sessions_platform
from sessions_platform.contracts.json_schema import json_schema
from sessions_platform.contracts.stream_file import StreamError, load_stream

COMPONENT = """\
type: sessions_platform.Stream

attributes:
  name: shop
  start: 2026-01-01
  source: {files: "landing/*.ndjson", format: ndjson}
  columns: {user_id: {}, event_timestamp: {formats: [iso8601]}, event_type: {}}
"""


def test_the_file_of_a_component_is_a_streams_file_with_the_lines_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "defs.yaml"
    file.write_text(COMPONENT)
    assert load_stream(file, tmp_path).name == "shop"
    file.write_text(COMPONENT.replace("2026-01-01", "today") + "  sesion: {}\n")
    with pytest.raises(StreamError) as refused:
        load_stream(file, tmp_path)
    assert [(problem.line, problem.key) for problem in refused.value.problems] == [(5, "start"), (8, "sesion")]


def test_dagster_sees_the_component_and_its_schema() -> None:
    assert "Stream" in dir(sessions_platform)
    schema = sessions_platform.Stream.get_model_cls().model_json_schema()
    assert schema.keys() >= {"properties", "required"}
    assert '"upstream"' in json_schema()
    with pytest.raises(AttributeError, match="no attribute 'Steram'"):
        _ = sessions_platform.Steram
