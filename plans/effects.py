"""What must hold before an action, and what the world is after it: two tables over the action types.

The planner plays every plan through these tables before anybody sees it, and `reconciler.execute` asks `blocker` again
on a fresh look before it sends anything. `blocker` answers in words what stands in the way, or None.
"""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch

from plans import actions, placing, strategies
from plans.observed import (
    Clone,
    GuestPoint,
    Machine,
    Nic,
    Place,
    Point,
    RunFacts,
    VmSnapshot,
    Volume,
    VolumeSnapshot,
    World,
)
from specs.model import Strategy

UNKNOWN_GUEST = "(known after create-guest)"
UNKNOWN_ROOT = "(known after create-guest: default root)"
UNKNOWN_RUN = "(known after reserve)"


# --- before -----------------------------------------------------------------------------------------------------------


@singledispatch
def blocker(action: actions.Action, world: World) -> str | None:
    """Why this action is not legal in this world, or None when it is."""
    raise NotImplementedError(type(action).__name__)


@blocker.register
def _(action: actions.Reserve, world: World) -> str | None:
    if world.source.active_jobs:
        return f"job {world.source.active_jobs[0].id} is {world.source.active_jobs[0].status}"
    away = [d.key for d in world.source.disks if d.volume_id and world.place(d.volume_id) is not Place.APPLIANCE]
    return f"{', '.join(away)} not on the appliance" if away else None


@blocker.register
def _(action: actions.CreateGuest, world: World) -> str | None:
    if world.guest is not None:
        return f"a guest exists already: {world.guest.name}"
    if world.run is not None and world.run.guest_id is not None:
        return f"the guest that was made for this run, VM {world.run.guest_id}, is gone: somebody else removed it"
    if action.name in world.names_taken:
        return f"the name {action.name} is taken by another machine"
    unfit = sorted(set(action.networks) - world.test_networks)
    return f"network {unfit[0]} is not flagged as a test network" if unfit else _unreserved(world)


@blocker.register
def _(action: actions.MarkGuest, world: World) -> str | None:
    return _no_guest(world)


@blocker.register
def _(action: actions.StopGuest, world: World) -> str | None:
    return _no_guest(world)


@blocker.register
def _(action: actions.DetachDefaultRoot, world: World) -> str | None:
    return _guest_not_ready_for_disks(world) or _root_is_a_replica(world)


@blocker.register
def _(action: actions.DeleteDefaultRoot, world: World) -> str | None:
    root = world.default_root
    if root is not None and root.vm_id is not None:
        return "the default root is still attached"
    return _root_is_a_replica(world)


@blocker.register
def _(action: actions.DetachReplica, world: World) -> str | None:
    if action.source is Place.GUEST:
        return _in_the_bin(action.volume_id, world) if world.guest is None else _guest_not_ready_for_disks(world)
    volume = world.volumes.get(action.volume_id)
    if volume is not None and volume.device_id == 0:
        return "device 0 of the appliance is its own root"
    return _unreserved(world) or _appliance_blocked(world) or _not_ready(action.volume_id, world)


@blocker.register
def _(action: actions.RevertReplica, world: World) -> str | None:
    point = world.run.point(action.volume_id) if world.run else None
    snapshot = world.snapshot_of(point)
    if snapshot is None or snapshot.state != "BackedUp":
        return "its rollback point is not there or not usable"
    return _not_at_rest(action.volume_id, world)


@blocker.register
def _(action: actions.SnapshotReplica, world: World) -> str | None:
    if world.written(action.volume_id):
        return "the guest may have written to it already"
    if world.place(action.volume_id) is Place.APPLIANCE and strategies.snapshots_in_place(world):
        return _unreserved(world) or _not_ready(action.volume_id, world)
    return _not_at_rest(action.volume_id, world)


@blocker.register
def _(action: actions.AttachReplica, world: World) -> str | None:
    if world.place(action.volume_id) is not Place.NOWHERE:
        return f"it hangs on the {world.place(action.volume_id)}"
    if action.target is Place.GUEST:
        machine, reason = world.guest, _guest_not_ready_for_disks(world)
    else:
        machine, reason = world.appliance, _not_fit_for_appliance(action, world)
    if reason is None and machine is not None:
        taken = [v.name for v in world.on(machine.id) if v.device_id == action.device]
        reason = f"device {action.device} is used by {taken[0]}" if taken else None
    return reason or _not_ready(action.volume_id, world)


@blocker.register
def _(action: actions.Resume, world: World) -> str | None:
    away = [d.key for d in world.source.disks if d.volume_id and world.place(d.volume_id) is not Place.APPLIANCE]
    return f"{', '.join(away)} not back on the appliance" if away else _snapshots_missing(world)


