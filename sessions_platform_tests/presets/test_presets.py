"""Every preset reads its tool's sample, from the file to sessions, by a stream of six lines at most."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from sessions_platform.cli import app
from sessions_platform.contracts.presets import preset_named, preset_names
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.operations.page_tables import with_table
from sessions_platform.operations.presets import expanded_text, preset_table
from sessions_platform_tests.presets.samples import FOLDER, differences, expected_of, file_of, read, stream_of

TOOLS = Path(__file__).parents[2] / "docs" / "tools.md"

every_preset = pytest.mark.parametrize("name", preset_names())


@every_preset
def test_its_sample_becomes_what_was_derived_without_the_platform(name: str, tmp_path: Path) -> None:
    assert list(differences(name, tmp_path)) == []


@every_preset
def test_its_sample_is_small_and_says_how_it_was_derived(name: str, tmp_path: Path) -> None:
    _, made = read(name, tmp_path)
    assert 6 <= made.raw_rows <= 60
    assert file_of(name).stat().st_size < 64_000
    assert expected_of(name).how
    assert expected_of(name).sessions


@every_preset
def test_it_states_nothing_that_is_the_streams_own(name: str) -> None:
    stream = preset_named(name).stream
    assert {"name", "start", "end", "owners"}.isdisjoint(stream)
    assert {"files", "preset"}.isdisjoint(stream["source"])


@every_preset
def test_its_keys_written_out_are_the_same_stream(name: str, tmp_path: Path) -> None:
    named = stream_of(name, tmp_path)
    path = tmp_path / "written_out.yaml"
    path.write_text(expanded_text(named.path), encoding="utf-8")
    written = load_stream(path, tmp_path)
    assert written.source.preset is None
    assert written.contract_version == named.contract_version
    assert written.session_rule_version == named.session_rule_version


def test_no_sample_is_of_no_preset() -> None:
    assert {path.name.partition(".")[0] for path in FOLDER.iterdir()} == set(preset_names())


def test_the_page_has_the_table_that_the_presets_give() -> None:
    page = TOOLS.read_text(encoding="utf-8")
    assert with_table(page, "presets", preset_table()) == page, (
        "run python -m sessions_platform.operations.presets docs/tools.md"
    )


def test_the_table_has_a_row_of_six_cells_for_each_preset() -> None:
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` \|(?:[^|\n]+\|){4}$", preset_table(), re.MULTILINE)
    assert sorted(rows) == list(preset_names())


def test_the_command_lists_them_with_what_they_were_proven_on() -> None:
    listed = json.loads(CliRunner().invoke(app, ["presets", "--json"], catch_exceptions=False).output)
    assert [each["preset"] for each in listed] == list(preset_names())
    assert {"preset": "segment_http", "tool": "Segment", "kind": "sdk", "proven": "the tool, run"} in listed
