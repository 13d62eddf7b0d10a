"""Rejected rows through the real Dagster: their metadata, thresholds and schema drift."""

import gzip
import json
from typing import Any

import dagster as dg
import pytest
import yaml

from sessions_platform.contracts.rejection_reasons import Code
from sessions_platform.orchestration import resources
from sessions_platform_tests.orchestration.conftest import Home
from sessions_platform_tests.streams import PLAIN

DAY, NEXT, THIRD = "2026-01-01", "2026-01-02", "2026-01-03"
SECRET = "card-4111-1111"


def configure(home: Home, **changes: Any) -> None:
    """Change keys of the stream's file."""
    path = home.folder / "streams" / "web.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, sort_keys=False))
    resources._contexts.cache_clear()


def row(name: str, day: str = DAY, **fields: Any) -> bytes:
    return json.dumps({"id": name, "user": "ann", "ts": f"{day}T12:00:00Z", "type": "view", **fields}).encode()


def rows(good: int, bad: int, day: str = DAY) -> list[bytes]:
    return [row(f"{day} {n}", day, **({"user": None, "note": SECRET} if n < bad else {})) for n in range(good + bad)]


def ingest(home: Home, day: str, lines: list[bytes], name: str = "a") -> None:
    place = home.folder / "streams" / "landing" / day / f"{name}.ndjson"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"\n".join(lines) + b"\n")


