"""The marks of an arrival, and its channel in the order of the rules.

The expected channels are by the definition that third parties copy from support.google.com/analytics/answer/9756891,
among them Velir/dbt-ga4; channels_2026_11.yaml says where copies differ. They are written by hand, as marks are.
"""

import polars as pl
import pytest

from sessions_platform.contracts.web_enrichments import Campaign, Channel, Referrer
from sessions_platform.transforms.enrich.registry import open_enrichment

SHOP = "https://shop.example/p"
OWN = Referrer.model_validate({"own_hosts": ["shop.example"], "ignore": ["paypal.com", "accounts.google.com"]})
GOOGLE, MAIL, BLOG = "https://www.google.com/", "https://mail.google.com/", "https://blog.example.org/post"


def enriched(url: str | None, referrer: str | None, **channel: object) -> pl.DataFrame:
    events = pl.DataFrame(
        {"page_url": [url], "referrer": [referrer]}, schema={"page_url": pl.String, "referrer": pl.String}
    )
    for config in (OWN, Campaign.model_validate({}), Channel.model_validate(channel)):
        events = open_enrichment(config).enrich(events)
    return events


# What follows the ? of the page, the referrer, and the channel.
CHANNELS: list[tuple[str, str | None, str | None]] = [
    # without marks and referrer
    ("", None, "Direct"),
    ("utm_source=(direct)&utm_medium=(none)", None, "Direct"),
    ("utm_source=%28direct%29&utm_medium=%28not%20set%29", None, "Direct"),
    # by referrer
    ("", GOOGLE, "Organic Search"),
    ("", "https://www.facebook.com/", "Organic Social"),
    ("", "https://www.youtube.com/", "Organic Video"),
    ("", "https://www.etsy.com/", "Organic Shopping"),
    ("", "https://chatgpt.com/", "AI Assistants"),
    ("", "https://gemini.google.com/", "AI Assistants"),
    ("", MAIL, "Email"),
    ("", BLOG, "Referral"),
    ("", "android-app://com.slack/", "Referral"),
    # no arrival
    ("", "https://shop.example/other", None),
    ("", "https://www.paypal.com/", None),
    ("", "https://accounts.google.com/", None),
    # marks without a referrer, and against one
    ("utm_source=newsletter&utm_medium=email", None, "Email"),
    ("utm_source=google&utm_medium=cpc", None, "Paid Search"),
    ("utm_source=google&utm_medium=cpc", "https://www.paypal.com/", "Paid Search"),
    ("utm_source=Newsletter&utm_medium=E-Mail", GOOGLE, "Email"),
    # the paid channels, in the order of the rules
    ("utm_source=google&utm_medium=cpm", None, "Paid Search"),
    ("utm_source=adserver&utm_medium=cpm", None, "Display"),
    ("utm_source=facebook&utm_medium=paid", None, "Paid Social"),
    ("utm_source=fb&utm_medium=cpc", None, "Paid Social"),
    ("utm_source=youtube.com&utm_medium=ppc", None, "Paid Video"),
    ("utm_source=amazon.com&utm_medium=cpc", None, "Paid Shopping"),
    ("utm_source=google&utm_medium=cpc&utm_campaign=winter-shop", None, "Paid Shopping"),
    ("utm_source=google&utm_medium=cpc&utm_campaign=workshop", None, "Paid Search"),
    ("utm_source=google&utm_medium=cpc&utm_campaign=cross-network", None, "Cross-network"),
    ("utm_source=partner&utm_medium=retargeting", None, "Paid Other"),
    ("utm_source=partner&utm_medium=banner", None, "Display"),
    # those that nobody pays by the click
    ("utm_source=x&utm_medium=social-network", None, "Organic Social"),
    ("utm_source=partner&utm_medium=social%20media", None, "Organic Social"),
    ("utm_source=partner&utm_medium=video", None, "Organic Video"),
    ("utm_source=partner&utm_medium=organic", None, "Organic Search"),
    ("utm_source=partner&utm_medium=referral", None, "Referral"),
    ("utm_source=e_mail&utm_medium=blast", None, "Email"),
    ("utm_source=partner&utm_medium=affiliate", None, "Affiliates"),
    ("utm_source=podcast&utm_medium=audio", None, "Audio"),
    ("utm_source=sms&utm_medium=text", None, "SMS"),
    ("utm_source=app&utm_medium=mobile-web", None, "Mobile Push Notifications"),
    ("utm_source=firebase&utm_medium=x", None, "Mobile Push Notifications"),
    ("utm_source=partner&utm_medium=webpush", None, "Mobile Push Notifications"),
    ("utm_source=partner&utm_medium=poster", None, "Unassigned"),
    ("utm_campaign=spring", None, "Unassigned"),
    # click ids
    ("gclid=abc", GOOGLE, "Paid Search"),
    ("msclkid=abc", None, "Paid Search"),
    ("ttclid=abc", None, "Paid Video"),
    ("fbclid=abc", "https://l.facebook.com/", "Organic Social"),
    ("gclid=abc&utm_source=newsletter&utm_medium=email", None, "Email"),
]


@pytest.mark.parametrize(("query", "referrer", "channel"), CHANNELS)
def test_an_arrival_has_the_channel_of_the_first_rule_that_holds(
    query: str, referrer: str | None, channel: str | None
) -> None:
    assert enriched(f"{SHOP}?{query}" if query else SHOP, referrer)["channel"].to_list() == [channel]


def test_rules_of_a_stream_go_before_the_table_or_replace_it() -> None:
    partners = {"channel": "Partners", "source": r".*\.partner\.example"}
    url = f"{SHOP}?utm_source=a.partner.example&utm_medium=cpc"
    assert enriched(url, None, first=[partners])["channel"].item() == "Partners"
    assert enriched(SHOP, GOOGLE, first=[partners])["channel"].item() == "Organic Search"
    assert enriched(SHOP, GOOGLE, rules=[partners])["channel"].item() == "Unassigned"
    letters = {"channel": "Letters", "source": r"\p{L}+"}
    assert enriched(f"{SHOP}?utm_source=%C3%A9t%C3%A9", None, rules=[letters])["channel"].item() == "Letters"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("utm_source=a+b&UTM_Medium=caf%C3%A9", {"utm_source": "a b", "utm_medium": "café"}),
        ("utm_source=&utm_source=b&utm_source=c", {"utm_source": "b"}),
        ("utm_source=%20&x=1", {}),
        ("utm_term=a&utm_content=b&utm_id=c", {"utm_term": "a", "utm_content": "b", "utm_id": "c"}),
        ("gclid=EAIa%2Bx", {"click_id_kind": "gclid", "click_id": "EAIa+x"}),
        ("fbclid=f&gclid=g", {"click_id_kind": "gclid", "click_id": "g"}),
        ("utm_source=a#utm_medium=b", {"utm_source": "a"}),
        ("utm_source=%FFa", {"utm_source": "\ufffda"}),
        ("utm_source", {}),
    ],
)
def test_marks_are_decoded_as_a_form_is(query: str, expected: dict[str, str]) -> None:
    row = enriched(f"{SHOP}?{query}", None).select(*Campaign.adds).row(0, named=True)
    assert {name: value for name, value in row.items() if value is not None} == expected


@pytest.mark.parametrize("url", [None, "", "no url", "https://[broken/?utm_source=a", "?utm_source="])
def test_what_is_no_url_has_no_marks(url: str | None) -> None:
    assert enriched(url, None).select(*Campaign.adds).row(0) == (None,) * len(Campaign.adds)
