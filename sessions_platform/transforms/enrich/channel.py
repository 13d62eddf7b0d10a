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


def channels(config: Channel) -> Values:
    """Adds traffic_source, traffic_medium and channel; see the module for what they mean."""
    of_table = rules_of(config.rules) if isinstance(config.rules, str) else config.rules
    by_rule = [pl.when(_holds(rule)).then(pl.lit(rule.channel)) for rule in (*config.first, *of_table)]
    channel = pl.coalesce(*by_rule, pl.lit(UNASSIGNED))

    def of_arrivals(marks: pl.DataFrame) -> pl.DataFrame:
        found = marks.select(*_arrival(), "utm_campaign")
        arrivals = found.unique()
        source = pl.col("traffic_source")
        arrivals = arrivals.with_columns(category=source.map_elements(category, pl.String))
        arrivals = arrivals.with_columns(channel=pl.when(source.is_not_null()).then(channel))
        return found.join(arrivals, on=found.columns, how="left", nulls_equal=True, maintain_order="left")

    return of_arrivals


def _arrival() -> tuple[pl.Expr, pl.Expr]:
    """The source and the medium of an arrival; both null where there is none."""
    source, medium, campaign = (_stated(f"utm_{name}") for name in ("source", "medium", "campaign"))
    host, of_host = pl.col("referrer_host"), pl.col("referrer_medium")
    is_marked = pl.any_horizontal(each.is_not_null() for each in (source, medium, campaign))
    has_referrer = host.is_not_null() & of_host.is_not_null()

    def arrival(of_marks: pl.Expr, at: int, of_referrer: pl.Expr) -> pl.Expr:
        of_click_id = pl.col("click_id_kind").replace_strict(
            {kind: of[at] for kind, of in _OF_CLICK_IDS.items()}, default=None
        )
        return (
            pl.when(is_marked)
            .then(of_marks.fill_null(NOT_SET))
            .when(_stated("click_id_kind").is_not_null())
            .then(of_click_id)
            .when(~has_referrer)
            .then(pl.lit(DIRECT[at]))
            .when(~of_host.is_in(_NO_ARRIVAL))
            .then(of_referrer)
        )

    named = pl.coalesce(_stated("referrer_source").str.to_lowercase(), host)
    return (
        arrival(source, 0, named).alias("traffic_source"),
        arrival(medium, 1, of_host.replace_strict(_OF_MEDIA, default="referral")).alias("traffic_medium"),
    )


def _stated(name: str) -> pl.Expr:
    """A column in which an empty text is null."""
    return pl.col(name).replace("", None)


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
