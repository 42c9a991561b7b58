"""Changing: the only object with methods that change the cloud, each held to a permit.

`client.Client.writer` makes one for `reconciler.perform`. Every method first asks `permit` (with a fresh look where a
rule wants one) and raises `InvariantViolated` before anything is sent; then it sends once, never twice, and says what
came of it. A connection that breaks after sending is `Unknown`. Journaling before and looking after are
`reconciler.execute`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from plans.observed import Machine, VmSnapshot, Volume, VolumeSnapshot
from reconciler.cloudstack import answers, parse, permit, signing
from reconciler.cloudstack.errors import BadAnswer, Unreachable, WrongAddress
from reconciler.cloudstack.outcomes import NOT_SENT, CallOutcome, Done, Refused, Unknown, retryable
from reconciler.cloudstack.permit import Permit
from reconciler.cloudstack.reads import Reader
from reconciler.cloudstack.servers import Servers

BEING_MADE = frozenset({"Allocated", "Creating", "CreatedOnPrimary", "BackingUp"})
DELETABLE = frozenset({"Ready", "Error", "Expunging"})


class Looks(Protocol):
    """Where a writer looks before it sends: CloudStack itself, or what this round's look found."""

    def machine(self, vm_id: str) -> Machine | None:
        """That VM, or None."""

    def volume(self, volume_id: str) -> Volume | None:
        """That volume, or None."""

    def volumes_of(self, vm_id: str) -> tuple[Volume, ...]:
        """What hangs on that VM."""

    def snapshot(self, snapshot_id: str) -> VolumeSnapshot | None:
        """That volume snapshot, or None."""

    def snapshots_of(self, volume_id: str) -> tuple[VolumeSnapshot, ...]:
        """The snapshots of that volume, in every state."""

    def vm_snapshots_of(self, vm_id: str) -> tuple[VmSnapshot, ...]:
        """The VM snapshot rows of that VM, in every state."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """What was read for all guests of a round just before they go: the objects of pending jobs, then all volumes."""

    busy: frozenset[str]
    volumes: tuple[Volume, ...]

    def volumes_of(self, vm_id: str) -> tuple[Volume, ...]:
        """What hangs on that VM."""
        return tuple(v for v in self.volumes if v.vm_id == vm_id)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the look of this round found around one VM; seconds old, and nobody else of ours works on the VM.

    `fresh` is what was read for all VMs of the round just before sending, if anything had to be.
    """

    machines: Mapping[str, Machine]
    volumes: Mapping[str, Volume]
    snapshots: Mapping[str, VolumeSnapshot]
    vm_snapshots: Mapping[str, VmSnapshot]
    fresh: Fresh | None = None

    def machine(self, vm_id: str) -> Machine | None:
        """That VM as it was seen."""
        return self.machines.get(vm_id)

    def volume(self, volume_id: str) -> Volume | None:
        """That volume as it was seen."""
        return self.volumes.get(volume_id)

    def volumes_of(self, vm_id: str) -> tuple[Volume, ...]:
        """What was seen to hang on that VM."""
        return tuple(v for v in self.volumes.values() if v.vm_id == vm_id)

    def snapshot(self, snapshot_id: str) -> VolumeSnapshot | None:
        """That snapshot as it was seen."""
        return self.snapshots.get(snapshot_id)

    def snapshots_of(self, volume_id: str) -> tuple[VolumeSnapshot, ...]:
        """The snapshots that were seen of that volume."""
        return tuple(s for s in self.snapshots.values() if s.volume_id == volume_id)

    def vm_snapshots_of(self, vm_id: str) -> tuple[VmSnapshot, ...]:
        """The rows that were seen of that VM."""
        return tuple(s for s in self.vm_snapshots.values() if s.vm_id == vm_id)


