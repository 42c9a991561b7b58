"""The replication system's rows change while a run is under way: what the run took it brings back all the same."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from tests.scenarios.attacks import HOUR, harmed, is_over, live_for, there_and_back
from tests.scenarios.house import DB3, PG, Drill, furnished
from tests.scenarios.test_main_job import HOME

LONGER_THAN_ANYTHING_IS_REMEMBERED = timedelta(seconds=61)
OWN_ROOT_OF_THE_APPLIANCE = "00000000-0000-4000-8000-0000000000d0"
LAST_DISK = {PG: (1, 79), DB3: (4, 82)}


def edits(vm: str) -> dict[str, str]:
    """Edits that say something else of this VM's disks than what the run took."""
    row, volume = LAST_DISK[vm]
    other = LAST_DISK[DB3 if vm == PG else PG][1]
    columns = "job_id, disk_id, size_gb, unit_number, ossea_volume_id"
    return {
        "a disk is deleted": f"delete from vm_disks where id = {row}",
        "a disk loses its volume": f"update vm_disks set ossea_volume_id = null where id = {row}",
        "a disk gets the volume of another VM": f"update vm_disks set ossea_volume_id = {other} where id = {row}",
        "a volume becomes the appliance's root": (
            f"update ossea_volumes set volume_id = '{OWN_ROOT_OF_THE_APPLIANCE}' where id = {volume}"
        ),
        "a disk is added": (
            f"insert into vm_disks ({columns}) select job_id, 'disk-2009', 10, 9, {other} from vm_disks where id = {row}"
        ),
        "a disk without a volume is added": (
            f"insert into vm_disks ({columns}) select job_id, 'disk-2009', 10, 9, null from vm_disks where id = {row}"
        ),
        "a disk on another kind of controller is added": (
            f"insert into vm_disks ({columns}) select job_id, 'disk-31000', 10, 9, null from vm_disks where id = {row}"
        ),
        "replication begins": "update replication_jobs set status = 'running'",
        "the VM is described anew": "update vm_disks set memory_mb = 8192, cpu_count = 1 where cpu_count > 0",
        "the VM is renamed": "update replication_jobs set source_vm_name = 'renamed ' || source_vm_name",
        "the uuid is written in upper case": "update replication_jobs set source_vm_id = upper(source_vm_id)",
        "no network is mapped any more": "delete from network_mappings",
        "the test networks are production networks": "delete from network_mappings where is_test_network; "
        "update network_mappings set destination_network_id = '00000000-0000-4000-8000-0000000000b3'",
    }


def edited(drill: Drill, statements: str) -> None:
    drill.edit(*(s for s in statements.split("; ") if s))
    drill.advance(LONGER_THAN_ANYTHING_IS_REMEMBERED)


@pytest.mark.parametrize("at", [1, 4, 6, 8, 11])
@pytest.mark.parametrize("edit", edits(PG))
def test_whatever_is_written_into_the_database_the_replica_comes_home_as_it_was(edit: str, at: int, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        assert there_and_back(drill, PG, at, lambda d: edited(d, edits(PG)[edit]))
        assert (is_over(drill, PG), drill.proof()) == (True, before), drill.run(PG).reason


@pytest.mark.parametrize("at", [1, 6, 9, 13, 16])
@pytest.mark.parametrize("edit", edits(DB3))
def test_whatever_is_written_into_the_database_all_replicas_come_home(edit: str, at: int, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        assert there_and_back(drill, DB3, at, lambda d: edited(d, edits(DB3)[edit]))
        assert (is_over(drill, DB3), drill.proof()) == (True, before), drill.run(DB3).reason


@pytest.mark.parametrize("edit", [e for e in edits(PG) if e not in ("the VM is renamed", "the VM is described anew")])
def test_no_guest_starts_with_other_disks_or_networks_than_the_database_names(edit: str, drill: Drill) -> None:
    """Described anew or renamed, it is the same VM on the same disks; anything else stops the test before its guest runs."""
    if edit in ("the uuid is written in upper case",):
        pytest.skip("the same uuid")
    there_and_back(drill, PG, 3, lambda d: edited(d, edits(PG)[edit]))
    assert "startVirtualMachine" not in drill.mutations(), drill.run(PG).reason


CONFIGURATIONS = {
    "the appliance is replaced": (
        "update ossea_configs set oma_vm_id = '00000000-0000-4000-8000-0000000000ff'",
        "update ossea_configs set oma_vm_id = '00000000-0000-4000-8000-00000000000a'",
    ),
    "no configuration is active": (
        "update ossea_configs set is_active = false",
        "update ossea_configs set is_active = true",
    ),
    "the VM is gone from the database": (
        "update vm_disks set job_id = 'elsewhere-' || job_id, vmware_uuid = null",
        "update vm_disks set job_id = replace(job_id, 'elsewhere-', '')",
    ),
}


@pytest.mark.parametrize("at", [1, 4, 7, 10, 12])
@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_what_a_run_needs_to_know_is_missed_loudly_and_waited_for(configuration: str, at: int, tmp_path: Path) -> None:
    gone, back = CONFIGURATIONS[configuration]
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        there_and_back(drill, PG, at, lambda d: edited(d, gone), patience=HOUR / 3)
        assert harmed(drill, PG, before) == []
        if not is_over(drill, PG):
            assert (drill.run(PG).state, bool(drill.run(PG).reason)) == ("stuck", True)
        edited(drill, back)
        live_for(drill, PG, HOUR)
        assert (is_over(drill, PG), drill.proof()) == (True, before), drill.run(PG).reason


def test_a_volume_of_two_vms_is_given_to_none_of_them(drill: Drill) -> None:
    drill.edit("update vm_disks set ossea_volume_id = 79 where id = 3")
    for vm in (PG, DB3):
        found = drill.planned(drill.spec(vm))
        assert {r.code for r in getattr(found, "reasons", ())} >= {"VOLUME_SHARED"}, vm
    assert drill.attempted() == []


def test_a_volume_that_a_second_vm_claims_during_a_test_comes_home(drill: Drill) -> None:
    before = drill.proof()
    drill.apply(PG)
    drill.cloud.guest_writes(drill.guest(PG)["id"], "a person tests")
    edited(drill, "update vm_disks set ossea_volume_id = 79 where id = 3")
    drill.end(PG)
    assert (drill.run(PG).state, drill.proof()) == ("completed", before)
    assert HOME[PG][1] in drill.disks_of("00000000-0000-4000-8000-00000000000a").values()
