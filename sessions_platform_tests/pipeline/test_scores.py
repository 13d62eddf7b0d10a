"""Scores of sessions: the same text and the same bits each time, never of an earlier state, and gone with the user."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sessions_platform.contracts.scores import features_of
from sessions_platform.errors import MissingExtraError, UserError
from sessions_platform.memory_budget import MemoryBudget
from sessions_platform.operations.erase import erase
from sessions_platform.operations.rebuild import rebuild
from sessions_platform.operations.score_status import score_status
from sessions_platform.operations.verify import verify
from sessions_platform.orchestration.jobs import score_ranges
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.scores import check_scores, due_scores, score_sessions, train_score
from sessions_platform.transforms import score_training
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.killed_scoring import train_and_score
from sessions_platform_tests.pipeline.steps import RUN, put, run_pending, table
from sessions_platform_tests.streams import DAY_ONE, PLAIN, stream

pytestmark = pytest.mark.slow

DAY = timedelta(days=1)
DAYS = [f"2026-01-{day:02}" for day in range(1, 9)]
# Of session columns, as parts of statements and frames may be named.
NAMES = ("label", "rows", "users", "place", "next_label")
SHOP: dict[str, Any] = {
    "columns": {**PLAIN["columns"], "channel": {"nullable": True}, "amount": {"type": "float", "nullable": True}},
    "session": {
        "columns": {
            "channel": {"first": "channel"},
            **{name: {"last": "channel"} for name in NAMES},
        },
        "conversions": {"purchase": {"event_type": "purchase", "value": "amount"}},
    },
    "scores": {"purchase": {}, "again": {"predicts": "purchase", "of": "next_session"}},
}
Open = Callable[..., StreamContext]


def visits(day: int, users: int = 60, seed: int = 0) -> list[bytes]:
    """Sessions of a day: who came by mail buys more often than who came by an advertisement."""
    chance, rows = random.Random(f"{seed}/{day}"), list[bytes]()
    for user in range(users):
        at, channel = DAY_ONE + day * DAY + timedelta(minutes=chance.randrange(1300)), chance.choice(["Email", "Paid"])
        views = chance.randrange(1, 6)
        buys = chance.random() < (0.6 if channel == "Email" else 0.1)
        kinds = ["view"] * views + ["purchase"] * buys
        rows += [
            line(f"u{user:02}", at + timedelta(minutes=n), f"{day}-{user}-{n}", kind, channel=channel, amount=9.5)
            for n, kind in enumerate(kinds)
        ]
    return rows


@pytest.fixture
def shop(open_context: Open) -> StreamContext:
    context = open_context(**SHOP)
    for day, key in enumerate(DAYS):
        put(context, f"{key}/a", visits(day), key)
    run_pending(context)
    return context


def trained(context: StreamContext) -> StreamContext:
    for name in context.stream.scores:
        train_score(context, name, RUN)
    score_sessions(context, due_scores(context).partitions)
    return context


def scores(context: StreamContext) -> dict[tuple[str, str], tuple[str, str, str]]:
    """By session and score: the score's bits, the model and the partition."""
    rows = table(context, "session_scores")
    found = {
        (row["session_id"], row["score_name"]): (row["score"].hex(), row["model"], row["session_partition"])
        for row in rows
    }
    assert len(found) == len(rows)
    return found


def test_the_same_sessions_give_the_same_text_and_a_model_that_is_read_again_the_same_bits(shop: StreamContext) -> None:
    first, again = (train_score(shop, "purchase", RUN) for _ in range(2))
    assert first.version == again.version
    train_score(shop, "again", RUN)
    result = score_sessions(shop, DAYS)
    before = scores(shop)
    assert len(before) == 2 * len(table(shop, "sessions"))
    assert all(check.passed for check in check_scores(shop, result))
    score_sessions(StreamContext(shop.stream, shop.source, shop.lake, shop.database), DAYS)
    assert scores(shop) == before
    assert first.trained.model.metrics["auc"] > first.trained.model.metrics["auc_of_event_count"]


