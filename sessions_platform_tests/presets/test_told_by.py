"""A file is known as the file of the tool that wrote it, and of no other; a foreign file is refused as a whole."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from sessions_platform.cli.preview import preview_lines
from sessions_platform.contracts.formats import FormatOptions
from sessions_platform.contracts.presets import preset_named, preset_names
from sessions_platform.contracts.stream_file import load_stream
from sessions_platform.operations.inference.known_tools import known_tool
from sessions_platform.operations.inference.opened import open_files
from sessions_platform.operations.init import propose
from sessions_platform.operations.preview import preview
from sessions_platform.settings import Settings
from sessions_platform.sources.files.told_by import Text, has, rows_of
from sessions_platform.sources.formats.registry import open_format
from sessions_platform_tests.presets.samples import FOLDER, expected_of, file_of, read, stream_of

every_preset = pytest.mark.parametrize("name", preset_names())
SDKS = [name for name in preset_names() if preset_named(name).kind == "sdk"]


def settings_of(folder: Path) -> Settings:
    return Settings(folder / "home", folder / "lake", ())


def copied(name: str, folder: Path) -> Path:
    """The sample of a preset, with the files that it needs beside it."""
    if (FOLDER / name).is_dir():
        shutil.copytree(FOLDER / name, folder, dirs_exist_ok=True)
    return Path(shutil.copy(file_of(name), folder / f"given{file_of(name).suffix}"))


@every_preset
def test_its_sample_is_known_as_its_tools_and_as_no_others(name: str, tmp_path: Path) -> None:
    (opened,) = open_files([copied(name, tmp_path)], tmp_path / "scratch", 1)
    known = known_tool(opened)
    assert known is not None
    assert known[0].name == name


def proposed(name: str, folder: Path) -> None:
    file = copied(name, folder)
    proposal = propose("shop", [file], settings_of(folder), folder)
    keys = [line for line in proposal.text.splitlines() if not line.lstrip().startswith("#")]
    assert f"  preset: {name}" in keys
    assert len(keys) <= 6
    assert preset_named(name).tool in proposal.says
    assert preset_named(name).told_by.fields[0] in proposal.reasons["preset"]
    assert proposal.problems == ()
    assert proposal.tried is not None
    if not expected_of(name).stream:
        assert proposal.tried.events.height == expected_of(name).events


@pytest.mark.parametrize("name", ["segment_http", "matomo", "posthog_parquet", "adobe_data_feed"])
def test_init_proposes_the_preset_and_says_why(name: str, tmp_path: Path) -> None:
    proposed(name, tmp_path)


@pytest.mark.slow
@every_preset
def test_init_proposes_every_preset_for_its_sample(name: str, tmp_path: Path) -> None:
    proposed(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        *pairwise([*SDKS, SDKS[0]]),
        ("posthog", "segment"),
        ("umami", "adobe_data_feed"),
        ("gharchive", "umami"),
        ("snowplow_enriched", "umami"),
    ],
)
def test_a_file_of_another_tool_is_refused_as_a_whole_with_the_preset_that_fits(
    name: str, other: str, tmp_path: Path
) -> None:
    _, made = read(name, tmp_path, copied(other, tmp_path))
    assert (made.raw_rows, made.rejected_by_reason) == (1, {"unreadable_file": 1})
    rule = made.rejected["reasons"][0][0]["rule"]
    if "is no file of" in rule and (FOLDER / other).is_dir() is False:
        assert f"is no file of {preset_named(name).tool}: the preset {name} expects the fields" in rule
        assert f"Fix: name the preset {other}, which fits" in rule


def test_a_file_of_no_tool_says_what_was_found(tmp_path: Path) -> None:
    file = tmp_path / "own.ndjson"
    file.write_text('{"batch": [{"id": 1, "who": "ann"}], "sentAt": 1}\n')
    _, made = read("segment_http", tmp_path, file)
    rule = made.rejected["reasons"][0][0]["rule"]
    assert "have fields id, who, ^batch, ^sentAt. Fix: deliver files of the tool" in rule
    file.write_text("a,b\n1,2\n")
    _, made = read("segment_http", tmp_path, file)
    assert "the first records have nothing that can be read" in made.rejected["reasons"][0][0]["rule"]


def test_one_record_of_the_tool_is_enough(tmp_path: Path) -> None:
    file = tmp_path / "mixed.ndjson"
    body = {"batch": [{"oddity": 1}, {"messageId": "m", "type": "track", "event": "look", "userId": "u",
                       "timestamp": "2026-03-01T09:00:00Z", "context": {"library": {}}}], "sentAt": "x"}  # fmt: skip
    file.write_text(f"no JSON\n{json.dumps(body)}\n")
    _, made = read("segment_http", tmp_path, file)
    assert made.events["event_type"].to_list() == ["look"]
    assert made.raw_rows == 3


def test_an_empty_file_is_of_any_tool(tmp_path: Path) -> None:
    file = tmp_path / "empty"
    file.write_text("")
    _, made = read("umami", tmp_path, file)
    assert made.raw_rows == 0
    file.write_text(file_of("umami").read_text().splitlines()[0] + "\n")
    _, made = read("umami", tmp_path, file)
    assert made.raw_rows == 0


def test_a_stream_that_reads_records_otherwise_is_not_held_against_the_preset(tmp_path: Path) -> None:
    """As of files whose batches were divided before."""
    file = tmp_path / "divided.ndjson"
    event = {"messageId": "m", "type": "track", "event": "look", "userId": "u", "timestamp": "2026-03-01T09:00:00Z"}
    file.write_text(json.dumps(event) + "\n")
    path = tmp_path / "shop.yaml"
    path.write_text(f"name: shop\nstart: 2026-01-01\nsource: {{preset: segment_http, files: '{file}', events: null}}\n")
    made = preview(load_stream(path, tmp_path), settings_of(tmp_path), [file])
    assert made.events["user_id"].to_list() == ["u"]


def test_a_preview_shows_the_tools_fields_beside_the_columns(tmp_path: Path) -> None:
    of = stream_of("segment_http", tmp_path)
    document = preview(of, settings_of(tmp_path), [file_of("segment_http")], 1).document
    assert document["fields"]["user_id"] == "anonymousId, userId"
    lines = [line.split() for line in preview_lines(document, 100)]
    assert ["user_id", "anonymousId,", "userId", "a1"] in lines
    assert ["call", "type", "page"] in lines


@pytest.mark.parametrize(
    ("path", "is_there"),
    [
        ("a.b", True),
        ("a", True),
        ("a.c", True),  # null, but there
        ("a.d", False),
        ("list[0].x", True),
        ("list[1]", False),
        ("list[k=v].x", True),
        ("list[k=w]", False),
        ("json:text.deep", True),
        ("json:text.other", False),
        ("^sent.at", True),
        ("^other", False),
        ("(z|a).b", True),
        ("x.y", True),  # a key with a dot
    ],
)
def test_a_field_is_there_whatever_its_value_is(path: str, is_there: bool) -> None:
    record = {
        "a": {"b": 1, "c": None},
        "list": [{"k": "v", "x": 0}],
        "text": '{"deep": 1}',
        "^sent": {"at": 1},
        "x.y": 1,
    }
    assert has(record, path) is is_there


def test_comments_are_no_records_by_which_a_file_is_told() -> None:
    options = FormatOptions.model_validate({"format": "w3c"})
    lines = ["#Version: 1.0", "#Fields: date cs-method", "#", "2026-01-05 GET"]
    (block,) = open_format(options).records(Text("\n".join(lines).encode()), 1 << 10)
    decoded = rows_of(block, options, open_format(options).decoder(), 10)
    assert decoded == [{"date": "2026-01-05", "cs-method": "GET"}]
