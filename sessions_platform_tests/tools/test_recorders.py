"""A tool that behaves otherwise than recorded shows as a difference; what differs from run to run does not."""

import json
import shutil
from pathlib import Path

import pytest

from sessions_platform_tests.tools.__main__ import FIXTURES, differences
from sessions_platform_tests.tools.recorders import RECORDERS


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES, tmp_path / "recorded"))


def _differing(kind: str, recorded: Path) -> int:
    return differences(RECORDERS[kind], FIXTURES / kind, recorded / kind)


@pytest.mark.parametrize("kind", ["browser", "server"])
def test_the_same_recordings_do_not_differ(kind: str, recorded: Path) -> None:
    assert _differing(kind, recorded) == 0


def test_an_event_in_another_session_is_shown(recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = recorded / "browser" / "rudderstack.plain.ndjson"
    *before, last = file.read_text(encoding="utf-8").splitlines()
    event = json.loads(last)
    event["context"]["sessionId"] += 1
    file.write_text("\n".join([*before, json.dumps(event)]) + "\n", encoding="utf-8")
    assert _differing("browser", recorded) == 1
    shown = capsys.readouterr().out.splitlines()
    assert [line[:8] for line in shown if line.startswith(("-[", "+["))] == ["-[2, 6, ", "+[2, 7, "]


def test_a_resend_less_and_another_version_are_shown(recorded: Path) -> None:
    file = recorded / "server" / "segment_node.ndjson"
    lines = file.read_text(encoding="utf-8").splitlines()
    resent = next(line for line in lines if json.loads(line)["mode"] == "cut")
    lines.remove(resent)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    versions = recorded / "server" / "versions.json"
    versions.write_text(versions.read_text(encoding="utf-8").replace('"3.1.0"', '"3.2.0"'), encoding="utf-8")
    assert _differing("server", recorded) == 2


def test_ids_and_times_of_another_run_are_not(recorded: Path) -> None:
    file = recorded / "server" / "segment_node.ndjson"
    text = file.read_text(encoding="utf-8")
    other = text.replace("node-next-", "node-next-0").replace('"timestamp\\":\\"2026-', '"timestamp\\":\\"2027-')
    assert other != text
    file.write_text(other, encoding="utf-8")
    assert _differing("server", recorded) == 0
