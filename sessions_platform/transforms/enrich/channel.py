"""Source, medium and channel of an arrival.

What marks an arrival is looked for in this order:

1. utm parameters, with or without a referrer; what they leave out is ``(not set)``;
2. the click id of an ad network: the source is the network, the medium ``cpc`` (``fbclid`` is ``social``, for Facebook
   appends it to links that nobody paid for, too);
3. a referrer from outside: the source is the name of whose the host is, or the host; the medium ``organic`` for search
   engines, else ``social``, ``email`` or ``referral``;
4. no referrer at all: ``(direct)`` and ``(none)``.

An event with an internal or ignored referrer and without marks is no arrival: all three are null, so that a page of
payment or login resets nothing, and ``first`` over a session passes over it. The channel is that of the first rule that
holds, and ``Unassigned`` where none does.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import polars as pl
import yaml

from sessions_platform.contracts.web_enrichments import Channel, ChannelRule
from sessions_platform.transforms.enrich.base import Values
from sessions_platform.transforms.enrich.hosts import category, data_file

NOT_SET, UNASSIGNED = "(not set)", "Unassigned"
DIRECT = ("(direct)", "(none)")

_OF_CLICK_IDS = {
    **dict.fromkeys(("gclid", "gbraid", "wbraid"), ("google", "cpc")),
    "dclid": ("google", "display"),
    "msclkid": ("bing", "cpc"),
    "ttclid": ("tiktok", "cpc"),
    "twclid": ("x", "cpc"),
    "li_fat_id": ("linkedin", "cpc"),
    "yclid": ("yandex", "cpc"),
    "epik": ("pinterest", "cpc"),
    "rdt_cid": ("reddit", "cpc"),
    "sccid": ("snapchat", "cpc"),
    "fbclid": ("facebook", "social"),
}
_OF_MEDIA = {"search": "organic", "social": "social", "email": "email"}
_NO_ARRIVAL = ["internal", "ignored"]

Arrival = tuple[str | None, str | None]


def channels(config: Channel) -> Values:
    """Adds traffic_source, traffic_medium and channel; see the module for what they mean."""
    of_table = rules_of(config.rules) if isinstance(config.rules, str) else config.rules
    by_rule = [pl.when(_holds(rule)).then(pl.lit(rule.channel)) for rule in (*config.first, *of_table)]
    channel = pl.coalesce(*by_rule, pl.lit(UNASSIGNED))

    def of_arrivals(marks: pl.DataFrame) -> pl.DataFrame:
        arrivals = [_arrival(**mark) for mark in marks.iter_rows(named=True)]
        schema = {"traffic_source": pl.String, "traffic_medium": pl.String}
        found = pl.DataFrame(arrivals, schema=schema, orient="row").with_columns(marks["utm_campaign"])
        source = pl.col("traffic_source")
        found = found.with_columns(category=source.map_elements(category, pl.String))
        return found.with_columns(channel=pl.when(source.is_not_null()).then(channel))

    return of_arrivals


def _arrival(
    *,
    utm_source: str | None,
    utm_medium: str | None,
    utm_campaign: str | None,
    click_id_kind: str | None,
    referrer_host: str | None,
    referrer_medium: str | None,
    referrer_source: str | None,
) -> Arrival:
    """The source and the medium of an arrival; both null where there is none."""
    if utm_source or utm_medium or utm_campaign:
        return (utm_source or NOT_SET, utm_medium or NOT_SET)
    if click_id_kind:
        return _OF_CLICK_IDS[click_id_kind]
    if referrer_host is None or referrer_medium is None:
        return DIRECT
    if referrer_medium in _NO_ARRIVAL:
        return (None, None)
    return ((referrer_source or referrer_host).lower(), _OF_MEDIA.get(referrer_medium, "referral"))


def _holds(rule: ChannelRule) -> pl.Expr:
    """Whether all that a rule states holds of an arrival. One that states nothing holds always."""
    patterns = {"traffic_source": rule.source, "traffic_medium": rule.medium, "utm_campaign": rule.campaign}
    conditions = [
        pl.col(name).fill_null("").str.contains(rf"(?i)\A(?:{pattern})\z")
        for name, pattern in patterns.items()
        if pattern is not None
    ]
    if rule.category:
        conditions.append(pl.col("category").eq_missing(pl.lit(rule.category)))
    return pl.all_horizontal(pl.lit(value=True), *conditions)


@cache
def rules_of(table: str) -> Sequence[ChannelRule]:
    """The rules of a table in ``data``."""
    content: list[dict[str, Any]] = yaml.safe_load(data_file(f"{table}.yaml"))["rules"]
    return [ChannelRule.model_validate(rule) for rule in content]
