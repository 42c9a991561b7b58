"""The invariants in the lowest layer: each forbidden call is stopped here, and the server hears of no change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.cloudstack.client import Writer
from reconciler.cloudstack.errors import InvariantViolated, LookFailed
from reconciler.cloudstack.outcomes import Accepted, CallOutcome, Done, Refused
from reconciler.cloudstack.permit import Permit
from tests.reconciler.cloudstack.conftest import NOW
from tests.reconciler.cloudstack.odd_server import Reply, envelope, error, odd_server


def made(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


APPLIANCE, GUEST, STRANGER = made(0xA), made(0xB), made(0xC)
APPLIANCE_ROOT, ROOT, R1, R2, OTHERS, FOREIGN = (made(n) for n in (1, 2, 3, 4, 5, 6))
POINT, OTHERS_POINT, UNKNOWN_POINT = made(0x51), made(0x52), made(0x53)
WHOLE, OTHERS_WHOLE, C1, C2 = made(0x61), made(0x62), made(0x71), made(0x72)
TEST_NET, LAN, ZONE, TEMPLATE, OFFERING, JOB = (made(n) for n in (0xE1, 0xE2, 0xE3, 0xE4, 0xE5, 0xE6))

PERMIT = Permit(
    run_id="run-1",
    kind="test",
    replicas=frozenset({R1, R2}),
    protected=frozenset({R1, R2, OTHERS}),
    appliances=frozenset({APPLIANCE}),
    guest_id=GUEST,
    guest_name="guest-1",
    default_root_id=ROOT,
    allowed_networks=frozenset({TEST_NET}),
    guest_devices={R1: 0, R2: 1},
    snapshots={POINT: False},
    points_ready=True,
    replication_idle=True,
)

World = dict[str, dict[str, Any]]


def volume(volume_id: str, vm: str | None, device: int | None, **changes: Any) -> World:
    kind = "ROOT" if device == 0 else "DATADISK"
    row = {"id": volume_id, "name": volume_id[-2:], "state": "Ready", "type": kind, "size": 1, "zoneid": ZONE}
    where = {"virtualmachineid": vm, "deviceid": device} if vm else {}
    return {volume_id: {**row, **where, **changes}}


def machine(vm: str, name: str, *networks: str) -> World:
    nics = [{"id": made(0xF0 + i), "networkid": n, "isdefault": i == 0} for i, n in enumerate(networks)]
    return {vm: {"id": vm, "name": name, "displayname": name, "state": "Stopped", "zoneid": ZONE, "nic": nics}}


def snapshot(snapshot_id: str, of: str, state: str = "BackedUp") -> World:
    return {snapshot_id: {"id": snapshot_id, "name": "s", "volumeid": of, "state": state}}


def vm_snapshot(snapshot_id: str, of: str, state: str = "Ready") -> World:
    row = {"id": snapshot_id, "name": "i-2-VM", "displayname": "whole", "virtualmachineid": of, "state": state}
    return {snapshot_id: {**row, "current": True}}


AT_HOME: World = {
    **machine(APPLIANCE, "appliance", LAN),
    **machine(GUEST, "guest-1", TEST_NET),
    **volume(APPLIANCE_ROOT, APPLIANCE, 0),
    **volume(R1, APPLIANCE, 1),
    **volume(R2, APPLIANCE, 2),
    **volume(OTHERS, APPLIANCE, 4),
    **volume(ROOT, GUEST, 0),
    **volume(FOREIGN, STRANGER, 1),
    **snapshot(POINT, R1),
    **snapshot(OTHERS_POINT, OTHERS),
}
READY: World = {**AT_HOME, **volume(R1, GUEST, 0), **volume(R2, GUEST, 1), **volume(ROOT, None, None)}
EMPTY: World = {**AT_HOME, **volume(ROOT, None, None)}
CLONES: dict[str, Any] = {"clones": frozenset({C1, C2}), "guest_devices": {C1: 0, C2: 1}}
CLONED: World = {**AT_HOME, **volume(C1, GUEST, 0), **volume(C2, GUEST, 1), **volume(ROOT, None, None)}
LOOSE: World = {**CLONED, **volume(C1, None, None), **volume(C2, None, None)}
SNAPPED: World = {**READY, **vm_snapshot(WHOLE, GUEST)}
OURS: dict[str, Any] = {"guest_snapshot_id": WHOLE}
DONE: dict[str, Any] = {**OURS, "guest_snapshot_releasable": True}
LISTS = {
    "listVolumes": "volume",
    "listVirtualMachines": "virtualmachine",
    "listSnapshots": "snapshot",
    "listVMSnapshot": "vmSnapshot",
    "listSnapshotPolicies": "snapshotpolicy",
    "listAsyncJobs": "asyncjobs",
}


MARKS = {
    "volume": "size",
    "virtualmachine": "nic",
    "snapshot": "volumeid",
    "vmSnapshot": "current",
    "snapshotpolicy": "maxsnaps",
    "asyncjobs": "jobid",
}


def cloud(world: World) -> Callable[[dict[str, str]], Reply]:
    """Just enough of a server: lists of what is in the world, and a job for everything else."""

    def belongs(row: dict[str, Any], member: str) -> bool:
        return row.get("of", member) == member and MARKS[member] in row

    def answer(asked: dict[str, str]) -> Reply:
        member = LISTS.get(asked["command"])
        if member is None:
            return envelope({"success": True} if asked["command"] == "deleteVolume" else {"jobid": asked["customjobid"]})
        wanted = {k: asked[k] for k in ("id", "virtualmachineid", "volumeid") if k in asked}
        rows = [r for r in world.values() if belongs(r, member) and all(r.get(k) == v for k, v in wanted.items())]
        return envelope({"count": len(rows), member: rows} if rows else {})

    return answer


def deploy(writer: Writer, name: str = "guest-1", networks: tuple[str, ...] = (TEST_NET,)) -> CallOutcome:
    return writer.deploy(name, name, ZONE, TEMPLATE, OFFERING, networks, 2, 512, uefi=False, job_id=JOB)


Call = Callable[[Writer], CallOutcome]
Case = tuple[str, str, dict[str, Any], World, Call]

FORBIDDEN: list[Case] = [
    # INV-01, 02: replicas stay, and hang where they belong
    ("a replica is never deleted", "INV-02", {}, AT_HOME, lambda w: w.delete_volume(R1)),
    ("a replica of another VM is never deleted", "INV-02", {}, AT_HOME, lambda w: w.delete_volume(OTHERS)),
    ("what is recorded as root by mistake is kept when protected", "INV-02", {"default_root_id": OTHERS}, AT_HOME,
     lambda w: w.delete_volume(OTHERS)),
    ("a stranger's volume is never deleted", "INV-02", {}, AT_HOME, lambda w: w.delete_volume(FOREIGN)),
    ("no root is deleted that was not recorded", "INV-02", {"default_root_id": None}, AT_HOME,
     lambda w: w.delete_volume(ROOT)),
    ("a replica is not taken off a stranger", "INV-01", {}, {**AT_HOME, **volume(R1, STRANGER, 1)},
     lambda w: w.detach(R1, JOB)),
    ("a replica gets its own device on the guest", "INV-01", {}, EMPTY, lambda w: w.attach(R1, GUEST, 1, JOB)),
    ("another VM's replica is not detached", "INV-11", {}, AT_HOME, lambda w: w.detach(OTHERS, JOB)),
    ("a stranger's volume is not detached", "INV-11", {}, AT_HOME, lambda w: w.detach(FOREIGN, JOB)),
    ("another VM's replica is not attached", "INV-11", {}, EMPTY, lambda w: w.attach(OTHERS, GUEST, 0, JOB)),
    ("a replica is not hung on a stranger", "INV-11", {}, EMPTY, lambda w: w.attach(R1, STRANGER, 0, JOB)),
    # INV-03: nothing protected goes with a VM
    ("no VM goes with a replica on it", "INV-03", {}, {**AT_HOME, **volume(R2, GUEST, 1)},
     lambda w: w.destroy(GUEST, True, JOB)),
    ("no VM goes with a replica as its root", "INV-03", {}, READY, lambda w: w.destroy(GUEST, False, JOB)),
    ("no VM goes with another VM's replica on it", "INV-03", {}, {**EMPTY, **volume(OTHERS, GUEST, 2)},
     lambda w: w.destroy(GUEST, True, JOB)),
    ("no VM goes with a root that it did not bring", "INV-02", {}, {**EMPTY, **volume(FOREIGN, GUEST, 0)},
     lambda w: w.destroy(GUEST, True, JOB)),
    # INV-04: appliances
    ("an appliance is not started", "INV-04", {}, READY, lambda w: w.start(APPLIANCE, JOB)),
    ("an appliance is not stopped", "INV-04", {}, AT_HOME, lambda w: w.stop(APPLIANCE, False, JOB)),
    ("an appliance is not destroyed", "INV-04", {}, AT_HOME, lambda w: w.destroy(APPLIANCE, True, JOB)),
    ("an appliance is not the guest even if recorded so", "INV-04", {"guest_id": APPLIANCE}, AT_HOME,
     lambda w: w.destroy(APPLIANCE, True, JOB)),
    ("nothing is attached at an appliance's device 0", "INV-04", {}, EMPTY, lambda w: w.attach(R1, APPLIANCE, 0, JOB)),
    ("nothing is attached at the CD-ROM's device", "INV-04", {}, EMPTY, lambda w: w.attach(R1, APPLIANCE, 3, JOB)),
    ("nothing is attached at a device that there is not", "INV-04", {}, EMPTY,
     lambda w: w.attach(R1, APPLIANCE, -1, JOB)),
    ("an appliance's root is not detached even if recorded as a replica", "INV-04",
     {"replicas": frozenset({APPLIANCE_ROOT})}, AT_HOME, lambda w: w.detach(APPLIANCE_ROOT, JOB)),
    ("an appliance's root is not detached even if recorded as blank", "INV-04", {"default_root_id": APPLIANCE_ROOT},
     AT_HOME, lambda w: w.detach(APPLIANCE_ROOT, JOB)),
    ("what is recorded as blank root is not taken off an appliance", "INV-11", {"default_root_id": OTHERS}, AT_HOME,
     lambda w: w.detach(OTHERS, JOB)),
    ("an appliance is not tagged", "INV-11", {"guest_id": APPLIANCE}, AT_HOME,
     lambda w: w.tag("UserVm", APPLIANCE, {"a": "b"}, JOB)),
    # other people's VMs
    ("a stranger's VM is not stopped", "INV-11", {}, AT_HOME, lambda w: w.stop(STRANGER, True, JOB)),
    ("a stranger's VM is not started", "INV-11", {}, AT_HOME, lambda w: w.start(STRANGER, JOB)),
    ("a stranger's VM is not destroyed", "INV-11", {}, AT_HOME, lambda w: w.destroy(STRANGER, True, JOB)),
    ("no VM is touched while the guest is not known", "INV-11", {"guest_id": None}, AT_HOME,
     lambda w: w.stop(GUEST, False, JOB)),
    # INV-05: rollback points
    ("a rollback point stays until its revert is confirmed", "INV-05", {}, AT_HOME,
     lambda w: w.delete_snapshot(POINT, JOB)),
    ("another run's snapshot is not deleted", "INV-05", {}, AT_HOME, lambda w: w.delete_snapshot(OTHERS_POINT, JOB)),
    ("another run's snapshot is not reverted to", "INV-05", {}, AT_HOME,
     lambda w: w.revert_snapshot(OTHERS_POINT, JOB)),
    ("a snapshot of another VM's disk is not reverted to", "INV-05", {"snapshots": {OTHERS_POINT: False}}, AT_HOME,
     lambda w: w.revert_snapshot(OTHERS_POINT, JOB)),
    ("a snapshot that is not there is not reverted to", "INV-05", {"snapshots": {UNKNOWN_POINT: False}}, AT_HOME,
     lambda w: w.revert_snapshot(UNKNOWN_POINT, JOB)),
    ("a snapshot that is not ready is not reverted to", "INV-07", {}, {**AT_HOME, **snapshot(POINT, R1, "Creating")},
     lambda w: w.revert_snapshot(POINT, JOB)),
    ("no snapshot is made of a stranger's volume", "INV-11", {}, AT_HOME,
     lambda w: w.create_snapshot(FOREIGN, "p", {}, JOB)),
    # clones
    ("a clone is not hung on an appliance", "INV-04", CLONES, LOOSE, lambda w: w.attach(C1, APPLIANCE, 5, JOB)),
    ("a clone is not hung on a stranger", "INV-11", CLONES, LOOSE, lambda w: w.attach(C1, STRANGER, 0, JOB)),
    ("a clone gets its own device", "INV-01", CLONES, LOOSE, lambda w: w.attach(C1, GUEST, 1, JOB)),
    ("a clone of another run is not attached", "INV-11", {}, LOOSE, lambda w: w.attach(C1, GUEST, 0, JOB)),
    ("a clone of another run is not deleted", "INV-02", {}, LOOSE, lambda w: w.delete_volume(C1)),
    ("what is recorded as a clone by mistake is kept when it is a replica", "INV-02", {"clones": frozenset({R1})}, AT_HOME,
     lambda w: w.delete_volume(R1)),
    ("what is recorded as a clone by mistake is kept when it is another VM's replica", "INV-02",
     {"clones": frozenset({OTHERS})}, AT_HOME, lambda w: w.delete_volume(OTHERS)),
    ("a clone is not taken off a stranger", "INV-01", CLONES, {**LOOSE, **volume(C1, STRANGER, 1)},
     lambda w: w.detach(C1, JOB)),
    ("no clone is made of another run's snapshot", "INV-11", {}, AT_HOME, lambda w: w.clone(OTHERS_POINT, "c", ZONE, JOB)),
    ("no clone is made of another VM's disk", "INV-05", {"snapshots": {OTHERS_POINT: False}}, AT_HOME,
     lambda w: w.clone(OTHERS_POINT, "c", ZONE, JOB)),
    ("no clone is made of a snapshot that is not ready", "INV-07", {}, {**AT_HOME, **snapshot(POINT, R1, "BackingUp")},
     lambda w: w.clone(POINT, "c", ZONE, JOB)),
    ("a clone needs a name to be found by", "CS-VOL", {}, AT_HOME, lambda w: w.clone(POINT, "", ZONE, JOB)),
    ("no guest starts on a clone of some disks only", "INV-06", {"clones": frozenset({C1}), "guest_devices": {C1: 0}},
     {**LOOSE, **volume(C1, GUEST, 0)}, lambda w: w.start(GUEST, JOB)),
    ("no guest starts with a replica beside its clones", "INV-06", CLONES, {**CLONED, **volume(R1, GUEST, 4)},
     lambda w: w.start(GUEST, JOB)),
    ("no VM goes with a replica beside its clones", "INV-03", CLONES, {**CLONED, **volume(R1, GUEST, 4)},
     lambda w: w.destroy(GUEST, True, JOB)),
    ("no VM goes with another run's clone as its root", "INV-02", {}, CLONED, lambda w: w.destroy(GUEST, True, JOB)),
    # VM snapshots: of the guest only, and only while they protect what they say
    ("an appliance is not snapshotted", "INV-04", {}, READY, lambda w: w.snapshot_guest(APPLIANCE, "whole", JOB)),
    ("a stranger is not snapshotted", "INV-11", {}, READY, lambda w: w.snapshot_guest(STRANGER, "whole", JOB)),
    ("a guest has one VM snapshot", "CS-VSC", OURS, SNAPPED, lambda w: w.snapshot_guest(GUEST, "again", JOB)),
    ("a VM snapshot needs a name to be found by", "CS-VSC", {}, READY, lambda w: w.snapshot_guest(GUEST, "", JOB)),
    ("no VM snapshot is made before all disks hang", "INV-06", {}, {**READY, **volume(R2, APPLIANCE, 2)},
     lambda w: w.snapshot_guest(GUEST, "whole", JOB)),
    ("no VM snapshot is made with a disk too many", "INV-06", {}, {**READY, **volume(FOREIGN, GUEST, 4)},
     lambda w: w.snapshot_guest(GUEST, "whole", JOB)),
    ("no VM snapshot is made under running replication", "INV-10", {"replication_idle": False}, READY,
     lambda w: w.snapshot_guest(GUEST, "whole", JOB)),
    ("another run's VM snapshot is not reverted to", "INV-05", OURS, {**SNAPPED, **vm_snapshot(OTHERS_WHOLE, GUEST)},
     lambda w: w.revert_guest(OTHERS_WHOLE, JOB)),
    ("a VM snapshot of another VM is not reverted to", "INV-05", OURS, {**READY, **vm_snapshot(WHOLE, STRANGER)},
     lambda w: w.revert_guest(WHOLE, JOB)),
    ("a VM snapshot that is gone is not reverted to", "INV-05", OURS, READY, lambda w: w.revert_guest(WHOLE, JOB)),
    ("a VM snapshot stays until its revert is confirmed: deleting it keeps what was written", "INV-05", OURS, SNAPPED,
     lambda w: w.delete_guest_snapshot(WHOLE, JOB)),
    ("another run's VM snapshot is not deleted", "INV-05", DONE, {**SNAPPED, **vm_snapshot(OTHERS_WHOLE, GUEST)},
     lambda w: w.delete_guest_snapshot(OTHERS_WHOLE, JOB)),
    ("a VM snapshot of another VM is not deleted", "INV-05", DONE, {**READY, **vm_snapshot(WHOLE, STRANGER)},
     lambda w: w.delete_guest_snapshot(WHOLE, JOB)),
    ("a bare number is never sent as a VM snapshot's id", "INV-11", {"guest_snapshot_id": "7"}, READY,
     lambda w: w.revert_guest("7", JOB)),
    # INV-06, 07, 08, 10: the start
    ("no guest starts without all its disks", "INV-06", {}, {**READY, **volume(R2, APPLIANCE, 2)},
     lambda w: w.start(GUEST, JOB)),
    ("no guest starts without a root", "INV-06", {}, EMPTY, lambda w: w.start(GUEST, JOB)),
    ("no guest starts with its blank root", "INV-06", {}, AT_HOME, lambda w: w.start(GUEST, JOB)),
    ("no guest starts with a disk at another device", "INV-06", {}, {**READY, **volume(R2, GUEST, 2)},
     lambda w: w.start(GUEST, JOB)),
    ("no guest starts with a disk too many", "INV-06", {}, {**READY, **volume(FOREIGN, GUEST, 4)},
     lambda w: w.start(GUEST, JOB)),
    ("no guest starts with a disk still on its way", "INV-06", {}, {**READY, **volume(R2, GUEST, 1, state="Attaching")},
     lambda w: w.start(GUEST, JOB)),
    ("no guest starts with a root that is of type data", "INV-06", {},
     {**READY, **volume(R1, GUEST, 0, type="DATADISK")}, lambda w: w.start(GUEST, JOB)),
    ("no guest starts when a replica has no device planned", "INV-06", {"guest_devices": {R1: 0}},
     {**READY, **volume(R2, APPLIANCE, 2)}, lambda w: w.start(GUEST, JOB)),
    ("no guest starts when none is planned as root", "INV-06", {"guest_devices": {R1: 1, R2: 2}},
     {**READY, **volume(R1, GUEST, 1), **volume(R2, GUEST, 2)}, lambda w: w.start(GUEST, JOB)),
    ("no guest starts before its rollback points are ready", "INV-07", {"points_ready": False}, READY,
     lambda w: w.start(GUEST, JOB)),
    ("no guest starts on a network that is not allowed", "INV-08", {},
     {**READY, **machine(GUEST, "guest-1", TEST_NET, LAN)}, lambda w: w.start(GUEST, JOB)),
    ("no guest starts that is not to be seen", "INV-08", {}, {k: v for k, v in READY.items() if k != GUEST},
     lambda w: w.start(GUEST, JOB)),
    ("no guest starts whose deployment failed", "CS-DEP", {}, {**READY, GUEST: {**READY[GUEST], "state": "Error"}},
     lambda w: w.start(GUEST, JOB)),
    ("no guest starts under running replication", "INV-10", {"replication_idle": False}, READY,
     lambda w: w.start(GUEST, JOB)),
    ("no replica leaves under running replication", "INV-10", {"replication_idle": False}, AT_HOME,
     lambda w: w.detach(R1, JOB)),
    ("no rollback point is made under running replication", "INV-10", {"replication_idle": False}, AT_HOME,
     lambda w: w.create_snapshot(R1, "p", {}, JOB)),
    ("no replica goes to the guest under running replication", "INV-10", {"replication_idle": False}, EMPTY,
     lambda w: w.attach(R1, GUEST, 0, JOB)),
    # INV-08, 12: the deploy
    ("no guest is made on a network that is not allowed", "INV-08", {"guest_id": None}, AT_HOME,
     lambda w: deploy(w, networks=(TEST_NET, LAN))),
    ("no guest is made without a network: the server would choose one", "INV-08", {"guest_id": None}, AT_HOME,
     lambda w: deploy(w, networks=())),
    ("no guest is made where none is allowed", "INV-08", {"guest_id": None, "allowed_networks": frozenset()}, AT_HOME,
     deploy),
    ("a run makes one guest", "INV-12", {}, AT_HOME, deploy),
    ("a guest has the run's name", "INV-11", {"guest_id": None}, AT_HOME, lambda w: deploy(w, name="other")),
    ("a guest's name is a host name", "INV-11", {"guest_id": None, "guest_name": "1-starts-with-a-digit"}, AT_HOME,
     lambda w: deploy(w, name="1-starts-with-a-digit")),
    # traps of CloudStack
    ("a bare number is never sent as an id", "INV-11", {"default_root_id": "17"}, AT_HOME,
     lambda w: w.delete_volume("17")),
    ("a name is never sent as a zone", "INV-11", {"guest_id": None}, AT_HOME,
     lambda w: w.deploy("guest-1", "", "zone-one", TEMPLATE, OFFERING, (TEST_NET,), 1, 512, False, JOB)),
    ("an upper-case job id would leave an orphan", "INV-11", {}, AT_HOME, lambda w: w.stop(GUEST, False, JOB.upper())),
    ("a malformed job id would leave an orphan", "INV-11", {}, AT_HOME, lambda w: w.stop(GUEST, False, "job-1")),
    ("a tag value over 255 would be cut off", "CS-TAG", {}, AT_HOME,
     lambda w: w.tag("UserVm", GUEST, {"k": "v" * 256}, JOB)),
    ("an empty tag value fails in the job", "CS-TAG", {}, AT_HOME,
     lambda w: w.create_snapshot(R1, "p", {"k": ""}, JOB)),
    ("tag keys that differ in case only are one key", "CS-TAG", {}, AT_HOME,
     lambda w: w.tag("UserVm", GUEST, {"k": "1", "K": "2"}, JOB)),
    ("a VM is tagged as UserVm", "CS-TAG", {}, AT_HOME, lambda w: w.tag("VirtualMachine", GUEST, {"k": "v"}, JOB)),
    ("a stranger's VM is not tagged", "INV-11", {}, AT_HOME, lambda w: w.tag("UserVm", STRANGER, {"k": "v"}, JOB)),
    ("another VM's replica is not tagged", "INV-11", {}, AT_HOME, lambda w: w.tag("Volume", OTHERS, {"k": "v"}, JOB)),
    ("a snapshot needs a name to be found by", "CS-SNP", {}, AT_HOME, lambda w: w.create_snapshot(R1, "", {}, JOB)),
    ("control characters are not sent", "CS-WIR-16", {}, AT_HOME, lambda w: w.create_snapshot(R1, "a\x00b", {}, JOB)),
]  # fmt: skip


@pytest.mark.parametrize(("inv", "changes", "world", "call"), [c[1:] for c in FORBIDDEN], ids=[c[0] for c in FORBIDDEN])
def test_it_is_stopped_before_anything_is_sent(client_for, inv, changes, world, call):
    with odd_server(cloud(world)) as server:
        writer = client_for(server.url).writer(replace(PERMIT, **changes))
        with pytest.raises(InvariantViolated) as stopped:
            call(writer)
    assert stopped.value.inv == inv
    assert set(server.commands()) <= set(LISTS)


NEW = {"guest_id": None}
ALLOWED: list[tuple[str, dict[str, Any], World, Call, dict[str, str]]] = [
    ("deployVirtualMachine", NEW, AT_HOME, deploy, {
        "name": "guest-1", "displayname": "guest-1", "zoneid": ZONE, "templateid": TEMPLATE,
        "serviceofferingid": OFFERING, "networkids": TEST_NET, "startvm": "false",
        "details[0].cpuNumber": "2", "details[0].memory": "512",
        "boottype": "BIOS", "bootmode": "LEGACY",
    }),
    ("createTags", {}, AT_HOME, lambda w: w.tag("UserVm", GUEST, {"k": "v ~ ä"}, JOB),
     {"resourceids": GUEST, "resourcetype": "UserVm", "tags[0].key": "k", "tags[0].value": "v ~ ä"}),
    ("createTags", {}, AT_HOME, lambda w: w.tag("Volume", R1, {"k": "v"}, JOB), {"resourcetype": "Volume"}),
    ("createTags", {}, AT_HOME, lambda w: w.tag("Snapshot", POINT, {"k": "v"}, JOB), {"resourcetype": "Snapshot"}),
    ("startVirtualMachine", {}, READY, lambda w: w.start(GUEST, JOB), {"id": GUEST}),
    ("stopVirtualMachine", {}, READY, lambda w: w.stop(GUEST, False, JOB), {"id": GUEST, "forced": "false"}),
    ("destroyVirtualMachine", {}, EMPTY, lambda w: w.destroy(GUEST, True, JOB), {"id": GUEST, "expunge": "true"}),
    ("destroyVirtualMachine", {}, AT_HOME, lambda w: w.destroy(GUEST, False, JOB), {"expunge": "false"}),
    ("destroyVirtualMachine", {"default_root_id": None}, AT_HOME, lambda w: w.destroy(GUEST, True, JOB), {}),
    ("attachVolume", {}, EMPTY, lambda w: w.attach(R1, GUEST, 0, JOB), {"deviceid": "0", "virtualmachineid": GUEST}),
    ("attachVolume", {"replication_idle": False}, READY, lambda w: w.attach(R1, APPLIANCE, 5, JOB), {"deviceid": "5"}),
    ("detachVolume", {}, AT_HOME, lambda w: w.detach(R1, JOB), {"id": R1}),
    ("detachVolume", {}, AT_HOME, lambda w: w.detach(ROOT, JOB), {"id": ROOT}),
    ("detachVolume", {"replication_idle": False}, READY, lambda w: w.detach(R1, JOB), {"id": R1}),
    ("createSnapshot", {}, AT_HOME, lambda w: w.create_snapshot(R1, "point", {"k": "v"}, JOB),
     {"volumeid": R1, "name": "point", "tags[0].key": "k", "tags[0].value": "v"}),
    ("revertSnapshot", {}, AT_HOME, lambda w: w.revert_snapshot(POINT, JOB), {"id": POINT}),
    ("deleteSnapshot", {"snapshots": {POINT: True}}, AT_HOME, lambda w: w.delete_snapshot(POINT, JOB), {"id": POINT}),
    ("createVolume", {}, AT_HOME, lambda w: w.clone(POINT, "c", ZONE, JOB),
     {"snapshotid": POINT, "name": "c", "zoneid": ZONE}),
    ("attachVolume", CLONES, LOOSE, lambda w: w.attach(C1, GUEST, 0, JOB), {"id": C1, "deviceid": "0"}),
    ("attachVolume", {**CLONES, "replication_idle": False}, LOOSE, lambda w: w.attach(C2, GUEST, 1, JOB), {"id": C2}),
    ("detachVolume", CLONES, CLONED, lambda w: w.detach(C1, JOB), {"id": C1}),
    ("startVirtualMachine", {**CLONES, "replication_idle": False}, CLONED, lambda w: w.start(GUEST, JOB), {"id": GUEST}),
    ("destroyVirtualMachine", CLONES, CLONED, lambda w: w.destroy(GUEST, True, JOB), {"id": GUEST}),
    ("createTags", CLONES, CLONED, lambda w: w.tag("Volume", C1, {"k": "v"}, JOB), {"resourceids": C1}),
    ("createVMSnapshot", {}, READY, lambda w: w.snapshot_guest(GUEST, "whole", JOB),
     {"virtualmachineid": GUEST, "name": "whole", "snapshotmemory": "false"}),
    ("revertToVMSnapshot", OURS, SNAPPED, lambda w: w.revert_guest(WHOLE, JOB), {"vmsnapshotid": WHOLE}),
    ("deleteVMSnapshot", DONE, SNAPPED, lambda w: w.delete_guest_snapshot(WHOLE, JOB), {"vmsnapshotid": WHOLE}),
    ("deleteVMSnapshot", DONE, {**READY, **vm_snapshot(WHOLE, GUEST, "Error")},
     lambda w: w.delete_guest_snapshot(WHOLE, JOB), {"vmsnapshotid": WHOLE}),
]  # fmt: skip


@pytest.mark.parametrize(("command", "changes", "world", "call", "arguments"), ALLOWED)
def test_what_is_allowed_is_sent_once_under_our_own_job_id(client_for, command, changes, world, call, arguments):
    with odd_server(cloud(world)) as server:
        assert call(client_for(server.url).writer(replace(PERMIT, **changes))) == Accepted(JOB)
    (sent,) = [p for p in server.received if p["command"] not in LISTS]
    assert sent["command"] == command
    assert {**sent, **arguments, "customjobid": JOB} == sent
    assert not {"cleanupdetails", "customid"} & set(sent)


@pytest.mark.parametrize(("command", "changes", "world", "call", "arguments"), ALLOWED)
def test_nothing_is_sent_once_the_lease_has_lapsed_however_long_the_looks_before_it_took(
    client_for, command, changes, world, call, arguments
):
    with odd_server(cloud(world)) as server:
        told = call(client_for(server.url).writer(replace(PERMIT, until=NOW, **changes)))
        assert isinstance(told, Refused)
        assert (told.code, told.retryable) == (0, True)
        assert command not in server.commands()
        last_moment = NOW + timedelta(microseconds=1)
        assert call(client_for(server.url).writer(replace(PERMIT, until=last_moment, **changes))) == Accepted(JOB)


RUNNING: World = {GUEST: {**READY[GUEST], "state": "Running"}}
HELD_BACK: list[tuple[str, dict[str, Any], World, Call, bool]] = [
    ("a VM snapshot of somebody blocks an attach", {}, {**EMPTY, **vm_snapshot(OTHERS_WHOLE, GUEST)},
     lambda w: w.attach(R1, GUEST, 0, JOB), False),
    ("a failed VM snapshot blocks an attach too", {}, {**READY, **vm_snapshot(OTHERS_WHOLE, APPLIANCE, "Error")},
     lambda w: w.attach(R1, APPLIANCE, 5, JOB), False),
    ("a VM snapshot blocks a detach", OURS, SNAPPED, lambda w: w.detach(R1, JOB), False),
    ("a VM snapshot of somebody blocks ours", {}, {**READY, **vm_snapshot(OTHERS_WHOLE, GUEST)},
     lambda w: w.snapshot_guest(GUEST, "whole", JOB), False),
    ("a VM snapshot of its VM blocks the snapshot of a replica", {}, {**AT_HOME, **vm_snapshot(OTHERS_WHOLE, APPLIANCE)},
     lambda w: w.create_snapshot(R1, "p", {}, JOB), False),
    ("no second detach is sent behind the first", {}, {**AT_HOME, **volume(R1, APPLIANCE, 1, jobid=JOB, jobstatus=0)},
     lambda w: w.detach(R1, JOB), True),
    ("what is on its way to a VM does not hang nowhere", {}, {**EMPTY, **volume(R1, None, None, jobid=JOB, jobstatus=0)},
     lambda w: w.detach(R1, JOB), True),
    ("no attach is sent behind a detach", {}, {**AT_HOME, **volume(R1, APPLIANCE, 1, jobid=JOB, jobstatus=0)},
     lambda w: w.attach(R1, GUEST, 0, JOB), True),
    ("a policy that would snapshot a disk meanwhile holds a VM snapshot back", {},
     {**READY, JOB: {"of": "snapshotpolicy", "id": JOB, "volumeid": R1, "maxsnaps": 3}},
     lambda w: w.snapshot_guest(GUEST, "whole", JOB), False),
    ("a guest that runs is not snapshotted", {}, {**READY, **RUNNING}, lambda w: w.snapshot_guest(GUEST, "w", JOB), True),
    ("a guest that runs is not reverted", OURS, {**SNAPPED, **RUNNING}, lambda w: w.revert_guest(WHOLE, JOB), True),
    *((f"a volume snapshot that is {state} holds a VM snapshot back", {}, {**READY, **snapshot(POINT, R1, state)},
       lambda w: w.snapshot_guest(GUEST, "whole", JOB), True)
      for state in ("Allocated", "Creating", "CreatedOnPrimary", "BackingUp")),
    *((f"a VM snapshot that is {state} is not reverted to", OURS, {**READY, **vm_snapshot(WHOLE, GUEST, state)},
       lambda w: w.revert_guest(WHOLE, JOB), True) for state in ("Allocated", "Creating", "Reverting", "Error")),
    *((f"a VM snapshot that is {state} is not deleted", DONE, {**READY, **vm_snapshot(WHOLE, GUEST, state)},
       lambda w: w.delete_guest_snapshot(WHOLE, JOB), True) for state in ("Allocated", "Creating", "Reverting")),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "world", "call", "passing"), [c[1:] for c in HELD_BACK], ids=[c[0] for c in HELD_BACK])
def test_what_stands_in_the_way_is_told_and_nothing_is_sent(client_for, changes, world, call, passing):
    with odd_server(cloud(world)) as server:
        told = call(client_for(server.url).writer(replace(PERMIT, **changes)))
    assert isinstance(told, Refused)
    assert (told.code, told.retryable) == (0, passing)
    assert set(server.commands()) <= set(LISTS)


def test_the_blank_root_is_deleted_by_its_recorded_id(client_for):
    with odd_server(cloud(EMPTY)) as server:
        assert client_for(server.url).writer(PERMIT).delete_volume(ROOT) == Done()
    assert server.commands() == ["deleteVolume"]


@pytest.mark.parametrize("world", [EMPTY, {k: v for k, v in EMPTY.items() if k != ROOT}], ids=["loose", "gone"])
def test_what_hangs_nowhere_is_not_detached_again(client_for, world):
    with odd_server(cloud(world)) as server:
        assert client_for(server.url).writer(PERMIT).detach(ROOT, JOB) == Done()
    assert server.commands() == ["listVolumes"]


@pytest.mark.parametrize("entity", [GUEST, R1, R2])
def test_no_vm_goes_while_a_job_may_still_bring_a_replica_to_it(client_for, entity):
    busy = {JOB: {"jobid": JOB, "jobinstanceid": entity}}
    with odd_server(cloud({**EMPTY, **busy})) as server:
        refused = client_for(server.url).writer(PERMIT).destroy(GUEST, True, JOB)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retryable) == (0, True)
    assert set(server.commands()) <= set(LISTS)


def test_uefi_is_always_sent_with_its_mode(client_for):
    with odd_server(cloud(AT_HOME)) as server:
        writer = client_for(server.url).writer(replace(PERMIT, guest_id=None))
        writer.deploy("guest-1", "g", ZONE, TEMPLATE, OFFERING, (TEST_NET,), 1, 512, uefi=True, job_id=JOB)
    assert (server.received[0]["boottype"], server.received[0]["bootmode"]) == ("UEFI", "LEGACY")


GUARDED: list[Call] = [
    lambda w: w.start(GUEST, JOB),
    lambda w: w.destroy(GUEST, True, JOB),
    lambda w: w.detach(R1, JOB),
    lambda w: w.revert_snapshot(POINT, JOB),
    lambda w: w.attach(R1, GUEST, 0, JOB),
    lambda w: w.clone(POINT, "c", ZONE, JOB),
    lambda w: w.snapshot_guest(GUEST, "whole", JOB),
]


@pytest.mark.parametrize("call", GUARDED)
def test_without_its_fresh_look_a_change_is_not_sent(client_for, call):
    with odd_server(error(530)) as server, pytest.raises(LookFailed):
        call(client_for(server.url).writer(PERMIT))
    assert set(server.commands()) <= set(LISTS)
