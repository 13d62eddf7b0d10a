"""What User-Agent headers say: expected values by what their senders are, not by what a library answers.

`agents.csv` has headers of the forms that their makers document. The family of a browser is the library's word for it.
"""

from pathlib import Path

import polars as pl
import pytest

from sessions_platform.contracts.web_enrichments import UserAgent
from sessions_platform.transforms.enrich.registry import open_enrichment

EXPECTED = pl.read_csv(Path(__file__).parent / "agents.csv")
ABSENT = (None, None, "absent", None, None)


@pytest.fixture(scope="module")
def enriched() -> pl.DataFrame:
    return open_enrichment(UserAgent.model_validate({})).enrich(EXPECTED.select("user_agent"))


@pytest.mark.parametrize("place", range(EXPECTED.height), ids=lambda place: EXPECTED["user_agent"][place][-40:])
def test_a_header_gives_browser_system_device_and_bot(enriched: pl.DataFrame, place: int) -> None:
    assert enriched.row(place) == EXPECTED.row(place)


def test_no_header_and_an_empty_one_are_absent() -> None:
    headers = pl.DataFrame({"user_agent": [None, "", " "]}, schema={"user_agent": pl.String})
    assert open_enrichment(UserAgent.model_validate({})).enrich(headers).select(*UserAgent.adds).rows() == [ABSENT] * 3
