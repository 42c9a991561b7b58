"""`failover doctor` as an operator has it: what is wrong is told and mended, what is left over is shown, never removed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.world import KEYS, PG, VOLUME, Cloud, House

FIT, WARNINGS, CRITICAL, REFUSED = 0, 1, 2, 3
TEST = f"vm: {PG}\nstate: test-failover\nfor: 30m\n"
ALL_IN_ORDER = {"FAILOVER_CLOUDSTACK__STORAGE": "nfs"}
LATE = "2025-01-01 00:00:00.000000"


def failed(house: House, *words: str, **env: str) -> dict[str, str]:
    """The checks that failed, with what they saw."""
    told = house.run("doctor", "--format", "json", *words, **env).json
    return {row["id"]: row["message"] for row in told["results"] if row["status"] in ("warning", "critical")}


def test_a_platform_that_is_fit_is_called_so_and_nothing_is_changed(house: House, cloud: Cloud) -> None:
    before = house.dump()
    told = house.run("doctor", **ALL_IN_ORDER)
    assert told.code == WARNINGS
    assert failed(house, **ALL_IN_ORDER).keys() == {"capabilities.in-place"}
    told = house.run("doctor", "--only", "zone", "--only", "vms", "-v")
    assert (told.code, told.out.splitlines()[-1]) == (FIT, "6 checks: 6 ok")
    assert "= expunge" in told.out
    assert house.dump() == before
    assert cloud.changes() == {}


@pytest.mark.parametrize(
    ("statement", "check", "code"),
    [
        ("UPDATE ossea_configs SET zone = 'nowhere'", "zone.exists", CRITICAL),
        ("UPDATE ossea_configs SET template_id = '00000000-0000-4000-8000-0000000000e3'", "template.ready", CRITICAL),
        ("UPDATE ossea_configs SET template_id = '00000000-0000-4000-8000-0000000000e2'", "template.small", WARNINGS),
        (
            "UPDATE ossea_configs SET service_offering_id = '00000000-0000-4000-8000-0000000000c2'",
            "service-offering.custom",
            WARNINGS,
        ),
        ("UPDATE ossea_configs SET is_active = 0", "appliance.named", CRITICAL),
        ("DELETE FROM network_mappings", "network.tests", CRITICAL),
        ("UPDATE vm_disks SET ossea_volume_id = (SELECT MIN(id) FROM ossea_volumes)", "hygiene.shared", CRITICAL),
    ],
)
def test_what_is_wrong_is_told_with_why_and_how_to_mend_it(statement: str, check: str, code: int, home: House) -> None:
    home.edit(statement)
    assert check in failed(home)
    told = home.run("doctor", "--only", check.partition(".")[0])
    assert told.code == code
    assert f"{'!' if code == CRITICAL else '~'} {check.partition('.')[2]}" in told.out
    assert told.out.count("why: ") == told.out.count("mend: ") > 0


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ("zone = 'nowhere'", "the zone nowhere is not that of the appliance"),
        ("template_id = '00000000-0000-4000-8000-0000000000e3'", "is not ready"),
        ("template_id = NULL", "no template (none is named)"),
        ("service_offering_id = 'medium'", "no service offering medium"),
    ],
)
def test_what_is_critical_for_a_platform_keeps_its_vms_from_being_ready_and_planned(
    changed: str, says: str, home: House
) -> None:
    home.edit(f"UPDATE ossea_configs SET {changed}")
    assert home.run("doctor").code == CRITICAL
    ready = home.run("ready", PG)
    assert (ready.code, says in ready.out, "Platform" in ready.out) == (REFUSED, True, True), ready.text
    home.write(TEST)
    told = home.run("plan", "specs")
    assert (told.code, says in told.out, "PLATFORM_NOT_VALID" in told.out) == (REFUSED, True, True), told.text


def test_a_cloud_that_does_not_answer_is_the_one_fault_and_the_rest_is_not_visible(house: House) -> None:
    nowhere = {"FAILOVER_CLOUDSTACK__ENDPOINT": "http://127.0.0.1:9/client/api"}
    assert failed(house, **nowhere).keys() == {"connectivity.reachable"}
    assert house.run("doctor", **nowhere).code == CRITICAL


def test_keys_that_are_not_accepted_are_told_as_that_and_never_shown(house: House) -> None:
    (house.folder / "secrets" / "secret_key").write_text("not-the-secret\n", encoding="utf-8")
    told = house.run("doctor", "--only", "connectivity")
    assert (told.code, "! keys" in told.out, "not-the-secret" in told.text) == (CRITICAL, True, False)


def test_tables_of_ours_that_are_not_there_are_made_when_asked_for_after_it_was_shown(home: House) -> None:
    assert home.run("db", "downgrade", "base").code == 0
    assert "database.ours" in failed(home)
    before = home.dump()
    told = home.run("doctor", "--fix")
    assert (told.code, "say --yes; nothing was changed" in told.err) == (1, True)
    assert "1. make or upgrade our own tables" in told.out
    assert home.dump() == before
    told = home.run("doctor", "--fix", "--yes", "--only", "database")
    assert (told.code, "database.ours: done" in told.out) == (FIT, True)
    assert home.run("doctor", "--fix", "--yes", "--only", "database").out.startswith("nothing can be mended by itself\n")


def leftover(home: House, cloud: Cloud) -> dict[str, Any]:
    """What is told to be left over after the journal of a test that runs was ended behind everybody's back."""
    assert home.run("apply", "--yes", "specs").code == 0
    assert failed(home, "--only", "hygiene") == {}
    home.edit("UPDATE fr_runs SET state = 'completed', open_of = NULL")
    before = cloud.changes()
    told = home.run("doctor", "--fix", "--yes", "--format", "json")
    assert cloud.changes() == before, "nothing is ever removed"
    return told.json


