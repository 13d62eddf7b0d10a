"""A stream has the keys of the preset that it names, and overrules them one by one."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import jsonschema
import pytest
import yaml

from sessions_platform.contracts import presets
from sessions_platform.contracts.json_schema import json_schema
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, line_of, load_stream

TOY = """
tool: Toy
kind: log
proven: [{by: run, what: "Toy 1.0", on: 2026-01-01}]
identity: u
event_id: none
time: t, milliseconds
duplicates: none
order: as written
skipped: nothing
told_by: {fields: [u, t]}
stream:
  source: {format: ndjson, nulls: ["-"]}
  columns:
    user_id: {from: [u, cookie]}
    event_timestamp: {from: t, formats: [epoch_ms]}
    event_type: {from: what}
    status: {type: integer, nullable: true}
  skip: [{column: status, isin: [500]}]
  session: {gap: 10m, split_at_midnight: true}
"""
STREAM = "name: shop\nstart: 2026-01-01\nsource:\n  files: landing/*\n  preset: toy\n"


@pytest.fixture(autouse=True)
def _toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with one preset."""
    folder = tmp_path / "presets"
    folder.mkdir()
    (folder / "toy.yaml").write_text(TOY)
    monkeypatch.setattr(presets, "FOLDER", folder)
    presets.preset_names.cache_clear()
    presets.preset_named.cache_clear()
    yield
    presets.preset_names.cache_clear()
    presets.preset_named.cache_clear()


def loaded(folder: Path, text: str) -> Stream:
    path = folder / "shop.yaml"
    path.write_text(text)
    return load_stream(path, folder)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(StreamError) as raised:
        loaded(folder, text)
    return [str(problem).removeprefix(f"{folder}/shop.yaml:") for problem in raised.value.problems]


def test_a_stream_of_three_keys_has_all_of_the_preset(tmp_path: Path) -> None:
    of = loaded(tmp_path, STREAM)
    assert list(of.columns) == ["user_id", "event_timestamp", "event_type", "status"]
    assert of.source.nulls == ["-"]
    assert of.session.gap == timedelta(minutes=10)
    assert of.skip[0].isin == ["500"]


def test_mappings_are_merged_lists_and_scalars_replaced_and_null_removes(tmp_path: Path) -> None:
    of = loaded(
        tmp_path,
        STREAM + "skip: null\nsession: {gap: 1h}\n"
        "columns: {user_id: {from: [device]}, event_type: kind, status: null, page_url: }\n",
    )
    assert of.columns["user_id"].from_ == ["device"]
    assert of.columns["event_type"].from_ == ["kind"]
    assert list(of.columns) == ["user_id", "event_timestamp", "event_type", "page_url"]
    assert of.skip == []
    assert of.session.gap == timedelta(hours=1)
    assert of.session.split_at_midnight


def test_a_short_form_overrules_what_it_says_and_no_more(tmp_path: Path) -> None:
    of = loaded(tmp_path, STREAM + "session: 2h\ncolumns: {event_timestamp: at}\n")
    assert of.session.gap == timedelta(hours=2)
    assert of.session.split_at_midnight
    assert of.columns["event_timestamp"].from_ == ["at"]
    assert of.columns["event_timestamp"].formats == ["epoch_ms"]


def test_what_is_merged_counts_for_versions_and_the_name_does_not_count_for_the_rows(tmp_path: Path) -> None:
    named = loaded(tmp_path, STREAM)
    by_hand = loaded(
        tmp_path,
        STREAM.replace("preset: toy", "format: ndjson\n  nulls: ['-']")
        + yaml.safe_dump({key: value for key, value in yaml.safe_load(TOY)["stream"].items() if key != "source"}),
    )
    assert named.contract_version == by_hand.contract_version
    assert named.session_rule_version == by_hand.session_rule_version
    other = loaded(tmp_path, STREAM + "columns: {status: {type: float}}\n")
    assert other.contract_version != named.contract_version
    assert other.definition_version != named.definition_version


def test_an_unknown_preset_is_one_problem_with_the_nearest_names(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, STREAM.replace("toy", "tay"))
    assert problem == "5: source.preset: there is no preset 'tay'. Fix: name one that there is (did you mean toy?)."
    (problem,) = problems(tmp_path, STREAM.replace("toy", "[1]"))
    assert problem == "5: source.preset: there is no preset [1]. Fix: name one that there is (there are toy)."


@pytest.mark.parametrize(
    ("keys", "line", "says"),
    [
        pytest.param("skip: [{column: code, isin: [1]}]", 6, "there is no column 'code'", id="own key"),
        pytest.param("columns: {status: null}", 5, "skip.*no column 'status' .the key is of the preset toy", id="lost"),
        pytest.param("columns:\n  status: {type: timestamp}", 7, "formats", id="a type without formats"),
        pytest.param("columns: {user_id: {join: [a, b]}}", 6, "from|join", id="two ways to read"),
        pytest.param("columns: {event_timestamp: {formats: null}}", 6, "formats are not named", id="formats removed"),
        pytest.param("session: {gap: 1ms, precision: s}", 6, "precision", id="a rule against itself"),
    ],
)
def test_nonsense_that_the_stream_makes_of_it_is_an_error_at_its_line(
    tmp_path: Path, keys: str, line: int, says: str
) -> None:
    found = problems(tmp_path, f"{STREAM}{keys}\n")
    assert any(problem.startswith(f"{line}: ") and re.search(says, problem) for problem in found), found


def test_a_key_of_the_preset_has_the_line_that_names_it(tmp_path: Path) -> None:
    of = loaded(tmp_path, STREAM + "columns: {event_type: kind}\n")
    assert line_of(of.path, ("columns", "status")) == 5
    assert line_of(of.path, ("columns", "event_type")) == 6


def test_the_schema_of_editors_wants_columns_and_a_format_from_a_stream_without_a_preset() -> None:
    schema = yaml.safe_load(json_schema())
    short = {"name": "shop", "start": "2026-01-01", "source": {"files": "a", "preset": "toy"}}
    jsonschema.validate(short, schema)
    for source in ({"files": "a"}, {"files": "a", "preset": "tay"}, {"files": "a", "format": "ndjson"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**short, "source": source}, schema)
