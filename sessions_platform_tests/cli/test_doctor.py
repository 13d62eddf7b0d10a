"""How `doctor` shows a finding. Not here: what it finds (`operations/test_doctor.py`)."""

import pytest

from sessions_platform.cli.doctor import finding_lines
from sessions_platform.operations.doctor import Finding, Outcome

FINDING = Finding("lake", Outcome.fail, "the folder /srv/lake can't be written by this user", "let this user write it")


@pytest.mark.parametrize("columns", [40, 80, 300])
def test_a_finding_fits_the_terminal_and_is_whole(columns: int) -> None:
    first, *others = finding_lines(FINDING, columns)
    assert max(map(len, [first, *others])) <= min(columns, 100)
    assert first.startswith("fail  lake: ")
    assert all(line.startswith(" " * 6) for line in others)
    words = " ".join(line[6:] for line in [first, *others])
    assert words == f"lake: {FINDING.found} Fix: {FINDING.fix}."


def test_where_there_is_no_terminal_finding_and_fix_are_a_line_each() -> None:
    assert list(finding_lines(FINDING, None)) == [
        f"fail  lake: {FINDING.found}",
        f"      Fix: {FINDING.fix}.",
    ]
