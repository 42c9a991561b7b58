"""What becomes of VMs and volumes that are there: other offerings, other owners, details, snapshots out of VM snapshots."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import CUSTOM, FIXED, FREE, No, World

SIZES = {"details[0].cpuNumber": 2, "details[0].memory": 512}
OF_FIXED = {"serviceofferingid": FIXED, "details[0].cpuNumber": None, "details[0].memory": None}
Row = dict[str, Any]


def size(world: World, vm: str) -> tuple[int, int]:
    row = world.vm(vm)
    return row["cpunumber"], row["memory"]


def grown(world: World, **more: Any) -> str:
    return world.running("grown", dynamicscalingenabled=True, **more)


# --- offerings of VMs -------------------------------------------------------------------------------------------------


def test_a_stopped_vm_takes_any_offering_and_keeps_the_sizes_that_are_not_given(world: World) -> None:
    vm = world.deploy()
    world.done("scaleVirtualMachine", id=vm, serviceofferingid=CUSTOM, **{"details[0].memory": 512})
    assert size(world, vm) == (1, 512)
    world.done("scaleVirtualMachine", id=vm, serviceofferingid=FIXED)
    assert (size(world, vm), world.vm(vm)["serviceofferingid"]) == ((1, 512), FIXED)
    assert "cpuNumber" not in world.vm(vm)["details"]
    assert world.now("changeServiceForVirtualMachine", id=vm, serviceofferingid=CUSTOM).code == 431
    world.now("changeServiceForVirtualMachine", id=vm, serviceofferingid=CUSTOM, **SIZES)
    assert (size(world, vm), world.vm(vm)["details"]["memory"]) == ((2, 512), "512")


def test_a_running_vm_grows_where_it_was_made_for_it(world: World) -> None:
    vm = grown(world)
    world.done("scaleVirtualMachine", id=vm, serviceofferingid=CUSTOM, **SIZES)
    assert size(world, vm) == (2, 512)
    smaller = world.does("scaleVirtualMachine", id=vm, serviceofferingid=CUSTOM, **{**SIZES, "details[0].cpuNumber": 1})
    same = world.does("scaleVirtualMachine", id=vm, serviceofferingid=CUSTOM)
    assert [(no.at, no.code, no.text[:43]) for no in (smaller, same)] == [
        ("job", 431, "While the VM is running, only scalling up i")
    ] * 2


@pytest.mark.parametrize(
    ("made", "setting", "code", "said"),
    [
        ({}, True, 530, "does not have tools to support dynamic scaling."),
        ({"dynamicscalingenabled": True}, False, 530, "is disabled for this zone, please contact your admin."),
        ({"dynamicscalingenabled": True, **OF_FIXED}, True, 431, 'current service offering is a "Fixed Offering"'),
    ],
    ids=["not made for it", "switched off", "of a fixed offering"],
)
def test_a_running_vm_that_cannot_grow(world: World, made: Row, setting: bool, code: int, said: str) -> None:
    vm = world.running(**made)
    world.cloud.configure("enable.dynamic.scale.vm", setting)
    bigger = {**SIZES, "details[0].cpuSpeed": 500, "details[0].memory": 1024}
    refused = world.does("scaleVirtualMachine", id=vm, serviceofferingid=FREE, **bigger)
    assert (refused.at, refused.code) == ("job", code)
    assert said in refused.text


@pytest.mark.parametrize("state", ["Error", "Destroyed", "Expunging", "Stopping", "Starting"])
def test_a_vm_in_no_state_for_another_offering(world: World, state: str) -> None:
    vm = world.deploy()
    world.cloud.vms[vm].state = state
    scaled = world.does("scaleVirtualMachine", id=vm, serviceofferingid=FIXED)
    changed = world.now("changeServiceForVirtualMachine", id=vm, serviceofferingid=FIXED)
    assert (scaled.at, scaled.code, changed.at, changed.code) == ("job", 431, "call", 431)
    assert scaled.text.endswith(f"  in state {state}; make sure the virtual machine is stopped/running")
    assert changed.text.startswith("Unable to upgrade Instance VM instance {")
    assert changed.text.endswith(f"  in state {state}; make sure the Instance is stopped")


def test_the_offering_that_it_has_is_refused_and_so_is_what_the_limits_forbid(world: World) -> None:
    vm = world.deploy(**OF_FIXED)
    assert world.does("scaleVirtualMachine", id=vm, serviceofferingid=FIXED).text.endswith(
        "has the requested service offering (fixed)"
    )
    world.cloud.accounts["dr"].limits["cpu"] = 1
    assert world.does("scaleVirtualMachine", id=vm, serviceofferingid=CUSTOM, **SIZES).code == 530
    assert world.now("changeServiceForVirtualMachine", id=vm, serviceofferingid=CUSTOM, **SIZES).code == 535
    assert size(world, vm) == (1, 512)


def test_a_size_of_nothing_is_no_size_that_was_left_out(world: World) -> None:
    vm = world.running()
    world.done("stopVirtualMachine", id=vm)
    assert world.does("resizeVolume", id=world.root(vm), size=0).text == "Unable to shrink volumes of type QCOW2"


# --- owners, details, limits of hypervisors ---------------------------------------------------------------------------


def test_a_volume_gets_another_owner(world: World) -> None:
    volume, other = world.ready(), world.cloud.accounts["other"]
    assert world.now("assignVolume", "admin", volumeid=volume, accountid=other.id)["volume"]["account"] == "other"
    assert world.now("listVolumes", "other")["count"] == 1
    assert world.now("listVolumes") == {}
    assert world.now("assignVolume", "dr", volumeid=volume, accountid=other.id).code == 432


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("attached", "so it cannot be moved to a different account."),
        ("snapshotted", "has snapshots. Remove the volume's snapshots before assigning it to another account."),
        ("to itself", "The new account and the old account are the same"),
        ("to nobody", "No account was found with UUID [null]."),
        ("to somebody barred", "as it is in [LOCKED] state."),
        ("beyond a limit", "Maximum amount of resources of Type = 'volume'"),
    ],
)
def test_a_volume_that_stays_where_it_is(world: World, how: str, said: str) -> None:
    volume, to = world.ready(), world.cloud.accounts["dr" if how == "to itself" else "other"]
    if how == "attached":
        world.done("attachVolume", id=volume, virtualmachineid=world.running())
    if how == "snapshotted":
        world.snapshot(volume)
    to.state = "locked" if how == "to somebody barred" else "enabled"
    to.limits = {"volume": 0} if how == "beyond a limit" else {}
    refused = world.now("assignVolume", "admin", volumeid=volume, **({} if how == "to nobody" else {"accountid": to.id}))
    assert (refused.at, refused.code) == ("call", 530)
    assert refused.text.startswith(f"Assign volume command for volume [{volume}] failed due to [")
    assert said in refused.text
    assert world.disk(volume)["account"] == "dr"


def test_details_of_a_volume_are_taken_away_one_by_one_or_all(world: World) -> None:
    volume = world.ready()
    kept = {"resourceid": volume, "resourcetype": "Volume"}
    given = {"details[0].key": "a", "details[0].value": "1", "details[1].key": "b", "details[1].value": "2"}
    world.done("addResourceDetail", "admin", **kept, **given)
    world.done("removeResourceDetail", "admin", **kept, key="a")
    assert [row["key"] for row in world.now("listResourceDetails", **kept)["resourcedetail"]] == ["b"]
    world.done("removeResourceDetail", "admin", **kept)
    assert world.now("listResourceDetails", **kept) == {}


def test_CS_ATT_09_as_many_data_disks_as_the_hypervisor_is_said_to_allow(world: World) -> None:
    vm, volume = world.running(), world.ready()
    told = world.now("updateHypervisorCapabilities", "admin", hypervisor="KVM", maxdatavolumeslimit=0)
    assert told["hypervisorcapabilities"]["maxdatavolumeslimit"] == 0
    assert world.now("listHypervisorCapabilities", "admin")["hypervisorCapabilities"][0]["maxdatavolumeslimit"] == 0
    refused = world.does("attachVolume", id=volume, virtualmachineid=vm)
    assert refused.text.startswith("The specified VM already has the maximum number of data disks (0) attached.")
    assert world.now("updateHypervisorCapabilities", "admin", hypervisor="Nothing").code == 431


# --- out of VM snapshots, after the end -------------------------------------------------------------------------------


def test_a_snapshot_out_of_a_vm_snapshot_holds_what_the_volume_held_then(world: World) -> None:
    vm = world.running()
    root = world.root(vm)
    row = world.vm_snapshot(vm, snapshotmemory=True)
    then = world.cloud.vm_snapshots[row].contents[root]
    world.cloud.guest_writes(vm)
    made = world.now("createSnapshotFromVMSnapshot", volumeid=root, vmsnapshotid=row, name="out")
    job = world.ended(made["jobid"])
    assert (job["jobinstancetype"], job["jobinstanceid"], job["jobresult"]["snapshot"]["state"]) == (
        "Snapshot",
        made["id"],
        "BackedUp",
    )
    assert world.cloud.snapshots[made["id"]].content == then != world.cloud.fingerprint(root)


def test_no_snapshot_out_of_files_nor_of_a_volume_elsewhere(world: World) -> None:
    vm, loose = world.deploy(), world.ready()
    world.done("startVirtualMachine", id=vm)
    row = world.vm_snapshot(vm)
    files = world.now("createSnapshotFromVMSnapshot", volumeid=world.root(vm), vmsnapshotid=row)
    assert files == No("call", 431, "Cannot perform this operation, unsupported VM snapshot type.")
    elsewhere = world.now("createSnapshotFromVMSnapshot", volumeid=loose, vmsnapshotid=row)
    assert (elsewhere.code, elsewhere.text[:42]) == (431, "Creating snapshot failed due to volume:Vol")
    assert world.now("listSnapshots") == {}


def test_the_cards_of_a_vm_that_is_gone_are_refused(world: World) -> None:
    vm = world.deploy()
    world.done("destroyVirtualMachine", "admin", id=vm, expunge=True)
    assert world.now("listNics", virtualmachineid=vm) == No("call", 530, "Virtual machine id does not exist")
