"""What disks hold: writes of guests change it, snapshots keep it, reverts bring it back, expunging ends it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import states
from tests.simulator.world import World

MACHINES = {"volume": states.VOLUME, "vm": states.VM, "vm-snapshot": states.VM_SNAPSHOT, "snapshot": states.SNAPSHOT}


def test_a_guest_writes_by_starting_and_while_it_runs(world: World) -> None:
    vm = world.deploy()
    root = world.root(vm)
    seen = [world.cloud.fingerprint(root)]
    world.done("startVirtualMachine", id=vm)
    seen.append(world.cloud.fingerprint(root))
    world.clock.advance(60)
    seen.append(world.cloud.fingerprint(root))
    world.cloud.guest_writes(vm)
    seen.append(world.cloud.fingerprint(root))
    assert len(set(seen)) == 4
    assert world.cloud.fingerprint(root) == seen[-1]


def test_a_stopped_guest_writes_no_more(world: World) -> None:
    vm = world.running()
    world.done("stopVirtualMachine", id=vm)
    before = world.cloud.fingerprint(world.root(vm))
    world.clock.advance(3600)
    assert world.cloud.fingerprint(world.root(vm)) == before


def test_looking_does_not_change_what_other_looks_see() -> None:
    first, second = World(), World()
    prints = []
    for world, looks in ((first, 1), (second, 5)):
        vm = world.running()
        for _ in range(looks):
            world.cloud.fingerprint(world.root(vm))
        world.done("stopVirtualMachine", id=vm)
        prints.append(world.cloud.fingerprint(world.root(vm)))
    assert prints[0] == prints[1]


def test_what_is_detached_is_not_written(world: World) -> None:
    vm, volume = world.running(), world.ready()
    world.done("attachVolume", id=volume, virtualmachineid=vm)
    world.done("detachVolume", id=volume)
    before = world.cloud.fingerprint(volume)
    world.clock.advance(60)
    world.cloud.guest_writes(vm)
    assert world.cloud.fingerprint(volume) == before


def test_a_vm_snapshot_deleted_without_revert_keeps_the_writes(world: World) -> None:
    vm = world.running()
    world.done("stopVirtualMachine", id=vm)
    before = world.cloud.fingerprint(world.root(vm))
    row = world.vm_snapshot(vm)
    world.done("startVirtualMachine", id=vm)
    world.done("stopVirtualMachine", id=vm)
    world.done("deleteVMSnapshot", vmsnapshotid=row)
    assert world.cloud.fingerprint(world.root(vm)) != before


def test_a_vm_snapshot_reverted_before_it_is_deleted_loses_them(world: World) -> None:
    vm = world.running()
    world.done("stopVirtualMachine", id=vm)
    before = world.cloud.fingerprint(world.root(vm))
    row = world.vm_snapshot(vm)
    world.done("startVirtualMachine", id=vm)
    world.done("stopVirtualMachine", id=vm)
    world.done("revertToVMSnapshot", vmsnapshotid=row)
    world.done("deleteVMSnapshot", vmsnapshotid=row)
    assert world.cloud.fingerprint(world.root(vm)) == before


def test_the_truth_tells_content_and_attachment(world: World) -> None:
    vm, volume = world.running(), world.ready()
    world.done("attachVolume", id=volume, virtualmachineid=vm)
    truth = world.cloud.truth()
    row = truth["volumes"][volume]
    assert (row["vm"], row["device"], row["state"]) == (vm, 1, "Ready")
    assert row["content"] == world.cloud.fingerprint(volume)
    assert truth["vms"][vm]["state"] == "Running"


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES.keys())
def test_every_state_that_is_reached_is_left_again_or_final(machine: states.Machine) -> None:
    final = {"Expunged", "Removed", "Destroyed", "Error", "Creating"}
    befores, afters = {before for before, _ in machine}, set(machine.values())
    assert afters - befores <= final


@given(st.sampled_from(sorted(MACHINES)), st.data())
def test_nothing_moves_but_by_the_table(name: str, data: st.DataObject) -> None:
    machine = MACHINES[name]
    row = type("Row", (), {})()
    row.state = data.draw(st.sampled_from(sorted({before for before, _ in machine})))
    event = data.draw(st.sampled_from(sorted({event for _, event in machine})))
    before = row.state
    if (before, event) in machine:
        states.move(row, machine, event)
        assert row.state in states.reachable(machine, before)
    else:
        with pytest.raises(states.NoTransition):
            states.move(row, machine, event)
        assert row.state == before
