"""The commands, by subject. Importing this package registers all of them; it also knows what a restart does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator.commands import catalogue, jobs, nics, snapshots, tags, vm_snapshots, vms, volumes

if TYPE_CHECKING:
    from simulator.cloud import Cloud

__all__ = ["catalogue", "jobs", "nics", "restart", "snapshots", "tags", "vm_snapshots", "vms", "volumes"]

VM_AFTER = {"Starting": "Stopped", "Stopping": "Running"}
VOLUME_AFTER = {"Attaching": "Ready", "Creating": "Allocated", "Snapshotting": "Ready", "RevertSnapshotting": "Ready"}


def restart(cloud: Cloud) -> None:
    """CS-JOB-12: jobs end without result; transitional rows fall back; stuck VM-snapshot rows stay stuck."""
    now = cloud.clock.now()
    cloud.jobs.run(now)
    cloud.jobs.drop_all()
    for job in cloud.jobs.pending:
        job.status, job.code, job.result, job.completed = 2, 530, None, now
    for vm in cloud.vms.values():
        vm.state = VM_AFTER.get(vm.state, vm.state)
    for volume in cloud.volumes.values():
        volume.state = VOLUME_AFTER.get(volume.state, volume.state)
    for snapshot in cloud.snapshots.values():
        snapshot.removed = snapshot.removed or snapshot.state == "Allocated"
    for row in cloud.vm_snapshots.values():
        row.removed = row.removed or row.state == "Allocated"
        row.state = "Error" if row.state == "Creating" else row.state
    cloud.in_force = dict(cloud.settings)