@blocker.register
def _(action: actions.CloneReplica, world: World) -> str | None:
    snapshot = world.snapshot_of(_point(action.volume_id, world))
    if snapshot is None or snapshot.state != "BackedUp":
        return "its snapshot is not there or not usable"
    clone = world.clone_of(action.volume_id)
    return f"it is cloned already: volume {clone.id} is {clone.state}" if clone is not None else None


@blocker.register
def _(action: actions.AttachClone, world: World) -> str | None:
    clone = world.clone_of(action.volume_id)
    if clone is None:
        return "there is no clone"
    if clone.vm_id is not None:
        return f"the clone hangs on {clone.vm_id}"
    reason = _guest_not_ready_for_disks(world) or _not_ready(clone.id, world)
    taken = [v.name for v in world.on(world.guest.id) if v.device_id == action.device] if world.guest else []
    return reason or (f"device {action.device} is used by {taken[0]}" if taken else None)


@blocker.register
def _(action: actions.DetachClone, world: World) -> str | None:
    clone = world.clone_of(action.volume_id)
    if clone is not None and clone.id in world.replicas | set(world.claimed_volumes):
        return "the recorded clone is a replica"
    return _guest_not_ready_for_disks(world)


@blocker.register
def _(action: actions.DeleteClone, world: World) -> str | None:
    clone = world.clone_of(action.volume_id)
    if clone is None:
        return None
    if clone.id in world.replicas | set(world.claimed_volumes):
        return "the recorded clone is a replica"
    if clone.state in _BUSY:
        return f"volume {clone.id} is {clone.state}"
    return "the clone is still attached" if clone.vm_id is not None else None


def is_moving(world: World) -> bool:
    """Whether a run is under way and something of its VM is in a state that passes, so that a later look may show more."""
    if world.run is None:
        return False
    volumes = (world.volumes.get(v) for v in world.replicas)
    is_guest_moving = world.guest is not None and world.guest.state in ("Starting", "Stopping")
    return is_guest_moving or any(v is not None and v.state in _BUSY for v in volumes)


_BUSY = frozenset({"Attaching", "Snapshotting", "RevertSnapshotting", "Migrating", "Resizing", "Copying"})


@blocker.register
def _(action: actions.SnapshotGuest, world: World) -> str | None:
    if any(world.written(v) for v in world.replicas):
        return "the guest may have written to its disks already"
    held = [s.name for s in world.snapshots.values() if s.volume_id in world.replicas and s.state in _ACTIVE]
    if held:
        return f"snapshot {held[0]} of a replica is being made"
    return _guest_not_ready_for_disks(world) or disks_incomplete(world)


_ACTIVE = frozenset({"Allocated", "Creating", "CreatedOnPrimary", "BackingUp", "Copying"})


@blocker.register
def _(action: actions.RevertGuest, world: World) -> str | None:
    if world.guest is None or world.guest.state != "Stopped":
        return "the guest is not stopped" if world.guest is not None else "there is no guest"
    found = world.guest_snapshot
    return None if found is not None and found.state == "Ready" else "its rollback point is not there or not usable"


_DELETABLE_ROWS = frozenset({"Ready", "Error", "Expunging"})


@blocker.register
def _(action: actions.DeleteGuestSnapshot, world: World) -> str | None:
    found = world.guest_snapshot
    if found is not None and found.state not in _DELETABLE_ROWS:
        return f"VM snapshot {found.id} is {found.state}, and only what is Ready, Error or Expunging can be deleted"
    if any(world.written(v) for v in world.replicas) and found is not None and found.state == "Ready":
        return "the guest's writes would stay: it has not been reverted"
    return None if world.guest is None or world.guest.state == "Stopped" else f"the guest is {world.guest.state}"


@blocker.register
def _(action: actions.StartGuest, world: World) -> str | None:
    reason = _guest_not_ready_for_start(world) or disks_incomplete(world) or _disks_renamed(world)
    return reason or points_missing(world) or _stray_nic(world)


@blocker.register
def _(action: actions.DestroyGuest, world: World) -> str | None:
    if world.guest is None:
        return None
    held = [v.name for v in world.on(world.guest.id) if v.id in world.replicas or v.id in world.claimed_volumes]
    if held:
        return f"{held[0]} still hangs on it and would be lost"
    return "it is running" if world.guest.state == "Running" else _not_home(world)


