"""The line of a log is the same events inside of a container's records, of a journal's and of syslog's."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from sessions_platform.contracts.presets import preset_named, preset_names
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.contracts.wrappers import WRAPPERS, Inside
from sessions_platform.operations.inference.wrapped import IN_WORDS
from sessions_platform.operations.init import Proposal, propose
from sessions_platform.operations.preview import Preview, preview
from sessions_platform.settings import Settings
from sessions_platform_tests.presets.samples import expected_of, file_of, read

AT = "2026-01-05T09:00:00.123456789Z"
AROUND: dict[Inside, Callable[[str], str]] = {
    "docker": lambda line: json.dumps({"log": f"{line}\n", "stream": "stdout", "time": AT}),
    "cri": lambda line: f"{AT} stdout F {line}",
    "journald": lambda line: json.dumps(
        {"MESSAGE": list(line.encode()) if "\t" in line or not line.isascii() else line, "_SYSTEMD_UNIT": "web.service"}
    ),
    "syslog": lambda line: f"<190>Jan  5 10:00:00 web-1 nginx: {line}",
    "syslog_5424": lambda line: f'<190>1 {AT} web-1 nginx 7 - [a@1 b="x\\]"][c@1] \ufeff{line}',
}
LINES = [
    name
    for name in preset_names()
    if (of := preset_named(name)).kind == "log"
    and of.stream["source"]["format"] in ("regex", "ndjson")
    and not {"events", "explode"} & set(of.stream["source"])
]
OWN = ["properties", "event_id", "source_uri", "landing_partition"]


def read_inside(name: str, inside: Inside, folder: Path, lines: list[str], more: str = "") -> Preview:
    """What the stream of a preset makes of these lines, inside of such records."""
    file = folder / "lines.log"
    file.write_text("".join(f"{AROUND[inside](line)}\n" for line in lines), encoding="utf-8")
    source = f"source: {{preset: {name}, inside: {inside}, files: '{file}'}}"
    path = folder / "inside.yaml"
    path.write_text(f"name: inside\nstart: {expected_of(name).start}\n{source}\n{more}", encoding="utf-8")
    of = load_stream(path, folder)
    return preview(of, Settings(folder / "home", folder / "lake", ()), [file])


def proposed(name: str, inside: Inside, folder: Path) -> Proposal:
    """What is proposed for the sample of a preset inside of such records."""
    file = folder / "unknown.log"
    lines = file_of(name).read_text(encoding="utf-8").splitlines()
    file.write_text("".join(f"{AROUND[inside](line)}\n" for line in lines), encoding="utf-8")
    return propose("web", [file], Settings(folder / "home", folder / "lake", ()), folder)


def values(made: Preview) -> list[dict[str, Any]]:
    return made.events.sort("position").drop(OWN, strict=False).to_dicts()


@pytest.mark.parametrize("inside", list(WRAPPERS))
@pytest.mark.parametrize("name", LINES)
def test_the_events_are_those_of_the_lines_alone(name: str, inside: Inside, tmp_path: Path) -> None:
    _, alone = read(name, tmp_path)
    lines = file_of(name).read_text(encoding="utf-8").splitlines()
    made = read_inside(name, inside, tmp_path, lines)
    assert values(made) == values(alone)
    assert (made.rejected_by_reason, made.skipped) == (alone.rejected_by_reason, alone.skipped)


@pytest.mark.parametrize("inside", list(WRAPPERS))
def test_a_column_reads_what_is_around_the_line(inside: Inside, tmp_path: Path) -> None:
    lines = file_of("nginx_combined").read_text(encoding="utf-8").splitlines()
    field = {"docker": "stream", "cri": "stream", "journald": "_SYSTEMD_UNIT"}.get(inside, "host")
    made = read_inside("nginx_combined", inside, tmp_path, lines, f"columns: {{around: {{from: ^{field}}}}}")
    assert made.events["around"].unique().to_list() in (["stdout"], ["web.service"], ["web-1"])


@pytest.mark.parametrize(
    ("name", "inside"),
    [("nginx_combined", "docker"), ("pino_http", "cri"), ("varnish", "journald"), ("haproxy_http", "syslog")],
)
def test_init_knows_the_tool_by_its_lines_and_says_what_they_are_inside_of(
    name: str, inside: Inside, tmp_path: Path
) -> None:
    _is_proposed(name, inside, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "inside"), list(zip(LINES, itertools.cycle(WRAPPERS), strict=False)))
def test_init_knows_every_tool_inside_of_something(name: str, inside: Inside, tmp_path: Path) -> None:
    _is_proposed(name, inside, tmp_path)


def _is_proposed(name: str, inside: Inside, folder: Path) -> None:
    proposal = proposed(name, inside, folder)
    keys = yaml.safe_load(proposal.text)
    assert (keys["source"]["preset"], keys["source"]["inside"]) == (name, inside)
    assert preset_named(name).tool in proposal.says
    assert f"inside of {IN_WORDS[inside]}" in proposal.says
    assert proposal.problems == ()
    assert proposal.tried is not None
    _, alone = read(name, folder)
    assert proposal.tried.events.height == alone.events.height


def test_init_names_no_tool_for_lines_of_none_within_records(tmp_path: Path) -> None:
    file = tmp_path / "own.log"
    file.write_text("".join(f"{AROUND['docker'](f'user=u{at} kind=look at={AT}')}\n" for at in range(9)))
    text = propose("own", [file], Settings(tmp_path / "home", tmp_path / "lake", ()), tmp_path).text
    assert "preset:" not in text


def test_lines_of_another_program_can_be_skipped(tmp_path: Path) -> None:
    lines = file_of("nginx_combined").read_text(encoding="utf-8").splitlines()
    more = "columns: {method: {nullable: true}}\nskip: {payload: started}"
    made = read_inside("nginx_combined", "docker", tmp_path, [*lines, "started", "something else"], more)
    assert (made.events.height, made.skipped, made.rejected_by_reason) == (len(lines), 1, {"malformed": 1})


@pytest.mark.parametrize("inside", ["docker", "cri"])
def test_a_line_that_was_cut_at_16_kib_is_one_event(inside: Inside, tmp_path: Path) -> None:
    """A long address, its bytes cut where Docker and containerd cut them."""
    first, *_, last = file_of("nginx_combined").read_text(encoding="utf-8").splitlines()
    line = first.replace("GET /", f"GET /{'é' * 20_000}", 1).encode()
    parts = [line[at : at + 16384] for at in range(0, len(line), 16384)]
    logs = [part.decode(errors="replace") + "\n" * (part == parts[-1]) for part in parts]
    records = {
        "docker": [json.dumps({"log": log, "stream": "stdout", "time": AT}) for log in logs],
        "cri": [f"{AT} stdout {'F' if part == parts[-1] else 'P'} ".encode() + part for part in parts],
    }[inside]
    file = tmp_path / "lines.log"
    texts = [record if isinstance(record, bytes) else record.encode() for record in records]
    file.write_bytes(b"".join(text + b"\n" for text in [*texts, AROUND[inside](last).encode()]))
    path = tmp_path / "web.yaml"
    path.write_text(f"name: w\nstart: 2026-01-01\nsource: {{preset: nginx_combined, inside: {inside}, files: '*.log'}}")
    of = load_stream(path, tmp_path)
    made = preview(of, Settings(tmp_path / "home", tmp_path / "lake", ()), [file])
    (address, _) = made.events.sort("position")["page_url"]
    assert (made.raw_rows, made.rejected_by_reason) == (2, {})
    exact = f"/{'é' * 20_000}"
    if inside == "cri":
        assert address == exact
    else:  # Docker writes U+FFFD for each half of a character that it has cut in two
        assert address.replace("\ufffd\ufffd", "é") == exact


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("format: ndjson, parts: docker", "parts are joined to the line that parse cuts"),
        ("format: ndjson, parts: cri, parse: {field: log, format: logfmt}", "the records of cri are regex, not ndjson"),
        ("format: ndjson, parts: docker, parse: {field: a.log, format: logfmt}", "in a field of the record itself"),
    ],
)
def test_parts_without_the_records_that_have_them_are_refused(source: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    columns = "user_id: {}, event_type: {}, event_timestamp: {formats: ['%+']}"
    path.write_text(f"name: web\nstart: 2026-01-01\nsource: {{files: '*', {source}}}\ncolumns: {{{columns}}}\n")
    with pytest.raises(StreamError, match=reason):
        load_stream(path, tmp_path)


def test_syslog_without_a_host_and_as_rsyslog_writes_files(tmp_path: Path) -> None:
    lines = file_of("nginx_combined").read_text(encoding="utf-8").splitlines()
    heads = (
        "Jan  5 10:00:00 nginx[7]: ",
        "2026-01-05T10:00:00.123456+01:00 web-1 nginx: ",
        "<13>Jan 15 10:00:00 nginx: ",
    )
    file = tmp_path / "syslog"
    file.write_text("".join(f"{head}{line}\n" for head in heads for line in lines), encoding="utf-8")
    path = tmp_path / "web.yaml"
    path.write_text("name: w\nstart: 2026-01-01\nsource: {preset: nginx_combined, inside: syslog, files: '*'}")
    of = load_stream(path, tmp_path)
    made = preview(of, Settings(tmp_path / "home", tmp_path / "lake", ()), [file])
    assert (made.events.height, made.rejected_by_reason) == (3 * len(lines), {})
    _, alone = read("nginx_combined", tmp_path)
    once = made.events.filter(pl.col("position") <= len(lines))
    assert once.sort("position")["page_url"].to_list() == alone.events.sort("position")["page_url"].to_list()


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("{preset: iis_w3c, inside: docker, files: '*'}", "a record of w3c is no line within another record"),
        ("{preset: nginx_combined, inside: podman, files: '*'}", "lines are known to be inside of docker, cri"),
        ("{preset: pino_http, inside: docker, parse: {field: a, format: json}, files: '*'}", "keep one of them"),
    ],
)
def test_what_can_not_be_inside_is_refused_at_its_line(source: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "web.yaml"
    path.write_text(f"name: web\nstart: 2026-01-01\nsource: {source}\n", encoding="utf-8")
    with pytest.raises(StreamError, match=r"web\.yaml:3: source\.inside: ") as refused:
        load_stream(path, tmp_path)
    assert reason in str(refused.value)
