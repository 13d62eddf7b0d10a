"""The marks of campaigns and advertisers in a page's URL: utm parameters, and the click ids of ad networks.

Parameters are taken from the query, by WHATWG's rules for forms (``+`` is a space, percent signs are decoded as UTF-8);
names in any case. Of several of one name the first counts that is not blank. Of several click ids the first of
``CLICK_IDS`` counts.
"""

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import polars as pl

from sessions_platform.contracts.web_enrichments import Campaign
from sessions_platform.transforms.enrich.base import Values
from sessions_platform.transforms.enrich.distinct import row_by_row

_UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id")

# Parameters that ad networks append to the URLs of their advertisers, in the order in which they are looked for.
CLICK_IDS = (
    *("gclid", "gbraid", "wbraid", "dclid", "msclkid", "ttclid", "twclid", "li_fat_id"),
    *("yclid", "epik", "rdt_cid", "sccid", "fbclid"),
)

# Characters; a longer URL is no address of a page.
_LONGEST = 65_536


# What each URL contains that has one of these parameters: its name, a letter of it as a percent sign, or a character
# that `urlsplit` removes, amid the name. In any case, with the Kelvin sign, which is a k in lower case.
_MAY_BE_MARKED = r"(?is)[?].*(?:[%\t\r\n]|" + "|".join((*_UTM, *CLICK_IDS)) + ")"


def campaigns(config: Campaign) -> Values:
    """Adds utm_source to utm_id, click_id_kind and click_id; null where the URL has none."""
    of_marked = row_by_row(config, values_of)

    def of_urls(urls: pl.DataFrame) -> pl.DataFrame:
        is_marked = urls.to_series().str.contains(_MAY_BE_MARKED).fill_null(value=False)
        rows = pl.when(is_marked).then(is_marked.cum_sum() - 1)
        return of_marked(urls.filter(is_marked)).select(pl.all().gather(pl.select(rows).to_series()))

    return of_urls


def values_of(url: str | None) -> tuple[str | None, ...]:
    """The values of one URL, in the order of the columns that are added."""
    found = _parameters(url or "")
    kind = next((name for name in CLICK_IDS if name in found), None)
    return (*(found.get(name) for name in _UTM), kind, found.get(kind) if kind else None)


def _parameters(url: str) -> Mapping[str, str]:
    if "?" not in url or len(url) > _LONGEST:
        return {}
    try:
        query = urlsplit(url.strip()).query
        pairs = parse_qsl(query, keep_blank_values=False, max_num_fields=_LONGEST)
    except ValueError:  # brackets in the host without an address between them
        return {}
    found: dict[str, str] = {}
    for name, value in pairs:
        if value.strip():
            found.setdefault(name.lower(), value.strip())
    return found