@blocker.register(actions.DeleteSnapshot)
@blocker.register(actions.DeleteLeftover)
def _(action: actions.DeleteSnapshot | actions.DeleteLeftover, world: World) -> str | None:
    if world.written(action.volume_id):
        return "its replica has not been reverted"
    found = _snapshot_to_delete(action, world)
    if found is not None and found.state in _ACTIVE - {"Allocated"}:
        return f"snapshot {found.id} is {found.state}, and cannot be deleted until that is over"
    home = world.place(action.volume_id) is Place.APPLIANCE
    return None if home else "its replica is not back on the appliance"


def _snapshot_to_delete(action: actions.DeleteSnapshot | actions.DeleteLeftover, world: World) -> VolumeSnapshot | None:
    if isinstance(action, actions.DeleteLeftover):
        return world.snapshots.get(action.snapshot_id)
    return world.snapshot_of(_point(action.volume_id, world))


@blocker.register
def _(action: actions.Release, world: World) -> str | None:
    return _not_home(world)


def _not_home(world: World) -> str | None:
    """Which replicas are not back on the appliance. A guest that is gone before they are was removed by somebody else."""
    taken = world.run.placements if world.run is not None else ()
    away = [p.disk_key for p in taken if world.place(p.volume_id) is not Place.APPLIANCE]
    return f"{', '.join(away)} not back on the appliance" if away else None


def disks_incomplete(world: World) -> str | None:
    """Which disk is not on the guest at its place, or None when the guest has every disk it must have."""
    clones = world.run is not None and world.run.strategy is Strategy.CLONE
    for placement in world.run.placements if world.run else ():
        volume = world.clone_of(placement.volume_id) if clones else world.volumes.get(placement.volume_id)
        if volume is None or world.guest is None or volume.vm_id != world.guest.id:
            return f"{'the clone of ' if clones else ''}{placement.disk_key} is not attached to the guest"
        if volume.device_id != placement.guest_device:
            return f"{placement.disk_key} is at device {volume.device_id}, not {placement.guest_device}"
    return None if world.run and world.run.placements else "no disk is recorded for the guest"


def _disks_renamed(world: World) -> str | None:
    taken = {p.disk_key: p.volume_id for p in world.run.placements} if world.run else {}
    named = {d.key: d.volume_id for d in world.source.disks}
    differ = sorted(key for key in taken.keys() | named.keys() if taken.get(key, "") != named.get(key, ""))
    return f"the database no longer says of {', '.join(differ)} what it said when the run began" if differ else None


def points_missing(world: World) -> str | None:
    """Which replica has no usable rollback point, or None when all have one; one that is only cloned needs none."""
    if world.run is not None and world.run.strategy is Strategy.CLONE:
        lent = [p.disk_key for p in world.run.placements if world.place(p.volume_id) is Place.GUEST]
        return f"{lent[0]} itself is on the guest, not its clone" if lent else None
    if world.run is not None and world.run.strategy is Strategy.VM_SNAPSHOT:
        found = world.guest_snapshot
        return None if found is not None and found.state == "Ready" else "the guest has no usable rollback point"
    return _snapshots_missing(world)


def _snapshots_missing(world: World) -> str | None:
    for placement in world.run.placements if world.run else ():
        snapshot = world.snapshot_of(world.run.point(placement.volume_id) if world.run else None)
        if snapshot is None or snapshot.state != "BackedUp":
            return f"{placement.disk_key} has no usable rollback point"
    return None


def _no_guest(world: World) -> str | None:
    return None if world.guest is not None else "there is no guest"


def _unreserved(world: World) -> str | None:
    return None if world.run is not None and world.run.reserved else "the VM is not reserved"


def _in_the_bin(volume_id: str, world: World) -> str | None:
    """A machine in the bin gives back its data disks, but its system disk only once it is recovered."""
    volume = world.volumes.get(volume_id)
    if volume is None or volume.device_id != 0:
        return None
    return f"the guest is in the cloud's bin, which deletes it with this disk: recover VM {volume.vm_id} first"


def _guest_not_ready_for_start(world: World) -> str | None:
    if world.guest is None:
        return "there is no guest"
    return None if world.guest.state == "Stopped" else f"guest VM {world.guest.id} is {world.guest.state}"


def _guest_not_ready_for_disks(world: World) -> str | None:
    reason = _guest_not_ready_for_start(world)
    return reason if reason is not None or world.guest is None else _snapshot_row(world, world.guest)


def _appliance_blocked(world: World) -> str | None:
    if world.appliance is None:
        return "the appliance was not found"
    if world.appliance.state not in ("Running", "Stopped"):
        return f"the appliance is {world.appliance.state}"
    return _snapshot_row(world, world.appliance)


