"""What the server's source says beyond the contract's table: further refusals, their order, and what deletions leave."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import DISK, DISK_FIXED, MASKED, NET, NET_B, OTHER_ZONE, ZONE, No, World, network


def code(answer: Any) -> tuple[str, int]:
    assert isinstance(answer, No), answer
    return answer.at, answer.code


# --- network cards ----------------------------------------------------------------------------------------------------


def destroyed(world: World, **params: Any) -> str:
    vm = world.deploy(**params)
    world.done("destroyVirtualMachine", id=vm)
    return vm


def test_a_destroyed_vm_gets_no_card(world: World) -> None:
    vm = destroyed(world)
    refused = world.does("addNicToVirtualMachine", virtualmachineid=vm, networkid=NET_B)
    assert code(refused) == ("job", 530)
    assert refused.text.endswith("to network, is not in the right state")


def test_a_destroyed_vm_loses_no_card_and_keeps_its_default(world: World) -> None:
    vm = destroyed(world, networkids=f"{NET},{NET_B}")
    spare = next(card.id for card in world.cloud.vms[vm].nics if not card.is_default)
    removed = world.does("removeNicFromVirtualMachine", virtualmachineid=vm, nicid=spare)
    assert removed.text.endswith("from Network, is not in the right state")
    chosen = world.does("updateDefaultNicForVirtualMachine", virtualmachineid=vm, nicid=spare)
    assert chosen.text.endswith("is not Running or Stopped")


@pytest.mark.parametrize(
    ("command", "between"),
    [("removeNicFromVirtualMachine", "is not a NIC on VM"), ("updateDefaultNicForVirtualMachine", "is not a NIC on  VM")],
)
def test_the_card_of_another_vm_is_refused(world: World, command: str, between: str) -> None:
    vm, other = world.deploy(), world.deploy("other")
    card = world.cloud.vms[other].nics[0].id
    refused = world.does(command, virtualmachineid=vm, nicid=card)
    assert code(refused) == ("job", 431)
    assert between in refused.text


def test_a_card_in_the_network_of_another_zone_is_refused() -> None:
    far = "60000000-0000-4000-8000-000000000009"
    rows = [network(NET, "net", "Isolated"), {**network(far, "far", "Isolated"), "zone": OTHER_ZONE}]
    world = World(sections={"networks": rows})
    refused = world.does("addNicToVirtualMachine", virtualmachineid=world.deploy(), networkid=far)
    assert code(refused) == ("job", 530)
    assert "is in zone" in refused.text


def test_a_network_that_has_the_host_name_takes_no_second_one(world: World) -> None:
    world.deploy("same", networkids=NET_B)
    refused = world.does("addNicToVirtualMachine", virtualmachineid=world.deploy("same"), networkid=NET_B)
    assert refused == No("job", 530, "Network net-b already has an Instance with host name: same")


# --- volumes ----------------------------------------------------------------------------------------------------------


def test_what_is_neither_root_nor_data_is_not_attached(world: World) -> None:
    volume = world.ready()
    world.cloud.volumes[volume].kind = "ISO"
    refused = world.does("attachVolume", id=volume, virtualmachineid=world.deploy())
    assert refused == No("job", 431, "Please specify a volume with the valid type: ROOT or DATADISK")


def test_not_even_a_root_administrator_attaches_across_accounts(world: World) -> None:
    volume = world.ready()
    world.cloud.volumes[volume].account = "other"
    refused = world.does("attachVolume", "admin", id=volume, virtualmachineid=world.deploy())
    assert code(refused) == ("job", 530)
    assert refused.text.endswith("belong to different accounts")


def test_beside_an_allocated_root_a_new_disk_stays_allocated_unless_a_pool_serves_the_zone(world: World) -> None:
    vm, near, far = world.deploy(), world.volume("near"), world.volume("far")
    world.done("attachVolume", id=near, virtualmachineid=vm)
    assert world.disk(near)["state"] == "Allocated"
    world.pools(scope="ZONE")
    world.done("attachVolume", id=far, virtualmachineid=vm)
    assert world.disk(far)["state"] == "Ready"


def test_a_root_snapshot_becomes_a_volume_with_an_offering_and_a_data_snapshot_does_not(world: World) -> None:
    root = world.root(world.running())
    of_root, of_data = world.snapshot(root), world.snapshot(world.ready())
    asked = {"name": "clone", "diskofferingid": DISK, "zoneid": ZONE}
    told = "Disk Offering ID cannot be passed whilst creating volume from snapshot other than ROOT disk snapshots"
    assert world.now("createVolume", **asked, snapshotid=of_data) == No("call", 431, told)
    assert "jobid" in world.now("createVolume", **asked, snapshotid=of_root)


def test_recovering_a_volume_needs_the_permission_and_room(world: World) -> None:
    volume = world.ready()
    world.done("destroyVolume", id=volume)
    world.cloud.configure("allow.user.expunge.recover.volume", False)
    assert code(world.now("recoverVolume", id=volume)) == ("call", 531)
    world.cloud.configure("allow.user.expunge.recover.volume", True)
    world.cloud.accounts["dr"].limits["volume"] = 0
    assert code(world.now("recoverVolume", id=volume)) == ("call", 431)
    world.cloud.accounts["dr"].limits["volume"] = -1
    assert world.now("recoverVolume", id=volume)["volume"]["state"] == "Ready"


# --- resize -----------------------------------------------------------------------------------------------------------


def test_another_size_is_only_for_what_is_allocated_or_ready(world: World) -> None:
    volume = world.ready()
    world.done("destroyVolume", id=volume)
    told = f"Volume should be in ready or allocated state before attempting a resize. Volume {volume} is in state Destroy."
    assert world.does("resizeVolume", id=volume, size=4) == No("job", 432, told)


def test_another_size_has_a_range_and_a_limit(world: World) -> None:
    volume = world.ready()
    world.cloud.accounts["dr"].limits["primary_storage"] = 4
    assert code(world.does("resizeVolume", id=volume, size=5000)) == ("job", 432)
    assert code(world.does("resizeVolume", id=volume, size=6)) == ("job", 535)
    world.done("resizeVolume", id=volume, size=4)


def test_an_allocated_volume_shrinks_only_with_consent(world: World) -> None:
    volume = world.volume(gib=3)
    refused = world.does("resizeVolume", id=volume, size=1)
    assert refused.text.endswith("supplying the shrinkok parameter with value of true.")
    world.done("resizeVolume", id=volume, size=1, shrinkok=True)
    assert world.disk(volume)["size"] == 1024**3


def test_vm_snapshots_are_looked_at_before_shrinking_and_only_for_another_size(world: World) -> None:
    vm = world.running()
    root = world.root(vm)
    world.vm_snapshot(vm, snapshotmemory=True)
    assert "memory&disk VM snapshots" in world.does("resizeVolume", id=root, size=1).text
    world.done("resizeVolume", id=root, size=2)


def test_an_offering_of_fixed_size_sets_the_size(world: World) -> None:
    volume = world.volume(gib=1)
    world.cloud.plain["DiskOffering"][DISK_FIXED].fields["disksize"] = 3
    world.done("resizeVolume", id=volume, diskofferingid=DISK_FIXED)
    row = world.disk(volume)
    assert (row["size"], row["diskofferingid"]) == (3 * 1024**3, DISK_FIXED)
    told = "The new disk offering requires that a size be specified."
    assert world.does("resizeVolume", id=volume, diskofferingid=DISK) == No("job", 432, told)


@pytest.mark.parametrize("release", ["4.15.2.0", "4.20.3.0"])
def test_up_to_4_20_no_vm_snapshot_goes_with_another_size(release: str) -> None:
    world = World(release=release)
    vm = world.running()
    world.vm_snapshot(vm, snapshotmemory=True)
    assert code(world.does("resizeVolume", id=world.root(vm), size=4)) == ("job", 432)


def test_a_host_that_fails_to_resize_leaves_the_size(world: World) -> None:
    volume = world.ready()
    world.cloud.faults.add("host-fails", "resize")
    assert code(world.does("resizeVolume", id=volume, size=4)) == ("job", 530)
    assert (world.disk(volume)["size"], world.disk(volume)["state"]) == (1024**3, "Ready")


def test_another_size_waits_for_no_snapshot(world: World) -> None:
    volume = world.ready()
    world.now("createSnapshot", volumeid=volume)
    world.clock.advance(1)
    assert "unbacked up snapshot(s)" in world.does("resizeVolume", id=volume, size=4).text


@pytest.mark.parametrize(("release", "word"), [("4.20.2.0", "VM snapshots"), ("4.22.1.0", "Instance Snapshots")])
def test_a_volume_does_not_move_away_from_vm_snapshots(release: str, word: str) -> None:
    world = World(release=release)
    vm = world.running()
    world.vm_snapshot(vm, snapshotmemory=True)
    pool = next(iter(world.cloud.plain["StoragePool"]))
    refused = world.does("migrateVolume", "admin", volumeid=world.root(vm), storageid=pool)
    assert code(refused) == ("job", 431)
    assert word in refused.text


# --- volume snapshots -------------------------------------------------------------------------------------------------


def test_a_revert_brings_the_size_back_too(world: World) -> None:
    volume = world.ready()
    snapshot = world.snapshot(volume)
    world.done("resizeVolume", id=volume, size=4)
    world.done("revertSnapshot", id=snapshot)
    assert world.disk(volume)["size"] == 1024**3


def test_a_snapshot_that_waits_is_deleted_and_its_job_fails(world: World) -> None:
    vm = world.running()
    root = world.root(vm)
    world.submit("rebootVirtualMachine", id=vm)
    waiting = world.now("createSnapshot", volumeid=root)
    world.done("deleteSnapshot", id=waiting["id"])
    assert code(World.does(world, "deleteSnapshot", id=waiting["id"])) == ("call", 431)
    assert world.ended(waiting["jobid"])["jobresultcode"] == 530


def test_of_a_snapshot_that_failed_nothing_is_kept_when_it_is_deleted(world: World) -> None:
    volume = world.ready()
    world.cloud.faults.add("host-fails", "snapshot")
    failed = world.snapshot(volume)
    refused = world.does("revertSnapshot", id=failed)
    assert refused.text.endswith("does not exists in data store")
    world.done("deleteSnapshot", id=failed)
    assert code(world.now("deleteSnapshot", id=failed)) == ("call", 431)


def test_the_root_of_a_destroyed_vm_gets_no_snapshot_and_that_is_said_before_limits(world: World) -> None:
    vm = world.running()
    root = world.root(vm)
    world.done("destroyVirtualMachine", id=vm)
    world.cloud.accounts["dr"].limits["snapshot"] = 0
    assert world.now("createSnapshot", volumeid=root) == No("call", 530, MASKED)
    told = world.now("createSnapshot", "admin", volumeid=root)
    assert told.text.startswith("Creating snapshot failed due to volume: Volume {")


# --- VMs --------------------------------------------------------------------------------------------------------------


def test_destroying_what_is_destroyed_asks_for_nothing(world: World) -> None:
    vm = destroyed(world)
    world.cloud.vms[vm].protected = True
    world.done("destroyVirtualMachine", id=vm)
    assert code(world.does("destroyVirtualMachine", "admin", id=vm, expunge=True)) == ("job", 431)


def test_a_vm_in_error_is_expunging_once_it_is_destroyed_and_goes_with_the_time(world: World) -> None:
    vm = world.deploy()
    world.cloud.vms[vm].state = "Error"
    world.done("destroyVirtualMachine", id=vm)
    assert world.vm(vm)["state"] == "Expunging"
    world.clock.advance(3 * 86400)
    assert world.now("listVirtualMachines", "admin", id=vm) == {}


def test_a_protected_data_disk_is_not_deleted_with_its_vm(world: World) -> None:
    vm, data = world.running(), world.ready()
    world.done("attachVolume", id=data, virtualmachineid=vm)
    world.done("updateVolume", "admin", id=data, deleteprotection=True)
    refused = world.does("destroyVirtualMachine", id=vm, volumeids=data)
    assert refused.text.endswith("has delete protection enabled and cannot be deleted")
    assert world.vm(vm)["state"] == "Running"


def test_with_the_setting_a_root_is_put_away_with_its_vm(world: World) -> None:
    world.cloud.configure("destroy.root.volume.on.vm.destruction", True)
    vm = world.running()
    root = world.root(vm)
    world.done("destroyVirtualMachine", id=vm)
    assert world.disk(root)["state"] == "Destroy"


def test_a_destroyed_vm_does_not_count_and_comes_back_only_where_there_is_room(world: World) -> None:
    world.cloud.configure("allow.user.expunge.recover.vm", True)
    world.cloud.accounts["dr"].limits["user_vm"] = 1
    vm = destroyed(world)
    world.deploy("second")
    assert code(world.now("recoverVirtualMachine", id=vm)) == ("call", 535)


@pytest.mark.parametrize(
    ("release", "text"),
    [("4.19.3.0", "Unable to delete vm snapshots for"), ("4.22.1.0", "Failed to destroy vm with specified vmId")],
)
def test_what_is_said_when_vm_snapshots_cannot_be_deleted(release: str, text: str) -> None:
    world = World(release=release)
    vm = world.running()
    world.vm_snapshot(vm, snapshotmemory=True)
    world.cloud.faults.add("host-fails", "merge")
    assert world.does("destroyVirtualMachine", id=vm).text.startswith(text)


def test_only_a_running_vm_is_rebooted(world: World) -> None:
    vm = world.deploy("still")
    told = f"The Instance {vm} (still) is not running, unable to reboot it"
    assert world.does("rebootVirtualMachine", id=vm) == No("job", 431, told)


# --- VM snapshots -----------------------------------------------------------------------------------------------------


def test_a_destroyed_vm_is_not_reverted(world: World) -> None:
    vm = world.running()
    row = world.vm_snapshot(vm, snapshotmemory=True)
    world.cloud.vms[vm].state = "Error"
    assert "not in Running or Stopped state" in world.does("revertToVMSnapshot", vmsnapshotid=row).text


def test_in_4_15_only_qcow2_is_snapshotted() -> None:
    world = World(release="4.15.2.0")
    vm = world.running()
    world.cloud.volumes[world.root(vm)].format = "RAW"
    assert code(world.now("createVMSnapshot", "admin", virtualmachineid=vm, snapshotmemory=True)) == ("call", 530)
