"""Somebody with rights in the cloud does things behind a run's back, at every step of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.attacks import HOUR, SECOND, guest_of, harmed, is_over, live_for, person, there_and_back
from tests.scenarios.house import APPLIANCE, DB3, KEYS, PG, Drill, furnished
from tests.scenarios.test_main_job import HOME, ON_THE_GUEST

LAST = {vm: list(HOME[vm].values())[-1] for vm in HOME}


def to_guest(*commands: str) -> Callable[[Drill, str], None]:
    """Somebody does these things with the guest, if there is one."""

    def act(drill: Drill, vm: str) -> None:
        for command in commands:
            guest = guest_of(drill, vm)
            if guest is not None:
                person(drill, command, id=guest)

    return act


def a_snapshot_deleted(drill: Drill, _vm: str) -> None:
    made = [i for i, s in drill.cloud.truth()["snapshots"].items() if s["state"] == "BackedUp"]
    for snapshot in made[:1]:
        person(drill, "deleteSnapshot", id=snapshot)


def a_backup_of_the_appliance(drill: Drill, _vm: str) -> None:
    person(drill, "createVMSnapshot", virtualmachineid=APPLIANCE, name="backup")


def a_disk_taken_off(drill: Drill, vm: str) -> None:
    person(drill, "detachVolume", id=LAST[vm])


def a_disk_put_on_the_appliance(drill: Drill, vm: str) -> None:
    a_disk_taken_off(drill, vm)
    person(drill, "attachVolume", id=LAST[vm], virtualmachineid=APPLIANCE)


ACTS: dict[str, Callable[[Drill, str], None]] = {
    "starts the guest": to_guest("startVirtualMachine"),
    "starts and stops the guest": to_guest("startVirtualMachine", "stopVirtualMachine"),
    "stops the guest": to_guest("stopVirtualMachine"),
    "takes a disk off": a_disk_taken_off,
    "puts a disk on the appliance": a_disk_put_on_the_appliance,
}


@pytest.mark.parametrize("at", range(1, 15))
@pytest.mark.parametrize("does", ACTS)
def test_whatever_a_person_does_the_replica_comes_home_as_it_was(does: str, at: int, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        there_and_back(drill, PG, at, lambda d: ACTS[does](d, PG))
        assert is_over(drill, PG), drill.run(PG).reason
        assert drill.proof() == before, drill.run(PG).reason


@pytest.mark.parametrize("at", range(10, 22, 3))
@pytest.mark.parametrize("does", ACTS)
def test_whatever_a_person_does_three_replicas_come_home_as_they_were(does: str, at: int, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        there_and_back(drill, DB3, at, lambda d: ACTS[does](d, DB3))
        assert (is_over(drill, DB3), harmed(drill, DB3, before)) == (True, []), drill.run(DB3).reason
        after = drill.proof()
        assert (after.contents, after.snapshots, after.marked, after.dirty) == (before.contents, (), (), ())


def with_its_disks(drill: Drill, vm: str) -> str:
    """A guest that has all its disks and that nobody started yet; its id."""
    drill.approve(drill.plan(vm))
    keys = frozenset({KEYS[vm]})
    while len([c for c in drill.mutations() if c == "attachVolume"]) < len(HOME[vm]):
        drill.engine.round(keys)
        drill.advance(2 * SECOND)
    drill.engine.round(keys, begin=False)
    assert drill.mutations()[-1] == "attachVolume"
    assert drill.disks_of(drill.run(vm).guest_id or "").keys() == ON_THE_GUEST[vm].keys()
    return drill.run(vm).guest_id or ""


@pytest.mark.parametrize("also", [(), ("stopVirtualMachine",), ("stopVirtualMachine", "destroyVirtualMachine")])
@pytest.mark.parametrize("vm", [PG, DB3])
def test_a_guest_that_somebody_started_before_its_time_has_written(drill: Drill, vm: str, also: tuple[str, ...]) -> None:
    before = drill.proof()
    guest = with_its_disks(drill, vm)
    for command in ("startVirtualMachine", *also):
        person(drill, command, id=guest)
    live_for(drill, vm, HOUR)
    assert harmed(drill, vm, before) == []
    assert drill.run(vm).failed
    assert "somebody else" in (drill.run(vm).reason or "") or not is_over(drill, vm)


def test_a_replica_that_somebody_threw_into_the_bin_with_its_guest_is_told_and_comes_home_when_recovered(
    drill: Drill,
) -> None:
    before = drill.proof()
    drill.apply(PG)
    guest = drill.run(PG).guest_id or ""
    drill.cloud.guest_writes(guest, "a person tests")
    person(drill, "destroyVirtualMachine", id=guest)
    drill.end(PG)
    run = drill.run(PG)
    assert (run.state, "recover VM " + guest in (run.reason or "")) == ("stuck", True)
    person(drill, "recoverVirtualMachine", id=guest)
    live_for(drill, PG, HOUR)
    assert (drill.run(PG).state, drill.proof()) == ("rolled-back", before)


def test_data_disks_of_a_guest_in_the_bin_come_home_though_its_system_disk_cannot(drill: Drill) -> None:
    before = drill.proof()
    drill.apply(DB3)
    guest = drill.run(DB3).guest_id or ""
    drill.cloud.guest_writes(guest, "a person tests")
    person(drill, "destroyVirtualMachine", id=guest)
    drill.end(DB3)
    live_for(drill, DB3, HOUR)
    system, *data = HOME[DB3].values()
    after = drill.proof()
    assert [(after.places[v], after.contents[v]) for v in data] == [(before.places[v], before.contents[v]) for v in data]
    assert after.places[system][0] == guest
    assert drill.run(DB3).state == "stuck"


@pytest.mark.parametrize("at", range(5, 14))
def test_a_backup_of_the_appliance_holds_the_replica_up_and_nothing_else(at: int, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        there_and_back(drill, PG, at, lambda d: a_backup_of_the_appliance(d, PG), HOUR / 3)
        assert harmed(drill, PG, before) == []
        for row in drill.cloud.truth()["vm_snapshots"]:
            person(drill, "deleteVMSnapshot", vmsnapshotid=row)
        live_for(drill, PG, HOUR)
        assert is_over(drill, PG)
        assert drill.proof() == before


@pytest.mark.parametrize("at", range(7, 12))
@pytest.mark.parametrize("vm", [PG, DB3])
def test_a_replica_whose_rollback_point_was_deleted_is_called_dirty(at: int, vm: str, tmp_path: Path) -> None:
    with furnished(tmp_path, durations=1.0) as drill:
        before = drill.proof()
        there_and_back(drill, vm, at if vm == PG else at + 6, lambda d: a_snapshot_deleted(d, vm))
        assert harmed(drill, vm, before) == []
        assert is_over(drill, vm)
