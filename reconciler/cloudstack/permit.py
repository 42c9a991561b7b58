"""What one run may do to the cloud: the invariants, in the lowest layer, where no plan can talk its way around them.

`reconciler.execute` makes a `Permit` from journal and fleet and gets a `writer.Writer` for it. The functions here are
pure: they look at the permit, the arguments, and where a rule wants it at a fresh look handed in by the writer. They
return nothing or raise `InvariantViolated`. The ids are those of the seed contract (INV-..) and of CloudStack's rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from plans.observed import Machine, VmSnapshot, Volume, VolumeSnapshot
from reconciler.cloudstack.errors import InvariantViolated

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HOST_NAME = re.compile(r"[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
MAX_TAG = 255
CD_ROM = 3


@dataclass(frozen=True, slots=True)
class Permit:
    """What a run may touch. Everything that is not named is forbidden.

    `kind` is "test" or "live"; `replicas` are this VM's, `protected` those of the whole fleet; `appliances` are never
    touched but for hanging replicas on and off; `guest_devices` maps each disk the guest gets, replica or clone, to its
    device; `clones` are the volumes that this run made from snapshots of its replicas; `snapshots` maps each rollback point
    of this run to whether it may be deleted, `guest_snapshot_id` and `guest_snapshot_releasable` say so of the guest's VM
    snapshot; `points_ready` says that every rollback point is ready (or waived by an operator, live only);
    `replication_idle` that no replication job runs. From `until` on, when the lease has lapsed, nothing is sent at all:
    somebody else may lead the VM by then.
    """

    run_id: str
    kind: str
    replicas: frozenset[str]
    protected: frozenset[str]
    appliances: frozenset[str]
    guest_id: str | None
    guest_name: str
    default_root_id: str | None
    allowed_networks: frozenset[str]
    guest_devices: Mapping[str, int]
    snapshots: Mapping[str, bool] = field(default_factory=dict)
    points_ready: bool = False
    replication_idle: bool = False
    clones: frozenset[str] = frozenset()
    guest_snapshot_id: str | None = None
    guest_snapshot_releasable: bool = False
    until: datetime | None = None


# --- the form of what is sent -----------------------------------------------------------------------------------------


def uuid(parameter: str, value: str) -> str:
    """The value, if it is a UUID: CloudStack takes a bare number for the id of somebody's row."""
    _demand("INV-11", UUID.fullmatch(value.lower()) is not None, f"{parameter} is not a UUID")
    return value


def own_job_id(value: str) -> str:
    """Our id for a job: a lower-case UUID, or the server refuses it and leaves an orphan behind."""
    _demand("INV-11", UUID.fullmatch(value) is not None, "customjobid is not a lower-case UUID")
    return value


def tags(wanted: Mapping[str, str]) -> list[dict[str, str]]:
    """Tags as they are sent: none empty, none that the server would cut off, no two keys that it takes for one."""
    _demand("CS-TAG", all(0 < len(t) <= MAX_TAG for pair in wanted.items() for t in pair), "a tag is empty or over 255")
    _demand("CS-TAG", len({k.lower() for k in wanted}) == len(wanted), "two tag keys differ in case only")
    return [{"key": key, "value": value} for key, value in wanted.items()]


# --- the guest --------------------------------------------------------------------------------------------------------


def deploy(permit: Permit, name: str, networks: Iterable[str]) -> None:
    """One guest a run, under its name, on allowed networks and at least one: the server would choose one by itself."""
    wanted = tuple(networks)
    _demand("INV-12", permit.guest_id is None, "this run has its guest already")
    _demand("INV-11", name == permit.guest_name, f"guest name {name!r} is not this run's")
    _demand("INV-11", HOST_NAME.fullmatch(name) is not None, f"{name!r} is no host name")
    _demand("INV-08", bool(wanted), "no network named")
    _demand("INV-08", permit.allowed_networks.issuperset(wanted), f"a network is not allowed for this {permit.kind}")


def guest(permit: Permit, vm_id: str) -> None:
    """Only the run's own guest is started, stopped or destroyed; an appliance never."""
    _demand("INV-04", vm_id not in permit.appliances, "an appliance is never started, stopped or destroyed")
    _demand("INV-11", vm_id == permit.guest_id, "this VM is not the run's guest")


