"""Fit a scorecard to labelled sessions, and measure it on later ones.

A logistic regression on the levels of each feature, by scikit-learn (the extra `ml`): its solver ends at the one best
solution, and weights are rounded, so that the same sessions give the same text. Not here: which sessions these are
(`pipeline/scores.py`), and what the model then gives (`scorecard.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from sessions_platform.contracts.column_types import StoredType
from sessions_platform.contracts.columns import ColumnType
from sessions_platform.contracts.scores import LABEL
from sessions_platform.errors import MissingExtraError, UserError
from sessions_platform.transforms.scorecard import Levels, Scorecard

FEWEST = 20  # sessions with what is predicted, and without, to learn from
# A value is a level where so many sessions of so many users have it: rare ones say little, and may name somebody.
_SESSIONS_OF_LEVEL, _USERS_OF_LEVEL = 20, 5
_VALUES = 50  # of a text; each takes eight bytes of each session
_RANGES = 8  # of a number, by quantiles
_SCORE_RANGES = 10
# Of a feature; of a text there are two more than values. And how often a matrix with all of them is in memory.
_MOST_LEVELS: Mapping[StoredType, int] = {
    ColumnType.integer: _RANGES + 1,
    ColumnType.float: _RANGES + 1,
    ColumnType.boolean: 4,
}
_MATRICES = 2
_DIGITS = 6
BASELINE = "event_count"
# No columns of sessions, whose names have no brackets.
_NUMBER, _PLACE, _SESSIONS, _USERS = "(number)", "(number of the label's)", "(sessions)", "(users)"


@dataclass(frozen=True)
class CalibrationRange:
    """Held-back sessions with neighbouring scores: how many, what was predicted on average, and what came true."""

    sessions: int
    predicted: float
    observed: float


@dataclass(frozen=True)
class Trained:
    """A model, and how well it is calibrated on the sessions that were held back, by ranges of scores."""

    model: Scorecard
    calibration: Sequence[CalibrationRange]

    def of_sample(self, count: int) -> "Trained":
        """The same, made of a sample of so many sessions."""
        return replace(self, model=replace(self.model, trained={**self.model.trained, "sampled_from": count}))


def most_sessions(features: Mapping[str, StoredType], size: int) -> int:
    """Of how many sessions a model is fitted to in so many bytes: by a matrix, and what the solver makes of it."""
    levels = sum(_MOST_LEVELS.get(kind, _VALUES + 2) for kind in features.values())
    return size // (_MATRICES * np.dtype(float).itemsize * levels)


def train(
    labelled: pl.DataFrame, features: Mapping[str, StoredType], held_back: float, about: Mapping[str, Any]
) -> Trained:
    """A model of sessions in the order of time.

    Where the next session is predicted, it is fitted to those alone whose next one began before what is held back.

    Args:
        labelled: user_id (String), `LABEL` (Boolean, not null: whether this session has it), event_count, and the
            features; the latest session last.
        features: columns with their types.
        held_back: the share of sessions, the last ones, that it is measured on.
        about: `score`, `predicts` and `of` of the model.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        UserError: too few sessions have what is predicted, or all do.
    """
    labelled = _with_places(labelled, of_next=about["of"] == "next_session")
    cut = labelled.height - round(labelled.height * held_back)
    fitted, measured = labelled.head(cut), labelled.slice(cut)
    if measured.height:
        fitted = fitted.filter(pl.col(_PLACE) < measured[_NUMBER][0])
    _refuse_few(about["score"], fitted, measured)
    model = _fit(fitted, features, about)
    baseline = _fit(fitted, {BASELINE: ColumnType.integer}, about)
    scores = model.scores(measured)
    metrics = _metrics(measured[LABEL], scores)
    metrics["auc_of_event_count"] = _metrics(measured[LABEL], baseline.scores(measured))["auc"]
    trained = {
        "sessions": fitted.height,
        "with_label": int(fitted[LABEL].sum()),
        "held_back": measured.height,
        "held_back_with_label": int(measured[LABEL].sum()),
    }
    return Trained(replace(model, trained=trained, metrics=metrics), _calibration(measured[LABEL], scores))


def _with_places(labelled: pl.DataFrame, *, of_next: bool) -> pl.DataFrame:
    """Sessions with their number and that of the session that the label is of; those without one are left out."""
    numbered = labelled.with_row_index(_NUMBER).with_columns(pl.col(_NUMBER).alias(_PLACE))
    if not of_next:
        return numbered
    return numbered.with_columns(pl.col(LABEL, _PLACE).shift(-1).over("user_id")).drop_nulls(_PLACE)


def _refuse_few(score: str, fitted: pl.DataFrame, measured: pl.DataFrame) -> None:
    positive = int(fitted[LABEL].sum())
    least = min(positive, fitted.height - positive)
    if least < FEWEST:
        raise UserError(
            f"scores.{score}: of {fitted.height} sessions to learn from {positive} have what it predicts; {FEWEST} "
            f"that have it and {FEWEST} that have not are needed. Fix: widen train, or train once there are more."
        )
    if measured[LABEL].n_unique() < 2:
        raise UserError(
            f"scores.{score}: of the {measured.height} sessions that are held back all have what it predicts, or none, "
            f"so that nothing can be measured. Fix: widen train.held_back, or train once there are more."
        )


def _fit(fitted: pl.DataFrame, features: Mapping[str, StoredType], about: Mapping[str, Any]) -> Scorecard:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise MissingExtraError("scikit-learn", "ml") from None
    levels = {name: _levels(fitted, name, kind) for name, kind in features.items()}
    regression = LogisticRegression(solver="newton-cholesky", max_iter=200, tol=1e-10)
    regression.fit(_matrix(fitted, levels), fitted[LABEL].to_numpy())
    weights = iter(_rounded(regression.coef_[0]))
    weighted = {
        name: replace(each, weights=[next(weights) for _ in range(each.count)]) for name, each in levels.items()
    }
    model = Scorecard(
        **about,
        trained={},
        metrics={},
        intercept=_rounded(np.atleast_1d(regression.intercept_))[0],
        features=weighted,
        score_edges=(),
        score_shares=(1.0,),
    )
    scores = model.scores(fitted)
    model = replace(model, score_edges=_quantiles(scores, _SCORE_RANGES))
    model = replace(model, score_shares=[0.0] * (len(model.score_edges) + 1))
    return replace(model, score_shares=_rounded(model.counts(scores) / fitted.height))


def _matrix(fitted: pl.DataFrame, levels: Mapping[str, Levels]) -> np.ndarray:
    """For each session a 1 at its level of each feature."""
    matrix = np.zeros((fitted.height, sum(each.count for each in levels.values())))
    rows, start = np.arange(fitted.height), 0
    for name, each in levels.items():
        matrix[rows, start + each.place(fitted[name])] = 1
        start += each.count
    return matrix


def _levels(fitted: pl.DataFrame, name: str, kind: StoredType) -> Levels:
    """The levels of a feature, without weights yet."""
    if kind in (ColumnType.integer, ColumnType.float):
        return Levels(_quantiles(fitted[name], _RANGES), (), ())
    known = fitted.select(pl.col(name).cast(pl.String), "user_id").drop_nulls(name)
    counts = {_SESSIONS: pl.len(), _USERS: pl.col("user_id").n_unique()}
    counted = known.group_by(name).agg(count.alias(of) for of, count in counts.items())
    frequent = counted.filter(pl.col(_SESSIONS) >= _SESSIONS_OF_LEVEL, pl.col(_USERS) >= _USERS_OF_LEVEL)
    most = frequent.sort(_SESSIONS, name, descending=[True, False]).head(_VALUES)
    return Levels(None, sorted(most[name]), ())


def _quantiles(values: pl.Series, ranges: int) -> list[float]:
    """Values between ranges of about equally many rows; fewer where many rows have the same value."""
    known = np.sort(values.cast(pl.Float64).drop_nulls().drop_nans().to_numpy())
    if not known.size:
        return []
    places = [known.size * number // ranges for number in range(1, ranges)]
    return [float(edge) for edge in np.unique(known[places]) if edge < known[-1]]


def _metrics(label: pl.Series, scores: pl.Series) -> dict[str, float]:
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    truth, predicted = label.to_numpy(), scores.to_numpy()
    measured = {
        "auc": roc_auc_score(truth, predicted),
        "log_loss": log_loss(truth, predicted),
        "brier": brier_score_loss(truth, predicted),
    }
    return {name: round(float(value), _DIGITS) for name, value in measured.items()}


def _calibration(label: pl.Series, scores: pl.Series) -> list[CalibrationRange]:
    edges = _quantiles(scores, _SCORE_RANGES)
    frame = pl.DataFrame({"label": label, "score": scores, "range": np.searchsorted(edges, scores.to_numpy(), "left")})
    ranges = frame.group_by("range").agg(
        sessions=pl.len(), predicted=pl.col("score").mean(), observed=pl.col("label").mean()
    )
    return [CalibrationRange(**row) for row in ranges.sort("range").drop("range").iter_rows(named=True)]


def _rounded(numbers: np.ndarray) -> list[float]:
    """With six decimals: what the order of additions changes is far below. There is no -0.0 among them."""
    return [round(float(number), _DIGITS) + 0.0 for number in numbers]
