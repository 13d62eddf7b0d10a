"""The mutation run finds places as they are written, draws the same mutants each time, and restores each file."""

from pathlib import Path

import pytest

from mutation import report
from mutation.record import Record
from mutation.sites import Mutant, of_file, uses
from mutation.trial import copy_checkout, plant

SOURCE = b'''"""1 < 2 in a docstring is text."""
LIMIT = 3
QUERY = "select a from b where a <= 1 and is_current"


def cut(silence: int | None, *, gap: int = LIMIT) -> bool:
    # a comment with more bytes than letters: \xe2\x89\xa4
    "select from where a < b"
    if silence is None or min(silence, 9) >= gap:
        return frame.join(other, how="anti")
    log(LIMIT)
    return not QUERY
'''


def changes(source: bytes) -> set[tuple[int, str, str]]:
    return {(mutant.line, mutant.old, mutant.new) for mutant in of_file("a.py", source, 1)}


def named(source: bytes) -> set[str]:
    return {mutant.id for mutant in of_file("a.py", source, 1)}


def test_places_are_those_of_code_and_of_sql() -> None:
    found = changes(SOURCE)
    assert found >= {
        (3, "<=", "<"),
        (3, "and is_current", ""),
        (9, "is", "is not"),
        (9, "or", "and"),
        (9, "min", "max"),
        (9, ">=", ">"),
        (10, '"anti"', '"semi"'),
        (11, "log(LIMIT)", "pass"),
        (12, "not ", ""),
    }
    assert {change[1] for change in found if change[0] in (1, 6, 8)} == set()
    assert {old: new for line, old, new in found if line == 2}["3"] in ("2", "4")


def test_each_mutant_is_one_change_that_compiles() -> None:
    for mutant in of_file("a.py", SOURCE, 1):
        source = mutant.planted(SOURCE)
        compile(source, "a.py", "exec")
        assert len(source) - len(SOURCE) == len(mutant.new.encode()) - len(mutant.old.encode())
        assert source != SOURCE


def test_ids_are_unique_and_stay_when_lines_move() -> None:
    assert named(SOURCE) == named(SOURCE.replace(b"LIMIT = 3", b"# moved\n\n\nLIMIT = 3"))
    assert len(named(SOURCE)) == len(of_file("a.py", SOURCE, 1))


def test_a_name_of_a_module_is_used_where_it_or_what_is_made_of_it_is(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a.py").write_text("A = 1\nB = A + 1\nC = 2\n\n\ndef use():\n    return B\n")
    assert list(uses(tmp_path, "shop", ["A"])) == [("shop/a.py", 7)]
    assert list(uses(tmp_path, "shop", ["C"])) == []


@pytest.fixture
def mutant() -> Mutant:
    return next(mutant for mutant in of_file("a.py", SOURCE, 1) if mutant.old == ">=")


def test_a_planted_defect_is_taken_out_again(tmp_path: Path, mutant: Mutant) -> None:
    path = tmp_path / "a.py"
    path.write_bytes(SOURCE)
    with plant(mutant, tmp_path):
        assert path.read_bytes() == SOURCE.replace(b">= gap", b"> gap")
    assert path.read_bytes() == SOURCE


def test_tests_of_a_line_run_quickest_first_followed_by_those_that_share_a_fixture(mutant: Mutant) -> None:
    tests = {
        name: {"seconds": seconds, "fixtures": fixtures, "failed": failed}
        for name, seconds, fixtures, failed in [
            *((f"t.py::{number}", number, [], False) for number in range(5, 0, -1)),
            ("t.py::shared", 2.5, ["fixture site"], False),
            ("t.py::failed", 0, [], True),
            ("u.py::elsewhere", 0, [], False),
        ]
    }
    names = ["t.py::failed", "fixture site", *(f"t.py::{number}" for number in range(1, 6))]
    reached = Record(tests=tests, lines={f"a.py:{mutant.line}": names}).covering(mutant, Path())
    assert reached == ["t.py::1", "t.py::2", "t.py::shared", "t.py::3", "t.py::4", "t.py::5"]
    few = Record(tests=tests, lines={f"a.py:{mutant.line}": ["t.py::4"]}).covering(mutant, Path())
    assert few == reached
    assert Record(tests=tests).covering(mutant, Path()) == []


def test_a_copy_has_the_files_that_git_does_not_ignore(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        pytest.skip("this is no checkout")
    copy = copy_checkout(root, tmp_path)
    assert (copy / "mutation" / "sites.py").read_bytes() == (root / "mutation" / "sites.py").read_bytes()
    assert not (copy / ".git").exists()


def test_the_report_counts_what_is_killed_and_leaves_out_what_changes_nothing(tmp_path: Path) -> None:
    drawn = of_file("a.py", SOURCE, 1)[:4]
    killed = {"state": "killed", "test": "t.py::1", "tests": 1}
    survived = {"state": "survived", "test": "", "tests": 7}
    results = {
        drawn[0].id: {"quick": killed},
        drawn[1].id: {"quick": survived, "slow": killed},
        drawn[2].id: {"quick": survived, "slow": survived},
        drawn[3].id: {"quick": survived},
    }
    said = report.write(tmp_path, drawn, results, {drawn[3].id: "the same, written otherwise"})
    assert "4 mutants, of which 1 change nothing. Of the other 3 the quick suite kills 1 (33.3%)" in said
    assert "the whole suite 2 (66.7%)" in said
    table = (tmp_path / "report.md").read_text()
    assert "**survived**, of 7 tests; the same, written otherwise" in table
