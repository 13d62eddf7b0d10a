"""Replace the values of the columns that a stream's `pseudonymize` names, in accepted events.

It comes after the contract's rules, which are about the values as they came, and before duplicates are found, so that
whatever is stored of an event has the pseudonyms. Not here: the methods for one value (``contracts.pseudonyms``).
"""

from collections.abc import Callable, Iterable
from functools import partial

import polars as pl

from sessions_platform.contracts.pseudonyms import Pseudonym, keyed_pseudonym, truncated_address
from sessions_platform.contracts.stream import Stream


def pseudonymize(events: pl.DataFrame, stream: Stream) -> pl.DataFrame:
    """Events with pseudonyms in place of the values of the stream's columns; null stays null.

    Args:
        events: accepted rows with all columns that the stream pseudonymizes (String); others stay as they are.
        stream: names the columns and methods, and has the key.
    """
    return events.with_columns(
        _replaced(events[column], _method(stream, column)) for column in stream.pseudonymize if column in events.columns
    )


def stored_users(users: Iterable[str], stream: Stream) -> frozenset[str]:
    """User ids as the stream's events and sessions have them."""
    if "user_id" not in stream.pseudonymize:
        return frozenset(users)
    method = _method(stream, "user_id")
    return frozenset(stored for user in users if (stored := method(user)) is not None)


def _method(stream: Stream, column: str) -> Callable[[str], str | None]:
    if stream.pseudonymize[column] is Pseudonym.truncate_ip:
        return truncated_address
    return partial(keyed_pseudonym, stream.required_pseudonym_key)


def _replaced(values: pl.Series, method: Callable[[str], str | None]) -> pl.Series:
    """Each distinct value is computed once."""
    distinct = values.drop_nulls().unique()
    pseudonyms = pl.Series([method(value) for value in distinct], dtype=pl.String)
    return values.replace_strict(distinct, pseudonyms, default=None, return_dtype=pl.String)
