"""What models are fitted to, and which values of a text are levels."""

from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.scores import LABEL
from sessions_platform.transforms.score_training import Trained, train


def trained(rows: dict[str, Any], of: str, held_back: float = 0.25) -> Trained:
    """By one text, of sessions in the order of time."""
    labelled = pl.DataFrame(rows).with_columns(event_count=pl.lit(1, pl.Int64))
    return train(labelled, {"text": ColumnType.string}, held_back, {"score": "a", "predicts": "b", "of": of})


@pytest.mark.slow
def test_of_the_next_session_no_label_is_from_the_time_that_is_held_back() -> None:
    # Each user has four sessions, u0 to u99 in turn, so that of each round the next one has the labels.
    users = [f"u{user}" for _ in range(4) for user in range(100)]
    has_it = [number % 3 == 0 for number in range(400)]
    model = trained({"user_id": users, LABEL: has_it, "text": ["x"] * 400}, "next_session", held_back=1 / 3).model
    # 300 have a next one. The last hundred are held back; the hundred before have their next among those.
    assert (model.trained["sessions"], model.trained["held_back"]) == (100, 100)
    assert model.trained["with_label"] == sum(has_it[100:200])
    assert model.trained["held_back_with_label"] == sum(has_it[300:])


@pytest.mark.slow
def test_of_a_text_the_fifty_most_frequent_values_are_levels_and_of_equals_the_first_names() -> None:
    frequent = [f"often{number:02}" for number in range(49) for _ in range(21)]
    equal = [value for value in ("same2", "same1") for _ in range(20)]
    texts = [*frequent, *equal] * 2  # the half that is held back is as the other one
    rows = {"user_id": [f"u{n % 7}" for n in range(len(texts))], LABEL: [n % 2 == 0 for n in range(len(texts))]}
    levels = trained({**rows, "text": texts}, "session", held_back=0.5).model.features["text"]
    assert list(levels.values) == [*sorted(set(frequent)), "same1"]
