"""Which VM a row means, in databases that name VMs by anything else than their uuid."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from plans.observed import ActiveJob
from reconciler import readiness
from reconciler.daemon import Daemon
from reconciler.store.identity import Identities
from reconciler.store.rows import ContextRow, JobRow
from reconciler.wiring import Connected
from specs.load import Bounds
from tests.reconciler.store import vms
from tests.reconciler.store.conftest import Furnish
from tests.reconciler.store.test_fleet import Fleet, joined, read
from tests.reconciler.store.test_unkind_databases import Play, play
from tests.reconciler.store.vms import Vm, uuid
from tests.scenarios.house import BOTH, KEYS, PG, Drill

__all__ = ["play"]

A, B = uuid(1), uuid(2)
NAMED_OTHERWISE = (
    "UPDATE replication_jobs SET source_vm_id = source_vm_name",
    "UPDATE failover_jobs SET vm_context_id = (SELECT context_id FROM vm_replication_contexts WHERE vmware_vm_id = vm_id)",
    "UPDATE failover_jobs SET vm_id = vm_context_id WHERE vm_context_id IS NOT NULL",
    "UPDATE network_mappings SET vm_id = CONCAT('odd-', vm_id) WHERE vm_context_id IS NOT NULL",
    "UPDATE vm_disks SET vmware_uuid = display_name",
)
AT_ITS_CONTEXT = "UPDATE vm_replication_contexts SET vmware_vm_id = context_id"


def plain(found: Fleet) -> Fleet:
    return {key: replace(source, findings=()) for key, source in found.items()}


def test_rows_that_name_their_vms_by_contexts_tell_the_same_fleet(furnish: Furnish) -> None:
    database = furnish("g3", vms.rows())
    before = read(database)
    with database.begin() as connection:
        for statement in NAMED_OTHERWISE:
            connection.exec_driver_sql(statement)
    after = read(database)
    assert plain(after) == plain(before)
    (finding,) = (f for f in after[uuid(6)].findings if f.startswith("replication jobs"))
    assert finding == "replication jobs name this VM not by its uuid, short-changeid; its context counts"


def test_a_context_that_names_no_uuid_has_that_of_its_jobs(furnish: Furnish) -> None:
    database = furnish("g3", vms.rows())
    before = read(database)
    with database.begin() as connection:
        connection.exec_driver_sql(AT_ITS_CONTEXT)
    after = read(database)
    known = {key: source for key, source in before.items() if source.last_job_id or source.active_jobs}
    assert {key: source.context_id for key, source in after.items() if key in known} == {
        key: source.context_id for key, source in known.items()
    }


@pytest.mark.parametrize("statements", [NAMED_OTHERWISE, (AT_ITS_CONTEXT,)], ids=["jobs by name", "contexts by name"])
def test_a_test_reserves_the_context_and_goes_there_and_back(play: Play, statements: tuple[str, ...]) -> None:
    house = play("g3")
    before = house.proof()
    house.edit(*statements)
    house.apply(*BOTH)
    held = "SELECT current_status FROM vm_replication_contexts WHERE vm_name = 'PGWINTESTBIOS'"
    assert [row["current_status"] for row in house.rows(held)] == ["failed_over_test"]
    house.edit("UPDATE vm_replication_contexts SET current_status = 'ready_for_failover' WHERE vm_name = 'PGWINTESTBIOS'")
    house.advance(timedelta(minutes=2))
    house.round()
    assert [row["current_status"] for row in house.rows(held)] == ["failed_over_test"], "what was overwritten is put back"
    (shown,) = house.rows(f"SELECT * FROM failover_jobs WHERE vm_id = '{KEYS[PG]}' AND status <> 'completed'")
    assert shown["vm_context_id"] == "ctx-PGWINTESTBIOS-1"
    assert shown["replication_job_id"] == "job-20250818-153521"
    house.end(*BOTH)
    assert [row["current_status"] for row in house.rows(held)] == ["ready_for_failover"]
    assert house.proof() == before


@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (JobRow("1", B, "x", "completed", "", vm_context_id="ctx-a"), A),
        (JobRow("1", "x", "x", "completed", "", vm_context_id="ctx-a"), A),
        (JobRow("1", "ctx-a", "x", "completed", ""), A),
        (JobRow("1", B.upper(), "x", "completed", "", vm_context_id="gone"), B),
        (JobRow("1", "WEB01", "x", "completed", ""), "WEB01"),
        (JobRow("1", "web01", "x", "completed", ""), "web01"),
    ],
)
def test_a_job_is_of_its_context_or_else_of_what_it_names(job: JobRow, expected: str) -> None:
    assert Identities([ContextRow("ctx-a", "a", A.upper(), "")], [job]).job(job) == expected


def test_of_jobs_that_tell_a_context_its_uuid_the_newest_counts() -> None:
    told = (JobRow(str(n), vm, "x", "completed", at, vm_context_id="c") for n, (vm, at) in enumerate(((A, "2"), (B, "1"))))
    assert Identities([ContextRow("c", "a", "vm-143", "")], list(told)).contexts == {"c": A}
    assert Identities([ContextRow("c", "a", "vm-143", ""), ContextRow("d", "a", "", "")], []).contexts == {
        "c": "vm-143",
        "d": "d",
    }


def test_a_failover_that_another_tool_began_is_seen_by_its_context_alone() -> None:
    made = vms.rows(Vm(53, "web"))
    made["vm_replication_contexts"] = [{"context_id": "ctx-web", "vm_name": "web", "vmware_vm_id": uuid(53)}]
    theirs = {"job_id": "x", "job_type": "live", "status": "powering_on", "source_vm_name": "other", "vm_id": "other"}
    made["failover_jobs"] = [{**theirs, "vm_context_id": "ctx-web"}]
    assert joined(made)[uuid(53)].active_jobs == (ActiveJob("x", "failover", "powering_on"),)


def unidentified(house: Drill) -> Connected:
    """A house in which one VM is known by a name that is longer than any."""
    house.edit(f"UPDATE replication_jobs SET source_vm_id = '{'n' * 240}' WHERE source_vm_id = '{KEYS[PG]}'")
    house.edit("UPDATE vm_disks SET vmware_uuid = ''")
    return house.connected


def test_a_vm_without_a_uuid_is_not_ready_and_spoils_nobody_else(play: Play) -> None:
    found = {
        row.readiness.vm: row.readiness
        for row in readiness.of(unidentified(play("embedded on SQLite")), readiness.Kind.TEST)
    }
    bad, good = found[PG], found["lnx-db3"]
    assert (bad.is_ready, good.is_ready) == (False, True)
    first = bad.checks[0]
    assert (first.id, first.passed) == ("V-01", False)
    assert 'only as "nnn' in first.message
    assert "source_vm_id" in first.actions[0]


def test_a_value_that_cannot_be_judged_stops_no_daemon(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    house, said = play("embedded on SQLite"), list[str]()
    folder = house.settings_path.parent / "wanted"
    folder.mkdir()
    daemon = Daemon(house.connected, folder, Bounds(), said.append, lambda _: None)

    def broken(*_: object) -> None:
        daemon.stop.set()
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr(readiness, "of", broken)
    daemon.run()
    assert [line for line in said if "nobody foresaw this" in line and "The rest goes on" in line]
