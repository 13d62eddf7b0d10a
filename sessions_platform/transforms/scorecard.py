"""A scorecard: the model of a score, as readable text, and what it gives sessions.

Each feature has levels (a range of numbers, a value, null) and each level a weight. The weights of a session's levels
are added to the intercept; the logistic function makes a probability of the sum. Here: the text, scores, and how far
their distribution has shifted since training. Not here: how weights are fitted (`score_training.py`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl

OTHER = "other"
# Shares below are counted as this one, since a logarithm of nothing has no value.
_LEAST_SHARE = 0.0001


@dataclass(frozen=True)
class Levels:
    """The levels of one feature with their weights; the last one is that of null.

    A number's levels are the ranges between `edges`, each without its lower edge: `edges` has one entry less than there
    are ranges. Any other value's levels are `values`, then all others together.
    """

    edges: Sequence[float] | None
    values: Sequence[str]
    weights: Sequence[float]

    @property
    def count(self) -> int:
        """How many levels there are."""
        return (len(self.values) if self.edges is None else len(self.edges)) + 2

    def place(self, column: pl.Series) -> np.ndarray:
        """The number of the level of each row, from 0. Numbers may be of any type, all others are compared as text."""
        if self.edges is None:
            numbers = {value: number for number, value in enumerate(self.values)}
            known = column.cast(pl.String).replace_strict(numbers, default=len(self.values), return_dtype=pl.Int64)
            return np.where(column.is_null().to_numpy(), self.count - 1, known.to_numpy())
        values = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return np.where(np.isnan(values), self.count - 1, np.searchsorted(self.edges, values, side="left"))


@dataclass(frozen=True)
class Scorecard:
    """A model.

    Attributes:
        score: its name.
        predicts: the session column that says whether a session has what is predicted.
        of: `session`, or `next_session` of the same user.
        trained: counts and times of the sessions that it was made of.
        metrics: what was measured on the sessions that were held back.
        intercept: the sum of a session whose levels all have the weight 0.
        features: the levels of each feature, by column, in the order in which weights are added.
        score_edges: where the scores of the sessions that it was fitted to are cut into ranges for `psi`.
        score_shares: which share of them is in each range, one more than there are edges.
    """

    score: str
    predicts: str
    of: str
    trained: Mapping[str, Any]
    metrics: Mapping[str, float]
    intercept: float
    features: Mapping[str, Levels]
    score_edges: Sequence[float]
    score_shares: Sequence[float]

    @cached_property
    def text(self) -> str:
        """As JSON: the same model is always the same text."""
        features = {name: _as_json(levels) for name, levels in self.features.items()}
        return json.dumps({**asdict(self), "features": features}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def of_text(cls, text: str) -> "Scorecard":
        """The model of a text."""
        stated = json.loads(text)
        return cls(**{**stated, "features": {name: _of_json(levels) for name, levels in stated["features"].items()}})

    def scores(self, sessions: pl.DataFrame) -> pl.Series:
        """The score of each session, from 0 to 1.

        Each row's score is computed by itself and in the same order of additions, so that it does not depend on the
        other rows.

        Args:
            sessions: with the columns of `features`; others are ignored.
        """
        total = np.full(sessions.height, self.intercept)
        for name, levels in self.features.items():
            total += np.asarray(levels.weights, dtype=float)[levels.place(sessions[name])]
        return pl.Series("score", 1 / (1 + pl.Series(-total).exp()), dtype=pl.Float64)

    def counts(self, scores: pl.Series) -> np.ndarray:
        """How many scores are in each range of training; counts of several frames may be added."""
        places = np.searchsorted(np.asarray(self.score_edges, dtype=float), scores.to_numpy(), side="left")
        return np.bincount(places, minlength=len(self.score_shares))


def psi(expected: Sequence[float], counts: np.ndarray) -> float:
    """The population stability index of counts against shares: the sum of (q - p) * ln(q / p), 0 where all are equal.

    Below 0.1 a distribution counts as stable, above 0.25 as shifted (Siddiqi, Credit Risk Scorecards, 2006).

    Args:
        expected: the share of each range; they add up to 1.
        counts: how many are in each range now, at least one in all.
    """
    p = np.maximum(np.asarray(expected, dtype=float), _LEAST_SHARE)
    q = np.maximum(counts / counts.sum(), _LEAST_SHARE)
    return float(((q - p) * np.log(q / p)).sum())


def _as_json(levels: Levels) -> dict[str, Any]:
    if levels.edges is not None:
        return {"edges": list(levels.edges), "weights": list(levels.weights[:-1]), "null": levels.weights[-1]}
    *named, other, null = levels.weights
    return {"values": dict(zip(levels.values, named, strict=True)), OTHER: other, "null": null}


def _of_json(levels: Mapping[str, Any]) -> Levels:
    if "edges" in levels:
        return Levels(levels["edges"], (), [*levels["weights"], levels["null"]])
    values = levels["values"]
    return Levels(None, list(values), [*values.values(), levels[OTHER], levels["null"]])
