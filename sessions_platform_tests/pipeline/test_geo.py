"""`geo`: the country of an address, which then is not stored.

Addresses are those that the RFCs keep for examples and private networks (1918, 3849, 5737, 6598), and spellings that
RFC 4291 (mapped), RFC 6052 (translated) and the logs of load balancers (with a port) have.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from sessions_platform.contracts.events import event_columns
from sessions_platform.contracts.stream import Stream
from sessions_platform.contracts.stream_file import StreamError, load_stream
from sessions_platform.errors import UserError
from sessions_platform.pipeline.context import StreamContext
from sessions_platform.transforms.enrich.geo import address_of
from sessions_platform.transforms.enrich.registry import open_enrichment
from sessions_platform_tests.contexts import line
from sessions_platform_tests.pipeline.steps import put, run_pending, table, validated
from sessions_platform_tests.streams import DAY_ONE, PLAIN

COLUMNS = {**PLAIN["columns"], "ip": {"nullable": True}}


def write_database(path: Path, networks: dict[str, Any], version: int = 6) -> None:
    writer = MMDBWriter(ip_version=version, ipv4_compatible=version == 6, database_type="Test-Country")
    for network, record in networks.items():
        writer.insert_network(IPSet([network]), record)
    writer.to_db_file(str(path))


NETWORKS = {
    "192.0.2.0/24": {"country": {"iso_code": "DE"}},  # as GeoLite2 and DB-IP have it
    "198.51.100.0/24": {"country_code": "fr"},  # as ip-location-db
    "203.0.113.0/24": {"country": "JP"},  # as IPinfo
    "2001:db8::/32": {"country": {"iso_code": "NL"}},
    "2001:db8:ffff::/48": {"continent": {"code": "EU"}},
}


def loaded(folder: Path, more: dict[str, Any] | None = None, **keys: Any) -> Stream:
    if not (folder / "country.mmdb").exists():
        write_database(folder / "country.mmdb", NETWORKS)
    path = folder / "web.yaml"
    geo = {"database": "country.mmdb", **keys}
    path.write_text(yaml.safe_dump({**PLAIN, "columns": COLUMNS, "enrich": {"geo": geo}, **(more or {})}))
    return load_stream(path, folder)


def countries(stream: Stream, *addresses: str | None) -> list[str | None]:
    (config,) = stream.enrich.values()
    return open_enrichment(config).enrich(pl.DataFrame({"ip": addresses}, {"ip": pl.String}))["country"].to_list()


@pytest.mark.parametrize(
    ("text", "country"),
    [
        ("192.0.2.7", "DE"),
        ("198.51.100.1", "FR"),
        ("203.0.113.255", "JP"),
        ("2001:db8::1", "NL"),
        ("2001:DB8:0:0:0:0:0:1", "NL"),
        ("2001:db8:ffff::1", None),  # a record without a country
        # other spellings
        (" 192.0.2.7\t", "DE"),
        ("192.0.2.7:443", "DE"),
        ("[2001:db8::1]:443", "NL"),
        ("[2001:db8::1]", "NL"),
        ("2001:db8::1%eth0", "NL"),
        ("::ffff:192.0.2.7", "DE"),
        ("::FFFF:c000:207", "DE"),
        ("64:ff9b::192.0.2.7", "DE"),
        # no place
        ("10.0.0.1", None),
        ("172.16.0.1", None),
        ("192.168.1.1", None),
        ("::ffff:192.168.1.1", None),
        ("127.0.0.1", None),
        ("169.254.169.254", None),
        ("100.64.0.1", None),
        ("::1", None),
        ("fe80::1%eth0", None),
        ("fd00::1", None),
        # no address
        ("192.0.2", None),
        ("192.0.2.07", None),
        ("192.0.2.256", None),
        ("192.0.2.7.1", None),
        ("3221225991", None),
        ("0xc0000207", None),
        ("192.0.2.7, 198.51.100.1", None),
        ("2001:db8::1::2", None),
        ("2001:db8:::1", None),
        ("[", None),
        (":", None),
        ("-", None),
        ("unknown", None),
        ("192.0.2.7\0", None),
        ("\u0661\u0669\u0662.\u0660.2.7", None),
        ("", None),
        (None, None),
    ],
)
def test_an_address_gives_a_country(tmp_path_factory: pytest.TempPathFactory, text: str | None, country: Any) -> None:
    folder = tmp_path_factory.getbasetemp() / "geo"
    folder.mkdir(exist_ok=True)
    assert countries(loaded(folder), text) == [country]


def test_the_address_of_a_mapped_one_is_spelled_as_ipv4() -> None:
    assert [address_of(text) for text in ("::ffff:192.0.2.7", "::ffff:0:192.0.2.7")] == [
        "192.0.2.7",
        "::ffff:0:c000:207",
    ]


def test_a_database_of_ipv4_alone_has_no_country_for_ipv6(tmp_path: Path) -> None:
    write_database(tmp_path / "country.mmdb", {"192.0.2.0/24": {"country": "DE"}}, version=4)
    assert countries(loaded(tmp_path), "192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1") == ["DE", "DE", None]


def test_plain_addresses_are_looked_up_at_once_and_others_by_themselves_in_their_order(tmp_path: Path) -> None:
    texts = [
        "2001:db8::1",
        "192.0.2.7",
        None,
        "192.0.2.7:443",
        "203.0.113.255",
        "10.0.0.1",
        "192.0.2.07",
        "198.51.100.1",
    ]
    assert countries(loaded(tmp_path), *texts) == ["NL", "DE", None, "DE", "JP", None, None, "FR"]


IPS = {"ann": "192.0.2.7", "bob": "192.168.1.1", "cid": "2001:db8::1"}


@pytest.mark.slow
@pytest.mark.parametrize("keep", [False, True])
def test_the_address_is_stored_only_where_the_stream_says_so(
    tmp_path: Path, open_context: Callable[..., StreamContext], keep: bool
) -> None:
    session = {"columns": {"country": {"most_frequent": "country"}}}
    context = open_context(columns=COLUMNS, enrich=loaded(tmp_path, keep_ip=keep).enrich, session=session)
    put(context, "1", [line(user, DAY_ONE, user, ip=ip) for user, ip in IPS.items()], "2026-01-01")
    run_pending(context)
    events = context.events(["2026-01-01"]).scan().collect()
    assert list(events.columns) == list(event_columns(context.stream))
    stored = {(user, ip) for user, ip in events.select("user_id", "ip").rows() if ip}
    assert stored == (set(IPS.items()) if keep else set())
    assert {row["user_id"]: row["country"] for row in table(context)} == {"ann": "DE", "bob": None, "cid": "NL"}
    (country,) = validated(context, "2026-01-01").enriched
    assert (country["filled"], country["inputs_without_value"], country["such_as"]) == (2, 1, "")


@pytest.mark.slow
def test_the_database_is_copied_to_the_scratch_folder_alone(
    tmp_path: Path, open_context: Callable[..., StreamContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = open_context(columns=COLUMNS, enrich=loaded(tmp_path).enrich)
    put(context, "1", [line("ann", DAY_ONE, "a", ip=IPS["ann"])], "2026-01-01")
    run_pending(context)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "full"))  # there is no such folder
    (country,) = validated(context, "2026-01-01").enriched
    assert country["filled"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("partitions", [("2026-01-01", "2026-01-01"), ("2026-01-01", "2026-01-02")])
def test_rows_that_differ_in_an_address_that_is_not_stored_are_duplicates_wherever_they_land(
    tmp_path: Path, open_context: Callable[..., StreamContext], partitions: tuple[str, str]
) -> None:
    context = open_context(columns=COLUMNS, enrich=loaded(tmp_path).enrich)
    for name, (partition, ip) in enumerate(zip(partitions, IPS.values(), strict=False)):
        put(context, str(name), [line("ann", DAY_ONE, "a", ip=ip)], partition)
    run_pending(context)
    (session,) = table(context)
    assert (session["event_count"], table(context, "rejected_events")) == (1, [])


@pytest.mark.parametrize(
    ("more", "keys", "problem"),
    [
        ({}, {"database": "none.mmdb"}, "none.mmdb can't be read: No such file or directory. Fix: put the file"),
        ({}, {"database": "web.yaml"}, "'web.yaml' is no MaxMind DB. Fix: name a file that ends in .mmdb"),
        ({}, {"database": "broken.mmdb"}, "broken.mmdb is no MaxMind DB: "),
        ({}, {"from": "user_id"}, "user_id can't be left out of events, for it is not nullable. Fix: state"),
        ({"columns": {**COLUMNS, "ip": {}}}, {}, "ip can't be left out of events, for it is not nullable"),
        ({"columns": {**COLUMNS, "client": {"from": "ip", "nullable": True}}}, {}, "client has the same field 'ip'"),
        ({"pseudonymize": {"ip": "hmac"}}, {}, "ip is pseudonymized, and a pseudonym has no country. Fix: remove it"),
        ({"duplicates": {"compare": ["ip"]}}, {}, "duplicates compares ip, which is not stored"),
        ({"sequence": "ip"}, {}, "sequence is ip, which is not stored"),
        ({"identity": {"anonymous_id": "ip"}}, {}, "identity goes by ip, which is not stored"),
        *(
            ({"session": session}, {}, f"session.{key} goes by ip, which is not stored. Fix: state keep_ip: true")
            for session, key in (
                ({"id": "ip"}, "id"),
                ({"campaign": "ip"}, "campaign"),
                ({"cut_on": {"column": "ip", "when": "changes"}}, "cut_on.column"),
                ({"columns": {"ips": {"count_distinct": "ip"}}}, "columns.ips.count_distinct"),
                ({"columns": {"here": {"count": "event_type", "where": {"ip": "192.0.2.7"}}}}, "columns.here.where"),
                ({"conversions": {"buy": {"value": "ip"}}}, "conversions.buy.value"),
            )
        ),
    ],
)
def test_what_does_not_go_with_geo_is_a_sentence(
    tmp_path: Path, more: dict[str, Any], keys: dict[str, Any], problem: str
) -> None:
    (tmp_path / "broken.mmdb").write_bytes(b"not a database")
    with pytest.raises(StreamError) as error:
        loaded(tmp_path, more, **keys)
    assert problem in str(error.value)


def test_another_database_is_another_version(tmp_path: Path) -> None:
    stream = loaded(tmp_path)
    before = stream.contract_version
    write_database(tmp_path / "country.mmdb", {"192.0.2.0/24": {"country": "AT"}})
    with pytest.raises(UserError, match=r"country.mmdb has changed since the stream's file was read. Fix: run again"):
        countries(stream, "192.0.2.7")
    changed = loaded(tmp_path)
    assert changed.contract_version != before
    assert countries(changed, "192.0.2.7") == ["AT"]