def test_more_sessions_than_fit_into_memory_are_sampled_by_users_the_same_ones_each_time(shop: StreamContext) -> None:
    """Of as many as there is room for; whoever has just as much memory as all sessions take gets all of them."""
    count = sum(row["session_partition"] != DAYS[-1] for row in table(shop, "sessions"))
    bytes_of_one = 1 << 20
    while score_training.most_sessions(features_of(shop.stream, "purchase"), bytes_of_one - 8) >= 1:
        bytes_of_one -= 8
    models = []
    for size in (count, count - 1, count // 2, count // 2):
        small = replace(shop, memory=MemoryBudget(size * bytes_of_one, 1 << 25))
        models.append(train_score(small, "purchase", RUN).trained.model)
    whole, almost, half, again = (model.trained for model in models)
    assert models[2].text == models[3].text
    assert "sampled_from" not in whole
    assert (almost["sampled_from"], half["sampled_from"], again["sampled_from"]) == (count, count, count)
    assert whole["sessions"] + whole["held_back"] == count
    assert 0 < half["sessions"] + half["held_back"] <= count // 2


def test_a_late_event_changes_the_scores_of_its_session_alone_and_no_score_is_of_an_earlier_state(
    shop: StreamContext,
) -> None:
    before = scores(trained(shop))
    changed = next(row for row in table(shop, "sessions") if row["session_partition"] == DAYS[2])
    late = line(changed["user_id"], changed["session_end"] + timedelta(minutes=1), "late", channel="Paid", amount=None)
    put(shop, f"{DAYS[7]}/late", [late], DAYS[7])
    run_pending(shop)
    of_it = {key for key in before if key[0] == changed["session_id"]}
    assert scores(shop) == {key: score for key, score in before.items() if key not in of_it}
    assert due_scores(shop).partitions == [DAYS[2]]
    score_sessions(shop, [DAYS[2]])
    after = scores(shop)
    assert {key for key in after if after[key] != before[key]} <= of_it
    assert after[changed["session_id"], "purchase"] != before[changed["session_id"], "purchase"]
    assert due_scores(shop).partitions == []


def test_scores_are_due_after_a_rebuild_and_after_another_model_and_are_the_same(shop: StreamContext) -> None:
    before = scores(trained(shop))
    rebuild(shop, "another-run", lambda _: None)
    assert due_scores(shop).partitions == DAYS
    score_sessions(shop, DAYS)
    assert scores(shop) == before
    put(shop, f"{DAYS[7]}/more", visits(0, seed=1), DAYS[7])
    run_pending(shop)
    version = train_score(shop, "purchase", RUN).version
    assert {model for (_, name), (_, model, _) in before.items() if name == "purchase"} != {version}
    assert due_scores(shop).partitions == DAYS
    score_sessions(shop, DAYS)
    assert {model for (_, name), (_, model, _) in scores(shop).items() if name == "purchase"} == {version}


def test_after_a_rebuild_with_another_cadence_its_partitions_are_due_and_nothing_is_of_the_old_ones(
    shop: StreamContext,
) -> None:
    before = scores(trained(shop))
    keys = {**SHOP, "session": {**SHOP["session"], "partition": "weekly"}}
    weekly = StreamContext(stream(name=shop.stream.name, **keys), shop.source, shop.lake, shop.database)
    rebuild(weekly, "another-run", lambda _: None)
    weeks = ["2025-12-29", "2026-01-05"]
    assert (due_scores(weekly).partitions, score_ranges(weekly)) == (weeks, [(weeks[0], weeks[1])])
    assert {row["session_partition"] for row in table(weekly, "scored_partitions")} <= set(weeks)
    score_sessions(weekly, weeks)
    after = scores(weekly)
    assert {key: score[:2] for key, score in after.items()} == {key: score[:2] for key, score in before.items()}
    assert {partition for *_, partition in after.values()} == set(weeks)
    assert due_scores(weekly).partitions == []


def test_a_shifted_stream_trips_the_check_of_the_distribution(open_context: Open) -> None:
    context = open_context(**{**SHOP, "scores": {"purchase": {}}})
    for day, key in enumerate(DAYS[:6]):
        put(context, f"{key}/a", visits(day), key)
    shifted = [row.replace(b'"Paid"', b'"Email"') for row in visits(6, 230)]
    put(context, f"{DAYS[6]}/a", shifted, DAYS[6])
    run_pending(context)
    trained(context)
    _, calm = check_scores(context, score_sessions(context, DAYS[:5]))
    _, alarmed = check_scores(context, score_sessions(context, [DAYS[6]]))
    assert (calm.passed, alarmed.passed) == (True, False)
    assert alarmed.metadata["shifted"] == ["purchase"]


def test_an_erased_users_scores_go_with_the_sessions(shop: StreamContext) -> None:
    trained(shop)
    sessions = {row["session_id"] for row in table(shop, "sessions") if row["user_id"] == "u01"}
    assert sessions & {session for session, _ in scores(shop)}
    receipt = erase(shop, ["u01"])
    assert not sessions & {session for session, _ in scores(shop)}
    assert any("scores" in sentence for sentence in receipt["may_remain"])


def test_verification_finds_a_model_that_is_damaged_or_missing_and_leaves_its_training_to_the_user(
    shop: StreamContext,
) -> None:
    model = train_score(shop, "purchase", RUN)
    file = shop.lake.filesystem.root / model.path  # type: ignore[attr-defined]
    assert verify(shop, RUN, deep=True).problems == []
    file.write_bytes(file.read_bytes()[:-1])
    (damaged,) = verify(shop, RUN, deep=True, repairing=True).problems
    assert (damaged["kind"], damaged["path"], damaged["partition"]) == ("damaged", model.path, "purchase")
    assert damaged["detail"] == "its bytes are not those that were written"
    assert damaged["not_repaired"].endswith(f"Fix: sessions-platform train {shop.stream.name} purchase")
    file.unlink()
    (missing,) = verify(shop, RUN).problems
    assert (missing["kind"], missing["detail"]) == ("missing", "there is no such file")


def test_scores_are_listed_with_the_state_of_their_models(shop: StreamContext) -> None:
    model = train_score(shop, "purchase", RUN)
    purchase, again = score_status(shop)
    assert (purchase["state"], purchase["model"], purchase["due"]) == ("current", model.version, len(DAYS))
    assert purchase["metrics"] == model.trained.model.metrics
    assert (again["state"], again["trained_at"], again["metrics"], again["due"]) == ("untrained", None, {}, 0)
    other = stream(name=shop.stream.name, **{**SHOP, "scores": {"purchase": {"of": "next_session"}}})
    (outdated,) = score_status(StreamContext(other, shop.source, shop.lake, shop.database))
    assert (outdated["state"], outdated["model"]) == ("outdated", model.version)


def test_a_model_that_is_damaged_is_noticed_and_trained_anew_with_the_same_text(shop: StreamContext) -> None:
    model = train_score(shop, "purchase", RUN)
    file = shop.lake.filesystem.root / model.path  # type: ignore[attr-defined]
    file.write_bytes(file.read_bytes().replace(b"0.", b"1.", 1))
    train_score(shop, "again", RUN)
    with pytest.raises(UserError, match=r"its bytes are not those that were written\. Fix: materialize "):
        score_sessions(shop, DAYS[:1])
    refreshed = score_sessions(shop, DAYS, by_usable=True)
    assert {name for _, name in scores(shop)} == {"again"}
    current, _ = check_scores(shop, refreshed)
    assert (current.passed, current.metadata["due"]) == (False, DAYS)
    assert [model.path in sentence for sentence in current.metadata["unusable"]] == [True]
    assert train_score(shop, "purchase", RUN).version == model.version
    assert score_sessions(shop, DAYS[:1]).rows[DAYS[0]] > 0


def test_too_few_sessions_are_a_sentence(open_context: Open) -> None:
    context = open_context(**SHOP)
    put(context, "a", visits(0, users=12), DAYS[0])
    put(context, "b", visits(1, users=12), DAYS[1])
    run_pending(context)
    with pytest.raises(UserError, match=r"^scores.purchase: of 9 sessions .* 20 that have it and 20 that have not are"):
        train_score(context, "purchase", RUN)
    assert due_scores(context).without_model == ["purchase", "again"]


def test_a_missing_library_is_a_sentence_and_scoring_does_without_it(
    shop: StreamContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_score(shop, "purchase", RUN)
    for module in ("sklearn.linear_model", "sklearn.metrics"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"^scikit-learn is not installed\. Fix: .*sessions-platform\[ml\]"):
        train_score(shop, "purchase", RUN)
    assert score_sessions(shop, DAYS[:1]).rows[DAYS[0]] > 0


# After the first partition's scores but before their commit, and after it.
POINTS = (6, 7)


def test_scoring_that_is_killed_before_a_commit_or_after_it_and_run_again_ends_in_the_same_table(
    shop: StreamContext,
) -> None:
    train_and_score(shop)
    expected = scores(shop)
    assert len({partition for *_, partition in expected.values()}) == 2
    for point in POINTS:
        with shop.database.transaction() as connection:
            for name in ("session_scores", "scored_partitions"):
                connection.execute(f"delete from {shop.stream.name}.{name}".encode())
            connection.execute("delete from sessions_platform.score_models where stream = %s", [shop.stream.name])
        killed = in_a_child(shop, point)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert len(scores(shop)) == (60 if point == POINTS[-1] else 0)
        train_and_score(shop)
        assert scores(shop) == expected


def in_a_child(context: StreamContext, point: int) -> subprocess.CompletedProcess[str]:
    """`train_and_score` in a process that kills itself at the point."""
    settings = context.database._settings
    own = {"SESSIONS_HOME": str(settings.home), "SESSIONS_LAKE": str(settings.lake), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(
        [sys.executable, "-m", "sessions_platform_tests.pipeline.killed_scoring", str(point)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **own, "STREAM_KEYS": json.dumps({**PLAIN, **SHOP, "name": context.stream.name})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
