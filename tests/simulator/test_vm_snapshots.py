"""VM snapshots, rule by rule (CS-VSC, CS-VSR, CS-VSD, CS-VSL): refusals, strategies, and what disks hold afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from tests.simulator.world import MASKED, POOL, No, World

NEW, OLD = "Failed to create Instance Snapshot: ", "Failed to create vm snapshot: "
BUSY = "There are other active Instance Snapshot tasks on the Instance, please try again later"
NO_STRATEGY = "No strategy was able to handle requested snapshot for Instance [{}]."
FROZEN = "Could not freeze Instance."
ONLY_STOPPED = (
    "Reverting to the Instance Snapshot is not allowed for running Instances as this would result "
    "in an Instance state change. "
    "For running Instances only Snapshots with memory can be reverted. "
    "In order to revert to a Snapshot without memory you need to first stop the Instance."
)
ONLY_RUNNING = (
    "Reverting to the Instance Snapshot is not allowed for stopped Instances when the Snapshot contains memory "
    "as this would result in an Instance state change. In order to revert to a Snapshot with memory "
    "you need to first start the Instance."
)


def stopped(world: World, name: str = "vm") -> str:
    """A stopped VM whose disks exist."""
    vm = world.running(name)
    world.done("stopVirtualMachine", id=vm)
    return vm


def rows(world: World, vm: str) -> dict[str, tuple[str, Any]]:
    """Display name → state and `current` of the VM snapshots that a list shows."""
    listed = world.now("listVMSnapshot", virtualmachineid=vm).get("vmSnapshot", [])
    return {row["displayname"]: (row["state"], row.get("current")) for row in listed}


# --- create: what is refused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "prefix"),
    [
        pytest.param("4.22.1.0", NEW, id="CS-VSC-01-W2"),
        pytest.param("4.20.3.0", NEW, id="CS-VSC-01-4.20.3"),
        pytest.param("4.22.0.0", OLD, id="CS-VSC-01-W1"),
        pytest.param("4.17.2.0", OLD, id="CS-VSC-01-4.17"),
    ],
)
def test_refusals_are_530_with_a_prefix_and_unmasked(release: str, prefix: str) -> None:
    world = World(release=release)
    refused = world.now("createVMSnapshot", virtualmachineid=world.deploy(), snapshotmemory=True)
    assert (refused.at, refused.code) == ("call", 530)
    assert refused.text.startswith(prefix)


def test_CS_VSC_02_up_to_4_16_they_have_their_own_codes_and_no_prefix() -> None:
    world = World(release="4.16.1.1")
    said = "Can not snapshot memory when VM is not in Running state"
    assert world.now("createVMSnapshot", virtualmachineid=world.deploy(), snapshotmemory=True) == No("call", 431, said)
    assert world.now("createVMSnapshot", virtualmachineid=world.deploy("bare")) == No("call", 530, MASKED)
    running = "KVM VM does not allow to take a disk-only snapshot when VM is in running state"
    assert world.now("createVMSnapshot", virtualmachineid=world.running("guest")) == No("call", 431, running)


def test_CS_VSC_03_only_of_a_running_or_stopped_vm(world: World) -> None:
    vm = stopped(world)
    world.done("destroyVirtualMachine", id=vm)
    said = f"Creating Instance Snapshot failed because Instance:{world.cloud.vms[vm].n} is not in Running or Stopped state"
    assert world.now("createVMSnapshot", virtualmachineid=vm) == No("call", 530, NEW + said)


def test_CS_VSC_04_memory_only_of_a_running_vm(world: World) -> None:
    said = "Can not Snapshot memory when the Instance is not in Running state"
    assert world.now("createVMSnapshot", virtualmachineid=stopped(world), snapshotmemory=True) == No("call", 530, NEW + said)


def test_CS_VSC_05_only_with_a_root_that_is_ready(world: World) -> None:
    vm = world.deploy()
    said = f"Unable to find root volume for the user Instance:{vm}"
    assert world.now("createVMSnapshot", virtualmachineid=vm) == No("call", 530, NEW + said)


def test_CS_VSC_05_a_root_that_is_snapshotting_counts_as_none(world: World) -> None:
    vm = stopped(world)
    world.now("createVMSnapshot", virtualmachineid=vm)
    world.clock.advance(1)
    said = f"Unable to find root volume for the user Instance:{vm}"
    assert world.now("createVMSnapshot", virtualmachineid=vm) == No("call", 530, NEW + said)


def _of_rbd(world: World, vm: str) -> None:
    world.pools(type="RBD")
    for disk in world.cloud.attached(world.cloud.vms[vm]):
        disk.format = "RAW"


def test_CS_VSC_06_on_rbd_a_stopped_vm_has_no_strategy(world: World) -> None:
    vm = stopped(world)
    _of_rbd(world, vm)
    assert world.now("createVMSnapshot", virtualmachineid=vm) == No("call", 530, NEW + NO_STRATEGY.format(vm))


def test_CS_VSC_06_on_rbd_neither_has_one_with_memory(world: World) -> None:
    vm = world.running()
    _of_rbd(world, vm)
    assert world.now("createVMSnapshot", virtualmachineid=vm, snapshotmemory=True) == No(
        "call", 530, NEW + NO_STRATEGY.format(vm)
    )


@pytest.mark.parametrize(
    ("release", "said"),
    [
        pytest.param("4.17.2.0", "KVM does not support the type of snapshot requested", id="CS-VSC-06-4.17"),
        pytest.param(
            "4.20.1.0",
            "Creating a snapshot of a running KVM instance without memory is not supported",
            id="CS-VSC-06-4.20.1",
        ),
    ],
)
def test_disk_only_of_a_running_vm_before_4_21(release: str, said: str) -> None:
    world = World(release=release)
    refused = world.now("createVMSnapshot", virtualmachineid=world.running())
    assert refused == No("call", 530, OLD + said)


def test_CS_VSC_07_ten_at_most(world: World) -> None:
    vm = stopped(world)
    for number in range(10):
        world.vm_snapshot(vm, name=f"s{number}")
    said = (
        "Creating Instance Snapshot failed due to a Instance can just have : 10 Instance Snapshots. Please delete old ones"
    )
    assert world.now("createVMSnapshot", virtualmachineid=vm) == No("call", 530, NEW + said)


def test_CS_VSC_08_not_while_a_volume_snapshot_is_backing_up(world: World) -> None:
    vm = world.running()
    snapshot = world.cloud.snapshots[world.snapshot(world.root(vm))]
    snapshot.state = "BackingUp"
    refused = world.now("createVMSnapshot", virtualmachineid=vm)
    said = (
        "There are other active volume Snapshot tasks on the Instance to which the volume is attached, "
        "please try again later."
    )
    assert refused == No("call", 530, NEW + said)


def test_CS_VSC_08_while_it_is_being_made_it_is_accepted(world: World) -> None:
    vm, data = world.running(), world.ready()
    world.done("attachVolume", id=data, virtualmachineid=vm)
    world.now("createSnapshot", volumeid=data)
    world.clock.advance(0.95)
    assert world.disk(data)["state"] == "Snapshotting"
    assert "jobid" in world.now("createVMSnapshot", virtualmachineid=vm)


@pytest.mark.parametrize("state", ["Allocated", "Creating", "Reverting", "Expunging"], ids=lambda s: f"CS-VSC-09-{s}")
def test_not_during_another_such_task(world: World, state: str) -> None:
    vm = stopped(world)
    world.cloud.vm_snapshots[world.vm_snapshot(vm)].state = state
    assert world.now("createVMSnapshot", virtualmachineid=vm) == No("call", 530, NEW + BUSY)


def test_CS_VSC_10_names_may_repeat(world: World) -> None:
    vm = stopped(world)
    world.vm_snapshot(vm, name="twin")
    world.vm_snapshot(vm, name="twin")
    assert world.now("listVMSnapshot", virtualmachineid=vm, name="twin")["count"] == 2


def test_the_name_is_made_up_when_none_is_given(world: World) -> None:
    vm = stopped(world)
    world.vm_snapshot(vm)
    row = world.now("listVMSnapshot", virtualmachineid=vm)["vmSnapshot"][0]
    assert row["name"] == row["displayname"]
    assert row["name"].startswith(f"{world.cloud.vms[vm].instance}_VS_2026")


# --- create: which strategy -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("release", ["4.15.2.0", "4.19.3.0", "4.20.2.0"], ids=lambda r: f"CS-VSC-11-{r}")
def test_up_to_4_20_a_stopped_vm_ends_in_an_error_row(release: str) -> None:
    world = World(release=release)
    vm = stopped(world)
    refused = world.does("createVMSnapshot", virtualmachineid=vm, name="s")
    assert (refused.at, refused.code) == ("job", 530)
    assert refused.text.startswith(OLD + "[VMSnapshot {")
    assert refused.text.endswith(f"Domain not found: no domain with matching name '{world.cloud.vms[vm].instance}'")
    assert rows(world, vm) == {"s": ("Error", None)}


@pytest.mark.parametrize("memory", [False, True], ids=["disk", "memory"])
@pytest.mark.parametrize("kind", ["NetworkFilesystem", "Filesystem", "SharedMountPoint"], ids=lambda k: f"CS-VSC-12-{k}")
def test_from_4_21_it_works_on_files(world: World, kind: str, memory: bool) -> None:
    vm = world.running() if memory else stopped(world)
    world.pools(type=kind)
    before = world.disk(world.root(vm))["path"]
    world.vm_snapshot(vm, name="s", snapshotmemory=memory)
    assert rows(world, vm) == {"s": ("Ready", True)}
    assert (world.disk(world.root(vm))["path"] != before) is not memory
    assert world.now("listSnapshots", "admin", listall=True) == {}


def test_CS_VSC_12_disk_only_and_memory_do_not_mix(world: World) -> None:
    vm, other = world.running("first"), world.running("second")
    world.vm_snapshot(vm)
    assert world.now("createVMSnapshot", virtualmachineid=vm, snapshotmemory=True).text == NEW + NO_STRATEGY.format(vm)
    world.vm_snapshot(other, snapshotmemory=True)
    assert world.now("createVMSnapshot", virtualmachineid=other).text == NEW + NO_STRATEGY.format(other)


@pytest.mark.parametrize("running", [False, True], ids=["CS-VSC-13-stopped", "CS-VSC-13-running"])
def test_with_a_volume_snapshot_it_ends_in_an_error_row(world: World, running: bool) -> None:
    vm = world.running() if running else stopped(world)
    world.snapshot(world.root(vm))
    refused = world.does("createVMSnapshot", virtualmachineid=vm, name="s")
    assert (refused.at, refused.code) == ("job", 530)
    assert FROZEN in refused.text
    assert rows(world, vm) == {"s": ("Error", None)}


def test_CS_VSC_13_a_guest_with_an_agent_can_be_frozen(world: World) -> None:
    vm = world.running()
    world.cloud.vms[vm].guest_agent = True
    world.snapshot(world.root(vm))
    world.vm_snapshot(vm, name="s")
    assert rows(world, vm) == {"s": ("Ready", True)}


def test_CS_VSC_13_with_the_setting_off_the_default_strategy_fails(world: World) -> None:
    world.cloud.configure("kvm.vmstoragesnapshot.enabled", False)
    vm = stopped(world)
    world.snapshot(world.root(vm))
    assert "Domain not found" in world.does("createVMSnapshot", virtualmachineid=vm).text


def test_CS_VSC_14_a_disk_without_pool_is_a_null_pointer(world: World) -> None:
    vm = stopped(world)
    world.cloud.hang(world.cloud.volumes[world.volume()], world.cloud.vms[vm], 1)
    assert world.now("createVMSnapshot", virtualmachineid=vm) == No("call", 530, MASKED)


def test_CS_VSC_15_volumes_are_snapshotting_meanwhile(world: World) -> None:
    vm = stopped(world)
    world.now("createVMSnapshot", virtualmachineid=vm)
    world.clock.advance(1)
    assert world.disk(world.root(vm))["state"] == "Snapshotting"
    world.clock.advance(2)
    assert world.disk(world.root(vm))["state"] == "Ready"


def test_CS_VSC_16_uefi_never_started_is_refused_where_the_release_knows_of_firmware() -> None:
    world = World(release="4.22.2.0")
    vm = world.rootless()
    world.cloud.vms[vm].details["UEFI"] = "LEGACY"
    world.done("attachVolume", id=world.ready(), virtualmachineid=vm, deviceid=0)
    refused = world.does("createVMSnapshot", virtualmachineid=vm, name="s")
    assert (refused.at, refused.code) == ("job", 530)
    assert f"Cannot create a disk-only snapshot for stopped UEFI VM [{vm}]" in refused.text
    assert rows(world, vm) == {"s": ("Error", None)}


def test_a_host_that_fails_leaves_an_error_row_and_ready_volumes(world: World) -> None:
    vm = stopped(world)
    world.cloud.faults.add("host-fails", "vmsnapshot")
    refused = world.does("createVMSnapshot", virtualmachineid=vm, name="s")
    assert refused.text.endswith(f"due to: Disk-only VM snapshot for VM [{vm}] failed.")
    assert rows(world, vm) == {"s": ("Error", None)}
    assert world.disk(world.root(vm))["state"] == "Ready"


@pytest.mark.parametrize(("kind", "release"), [("StorPool", "4.17.2.0"), ("Linstor", "4.19.3.0"), ("StorPool", "4.22.1.0")])
def test_CS_VSC_11_storage_with_its_own_means_snapshots_a_stopped_vm(kind: str, release: str) -> None:
    world = World(release=release)
    vm = stopped(world)
    world.pools(type=kind)
    world.vm_snapshot(vm, name="s")
    assert rows(world, vm) == {"s": ("Ready", True)}


# --- revert -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("memory", "said"),
    [pytest.param(False, ONLY_STOPPED, id="CS-VSR-01-disk"), pytest.param(True, ONLY_RUNNING, id="CS-VSR-01-memory")],
)
def test_disk_only_when_stopped_and_memory_only_when_running(world: World, memory: bool, said: str) -> None:
    vm = world.running()
    row = world.vm_snapshot(vm, snapshotmemory=memory)
    if memory:
        world.done("stopVirtualMachine", id=vm)
    assert world.does("revertToVMSnapshot", vmsnapshotid=row) == No("job", 431, said)


def test_CS_VSR_02_only_what_is_ready(world: World) -> None:
    vm = stopped(world)
    row = world.vm_snapshot(vm)
    world.cloud.vm_snapshots[row].state = "Error"
    said = "Instance Snapshot reverting failed because the Instance Snapshot is not in Created state."
    assert world.does("revertToVMSnapshot", vmsnapshotid=row) == No("job", 431, said)


def test_CS_VSR_03_not_during_another_task(world: World) -> None:
    vm = stopped(world)
    row = world.vm_snapshot(vm)
    first = world.submit("revertToVMSnapshot", vmsnapshotid=row)
    world.clock.advance(1)
    assert world.does("revertToVMSnapshot", vmsnapshotid=row) == No("job", 431, BUSY)
    assert world.ended(first)["jobstatus"] == 1


def test_CS_VSR_03_what_was_submitted_before_the_other_began_fails_in_its_turn(world: World) -> None:
    vm = stopped(world)
    row = world.vm_snapshot(vm)
    first = world.submit("revertToVMSnapshot", vmsnapshotid=row)
    world.cloud.vm_snapshots[world.now("createVMSnapshot", virtualmachineid=vm)["id"]].state = "Allocated"
    job = world.ended(first)
    said = "There is other active Instance Snapshot tasks on the Instance, please try again later"
    assert (job["jobresultcode"], job["jobresult"]["errortext"]) == (431, said)


def test_CS_VSR_04_the_disks_are_as_they_were_and_the_row_stays_ready(world: World) -> None:
    vm = stopped(world)
    root = world.root(vm)
    before = world.cloud.fingerprint(root)
    row = world.vm_snapshot(vm, name="s")
    overlay = world.disk(root)["path"]
    world.done("startVirtualMachine", id=vm)
    world.done("stopVirtualMachine", id=vm)
    assert world.cloud.fingerprint(root) != before
    for _ in range(2):
        world.done("revertToVMSnapshot", vmsnapshotid=row)
        assert world.cloud.fingerprint(root) == before
        assert rows(world, vm) == {"s": ("Ready", True)}
    assert world.disk(root)["path"] != overlay


def test_CS_VSR_04_offering_and_size_come_back_too(world: World) -> None:
    vm = stopped(world)
    row = world.vm_snapshot(vm)
    world.done("resizeVolume", id=world.root(vm), size=7)
    world.cloud.vms[vm].cpus = 4
    world.done("revertToVMSnapshot", vmsnapshotid=row)
    assert (world.disk(world.root(vm))["size"], world.vm(vm)["cpunumber"]) == (2 * 1024**3, 1)


def test_CS_VSR_05_a_host_that_fails_changes_nothing(world: World) -> None:
    vm = stopped(world)
    row = world.vm_snapshot(vm, name="s")
    root = world.root(vm)
    path, content = world.disk(root)["path"], world.cloud.fingerprint(root)
    world.cloud.faults.add("host-fails", "revert")
    assert world.does("revertToVMSnapshot", vmsnapshotid=row) == No("job", 530, f"Error reverting VM snapshot [{row}].")
    assert rows(world, vm) == {"s": ("Ready", True)}
    assert (world.disk(root)["path"], world.cloud.fingerprint(root)) == (path, content)


def test_CS_VSR_05_a_memory_snapshot_says_it_otherwise(world: World) -> None:
    vm = world.running()
    row = world.vm_snapshot(vm, snapshotmemory=True)
    world.cloud.faults.add("host-fails", "revert")
    told = world.cloud.vm_snapshots[row]
    said = f"Unable to revert VM {world.cloud.vms[vm].instance} to snapshot {told.name}."
    assert world.does("revertToVMSnapshot", vmsnapshotid=row) == No("job", 530, said)


# --- delete -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["Allocated", "Creating", "Reverting"], ids=lambda s: f"CS-VSD-01-{s}")
def test_only_ready_error_or_expunging_rows(world: World, state: str) -> None:
    vm = stopped(world)
    row = world.vm_snapshot(vm)
    stored = world.cloud.vm_snapshots[row]
    stored.state = state
    said = f"Can't delete the Instance Snapshotshot {stored.told()} due to it is not in Created or Error, or Expunging State"
    assert world.does("deleteVMSnapshot", vmsnapshotid=row) == No("job", 431, said)


def test_CS_VSD_02_the_row_goes_and_what_the_disks_hold_stays(world: World) -> None:
    vm = stopped(world)
    root = world.root(vm)
    base = world.disk(root)["path"]
    row = world.vm_snapshot(vm)
    world.done("startVirtualMachine", id=vm)
    world.done("stopVirtualMachine", id=vm)
    written = world.cloud.fingerprint(root)
    assert world.done("deleteVMSnapshot", vmsnapshotid=row) == {"success": True}
    assert (world.cloud.fingerprint(root), world.disk(root)["path"], rows(world, vm)) == (written, base, {})


def test_CS_VSD_03_file_based_a_failure_leaves_it_expunging(world: World) -> None:
    vm = stopped(world)
    row = world.vm_snapshot(vm, name="s")
    world.cloud.faults.add("host-fails", "merge")
    assert world.does("deleteVMSnapshot", vmsnapshotid=row) == No("job", 530, "Failed to delete Instance Snapshot")
    assert rows(world, vm) == {"s": ("Expunging", True)}


def test_CS_VSD_03_with_the_default_strategy_it_leaves_an_error(world: World) -> None:
    vm = world.running()
    row = world.vm_snapshot(vm, name="s", snapshotmemory=True)
    world.cloud.faults.add("host-fails", "merge")
    assert world.does("deleteVMSnapshot", vmsnapshotid=row).code == 530
    assert rows(world, vm)["s"][0] == "Error"


@pytest.mark.parametrize(
    ("release", "goes"),
    [
        pytest.param("4.17.2.0", True, id="CS-VSD-04-4.17"),
        pytest.param("4.18.2.5", False, id="CS-VSD-04-4.18.2.5"),
        pytest.param("4.19.0.0", True, id="CS-VSD-04-4.19.0"),
        pytest.param("4.19.3.0", False, id="CS-VSD-04-4.19.3"),
        pytest.param("4.20.1.0", False, id="CS-VSD-04-4.20.1"),
        pytest.param("4.20.2.0", True, id="CS-VSD-04-4.20.2"),
        pytest.param("4.21.0.0", False, id="CS-VSD-04-4.21"),
        pytest.param("4.22.1.0", True, id="CS-VSD-04-4.22.1"),
    ],
)
def test_an_error_row_of_a_stopped_vm_is_undeletable_in_some_releases(release: str, goes: bool) -> None:
    world = World(release=release)
    vm = stopped(world)
    world.snapshot(world.root(vm))
    row = world.vm_snapshot(vm, name="s")
    assert rows(world, vm) == {"s": ("Error", None)}
    world.does("deleteVMSnapshot", vmsnapshotid=row)
    assert rows(world, vm) == ({} if goes else {"s": ("Error", None)})


def test_CS_VSD_04_with_a_raw_root_it_is_undeletable_everywhere(world: World) -> None:
    vm = stopped(world)
    world.snapshot(world.root(vm))
    row = world.vm_snapshot(vm)
    world.cloud.volumes[world.root(vm)].format = "RAW"
    assert world.does("deleteVMSnapshot", vmsnapshotid=row).code == 530


def test_CS_VSD_05_an_error_row_of_a_running_vm_goes() -> None:
    world = World(release="4.21.0.0")
    vm = stopped(world)
    world.snapshot(world.root(vm))
    row = world.vm_snapshot(vm)
    world.done("startVirtualMachine", id=vm)
    assert world.done("deleteVMSnapshot", vmsnapshotid=row) == {"success": True}


def test_CS_VSD_06_an_expunging_row_goes_at_the_next_try_and_blocks_until_then(world: World) -> None:
    vm = stopped(world)
    row = world.vm_snapshot(vm)
    world.cloud.faults.add("host-fails", "merge")
    world.does("deleteVMSnapshot", vmsnapshotid=row)
    assert world.does("revertToVMSnapshot", vmsnapshotid=row) == No("job", 431, BUSY)
    assert world.now("createVMSnapshot", virtualmachineid=vm) == No("call", 530, NEW + BUSY)
    assert world.does("detachVolume", id=world.root(vm)).code == 431
    world.done("startVirtualMachine", id=vm)
    world.done("stopVirtualMachine", id=vm)
    assert world.done("deleteVMSnapshot", vmsnapshotid=row) == {"success": True}


def test_CS_VSD_07_a_reverting_row_left_by_a_restart_stays(world: World) -> None:
    vm = stopped(world)
    row = world.vm_snapshot(vm, name="s")
    world.submit("revertToVMSnapshot", vmsnapshotid=row)
    world.clock.advance(1)
    world.cloud.restart()
    assert rows(world, vm)["s"][0] == "Reverting"
    assert world.does("revertToVMSnapshot", vmsnapshotid=row) == No("job", 431, BUSY)
    assert world.does("deleteVMSnapshot", vmsnapshotid=row).code == 431


# --- trees ------------------------------------------------------------------------------------------------------------


def test_deleting_the_current_one_makes_its_parent_current(world: World) -> None:
    vm = stopped(world)
    ids = {name: world.vm_snapshot(vm, name=name) for name in ("one", "two", "three")}
    assert rows(world, vm) == {"one": ("Ready", False), "two": ("Ready", False), "three": ("Ready", True)}
    world.done("deleteVMSnapshot", vmsnapshotid=ids["three"])
    assert rows(world, vm) == {"one": ("Ready", False), "two": ("Ready", True)}


def test_deleting_one_in_the_middle_ties_its_child_to_its_parent(world: World) -> None:
    vm = stopped(world)
    ids = {name: world.vm_snapshot(vm, name=name) for name in ("one", "two", "three")}
    world.done("deleteVMSnapshot", vmsnapshotid=ids["two"])
    last = next(r for r in world.now("listVMSnapshot", virtualmachineid=vm)["vmSnapshot"] if r["displayname"] == "three")
    assert (last["parent"], last["parentName"]) == (ids["one"], "one")


def test_CS_VSL_01_the_current_one_with_a_child_hides_and_goes_with_its_child(world: World) -> None:
    vm = stopped(world)
    one, two = world.vm_snapshot(vm, name="one"), world.vm_snapshot(vm, name="two")
    world.done("revertToVMSnapshot", vmsnapshotid=one)
    world.done("deleteVMSnapshot", vmsnapshotid=one)
    assert rows(world, vm) == {"two": ("Ready", False)}
    assert world.cloud.vm_snapshots[one].state == "Hidden"
    assert world.does("attachVolume", id=world.ready(), virtualmachineid=vm).code == 431
    world.done("deleteVMSnapshot", vmsnapshotid=two)
    assert world.cloud.snapshot_rows(world.cloud.vms[vm]) == []
    assert world.disk(world.root(vm))["path"] == world.root(vm)
    world.done("attachVolume", id=world.ready("more"), virtualmachineid=vm)


# --- list -------------------------------------------------------------------------------------------------------------


def test_CS_VSL_01_the_key_is_vmSnapshot_in_lists_and_vmsnapshot_in_jobs(world: World) -> None:
    vm = stopped(world)
    done = world.done("createVMSnapshot", virtualmachineid=vm)
    assert done.keys() == {"vmsnapshot"}
    assert world.now("listVMSnapshot", virtualmachineid=vm).keys() == {"count", "vmSnapshot"}


def test_CS_VSL_02_the_vm_is_named_by_its_display_name(world: World) -> None:
    vm = stopped(world)
    world.now("updateVirtualMachine", id=vm, displayname="shown so")
    world.vm_snapshot(vm)
    assert world.now("listVMSnapshot", virtualmachineid=vm)["vmSnapshot"][0]["virtualmachinename"] == "shown so"


def test_pools_of_the_vm_do_not_change_by_snapshots(world: World) -> None:
    vm = stopped(world)
    world.vm_snapshot(vm)
    assert world.disk(world.root(vm))["storageid"] == POOL
