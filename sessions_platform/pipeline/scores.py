"""sessions → session_scores: train the models of a stream's scores, and score its loaded sessions by them.

Here: which sessions a model is made of, which session partitions are due, and the transactions. Not here: what a model
is (`transforms.scorecard`, `transforms.score_training`), and the tables (`storage`).

A model is current once the ledger has it; its text is a lake file by then. A partition is scored in one transaction
with the record of the loaded state and of the models, so that one that is killed before leaves it due. Sessions that a
load changes lose their scores in the transaction of the load.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import polars as pl
import psycopg

from sessions_platform.contracts.calendar import midnight
from sessions_platform.contracts.scores import features_of, label_of, score_definition
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.quality import CheckResult, Severity
from sessions_platform.storage.lake.texts import read_text, write_text
from sessions_platform.storage.ledger.ledger import ScoreModel
from sessions_platform.storage.warehouses.postgres.session_scores import ScoredPartition
from sessions_platform.transforms.score_training import Trained, most_sessions, train
from sessions_platform.transforms.scorecard import Scorecard, psi

# Above it a distribution counts as shifted; of fewer sessions chance alone may look like that.
PSI_ALLOWED, PSI_FEWEST = 0.25, 200


@dataclass(frozen=True)
class PublishedModel:
    """A model that was trained and is current now; `version` is the SHA-256 of its text, which is at `path`."""

    version: str
    path: str
    trained: Trained


@dataclass(frozen=True)
class DueScores:
    """Session partitions whose scores are not those of the loaded sessions by the current models, and what is missing.

    `without_model` are the scores of which there is no model, or only one of an earlier definition.
    """

    partitions: list[str]
    without_model: list[str]


@dataclass(frozen=True)
class ScoredSessions:
    """What was scored: scores by partition, and per score how many are in each range of training, with its shares.

    `unusable` says of scores without any why their model can't be read.
    """

    rows: dict[str, int] = field(default_factory=dict)
    counts: dict[str, np.ndarray] = field(default_factory=dict)
    expected: dict[str, Sequence[float]] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)


def train_score(context: StreamContext, name: str, run_id: str) -> PublishedModel:
    """Train the model of a score on loaded sessions, and make it the current one.

    The same sessions give the same model, byte for byte. Where they do not fit into memory it is made of those of some
    users, and says so by `sampled_from`.

    Args:
        context: the stream's.
        name: of the score.
        run_id: recorded with the model.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        UserError: there are too few sessions, or none.
    """
    context.prepare()
    stream, score = context.stream, context.stream.scores[name]
    features, label = features_of(stream, name), label_of(stream, name)
    with context.database.transaction(read_only=True) as connection:
        since, until = _training_time(context, connection, name)
        most = most_sessions(features, context.memory.at_once)
        labelled, count = context.warehouse.scores.labelled(connection, label, features, since, until, most)
    about = {"score": name, "predicts": label, "of": score.of}
    trained = train(labelled, features, float(score.train.held_back), about)
    if labelled.height < count:
        trained = trained.of_sample(count)
    text = trained.model.text
    path = write_text(context.lake, f"{stream.name}/score_models/{name}", text)
    version = path.rpartition("/")[2]
    definition = score_definition(stream, name)
    context.ledger.publish_model(name, version, definition, path, list(features), trained.model.metrics, run_id)
    return PublishedModel(version, path, trained)


def current_models(context: StreamContext) -> dict[str, ScoreModel]:
    """The model of each score that has one, of the definition that the stream's file states now."""
    stream = context.stream
    found = context.ledger.score_models({name: score_definition(stream, name) for name in stream.scores})
    return {name: model for name, model in found.items() if set(model.features) <= features_of(stream, name).keys()}


def due_scores(context: StreamContext) -> DueScores:
    """Which loaded partitions have to be scored, read from the ledger and the record of what was scored."""
    context.prepare()
    models = current_models(context)
    with context.database.transaction(read_only=True) as connection:
        versions = _loaded_versions(context, connection)
        scored = {each.session_partition: each for each in context.warehouse.scores.scored(connection)}
    by = _named(models)
    first = context.stream.session_calendar.first_key  # of what is older, from before a later start, no run is
    wanted = {key: ScoredPartition(key, at if by else 0, by) for key, at in versions.items() if key >= first}
    due = [key for key, each in wanted.items() if scored.get(key, ScoredPartition(key, 0, "")) != each]
    return DueScores(sorted(due), [name for name in context.stream.scores if name not in models])


