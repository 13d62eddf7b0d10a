"""The table of all scenarios: how many trials, rows lost and doubled, and trials in which the user got a sentence.

A test records its trials, and the table is printed at the end of the tests, also where several processes ran them. Not
here: the trials.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from sessions_platform_tests.faults.trial import Outcome

_PROPERTY = "fault scenario"
_HEADER = ("scenario", "trials", "lost", "doubled", "reported")


@dataclass
class Scenario:
    """The trials of one test. `reported` counts those of which the user got a sentence, or needed none."""

    name: str
    trials: int = 0
    lost: int = 0
    doubled: int = 0
    reported: int = 0
    differences: list[str] = field(default_factory=list)

    def add(self, trial: str, outcome: Outcome, *, reported: bool = True) -> None:
        """Record a trial."""
        self.trials += 1
        self.lost += outcome.lost
        self.doubled += outcome.doubled
        self.reported += reported
        if outcome.lost or outcome.doubled or not reported:
            self.differences.append(f"{trial}: {outcome.difference or 'no sentence'}")

    def check(self) -> None:
        """Raise AssertionError unless every trial ended as if it had not been disturbed, and was reported."""
        assert self.differences == [], "\n".join(self.differences)
        assert (self.lost, self.doubled) == (0, 0)
        assert self.reported == self.trials
        assert self.trials > 0


@pytest.fixture
def scenario(request: pytest.FixtureRequest) -> Iterable[Scenario]:
    """The scenario of a test, named by the test's docstring; it is checked at the test's end by the test itself."""
    name = (request.function.__doc__ or request.function.__name__).strip().splitlines()[0].rstrip(".")
    own = Scenario(name)
    yield own
    request.node.user_properties.append((_PROPERTY, (own.name, own.trials, own.lost, own.doubled, own.reported)))


def table(rows: Iterable[tuple[str, int, int, int, int]]) -> list[str]:
    """The lines of the table, trials of one scenario added up."""
    sums: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for name, *counts in rows:
        sums[name] = [a + b for a, b in zip(sums[name], counts, strict=True)]
    lines = [[name, *map(str, counts)] for name, counts in sorted(sums.items())]
    return [f"| {' | '.join(line)} |" for line in [list(_HEADER), ["---"] * len(_HEADER), *lines]]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table, where any test recorded trials."""
    ends = [r for reports in terminalreporter.stats.values() for r in reports if getattr(r, "when", None) == "teardown"]
    rows = [tuple(value) for report in ends for name, value in report.user_properties if name == _PROPERTY]
    if rows:
        terminalreporter.section("faults: rows lost, rows doubled, and whether the user was told")
        terminalreporter.write_line("\n".join(table(rows)))
