"""Where a visit came from: host, medium and source of the referrer's URL.

Media are those of ``hosts``, and besides: ``internal`` (a page of the site itself), ``ignored`` (a host that visitors
only pass through, as of payment or login), ``app`` (an Android app that is not known) and ``referral`` (any other
host). Without a referrer, or with one that is no URL of a host, all three are null.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

import polars as pl

from sessions_platform.contracts.web_enrichments import Referrer
from sessions_platform.transforms.enrich.base import Values
from sessions_platform.transforms.enrich.distinct import row_by_row
from sessions_platform.transforms.enrich.hosts import known, suffixes

_APP = "android-app"  # the scheme by which Chrome on Android names the app that a link was opened in

# The whole origin of a plain URL: what follows it does not change what `origin` says.
_PLAIN_ORIGIN = rf"\A((?:https?|{_APP})://[A-Za-z0-9._-]+)(?:[/?#]|\z)"

_Found = tuple[str | None, str | None, str | None]


def referrers(config: Referrer) -> Values:
    """Adds referrer_host, referrer_medium and referrer_source; see the module for what they mean."""
    own, ignored = frozenset(config.own_hosts), frozenset(config.ignore)
    of_url = row_by_row(config, lambda url: _values_of(*origin(url), own, ignored))

    def of_urls(urls: pl.DataFrame) -> pl.DataFrame:
        origins = urls.select(pl.coalesce(pl.all().str.extract(_PLAIN_ORIGIN), pl.all()).alias("origin"))
        distinct = origins.unique()
        known = distinct.hstack(of_url(distinct))
        return origins.join(known, on="origin", how="left", nulls_equal=True, maintain_order="left").drop("origin")

    return of_urls


def _values_of(scheme: str | None, host: str | None, own: frozenset[str], ignored: frozenset[str]) -> _Found:
    if host is None:
        return (None, None, None)
    if _is_below(host, own):
        return (host, "internal", None)
    if _is_below(host, ignored):
        return (host, "ignored", None)
    if found := known(host):
        return (host, found.medium, found.source)
    return (host, "app" if scheme == _APP else "referral", None)


def origin(url: str | None) -> tuple[str | None, str | None]:
    """Scheme and host of a URL, in lower case and without a leading www.; both null where it has no host."""
    try:
        parts = urlsplit((url or "").strip())
        host = (parts.hostname or "").rstrip(".").removeprefix("www.")
    except ValueError:  # brackets without an address between them
        return (None, None)
    if parts.scheme not in ("http", "https", _APP) or not host:
        return (None, None)
    return (parts.scheme, host)


def _is_below(host: str, domains: Iterable[str]) -> bool:
    return any(name in domains for name in suffixes(host))
