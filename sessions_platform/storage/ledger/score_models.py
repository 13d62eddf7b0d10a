"""Models of scores in the ledger: which lake file has the model by which sessions are scored.

Not here: what a model is (`transforms.scorecard`), the file itself (`storage.lake.texts`), and which session partitions
were scored by it (`storage.warehouses.postgres.session_scores`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from sessions_platform.storage.ledger.stream_ledger import StreamLedger

# The time of the clock, not of the transaction: of two trainings the one is current that ended later.
_PUBLISH = """
insert into sessions_platform.score_models
    (stream, score, model, definition, path, features, metrics, run_id, trained_at)
values (%s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp())
on conflict (stream, score, model) do update set definition = excluded.definition, path = excluded.path,
    run_id = excluded.run_id, trained_at = excluded.trained_at"""
_CURRENT = """
select distinct on (score) score, model, definition, path, features, metrics, trained_at
from sessions_platform.score_models where stream = %s and definition = any(%s)
order by score, trained_at desc, model"""
_NEWEST = """
select distinct on (score) score, model, definition, path, features, metrics, trained_at
from sessions_platform.score_models where stream = %s order by score, trained_at desc, model"""


class ScoreModel(NamedTuple):
    """A published model of a score.

    `model` is its version, the SHA-256 of its text; `definition` that of what the stream's file states of the score.
    """

    score: str
    model: str
    definition: str
    path: str
    features: list[str]
    metrics: dict[str, Any]
    trained_at: datetime


class ScoreModels(StreamLedger):
    """The part of a stream's ledger that knows its models."""

    def publish_model(
        self,
        score: str,
        model: str,
        definition: str,
        path: str,
        features: Sequence[str],
        metrics: Mapping[str, Any],
        run_id: str,
    ) -> None:
        """Make a model the current one of its score. The same model again is current again."""
        stated = [Jsonb(list(features)), Jsonb(dict(metrics))]
        values = [self.stream, score, model, definition, path, *stated, run_id]
        with self._writing_in_turn() as connection:
            connection.execute(_PUBLISH, values)

    def score_models(self, definitions: Mapping[str, str]) -> dict[str, ScoreModel]:
        """The model that was published last of each score, of those with the score's definition.

        Args:
            definitions: by score.
        """
        found = self._read(ScoreModel, _CURRENT, [self.stream, list(definitions.values())])
        return {each.score: each for each in found if definitions.get(each.score) == each.definition}

    def newest_score_models(self) -> dict[str, ScoreModel]:
        """The model that was published last of each score, whatever its definition was."""
        return {each.score: each for each in self._read(ScoreModel, _NEWEST, [self.stream])}