def _snapshot_row(world: World, machine: Machine) -> str | None:
    rows = [s for s in world.vm_snapshots.values() if s.vm_id == machine.id]
    return f"VM snapshot {rows[0].name} ({rows[0].state}) on {machine.name} blocks it" if rows else None


def _not_fit_for_appliance(action: actions.AttachReplica, world: World) -> str | None:
    if action.device == 0:
        return "device 0 of the appliance is its own root"
    if world.written(action.volume_id) and _revertible(action.volume_id, world):
        return "the guest may have written to it and it has not been reverted"
    return _appliance_blocked(world)


def _revertible(volume_id: str, world: World) -> bool:
    return world.snapshot_of(_point(volume_id, world)) is not None or world.guest_snapshot is not None


def _point(volume_id: str, world: World) -> Point | None:
    return world.run.point(volume_id) if world.run else None


def _not_ready(volume_id: str, world: World) -> str | None:
    volume = world.volumes.get(volume_id)
    if volume is None:
        return "the volume was not found"
    return None if volume.state == "Ready" else f"volume {volume.id} is {volume.state}"


def _not_at_rest(volume_id: str, world: World) -> str | None:
    place = world.place(volume_id)
    if place is Place.GUEST and world.guest is not None and world.guest.state == "Stopped":
        return _snapshot_row(world, world.guest) or _not_ready(volume_id, world)
    if place is not Place.NOWHERE:
        return f"it hangs on the {place}"
    return _not_ready(volume_id, world)


def _root_is_a_replica(world: World) -> str | None:
    known = world.run.default_root_id if world.run else None
    if known is None:
        return "the default root is not known"
    return "the recorded default root is a replica" if known in world.replicas | set(world.claimed_volumes) else None


def _stray_nic(world: World) -> str | None:
    stray = [n.network_id for n in world.guest.nics if n.network_id not in world.test_networks] if world.guest else []
    return f"the guest has a card on {stray[0]}, which is not flagged as a test network" if stray else None


# --- after ------------------------------------------------------------------------------------------------------------


@singledispatch
def after(action: actions.Action, world: World) -> World:
    """The world once this action is achieved; ids that only the cloud can give stand as `(known after ...)`."""
    raise NotImplementedError(type(action).__name__)


@after.register
def _(action: actions.Reserve, world: World) -> World:
    placements = _run(world).placements or placing.placements(world, action.boot_disk)
    return replace(world, run=replace(_run(world), reserved=True, placements=placements, strategy=action.strategy))


@after.register
def _(action: actions.CreateGuest, world: World) -> World:
    nics = tuple(Nic(id=f"?{i}", network_id=n, is_default=i == 0) for i, n in enumerate(action.networks))
    guest = Machine(UNKNOWN_GUEST, action.name, action.display_name, "Stopped", action.zone, started=False, nics=nics)
    root = Volume(UNKNOWN_ROOT, "default root", "Allocated", "ROOT", 0, action.zone, vm_id=guest.id, device_id=0)
    volumes = {**world.volumes, root.id: root}
    run = replace(_run(world), guest_id=guest.id, default_root_id=root.id, guest_name=action.name)
    return replace(world, guest=guest, volumes=volumes, run=run)


@after.register
def _(action: actions.MarkGuest, world: World) -> World:
    return _with_guest(world, tags={actions.MARK: _run(world).id})


@after.register
def _(action: actions.StopGuest, world: World) -> World:
    return _with_guest(world, state="Stopped")


@after.register
def _(action: actions.DetachDefaultRoot, world: World) -> World:
    return _moved(world, _run(world).default_root_id, vm_id=None, device_id=None, type="DATADISK")


@after.register
def _(action: actions.DeleteDefaultRoot, world: World) -> World:
    gone = _run(world).default_root_id
    return replace(world, volumes={k: v for k, v in world.volumes.items() if k != gone})


@after.register
def _(action: actions.DetachReplica, world: World) -> World:
    return _moved(world, action.volume_id, vm_id=None, device_id=None, type="DATADISK")


@after.register
def _(action: actions.RevertReplica, world: World) -> World:
    points = tuple(replace(p, reverted=True) if p.volume_id == action.volume_id else p for p in _run(world).points)
    return replace(world, run=replace(_run(world), points=points))


@after.register
def _(action: actions.SnapshotReplica, world: World) -> World:
    ident, tags = f"(known after snapshot-replica {action.disk})", {actions.MARK: _run(world).id}
    made = VolumeSnapshot(ident, action.name, action.volume_id, "BackedUp", tags)
    others = tuple(p for p in _run(world).points if p.volume_id != action.volume_id)
    run = replace(_run(world), points=(*others, Point(action.volume_id, action.name, made.id)))
    return replace(world, snapshots={**world.snapshots, made.id: made}, run=run)


