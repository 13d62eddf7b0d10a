"""What is known of hosts that visitors come from: medium and name, by the tables in ``data``.

``referrers.csv`` is a third party's list (see the licence beside it); ``referrers_first.csv`` is ours, and goes first:
it has what the list lacks (assistants, shops, new networks), and what is named otherwise today. Apps are in both by the
name of their package. A host is looked up as it is, then without its first label, and so on down to two labels, so that
gemini.google.com is an assistant, though google.com is a search engine.
"""

import csv
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import NamedTuple


class Known(NamedTuple):
    """The medium of a host (search, social, video, shopping, ai, email, ads or referral), and whose it is."""

    medium: str
    source: str


def known(host: str) -> Known | None:
    """What is known of a host or a package, in lower case; None for nothing."""
    table = _table()
    return next((table[name] for name in suffixes(host) if name in table), None)


def suffixes(host: str) -> Iterator[str]:
    """The host, then the domains that it is below of, down to two labels."""
    labels = host.split(".")
    yield host
    for place in range(1, len(labels) - 1):
        yield ".".join(labels[place:])


def category(source: str) -> str | None:
    """What a source is, by a host's or package's name, or by the name of whose it is: facebook.com, or Facebook."""
    name = source.strip().lower()
    by_host = known(name)
    return by_host.medium if by_host else _by_name().get(name)


def data_file(name: str) -> str:
    """The content of a file in ``data``."""
    return (files("sessions_platform.transforms.enrich") / "data" / name).read_text(encoding="utf-8")


@cache
def _table() -> dict[str, Known]:
    table: dict[str, Known] = {}
    for name in ("referrers.csv", "referrers_first.csv"):  # the later one has the last word
        text = data_file(name)
        table |= {row["host"]: Known(row["medium"], row["source"]) for row in csv.DictReader(text.splitlines())}
    return table


# Short names that campaigns are marked with, and that are no host.
_SHORT_NAMES = {"fb": "social", "ig": "social", "insta": "social", "yt": "video", "adwords": "search"}


@cache
def _by_name() -> dict[str, str]:
    names = {entry.source.lower(): entry.medium for entry in _table().values() if entry.medium != "referral"}
    return {**names, **_SHORT_NAMES}
