"""Values that are computed of whole columns equal those of one text at a time; what is fast is there to be used."""

from collections.abc import Sequence
from pathlib import Path

import maxminddb
import polars as pl
import pytest
import ua_parser_rs
from hypothesis import example, given
from hypothesis import strategies as st
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from sessions_platform.contracts.web_enrichments import Campaign, Channel, Referrer
from sessions_platform.transforms.enrich import campaign, channel, geo, referrer, user_agent
from sessions_platform.transforms.enrich.channel import DIRECT, NOT_SET

OWN, IGNORED = "shop.example", "paypal.com"
# Parts of URLs, also such that `urlsplit` removes, refuses, or takes for other characters.
_PARTS = [
    *("http", "https", "HTTPS", "android-app", "ftp", "://", ":", "/", "//", "?", "#", "&", "=", "%5F", "%", "+", ";"),
    *(
        "www.",
        "WWW.",
        "google.com",
        "Shop.example",
        "pay.paypal.com",
        "com.slack",
        "a_b",
        ".",
        "@",
        ":80",
        "[",
        "[::1]",
    ),
    *("utm_source", "UTM_Medium", "ut", "m_id", "gclid", "sc", "cid", "msclKid", "epi\u212a", "\u212a", "x", " "),
    *("\t", "\n", "\r", "\0", "\u00e4", "\u2100", "\uff0f"),
]
_URLS = st.lists(st.lists(st.sampled_from(_PARTS), max_size=12).map("".join) | st.none(), max_size=5)
_QUERIES = _URLS.map(lambda urls: [None if url is None else f"https://a/?{url}" for url in urls])


@pytest.mark.slow
@given(urls=_URLS | _URLS.map(lambda urls: [None if url is None else f"https://{url}" for url in urls]))
@example(
    urls=["https://www.google.com", "https://shop.example?x", "http://a.b:80/", "https://a.b\t.c/", "https://a..#"]
)
def test_referrers_of_a_column_are_those_of_each_url(urls: Sequence[str | None]) -> None:
    config = Referrer.model_validate({"own_hosts": [OWN], "ignore": [IGNORED]})
    found = referrer.referrers(config)(pl.DataFrame({"referrer": urls}, {"referrer": pl.String}))
    own, ignored = frozenset([OWN]), frozenset([IGNORED])
    assert found.rows() == [referrer._values_of(*referrer.origin(url), own, ignored) for url in urls]


@pytest.mark.slow
@given(urls=_URLS | _QUERIES)
@example(urls=["?utm%5Fsource=a", "?ut\tm_source=a", "?ut\nm_id=a", "?epi\u212a=a", "?msclKID=a", "?GCLID=a&x"])
def test_campaigns_of_a_column_are_those_of_each_url(urls: Sequence[str | None]) -> None:
    found = campaign.campaigns(Campaign.model_validate({}))(pl.DataFrame({"page_url": urls}, {"page_url": pl.String}))
    assert found.rows() == [campaign.values_of(url) for url in urls]


def _arrival(marks: dict[str, str | None]) -> tuple[str | None, str | None]:
    source, medium = marks["utm_source"], marks["utm_medium"]
    if source or medium or marks["utm_campaign"]:
        return (source or NOT_SET, medium or NOT_SET)
    if kind := marks["click_id_kind"]:
        return channel._OF_CLICK_IDS[kind]
    host, of_host = marks["referrer_host"], marks["referrer_medium"]
    if host is None or of_host is None:
        return DIRECT
    if of_host in ("internal", "ignored"):
        return (None, None)
    return ((marks["referrer_source"] or host).lower(), channel._OF_MEDIA.get(of_host, "referral"))


def _texts(*texts: str | None) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, *texts])


_MARKS = st.fixed_dictionaries(
    {
        **{name: _texts("", "google", "A") for name in ("utm_source", "utm_medium", "utm_campaign")},
        "click_id_kind": _texts("", *campaign.CLICK_IDS),
        "referrer_host": _texts("a.example", "google.com"),
        "referrer_medium": _texts("search", "social", "email", "ai", "internal", "ignored", "referral"),
        "referrer_source": _texts("", "Google"),
    }
)


@pytest.mark.slow
@given(marks=st.lists(_MARKS, min_size=1, max_size=8))
def test_arrivals_of_a_column_are_those_of_each_event(marks: list[dict[str, str | None]]) -> None:
    frame = pl.DataFrame(marks, schema=dict.fromkeys(marks[0], pl.String))
    found = channel.channels(Channel.model_validate({}))(frame)
    assert found.select("traffic_source", "traffic_medium").rows() == list(map(_arrival, marks))


def test_user_agents_are_matched_in_rust_and_addresses_looked_up_in_c(tmp_path: Path) -> None:
    compile_browsers, compile_systems = user_agent._browsers()._extractor, user_agent._systems()._extractor
    assert (compile_browsers, compile_systems) == (ua_parser_rs.UserAgentExtractor, ua_parser_rs.OSExtractor)
    writer = MMDBWriter(ip_version=4)
    writer.insert_network(IPSet(["192.0.2.0/24"]), {"country": "DE"})
    writer.to_db_file(str(tmp_path / "country.mmdb"))
    reader = geo.opened((tmp_path / "country.mmdb").read_bytes())
    assert not isinstance(reader, maxminddb.Reader)
    assert reader.get("192.0.2.7") == {"country": "DE"}
