"""The path of landing files is inferred from the dates in names."""

from pathlib import Path

import pytest
import yaml

from sessions_platform.contracts.calendar import Cadence, Calendar, midnight
from sessions_platform.contracts.path_template import PathTemplate
from sessions_platform.contracts.values import as_day
from sessions_platform.operations.inference.landing import landing_template, relative_to
from sessions_platform.operations.inference.stream_text import scalar, stream_text

DAILY = "landing/shop/{partition:%Y-%m-%d}/*"


def template(*names: str) -> str:
    return landing_template("shop", [Path(f"/data/{name}") for name in names]).files


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("events-2026-01-05.csv.gz",), "landing/shop/events-{partition:%Y-%m-%d}.csv.gz"),
        (("a-2026-01-05.csv", "b-2026-01-06.csv"), "landing/shop/*{partition:%Y-%m-%d}.csv"),
        (("access.log-20260105", "access.log-20260106.gz"), "landing/shop/access.log-{partition:%Y%m%d}*"),
        (("x_2026_01_05_13.json",), "landing/shop/x_{partition:%Y_%m_%d}*.json"),
        (("e[1]-2026-01-05.csv",), "landing/shop/e?1?-{partition:%Y-%m-%d}.csv"),
        (("events.csv",), f"{DAILY}.csv"),
        (("part-0.parquet", "part-1.parquet"), f"{DAILY}.parquet"),
        (("events-2026-13-45.csv",), f"{DAILY}.csv"),
        (("order-20269999.csv",), f"{DAILY}.csv"),
        (("events-2026-01-05.csv", "events.csv"), f"{DAILY}.csv"),
        (("noending", "a.csv"), DAILY),
        (("e-2026-01-05-00.csv", "e-2026-01-05-13.csv"), "landing/shop/e-{partition:%Y-%m-%d-%H}.csv"),
        (("e.2026010500.gz", "e.2026010423.gz"), "landing/shop/e.{partition:%Y%m%d%H}.gz"),
        (("a_2026-01-05T07_1.json", "b_2026-01-06T08_2.json"), "landing/shop/*{partition:%Y-%m-%dT%H}*.json"),
        (("e-2026-01-05-13.csv", "e-2026-01-06-13.csv"), "landing/shop/e-{partition:%Y-%m-%d}*.csv"),
        (("e-2026-01-05-23.csv", "e-2026-01-05-24.csv"), "landing/shop/e-{partition:%Y-%m-%d}*.csv"),
    ],
)
def test_a_date_in_all_names_is_a_placeholder(names: tuple[str, ...], expected: str) -> None:
    assert template(*names) == expected


@pytest.mark.parametrize("name", ["events-2026-01-05.csv.gz", "access.log-20260105", "e[1]{x}-2026-01-05-13.json"])
def test_the_template_reads_the_date_of_the_name_that_it_was_made_of(name: str) -> None:
    start = as_day("2026-01-01")
    assert start
    calendar = Calendar(Cadence.daily, midnight(start, "UTC"), "UTC", None)
    assert PathTemplate(template(name), calendar).partition_in_name(name) == "2026-01-05"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/2026-01-05/a.csv", "/data/{partition:%Y-%m-%d}/*.csv"),
        ("/data/dt=2026-01-05/a.csv", "/data/dt={partition:%Y-%m-%d}/*.csv"),
        ("/data/2026/01/05/a.csv", "/data/{partition:%Y/%m/%d}/*.csv"),
        ("/data/a.csv", None),
    ],
)
def test_a_date_in_the_folders_is_told_as_the_place_where_files_are(path: str, expected: str | None) -> None:
    assert landing_template("shop", [Path(path)]).in_place == expected


def test_a_template_below_a_folder_is_relative_to_it() -> None:
    assert relative_to("/a/b/{partition}/*", Path("/a")) == "b/{partition}/*"
    assert relative_to("/a/b/{partition}/*", Path("/b")) is None


def test_values_are_written_so_that_yaml_reads_them_again() -> None:
    values = ["\\N", "-", "NULL", "on", "1", "\t", "%+", "a: b", "#x", None, True, {"from": ["a b", "^c"]}]
    assert [yaml.safe_load(scalar(value)) for value in values] == values
    assert yaml.safe_load(stream_text({"columns": {"a": {"x": values}}}, ("note",), {}, {})) == {
        "columns": {"a": {"x": values}}
    }
