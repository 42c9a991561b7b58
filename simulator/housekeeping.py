"""What the server does by itself: threads that clean up as time passes, and what it finds when it is started again.

`cloud.Cloud` calls `begin` once, and `restart` when it was killed. Both only change rows; what a client sees of it, it sees by
looking.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from simulator import settings, views

if TYPE_CHECKING:
    from simulator.cloud import Cloud

VM_AFTER = {"Starting": "Stopped", "Stopping": "Running"}
VOLUME_AFTER = {
    "Attaching": "Ready",
    "Creating": "Allocated",
    "Snapshotting": "Ready",
    "RevertSnapshotting": "Ready",
    "Resizing": "Ready",
    "Migrating": "Ready",
}


# --- restart ----------------------------------------------------------------------------------------------------------


def restart(cloud: Cloud) -> None:
    """CS-JOB-12: jobs end without result; rows in between fall back, and some VM-snapshot rows stay as they are for ever."""
    now = cloud.now()
    cloud.jobs.run(now)
    cloud.jobs.drop_all()
    for job in cloud.jobs.pending:
        job.status, job.code, job.result, job.lost = 2, 530, None, True
        cloud.jobs.close(job, now)
    for vm in cloud.vms.values():
        if vm.state == "Starting":
            vm.updated, vm.details[views.FREED] = now, "false"
        vm.state = VM_AFTER.get(vm.state, vm.state)
    for volume in cloud.volumes.values():
        volume.state = VOLUME_AFTER.get(volume.state, volume.state)
    if _tidies_snapshots(cloud):
        _tidy_snapshots(cloud)
    cloud.in_force = dict(cloud.settings)


def _tidies_snapshots(cloud: Cloud) -> bool:
    """Releases from 4.22.0, and 4.20.3, look after what snapshots left behind."""
    release = settings.numbers(cloud.release)
    return release >= (4, 22) or (4, 20, 3) <= release < (4, 21)


def _tidy_snapshots(cloud: Cloud) -> None:
    for snapshot in cloud.snapshots.values():
        snapshot.removed = snapshot.removed or snapshot.state == "Allocated"
    for row in cloud.vm_snapshots.values():
        row.removed = row.removed or row.state == "Allocated"
        row.state = "Error" if row.state == "Creating" else row.state


# --- threads ----------------------------------------------------------------------------------------------------------


def begin(cloud: Cloud) -> None:
    """Start the threads; each comes round as often as its setting says."""
    for name, chore in CHORES:
        _come_round(cloud, name, chore, cloud.clock.now())


def _come_round(cloud: Cloud, name: str, chore: Callable[[Cloud, datetime], None], now: datetime) -> None:
    span = timedelta(seconds=max(1.0, float(cloud.in_force[name])))

    def act(moment: datetime) -> None:
        chore(cloud, moment)
        _come_round(cloud, name, chore, moment)

    cloud.jobs.at(now + span, act)


def tidy_storage(cloud: Cloud, now: datetime) -> None:
    """Snapshots that failed or were destroyed can be named until this thread has come round; volumes have a day."""
    for snapshot in cloud.snapshots.values():
        snapshot.removed = snapshot.removed or snapshot.state in ("Destroyed", "Error")
    old = now - timedelta(seconds=float(cloud.in_force["storage.cleanup.delay"]))
    for volume in cloud.volumes.values():
        if volume.state == "Destroy" and volume.destroyed is not None and volume.destroyed <= old:
            volume.removed, volume.state = True, "Expunged"


def _expunge_what_is_old(cloud: Cloud, now: datetime) -> None:
    """What was destroyed `expunge.delay` ago is removed for good, its root with it."""
    old = now - timedelta(seconds=float(cloud.in_force["expunge.delay"]))
    for vm in list(cloud.vms.values()):
        if vm.state in ("Destroyed", "Expunging") and not vm.removed and vm.updated is not None and vm.updated <= old:
            cloud.expunge(vm)


CHORES: tuple[tuple[str, Callable[[Cloud, datetime], None]], ...] = (
    ("storage.cleanup.interval", tidy_storage),
    ("expunge.interval", _expunge_what_is_old),
)
