"""What a stream's scores have: when the model of each was trained, and how good it was on what was held back.

Not here: how a model is trained and what is due (`pipeline/scores.py`), and whether its file is whole (`verify.py`).
"""

from typing import Any

from sessions_platform.pipeline.context import StreamContext
from sessions_platform.pipeline.scores import current_models, due_scores
from sessions_platform.storage.ledger.ledger import ScoreModel


def score_status(context: StreamContext) -> list[dict[str, Any]]:
    """Each score with its model, in the order of the stream's file; empty where it states none.

    `state` is `current`, `outdated` (the score means something else by the stream's file than when its newest model was
    trained, so nothing is scored by that) or `untrained`. `metrics` are those of the sessions that were held back, and
    `due` is how many session partitions are to be scored; 0 unless the state is `current`, since nothing else scores.
    """
    if not context.stream.scores:
        return []
    context.prepare()
    current, newest, due = current_models(context), context.ledger.newest_score_models(), due_scores(context)
    return [
        {
            "stream": context.stream.name,
            "score": name,
            "predicts": score.predicts or name,
            "of": score.of,
            "state": "current" if name in current else "outdated" if name in newest else "untrained",
            **_trained(current.get(name) or newest.get(name)),
            "due": len(due.partitions) if name in current else 0,
        }
        for name, score in context.stream.scores.items()
    ]


def _trained(model: ScoreModel | None) -> dict[str, Any]:
    if model is None:
        return {"model": None, "trained_at": None, "metrics": {}, "features": []}
    about = {"model": model.model, "trained_at": model.trained_at}
    return {**about, "metrics": model.metrics, "features": model.features}
