"""Volume snapshots: create, revert, delete, list. They copy, restore and forget content."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator import views
from simulator.commands import common
from simulator.model import Policy, Snapshot, Vm, VmSnapshot, Volume
from simulator.refusals import Refused, refuse
from simulator.registry import READERS, command
from simulator.wire import Call, Param, page

if TYPE_CHECKING:
    from simulator.cloud import Cloud

JAVA = "org.apache.cloudstack.api.command.user.snapshot."
SNAPSHOT = Param("id", "Snapshot", required=True, owned=True)


# --- create -----------------------------------------------------------------------------------------------------------


@command(
    "createSnapshot",
    Param("volumeid", "Volume", required=True, owned=True),
    Param("name", field="snapshotName"),
    Param("quiescevm", "bool"),
    Param("policyid", "SnapshotPolicy"),
    Param("tags", "map"),
    java=JAVA + "CreateSnapshotCmd",
    creates=True,
)
def create(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Snapshot a volume: on the host first (the volume is Snapshotting), then to secondary storage; usable once BackedUp."""
    volume: Volume = call["volumeid"]
    vm = common.vm_of(cloud, volume)
    _check_create(cloud, call, volume, vm)
    snapshot = _allocated(cloud, call, volume)

    def begin() -> None:
        if snapshot.removed:  # deleted while it was waiting
            raise refuse("CS-SNP-05b", cloud.wording, volume=volume.id)
        _check_strategy(cloud, volume, vm, snapshot)
        volume.state, snapshot.state, snapshot.content = "Snapshotting", "Creating", cloud.content_of(volume)

    def taken() -> None:
        volume.state = "Ready"
        if cloud.faults.host_fails("snapshot"):
            snapshot.state = "Error"
            raise refuse("CS-SNP-05b", cloud.wording, volume=volume.id)
        snapshot.state = "BackingUp"

    def finish() -> dict[str, Any]:
        if snapshot.state == "BackingUp" and cloud.faults.host_fails("backup"):
            snapshot.state, snapshot.removed = "Error", True
            raise refuse("CS-SNP-05b", cloud.wording, volume=volume.id)
        snapshot.state = "BackedUp"
        believed = None if vm is not None else "Allocated"
        return {"snapshot": views.snapshot(cloud, snapshot, job_result=True, state=believed)}

    seconds = cloud.durations.get("createSnapshot", 30) / 2
    phases = [
        (lambda: seconds + cloud.faults.host_seconds("snapshot"), taken),
        (lambda: seconds + cloud.faults.host_seconds("backup"), _nothing),
    ]
    instance = ("Snapshot", snapshot.id)
    return cloud.submit(call, finish, begin=begin, phases=phases, queue=volume.vm, instance=instance, entity=snapshot.id)


def _nothing() -> None:
    """What the copy to secondary storage does by itself; its outcome is the job's."""


def _check_create(cloud: Cloud, call: Call, volume: Volume, vm: Vm | None) -> None:
    zone = common.zone_is_disabled(cloud, call, volume.zone)
    if zone is not None:
        raise Refused(531, f"Cannot perform this operation, Zone is currently disabled: {zone.name}", 4365)
    if volume.state != "Ready":
        raise refuse("CS-SNP-02", volume=volume.told(), value=volume.state)
    if vm is not None:
        _check_vm(cloud, volume, vm)
    common.check_limits(cloud, cloud.accounts[volume.account], {"snapshot": 1, "secondary_storage": volume.size})


def _check_vm(cloud: Cloud, volume: Volume, vm: Vm) -> None:
    if vm.state not in ("Stopped", "Destroyed") and vm.hypervisor == "KVM" and not _may_snapshot_running(cloud):
        raise refuse("CS-SNP-01")
    if vm.state in ("Destroyed", "Expunging"):
        told = {"n": volume.n, "vm_n": vm.n, "volume": volume.told(), "vm": vm.told(), "value": vm.state}
        raise refuse("CS-SNP-01b", cloud.wording, **told)
    others = [d for d in cloud.attached(vm) if d.state == "Ready" and vm.hypervisor == "KVM"]
    if any(s.is_active for d in others for s in cloud.snapshots_of(d)):
        raise refuse("CS-SNP-03")
    if any(row.state in ("Creating", "Reverting", "Expunging") for row in cloud.snapshot_rows(vm)):
        raise refuse("CS-SNP-04", cloud.wording)


