"""The scanner is compiled where that is possible, its library is the one of this version, and without it all works."""

import os
from pathlib import Path

import pytest

from sessions_platform.errors import UserError
from sessions_platform.operations.doctor import Outcome, examine
from sessions_platform.scanner import __main__ as command
from sessions_platform.scanner import build, library
from sessions_platform.scanner.check import check
from sessions_platform.scanner.library import Scanner
from sessions_platform.settings import Settings, SettingsError


def found() -> tuple[Outcome, str, str]:
    (finding,) = (each for each in examine(os.environ) if each.what == "scanner")
    return finding.outcome, finding.found, finding.fix


def test_a_compiled_scanner_is_loaded(scanner: Scanner, no_library: Path) -> None:
    assert scanner
    assert library.scanner() is None
    file = build.build(check)
    library._loaded.cache_clear()
    assert isinstance(library.scanner(), Scanner)
    assert list(no_library.iterdir()) == [file]
    assert found() == (Outcome.ok, str(file), "")


def test_it_is_compiled_once_and_those_of_other_versions_go(scanner: Scanner, no_library: Path) -> None:
    assert scanner
    no_library.mkdir()
    (no_library / "scanner-0123456789abcdef.so").touch()
    file = build.build(check)
    made = file.stat().st_mtime_ns
    assert build.build(check).stat().st_mtime_ns == made
    assert list(no_library.iterdir()) == [file]


@pytest.mark.usefixtures("no_library")
def test_a_library_of_other_source_is_not_loaded(
    scanner: Scanner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert scanner
    build.build(check)
    other = tmp_path / "scanner.c"
    other.write_bytes(build.SOURCE.read_bytes() + b"\n")
    monkeypatch.setattr(build, "SOURCE", other)
    build.library_file.cache_clear()
    assert library.scanner() is None


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_one_line_says_so(no_library: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command.main()
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "with the same result: there is no C compiler on the PATH. Fix: install one" in said
    assert not list(no_library.glob("*"))
    outcome, shown, fix = found()
    assert (outcome, shown) == (
        Outcome.warn,
        "it is not compiled: NDJSON is read more slowly, with the same result",
    )
    assert fix.endswith("-m sessions_platform.scanner, with a C compiler (gcc, clang or the package ziglang)")


def test_what_the_compiler_says_is_shown(no_library: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "broken"
    script.write_text("#!/bin/sh\necho 'no such standard' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(build, "compilers", lambda: iter([["/nowhere/cc"], [str(script)]]))
    with pytest.raises(UserError, match=r"broken can't compile .*scanner\.c: no such standard"):
        build.build(check)
    assert list(no_library.iterdir()) == []


def test_a_library_that_reads_something_else_is_not_kept(
    no_library: Path, scanner: Scanner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert scanner
    wrong = tmp_path / "scanner.c"
    source = build.SOURCE.read_text()
    wrong.write_text(source.replace("found->kind = FRACTION", "found->kind = NOTHING"))
    assert wrong.read_text() != source
    monkeypatch.setattr(build, "SOURCE", wrong)
    with pytest.raises(UserError, match="does not read what it should"):
        build.build(check)
    assert list(no_library.iterdir()) == []


def test_a_folder_that_cant_be_written_to_is_named_with_the_fix(
    no_library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(no_library))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(UserError, match=r"share: Permission denied\. Fix: do this as the user who installed"):
        build.build(check)


def test_a_variable_switches_it_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSIONS_SCANNER", "off")
    assert library.scanner() is None
    assert found() == (Outcome.ok, "switched off by SESSIONS_SCANNER", "")


def test_any_other_value_of_the_variable_is_reported() -> None:
    assert Settings.from_environment({"SESSIONS_SCANNER": "on"}) == Settings.from_environment({})
    with pytest.raises(SettingsError, match=r"SESSIONS_SCANNER: 'no' is neither on nor off\. Fix: "):
        Settings.from_environment({"SESSIONS_SCANNER": "no"})