def check(result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    (found,) = [each for each in result.get_asset_check_evaluations() if each.check_name == name]
    return found


def metadata_by_partition(instance: dg.DagsterInstance, home: Home, asset: str) -> dict[str, dict[str, Any]]:
    """The metadata of an asset's materializations, by partition."""
    found: dict[str, dict[str, Any]] = {}
    for record in reversed(instance.fetch_materializations(dg.AssetKey([home.name, asset]), limit=100).records):
        materialization = record.event_log_entry.asset_materialization
        assert materialization is not None
        found[record.partition_key or ""] = {key: value.value for key, value in materialization.metadata.items()}
    return found


def as_rows(table: Any) -> list[dict[str, Any]]:
    return [dict(record.data) for record in table.records]


def published(home: Home) -> dict[str, tuple[int, int]]:
    """Accepted and rejected rows of each partition that is current."""
    return {
        landing.landing_partition: (landing.accepted, landing.rejected)
        for landing in home.stream_context.ledger.landings()
    }


# Every reason ----------------------------------------------------------------------------------------------


def test_each_code_goes_from_a_file_to_the_warehouse(home: Home, instance: dg.DagsterInstance) -> None:
    rules: dict[str, Any] = {
        "amount": {"type": "float", "nullable": True, "ge": 0},
        "page_url": {"from": "url", "nullable": True, "pattern": "^https:"},
        "device": {"nullable": True, "isin": ["phone", "desk"]},
        "product_id": {"nullable": True, "references": {"file": "products.csv", "column": "id"}},
    }
    configure(home, columns={**PLAIN["columns"], **rules}, extra_columns="reject")
    (home.folder / "streams" / "products.csv").write_text("id\nA1\n")
    broken = {
        Code.missing_identity: row("1", user=None),
        Code.missing_value: row("2", type=None),
        Code.wrong_type: row("3", amount="much"),
        Code.bad_timestamp: row("4", ts="noon"),
        Code.bad_text: row("5", type="a\0"),
        Code.future_timestamp: row("6", ts="2027-01-01T00:00:00Z"),
        Code.before_start: row("7", ts="2025-12-31T23:59:59Z"),
        Code.not_allowed: row("8", device="fridge"),
        Code.out_of_range: row("9", amount=-1),
        Code.pattern_mismatch: row("10", url="about:blank"),
        Code.unknown_reference: row("11", product_id="B2"),
        Code.unexpected_column: row("12", debug=1),
        Code.conflicting_duplicate: row("13", type="other"),
        Code.malformed: b'{"id": "14"',
    }
    ingest(home, DAY, [row("13", product_id="A1"), *broken.values()])
    cut_off = home.folder / "streams" / "landing" / DAY / "b.ndjson"
    cut_off.write_bytes(gzip.compress(row("15"))[:-4])
    assert home.execute("ingest_events", DAY, DAY, instance).success

    found = {(r["source_uri"].rpartition("/")[2], r["position"]): r for r in home.table("rejected_events")}
    last = found.pop(("b.ndjson", max(at for uri, at in found if uri == "b.ndjson")))
    assert [reason["code"] for reason in last["reasons"]] == [Code.unreadable_file]
    rejected_by_code = {code: found["a.ndjson", place] for place, code in enumerate(broken, start=2)}
    assert len(rejected_by_code) == len(found)
    for code, rejected in rejected_by_code.items():
        assert [reason["code"] for reason in rejected["reasons"]] == [code]
        assert rejected["payload"].encode() == broken[code]
    by_day = home.stream_context.database.query(
        f"select day::text, code, rows from {home.name}.rejected_by_day order by 2"
    )
    assert by_day == [{"day": DAY, "code": code, "rows": 1} for code in sorted(Code)]


def test_a_row_counts_once_a_day_under_each_of_its_codes(home: Home, instance: dg.DagsterInstance) -> None:
    columns = {"a": {"type": "integer", "nullable": True}, "b": {"type": "integer", "nullable": True}}
    configure(home, columns={**PLAIN["columns"], **columns})
    ingest(home, DAY, [row("1", a="x", b="y", user=None), row("2", a="x")])
    ingest(home, NEXT, [row("3", NEXT, b="x")])
    assert home.execute("ingest_events", DAY, NEXT, instance).success
    query = f"select day::text, code, rows from {home.name}.rejected_by_day order by 1, 2"
    assert [tuple(found.values()) for found in home.stream_context.database.query(query)] == [
        (DAY, "missing_identity", 1),
        (DAY, "wrong_type", 2),
        (NEXT, "wrong_type", 1),
    ]


# Too many ----------------------------------------------------------------------------------------------------

LIMITS = {"warn_above": "10%", "fail_above": "20%"}


@pytest.mark.parametrize(
    ("bad", "passes", "severity"),
    [
        pytest.param(2, True, None, id="at the warning"),
        pytest.param(3, False, dg.AssetCheckSeverity.WARN, id="above the warning"),
        pytest.param(4, False, dg.AssetCheckSeverity.WARN, id="at the failure"),
        pytest.param(5, False, dg.AssetCheckSeverity.ERROR, id="above the failure"),
    ],
)
def test_a_share_of_rejected_rows_warns_and_a_greater_one_fails(
    home: Home, instance: dg.DagsterInstance, bad: int, passes: bool, severity: dg.AssetCheckSeverity | None
) -> None:
    configure(home, rejected=LIMITS)
    ingest(home, DAY, rows(20 - bad, bad))
    result = home.execute("materialize_all", DAY, DAY, instance)
    few = check(result, "rejection_rate")
    assert few.passed == passes
    assert passes or few.severity is severity
    fails = severity is dg.AssetCheckSeverity.ERROR
    assert result.success != fails
    assert published(home) == ({} if fails else {DAY: (20 - bad, bad)})


def test_a_partition_that_fails_says_why_and_keeps_its_published_state(
    home: Home, instance: dg.DagsterInstance
) -> None:
    configure(home, rejected={"by_reason": {"missing_identity": {"fail_above": "1%"}}})
    ingest(home, DAY, rows(10, 0))
    assert home.execute("materialize_all", DAY, DAY, instance).success
    before = home.table(), home.table("rejected_events")
    ingest(home, DAY, [*rows(12, 7), b"{"], name="b")
    result = home.execute("materialize_all", DAY, DAY, instance)
    assert not result.success
    assert (home.table(), home.table("rejected_events")) == before
    assert published(home) == {DAY: (10, 0)}

    metadata = check(result, "rejection_rate").metadata
    (exceeded,) = as_rows(metadata["exceeded"].value)
    share = {"rows": 7, "of": 30, "percent": 23.3333, "limit": "1%"}
    assert exceeded == {"partition": DAY, "reason": "missing_identity", **share, "outcome": "fails"}
    samples = as_rows(metadata["samples"].value)
    assert len(samples) == 5
    assert {sample["reasons"].split(":")[0] for sample in samples} == {"missing_identity user_id", "malformed"}
    assert SECRET in samples[0]["payload"]


def test_one_failed_partition_stops_the_publication_of_its_whole_range(
    home: Home, instance: dg.DagsterInstance
) -> None:
    configure(home, rejected=LIMITS)
    ingest(home, DAY, rows(10, 0))
    ingest(home, NEXT, rows(5, 5, NEXT))
    result = home.execute("materialize_all", DAY, NEXT, instance)
    assert not result.success
    assert published(home) == {}
    assert {each["partition"] for each in as_rows(check(result, "rejection_rate").metadata["exceeded"].value)} == {NEXT}


def test_a_reference_that_is_gone_fails_the_run_and_rejects_nothing(home: Home, instance: dg.DagsterInstance) -> None:
    reference = {"nullable": True, "references": {"file": "products.csv", "column": "id"}}
    configure(home, columns={**PLAIN["columns"], "product_id": reference})
    ingest(home, DAY, [row("1", product_id="A1")])
    result = home.execute("materialize_all", DAY, DAY, instance)
    assert not result.success
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    failure = failed.step_failure_data.user_failure_data
    assert failure is not None
    assert "products.csv can't be read: No such file or directory. Fix: " in (failure.description or "")
    assert published(home) == {}
    (home.folder / "streams" / "products.csv").write_text("id\nA1\n")
    assert home.execute("materialize_all", DAY, DAY, instance).success
    assert published(home) == {DAY: (1, 0)}


# Seen --------------------------------------------------------------------------------------------------------


def test_metadata_has_reasons_as_table_and_numbers_and_rows_as_samples(
    home: Home, instance: dg.DagsterInstance
) -> None:
    long = row("2", user=None, note="x" * 5000)
    ingest(home, DAY, [row("1"), long, b"{", *rows(3, 3)])
    ingest(home, NEXT, [row("4", NEXT)])
    assert home.execute("ingest_events", DAY, NEXT, instance).success
    ingest(home, THIRD, [b"["])
    assert home.execute("ingest_events", THIRD, THIRD, instance).success

    seen = metadata_by_partition(instance, home, "rejected_events")
    numbers = ["dagster/row_count", "rejected_percent", "rejected_as/malformed", "rejected_as/missing_identity"]
    assert {day: [metadata[key] for key in numbers] for day, metadata in seen.items()} == {
        DAY: [5, 55.5556, 1, 4],
        NEXT: [0, 0.0, 0, 0],
        THIRD: [1, 100.0, 1, 0],
    }
    assert as_rows(seen[DAY]["reasons"]) == [
        {"reason": "missing_identity", "rows": 4, "percent": 44.4444},
        {"reason": "malformed", "rows": 1, "percent": 11.1111},
    ]
    samples = as_rows(seen[DAY]["samples"])
    assert [sample["position"] for sample in samples] == [2, 3, 4, 5, 6]
    assert all(len(value) <= 200 for sample in samples for value in sample.values() if isinstance(value, str))
    assert samples[0]["payload"].encode()[:150] == long[:150]
    assert "samples" not in seen[NEXT]


@pytest.mark.slow
def test_payloads_reach_no_log_line_and_no_error(
    home: Home, instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    configure(home, rejected={"fail_above": "50%"})
    ingest(home, DAY, rows(5, 5))
    ingest(home, NEXT, rows(1, 5, NEXT))
    for loggers in ({}, {"json": {"config": {"log_level": "DEBUG"}}}, {"progress": {}}):
        job = home.definitions.resolve_job_def(f"{home.name}__materialize_all")
        for day in (DAY, NEXT):
            tags = {"dagster/asset_partition_range_start": day, "dagster/asset_partition_range_end": day}
            config = {"loggers": loggers}
            result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False, run_config=config)
            assert result.success == (day == DAY)
            errors = [str(event.event_specific_data) for event in result.all_events if event.is_failure]
            assert SECRET not in "".join(errors)
        out, err = capfd.readouterr()
        assert "validated_events" in err
        assert SECRET not in out + err
        if "json" in loggers:
            logged = {json.loads(line).get("type") for line in err.splitlines()}
            assert {"ASSET_CHECK_EVALUATION", "ASSET_MATERIALIZATION", "STEP_FAILURE"} <= logged
    assert SECRET in str(metadata_by_partition(instance, home, "rejected_events")[DAY]["samples"])


# Drift -------------------------------------------------------------------------------------------------------


def test_schema_drift_gives_a_warning_with_details_and_stops_nothing(home: Home, instance: dg.DagsterInstance) -> None:
    amount = {"amount": {"type": "float", "nullable": True}}
    configure(home, columns={**PLAIN["columns"], **amount})
    ingest(home, DAY, [row("1", url="/", amount=1)])
    ingest(home, NEXT, [row("2", NEXT, url="/", amount=2.5)])
    ingest(home, THIRD, [row("3", THIRD, amount="3", debug=True), row("4", THIRD, amount=None)])
    result = home.execute("ingest_events", DAY, THIRD, instance)
    assert result.success
    observed = check(result, "schema_drift")
    assert (observed.passed, observed.severity) == (False, dg.AssetCheckSeverity.WARN)
    (raw,) = home.stream_context.ledger.files([THIRD])
    drift = [
        {"field": "debug", "is": "new", "types": "boolean", "file": raw.uri, "rows": 1, "of": 2, "percent": 50.0},
        {"field": "url", "is": "missing", "types": "", "file": "", "rows": 0, "of": 2, "percent": 0.0},
        {"field": "amount", "is": "retyped", "types": "string", "file": raw.uri, "rows": 1, "of": 1, "percent": 100.0},
    ]
    assert as_rows(observed.metadata["drift"].value) == [{"partition": THIRD, **each} for each in drift]
    seen = metadata_by_partition(instance, home, "events")
    assert {day: metadata["drifted"] for day, metadata in seen.items()} == {DAY: 0, NEXT: 0, THIRD: 3}
    assert as_rows(seen[THIRD]["drift"]) == drift


def test_a_partition_is_compared_with_the_newest_before_it_that_has_rows(
    home: Home, instance: dg.DagsterInstance
) -> None:
    ingest(home, DAY, [row("1", url="/", ref="x")])
    assert home.execute("ingest_events", DAY, NEXT, instance).success
    ingest(home, THIRD, [row("2", THIRD, url="/", ref="x", debug=1)])
    result = home.execute("ingest_events", THIRD, THIRD, instance)
    found = as_rows(check(result, "schema_drift").metadata["drift"].value)
    assert [(each["field"], each["is"]) for each in found] == [("debug", "new")]
    ingest(home, NEXT, [row("3", NEXT, url="/")])
    again = home.execute("ingest_events", NEXT, THIRD, instance)
    found = as_rows(check(again, "schema_drift").metadata["drift"].value)
    assert [(each["partition"], each["field"]) for each in found] == [(THIRD, "debug"), (THIRD, "ref")]


def test_field_names_that_cannot_be_stored_stop_nothing(home: Home, instance: dg.DagsterInstance) -> None:
    configure(home, extra_columns="drop")
    ingest(home, DAY, [row("1", url="/")])
    ingest(home, NEXT, [row("2", NEXT, url="/", **{"a\0": 1, "\ud800": 2, "n" * 500: 3})])
    result = home.execute("ingest_events", DAY, NEXT, instance)
    assert result.success
    fields = [each["field"] for each in as_rows(check(result, "schema_drift").metadata["drift"].value)]
    assert fields == ["\\ud800", "a\\u0000", "n" * 199 + "…"]
