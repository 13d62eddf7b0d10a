"""Where a visit came from: host, medium and source of the referrer's URL.

Media are those of ``hosts``, and besides: ``internal`` (a page of the site itself), ``ignored`` (a host that visitors
only pass through, as of payment or login), ``app`` (an Android app that is not known) and ``referral`` (any other
host). Without a referrer, or with one that is no URL of a host, all three are null.
"""

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from sessions_platform.contracts.web_enrichments import Referrer
from sessions_platform.transforms.enrich.base import Values
from sessions_platform.transforms.enrich.distinct import row_by_row
from sessions_platform.transforms.enrich.hosts import known, suffixes

_APP = "android-app"  # the scheme by which Chrome on Android names the app that a link was opened in

_HOSTS = 10_000  # that are remembered

_Found = tuple[str | None, str | None, str | None]


def referrers(config: Referrer) -> Values:
    """Adds referrer_host, referrer_medium and referrer_source; see the module for what they mean."""
    own, ignored = frozenset(config.own_hosts), frozenset(config.ignore)
    of_host = lru_cache(_HOSTS)(lambda scheme, host: _values_of(scheme, host, own, ignored))
    return row_by_row(config, lambda url: of_host(*origin(url)))


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
