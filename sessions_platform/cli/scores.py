"""The commands of scores: `scores`, which lists them with their models, and `train`."""

from typing import Annotated, Any

import typer

from sessions_platform.cli.options import AsJson
from sessions_platform.cli.output import contexts, print_document, print_table
from sessions_platform.cli.progress import shown_progress

_VERSION = 12  # characters of a model's version that a table shows


def scores(
    stream: Annotated[str | None, typer.Argument(help="The stream's name; all of them without it.")] = None,
    as_json: AsJson = False,
) -> None:
    """List scores: when the model of each was trained, and how good it was on the sessions that were held back."""
    from sessions_platform.operations.score_status import score_status

    _print([score for context in contexts(stream) for score in score_status(context)], as_json)


def train(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Scores; all of the stream without one.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the models of scores on the sessions that there are, score all sessions by them, and list the scores.

    It takes the extra `ml`. The same sessions give the same model.
    """
    from sessions_platform.api import open_stream

    with shown_progress():
        trained = open_stream(stream).train(*names or [])
    _print(trained, as_json)


def _print(rows: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_document(rows, as_json)
    else:
        print_table([_as_row(row) for row in rows])


def _as_row(score: dict[str, Any]) -> dict[str, Any]:
    metrics = {name: score["metrics"].get(name) for name in ("auc", "auc_of_event_count", "log_loss", "brier")}
    named = {name: score[name] for name in ("stream", "score", "predicts", "of", "state")}
    at = str(score["trained_at"] or "")[:16] or None
    return {**named, "trained_at": at, **metrics, "due": score["due"], "model": (score["model"] or "")[:_VERSION]}