def start(permit: Permit, machine: Machine | None, volumes: Iterable[Volume]) -> None:
    """A guest starts with exactly its disks at their devices, its rollback points ready, and on allowed networks.

    Its disks are the replicas, or a clone of each; those that run on clones leave replication alone.
    """
    hanging = {v.id: v.device_id for v in volumes}
    lent = set(permit.guest_devices)
    cloned = lent == permit.clones and len(lent) == len(permit.replicas)
    complete = (cloned or lent == permit.replicas) and 0 in permit.guest_devices.values()
    _demand("INV-06", complete, "the permit does not name a device for every disk, one of them 0")
    _demand("INV-06", hanging == dict(permit.guest_devices), "the guest's volumes are not its disks at their devices")
    _demand("INV-06", all(_whole(v) for v in volumes), "a disk on the guest is not Ready or of the wrong type")
    _demand("INV-07", permit.points_ready, "a rollback point is not ready")
    _demand("INV-10", cloned or permit.replication_idle, "a replication job is running")
    _demand("INV-08", machine is not None, "the guest is not to be seen")
    _demand("CS-DEP", machine is None or machine.state != "Error", "a guest whose deployment failed is never started")
    nics = machine.nics if machine else ()
    _demand("INV-08", all(n.network_id in permit.allowed_networks for n in nics), "a card is on a forbidden network")


def destroy(permit: Permit, volumes: Iterable[Volume]) -> None:
    """No VM goes while a protected volume hangs on it, nor with a root that is neither its own nor a clone."""
    hanging = tuple(volumes)
    _demand("INV-03", permit.protected.isdisjoint(v.id for v in hanging), "a protected volume hangs on this VM")
    _demand("INV-03", permit.replicas.isdisjoint(v.id for v in hanging), "a replica hangs on this VM")
    roots = {v.id for v in hanging if v.device_id == 0 or v.type == "ROOT"}
    ours = permit.default_root_id is None or roots <= {permit.default_root_id, *permit.clones}
    _demand("INV-02", ours, "at device 0 is another disk than the one that came with the guest, and no clone")


# --- volumes ----------------------------------------------------------------------------------------------------------


def attach(permit: Permit, volume_id: str, vm_id: str, device: int) -> None:
    """Only this VM's disks are hung on: replicas on an appliance, never at device 0; on the guest each at its own device."""
    if volume_id in permit.clones:
        _demand("INV-04", vm_id not in permit.appliances, "a clone is never hung on an appliance")
        guest(permit, vm_id)
        _demand("INV-01", permit.guest_devices.get(volume_id) == device, f"device {device} is not this clone's")
        return
    _replica(permit, volume_id)
    if vm_id in permit.appliances:
        _demand("INV-04", device != 0, "device 0 of an appliance is its own root")
        # how many there are is the cloud's to say: an operator may have raised it, and whatever came off must go home
        _demand("INV-04", device > 0 and device != CD_ROM, f"there is no device {device}")
        return
    guest(permit, vm_id)
    _demand("INV-01", permit.guest_devices.get(volume_id) == device, f"device {device} is not this replica's on the guest")
    _demand("INV-10", permit.replication_idle, "a replication job is running")


def may_detach(permit: Permit, volume_id: str) -> None:
    """Only this VM's replicas, their clones and the guest's own blank root are ever taken off."""
    if volume_id != permit.default_root_id and volume_id not in permit.clones:
        _replica(permit, volume_id)


def detach(permit: Permit, volume: Volume) -> None:
    """Off the guest or an appliance and nothing else; never an appliance's root; never under running replication."""
    on_appliance = volume.vm_id in permit.appliances
    _demand("INV-01", on_appliance or volume.vm_id == permit.guest_id, "it hangs on a VM that is not this run's")
    if on_appliance:
        root = volume.device_id in (0, None) or volume.type == "ROOT"
        _demand("INV-04", not root, "it is the root of an appliance")
        _demand("INV-11", volume.id in permit.replicas, "the guest's blank root cannot hang on an appliance")
        _demand("INV-10", permit.replication_idle, "a replication job is running")


def delete_volume(permit: Permit, volume_id: str) -> None:
    """All that is ever deleted is the blank root recorded when the guest was made, and clones made by the run."""
    kept = volume_id in permit.protected or volume_id in permit.replicas
    _demand("INV-02", not kept, "a protected volume is never deleted")
    ours = volume_id == permit.default_root_id or volume_id in permit.clones
    _demand("INV-02", ours, "this volume is neither the guest's recorded blank root nor a clone of the run")


# --- snapshots --------------------------------------------------------------------------------------------------------


