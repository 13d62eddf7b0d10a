"""Scores as Dagster runs them: models are assets of their own, and sessions are scored in the run that changes them."""

import dagster as dg
import pytest

from sessions_platform.errors import UserError
from sessions_platform.orchestration.commands import run_stream, train_scores
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.orchestration.test_sensors import ranges, tick
from sessions_platform_tests.pipeline.test_scores import DAYS, NAMES, SHOP, visits

pytestmark = pytest.mark.slow


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """The results of the checks of session_scores by name."""
    evaluations = result.get_asset_check_evaluations()
    return {each.check_name: each.passed for each in evaluations if each.asset_key.path[-1] == "session_scores"}


def test_a_model_is_trained_by_a_job_of_its_own_and_a_refresh_scores(home: Home, instance: dg.DagsterInstance) -> None:
    home.write_stream(**SHOP)
    for day, key in enumerate(DAYS[:5]):
        folder = home.folder / "streams" / "landing" / key
        folder.mkdir(parents=True)
        (folder / "a.ndjson").write_bytes(b"\n".join(visits(day)) + b"\n")
    home.execute("ingest_events", DAYS[0], DAYS[4], instance)
    refreshed = home.execute("refresh_sessions", DAYS[0], DAYS[4], instance)
    assert checks(refreshed) == {"scores_are_current": False, "score_distribution": True}
    assert tick(home, "stale_scores", instance).skip_message == "nothing to do"

    train = home.definitions.resolve_job_def(f"{home.name}__train_scores")
    (purchase,) = (
        event.materialization
        for event in train.execute_in_process(instance=instance).get_asset_materialization_events()
        if event.asset_key and event.asset_key.path[-1] == "score_model__purchase"
    )
    assert 0.5 < float(str(purchase.metadata["auc"].value)) < 1
    assert "data:image/png;base64," in str(purchase.metadata["calibration_plot"].value)
    features = purchase.metadata["features"].value.records  # type: ignore[union-attr]
    assert [record.data["feature"] for record in features] == [
        "duration_seconds",
        "event_count",
        "entry_page",
        "channel",
        *NAMES,
    ]

    (request,) = tick(home, "stale_scores", instance).run_requests or []
    assert ranges(request) == (DAYS[0], DAYS[4])
    assert checks(home.execute("score_sessions", *ranges(request), instance)) == dict.fromkeys(checks(refreshed), True)
    assert tick(home, "stale_scores", instance).skip_message == "nothing to do"
    assert len(home.table("session_scores")) == 2 * len(home.table())

    (home.folder / "streams" / "landing" / DAYS[4] / "b.ndjson").write_bytes(b"\n".join(visits(4, seed=1)) + b"\n")
    run_stream(home.settings, home.name, None)
    assert len(home.table("session_scores")) == 2 * len(home.table())

    file = home.stream_context.lake.filesystem.root / str(purchase.metadata["file"].value)  # type: ignore[attr-defined]
    file.write_bytes(b"{}")
    refreshed = home.execute("refresh_sessions", DAYS[4], DAYS[4], instance)
    assert (refreshed.success, checks(refreshed)["scores_are_current"]) == (True, False)
    assert not home.execute("score_sessions", DAYS[4], DAYS[4], instance).success

    with pytest.raises(UserError, match=r"has no score purchases\. Fix: .*purchase, again"):
        train_scores(home.settings, home.name, ["purchases"])
    before = home.stream_context.ledger.newest_score_models()
    listed = train_scores(home.settings, home.name, ["purchase"])
    assert [(score["score"], score["state"], score["due"]) for score in listed] == [
        ("purchase", "current", 0),
        ("again", "current", 0),
    ]
    after = home.stream_context.ledger.newest_score_models()
    assert after["purchase"].trained_at > before["purchase"].trained_at
    assert after["again"] == before["again"], "only what is named is trained"
