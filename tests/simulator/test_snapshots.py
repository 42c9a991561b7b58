"""Volume snapshots, rule by rule (CS-SNP)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import HOST, MASKED, POOL, No, World

RUNNING = (
    "KVM Snapshot is not supported for Running VMs. It is disabled by default due to a possible "
    "volume corruption in certain cases. "
    "To enable it set global settings kvm.snapshot.enabled to True. See the documentation for more details."
)


def told(world: World, snapshot: str) -> str:
    return world.cloud.snapshots[snapshot].told()


def test_CS_SNP_01_of_a_running_vm_only_with_the_setting_in_force() -> None:
    world = World(settings={"kvm.snapshot.enabled": False})
    vm = world.running()
    root = world.root(vm)
    assert world.now("createSnapshot", volumeid=root) == No("call", 530, MASKED)
    assert world.now("createSnapshot", "admin", volumeid=root) == No("call", 530, RUNNING)
    world.done("stopVirtualMachine", id=vm)
    assert world.cloud.snapshots[world.snapshot(root)].state == "BackedUp"
    assert world.cloud.snapshots[world.snapshot(world.ready())].state == "BackedUp"


def test_CS_SNP_01_a_host_without_the_capability_says_the_same(world: World) -> None:
    world.cloud.plain["Host"][HOST].fields["capabilities"] = "hvm"
    assert world.now("createSnapshot", "admin", volumeid=world.root(world.running())) == No("call", 530, RUNNING)


@pytest.mark.parametrize(
    ("release", "by_default"), [("4.20.3.0", False), ("4.21.0.0", False), ("4.22.0.0", True)], ids=lambda v: f"CS-SNP-01-{v}"
)
def test_the_setting_is_on_from_4_22(release: str, by_default: bool) -> None:
    world = World(release=release)
    assert world.now("listCapabilities")["capability"]["kvmsnapshotenabled"] is by_default


def test_CS_SNP_02_only_of_a_ready_volume(world: World) -> None:
    volume = world.volume()
    said = f"Volume: {world.cloud.volumes[volume].told()} is not in Ready state but Allocated. Cannot take snapshot."
    assert world.now("createSnapshot", volumeid=volume) == No("call", 431, said)


def test_CS_SNP_02_not_while_the_first_is_being_made(world: World) -> None:
    volume = world.ready()
    world.now("createSnapshot", volumeid=volume)
    world.clock.advance(0.5)
    refused = world.now("createSnapshot", volumeid=volume)
    assert refused.code == 431
    assert refused.text.endswith("is not in Ready state but Snapshotting. Cannot take snapshot.")


def test_CS_SNP_03_of_another_volume_of_the_vm_it_is_accepted_and_succeeds(world: World) -> None:
    vm, data = world.running(), world.ready()
    world.done("attachVolume", id=data, virtualmachineid=vm)
    world.now("createSnapshot", volumeid=data)
    world.clock.advance(0.95)
    assert world.disk(data)["state"] == "Snapshotting"
    assert world.done("createSnapshot", volumeid=world.root(vm))["snapshot"]["state"] == "BackedUp"


def test_CS_SNP_03_while_the_first_is_backing_up_it_is_431(world: World) -> None:
    vm, data = world.running(), world.ready()
    world.done("attachVolume", id=data, virtualmachineid=vm)
    world.cloud.snapshots[world.snapshot(data)].state = "BackingUp"
    said = "There is other active snapshot tasks on the instance to which the volume is attached, please try again later"
    assert world.now("createSnapshot", volumeid=world.root(vm)) == No("call", 431, said)


@pytest.mark.parametrize(
    ("wording", "word"),
    [pytest.param("W1", "vm snapshot", id="CS-SNP-04-W1"), pytest.param("W2", "Instance Snapshot", id="CS-SNP-04-W2")],
)
def test_not_during_a_vm_snapshot_task(wording: str, word: str) -> None:
    world = World(wording=wording)
    vm = world.running()
    world.cloud.vm_snapshots[world.vm_snapshot(vm)].state = "Reverting"
    root = world.root(vm)
    assert world.now("createSnapshot", volumeid=root) == No("call", 530, MASKED)
    refused = world.now("createSnapshot", "admin", volumeid=root)
    assert refused.code == 530
    assert refused.text.startswith(f"There is other active {word} tasks on the ")


def test_CS_SNP_05_not_with_a_file_based_vm_snapshot(world: World) -> None:
    vm = world.running()
    world.vm_snapshot(vm)
    refused = world.does("createSnapshot", volumeid=world.root(vm))
    assert (refused.at, refused.code) == ("job", 432)
    assert refused.text.startswith(
        "Failed to create Snapshot due to unsupported operation: Unable to find a snapshot strategy to "
        "create snapshot [Snapshot {"
    )
    assert world.now("listSnapshots") == {}


def test_CS_SNP_05_a_memory_vm_snapshot_does_not_matter(world: World) -> None:
    vm = world.running()
    world.vm_snapshot(vm, snapshotmemory=True)
    assert world.done("createSnapshot", volumeid=world.root(vm))["snapshot"]["state"] == "BackedUp"


@pytest.mark.parametrize(
    ("wording", "word"), [pytest.param("W1", "VM", id="CS-SNP-06-W1"), pytest.param("W2", "Instance", id="CS-SNP-06-W2")]
)
def test_reverted_only_while_the_vm_is_stopped(wording: str, word: str) -> None:
    world = World(wording=wording)
    vm = world.running()
    snapshot = world.snapshot(world.root(vm))
    said = f"The {word} the specified disk is attached to is not in the shutdown state."
    assert world.does("revertSnapshot", id=snapshot) == No("job", 431, said)
    world.done("stopVirtualMachine", id=vm)
    world.done("revertSnapshot", id=snapshot)


@pytest.mark.parametrize(
    ("wording", "said"),
    [
        pytest.param(
            "W1",
            "Unable to revert snapshot for VM, please remove VM snapshots before reverting VM from snapshot",
            id="CS-SNP-07-W1",
        ),
        pytest.param(
            "W2",
            "Unable to revert Snapshot for Instance, please remove Instance Snapshots before reverting "
            "Instance from Snapshot",
            id="CS-SNP-07-W2",
        ),
    ],
)
def test_reverted_only_without_vm_snapshots(wording: str, said: str) -> None:
    world = World(wording=wording)
    vm = world.running()
    world.done("stopVirtualMachine", id=vm)
    snapshot = world.snapshot(world.root(vm))
    world.does("createVMSnapshot", virtualmachineid=vm)
    assert world.does("revertSnapshot", id=snapshot) == No("job", 431, said)


@pytest.mark.parametrize(
    ("command", "end"),
    [
        pytest.param("revertSnapshot", "cannot be reverted separately", id="CS-SNP-08-revert"),
        pytest.param("deleteSnapshot", "cannot be deleted separately", id="CS-SNP-08-delete"),
    ],
)
def test_members_of_a_group_neither_revert_nor_go_alone(world: World, command: str, end: str) -> None:
    snapshot = world.snapshot(world.ready())
    world.cloud.snapshots[snapshot].kind = "GROUP"
    refused = world.does(command, id=snapshot)
    assert (refused.at, refused.code) == ("job", 431)
    assert refused.text.endswith(end)


def test_CS_SNP_09_a_detached_ready_volume_is_reverted(world: World) -> None:
    vm, volume = world.running(), world.ready()
    snapshot, before = world.snapshot(volume), world.cloud.fingerprint(volume)
    world.done("attachVolume", id=volume, virtualmachineid=vm)
    world.cloud.guest_writes(vm)
    world.done("detachVolume", id=volume)
    assert world.cloud.fingerprint(volume) != before
    path = world.disk(volume)["path"]
    job = world.submit("revertSnapshot", id=snapshot)
    world.clock.advance(1)
    assert world.disk(volume)["state"] == "RevertSnapshotting"
    world.ended(job)
    disk = world.disk(volume)
    assert (disk["state"], disk["path"], world.cloud.fingerprint(volume)) == ("Ready", path, before)


def test_CS_SNP_09_only_what_is_ready(world: World) -> None:
    volume = world.ready()
    snapshot = world.snapshot(volume)
    world.cloud.volumes[volume].state = "Migrating"
    assert world.does("revertSnapshot", id=snapshot) == No("job", 431, "The volume is not in Ready state.")


def test_CS_SNP_10_only_qcow2_is_reverted_without_a_special_strategy(world: World) -> None:
    volume = world.ready()
    snapshot = world.snapshot(volume)
    world.cloud.volumes[volume].format = "RAW"
    said = (
        f"Revert snapshot command failed for snapshot {told(world, snapshot)}, because this command is "
        "supported only for KVM hypervisor"
    )
    assert world.does("revertSnapshot", id=snapshot) == No("job", 530, said)
    world.pools(type="RBD")
    world.done("revertSnapshot", id=snapshot)


def test_CS_SNP_10_a_destroyed_one_is_not_reverted(world: World) -> None:
    snapshot = world.snapshot(world.ready())
    world.done("deleteSnapshot", id=snapshot)
    refused = world.does("revertSnapshot", id=snapshot)
    assert refused.code in (431, 530)


def test_CS_SNP_11_a_destroyed_one_is_not_deleted_again(world: World) -> None:
    snapshot = world.snapshot(world.ready())
    assert world.done("deleteSnapshot", id=snapshot) == {"success": True}
    assert world.now("listSnapshots") == {}
    assert world.does("deleteSnapshot", id=snapshot) == No(
        "job", 431, f"Snapshot [{told(world, snapshot)}] is already destroyed"
    )


def test_CS_SNP_12_one_that_is_backing_up_is_not_deleted(world: World) -> None:
    snapshot = world.snapshot(world.ready())
    world.cloud.snapshots[snapshot].state = "BackingUp"
    refused = world.does("deleteSnapshot", id=snapshot)
    said = (
        "Failed to delete snapshot:com.cloud.exception.InvalidParameterValueException: "
        f"Can't delete snapshot {told(world, snapshot)} due to it is in BackingUp Status"
    )
    assert refused == No("job", 530, said)


def test_CS_SNP_13_members_of_a_group_are_never_listed_nor_is_the_kind(world: World) -> None:
    volume = world.ready()
    group, plain = world.snapshot(volume, "group"), world.snapshot(volume, "plain")
    world.cloud.snapshots[group].kind = "GROUP"
    for by in ("dr", "admin"):
        rows = world.now("listSnapshots", by, listall=True)["snapshot"]
        assert [row["id"] for row in rows] == [plain]
        assert "snapshottype" not in rows[0]
    made = world.done("createSnapshot", volumeid=volume)["snapshot"]
    assert made["snapshottype"] == "MANUAL"


def test_CS_SNP_14_the_setting_takes_effect_at_a_restart(world: World) -> None:
    root = world.root(world.running())
    world.now("updateConfiguration", "admin", name="kvm.snapshot.enabled", value="false")
    assert world.now("listCapabilities")["capability"]["kvmsnapshotenabled"] is True
    world.snapshot(root)
    world.cloud.restart()
    assert world.now("listCapabilities")["capability"]["kvmsnapshotenabled"] is False
    assert world.now("createSnapshot", volumeid=root).code == 530


def test_it_is_usable_only_when_it_is_backed_up(world: World) -> None:
    volume = world.ready()
    answer = world.now("createSnapshot", volumeid=volume, name="s")
    seen = []
    for _ in range(30):
        row = world.now("listSnapshots", id=answer["id"])["snapshot"][0]
        seen.append((row["state"], world.disk(volume)["state"]))
        world.clock.advance(0.1)
    assert list(dict.fromkeys(seen)) == [
        ("Allocated", "Ready"),
        ("Creating", "Snapshotting"),
        ("BackingUp", "Ready"),
        ("BackedUp", "Ready"),
    ]


@pytest.mark.parametrize(
    ("attached", "start"), [(True, "guest_data_"), (False, "detached_data_")], ids=["attached", "detached"]
)
def test_the_name_is_made_up_when_none_is_given(world: World, attached: bool, start: str) -> None:
    volume = world.ready()
    if attached:
        world.done("attachVolume", id=volume, virtualmachineid=world.running("guest"))
    assert world.done("createSnapshot", volumeid=volume)["snapshot"]["name"].startswith(start + "20260301")


def test_a_snapshot_copies_what_is_there_when_it_begins(world: World) -> None:
    vm = world.running()
    root = world.root(vm)
    snapshot = world.snapshot(root)
    world.done("stopVirtualMachine", id=vm)
    world.done("revertSnapshot", id=snapshot)
    assert world.cloud.fingerprint(root) == world.cloud.snapshots[snapshot].content


def test_a_clone_diverges(world: World) -> None:
    replica = world.ready()
    made: dict[str, Any] = world.now(
        "createVolume", name="clone", zoneid="10000000-0000-4000-8000-000000000001", snapshotid=world.snapshot(replica)
    )
    world.ended(made["jobid"])
    clone, vm = made["id"], world.running()
    before = world.cloud.fingerprint(replica)
    assert world.cloud.fingerprint(clone) == before
    world.done("attachVolume", id=clone, virtualmachineid=vm)
    world.cloud.guest_writes(vm)
    assert (world.cloud.fingerprint(replica), world.cloud.fingerprint(clone) == before) == (before, False)
    assert world.disk(clone)["storageid"] in (POOL, world.disk(replica)["storageid"])
