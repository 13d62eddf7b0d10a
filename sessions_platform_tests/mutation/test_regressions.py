"""Each regression that can be planted is still a text of the package, and its test is still there."""

import pytest

from mutation.record import ROOT, TESTS
from mutation.regressions import REGRESSIONS, Regression


@pytest.mark.parametrize("regression", REGRESSIONS, ids=lambda regression: regression.defect)
def test_a_regression_can_be_planted_and_its_test_exists(regression: Regression) -> None:
    module, _, function = regression.test.partition("::")
    mutant = regression.mutant
    source = (ROOT / mutant.path).read_bytes()
    assert mutant.planted(source) != source
    compile(mutant.planted(source), mutant.path, "exec")
    assert f"def {function}" in (ROOT / TESTS / module).read_text(encoding="utf-8")


def test_a_text_that_is_not_in_its_module_is_an_error() -> None:
    with pytest.raises(ValueError, match="no more"):
        _ = Regression("", "settings.py", "not in it", "", "").mutant