class Writer:
    """Changes what its permit allows. `job_id` is the caller's own id for the job, a lower-case UUID journaled before.

    Every method returns a `CallOutcome`; raises `InvariantViolated` when the permit forbids the call, and another
    `CloudError` when a fresh look that a rule wants did not succeed. In both cases nothing was sent.
    """

    def __init__(self, servers: Servers, reader: Reader, allowed: Permit, looks: Looks | None = None) -> None:
        self._servers, self._reader, self._permit = servers, reader, allowed
        self._looks: Looks = looks or reader

    # --- the guest ----------------------------------------------------------------------------------------------------

    def deploy(
        self,
        name: str,
        display_name: str,
        zone_id: str,
        template_id: str,
        service_offering_id: str,
        networks: Sequence[str],
        cpus: int,
        memory_mb: int,
        uefi: bool,
        job_id: str,
    ) -> CallOutcome:
        """Make the guest, stopped, on exactly these networks (first is default). `entity_id` is the new VM."""
        permit.deploy(self._permit, name, networks)
        boot = {"boottype": "UEFI" if uefi else "BIOS", "bootmode": "LEGACY"}
        ids = {"zoneid": zone_id, "templateid": template_id, "serviceofferingid": service_offering_id}
        return self._submit(
            "deployVirtualMachine",
            job_id,
            name=name,
            displayname=display_name,
            networkids=[permit.uuid("networkids", n) for n in networks],
            startvm=False,
            details={"cpuNumber": cpus, "memory": memory_mb},
            **{key: permit.uuid(key, value) for key, value in ids.items()},
            **boot,
        )

    def start(self, vm_id: str, job_id: str) -> CallOutcome:
        """Start the guest, after a fresh look at its disks and network cards."""
        permit.guest(self._permit, permit.uuid("id", vm_id))
        permit.start(self._permit, self._looks.machine(vm_id), self._looks.volumes_of(vm_id))
        return self._submit("startVirtualMachine", job_id, id=vm_id)

    def stop(self, vm_id: str, forced: bool, job_id: str) -> CallOutcome:
        """Stop the guest. Forced is for one that no longer answers: its host may still write to the disks."""
        permit.guest(self._permit, permit.uuid("id", vm_id))
        return self._submit("stopVirtualMachine", job_id, id=vm_id, forced=forced)

    def destroy(self, vm_id: str, expunge: bool, job_id: str) -> CallOutcome:
        """Remove the guest, after a fresh look that no protected volume hangs on it or is on its way to it.

        While a job on the guest or a replica is pending it is `Refused`, to be tried again: CloudStack would queue the
        destroy behind an attach, and destroy the replica that was not there when we looked.
        """
        permit.guest(self._permit, permit.uuid("id", vm_id))
        fresh = self._looks.fresh if isinstance(self._looks, Seen) else None
        # In this order: what ends between the two looks shows in the second.
        busy = self._reader.busy() if fresh is None else fresh.busy
        if busy & (self._permit.replicas | {vm_id}):
            return _not_yet("a job on the guest or on a replica is still pending")
        permit.destroy(self._permit, self._reader.volumes_of(vm_id) if fresh is None else fresh.volumes_of(vm_id))
        return self._submit("destroyVirtualMachine", job_id, id=vm_id, expunge=expunge)

    # --- volumes ------------------------------------------------------------------------------------------------------

    def attach(self, volume_id: str, vm_id: str, device: int, job_id: str) -> CallOutcome:
        """Hang a replica on the guest or an appliance, or a clone on the guest, at exactly this device.

        `Refused` while the VM has a VM snapshot, in whatever state (the server lets nothing be hung on or off then), and
        while another job is under way on the volume.
        """
        permit.attach(self._permit, permit.uuid("id", volume_id), permit.uuid("virtualmachineid", vm_id), device)
        if blocked := _under_way(self._looks.volume(volume_id)) or self._blocked(vm_id):
            return blocked
        return self._submit("attachVolume", job_id, id=volume_id, virtualmachineid=vm_id, deviceid=device)

    def detach(self, volume_id: str, job_id: str) -> CallOutcome:
        """Take a volume off, after a fresh look at where it hangs; `Done` at once when it hangs nowhere.

        CloudStack does not look again when the job's turn comes, so neither a detach of what hangs nowhere is sent nor one
        behind another job of the volume: a late one would take it off the next VM. Then, and while the VM has a VM snapshot,
        it is `Refused`.
        """
        permit.may_detach(self._permit, permit.uuid("id", volume_id))
        volume = self._looks.volume(volume_id)
        if busy := _under_way(volume):
            return busy
        if volume is None or volume.vm_id is None:
            return Done()
        permit.detach(self._permit, volume)
        if blocked := self._blocked(volume.vm_id):
            return blocked
        return self._submit("detachVolume", job_id, id=volume_id)

    def delete_volume(self, volume_id: str) -> CallOutcome:
        """Delete the guest's blank root or a clone. No job: `Done` when it is gone."""
        permit.delete_volume(self._permit, permit.uuid("id", volume_id))
        return self._send("deleteVolume", {"id": volume_id})

    # --- snapshots and tags -------------------------------------------------------------------------------------------

    def create_snapshot(self, volume_id: str, name: str, tags: Mapping[str, str], job_id: str) -> CallOutcome:
        """Make a rollback point of a replica. `entity_id` is the new snapshot. `Refused` under a VM snapshot of its VM."""
        permit.create_snapshot(self._permit, permit.uuid("volumeid", volume_id), name)
        volume = self._looks.volume(volume_id)
        if volume is not None and volume.vm_id is not None and (blocked := self._blocked(volume.vm_id)):
            return blocked
        return self._submit("createSnapshot", job_id, volumeid=volume_id, name=name, tags=permit.tags(tags))

    def revert_snapshot(self, snapshot_id: str, job_id: str) -> CallOutcome:
        """Return a replica to its rollback point, after a fresh look at whose snapshot it is."""
        permit.may_revert(self._permit, permit.uuid("id", snapshot_id))
        permit.usable_snapshot(self._permit, self._looks.snapshot(snapshot_id))
        return self._submit("revertSnapshot", job_id, id=snapshot_id)

    def delete_snapshot(self, snapshot_id: str, job_id: str) -> CallOutcome:
        """Delete a rollback point that is no longer needed."""
        permit.delete_snapshot(self._permit, permit.uuid("id", snapshot_id))
        return self._submit("deleteSnapshot", job_id, id=snapshot_id)

    def clone(self, snapshot_id: str, name: str, zone_id: str, job_id: str) -> CallOutcome:
        """Make a volume from a rollback point, after a fresh look at whose it is. `entity_id` is the new volume."""
        permit.clone(self._permit, permit.uuid("snapshotid", snapshot_id), name)
        permit.usable_snapshot(self._permit, self._looks.snapshot(snapshot_id))
        zone = permit.uuid("zoneid", zone_id)
        return self._submit("createVolume", job_id, snapshotid=snapshot_id, name=name, zoneid=zone)

    def snapshot_guest(self, vm_id: str, name: str, job_id: str) -> CallOutcome:
        """Make a VM snapshot of the guest's disks, after a fresh look at them. `entity_id` is the new row.

        Its job will not name the row: after a lost answer it is found by `name`, which must be this run's alone. `Refused`
        while the guest is not stopped, a volume snapshot of a disk is being made (the server's check has a gap there) or
        will be by a policy, or another VM snapshot is in the way.
        """
        permit.snapshot_guest(self._permit, permit.uuid("virtualmachineid", vm_id), name)
        disks = self._looks.volumes_of(vm_id)
        permit.whole_guest(self._permit, disks)
        if blocked := self._blocked(vm_id) or self._moving(vm_id):
            return blocked
        if any(s.state in BEING_MADE for disk in disks for s in self._looks.snapshots_of(disk.id)):
            return _not_yet("a volume snapshot of one of the guest's disks is being made")
        if any(self._reader.policies_of(disk.id) for disk in disks):
            why = "a policy would snapshot one of the guest's disks meanwhile: delete it first"
            return Refused(NOT_SENT, why, retryable=False)
        return self._submit("createVMSnapshot", job_id, virtualmachineid=vm_id, name=name, snapshotmemory=False)

    def revert_guest(self, snapshot_id: str, job_id: str) -> CallOutcome:
        """Return all disks of the stopped guest to its VM snapshot, after a fresh look at it. Harmless when repeated."""
        row = self._own_row(snapshot_id)
        if row.state != "Ready":
            return _not_yet(f"the guest's VM snapshot is {row.state}, not Ready")
        return self._moving(row.vm_id) or self._submit("revertToVMSnapshot", job_id, vmsnapshotid=snapshot_id)

    def delete_guest_snapshot(self, snapshot_id: str, job_id: str) -> CallOutcome:
        """Delete the guest's VM snapshot, after a fresh look at it. What is in the disks then stays there."""
        permit.delete_guest_snapshot(self._permit, permit.uuid("vmsnapshotid", snapshot_id))
        row = self._own_row(snapshot_id)
        if row.state not in DELETABLE:
            return _not_yet(f"the guest's VM snapshot is {row.state}")
        return self._submit("deleteVMSnapshot", job_id, vmsnapshotid=snapshot_id)

    def _own_row(self, snapshot_id: str) -> VmSnapshot:
        permit.uuid("vmsnapshotid", snapshot_id)
        rows = self._looks.vm_snapshots_of(self._permit.guest_id) if self._permit.guest_id else ()
        row = next((r for r in rows if r.id == snapshot_id), None)
        permit.guest_snapshot(self._permit, snapshot_id, row)
        if row is None:
            raise AssertionError("a permit lets no row pass that is not to be seen")
        return row

    def _moving(self, vm_id: str) -> Refused | None:
        machine = self._looks.machine(vm_id)
        state = machine.state if machine else "not to be seen"
        return None if state == "Stopped" else _not_yet(f"the guest is {state}, not Stopped")

    def _blocked(self, vm_id: str) -> Refused | None:
        rows = self._looks.vm_snapshots_of(vm_id)
        told = ", ".join(f"{row.name} ({row.state})" for row in rows)
        return Refused(NOT_SENT, f"VM snapshot {told} of VM {vm_id} is in the way", retryable=False) if rows else None

    def tag(self, resource_type: str, resource_id: str, tags: Mapping[str, str], job_id: str) -> CallOutcome:
        """Mark an object of the run; `resource_type` is UserVm, Volume or Snapshot. A key that exists is refused."""
        permit.tag(self._permit, resource_type, permit.uuid("resourceids", resource_id))
        sent = permit.tags(tags)
        return self._submit("createTags", job_id, resourceids=[resource_id], resourcetype=resource_type, tags=sent)

    # --- one call -----------------------------------------------------------------------------------------------------

    def _submit(self, command: str, job_id: str, **arguments: signing.Value) -> CallOutcome:
        return self._send(command, {**arguments, "customjobid": permit.own_job_id(job_id)})

    def _send(self, command: str, arguments: Mapping[str, signing.Value]) -> CallOutcome:
        where = self._servers.where(command)
        try:
            content = self._servers.ask(command, arguments, self._permit.until)
            if not isinstance(content, answers.No):
                return parse.outcome(content, where)
        except Unreachable as lost:
            return Unknown(str(lost)) if lost.sent else Refused(NOT_SENT, str(lost), retryable(NOT_SENT))
        except (BadAnswer, WrongAddress) as unclear:
            return Unknown(str(unclear))
        return Refused(content.code, content.text, retryable(content.code), content.retry_after)


def _not_yet(why: str) -> Refused:
    """Nothing was sent, and it may be tried again."""
    return Refused(NOT_SENT, why, retryable(NOT_SENT))


def _under_way(volume: Volume | None) -> Refused | None:
    if volume is None or volume.job_id is None:
        return None
    return _not_yet(f"job {volume.job_id} is under way on volume {volume.id}")
