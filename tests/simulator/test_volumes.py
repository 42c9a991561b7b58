"""Volumes: what the server allows with them, rule by rule (CS-VOL, CS-ATT, CS-DET, CS-DEL, CS-LST)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import (
    CUSTOM,
    DISK,
    DISK_FIXED,
    GIB,
    MASKED,
    NOT_YOURS,
    OTHER_ZONE,
    POOL,
    TEMPLATE,
    ZONE,
    No,
    World,
)

NOT_ATTACHED_ANYWHERE = "Please specify a volume that is not attached to any VM."
ROOT_STATE = "Root volume detach can happen only when vm is in states: Stopped or Destroyed"
MANAGED = "Root volume detach is not supported for Managed DataStores"
DEVICES = "deviceId should be 0,1,2,4-33"


# --- create -----------------------------------------------------------------------------------------------------------


def test_CS_VOL_01_needs_an_offering_or_a_snapshot(world: World) -> None:
    said = "At least one of disk Offering ID or snapshot ID must be passed whilst creating volume"
    assert world.now("createVolume", name="x", zoneid=ZONE) == No("call", 431, said)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        pytest.param({"diskofferingid": DISK}, "This disk offering requires a custom size specified", id="CS-VOL-02-none"),
        pytest.param(
            {"diskofferingid": DISK_FIXED, "size": 5}, "This disk offering does not allow custom size", id="CS-VOL-02-fixed"
        ),
        pytest.param({"diskofferingid": DISK, "size": 0}, "Disk size must be larger than 0", id="CS-VOL-02-zero"),
        pytest.param(
            {"diskofferingid": DISK, "size": 99999},
            "Volume size: 99999 GB is out of allowed range. Min: 1. Max: 1024",
            id="CS-VOL-02-most",
        ),
    ],
)
def test_a_custom_offering_wants_a_size_and_a_fixed_one_none(world: World, params: dict[str, Any], said: str) -> None:
    assert world.now("createVolume", name="x", zoneid=ZONE, **params) == No("call", 431, said)


def test_CS_VOL_03_only_from_a_snapshot_that_is_backed_up(world: World) -> None:
    snapshot = world.snapshot(world.ready())
    world.done("deleteSnapshot", id=snapshot)
    refused = world.now("createVolume", name="x", zoneid=ZONE, snapshotid=snapshot)
    assert refused.code == 431
    assert refused.text.endswith("is not in BackedUp state yet and can't be used for volume creation")


def test_CS_VOL_04_from_an_offering_it_is_allocated_and_nowhere(world: World) -> None:
    disk = world.disk(world.volume(gib=3))
    assert (disk["type"], disk["state"], disk["size"]) == ("DATADISK", "Allocated", 3 * GIB)
    assert not {"storage", "storageid", "path", "virtualmachineid", "deviceid", "attached"} & disk.keys()


def test_CS_VOL_05_from_a_snapshot_it_is_ready_and_inherits(world: World) -> None:
    vm = world.running()
    root = world.root(vm)
    clone = world.now("createVolume", name="clone", zoneid=ZONE, snapshotid=world.snapshot(root))
    world.ended(clone["jobid"])
    made = world.disk(clone["id"])
    assert (made["type"], made["state"], made["templateid"]) == ("DATADISK", "Ready", TEMPLATE)


def test_CS_VOL_05_the_clone_of_a_replica_has_no_template(world: World) -> None:
    snapshot = world.snapshot(world.ready())
    clone = world.now("createVolume", name="clone", zoneid=ZONE, snapshotid=snapshot)
    world.ended(clone["jobid"])
    assert "templateid" not in world.disk(clone["id"])


def test_CS_VOL_06_a_limit_is_535(world: World) -> None:
    world.cloud.accounts["dr"].limits["volume"] = 0
    refused = world.now("createVolume", name="x", zoneid=ZONE, diskofferingid=DISK, size=1)
    assert refused.code == 535
    assert refused.text.startswith(
        "Maximum amount of resources of Type = 'volume', tag = 'null' for Account Name = dr in Domain Id = "
    )


def test_CS_VOL_07_no_resize_with_a_memory_vm_snapshot(world: World) -> None:
    vm = world.running()
    world.vm_snapshot(vm, snapshotmemory=True)
    said = "The volume is attached to a VM with memory&disk VM snapshots; therefore, it cannot be resized."
    assert world.does("resizeVolume", id=world.root(vm), size=5) == No("job", 432, said)


def test_CS_VOL_08_resize_with_a_file_based_vm_snapshot(world: World) -> None:
    vm = world.running()
    world.vm_snapshot(vm)
    assert world.done("resizeVolume", id=world.root(vm), size=5)["volume"]["size"] == 5 * GIB


@pytest.mark.parametrize("more", [{}, {"shrinkok": True}], ids=["CS-VOL-09", "CS-VOL-09-shrinkok"])
def test_qcow2_does_not_shrink(world: World, more: dict[str, Any]) -> None:
    volume = world.ready(gib=4)
    assert world.does("resizeVolume", id=volume, size=2, **more) == No("job", 432, "Unable to shrink volumes of type QCOW2")


def test_CS_VOL_10_in_a_disabled_zone_only_a_root_administrator_creates(world: World) -> None:
    world.cloud.plain["Zone"][ZONE].fields["allocationstate"] = "Disabled"
    refused = world.now("createVolume", name="x", zoneid=ZONE, diskofferingid=DISK, size=1)
    assert refused.code == 531
    assert refused.text.startswith("Cannot perform this operation, Zone")
    allowed = world.now("createVolume", "admin", name="x", zoneid=ZONE, diskofferingid=DISK, size=1)
    assert "jobid" in allowed


# --- attach -----------------------------------------------------------------------------------------------------------


def _attached_elsewhere(world: World) -> dict[str, Any]:
    vm, volume = world.running(), world.volume()
    world.done("attachVolume", id=volume, virtualmachineid=vm)
    return {"id": volume, "virtualmachineid": world.deploy("second")}


def _destroyed(world: World) -> dict[str, Any]:
    volume = world.ready()
    world.done("destroyVolume", id=volume)
    return {"id": volume, "virtualmachineid": world.deploy()}


def _migrating(world: World) -> dict[str, Any]:
    volume = world.ready()
    world.cloud.volumes[volume].state = "Migrating"
    return {"id": volume, "virtualmachineid": world.deploy()}


def _to_destroyed_vm(world: World) -> dict[str, Any]:
    vm = world.deploy()
    world.done("destroyVirtualMachine", id=vm)
    return {"id": world.ready(), "virtualmachineid": vm}


def _other_zone(world: World) -> dict[str, Any]:
    volume = world.ready()
    world.cloud.volumes[volume].zone = OTHER_ZONE
    return {"id": volume, "virtualmachineid": world.deploy()}


def _root_of_running(world: World) -> dict[str, Any]:
    return {"id": world.ready(), "virtualmachineid": world.running(), "deviceid": 0}


def _managed_root(world: World) -> dict[str, Any]:
    vm = world.rootless()
    world.pools(managed=True)
    return {"id": world.ready(), "virtualmachineid": vm, "deviceid": 0}


def _occupied_root(world: World) -> dict[str, Any]:
    return {"id": world.ready(), "virtualmachineid": world.deploy(), "deviceid": 0}


def _full(world: World) -> dict[str, Any]:
    vm = world.running()
    for number in range(32):
        world.done("attachVolume", id=world.ready(f"d{number}"), virtualmachineid=vm)
    return {"id": world.ready(), "virtualmachineid": vm}


def _with_backups(world: World) -> dict[str, Any]:
    vm = world.deploy()
    world.cloud.vms[vm].backups = True
    return {"id": world.ready(), "virtualmachineid": vm}


def _other_hypervisor(world: World) -> dict[str, Any]:
    vm, volume = world.running(), world.ready()
    world.pools(hypervisor="VMware", scope="ZONE")
    return {"id": volume, "virtualmachineid": vm}


ATTACH = [
    ("CS-ATT-01", _attached_elsewhere, 431, NOT_ATTACHED_ANYWHERE),
    ("CS-ATT-02", _destroyed, 431, "Please specify a volume that is not destroyed."),
    ("CS-ATT-03", _migrating, 431, "Volume state must be in Allocated, Ready or in Uploaded state"),
    ("CS-ATT-04", _to_destroyed_vm, 431, "Please specify a VM that is either running or stopped."),
    ("CS-ATT-05", _other_zone, 431, "Please specify a VM that is in the same zone as the volume."),
    ("CS-ATT-06", _root_of_running, 431, ROOT_STATE),
    ("CS-ATT-07", _managed_root, 431, MANAGED),
    ("CS-ATT-08", _occupied_root, 431, "Vm already has root volume attached to it"),
    (
        "CS-ATT-09",
        _full,
        431,
        "The specified VM already has the maximum number of data disks (32) attached. Please specify another VM.",
    ),
    ("CS-ATT-12", _other_hypervisor, 431, "Can't attach a volume created by: VMware to a KVM vm"),
]


@pytest.mark.parametrize(("situation", "code", "said"), [row[1:] for row in ATTACH], ids=[row[0] for row in ATTACH])
def test_attach_is_refused_in_the_job(world: World, situation: Any, code: int, said: str) -> None:
    params = situation(world)
    hangs_on = world.cloud.volumes[params["id"]].vm
    assert world.does("attachVolume", **params) == No("job", code, said)
    assert world.cloud.volumes[params["id"]].vm == hangs_on


def test_CS_ATT_11_not_to_a_vm_with_backups(world: World) -> None:
    refused = world.does("attachVolume", **_with_backups(world))
    assert (refused.at, refused.code) == ("job", 431)
    assert refused.text.startswith("Unable to attach volume, please specify a VM that does not have any backups")


@pytest.mark.parametrize(
    ("wording", "said"),
    [
        pytest.param(
            "W1",
            "Unable to attach volume to VM {}/{}, please specify a VM that does not have VM snapshots",
            id="CS-ATT-10-W1",
        ),
        pytest.param(
            "W2",
            "Unable to attach volume to Instance {}/{}, please specify an Instance that does not have Instance Snapshots",
            id="CS-ATT-10-W2",
        ),
    ],
)
def test_not_to_a_vm_with_a_vm_snapshot(wording: str, said: str) -> None:
    world = World(wording=wording)
    vm = world.running()
    world.vm_snapshot(vm)
    refused = world.does("attachVolume", id=world.ready(), virtualmachineid=vm)
    assert refused == No("job", 431, said.format(world.cloud.vms[vm].instance, vm))


@pytest.mark.parametrize("state", ["Ready", "Error", "Hidden", "Allocated", "Creating", "Reverting", "Expunging"])
def test_CS_ATT_10_every_state_of_the_row_counts(world: World, state: str) -> None:
    vm = world.running()
    world.cloud.vm_snapshots[world.vm_snapshot(vm)].state = state
    assert world.does("attachVolume", id=world.ready(), virtualmachineid=vm).code == 431


@pytest.mark.parametrize("device", [3, -1, 34, 99], ids=lambda n: f"CS-ATT-13-{n}")
def test_a_device_that_does_not_exist(world: World, device: int) -> None:
    refused = world.does("attachVolume", id=world.ready(), virtualmachineid=world.running(), deviceid=device)
    assert refused == No("job", 530, DEVICES)


@pytest.mark.parametrize("device", [1, 2, 4, 33])
def test_CS_ATT_13_devices_up_to_33_but_3_exist(world: World, device: int) -> None:
    done = world.done("attachVolume", id=world.ready(), virtualmachineid=world.running(), deviceid=device)
    assert done["volume"]["deviceid"] == device


def test_CS_ATT_14_a_device_once(world: World) -> None:
    vm, first = world.running(), world.ready("first")
    world.done("attachVolume", id=first, virtualmachineid=vm, deviceid=5)
    refused = world.does("attachVolume", id=world.ready("second"), virtualmachineid=vm, deviceid=5)
    assert (refused.at, refused.code) == ("job", 530)
    assert refused.text.startswith(f"deviceId 5 is used by vol {world.cloud.volumes[first].told()} on vm VM instance")


def test_CS_ATT_15_at_device_0_it_is_the_root(world: World) -> None:
    vm, volume = world.rootless(), world.ready()
    job = world.submit("attachVolume", id=volume, virtualmachineid=vm, deviceid=0)
    world.clock.advance(1)
    assert world.disk(volume)["state"] == "Attaching"
    world.ended(job)
    disk = world.disk(volume)
    assert (disk["type"], disk["deviceid"], disk["state"], disk["virtualmachineid"]) == ("ROOT", 0, "Ready", vm)
    assert "attached" in disk


def test_CS_ATT_16_without_a_device_it_takes_the_lowest_from_1_and_never_3(world: World) -> None:
    vm = world.running()
    taken = [
        world.done("attachVolume", id=world.ready(f"d{n}"), virtualmachineid=vm)["volume"]["deviceid"] for n in range(4)
    ]
    assert taken == [1, 2, 4, 5]


def test_CS_ATT_16_on_a_vm_without_root_it_is_a_data_disk_all_the_same(world: World) -> None:
    disk = world.done("attachVolume", id=world.ready(), virtualmachineid=world.rootless())["volume"]
    assert (disk["deviceid"], disk["type"]) == (1, "DATADISK")


def test_CS_ATT_17_an_allocated_volume_is_made_where_the_vm_has_a_disk(world: World) -> None:
    vm, volume = world.running(), world.volume()
    world.cloud.volumes[world.root(vm)].pool = POOL
    assert world.done("attachVolume", id=volume, virtualmachineid=vm)["volume"]["state"] == "Ready"
    assert world.disk(volume)["storageid"] == POOL


def test_CS_ATT_17_it_is_made_even_when_its_device_is_then_refused(world: World) -> None:
    vm, volume = world.running(), world.volume()
    assert world.does("attachVolume", id=volume, virtualmachineid=vm, deviceid=3).code == 530
    disk = world.disk(volume)
    assert (disk["state"], "virtualmachineid" in disk) == ("Ready", False)


def test_CS_ATT_18_an_allocated_volume_stays_so_on_a_vm_that_never_ran(world: World) -> None:
    assert world.done("attachVolume", id=world.volume(), virtualmachineid=world.deploy())["volume"]["state"] == "Allocated"


def test_CS_ATT_17_a_rootless_vm_that_ran_before_has_a_place_for_it(world: World) -> None:
    vm = world.running()
    world.done("stopVirtualMachine", id=vm)
    world.done("detachVolume", id=world.root(vm))
    assert world.done("attachVolume", id=world.volume(), virtualmachineid=vm)["volume"]["state"] == "Ready"


def test_CS_ATT_19_the_second_of_two_queued_attaches_fails(world: World) -> None:
    vm, volume = world.running(), world.ready()
    first = world.submit("attachVolume", id=volume, virtualmachineid=vm)
    assert world.does("attachVolume", id=volume, virtualmachineid=vm) == No(
        "job", 530, "This volume is already attached to a VM."
    )
    assert world.ended(first)["jobstatus"] == 1


def test_CS_ATT_20_a_host_that_fails_leaves_it_detached(world: World) -> None:
    vm, volume = world.running("guest"), world.ready("disk")
    world.cloud.faults.add("host-fails", "attach")
    refused = world.does("attachVolume", id=volume, virtualmachineid=vm)
    assert (refused.at, refused.code) == ("job", 530)
    assert refused.text.startswith("Failed to attach volume disk to VM guest")
    disk = world.disk(volume)
    assert (disk["state"], "virtualmachineid" in disk) == ("Ready", False)


@pytest.mark.parametrize("foreign", ["volume", "vm"], ids=["CS-ATT-21-volume", "CS-ATT-21-vm"])
def test_what_belongs_to_somebody_else_is_refused_at_once(world: World, foreign: str) -> None:
    volume, vm = world.ready(), world.deploy()
    world.cloud.volumes[volume].account = "other" if foreign == "volume" else "dr"
    world.cloud.vms[vm].account = "other" if foreign == "vm" else "dr"
    assert world.now("attachVolume", id=volume, virtualmachineid=vm) == No("call", 531, NOT_YOURS)


def test_CS_ATT_22_while_attaching_another_vm_is_told_the_state(world: World) -> None:
    first, second, volume = world.running("first"), world.running("second"), world.ready()
    world.submit("attachVolume", id=volume, virtualmachineid=first)
    world.clock.advance(1)
    refused = world.does("attachVolume", id=volume, virtualmachineid=second)
    assert (refused.at, refused.code) == ("job", 530)
    assert refused.text.endswith("is in Attaching. It should be in Ready or Allocated state")


# --- detach -----------------------------------------------------------------------------------------------------------


def _with_data(world: World) -> tuple[str, str]:
    vm, volume = world.running(), world.ready()
    world.done("attachVolume", id=volume, virtualmachineid=vm)
    return vm, volume


def test_CS_DET_01_an_id_or_a_tuple(world: World) -> None:
    vm, volume = _with_data(world)
    said = "Please provide either a volume id, or a tuple(device id, instance id)"
    assert world.does("detachVolume") == No("job", 431, said)
    assert world.does("detachVolume", id=volume, virtualmachineid=vm, deviceid=1) == No("job", 431, said)


def test_CS_DET_02_only_what_is_attached(world: World) -> None:
    assert world.does("detachVolume", id=world.ready()) == No("job", 431, "The specified volume is not attached to a VM.")


def test_CS_DET_03_only_from_a_running_stopped_or_destroyed_vm(world: World) -> None:
    vm, volume = _with_data(world)
    world.cloud.vms[vm].state = "Migrating"
    said = "Please specify a VM that is either running or stopped."
    assert world.does("detachVolume", id=volume) == No("job", 431, said)


def test_CS_DET_04_a_root_only_from_a_stopped_vm(world: World) -> None:
    assert world.does("detachVolume", id=world.root(world.running())) == No("job", 431, ROOT_STATE)


def test_CS_DET_04_not_even_from_a_destroyed_one(world: World) -> None:
    vm = world.deploy()
    root = world.root(vm)
    world.done("destroyVirtualMachine", id=vm)
    assert world.does("detachVolume", "admin", id=root) == No("job", 431, ROOT_STATE)


def test_CS_DET_05_a_root_not_from_managed_storage(world: World) -> None:
    vm = world.running()
    world.done("stopVirtualMachine", id=vm)
    world.pools(managed=True)
    assert world.does("detachVolume", id=world.root(vm)) == No("job", 431, MANAGED)


@pytest.mark.parametrize(
    ("wording", "said"),
    [
        pytest.param(
            "W1", "Unable to detach volume, please specify a VM that does not have VM snapshots", id="CS-DET-06-W1"
        ),
        pytest.param(
            "W2",
            "Unable to detach volume, please specify an Instance that does not have Instance Snapshots",
            id="CS-DET-06-W2",
        ),
    ],
)
def test_not_with_a_vm_snapshot(wording: str, said: str) -> None:
    world = World(wording=wording)
    vm, volume = _with_data(world)
    world.vm_snapshot(vm)
    assert world.does("detachVolume", id=volume) == No("job", 431, said)


def test_CS_DET_07_not_with_backups(world: World) -> None:
    vm, volume = _with_data(world)
    world.cloud.vms[vm].backups = True
    refused = world.does("detachVolume", id=volume)
    assert refused.code == 431
    assert refused.text.startswith("Unable to detach volume, cannot detach volume from a VM that has backups.")


def test_CS_DET_08_the_tuple_form_fails(world: World) -> None:
    vm, volume = _with_data(world)
    null = 'Cannot invoke "java.lang.Long.longValue()" because "volumeId" is null'
    assert world.does("detachVolume", virtualmachineid=vm, deviceid=1) == No("job", 530, null)
    nothing = "Index 0 out of bounds for length 0"
    assert world.does("detachVolume", virtualmachineid=vm, deviceid=17) == No("job", 530, nothing)
    assert world.disk(volume)["virtualmachineid"] == vm


def test_CS_DET_09_a_guest_that_does_not_let_go_keeps_it(world: World) -> None:
    vm, volume = _with_data(world)
    world.cloud.faults.add("host-fails", "detach")
    refused = world.does("detachVolume", id=volume)
    assert (refused.at, refused.code) == ("job", 530)
    assert refused.text.startswith("Failed to detach volume data from VM vm")
    assert world.disk(volume)["virtualmachineid"] == vm


def test_CS_DET_10_the_attachment_is_cleared_and_a_root_becomes_a_data_disk(world: World) -> None:
    vm = world.running()
    world.done("stopVirtualMachine", id=vm)
    root = world.root(vm)
    world.done("detachVolume", id=root)
    disk = world.disk(root)
    assert (disk["type"], disk["state"]) == ("DATADISK", "Ready")
    assert not {"virtualmachineid", "deviceid", "attached", "vmname"} & disk.keys()


def test_CS_DET_11_the_root_of_a_vm_that_never_ran_comes_off_allocated(world: World) -> None:
    root = world.root(world.deploy())
    done = world.done("detachVolume", id=root)["volume"]
    assert (done["type"], done["state"]) == ("DATADISK", "Allocated")


def test_CS_DET_12_a_foreign_volume_fails_in_the_job(world: World) -> None:
    _, volume = _with_data(world)
    assert world.does("detachVolume", "other", id=volume) == No("job", 530, NOT_YOURS)


# --- delete -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["Running", "Stopped", "Destroyed"], ids=lambda s: f"CS-DEL-01-{s}")
def test_not_what_is_attached_whatever_the_state_of_the_vm(world: World, state: str) -> None:
    vm = world.running() if state == "Running" else world.deploy()
    root = world.root(vm)
    if state == "Destroyed":
        world.done("destroyVirtualMachine", id=vm)
    assert world.now("deleteVolume", id=root) == No("call", 431, NOT_ATTACHED_ANYWHERE)


def test_CS_DEL_02_not_while_a_snapshot_is_made(world: World) -> None:
    volume = world.ready()
    world.now("createSnapshot", volumeid=volume)
    world.clock.advance(1)
    said = "There are snapshot operations in progress on the volume, unable to delete it"
    assert world.now("deleteVolume", id=volume) == No("call", 431, said)


def test_CS_DEL_03_not_what_is_protected(world: World) -> None:
    volume = world.ready("precious")
    world.done("updateVolume", "admin", id=volume, deleteprotection=True)
    said = f"Volume [id = {volume}, name = precious] has delete protection enabled and cannot be deleted."
    assert world.now("deleteVolume", id=volume) == No("call", 431, said)
    assert world.does("destroyVolume", id=volume) == No("job", 431, said)


def test_CS_DEL_04_it_is_gone_from_the_lists_and_again_is_431(world: World) -> None:
    volume = world.ready()
    assert world.now("deleteVolume", id=volume) == {"success": True}
    assert world.now("listVolumes", "admin", id=volume) == {}
    number = world.cloud.volumes[volume].n
    assert world.now("deleteVolume", id=volume) == No("call", 431, f"Unable to find UUID for id [{number}] of type [Volume]")


def test_CS_DEL_05_an_allocated_volume_can_only_be_expunged(world: World) -> None:
    volume = world.volume()
    said = "The volume in Allocated/Uploaded state can only be expunged not destroyed/recovered"
    assert world.does("destroyVolume", id=volume) == No("job", 431, said)


def test_a_destroyed_volume_is_listed_and_comes_back(world: World) -> None:
    volume = world.ready()
    assert world.done("destroyVolume", id=volume)["volume"]["state"] == "Destroy"
    assert world.now("recoverVolume", id=volume)["volume"]["state"] == "Ready"
    assert world.now("recoverVolume", id=volume) == No("call", 431, "Please specify a volume in Destroy state.")


def test_CS_DEL_06_while_attaching_it_is_530(world: World) -> None:
    vm, volume = world.running(), world.ready()
    world.submit("attachVolume", id=volume, virtualmachineid=vm)
    world.clock.advance(1)
    assert world.now("deleteVolume", id=volume) == No("call", 530, MASKED)


def test_CS_DEL_07_without_permission_to_expunge(world: World) -> None:
    world.cloud.configure("allow.user.expunge.recover.volume", False)
    said = "Expunging a volume can only be done by an Admin. Or when the allow.user.expunge.recover.volume key is set."
    volume = world.ready()
    assert world.now("deleteVolume", id=volume) == No("call", 531, said)
    assert world.does("destroyVolume", id=volume, expunge=True) == No("job", 530, said)


# --- list -------------------------------------------------------------------------------------------------------------


def test_CS_LST_01_every_state_but_expunged_is_listed(world: World) -> None:
    allocated, destroyed, gone = world.volume("a"), world.ready("b"), world.ready("c")
    world.done("destroyVolume", id=destroyed)
    world.now("deleteVolume", id=gone)
    listed = {row["id"]: row["state"] for row in world.now("listVolumes")["volume"]}
    assert listed == {allocated: "Allocated", destroyed: "Destroy"}


@pytest.mark.parametrize(
    ("release", "found"),
    [pytest.param("4.16.1.1", 2, id="CS-LST-02-part"), pytest.param("4.17.2.0", 1, id="CS-LST-02-whole")],
)
def test_a_vm_is_found_by_part_of_its_name_or_by_all_of_it(release: str, found: int) -> None:
    world = World(release=release)
    for name in ("guest", "guest-2"):
        world.deploy(name)
    assert world.now("listVirtualMachines", name="guest")["count"] == found


def test_CS_LST_03_destroyed_vms_are_for_administrators(world: World) -> None:
    vm = world.deploy()
    world.done("destroyVirtualMachine", id=vm)
    assert world.now("listVirtualMachines") == {}
    assert world.now("listVirtualMachines", "admin", listall=True)["count"] == 1
    assert world.now("listVirtualMachines", "admin", listall=True, state="present") == {}
    world.cloud.configure("allow.user.view.destroyed.vm", True)
    assert world.now("listVirtualMachines")["count"] == 1


def test_CS_LST_04_several_tags_are_or_ed_and_count_counts_matches(world: World) -> None:
    first, second = world.volume("a"), world.volume("b")
    pairs = {"tags[0].key": "k", "tags[0].value": "1", "tags[1].key": "l", "tags[1].value": "2"}
    world.done("createTags", resourceids=first, resourcetype="Volume", **pairs)
    world.done("createTags", resourceids=second, resourcetype="Volume", **{"tags[0].key": "k", "tags[0].value": "1"})
    answer = world.now("listVolumes", **pairs)
    assert (answer["count"], {row["id"] for row in answer["volume"]}) == (3, {first, second})


def test_CS_LST_05_a_tag_without_value_is_431(world: World) -> None:
    assert world.now("listVolumes", **{"tags[0].key": "k"}) == No("call", 431, "No value is passed in for key k")


def test_CS_LST_06_a_root_shows_its_offering_as_a_number(world: World) -> None:
    root = world.disk(world.root(world.deploy()))
    assert root["serviceofferingid"] == str(world.cloud.plain["ServiceOffering"][CUSTOM].n)
