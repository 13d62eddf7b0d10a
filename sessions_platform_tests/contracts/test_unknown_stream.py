"""A stream that can't be found is told as what it is: a variable that is not set, a wrong folder, a wrong name."""

from pathlib import Path

import pytest

from sessions_platform.contracts.stream_file import StreamError
from sessions_platform.contracts.stream_folder import read_streams
from sessions_platform.contracts.unknown_stream import notes_on
from sessions_platform.errors import UserError
from sessions_platform.settings import DEMO_STREAMS
from sessions_platform_tests.contracts.test_stream_folder import text


def told(folder: Path, *own: Path, name: str = "app") -> str:
    """The error for a stream that is not there, with the folder's path as ROOT."""
    with pytest.raises(UserError) as error:
        read_streams([DEMO_STREAMS, *own], home=folder).named(name)
    return str(error.value).replace(str(folder), "ROOT")


def test_a_forgotten_variable_is_told_with_the_folder_of_the_file_if_that_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    start = (
        "app: there is no such stream: SESSIONS_STREAMS is not set, so that only the demo's streams are known. Fix: "
    )
    assert told(tmp_path) == f"{start}export SESSIONS_STREAMS= with the folder of app.yaml."
    (tmp_path / "app.yml").write_text(text(name="app"))
    assert told(tmp_path) == f"{start}export SESSIONS_STREAMS=ROOT."


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "ROOT (SESSIONS_STREAMS) is empty. Fix: put the stream's file there, or name the folder that has it."),
        (
            ["app.yaml.txt"],
            "ROOT (SESSIONS_STREAMS) has app.yaml.txt, and only names in .yaml or .yml are read. Fix: r",
        ),
        (["app.YAML"], "has app.YAML, and only names in .yaml or .yml are read. Fix: rename it app.yaml."),
        (
            ["web.yaml", "app.yml.doc"],
            "has app.yml.doc, and only names in .yaml or .yml are read. Fix: rename it app.y",
        ),
        (
            ["app.json", "x"],
            "has no .yaml or .yml file, but app.json, x. Fix: put the stream's file there, or name the",
        ),
        (
            ["streams/app.yaml"],
            "has no stream's file, but ROOT/streams/app.yaml, and folders in it are not read. Fix: n",
        ),
        (
            ["web.yaml"],
            "app: there is no such stream in ROOT (SESSIONS_STREAMS). Fix: name one of web, web_shop, or put",
        ),
        (["aps.yaml"], "Fix: write aps, or put app.yaml into the folder."),
        (["web.yaml", "app.yaml.bak", ".app.yaml.swp", "app.yaml~"], "Fix: name one of web, web_shop, or put app.yaml"),
    ],
)
def test_the_folder_that_was_looked_at_is_told_with_what_lies_there(
    tmp_path: Path, files: list[str], said: str
) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text(name=name.partition(".")[0].rpartition("/")[2]))
    assert said in told(tmp_path, tmp_path)


def test_a_folder_that_is_none_is_told_beside_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "streams").mkdir()
    file = tmp_path / "streams" / "app.yaml"
    file.write_text(text(name="app"))
    for folder, said in (
        (file, rf"it is a file, and streams are the files of a folder\. Fix: name its folder, {file.parent}\."),
        (
            tmp_path / "stream",
            rf"there is no such folder, but {tmp_path}/streams\. Fix: name that, or make the folder\.",
        ),
        (tmp_path / "x" / "y", rf"there is no such folder; {tmp_path} exists\. Fix: make it, or name the folder that "),
    ):
        with pytest.raises(StreamError, match=f"SESSIONS_STREAMS: {said}"):
            read_streams([folder], home=tmp_path)


def test_of_all_streams_the_same_is_told_as_notes(tmp_path: Path) -> None:
    assert list(notes_on([DEMO_STREAMS])) == []
    assert len(list(notes_on([DEMO_STREAMS, tmp_path]))) == 1
    (tmp_path / "app.yaml").write_text(text(name="app"))
    assert list(notes_on([DEMO_STREAMS, tmp_path])) == []