@after.register
def _(action: actions.AttachReplica, world: World) -> World:
    machine = world.guest if action.target is Place.GUEST else world.appliance
    kind = "ROOT" if action.device == 0 else "DATADISK"
    vm_id = machine.id if machine else None
    return _moved(world, action.volume_id, vm_id=vm_id, device_id=action.device, type=kind)


@after.register
def _(action: actions.Resume, world: World) -> World:
    return replace(world, run=replace(_run(world), reserved=False))


@after.register
def _(action: actions.CloneReplica, world: World) -> World:
    replica, ident = world.volumes.get(action.volume_id), f"(known after clone-replica {action.disk})"
    size, zone = (replica.size, replica.zone_id) if replica is not None else (0, "")
    others = tuple(c for c in _run(world).clones if c.volume_id != action.volume_id)
    run = replace(_run(world), clones=(*others, Clone(action.volume_id, action.name, ident)))
    made = Volume(ident, action.name, "Ready", "DATADISK", size, zone)
    return replace(world, volumes={**world.volumes, ident: made}, run=run)


@after.register
def _(action: actions.AttachClone, world: World) -> World:
    clone, kind = world.clone_of(action.volume_id), "ROOT" if action.device == 0 else "DATADISK"
    vm_id = world.guest.id if world.guest else None
    return _moved(world, clone.id if clone else None, vm_id=vm_id, device_id=action.device, type=kind)


@after.register
def _(action: actions.DetachClone, world: World) -> World:
    clone = world.clone_of(action.volume_id)
    return _moved(world, clone.id if clone else None, vm_id=None, device_id=None, type="DATADISK")


@after.register
def _(action: actions.DeleteClone, world: World) -> World:
    clone = world.clone_of(action.volume_id)
    return replace(world, volumes={k: v for k, v in world.volumes.items() if clone is None or k != clone.id})


@after.register
def _(action: actions.SnapshotGuest, world: World) -> World:
    ident, guest = "(known after snapshot-guest)", world.guest.id if world.guest else ""
    rows = {**world.vm_snapshots, ident: VmSnapshot(ident, action.name, guest, "Ready")}
    return replace(world, vm_snapshots=rows, run=replace(_run(world), guest_point=GuestPoint(action.name, ident)))


@after.register
def _(action: actions.RevertGuest, world: World) -> World:
    point = _run(world).guest_point
    reverted = replace(point, reverted=True) if point is not None else None
    return replace(world, run=replace(_run(world), guest_point=reverted))


@after.register
def _(action: actions.DeleteGuestSnapshot, world: World) -> World:
    gone = world.guest_snapshot
    rows = {k: s for k, s in world.vm_snapshots.items() if gone is None or k != gone.id}
    return replace(world, vm_snapshots=rows)


@after.register
def _(action: actions.StartGuest, world: World) -> World:
    return replace(_with_guest(world, state="Running", started=True), run=replace(_run(world), start_sent=True))


@after.register
def _(action: actions.DestroyGuest, world: World) -> World:
    gone = world.guest.id if world.guest else None
    volumes = {k: v for k, v in world.volumes.items() if gone is None or v.vm_id != gone}
    return replace(world, guest=None, volumes=volumes)


@after.register
def _(action: actions.DeleteSnapshot, world: World) -> World:
    gone = world.snapshot_of(_point(action.volume_id, world))
    snapshots = {k: v for k, v in world.snapshots.items() if gone is None or k != gone.id}
    return replace(world, snapshots=snapshots)


@after.register
def _(action: actions.DeleteLeftover, world: World) -> World:
    return replace(world, snapshots={k: v for k, v in world.snapshots.items() if k != action.snapshot_id})


@after.register
def _(action: actions.Release, world: World) -> World:
    return replace(world, run=replace(world.run, reserved=False) if world.run else None)


def _run(world: World) -> RunFacts:
    return world.run or RunFacts(id=UNKNOWN_RUN, guest_name="")


def _with_guest(world: World, **changes: object) -> World:
    return replace(world, guest=replace(world.guest, **changes)) if world.guest else world  # type: ignore[arg-type]


def _moved(world: World, volume_id: str | None, **changes: object) -> World:
    volume = world.volumes.get(volume_id or "")
    if volume is None:
        return world
    return replace(world, volumes={**world.volumes, volume.id: replace(volume, **changes)})  # type: ignore[arg-type]
