"""What metadata say of enriched columns quotes nothing that is not to be kept, and nothing that erasure can't find."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from sessions_platform.contracts.geo import Geo
from sessions_platform.contracts.lookups import Lookup
from sessions_platform.contracts.own_function import OwnFunction
from sessions_platform.contracts.pseudonyms import keyed_pseudonym
from sessions_platform.contracts.web_enrichments import Campaign
from sessions_platform.pipeline.enrichment_tally import EnrichmentTally
from sessions_platform.transforms.enrich.distinct import EVENTS
from sessions_platform_tests.streams import PLAIN, stream

COLUMNS = {**PLAIN["columns"], "ip": {"nullable": True}}
NETWORKS = {"table": "networks.csv", "key": "ip", "take": {"network": "string"}}
ADDRESS = "192.0.2.7"


def records(of: Any, name: str, **seen: Any) -> dict[Any, Any]:
    """The records of one enrichment that has seen these inputs and values, by column."""
    tally = EnrichmentTally(of)
    tally.add(name, pl.DataFrame({**seen, EVENTS: [3] * len(next(iter(seen.values())))}))
    return {record["column"]: record for record in tally.records() if record["enrichment"] == name}


@pytest.mark.parametrize(("keep_ip", "shown"), [(False, ""), (True, f"{ADDRESS} 3")])
def test_an_address_that_is_not_stored_is_not_shown_as_an_input_without_value(
    tmp_path: Path, keep_ip: bool, shown: str
) -> None:
    (tmp_path / "networks.csv").write_text("ip,network\n192.0.2.1,office\n")
    folders = {"folder": tmp_path, "home": tmp_path}
    geo = Geo.model_validate({"database": "country.mmdb", "keep_ip": keep_ip}, context=folders)
    lookup = Lookup.model_validate(NETWORKS, context=folders)
    of = stream(columns=COLUMNS, enrich={"geo": geo, "lookup": lookup})
    record = records(of, "lookup", ip=[ADDRESS], network=pl.Series([None], dtype=pl.String))["network"]
    assert (record["such_as"], record["inputs_without_value"]) == (shown, 3)


def test_a_pseudonym_is_shown_whole_and_a_long_text_not_at_all() -> None:
    keys = {"function": "a.module:brand", "from": "page_url", "columns": {"brand": "string"}, "version": 1}
    of = stream(enrich={"python": OwnFunction.model_validate(keys)})
    pseudonym = keyed_pseudonym("a key of some length", "ann")
    record = records(of, "python", page_url=["a", "b"], brand=["x" * 101, pseudonym])["brand"]
    assert (record["most_frequent"], record["filled"]) == (f"{pseudonym} 3", 6)


def test_click_ids_are_counted_and_not_shown() -> None:
    of = stream(enrich={"campaign": Campaign.model_validate({})})
    values = {column: ["a"] for column in Campaign.adds}
    found = records(of, "campaign", page_url=["a"], **values)
    assert (found["click_id"]["filled"], found["click_id"]["most_frequent"]) == (3, "")
    assert found["utm_source"]["most_frequent"] == "a 3"