def score_sessions(
    context: StreamContext, session_partitions: Sequence[str], *, by_usable: bool = False
) -> ScoredSessions:
    """Score the loaded sessions of partitions by the current models, each partition in a transaction of its own.

    The scores that they had are replaced; without a model they have none.

    Args:
        context: the stream's.
        session_partitions: their keys.
        by_usable: whether they are scored by the other models where one is missing or damaged. They stay due then.

    Raises:
        UserError: the lake file of a model is missing or damaged.
    """
    context.prepare()
    stream = context.stream
    models, cards, unusable = _read_models(context, by_usable=by_usable)
    done = ScoredSessions(
        {},
        {name: np.zeros(len(card.score_shares), dtype=int) for name, card in cards.items()},
        {name: card.score_shares for name, card in cards.items()},
        unusable,
    )
    features = {column: kind for name in cards for column, kind in features_of(stream, name).items()}
    for partition in session_partitions:
        with context.database.transaction() as connection:
            context.ledger.lock(connection)
            version = _loaded_versions(context, connection).get(partition, 0)
            sessions = [] if not cards else list(context.warehouse.scores.sessions(connection, [partition], features))
            frames = list(_scored(sessions, cards, models, done.counts))
            scored = ScoredPartition(partition, version, _named(models) if version else "")
            done.rows[partition] = context.warehouse.scores.replace(connection, frames, [scored])
    return done


def check_scores(context: StreamContext, scored: ScoredSessions) -> list[CheckResult]:
    """`scores_are_current` and `score_distribution`, after partitions were scored."""
    due = due_scores(context)
    current = CheckResult(
        "session_scores",
        "scores_are_current",
        not due.partitions and not due.without_model,
        {"due": due.partitions, "without_model": due.without_model, "unusable": list(scored.unusable.values())},
        severity=Severity.warning,
    )
    return [current, _check_distribution(scored)]


def _check_distribution(scored: ScoredSessions) -> CheckResult:
    shifts = {
        name: {"score": name, "sessions": int(counts.sum()), "psi": round(psi(scored.expected[name], counts), 4)}
        for name, counts in scored.counts.items()
        if counts.sum() >= PSI_FEWEST
    }
    shifted = [name for name, shift in shifts.items() if shift["psi"] > PSI_ALLOWED]
    metadata = {"shifted": shifted, "allowed_psi": PSI_ALLOWED, "too_few": sorted(scored.counts.keys() - shifts.keys())}
    tables = {"shifts": list(shifts.values())}
    return CheckResult("session_scores", "score_distribution", not shifted, metadata, tables, Severity.warning)


def _training_time(
    context: StreamContext, connection: psycopg.Connection, name: str
) -> tuple[datetime | None, datetime]:
    """From when, if that is stated, until when sessions begin that a model is made of."""
    stated, calendar = context.stream.scores[name].train, context.stream.session_calendar
    since = midnight(stated.from_, calendar.timezone) if stated.from_ else None
    if stated.until:
        return since, midnight(stated.until, calendar.timezone)
    loaded = _loaded_versions(context, connection)
    if not loaded:
        raise UserError(f"{context.stream.name}: there are no sessions to train scores.{name} on. Fix: run it first.")
    return since, calendar.window(max(loaded)).start


def _loaded_versions(context: StreamContext, connection: psycopg.Connection) -> dict[str, int]:
    return {each.session_partition: each.version for each in context.ledger.loaded_sessions(connection)}


def _named(models: Mapping[str, ScoreModel]) -> str:
    """Scores with the versions of their models, as in the record of what was scored."""
    return " ".join(f"{name}={model.model}" for name, model in sorted(models.items()))


def _read_models(
    context: StreamContext, *, by_usable: bool
) -> tuple[dict[str, ScoreModel], dict[str, Scorecard], dict[str, str]]:
    """The current models that can be read, with their scorecards; and of the others why they can't be."""
    models, cards, unusable = current_models(context), dict[str, Scorecard](), dict[str, str]()
    for name, model in models.items():
        try:
            cards[name] = _read_model(context, name, model)
        except UserError as error:
            if not by_usable:
                raise
            unusable[name] = str(error)
    return {name: models[name] for name in cards}, cards, unusable


def _read_model(context: StreamContext, name: str, model: ScoreModel) -> Scorecard:
    prefix = f"{context.stream.key_prefix}/" if context.stream.key_prefix else ""
    fix = f"materialize {prefix}{context.stream.name}/score_model__{name}, which trains it anew"
    return Scorecard.of_text(read_text(context.lake, model.path, fix))


def _scored(
    sessions: Sequence[pl.DataFrame],
    cards: Mapping[str, Scorecard],
    models: Mapping[str, ScoreModel],
    counts: Mapping[str, np.ndarray],
) -> Iterator[pl.DataFrame]:
    """The rows of `session_scores`; adds to the counts of each score."""
    for frame in sessions:
        for name, card in cards.items():
            scores = card.scores(frame)
            counts[name][:] += card.counts(scores)
            yield frame.select(
                "session_id",
                score_name=pl.lit(name),
                score=scores,
                model=pl.lit(models[name].model),
                session_partition="session_partition",
            )