def _may_snapshot_running(cloud: Cloud) -> bool:
    """CS-SNP-01: the setting since the server's start, and what the first host can."""
    first = next(iter(common.hosts(cloud)), None)
    able = first is None or "snapshot" in str(first.fields.get("capabilities", "snapshot"))
    return bool(cloud.in_force["kvm.snapshot.enabled"]) and able


def _check_strategy(cloud: Cloud, volume: Volume, vm: Vm | None, snapshot: Snapshot) -> None:
    """CS-SNP-05: no volume snapshots beside VM snapshots made of files."""
    if vm is not None and vm.hypervisor == "KVM" and any(row.on_files for row in cloud.snapshot_rows(vm)):
        told = snapshot.told()
        snapshot.removed = True
        raise refuse("CS-SNP-05", cloud.wording, snapshot=told, volume=volume.id)


def _allocated(cloud: Cloud, call: Call, volume: Volume) -> Snapshot:
    made = Snapshot(cloud.new_id(), cloud.number("Snapshot"), volume.account, cloud.now(), volume=volume.id)
    host = common.vm_of(cloud, volume)
    default = f"{host.name if host else 'detached'}_{volume.name}_{cloud.now():%Y%m%d%H%M%S}"
    made.name, made.size, made.volume_n, made.of_kind = call["name"] or default, volume.size, volume.n, volume.kind
    policy: Policy | None = call["policyid"]
    made.kind = policy.interval if policy is not None else "MANUAL"
    made.tags = {t["key"][:255]: t["value"][:255] for t in call.mapped("tags") if "key" in t and "value" in t}
    cloud.snapshots[made.id] = made
    return made


@command(
    "createSnapshotFromVMSnapshot",
    Param("volumeid", "Volume", required=True, owned=True),
    Param("vmsnapshotid", "VMSnapshot", required=True, owned=True),
    Param("name"),
    java=JAVA + "CreateSnapshotFromVMSnapshotCmd",
    creates=True,
)
def create_from_vm_snapshot(cloud: Cloud, call: Call) -> dict[str, Any]:
    """A snapshot of what a volume held when its VM was snapshotted with memory."""
    volume: Volume = call["volumeid"]
    row: VmSnapshot = call["vmsnapshotid"]
    vm = cloud.vms[row.vm]
    if volume.vm != vm.id:
        raise Refused(431, f"Creating snapshot failed due to volume:{volume.told()} doesn't attach to vm :{vm.told()}")
    if volume.state != "Ready":
        raise refuse("CS-SNP-02", volume=volume.told(), value=volume.state)
    if row.on_files:
        raise Refused(431, "Cannot perform this operation, unsupported VM snapshot type.")
    common.check_limits(cloud, cloud.accounts[volume.account], {"snapshot": 1, "secondary_storage": volume.size})
    snapshot = _allocated(cloud, call, volume)

    def finish() -> dict[str, Any]:
        content = row.contents.get(volume.id)
        if content is None or row.removed or cloud.faults.host_fails("backup"):
            snapshot.state, snapshot.removed = "Error", True
            cause = "Failed to create Snapshot due to an internal error creating Snapshot from Instance Snapshot"
            raise Refused(530, f"{cause} {row.told()}")
        snapshot.state, snapshot.content = "BackedUp", content
        return {"snapshot": views.snapshot(cloud, snapshot, job_result=True)}

    instance = ("Snapshot", snapshot.id)
    return cloud.submit(call, finish, host="backup", queue=vm.id, instance=instance, entity=snapshot.id)


# --- revert, delete ---------------------------------------------------------------------------------------------------


