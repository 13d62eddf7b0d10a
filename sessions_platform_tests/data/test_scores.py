"""A score of recorded sessions with real labels: better than counting events, and calibrated, on weeks held back."""

from pathlib import Path

import pytest

from sessions_platform.pipeline.scores import due_scores, score_sessions, train_score
from sessions_platform_tests.data.deployment import Deployed

pytestmark = [pytest.mark.data, pytest.mark.slow]

_SCORED = """
select score, purchase_count > 0 as buys from {schema}.sessions join {schema}.session_scores using (session_id)
order by session_start, session_id collate "C" """


def test_on_weeks_held_back_a_score_is_better_than_counting_events_and_calibrated(data: Path, home: Path) -> None:
    shop = Deployed.copy(home, "retentioneering_scores", "retentioneering_scores")
    shop.ingest(data / "retentioneering_ecom" / "ecom.csv.gz")
    published = train_score(shop.context, "purchase", "a-run")
    model, calibration = published.trained.model, published.trained.calibration
    assert (model.trained["sessions"], model.trained["held_back"]) == (2704, 901)
    score_sessions(shop.context, due_scores(shop.context).partitions)
    held_back = [(row["score"], row["buys"]) for row in shop.query(_SCORED)][2704:]
    assert model.metrics["auc"] == pytest.approx(auc(held_back), abs=1e-6)
    assert model.metrics["auc"] > 0.85
    assert model.metrics["auc_of_event_count"] < 0.7
    rate = sum(buys for _, buys in held_back) / len(held_back)
    assert model.metrics["brier"] < rate * (1 - rate) * 0.75
    off = sum(abs(each.predicted - each.observed) * each.sessions for each in calibration) / len(held_back)
    assert off < 0.08


def auc(scored: list[tuple[float, bool]]) -> float:
    """How often a buyer's score is higher than another's, by comparing all pairs."""
    buyers, others = ([score for score, buys in scored if buys is wanted] for wanted in (True, False))
    wins = sum((buyer > other) + (buyer == other) / 2 for buyer in buyers for other in others)
    return wins / (len(buyers) * len(others))
