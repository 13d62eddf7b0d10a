"""What rows of the state machine say of a visit, and what the enrichments of the web have to make of it.

The values are written by hand, from docs/enrichment.md: the model knows nothing of the code that computes them.
"""

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

from sessions_platform.transforms.reference_sessionizer import Column
from sessions_platform_tests.pipeline import own_functions

_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
_WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME} Safari/537.36"
_ANDROID = f"Mozilla/5.0 (Linux; Android 10; K) {_CHROME} Mobile Safari/537.36"
_ON_WINDOWS = {"browser": "Chrome", "os": "Windows", "device_class": "desktop", "is_bot": False}
_ON_ANDROID = {"browser": "Chrome Mobile", "os": "Android", "device_class": "mobile", "is_bot": False}
_BY_CURL = {"browser": "curl", "device_class": "bot", "is_bot": True, "bot_name": "curl"}

PAYMENT = "pay.example"
# Columns of events, and the fields of a row that they are read from.
FIELDS = {"visit_url": "land", "referrer": "ref", "user_agent": "ua", "ip": "addr"}
ADDED = (
    *("browser", "os", "device_class", "is_bot", "bot_name"),
    *("referrer_host", "referrer_medium", "referrer_source"),
    *("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content", "utm_id", "click_id_kind", "click_id"),
    *("traffic_source", "traffic_medium", "channel"),
    *("country", "section"),
)
# Columns of the sessions table that are made of them.
ATTRIBUTES = {
    "arrived_by": Column("first", "channel"),
    "left_by": Column("last", "channel"),
    "device": Column("most_frequent", "device_class"),
    "robot": Column("any", "is_bot"),
    "land_of_origin": Column("last", "country"),
    "sections": Column("count_distinct", "section"),
}
# What a database says of addresses, by its state, and the functions of the user's own, of URLs, by theirs.
COUNTRIES = {"first": {"192.0.2.7": "DE", "198.51.100.9": "FR"}, "second": {"192.0.2.7": "DE", "198.51.100.9": "NL"}}
SECTIONS = {"first": "section", "second": "section_in_capitals"}
_DATABASES = TemporaryDirectory(prefix="countries")


@dataclass(frozen=True)
class Visit:
    """What a row has besides, and what its event has by it; `unless_ignored` where payment pages are no way station."""

    values: dict[str, Any]
    land: str | None = None
    ref: str | None = None
    ua: str | None = None
    addr: str | None = None
    unless_ignored: dict[str, Any] = field(default_factory=dict)

    @property
    def read(self) -> tuple[str | None, ...]:
        return self.land, self.ref, self.ua, self.addr


_DIRECT = {"traffic_source": "(direct)", "traffic_medium": "(none)", "channel": "Direct"}
VISITS = [
    Visit({"device_class": "absent", **_DIRECT}),
    Visit(
        {
            **_ON_ANDROID,
            "utm_source": "google",
            "utm_medium": "cpc",
            "traffic_source": "google",
            "traffic_medium": "cpc",
            "channel": "Paid Search",
        },
        land="https://shop.example/a?utm_source=google&utm_medium=cpc",
        ua=_ANDROID,
        addr="192.0.2.7",
    ),
    Visit(
        {
            **_ON_WINDOWS,
            "referrer_host": "google.com",
            "referrer_medium": "search",
            "referrer_source": "Google",
            "traffic_source": "google",
            "traffic_medium": "organic",
            "channel": "Organic Search",
        },
        land="https://shop.example/a",
        ref="https://www.google.com/",
        ua=_WINDOWS,
        addr="198.51.100.9",
    ),
    Visit(
        {**_ON_WINDOWS, "referrer_host": "shop.example", "referrer_medium": "internal"},
        land="https://shop.example/b",
        ref="https://shop.example/a",
        ua=_WINDOWS,
    ),
    Visit(
        {**_ON_ANDROID, "referrer_host": PAYMENT, "referrer_medium": "ignored"},
        land="https://shop.example/paid",
        ref=f"https://{PAYMENT}/done",
        ua=_ANDROID,
        unless_ignored={
            "referrer_medium": "referral",
            "traffic_source": PAYMENT,
            "traffic_medium": "referral",
            "channel": "Referral",
        },
    ),
    Visit(
        {**_BY_CURL, "click_id_kind": "gclid", "click_id": "x1"}
        | {"traffic_source": "google", "traffic_medium": "cpc", "channel": "Paid Search"},
        land="https://shop.example/?gclid=x1",
        ua="curl/8.11.1",
        addr="10.0.0.1",
    ),
]
_BY_FIELDS = {visit.read: visit for visit in VISITS}


def fields_of(place: int) -> dict[str, str | None]:
    """What a row says of its visit."""
    return dict(zip(FIELDS.values(), VISITS[place % len(VISITS)].read, strict=True))


def values_of(row: dict[str, Any], *, payment_ignored: bool, countries: str, sections: str) -> dict[str, Any]:
    """All columns that a row's event has by its visit: those that are read, and those that are made of them."""
    visit = _BY_FIELDS[row.get("land"), row.get("ref"), row.get("ua"), row.get("addr")]
    values = visit.values if payment_ignored else {**visit.values, **visit.unless_ignored}
    read = {column: row.get(name) for column, name in FIELDS.items()}
    section = None if visit.land is None else visit.land.removeprefix("https://shop.example/")[:1]
    own = {"section": section.upper() if section and sections == "second" else section}
    return {**read, **dict.fromkeys(ADDED), **values, "country": COUNTRIES[countries].get(visit.addr or ""), **own}


def enrichments(*, payment_ignored: bool, countries: str, sections: str) -> dict[str, Any]:
    """As a stream's file has them."""
    return {
        "user_agent": {},
        "referrer": {"own_hosts": ["shop.example"], "ignore": [PAYMENT] if payment_ignored else []},
        "campaign": {"from": "visit_url"},
        "channel": {},
        "geo": {"database": str(_database(countries)), "keep_ip": True},
        "python": {
            "function": f"{own_functions.__name__}:{SECTIONS[sections]}",
            "from": "visit_url",
            "columns": {"section": "string"},
            "version": 1 + (sections == "second"),
        },
    }


def _database(state: str) -> Path:
    """One file, which is replaced where its state is to be another."""
    path, made = Path(_DATABASES.name) / "country.mmdb", Path(_DATABASES.name) / f"{state}.mmdb"
    if not made.exists():
        writer = MMDBWriter(ip_version=4)
        for address, country in COUNTRIES[state].items():
            writer.insert_network(IPSet([address]), {"country": {"iso_code": country}})
        writer.to_db_file(str(made))
    path.unlink(missing_ok=True)
    path.hardlink_to(made)
    return path