@command("revertSnapshot", SNAPSHOT, java=JAVA + "RevertSnapshotCmd", asynchronous=True)
def revert(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Put a volume's content back to the snapshot; id, path and attachment stay (CS-SNP-09)."""
    snapshot: Snapshot = call["id"]
    volume = cloud.volumes[snapshot.volume]

    def begin() -> None:
        volume.state = "RevertSnapshotting"

    def finish() -> dict[str, Any]:
        volume.state = "Ready"
        if cloud.faults.host_fails("revert-snapshot"):
            raise refuse("CS-SNP-10", snapshot=snapshot.told())
        volume.content, volume.size = snapshot.content, snapshot.size
        return {"snapshot": views.snapshot(cloud, snapshot, job_result=True)}

    return cloud.submit(
        call,
        finish,
        check=lambda: _check_revert(cloud, snapshot, volume),
        begin=begin,
        host="revert-snapshot",
        queue=volume.vm,
        instance=("Snapshot", snapshot.id),
    )


def _check_revert(cloud: Cloud, snapshot: Snapshot, volume: Volume) -> None:
    if snapshot.kind == "GROUP":
        raise refuse("CS-SNP-08", snapshot=snapshot.told(), what="reverted")
    if volume.removed:
        raise Refused(530, 'Cannot invoke "com.cloud.storage.VolumeVO.getState()" because "volume" is null')
    if volume.state != "Ready":
        raise refuse("CS-SNP-09")
    vm = common.vm_of(cloud, volume)
    if vm is not None and vm.state not in ("Stopped", "Shutdown"):
        raise refuse("CS-SNP-06", cloud.wording)
    if vm is not None and cloud.snapshot_rows(vm):
        raise refuse("CS-SNP-07", cloud.wording)
    if snapshot.state not in ("BackedUp", "Destroyed"):
        raise Refused(530, f"snapshot {snapshot.name} [{snapshot.id}] does not exists in data store")
    if snapshot.state != "BackedUp" or not _can_revert(cloud, volume):
        raise refuse("CS-SNP-10", snapshot=snapshot.told())


def _can_revert(cloud: Cloud, volume: Volume) -> bool:
    """CS-SNP-10: files in QCOW2, or Ceph by a strategy of its own."""
    pool = common.pool_of(cloud, volume)
    on_ceph = pool is not None and pool.fields.get("type") == "RBD"
    return cloud.hypervisor == "KVM" and (volume.format == "QCOW2" or on_ceph)


@command("deleteSnapshot", SNAPSHOT, Param("zoneid", "Zone"), java=JAVA + "DeleteSnapshotCmd", asynchronous=True)
def delete(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Delete a snapshot; it disappears from lists."""
    snapshot: Snapshot = call["id"]

    def check() -> None:
        if snapshot.kind == "GROUP":
            raise refuse("CS-SNP-08", snapshot=snapshot.told(), what="deleted")
        if snapshot.state == "Destroyed":
            raise refuse("CS-SNP-11", snapshot=snapshot.told())
        if snapshot.is_active:
            raise refuse("CS-SNP-12", snapshot=snapshot.told(), value=snapshot.state)

    def finish() -> dict[str, Any]:
        snapshot.removed = snapshot.state in ("Allocated", "Error")  # of these nothing is kept
        snapshot.state = "Destroyed"
        return {"success": True}

    return cloud.submit(call, finish, check=check, instance=("Snapshot", snapshot.id))


# --- list -------------------------------------------------------------------------------------------------------------


@command(
    "listSnapshots",
    Param("id", "Snapshot"),
    Param("ids", "list"),
    Param("volumeid", "Volume"),
    Param("name"),
    Param("snapshottype"),
    Param("intervaltype"),
    Param("zoneid", "Zone"),
    roles=READERS,
)
def list_snapshots(cloud: Cloud, call: Call) -> dict[str, Any]:
    """Snapshots the caller may see; never the members of VM snapshots, never destroyed ones (CS-SNP-13)."""
    alive = (s for s in cloud.snapshots.values() if s.state != "Destroyed" and s.kind != "GROUP")
    rows = common.by_keyword(call, common.chosen(cloud, call, alive, "Snapshot"), lambda s: s.name)
    if call.has("volumeid"):
        rows = [s for s in rows if s.volume == call["volumeid"].id]
    if call.has("name"):
        rows = [s for s in rows if s.name == call["name"]]
    if call.has("snapshottype"):
        rows = [s for s in rows if s.kind.lower() == call["snapshottype"].lower()]
    return page(call, "snapshot", common.Views(rows, lambda s: views.snapshot(cloud, s)))
