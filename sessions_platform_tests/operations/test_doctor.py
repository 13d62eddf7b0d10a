"""What `doctor` finds: each thing that can be wrong with an installation, with its fix, and no secret."""

from pathlib import Path

import pytest

from sessions_platform.operations import doctor
from sessions_platform.operations.doctor import Finding, Outcome, examine
from sessions_platform.orchestration.doctor import daemon
from sessions_platform.settings import Settings
from sessions_platform.storage.postgres.about import about_database
from sessions_platform.storage.postgres.database import Database
from sessions_platform.storage.postgres.migrations import HEAD, ensure_current
from sessions_platform.storage.postgres.roles import LOADER, OWNER, READER


def found(environment: dict[str, str]) -> dict[str, Finding]:
    return {each.what: each for each in examine(environment)}


def failing(findings: dict[str, Finding]) -> set[str]:
    return {what for what, each in findings.items() if each.outcome is Outcome.fail}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An installation that nothing was done with."""
    return {"SESSIONS_HOME": str(tmp_path / "home")}


def test_a_new_installation_is_fine_and_nothing_is_made(environment: dict[str, str], tmp_path: Path) -> None:
    findings = found(environment)
    assert failing(findings) == set()
    assert findings["database"].found == "the embedded PostgreSQL is not running; commands start it"
    assert list(tmp_path.iterdir()) == []


def test_whatever_fails_has_a_fix(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams" / "web.yaml").write_text("name: web\n")
    findings = found(
        {
            **environment,
            "SESSIONS_LAKE": str(tmp_path / "file"),
            "SESSIONS_STREAMS": str(tmp_path / "streams"),
            "SESSIONS_WAREHOUSE_URL": "postgresql://ann:hidden@127.0.0.1:1/nothing?connect_timeout=1",
        }
    )
    assert failing(findings) == {"lake", "stream web", "database"}
    assert all(each.fix for each in findings.values() if each.outcome is Outcome.fail)
    assert "web.yaml: source: the key is missing" in findings["stream web"].found


def test_an_unusable_variable_ends_the_examination_with_its_sentence() -> None:
    findings = found({"SESSIONS_BLOCK_MB": "many"})
    assert failing(findings) == {"settings"}
    assert findings["settings"].found.startswith("SESSIONS_BLOCK_MB: 'many' is not a whole number")
    assert findings["settings"].fix == "write one."


def test_no_secret_is_shown(environment: dict[str, str]) -> None:
    secrets = {
        "SESSIONS_WAREHOUSE_URL": "postgresql://ann:hidden@127.0.0.1:1/nothing?connect_timeout=1",
        "SESSIONS_READER_URL": "postgresql://ann:hidden@127.0.0.1:1/nothing",
        "DAGSTER_POSTGRES_URL": "postgresql://ann:hidden@127.0.0.1:1/nothing",
        "SESSIONS_ERASURE_KEY": "hidden",
        "SESSIONS_PSEUDONYM_KEY": "hidden",
    }
    findings = found({**environment, **secrets})
    assert {findings[name].found for name in secrets} == {"set"}
    assert "hidden" not in str([each.document for each in findings.values()])


def test_a_running_database_says_its_version_its_roles_and_that_of_its_tables(
    settings: Settings, database: Database
) -> None:
    with database.transaction() as connection:
        ensure_current(connection)
    about = about_database(database)
    assert int(about.server.partition(".")[0]) >= 14
    assert set(about.roles) == {OWNER, LOADER, READER}
    assert about.roles[LOADER] is True
    assert (about.version, about.newest) == (HEAD, HEAD)
    findings = found({"SESSIONS_HOME": str(settings.home)})
    assert findings["tables"] == Finding("tables", Outcome.ok, f"version {HEAD}")
    assert findings["database"].outcome is Outcome.ok


@pytest.mark.parametrize(
    ("finding", "outcome"),
    [
        (doctor._python((3, 10, 9)), Outcome.fail),
        (doctor._python((3, 13, 0)), Outcome.ok),
        (doctor._disk(Path("/"), 10**8), Outcome.fail),
        (doctor._disk(Path("/"), 10**9), Outcome.warn),
        (doctor._disk(Path("/"), 10**11), Outcome.ok),
        (doctor._server("here", "13.4"), Outcome.fail),
        (doctor._roles("ann", {OWNER: True, READER: False}), Outcome.warn),
        (doctor._version("9999", "0012"), Outcome.fail),
        (doctor._version(None, "0012"), Outcome.ok),
        (daemon(None, []), Outcome.ok),
        (daemon(10, ["SENSOR"]), Outcome.warn),
        (daemon(10_000, ["SENSOR"]), Outcome.ok),
    ],
    ids=lambda value: f"{value.what}: {value.found}" if isinstance(value, Finding) else None,
)
def test_each_finding_has_its_outcome_and_a_fix_unless_it_is_ok(finding: Finding, outcome: Outcome) -> None:
    assert finding.outcome is outcome
    assert finding.fix or finding.outcome is Outcome.ok