def create_snapshot(permit: Permit, volume_id: str, name: str) -> None:
    """Rollback points are made of this VM's replicas only, while no replication writes to them."""
    _replica(permit, volume_id)
    _demand("INV-10", permit.replication_idle, "a replication job is running")
    _demand("CS-SNP", 0 < len(name) <= MAX_TAG, "the snapshot's name is empty or over 255 characters")


def may_revert(permit: Permit, snapshot_id: str) -> None:
    """Only this run's rollback points are ever reverted to."""
    _demand("INV-05", snapshot_id in permit.snapshots, "this snapshot is not a rollback point of the run")


def usable_snapshot(permit: Permit, snapshot: VolumeSnapshot | None) -> None:
    """The snapshot must be there, ready, and of one of this VM's replicas: its content replaces the disk's or is copied."""
    _demand("INV-05", snapshot is not None, "this snapshot is not to be seen")
    if snapshot is not None:
        _demand("INV-05", snapshot.volume_id in permit.replicas, "this snapshot is of a volume that is not the run's")
        _demand("INV-07", snapshot.state == "BackedUp", f"this snapshot is {snapshot.state}, not BackedUp")


def delete_snapshot(permit: Permit, snapshot_id: str) -> None:
    """A rollback point goes only after its revert is confirmed or an operator released it."""
    _demand("INV-05", snapshot_id in permit.snapshots, "this snapshot is not a rollback point of the run")
    _demand("INV-05", permit.snapshots.get(snapshot_id) is True, "its revert is not confirmed")


def clone(permit: Permit, snapshot_id: str, name: str) -> None:
    """Clones are made from this run's rollback points only."""
    _demand("INV-11", snapshot_id in permit.snapshots, "this snapshot is not a rollback point of the run")
    _demand("CS-VOL", 0 < len(name) <= MAX_TAG, "the clone's name is empty or over 255 characters")


def snapshot_guest(permit: Permit, vm_id: str, name: str) -> None:
    """A VM snapshot is made of the run's guest only, once: a second one would block and hide the first."""
    guest(permit, vm_id)
    _demand("CS-VSC", permit.guest_snapshot_id is None, "the guest has its VM snapshot already")
    _demand("CS-VSC", 0 < len(name) <= MAX_TAG, "the VM snapshot's name is empty or over 255 characters")
    _demand("INV-10", permit.replication_idle, "a replication job is running")


def whole_guest(permit: Permit, volumes: Iterable[Volume]) -> None:
    """A VM snapshot protects the disks that hang on the guest when it is made: all of them, and no others."""
    hanging = {v.id: v.device_id for v in volumes}
    complete = set(permit.guest_devices) == permit.replicas and hanging == dict(permit.guest_devices)
    _demand("INV-06", complete, "the guest's volumes are not its replicas at their devices")


def guest_snapshot(permit: Permit, snapshot_id: str, row: VmSnapshot | None) -> None:
    """Only the VM snapshot of this run's guest is ever reverted to or deleted, and only while it is to be seen there."""
    _demand("INV-05", snapshot_id == permit.guest_snapshot_id, "this VM snapshot is not of the run's guest")
    _demand("INV-05", row is not None and row.vm_id == permit.guest_id, "the guest does not have this VM snapshot")


def delete_guest_snapshot(permit: Permit, snapshot_id: str) -> None:
    """The guest's VM snapshot goes only after its revert is confirmed: deleting it keeps whatever was written."""
    _demand("INV-05", snapshot_id == permit.guest_snapshot_id, "this VM snapshot is not of the run's guest")
    _demand("INV-05", permit.guest_snapshot_releasable, "its revert is not confirmed")


def tag(permit: Permit, resource_type: str, resource_id: str) -> None:
    """Only what is the run's is marked: its guest, its replicas and their clones, its rollback points."""
    ours: Mapping[str, Iterable[str]] = {
        "UserVm": {permit.guest_id} - permit.appliances - {None},  # type: ignore[dict-item]
        "Volume": permit.replicas | permit.clones,
        "Snapshot": permit.snapshots.keys(),
    }
    _demand("CS-TAG", resource_type in ours, f"{resource_type} is not a type that is tagged here")
    _demand("INV-11", resource_id in ours.get(resource_type, ()), f"this {resource_type} is not the run's")


def _replica(permit: Permit, volume_id: str) -> None:
    _demand("INV-11", volume_id in permit.replicas, "this volume is not a replica of the run's VM")


def _whole(volume: Volume) -> bool:
    return volume.state == "Ready" and (volume.type == "ROOT") == (volume.device_id == 0)


def _demand(inv: str, kept: bool, broken: str) -> None:
    if not kept:
        raise InvariantViolated(inv, broken)
