"""Where visits come from: hosts of search engines, networks, assistants, mail, shops, the site itself and others.

What assistants and t.co are is as in AIAssistants.yml and Socials.yml of matomo-org/searchengine-and-social-list, of
which nothing is shipped; shops and video sites are groups of their own in GA4's source categories, as
seeds/ga4_source_categories.csv of Velir/dbt-ga4 has them. The other values are ours, by what a host offers: to that
file mail.google.com is a search engine, and here it is mail.
"""

import polars as pl
import pytest

from sessions_platform.contracts.web_enrichments import Referrer
from sessions_platform.transforms.enrich.registry import open_enrichment

CONFIG = Referrer.model_validate({"own_hosts": ["shop.example"], "ignore": ["paypal.com", "accounts.google.com"]})

SEARCH_APP = "com.google.android.googlequicksearchbox"

# Referrer, host, medium, source.
REFERRERS: list[tuple[str | None, str | None, str | None, str | None]] = [
    ("https://www.google.com/", "google.com", "search", "Google"),
    ("https://www.google.co.uk/search?q=shoes", "google.co.uk", "search", "Google"),
    ("https://gemini.google.com/app", "gemini.google.com", "ai", "Gemini"),
    ("https://chatgpt.com/", "chatgpt.com", "ai", "ChatGPT"),
    ("https://www.perplexity.ai/search/x", "perplexity.ai", "ai", "Perplexity"),
    ("https://claude.ai/", "claude.ai", "ai", "Claude"),
    ("https://www.bing.com/", "bing.com", "search", "Bing"),
    ("https://search.brave.com/search?q=a", "search.brave.com", "search", "Brave"),
    ("https://kagi.com/", "kagi.com", "search", "Kagi"),
    ("https://x.com/", "x.com", "social", "X"),
    ("https://t.co/abc", "t.co", "social", "X"),
    ("https://www.threads.com/", "threads.com", "social", "Threads"),
    ("https://l.facebook.com/l.php?u=a", "l.facebook.com", "social", "Facebook"),
    ("https://www.youtube.com/watch?v=1", "youtube.com", "video", "YouTube"),
    ("https://mail.google.com/mail/u/0", "mail.google.com", "email", "Gmail"),
    ("https://www.amazon.com/dp/1", "amazon.com", "shopping", "Amazon"),
    (f"android-app://{SEARCH_APP}/", SEARCH_APP, "search", "Google"),
    ("android-app://com.slack/", "com.slack", "app", None),
    ("https://Shop.Example/cart", "shop.example", "internal", None),
    ("https://www.shop.example:8443/cart", "shop.example", "internal", None),
    ("https://pay.shop.example/", "pay.shop.example", "internal", None),
    ("https://notshop.example/", "notshop.example", "referral", None),
    ("https://www.paypal.com/checkoutnow", "paypal.com", "ignored", None),
    ("https://accounts.google.com/o/oauth2", "accounts.google.com", "ignored", None),
    ("https://google.com.evil.example/", "google.com.evil.example", "referral", None),
    ("http://192.0.2.7/a", "192.0.2.7", "referral", None),
    ("https://blog.example.org./post", "blog.example.org", "referral", None),
    ("about:blank", None, None, None),
    ("https://[broken/", None, None, None),
    ("/relative", None, None, None),
    (None, None, None, None),
]  # fmt: skip


@pytest.mark.parametrize("expected", REFERRERS, ids=lambda expected: expected[0] or "null")
def test_a_referrer_gives_host_medium_and_source(expected: tuple[str | None, ...]) -> None:
    events = pl.DataFrame({"referrer": [expected[0]]}, schema={"referrer": pl.String})
    assert open_enrichment(CONFIG).enrich(events).rows() == [expected]


def test_hosts_of_a_stream_may_be_written_with_www() -> None:
    own = Referrer.model_validate({"own_hosts": ["WWW.Shop.example"]})
    events = pl.DataFrame(
        {"referrer": ["https://www.shop.example/", "https://shop.example/", "https://a.shop.example/"]}
    )
    assert open_enrichment(own).enrich(events)["referrer_medium"].to_list() == ["internal"] * 3


def test_hosts_of_a_stream_are_names_without_scheme_and_path() -> None:
    with pytest.raises(ValueError, match="is no host"):
        Referrer.model_validate({"own_hosts": ["https://shop.example/"]})