def test_what_a_run_left_is_found_by_its_mark_and_what_holds_a_replica_is_not_offered_for_removal(
    home: House, cloud: Cloud
) -> None:
    told = leftover(home, cloud)
    wrong = {row["id"] for row in told["results"] if row["status"] != "ok"}
    assert {"hygiene.vms", "hygiene.snapshots"} <= wrong
    assert [row["kind"] for row in told["left_over"]] == ["snapshot"], "the guest holds the replica"
    assert told["left_over"][0]["removal"].startswith("deleteSnapshot id=")


def test_a_test_that_nobody_takes_back_is_critical(home: House) -> None:
    assert home.run("apply", "--yes", "specs").code == 0
    home.edit(f"UPDATE fr_runs SET expires_at = '{LATE}'")
    assert failed(home, "--only", "hygiene") == {"hygiene.overdue": PG}
    assert home.run("end", PG).code == 0
    assert failed(home, "--only", "hygiene") == {}


def test_an_unknown_category_is_an_error(house: House) -> None:
    told = house.run("doctor", "--only", "weather")
    assert (told.code, told.out) == (1, "")
    assert KEYS[PG] not in told.err


def test_a_database_that_cannot_be_used_is_one_fault_and_the_cloud_is_looked_at_all_the_same(home: House) -> None:
    nowhere = {"FAILOVER_DATABASE__URL": "mysql+pymysql://u@127.0.0.1:9/x"}
    told = home.run("doctor", "--format", "json", **nowhere)
    status = {row["id"]: row["status"] for row in told.json["results"]}
    assert told.code == CRITICAL
    assert (status["database.server"], status["connectivity.reachable"], status["volumes.move"]) == ("critical", "ok", "ok")
    assert {name for name, was in status.items() if was == "critical"} <= {"database.server", "network.tests"}
    home.edit("ALTER TABLE vm_disks RENAME COLUMN disk_id TO disc_id")
    told = home.run("doctor", "--only", "database")
    assert (told.code, "vm_disks has no column disk_id" in told.out) == (CRITICAL, True)


def test_the_report_has_the_documented_shape_and_tells_what_came_of_fixes(home: House) -> None:
    assert home.run("db", "downgrade", "base").code == 0
    told = home.run("doctor", "--fix", "--yes", "--format", "json", "--only", "database").json
    assert {
        "timestamp",
        "overall_passed",
        "total_checks",
        "passed_checks",
        "failed_checks",
        "critical_failures",
    } <= told.keys()
    ours = next(row for row in told["results"] if row["id"] == "database.ours")
    assert (ours["check_name"], ours["category"], ours["passed"], ours["auto_fixable"]) == ("ours", "database", True, True)
    assert {"message", "details", "fix", "severity"} <= ours.keys()
    fixed = told["auto_fix_report"]
    assert (fixed["fixes_attempted"], fixed["fixes_successful"], fixed["fixes_failed"]) == (1, 1, 0)
    assert fixed["results"][0]["fix_name"] == "database.ours"


def test_a_replica_that_somebody_deleted_is_told(home: House) -> None:
    home.edit(f"UPDATE ossea_volumes SET volume_id = '00000000-0000-4000-8000-00000000dead' WHERE volume_id = '{VOLUME}'")
    assert PG in failed(home, "--only", "hygiene")["hygiene.lost"]


def test_what_the_database_remembers_or_leases_for_nobody_is_told(home: House) -> None:
    home.edit(
        f"UPDATE ossea_volumes SET snapshot_id = 'old-1' WHERE volume_id = '{VOLUME}'",
        f"INSERT INTO fr_leases (vm_key, owner, fence, expires_at) VALUES ('{KEYS[PG]}', 'them', 1, '2099-01-01 00:00:00')",
        "INSERT INTO ossea_configs (name, is_active) VALUES ('second', 1)",
    )
    wrong = failed(home, "--only", "hygiene")
    assert wrong["hygiene.remembered"] == f"{PG} disk-2000: old-1, which is not there"
    assert wrong["hygiene.leases"] == PG
    assert "2 are active" in wrong["hygiene.configurations"]
